//! What a fetch does when its time or its object is too short for a dataset.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dropcollect::memory::MemoryStore;
use jiff::Timestamp;
use pipeline::delivery::{Fetched, Output, Sent, Time, fetch};
use pipeline::ledger::InputRow;
use pipeline::policy::{OutputCompression, OutputFormat};
use pipeline::ports::{Chunks, Clock, PortError, Store};

const KEY: &str = "output/a.csv/0123456789abcdef/batch-00001.1.ndjson";

/// A clock that goes on by a second whenever it is looked at.
struct Ticking(AtomicI64);

impl Ticking {
    fn new() -> Self {
        Self(AtomicI64::new(1_800_000_000))
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.fetch_add(1, Ordering::Relaxed)).expect("a time")
    }
}

/// So many pieces of one record each.
struct Rows(u32);

#[async_trait]
impl Chunks for Rows {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        let Some(left) = self.0.checked_sub(1) else { return Ok(None) };
        self.0 = left;
        let text = "x".repeat(100_000);
        Ok(Some(format!("{{\"input\":{{\"n\":1}},\"left\":{left},\"text\":\"{text}\"}}\n").into()))
    }
}

async fn fetched<'a>(store: &'a MemoryStore, rows: u32, time: Time<'_>) -> Fetched<'a> {
    let input = InputRow { line: 2, json: r#"{"n":1}"#.to_owned(), source: None };
    let sent = Sent { inputs: vec![&input], positions: vec![0], attempt: 1 };
    let output = Output { format: OutputFormat::Ndjson, compression: OutputCompression::None };
    let body = Box::new(Rows(rows));
    fetch(store, KEY.to_owned(), output, &sent, "application/jsonl", body, time).await.expect("the store works")
}

#[tokio::test]
async fn a_fetch_stops_before_its_turn_does_and_leaves_nothing() {
    let (store, clock) = (MemoryStore::new(), Ticking::new());
    let ends_at = Timestamp::from_second(1_800_000_000 + 900).expect("a time");
    // A second for each record: 900 of them, less the reserve of 60, are too few for 2,000.
    let Fetched::OutOfTime { bytes } = fetched(&store, 2_000, Time::until(&clock, ends_at)).await else {
        panic!("it should have run out of time")
    };
    assert!((80_000_000..86_000_000).contains(&bytes), "{bytes}");
    assert!(clock.now() < ends_at, "before the turn's end");
    assert!(store.open_uploads().is_empty() && store.keys("").is_empty());
}

#[tokio::test]
async fn what_fits_the_turn_is_fetched_whole() {
    let (store, clock) = (MemoryStore::new(), Ticking::new());
    let ends_at = Timestamp::from_second(1_800_000_000 + 900).expect("a time");
    assert!(matches!(fetched(&store, 800, Time::until(&clock, ends_at)).await, Fetched::Whole(_)));
    // A short turn keeps a quarter back.
    let ends_at = clock.now() + jiff::SignedDuration::from_secs(40);
    assert!(matches!(fetched(&store, 20, Time::until(&clock, ends_at)).await, Fetched::Whole(_)));
    let ends_at = clock.now() + jiff::SignedDuration::from_secs(40);
    assert!(matches!(fetched(&store, 36, Time::until(&clock, ends_at)).await, Fetched::OutOfTime { .. }));
}

#[tokio::test]
async fn where_nothing_stops_it_a_fetch_takes_its_time() {
    let (store, clock) = (MemoryStore::new(), Ticking::new());
    let Fetched::Whole(mut whole) = fetched(&store, 2_000, Time::unlimited(&clock)).await else { panic!("all of it") };
    let input = InputRow { line: 2, json: r#"{"n":1}"#.to_owned(), source: None };
    let sent = Sent { inputs: vec![&input], positions: vec![0], attempt: 1 };
    let delivery = whole.describe(&sent, "j_1", clock.now(), None).await.expect("the store works");
    let object = delivery.object.expect("an object");
    store.complete_upload(KEY, &object.upload, &object.parts).await.expect("the store works");
    let stored = store.get(KEY).await.expect("the store works").expect("the object");
    assert_eq!((delivery.records, object.bytes), (2_000, stored.body.len() as u64));
    // Parts of 8 MiB, cut anywhere, hold every record in its order.
    let lines = stored.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let left = lines.map(|line| serde_json::from_slice::<serde_json::Value>(line).expect("JSON")["left"].as_u64());
    assert!(left.eq((0..2_000).rev().map(Some)));
}
