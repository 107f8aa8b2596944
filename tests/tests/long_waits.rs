//! What takes days, and what the API says only once in a while.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dropcollect_tests::story::{DAY, Script, Story, accepted, began, done, records};
use pipeline::keys;
use pipeline::manifest::RunState;
use pipeline::ports::*;
use pipeline::schedule::later;

#[test]
fn a_token_may_stay_refused_for_a_month() {
    let mut story = Story::begin(
        |script| Script {
            trigger: Box::new(|now, _| match now < 30 * DAY {
                true => SendAnswer::Credentials { status: 401, text: "Invalid credentials".into() },
                false => accepted("j_late"),
            }),
            ..script
        },
        &[],
    );
    story.run_until(40 * DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.state), Some(RunState::Complete));
    assert_eq!((story.queues.poll.dead().len(), story.queues.poll.expired().len()), (0, 0));
    assert!(story.deliveries < 1_000, "{} deliveries", story.deliveries);
}

#[test]
fn a_message_from_the_dead_letter_queue_goes_on() {
    let ready = 2 * DAY;
    let mut story =
        Story::begin(|script| Script { dataset: Box::new(move |now, _| (now > ready).then(records)), ..script }, &[]);
    story.run_until(3_000);
    let message = story.queues.poll.messages().remove(0);
    let received = story.queues.poll.receive(later(began(), DAY), 900).expect("the message");
    story.queues.poll.delete(&received.receipt);
    story.clock.set(later(began(), DAY));
    // The redrive gives it a new id.
    story.queues.poll.send(story.clock.now(), &message.body, 0);
    story.run_until(4 * DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.state), Some(RunState::Complete));
}

#[test]
fn an_option_that_cannot_be_left_out_is_refused_for_good() {
    let sends = Arc::new(AtomicUsize::new(0));
    let counted = sends.clone();
    let mut story = Story::begin(
        |script| Script {
            trigger: Box::new(move |_, _| {
                counted.fetch_add(1, Ordering::Relaxed);
                SendAnswer::RefusedOption { text: "Trial collectors don't support queuing jobs".into() }
            }),
            ..script
        },
        &[("queue", "mine")],
    );
    story.run_until(DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.inputs.failed), Some(2));
    assert_eq!(sends.load(Ordering::Relaxed), 2);
}

#[test]
fn halves_of_a_refused_batch_do_not_cancel_each_other() {
    let sends = Arc::new(Mutex::new(Vec::new()));
    let seen = sends.clone();
    let mut story = Story::begin(
        |script| Script {
            trigger: Box::new(move |_, request| {
                let mut seen = seen.lock().expect("not poisoned");
                seen.push(request.query.iter().any(|(name, _)| name == "confirm_cancel"));
                match seen.len() {
                    1 => SendAnswer::Refused { status: 422, text: "schema".into() },
                    number => accepted(&format!("j_{number}")),
                }
            }),
            ..script
        },
        &[("confirm-cancel", "1")],
    );
    story.run_until(DAY);
    assert_eq!(*sends.lock().expect("not poisoned"), [true, false, false]);
}

#[test]
fn a_failed_collection_with_an_empty_dataset_has_failed() {
    for (status, sends) in [("failed", 3), ("canceled", 1)] {
        let log = JobLog { status: Some(status.into()), ..done() };
        let mut story = Story::begin(
            |script| Script {
                dataset: Box::new(|_, _| Some(vec![Ok(Bytes::from_static(b"[]"))])),
                log: Box::new(move |_, ()| log.clone()),
                ..script
            },
            &[],
        );
        story.run_until(DAY);
        let manifest = story.manifest().expect("a manifest");
        assert_eq!((manifest.inputs.failed, manifest.collections.len()), (2, sends), "{status}");
    }
}

#[test]
fn an_error_row_that_names_no_input_is_not_forgotten() {
    let mut story = Story::begin(
        |script| Script {
            dataset: Box::new(|_, _| {
                let rows = br#"[{"input":{"url":"https://a"},"t":1},{"error":"timeout","error_code":"timeout"}]"#;
                Some(vec![Ok(Bytes::from_static(rows))])
            }),
            log: Box::new(|_, ()| JobLog { fails: Some(1), ..done() }),
            ..script
        },
        &[],
    );
    story.run_until(DAY);
    let counts = story.manifest().expect("a manifest").inputs;
    assert_eq!((counts.with_records, counts.no_record, counts.failed), (1, 0, 1));
}

#[test]
fn a_late_dataset_may_break_off_once() {
    let looks = Arc::new(AtomicUsize::new(0));
    let ready = 3 * DAY;
    let mut story = Story::begin(
        |script| Script {
            dataset: Box::new(move |now, _| {
                let first = now > ready && looks.fetch_add(1, Ordering::Relaxed) == 0;
                let broken = || vec![Ok(Bytes::from_static(b"[{\"input\"")), Err("reset")];
                (now > ready).then(|| if first { broken() } else { records() })
            }),
            log: Box::new(|_, ()| JobLog { status: Some("queued".into()), ..JobLog::default() }),
            ..script
        },
        &[],
    );
    story.run_until(10 * DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.state), Some(RunState::Complete));
}

#[test]
fn waiting_for_a_collection_has_an_end() {
    // Done, and its dataset never comes.
    let mut story = Story::begin(|script| Script { dataset: Box::new(|_, _| None), ..script }, &[]);
    story.run_until(60 * DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.inputs.failed), Some(2));
    assert!(story.deliveries < 600, "{} deliveries", story.deliveries);
    // Told to stop, and it never says that it has.
    let running = || JobLog { status: Some("running".into()), started: Some(began()), ..JobLog::default() };
    let mut story = Story::begin(
        |script| Script { dataset: Box::new(|_, _| None), log: Box::new(move |_, ()| running()), ..script },
        &[],
    );
    story.run_until(60 * DAY);
    assert_eq!((story.manifest(), story.waits().len()), (None, 1));
    assert!(story.deliveries < 600, "{} deliveries", story.deliveries);
}

#[test]
fn nothing_comes_behind_the_end_of_an_object_that_went_away() {
    let mut story = Story::begin(|script| script, &[]);
    let run = story.object.run();
    // The object goes before its reader has written the end, and the event comes again.
    story.store.remove(&keys::end(&run)).expect("the end");
    story.inputs.remove("in", "two.txt");
    story.trigger();
    assert!(story.store.object(&keys::batch(&run, 2)).is_some(), "the number behind the last batch is free");
    story.run_until(DAY);
    let manifest = story.manifest().expect("a manifest");
    assert_eq!((manifest.state, manifest.inputs.with_records), (RunState::CompleteWithFailures, 2));
}
