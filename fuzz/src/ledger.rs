//! Records of the ledger and messages of the queues: what an earlier or a later release wrote, or what is broken.

use bytes::Bytes;
use dropcollect::memory::MemoryStore;
use pipeline::attempt::{AttemptKeys, SliceState};
use pipeline::keys;
use pipeline::late::LateNote;
use pipeline::ledger::{
    AttemptEnd, BatchRecord, BlockRecord, CancelRecord, CollectionRecord, Decision, Delivery, DoneRecord, EndRecord,
    FileReport, HeldMark, HeldRecord, Intent, Outcome, ReleaseRecord, RunRecord,
};
use pipeline::manifest::Manifest;
use pipeline::messages::{Hint, Reminder, RetryOrder, VERSION};
use pipeline::ports::{ObjectInfo, Store};
use pipeline::status::Status;
use pipeline::webhook::Secret;
use pipeline::words::{AttemptId, RunId, Slice};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bytes::{Case, text, wait};

/// `A`…`R`: the type of the record, and its JSON.
pub fn ledger(bytes: &[u8]) {
    let mut case = Case(bytes);
    let check = match case.byte().wrapping_sub(b'A') % 18 {
        0 => record::<RunRecord>,
        1 => record::<BatchRecord>,
        2 => record::<EndRecord>,
        3 => record::<Intent>,
        4 => record::<Outcome>,
        5 => record::<CancelRecord>,
        6 => record::<HeldRecord>,
        7 => record::<Delivery>,
        8 => record::<AttemptEnd>,
        9 => record::<DoneRecord>,
        10 => record::<BlockRecord>,
        11 => record::<CollectionRecord>,
        12 => record::<Manifest>,
        13 => record::<Status>,
        14 => record::<FileReport>,
        15 => record::<HeldMark>,
        16 => record::<ReleaseRecord>,
        _ => record::<LateNote>,
    };
    check(case.0);
}

/// What is read is written in one way, and is read again as the same; a later release's fields do not matter.
fn record<T: Serialize + DeserializeOwned>(json: &[u8]) {
    let Ok(first) = serde_json::from_slice::<T>(json) else { return };
    let written = serde_json::to_value(&first).expect("a record is JSON");
    let again: T = serde_json::from_value(written.clone()).expect("what was written is read");
    assert_eq!(serde_json::to_value(&again).expect("a record is JSON"), written);
    let Value::Object(mut later) = written.clone() else { return };
    later.insert("field_of_tomorrow".to_owned(), serde_json::json!({"a": [1]}));
    let later: T = serde_json::from_value(Value::Object(later)).expect("a later release's record is read");
    assert_eq!(serde_json::to_value(&later).expect("a record is JSON"), written);
}

/// The records of an attempt with four inputs, one a line: the name behind the attempt's own prefix, `=`, and the JSON.
pub fn attempt_state(bytes: &[u8]) {
    let id = AttemptId { run: RunId::parse("0123456789abcdef").expect("a run id"), batch: 1, attempt: 1 };
    let store = MemoryStore::new();
    let mut names = Vec::new();
    for (name, body) in text(bytes).split('\n').take(40).filter_map(|line| line.split_once('=')) {
        let key = format!("{}{name}", keys::attempt(&id));
        let body = Bytes::copy_from_slice(body.as_bytes());
        if wait(store.create(&key, body, &ObjectInfo::of("application/json"))).is_ok() {
            names.push(key);
        }
    }
    let found = wait(AttemptKeys::load(&store, &id)).expect("the store works");
    assert_eq!(found.ended, names.contains(&keys::attempt_end(&id)));
    assert!(found.whole().is_none() || found.begun());
    let slices = [(0, 4), (0, 2), (2, 4)].map(|(start, end)| Slice { start, end });
    for slice in slices.into_iter().chain(found.whole()) {
        check_state(&found, &store, &id, slice);
    }
}

/// A paid send is never forgotten: without an outcome that says so, its slice is not sent again.
fn check_state(found: &AttemptKeys, store: &MemoryStore, id: &AttemptId, slice: Slice) {
    let exists = |key: String| store.object(&key).is_some();
    // A record that cannot be read is an error, and nothing goes on.
    let Ok(state) = wait(found.state(store, id, slice)) else { return };
    let sends = found.sends(slice);
    match state {
        SliceState::Unsent { send } => {
            assert!(send > sends || send == u32::MAX, "send {send} behind {sends}");
            assert!(sends == 0 || exists(keys::outcome(id, slice, sends)), "the last one has an outcome");
            assert!(!exists(keys::intent(id, slice, send)));
        }
        SliceState::Sending { send, .. } => {
            assert!(send == sends && exists(keys::intent(id, slice, send)) && !exists(keys::outcome(id, slice, send)));
        }
        SliceState::Collecting(collecting) => {
            assert!(collecting.send == sends && !exists(keys::delivery(id, slice)));
            assert!(collecting.cancel.is_none() || exists(keys::cancel(id, slice, sends)));
        }
        SliceState::Delivered(collecting, _) => assert!(collecting.send == sends && exists(keys::delivery(id, slice))),
        SliceState::Held { number, .. } => {
            assert!(number == found.holds(slice) && exists(keys::held(id, slice, number)));
            assert!(!exists(keys::released(id, slice, number)));
        }
        SliceState::Released { held, decision, open } => {
            assert!(held.send == sends && decision != Decision::GiveUp);
            assert_eq!(open, !exists(keys::outcome(id, slice, sends)));
        }
        SliceState::GivenUp(held) => {
            assert!(held.send == sends && exists(keys::released(id, slice, found.holds(slice))))
        }
        SliceState::Split(one, two) => {
            assert!(one.start == slice.start && one.end == two.start && two.end == slice.end);
            assert!(!one.is_empty() && !two.is_empty());
        }
        SliceState::CalledOff => {
            assert!(exists(keys::intent(id, slice, sends)) && !exists(keys::outcome(id, slice, sends)));
        }
        SliceState::Refused { .. } => assert!(sends > 0),
    }
}

/// The path of a call of the public address that notices come to.
pub fn notice_path(bytes: &[u8]) {
    let (path, secret) = (text(bytes), Secret::new("a secret of 26 characters.").expect("it is long enough"));
    if let Some(attempt) = secret.attempt(&path) {
        let code = |path: &str| path.rsplit('/').next().map(str::to_ascii_lowercase);
        assert_eq!(code(&path), code(&secret.path(&attempt)), "only who knows the secret can have made it");
    }
}

/// The body of a queue message.
pub fn message(bytes: &[u8]) {
    let body = text(bytes);
    if let Ok(reminder) = Reminder::decode(&body) {
        assert_eq!(reminder.v, VERSION);
        assert_eq!(Reminder::decode(&reminder.encode()).as_ref(), Ok(&reminder));
        // A reminder says all that an order does.
        assert_eq!(RetryOrder::decode(&body).map(|order| order.attempt), Ok(reminder.attempt));
    }
    if let Ok(hint) = Hint::decode(&body) {
        assert_eq!(Hint::decode(&hint.encode()).as_ref(), Ok(&hint));
        assert!(Reminder::decode(&hint.encode()).is_err(), "a hint never polls");
    }
    match RetryOrder::decode(&body) {
        Ok(order) => assert_eq!(RetryOrder::decode(&order.encode()), Ok(order)),
        Err(problem) => assert!(Reminder::decode(&body).is_err() && !problem.0.is_empty()),
    }
}
