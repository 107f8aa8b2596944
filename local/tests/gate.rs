//! The pauses that all handlers share, over the in-memory store.

use dropcollect::memory::MemoryStore;
use jiff::{SignedDuration, Timestamp};
use pipeline::gate::{Cause, Gate, Refusal, ask, close, give_back, open, reason};

const KEY: &str = "control/collectors/c_shop00.json";

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn closed(after: u32) -> Gate {
    Gate::Closed { after, reason: "slow down".to_owned() }
}

fn refusal(seconds: u32) -> Refusal<'static> {
    Refusal { cause: Cause::Limit, retry_after: Some(seconds), reason: "slow down" }
}

#[tokio::test]
async fn one_probes_and_the_others_ask_again_soon() {
    let store = MemoryStore::new();
    assert_eq!(ask(&store, KEY, at(0)).await.unwrap(), Gate::Open);
    assert_eq!(close(&store, KEY, at(0), refusal(300)).await.unwrap(), 300);
    assert_eq!(ask(&store, KEY, at(1)).await.unwrap(), closed(299));
    assert_eq!(ask(&store, KEY, at(300)).await.unwrap(), Gate::Probe);
    assert_eq!(ask(&store, KEY, at(300)).await.unwrap(), closed(10), "the probe is answered soon");
    assert_eq!(ask(&store, KEY, at(385)).await.unwrap(), closed(5));
    assert_eq!(ask(&store, KEY, at(390)).await.unwrap(), Gate::Probe, "the first probe is lost");
    assert_eq!(close(&store, KEY, at(391), refusal(60)).await.unwrap(), 60);
    assert_eq!(ask(&store, KEY, at(392)).await.unwrap(), closed(59), "refused again, so this is what was asked for");
    open(&store, KEY, at(451)).await.unwrap();
    assert_eq!(
        ask(&store, KEY, at(451)).await.unwrap(),
        Gate::Probe,
        "one at a time, as long as refusals are remembered"
    );
    open(&store, KEY, at(452)).await.unwrap();
    assert_eq!(ask(&store, KEY, at(453)).await.unwrap(), Gate::Probe);
    give_back(&store, KEY, at(453)).await.unwrap();
    assert_eq!(ask(&store, KEY, at(453)).await.unwrap(), Gate::Probe, "a turn that was not used goes to the next");
    open(&store, KEY, at(454)).await.unwrap();
    assert_eq!(ask(&store, KEY, at(691)).await.unwrap(), Gate::Open);
    assert_eq!(reason(&store, KEY).await.unwrap(), None);
}
