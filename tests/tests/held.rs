//! What waits for a person, what stands still, what comes to light too late, and what always fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dropcollect_tests::story::{DAY, Script, Story, accepted, began, done, records};
use pipeline::gate::{Cause, Refusal};
use pipeline::held::NotReleased;
use pipeline::keys;
use pipeline::late::LateNote;
use pipeline::ledger::{CollectionRecord, Decision, SendId};
use pipeline::manifest::{Manifest, RunState};
use pipeline::policy::{OnInDoubt, Policy};
use pipeline::ports::*;
use pipeline::schedule::later;
use pipeline::words::{AttemptId, Slice};

const HOUR: i64 = 3_600;

fn adopt(collection: &str) -> Decision {
    Decision::Adopt { collection: collection.to_owned() }
}

fn in_doubt() -> SendAnswer {
    SendAnswer::InDoubt { why: "reset".into() }
}

/// The first answer is lost, and the policy is to ask a person.
fn held_story() -> Story {
    let sends = AtomicUsize::new(0);
    let policy = Policy { on_in_doubt: OnInDoubt::Hold, ..Policy::default() };
    let mut story = Story::with(
        policy,
        |script| Script {
            trigger: Box::new(move |_, _| match sends.fetch_add(1, Ordering::Relaxed) {
                0 => in_doubt(),
                number => accepted(&format!("j_{number}")),
            }),
            ..script
        },
        &[],
    );
    story.run_until(DAY);
    let waits = story.waits();
    assert_eq!((waits.len(), story.manifest()), (1, None));
    assert_eq!((waits[0].mark.held.reason.as_str(), waits[0].mark.held.inputs), ("in_doubt", 2));
    assert!(story.queues.poll.messages().is_empty(), "messages die after 14 days, a person may take longer");
    story
}

fn finished(story: &mut Story) -> Manifest {
    story.run_until(20 * DAY);
    assert!(story.waits().is_empty());
    story.manifest().expect("a manifest")
}

#[test]
fn held_work_is_adopted() {
    let mut story = held_story();
    assert_eq!(story.release(&adopt("no id")), [Err(NotReleased::NoCollection("no id".into()))]);
    assert_eq!(story.release(&adopt("j_found")), [Ok(())]);
    let manifest = finished(&mut story);
    assert_eq!((manifest.state, manifest.resent), (RunState::Complete, 0));
    let collections: Vec<_> = manifest.collections.iter().map(|entry| (entry.id.as_str(), entry.adopted)).collect();
    assert_eq!(collections, [("j_found", true)]);
}

#[test]
fn held_work_is_triggered_again() {
    let mut story = held_story();
    assert_eq!(story.release(&Decision::Again), [Ok(())]);
    let manifest = finished(&mut story);
    assert_eq!((manifest.state, manifest.resent), (RunState::Complete, 1));
    assert_eq!(manifest.collections[0].id, "j_1");
}

#[test]
fn held_work_is_given_up() {
    let mut story = held_story();
    assert_eq!(story.release(&Decision::GiveUp), [Ok(())]);
    let manifest = finished(&mut story);
    assert_eq!((manifest.inputs.failed, manifest.collections.len()), (2, 0));
    let errors = story.store.object(&manifest.failed.expect("failed files").errors).expect("errors");
    let errors = String::from_utf8_lossy(&errors.body).into_owned();
    assert!(errors.contains("\"given_up\"") && errors.contains("a trigger got no answer"), "{errors}");
}

#[test]
fn a_decision_is_taken_once() {
    let story = held_story();
    let work = story.waits().remove(0);
    assert_eq!(story.release(&Decision::Again), [Ok(())]);
    assert!(story.waits().is_empty());
    let again = |decision: Decision| {
        let released = pipeline::held::release(&story.store, &story.queues, story.clock.now(), &work.mark, &decision);
        futures_util::FutureExt::now_or_never(released).expect("nothing waits").expect("no error")
    };
    assert_eq!(again(Decision::Again), Ok(()), "deciding the same finishes what was cut off");
    assert_eq!(again(Decision::GiveUp), Err(NotReleased::Decided(Decision::Again)));
}

/// Queues that cannot be reached.
struct NoQueues;

#[async_trait]
impl Queues for NoQueues {
    async fn send(&self, _: QueueName, _: &[String], _: u32) -> Result<(), PortError> {
        Err(PortError::new("send", "no permission"))
    }
}

#[test]
fn a_decision_that_was_cut_off_is_taken_again() {
    let mut story = held_story();
    let work = story.waits().remove(0);
    let again = Decision::Again;
    let cut = pipeline::held::release(&story.store, &NoQueues, story.clock.now(), &work.mark, &again);
    assert!(futures_util::FutureExt::now_or_never(cut).expect("nothing waits").is_err());
    assert_eq!(story.waits().len(), 1, "it is still listed");
    assert_eq!(story.release(&Decision::Again), [Ok(())]);
    assert_eq!(finished(&mut story).state, RunState::Complete);
}

/// A collection that is told to stop and never says that it has.
fn stuck_story(ready: i64) -> Story {
    let sends = AtomicUsize::new(0);
    let running = || JobLog { status: Some("running".into()), started: Some(began()), ..JobLog::default() };
    let mut story = Story::begin(
        |script| Script {
            trigger: Box::new(move |_, _| accepted(&format!("j_{}", sends.fetch_add(1, Ordering::Relaxed)))),
            dataset: Box::new(move |now, id| (now > ready || id != "j_0").then(records)),
            log: Box::new(move |now, ()| if now > ready { done() } else { running() }),
            ..script
        },
        &[],
    );
    story.run_until(10 * DAY);
    assert_eq!(story.waits()[0].mark.held.collection.as_deref(), Some("j_0"));
    story
}

#[test]
fn a_collection_that_cannot_be_stopped_is_waited_for_after_all() {
    let mut story = stuck_story(11 * DAY);
    assert_eq!(story.release(&adopt("j_0")), [Ok(())]);
    let manifest = finished(&mut story);
    assert_eq!((manifest.state, manifest.collections.len()), (RunState::Complete, 1));
}

#[test]
fn a_collection_that_was_decided_against_is_reported() {
    let mut story = stuck_story(60 * DAY);
    assert_eq!(story.release(&Decision::Again), [Ok(())]);
    let manifest = finished(&mut story);
    let collections: Vec<_> = manifest.collections.iter().map(|entry| (entry.id.as_str(), entry.abandoned)).collect();
    assert_eq!((manifest.state, collections), (RunState::Complete, vec![("j_0", true), ("j_1", false)]));
    let mut story = stuck_story(60 * DAY);
    assert_eq!(story.release(&Decision::GiveUp), [Ok(())]);
    let manifest = finished(&mut story);
    assert_eq!((manifest.inputs.failed, manifest.collections[0].abandoned), (2, true));
}

#[test]
fn lost_reminders_are_sent_again() {
    let ready = 5 * HOUR;
    let slow = |script: Script| Script { dataset: Box::new(move |now, _| (now > ready).then(records)), ..script };
    let mut story = Story::begin(slow, &[]);
    story.run_until(HOUR);
    let received = story.queues.poll.receive(later(began(), 2 * HOUR - 60), 900).expect("the message");
    story.queues.poll.delete(&received.receipt);
    story.clock.set(later(began(), 2 * HOUR - 60));
    assert_eq!((story.sweep().reminded, story.sweep().open_runs), (0, 1), "not yet");
    story.clock.set(later(began(), 2 * HOUR));
    assert_eq!((story.sweep().reminded, story.sweep().reminded), (1, 0));
    story.run_until(DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.state), Some(RunState::Complete));
    assert_eq!(story.sweep().open_runs, 0);
}

#[test]
fn what_is_wrong_with_one_run_does_not_keep_the_sweep_from_the_others() {
    let mut story = Story::begin(|script| script, &[]);
    let create = |key: &str, body: &'static [u8]| {
        let info = ObjectInfo::default();
        let created = story.store.create(key, Bytes::from_static(body), &info);
        futures_util::FutureExt::now_or_never(created).expect("nothing waits").expect("no error");
    };
    let broken = pipeline::words::RunId::parse("0000000000000000").expect("an id");
    create(&keys::run_mark(keys::BEGUN, &broken, began() - jiff::SignedDuration::from_hours(1)), b"{}");
    create(&keys::run(&broken), b"no record");
    let received = story.queues.poll.receive(later(began(), 60), 900).expect("the message");
    story.queues.poll.delete(&received.receipt);
    story.run_until(3 * HOUR);
    let swept = story.sweep();
    assert_eq!((swept.failed, swept.reminded), (1, 1));
    story.run_until(DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.state), Some(RunState::Complete));
}

#[test]
fn a_reminder_too_many_takes_the_place_of_the_other() {
    let ready = 20 * HOUR;
    let slow = |script: Script| Script { dataset: Box::new(move |now, _| (now > ready).then(records)), ..script };
    let mut story = Story::begin(slow, &[]);
    for hour in 1..20 {
        story.run_until(hour * HOUR);
        story.sweep();
    }
    assert_eq!(story.queues.poll.messages().len(), 1);
    story.run_until(DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.state), Some(RunState::Complete));
    assert!(story.deliveries < 100, "{} deliveries", story.deliveries);
}

#[test]
fn a_lost_order_to_retry_is_sent_again() {
    let failing = |script: Script| Script {
        dataset: Box::new(|_, id| {
            let failed = br#"[{"input":{"url":"https://a"},"error":"x","error_code":"timeout"},{"input":{"url":"https://b"},"t":2}]"#;
            Some(if id == "j_0" { vec![Ok(Bytes::from_static(failed))] } else { records() })
        }),
        ..script
    };
    let mut story = Story::begin(failing, &[]);
    let mut second = 0;
    while story.queues.retry.messages().is_empty() {
        second += 1;
        story.run_until(second);
    }
    let received = story.queues.retry.receive(later(began(), HOUR), 900).expect("the order");
    story.queues.retry.delete(&received.receipt);
    story.run_until(3 * HOUR);
    assert_eq!((story.manifest(), story.sweep().reminded), (None, 1));
    story.run_until(DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.inputs.with_records), Some(2));
}

#[test]
fn a_file_that_nobody_reads_is_read_on() {
    let mut story = Story::begin(|script| script, &[]);
    story.store.remove(&keys::end(&story.object.run())).expect("the end");
    story.run_until(3 * HOUR);
    assert_eq!((story.manifest(), story.sweep().read_on), (None, 1));
    story.run_until(DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.state), Some(RunState::Complete));
}

/// The first answer is lost, the job list lags by two hours, and the trigger is made again.
fn paid_twice(dataset: &'static [u8]) -> Story {
    let sends = AtomicUsize::new(0);
    let mut story = Story::begin(
        |script| Script {
            trigger: Box::new(move |_, _| match sends.fetch_add(1, Ordering::Relaxed) {
                0 => in_doubt(),
                _ => accepted("j_again"),
            }),
            dataset: Box::new(move |_, id| match id.as_str() {
                "j_again" => Some(records()),
                _ => Some(vec![Ok(Bytes::from_static(dataset))]),
            }),
            jobs: Box::new(|now, ()| {
                let listed = |id: &str, queued| ListedJob {
                    id: id.to_owned(),
                    queued: Some(later(began(), queued)),
                    inputs: Some(2),
                    status: Some("done".into()),
                };
                if now < 2 * HOUR { Vec::new() } else { vec![listed("j_again", 1_500), listed("j_first", 1)] }
            }),
            ..script
        },
        &[],
    );
    story.run_until(3 * HOUR);
    let manifest = story.manifest().expect("a manifest");
    assert_eq!((manifest.state, manifest.resent, manifest.collections.len()), (RunState::Complete, 1, 1));
    story
}

fn note(story: &Story) -> LateNote {
    let key = keys::late_note(&keys::input_path(&story.object.key), &story.object.run(), "j_first");
    serde_json::from_slice(&story.store.object(&key).expect("a note").body).expect("readable")
}

#[test]
fn what_was_paid_for_twice_is_delivered_late() {
    let story = paid_twice(br#"[{"input":{"url":"https://a"},"t":1},{"input":{"url":"https://b"},"t":3}]"#);
    assert_eq!((story.sweep().late, story.sweep().late), (1, 0));
    let note = note(&story);
    let object = note.object.expect("an object");
    assert!(object.key.starts_with("late/two.txt/") && object.key.ends_with("/j_first.ndjson"), "{}", object.key);
    let body = story.store.object(&object.key).expect("the records").body;
    assert_eq!((note.records, body.split(|byte| *byte == b'\n').count()), (2, 3));
}

#[test]
fn what_may_have_been_paid_for_twice_is_reported() {
    let story = paid_twice(br#"[{"t":1},{"t":3}]"#);
    assert_eq!((story.sweep().late, story.sweep().late), (0, 0));
    assert_eq!((note(&story).object, note(&story).records), (None, 0));
}

#[test]
fn the_sweep_asks_nothing_while_the_token_is_refused() {
    let story = paid_twice(br#"[{"input":{"url":"https://a"},"t":1},{"input":{"url":"https://b"},"t":3}]"#);
    let refusal = Refusal { cause: Cause::Credentials, retry_after: Some(60), reason: "refused" };
    let closed = pipeline::gate::close(&story.store, keys::TOKEN_GATE, story.clock.now(), refusal);
    futures_util::FutureExt::now_or_never(closed).expect("nothing waits").expect("no error");
    assert_eq!(story.sweep().late, 0);
    story.clock.set(later(story.clock.now(), 61));
    assert_eq!(story.sweep().late, 1);
}

#[test]
fn an_answer_on_record_is_delivered_late_although_nothing_followed_from_it() {
    // Its rows name no input: the record alone says whose it is.
    let story = paid_twice(br#"[{"t":1},{"t":3}]"#);
    let run = story.object.run();
    let attempt = AttemptId { run, batch: 1, attempt: 1 };
    let send = SendId { attempt, slice: Slice { start: 0, end: 2 }, send: 1 };
    let record = CollectionRecord { v: 1, at: began(), send };
    let key = keys::collection("j_first");
    let written = pipeline::ledger::write_once(&story.store, &key, &record);
    futures_util::FutureExt::now_or_never(written).expect("nothing waits").expect("no error");
    assert_eq!((story.sweep().late, story.sweep().late), (1, 0));
    assert_eq!(note(&story).records, 2);
}

#[test]
fn what_others_started_is_left_alone() {
    let story = paid_twice(br#"[{"input":{"url":"https://elsewhere"},"t":1}]"#);
    assert_eq!(story.sweep().late, 0);
    assert!(story.store.keys("late/").is_empty());
}

#[test]
fn a_message_that_always_fails_is_set_aside_soon_and_with_the_reason() {
    let ready = 2 * DAY;
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = looks.clone();
    let slow = |script: Script| Script {
        dataset: Box::new(move |now, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            (now > ready).then(records)
        }),
        ..script
    };
    let mut story = Story::begin(slow, &[]);
    story.run_until(DAY);
    assert!(looks.load(Ordering::Relaxed) > 40, "looking is no failure");
    let key = keys::batch(&story.object.run(), 1);
    let record = story.store.object(&key).expect("a batch").body;
    story.store.remove(&key).expect("a batch");
    story.run_until(ready - 60);
    let before = story.deliveries;
    story.run_until(4 * DAY);
    let dead = story.queues.poll.dead();
    assert!(dead[0].why.contains("batches/000001.json is missing"), "{}", dead[0].why);
    assert!(story.deliveries - before < 20, "{} deliveries", story.deliveries - before);
    // What was in its way is put right, and the message is moved back: it gets a new id.
    let info = ObjectInfo::default();
    let put = story.store.create(&key, record, &info);
    futures_util::FutureExt::now_or_never(put).expect("nothing waits").expect("no error");
    story.queues.poll.send(story.clock.now(), &dead[0].message.body, 0);
    story.run_until(5 * DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.state), Some(RunState::Complete));
}

#[test]
fn a_message_that_kills_its_handler_is_set_aside() {
    let mut story = Story::begin(|script| Script { dataset: Box::new(|_, _| None), ..script }, &[]);
    story.run_until(60);
    // Received and never given back, as by a process that dies.
    for minute in 1..=20 {
        story.clock.set(later(began(), 3_600 + minute * 120));
        story.queues.poll.receive(story.clock.now(), 120).expect("the message");
    }
    story.run_until(2 * HOUR);
    assert!(story.queues.poll.dead()[0].why.contains("came to no end"), "{:?}", story.queues.poll.dead());
}
