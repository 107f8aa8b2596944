//! A dataset's way into the bucket: fetched, matched, uploaded and described.

use std::collections::VecDeque;
use std::io::Read;

use adapters::clock::WallClock;
use async_trait::async_trait;
use bytes::Bytes;
use dropcollect::memory::MemoryStore;
use jiff::Timestamp;
use pipeline::delivery::{Fetched, Output, Sent, Time, Whole, fetch};
use pipeline::ledger::{Delivery, InputRow};
use pipeline::policy::limits::TEXT_BYTES_MAX;
use pipeline::policy::{OutputCompression, OutputFormat};
use pipeline::ports::{Chunks, Completed, JobError, JobLog, PortError, Store};
use serde::de::IgnoredAny;

use crate::bytes::{Case, chunks, text, wait};

const KEY: &str = "output/a.csv/0123456789abcdef/batch-00001.1.ndjson";

/// Pieces of a body; one that breaks off ends with an error.
struct Pieces(VecDeque<Bytes>, bool);

#[async_trait]
impl Chunks for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        match (self.0.pop_front(), self.1) {
            (Some(piece), _) => Ok(Some(piece)),
            (None, true) => Err(PortError::new("body", "reset")),
            (None, false) => Ok(None),
        }
    }
}

/// Flags (1 JSON, 2 gzip, 4 CSV, 8 breaks off, 16 silent inputs fail, 32 an error list), how the body is cut into chunks, the inputs, one a
/// line and up to a blank one, and the body.
pub fn delivery(bytes: &[u8]) {
    let mut case = Case(bytes);
    let (flags, seed) = (case.byte(), case.byte());
    let has = |flag: u8| flags & flag != 0;
    let inputs: Vec<InputRow> = (1..)
        .zip(case.until(b"\n\n").split(|byte| *byte == b'\n').take(50))
        .map(|(line, json)| InputRow { line, json: text(json), source: None })
        .collect();
    let sent = Sent { inputs: inputs.iter().collect(), positions: (7..).take(inputs.len()).collect(), attempt: 2 };
    let output = Output {
        format: if has(1) { OutputFormat::Json } else { OutputFormat::Ndjson },
        compression: if has(2) { OutputCompression::Gzip } else { OutputCompression::None },
    };
    let content_type = if has(4) { "text/csv" } else { "application/json" };
    let store = MemoryStore::new();
    let pieces = chunks(case.0, seed).into_iter().map(Bytes::copy_from_slice).collect();
    let body = Box::new(Pieces(pieces, has(8)));
    let time = Time::unlimited(&WallClock);
    let fetched =
        wait(fetch(&store, KEY.to_owned(), output, &sent, content_type, body, time)).expect("the store works");
    let Fetched::Whole(mut whole) = fetched else {
        assert!(store.open_uploads().is_empty() && store.keys("").is_empty(), "nothing stays of what is not delivered");
        return;
    };
    assert!(!has(8), "a body that broke off is never whole");
    let delivery = describe(&mut whole, &sent, has(16), has(32));
    check_fates(&delivery, &sent);
    check_object(&store, &delivery, output);
    let encoded = serde_json::to_string(&delivery).expect("a delivery is JSON");
    assert_eq!(serde_json::from_str::<Delivery>(&encoded).ok().as_ref(), Some(&delivery));
}

fn describe(whole: &mut Whole<'_>, sent: &Sent<'_>, fail: bool, listed: bool) -> Delivery {
    assert!(!(whole.is_anothers() && whole.proves_nothing()));
    if listed {
        let silent = whole.silent();
        let url = |input: &&InputRow| input.json.split('"').nth(3).unwrap_or_default().to_owned();
        let errors: Vec<JobError> =
            sent.inputs.iter().map(url).map(|url| JobError { error: format!("{url} failed"), url }).collect();
        whole.attribute(&errors, sent);
        assert!(whole.silent() <= silent);
    }
    assert!(
        whole.unexplained(&JobLog { fails: Some(u64::MAX), ..JobLog::default() })
            >= whole.unexplained(&JobLog::default())
    );
    if fail {
        whole.fail_silent("unattributed", "why");
        assert_eq!(whole.silent(), 0);
    }
    wait(whole.describe(sent, "j_1", Timestamp::UNIX_EPOCH, None)).expect("the store works")
}

/// Each input is counted or listed exactly once.
fn check_fates(delivery: &Delivery, sent: &Sent<'_>) {
    let failed = delivery.failed.iter().map(|failed| failed.input);
    let mut listed: Vec<u32> = delivery.no_record.iter().copied().chain(failed).collect();
    listed.sort_unstable();
    let all = listed.len();
    listed.dedup();
    assert_eq!(listed.len(), all, "listed once");
    assert!(listed.iter().all(|position| sent.positions.contains(position)));
    assert_eq!(all + delivery.with_records as usize, sent.inputs.len());
    assert!(delivery.unmatched_records <= delivery.records && delivery.warnings <= delivery.records);
    assert!(u64::from(delivery.with_records) <= delivery.records - delivery.unmatched_records);
    assert!(delivery.partial <= u64::from(delivery.with_records));
    for failed in &delivery.failed {
        assert!(failed.code.len() <= TEXT_BYTES_MAX && failed.message.len() <= TEXT_BYTES_MAX && failed.attempts == 2);
    }
}

/// The object holds exactly the records that the delivery counts.
fn check_object(store: &MemoryStore, delivery: &Delivery, output: Output) {
    assert_eq!(delivery.object.is_some(), delivery.records > 0);
    let Some(object) = &delivery.object else { return };
    assert!(store.object(KEY).is_none(), "nothing is visible before the delivery is recorded");
    let completed = wait(store.complete_upload(&object.key, &object.upload, &object.parts));
    assert!(matches!(completed, Ok(Completed::Yes)));
    let stored = store.object(KEY).expect("it was completed").body;
    assert_eq!(stored.len() as u64, object.bytes);
    let mut text = String::new();
    let read = match output.compression {
        OutputCompression::None => stored.as_ref().read_to_string(&mut text),
        OutputCompression::Gzip => flate2::read::GzDecoder::new(stored.as_ref()).read_to_string(&mut text),
    };
    read.expect("records are text");
    let records = match output.format {
        OutputFormat::Json => serde_json::from_str::<Vec<IgnoredAny>>(&text).expect("an array").len(),
        OutputFormat::Ndjson => {
            let is_json = |line: &str| serde_json::from_str::<IgnoredAny>(line).is_ok();
            assert!(text.lines().all(is_json), "a record is JSON");
            text.lines().count()
        }
    };
    assert_eq!(records as u64, delivery.records);
}
