//! S3 events, by themselves and in messages.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use adapters::events::{dropped, dropped_value};
use adapters::lambda::{Deliveries, Delivery, Worker};
use async_trait::async_trait;
use jiff::Timestamp;
use pipeline::messages::Verdict;
use pipeline::ports::{Clock, PortError};
use pipeline::words::{InputObject, RunId};
use serde_json::Value;

use crate::bytes::{text, wait};

/// An event.
pub fn s3_event(bytes: &[u8]) {
    let body = text(bytes);
    let found = dropped(&body);
    let Ok(event) = serde_json::from_str::<Value>(&body) else {
        return assert_eq!((found.objects.len(), found.malformed.len()), (0, 1), "no JSON");
    };
    assert_eq!(dropped_value(event.clone()), found);
    let records = event.get("Records").and_then(Value::as_array).cloned().unwrap_or_default();
    assert!(found.objects.len() + found.malformed.len() <= records.len().max(1));
    let mut keys = records.iter().filter_map(|record| record.pointer("/s3/object/key")?.as_str());
    for object in &found.objects {
        check_object(object);
        assert!(keys.any(|key| form_decoded(key).as_deref() == Some(object.key.as_bytes())), "{}", object.key);
    }
}

fn check_object(object: &InputObject) {
    assert!(!object.bucket.is_empty() && !object.key.is_empty());
    let named = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    assert!(named(&object.etag) || named(&object.version_id));
    assert!(RunId::parse(object.run().as_str()).is_some());
    let encoded = serde_json::to_string(object).expect("an object is JSON");
    let again: InputObject = serde_json::from_str(&encoded).expect("as it was written");
    assert_eq!((&again, again.run()), (object, object.run()));
}

/// `application/x-www-form-urlencoded`; a `%` without two digits behind it is itself.
fn form_decoded(key: &str) -> Option<Vec<u8>> {
    let bytes = key.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let (byte, length) = match (byte, digit(at + 1), digit(at + 2)) {
            (b'+', ..) => (b' ', 1),
            (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
            (byte, ..) => (*byte, 1),
        };
        decoded.push(byte);
        at += length;
    }
    Some(decoded)
}

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        Timestamp::constant(1_782_864_000, 0)
    }
}

/// What was asked of the queue.
#[derive(Default, Clone)]
struct Asked(Arc<Mutex<BTreeSet<String>>>);

#[async_trait]
impl Deliveries for Asked {
    async fn again_after(&self, _delivery: &Delivery, seconds: u32) -> Result<(), PortError> {
        assert!(seconds <= 3_600, "{seconds}");
        Ok(())
    }

    async fn set_aside(&self, delivery: &Delivery, why: &str) -> Result<(), PortError> {
        assert!(!why.is_empty());
        self.0.lock().expect("nobody panics with it").insert(delivery.message_id.clone());
        Ok(())
    }
}

/// The event of an invocation.
pub fn sqs_event(bytes: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(bytes) else { return };
    let asked = Asked::default();
    let worker = Worker::new(asked.clone(), Arc::new(Now));
    let handled = Mutex::new(Vec::new());
    let handler = |object: InputObject, _turn| {
        let verdict = verdict(&object);
        handled.lock().expect("nobody panics with it").push(object);
        async move { verdict }
    };
    let ends_at = adapters::lambda::ends_at(0, Now.now());
    let result = wait(worker.drops(event.clone(), "invocation", ends_at, handler));
    let handled = handled.into_inner().expect("nobody panics with it");
    let records = event.get("Records").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_sqs = records.first().is_some_and(|record| record["eventSource"] == "aws:sqs");
    if !is_sqs {
        let found = dropped_value(event);
        assert_eq!(handled, found.objects, "every object is handed on once");
        let done =
            found.malformed.is_empty() && handled.iter().all(|object| matches!(verdict(object), Ok(Verdict::Done)));
        return assert_eq!(result.is_ok(), done);
    }
    let Ok(response) = result else { return assert!(handled.is_empty(), "nothing is done of a batch that fails") };
    let failed: Vec<String> = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    let mut objects = Vec::new();
    let aside = asked.0.lock().expect("nobody panics with it").clone();
    let mut ids = BTreeSet::new();
    for record in &records {
        let id = record["messageId"].as_str().expect("a batch with a record without an id fails as a whole");
        // The outcomes of two messages with one id cannot be told apart.
        let twice = !ids.insert(id);
        let found = dropped(record["body"].as_str().unwrap_or_default());
        let again = found.objects.iter().any(|object| matches!(verdict(object), Ok(Verdict::Again { .. }) | Err(_)));
        let never = !found.malformed.is_empty()
            || found.objects.iter().any(|object| matches!(verdict(object), Ok(Verdict::SetAside { .. })));
        assert!(!again || failed.iter().any(|failed| failed == id), "{id} has to come back");
        assert!(again || twice || records.len() > 1 || !failed.iter().any(|failed| failed == id), "{id} is done");
        assert!(again || !never || aside.contains(id), "{id} is set aside");
        objects.extend(found.objects);
    }
    assert_eq!(handled, objects, "every object is handed on once");
}

/// A handler whose verdict follows from the key.
fn verdict(object: &InputObject) -> Result<Verdict, PortError> {
    match object.key.len() % 8 {
        1 => Ok(Verdict::Again { after_seconds: u32::MAX, why: "later".to_owned(), stopped: false }),
        2 => Ok(Verdict::SetAside { why: "never".to_owned() }),
        3 => Err(PortError::new("get", "broken")),
        _ => Ok(Verdict::Done),
    }
}
