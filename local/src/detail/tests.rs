use jiff::Timestamp;
use pipeline::ledger::{Fates, Intent, Outcome, SendResult, VERSION};
use serde_json::json;

use super::*;
use crate::memory::{MemoryStore, StoreCall};

const BATCHES: u32 = 1_000;
const AGAIN: u32 = 300;
const AT: Timestamp = Timestamp::UNIX_EPOCH;

/// A run of a million inputs: every batch has ended its first attempt, and some are under way with the second.
async fn large() -> MemoryStore {
    let store = MemoryStore::new();
    let run = RunId::parse("0123456789abcdef").unwrap();
    let status = json!({
        "run": run, "state": "running", "input": {"bucket": "in", "key": "large.csv"}, "started_at": AT, "updated_at": AT, "file_read": true,
        "inputs": {"read": 1_000_000, "rejected": 0, "duplicates": 0, "with_records": 997_000, "no_record": 0, "failed": 2_700, "pending": 300},
        "records": 997_000, "unmatched_records": 0
    });
    ledger::write_once(&store, &keys::status("large.csv"), &status).await.unwrap();
    for batch in 1..=BATCHES {
        for attempt in 1..=(1 + u32::from(batch <= AGAIN)) {
            let id = AttemptId { run: run.clone(), batch, attempt };
            send(&store, &id).await;
            if attempt == 1 {
                end(&store, &id).await;
            }
        }
    }
    store
}

async fn send(store: &MemoryStore, id: &AttemptId) {
    let slice = Slice { start: 0, end: 1_000 };
    let intent = Intent { v: VERSION, at: AT, send_by: AT, doubt_at: AT, inputs: 1_000, called_off: false };
    ledger::write_once(store, &keys::intent(id, slice, 1), &intent).await.unwrap();
    let result = SendResult::Accepted { collection: format!("j_{}", id.batch), start_eta: None, adopted: false };
    ledger::write_once(store, &keys::outcome(id, slice, 1), &Outcome { v: VERSION, at: AT, result }).await.unwrap();
    ledger::write_once(store, &keys::poller(id, 1), &json!({})).await.unwrap();
}

async fn end(store: &MemoryStore, id: &AttemptId) {
    let failed = |code: &str| FailedInput { input: 0, code: code.to_owned(), message: "…".to_owned(), attempts: 1 };
    let collection = json!({
        "id": "j_1", "batch": id.batch, "attempt": 1, "inputs": 1_000, "records": 997, "failed": 3, "triggered_at": AT, "ready_at": AT, "polls": 1
    });
    let fates = Fates {
        failed: vec![failed("dead_page"), failed("dead_page"), failed("blocked")],
        collections: vec![serde_json::from_value(collection).unwrap()],
        ..Fates::default()
    };
    let end = AttemptEnd { v: VERSION, at: AT, retry_after_seconds: 0, fates };
    ledger::write_once(store, &keys::attempt_end(id), &end).await.unwrap();
}

#[tokio::test]
async fn a_run_of_a_million_inputs_takes_few_reads() {
    let store = large().await;
    let before = store.calls();
    let detail = detail(&store, "large.csv").await.unwrap();
    let made = |call| store.calls().get(&call).copied().unwrap_or(0) - before.get(&call).copied().unwrap_or(0);
    let (gets, lists) = (made(StoreCall::Get), made(StoreCall::List));
    println!("{gets} objects and {lists} listings");
    assert!(
        gets <= 3 + ENDS_MAX as u64 + OPEN_MAX as u64 && lists <= 1 + PAGES_MAX as u64,
        "{gets} gets, {lists} lists"
    );
    let text = detail.text("s3://bucket");
    for words in [
        "attempt 1   100 collections fetched; 99700 records, 300 inputs failed\n",
        "attempt 2   0 collections fetched, 100 running",
        "dead_page (200 inputs, from batch ",
        "left out    the ends of 900 batches, 200 attempts under way: too many",
        "next        nothing: it goes on by itself",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}
