use std::sync::Mutex;

use pipeline::words::InputObject;
use serde_json::{Value, json};

use super::drops::NotDone;
use super::*;

const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:poll";

/// Writes down what it is asked.
#[derive(Default)]
struct Asked {
    calls: Mutex<Vec<String>>,
    no_dead_letter_queue: bool,
}

#[async_trait]
impl Deliveries for &Asked {
    async fn again_after(&self, delivery: &Delivery, seconds: u32) -> Result<(), PortError> {
        assert_eq!(delivery.queue_arn, QUEUE);
        self.calls.lock().unwrap().push(format!("{} in {seconds}", delivery.receipt));
        // Nothing depends on it.
        Err(PortError::new("change the visibility", "lost"))
    }

    async fn set_aside(&self, delivery: &Delivery, why: &str) -> Result<(), PortError> {
        self.calls.lock().unwrap().push(format!("{} aside: {why}", delivery.receipt));
        if self.no_dead_letter_queue { Err(PortError::new("set aside", "no queue")) } else { Ok(()) }
    }
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::constant(1_793_534_460, 0)
    }
}

fn worker(asked: &Asked) -> Worker<&Asked> {
    Worker::new(asked, Arc::new(Fixed))
}

fn end() -> Timestamp {
    Fixed.now() + SignedDuration::from_secs(300)
}

fn message(id: &str, body: &str) -> Value {
    json!({"messageId": id, "receiptHandle": id, "body": body, "eventSource": "aws:sqs", "eventSourceARN": QUEUE,
        "attributes": {"SentTimestamp": "1793534400000", "ApproximateReceiveCount": "1"}})
}

fn batch(messages: &[Value]) -> SqsEvent {
    serde_json::from_value(json!({"Records": messages})).unwrap()
}

fn failures(response: &SqsBatchResponse) -> Vec<&str> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}

/// Does what the message says.
async fn obey(body: String, turn: Turn) -> Result<Verdict, PortError> {
    assert_eq!(turn.sent_at, Timestamp::constant(1_793_534_400, 0));
    assert_eq!(turn.ends_at, end());
    tokio::task::yield_now().await;
    match body.as_str() {
        "done" => Ok(Verdict::Done),
        "again" => Ok(Verdict::Again { after_seconds: 70, why: "pending".into(), stopped: false }),
        "much later" => Ok(Verdict::Again { after_seconds: 99_999, why: "pending".into(), stopped: false }),
        "aside" => Ok(Verdict::SetAside { why: "nonsense".into() }),
        "fail" => Err(PortError::new("get k", "unreachable")),
        _ => panic!("what is {body:?}"),
    }
}

#[tokio::test]
async fn every_message_has_its_own_end() {
    let asked = Asked::default();
    let bodies = ["done", "again", "panic", "aside", "fail", "much later", "done"];
    let messages: Vec<_> = (1..).zip(bodies).map(|(n, body)| message(&format!("m{n}"), body)).collect();
    let response = worker(&asked).batch(batch(&messages), end(), obey).await.unwrap();
    assert_eq!(failures(&response), ["m2", "m3", "m5", "m6"]);
    let golden = [
        "m1 in 120",
        "m2 in 120",
        "m2 in 70",
        "m3 in 120",
        "m3 in 45",
        "m4 in 120",
        "m4 aside: nonsense",
        "m5 in 120",
        "m5 in 45",
        "m6 in 120",
        "m6 in 3600",
        "m7 in 120",
    ];
    assert_eq!(*asked.calls.lock().unwrap(), golden);
}

#[tokio::test]
async fn what_fails_too_often_is_set_aside_with_the_reason() {
    let asked = Asked::default();
    let mut messages = [message("m1", "fail"), message("m2", "fail"), message("m3", "panic"), message("m4", "again")];
    for (message, receives) in messages.iter_mut().zip(["2", "3", "3", "9"]) {
        message["attributes"]["ApproximateReceiveCount"] = json!(receives);
    }
    let response = worker(&asked).with_failures_max(3).batch(batch(&messages), end(), obey).await.unwrap();
    assert_eq!(failures(&response), ["m1", "m4"]);
    let calls = asked.calls.lock().unwrap().clone();
    let calls: Vec<&String> = calls.iter().filter(|call| !call.ends_with("in 120")).collect();
    assert_eq!(calls, ["m1 in 45", "m2 aside: get k: unreachable", "m3 aside: what is \"panic\"", "m4 in 70"]);
}

#[tokio::test]
async fn what_cannot_be_set_aside_comes_back_calmly() {
    let asked = Asked { no_dead_letter_queue: true, ..Asked::default() };
    let response = worker(&asked).batch(batch(&[message("m1", "aside")]), end(), obey).await.unwrap();
    assert_eq!(failures(&response), ["m1"]);
    assert_eq!(*asked.calls.lock().unwrap(), ["m1 in 120", "m1 aside: nonsense", "m1 in 900"]);
}

#[tokio::test]
async fn a_handler_that_panics_before_its_first_step_is_caught_too() {
    let asked = Asked::default();
    let handler = |_: String, _: Turn| -> std::future::Ready<Result<Verdict, PortError>> { panic!("at once") };
    let response = worker(&asked).batch(batch(&[message("m1", "")]), end(), handler).await.unwrap();
    assert_eq!(failures(&response), ["m1"]);
}

#[tokio::test]
async fn a_message_stays_invisible_while_it_is_worked_on() {
    let asked = Asked::default();
    let visibility = Visibility { renewed: Duration::from_millis(20), ..Visibility::default() };
    let handler = |_: String, _: Turn| async {
        tokio::time::sleep(Duration::from_millis(70)).await;
        Ok(Verdict::Done)
    };
    let worker = worker(&asked).with_visibility(visibility);
    worker.batch(batch(&[message("m1", "")]), end(), handler).await.unwrap();
    let calls = asked.calls.lock().unwrap().clone();
    assert!((2..=4).contains(&calls.len()), "{calls:?}");
    assert!(calls.iter().all(|call| call == "m1 in 120"), "{calls:?}");
}

#[tokio::test]
async fn without_time_nothing_is_begun() {
    let asked = Asked::default();
    let soon = Fixed.now() + SignedDuration::from_secs(4);
    let response = worker(&asked).batch(batch(&[message("m1", "panic")]), soon, obey).await.unwrap();
    assert_eq!(failures(&response), ["m1"]);
    assert_eq!(*asked.calls.lock().unwrap(), ["m1 in 0"]);
}

#[tokio::test]
async fn a_message_without_an_id_fails_the_batch_before_anything_is_done() {
    for nameless in [json!({"body": "done"}), message("", "done")] {
        let asked = Asked::default();
        let event = batch(&[message("m1", "done"), nameless]);
        let error = worker(&asked).batch(event, end(), obey).await.unwrap_err();
        assert_eq!(error.to_string(), "record 2 of the batch has no message id");
        assert!(asked.calls.lock().unwrap().is_empty());
    }
}

#[test]
fn a_deadline_in_the_past_is_unknown() {
    let now = Fixed.now();
    let ms = |seconds: i64| u64::try_from((now.as_second() + seconds) * 1_000).unwrap();
    assert_eq!(ends_at(ms(10), now), now + SignedDuration::from_secs(10));
    for unknown in [0, 600_000, ms(0), ms(-1), u64::MAX] {
        assert_eq!(ends_at(unknown, now), now + SignedDuration::from_mins(15), "{unknown}");
    }
}

fn drop_of(keys: &[&str]) -> Value {
    let record = |key: &&str| {
        json!({"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "in"}, "object": {"key": key, "eTag": "e"}}})
    };
    json!({"Records": keys.iter().map(record).collect::<Vec<_>>()})
}

/// Does what the object is called.
async fn obey_key(object: InputObject, turn: Turn) -> Result<Verdict, PortError> {
    let sent_at = if turn.message_id == "invocation" { Fixed.now() } else { Timestamp::constant(1_793_534_400, 0) };
    assert_eq!(turn.sent_at, sent_at);
    obey(object.key, Turn { sent_at: Timestamp::constant(1_793_534_400, 0), ..turn }).await
}

async fn drops(asked: &Asked, event: Value) -> Result<SqsBatchResponse, NotDone> {
    worker(asked).drops(event, "invocation", end(), obey_key).await
}

#[tokio::test]
async fn events_in_messages_are_messages() {
    let asked = Asked::default();
    let test_event = r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#.to_owned();
    let bodies = [
        test_event,
        drop_of(&["done"]).to_string(),
        drop_of(&["again", "done"]).to_string(),
        drop_of(&["fail", "again"]).to_string(),
        drop_of(&["aside", "much+later", "again"]).to_string(),
        "nonsense".to_owned(),
        drop_of(&["done", ""]).to_string(),
    ];
    let messages: Vec<_> = (1..).zip(&bodies).map(|(n, body)| message(&format!("m{n}"), body)).collect();
    let response = drops(&asked, json!({"Records": messages})).await.unwrap();
    assert_eq!(failures(&response), ["m3", "m4", "m5"]);
    let calls = asked.calls.lock().unwrap().clone();
    let told: Vec<_> = calls.iter().filter(|call| !call.ends_with("in 120")).collect();
    let golden = [
        "m3 in 70",
        "m4 in 45",
        "m5 in 70",
        "m6 aside: not an S3 event: it is no JSON: expected ident at line 1 column 2",
        "m7 aside: not an S3 event: record 2: the bucket or the key is empty",
    ];
    assert_eq!(told, golden.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn an_event_by_itself_is_done_or_an_error() {
    let asked = Asked::default();
    assert_eq!(failures(&drops(&asked, drop_of(&["done"])).await.unwrap()), [""; 0]);
    let test_event = json!({"Service": "Amazon S3", "Event": "s3:TestEvent"});
    assert!(drops(&asked, test_event).await.is_ok());
    let table = [
        (drop_of(&["again"]), "to be tried again in 70 s: pending"),
        (drop_of(&["fail"]), "get k"),
        (drop_of(&["aside"]), "it can never succeed: nonsense"),
        (json!({}), "it can never succeed: not an S3 event: it has no Records"),
    ];
    for (event, text) in table {
        assert_eq!(drops(&asked, event).await.unwrap_err().to_string(), text);
    }
    assert!(asked.calls.lock().unwrap().is_empty());
}
