//! The sample events in `infra/events` are what the functions really get.
#![expect(clippy::unwrap_used, reason = "everything here is a test")]

use aws_lambda_events::event::s3::S3Event;
use aws_lambda_events::event::sqs::SqsEvent;
use dropcollect_tests::template::workspace;
use pipeline::messages::{Reminder, RetryOrder};
use serde_json::Value;

fn sample(name: &str) -> String {
    std::fs::read_to_string(workspace().join("infra/events").join(name)).unwrap()
}

/// The body of the one message in a sample of a queue's event.
fn body(name: &str) -> String {
    let event: SqsEvent = serde_json::from_str(&sample(name)).unwrap();
    let [message] = event.records.as_slice() else { panic!("{name}: one message at a time") };
    message.body.clone().unwrap()
}

#[test]
fn an_object_that_was_dropped() {
    let event: S3Event = serde_json::from_str(&sample("s3-object-created.json")).unwrap();
    let object = &event.records[0].s3.object;
    // Form-encoded, as S3 sends it: "a folder/inputs ü.csv". Nothing in S3's event has it decoded.
    assert_eq!(object.key.as_deref(), Some("a+folder/inputs+%C3%BC.csv"));
    assert!(object.url_decoded_key.is_none());
    assert!(object.version_id.is_some() && object.sequencer.is_some());
}

#[test]
fn the_input_queue_carries_the_same() {
    let inside: Value = serde_json::from_str(&body("input-queue.json")).unwrap();
    let bare: Value = serde_json::from_str(&sample("s3-object-created.json")).unwrap();
    assert_eq!(inside, bare);
}

#[test]
fn the_test_event_of_s3_has_no_records() {
    let event: Value = serde_json::from_str(&body("input-queue-test-event.json")).unwrap();
    assert_eq!(event["Event"], "s3:TestEvent");
    assert!(event["Records"].is_null());
}

#[test]
fn a_reminder_in_the_poll_queue() {
    assert!(Reminder::decode(&body("poll-queue.json")).is_ok());
}

#[test]
fn the_schedule_of_the_sweep() {
    let event: Value = serde_json::from_str(&sample("schedule.json")).unwrap();
    assert_eq!((&event["source"], &event["detail-type"]), (&"aws.events".into(), &"Scheduled Event".into()));
    // The sweep takes nothing from it.
    assert_eq!(event["detail"], serde_json::json!({}));
}

#[test]
fn an_order_in_the_retry_queue() {
    let order = RetryOrder::decode(&body("retry-queue.json")).unwrap();
    assert!(order.attempt.attempt > 1, "the first attempt is never ordered");
}
