//! What takes days, and what the API says only once in a while: literal stories, each with an API that plays one part.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use dropcollect::clock::VirtualClock;
use dropcollect::memory::{MemoryInputs, MemoryQueues, MemoryStore};
use dropcollect::queue::QueueSettings;
use jiff::Timestamp;
use jiff::civil::Date;
use pipeline::manifest::{Manifest, RunState};
use pipeline::messages::{Turn, Verdict};
use pipeline::policy::Policy;
use pipeline::ports::*;
use pipeline::schedule::{later, seconds_between};
use pipeline::words::InputObject;
use pipeline::{Pipeline, keys};

const DAY: i64 = 86_400;

type Part<A, B> = Box<dyn Fn(i64, A) -> B + Send + Sync>;

/// An API that plays its part, given the seconds since the story began.
struct Script {
    clock: VirtualClock,
    trigger: Part<TriggerRequest, SendAnswer>,
    /// `None` for a job that is not ready.
    dataset: Part<(), Option<Vec<Result<Bytes, &'static str>>>>,
    log: Part<(), JobLog>,
}

impl Script {
    fn now(&self) -> i64 {
        seconds_between(began(), self.clock.now())
    }
}

struct Body(Vec<Result<Bytes, &'static str>>);

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        self.0.remove(0).map(Some).map_err(|why| PortError::new("dataset", why))
    }
}

#[async_trait]
impl Api for Script {
    async fn trigger(&self, request: &TriggerRequest, _: Timestamp) -> SendAnswer {
        (self.trigger)(self.now(), request.clone())
    }
    async fn dataset(&self, _: &str) -> Looked<Dataset> {
        Looked::Found(match (self.dataset)(self.now(), ()) {
            Some(chunks) => {
                Dataset::Ready { content_type: "application/json".to_owned(), body: Box::new(Body(chunks)) }
            }
            None => Dataset::Pending { hint: None },
        })
    }
    async fn log(&self, _: &str) -> Looked<JobLog> {
        Looked::Found((self.log)(self.now(), ()))
    }
    async fn errors(&self, _: &str) -> Looked<Vec<JobError>> {
        Looked::Absent
    }
    async fn jobs(&self, _: &str, _: Date, _: Date, _: u64) -> Looked<JobPage> {
        Looked::Found(JobPage::default())
    }
    async fn cancel(&self, _: &str) -> Looked<()> {
        Looked::Found(())
    }
}

fn began() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().expect("a time")
}

/// Two inputs, dropped at the beginning.
struct Story {
    pipeline: Pipeline,
    clock: VirtualClock,
    store: MemoryStore,
    queues: MemoryQueues,
    inputs: MemoryInputs,
    object: InputObject,
    deliveries: usize,
}

impl Story {
    fn begin(script: impl FnOnce(Script) -> Script, metadata: &[(&str, &str)]) -> Self {
        let clock = VirtualClock::at(began());
        let sends = AtomicUsize::new(0);
        let script = script(Script {
            clock: clock.clone(),
            trigger: Box::new(move |_, _| accepted(&format!("j_{}", sends.fetch_add(1, Ordering::Relaxed)))),
            dataset: Box::new(|_, ()| Some(records())),
            log: Box::new(|_, ()| done()),
        });
        let store = MemoryStore::new();
        let settings = QueueSettings { receives_max: Some(1_000), retention_seconds: Some(14 * 86_400) };
        let queues = MemoryQueues::new(Arc::new(clock.clone()), settings);
        let pipeline = Pipeline {
            store: Arc::new(store.clone()),
            queues: Arc::new(queues.clone()),
            api: Arc::new(script),
            clock: Arc::new(clock.clone()),
            policy: Policy { default_collector: Some("c_story1".to_owned()), ..Policy::default() },
            alone_since: None,
        };
        let inputs = MemoryInputs::versioned();
        let metadata: BTreeMap<_, _> =
            metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let object = inputs.put("in", "two.txt", "https://a\nhttps://b\n", &metadata, began());
        let story = Self { pipeline, clock, store, queues, inputs, object, deliveries: 0 };
        story.trigger();
        story
    }

    /// Works on the event.
    fn trigger(&self) {
        let now = self.clock.now();
        let turn = Turn { message_id: "event".into(), sent_at: began(), receives: 1, ends_at: later(now, 900) };
        let verdict = futures_util::FutureExt::now_or_never(self.pipeline.trigger(&self.inputs, &self.object, &turn));
        assert_eq!(verdict.expect("nothing waits").expect("no error"), Verdict::Done);
    }

    /// Delivers messages until none is left, or until so many seconds since the beginning.
    fn run_until(&mut self, seconds: i64) {
        let end = later(began(), seconds);
        loop {
            let queues = [self.queues.poll.clone(), self.queues.retry.clone()];
            let Some(next) = queues.iter().filter_map(|queue| queue.next_visible_at()).min() else { return };
            if next > end {
                return self.clock.set(end);
            }
            let now = next.max(self.clock.now());
            self.clock.set(now);
            for (retry, queue) in queues.iter().enumerate() {
                let Some(received) = queue.receive(now, 900) else { continue };
                self.deliveries += 1;
                let turn = Turn {
                    message_id: received.message_id.clone(),
                    sent_at: received.sent_at,
                    receives: received.receive_count,
                    ends_at: later(now, 900),
                };
                let worked = async {
                    match retry {
                        0 => self.pipeline.poll(&received.body, &turn).await,
                        _ => self.pipeline.retry(&received.body, &turn).await,
                    }
                };
                match futures_util::FutureExt::now_or_never(worked).expect("nothing waits").expect("no error") {
                    Verdict::Done => drop(queue.delete(&received.receipt)),
                    Verdict::Again { after_seconds, .. } => {
                        queue.change_visibility(now, &received.receipt, after_seconds);
                    }
                    Verdict::SetAside { why } => panic!("{why}"),
                }
            }
        }
    }

    fn manifest(&self) -> Option<Manifest> {
        let key = keys::manifest(&keys::input_path(&self.object.key), &self.object.run());
        serde_json::from_slice(&self.store.object(&key)?.body).ok()
    }

    fn held(&self) -> usize {
        self.store.keys(&keys::held_marks(&self.object.run())).len()
    }
}

fn accepted(id: &str) -> SendAnswer {
    SendAnswer::Accepted { collection: id.to_owned(), start_eta: None }
}

fn records() -> Vec<Result<Bytes, &'static str>> {
    let rows = br#"[{"input":{"url":"https://a"},"t":1},{"input":{"url":"https://b"},"t":2}]"#;
    vec![Ok(Bytes::from_static(rows))]
}

fn done() -> JobLog {
    JobLog { status: Some("done".into()), fails: Some(0), finished: Some(began()), ..JobLog::default() }
}

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
        Story::begin(|script| Script { dataset: Box::new(move |now, ()| (now > ready).then(records)), ..script }, &[]);
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
                dataset: Box::new(|_, ()| Some(vec![Ok(Bytes::from_static(b"[]"))])),
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
            dataset: Box::new(|_, ()| {
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
            dataset: Box::new(move |now, ()| {
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
    let mut story = Story::begin(|script| Script { dataset: Box::new(|_, ()| None), ..script }, &[]);
    story.run_until(60 * DAY);
    assert_eq!(story.manifest().map(|manifest| manifest.inputs.failed), Some(2));
    assert!(story.deliveries < 600, "{} deliveries", story.deliveries);
    // Told to stop, and it never says that it has.
    let running = || JobLog { status: Some("running".into()), started: Some(began()), ..JobLog::default() };
    let mut story = Story::begin(
        |script| Script { dataset: Box::new(|_, ()| None), log: Box::new(move |_, ()| running()), ..script },
        &[],
    );
    story.run_until(60 * DAY);
    assert_eq!((story.manifest(), story.held()), (None, 1));
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
