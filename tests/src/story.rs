//! Literal stories: the real pipeline over memory, and an API that plays one part. For what takes days, and what the API says only once
//! in a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adapters::emf::Emf;
use async_trait::async_trait;
use bytes::Bytes;
use dropcollect::clock::VirtualClock;
use dropcollect::memory::{MemoryInputs, MemoryQueues, MemoryStore};
use dropcollect::queue::QueueSettings;
use jiff::Timestamp;
use jiff::civil::Date;
use pipeline::held::{self, HeldWork, NotReleased};
use pipeline::ledger::Decision;
use pipeline::manifest::Manifest;
use pipeline::messages::{Turn, Verdict};
use pipeline::policy::Policy;
use pipeline::ports::*;
use pipeline::schedule::{later, seconds_between};
use pipeline::spending::Limits;
use pipeline::sweep::Swept;
use pipeline::words::InputObject;
use pipeline::{Pipeline, keys};

use crate::watched::Watched;

/// A day in seconds.
pub const DAY: i64 = 86_400;

/// What the API does, by the seconds since the story began and what it was asked.
pub type Part<A, B> = Box<dyn Fn(i64, A) -> B + Send + Sync>;

/// An API that plays its part, given the seconds since the story began.
pub struct Script {
    /// The clock.
    pub clock: VirtualClock,
    /// `POST /dca/trigger`.
    pub trigger: Part<TriggerRequest, SendAnswer>,
    /// `GET /dca/dataset` of a collection; `None` while it is not ready.
    pub dataset: Part<String, Option<Chunked>>,
    /// `GET /dca/log`.
    pub log: Part<(), JobLog>,
    /// `GET /dca/collector/jobs`.
    pub jobs: Part<(), Vec<ListedJob>>,
}

/// The pieces of a body, or why it broke off.
pub type Chunked = Vec<Result<Bytes, &'static str>>;

impl Script {
    fn now(&self) -> i64 {
        seconds_between(began(), self.clock.now())
    }
}

struct Body(Chunked);

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
    async fn dataset(&self, collection: &str) -> Looked<Dataset> {
        Looked::Found(match (self.dataset)(self.now(), collection.to_owned()) {
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
        let jobs = (self.jobs)(self.now(), ());
        Looked::Found(JobPage { total: jobs.len() as u64, jobs })
    }
    async fn cancel(&self, _: &str) -> Looked<()> {
        Looked::Found(())
    }
}

/// When every story begins.
pub fn began() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().expect("a time")
}

/// Two inputs, dropped at the beginning.
pub struct Story {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Its clock.
    pub clock: VirtualClock,
    /// The dataset bucket.
    pub store: MemoryStore,
    /// The queues.
    pub queues: MemoryQueues,
    /// The input bucket.
    pub inputs: MemoryInputs,
    /// What was dropped.
    pub object: InputObject,
    /// Who is told of runs.
    pub watched: Watched,
    /// Metrics that were not told yet.
    pub emf: Arc<Emf>,
    /// Messages delivered so far.
    pub deliveries: usize,
}

impl Story {
    /// Begins: the file is dropped, and the event is worked on. `script` changes the part that the API plays.
    pub fn begin(script: impl FnOnce(Script) -> Script, metadata: &[(&str, &str)]) -> Self {
        Self::with(Policy::default(), script, metadata)
    }

    /// Begins with other settings.
    pub fn with(policy: Policy, script: impl FnOnce(Script) -> Script, metadata: &[(&str, &str)]) -> Self {
        let story = Self::before(policy, Limits::default(), script, metadata);
        story.trigger();
        story
    }

    /// The file is dropped, and nobody has worked on the event.
    pub fn before(
        policy: Policy,
        limits: Limits,
        script: impl FnOnce(Script) -> Script,
        metadata: &[(&str, &str)],
    ) -> Self {
        let clock = VirtualClock::at(began());
        let sends = AtomicUsize::new(0);
        let script = script(Script {
            clock: clock.clone(),
            trigger: Box::new(move |_, _| accepted(&format!("j_{}", sends.fetch_add(1, Ordering::Relaxed)))),
            dataset: Box::new(|_, _| Some(records())),
            log: Box::new(|_, ()| done()),
            jobs: Box::new(|_, ()| Vec::new()),
        });
        let store = MemoryStore::new();
        let settings = QueueSettings { receives_max: Some(1_000), retention_seconds: Some(14 * 86_400) };
        let queues = MemoryQueues::new(Arc::new(clock.clone()), settings);
        let (watched, emf) = (Watched::default(), Arc::new(Emf::new("story")));
        let pipeline = Pipeline {
            store: Arc::new(store.clone()),
            queues: Arc::new(queues.clone()),
            api: Arc::new(script),
            clock: Arc::new(clock.clone()),
            policy: Policy { default_collector: Some("c_story1".to_owned()), ..policy },
            limits,
            notices: Arc::new(watched.clone()),
            metrics: emf.clone(),
            webhook: None,
            alone_since: None,
        };
        let inputs = MemoryInputs::versioned();
        let metadata: BTreeMap<_, _> =
            metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let object = inputs.put("in", "two.txt", "https://a\nhttps://b\n", &metadata, began());
        Self { pipeline, clock, store, queues, inputs, object, watched, emf, deliveries: 0 }
    }

    /// Works on the event.
    pub fn trigger(&self) {
        let now = self.clock.now();
        let turn = Turn { message_id: "event".into(), sent_at: began(), receives: 1, ends_at: later(now, 900) };
        let verdict = futures_util::FutureExt::now_or_never(self.pipeline.trigger(&self.inputs, &self.object, &turn));
        assert_eq!(verdict.expect("nothing waits").expect("no error"), Verdict::Done);
    }

    /// Sweeps.
    pub fn sweep(&self) -> Swept {
        let now = self.clock.now();
        let turn = Turn { message_id: "sweep".into(), sent_at: now, receives: 1, ends_at: later(now, 900) };
        let swept = futures_util::FutureExt::now_or_never(self.pipeline.sweep(&self.inputs, &turn));
        swept.expect("nothing waits").expect("no error")
    }

    /// What waits for a person.
    pub fn waits(&self) -> Vec<HeldWork> {
        let run = self.object.run();
        let listed = held::list(&self.store, &run);
        futures_util::FutureExt::now_or_never(listed).expect("nothing waits").expect("no error")
    }

    /// Decides about everything that waits for a person.
    pub fn release(&self, decision: &Decision) -> Vec<Result<(), NotReleased>> {
        let now = self.clock.now();
        let release = |work: HeldWork| {
            let released = held::release(&self.store, &self.queues, now, &work.mark, decision);
            let released = futures_util::FutureExt::now_or_never(released);
            released.expect("nothing waits").expect("no error")
        };
        self.waits().into_iter().map(release).collect()
    }

    /// Delivers messages until none is left, or until so many seconds since the beginning.
    pub fn run_until(&mut self, seconds: i64) {
        let end = later(began(), seconds);
        loop {
            let queues = [self.queues.poll.clone(), self.queues.retry.clone()];
            let next = queues.iter().filter_map(|queue| queue.next_visible_at()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                return self.clock.set(end.max(self.clock.now()));
            };
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
                match futures_util::FutureExt::now_or_never(worked).expect("nothing waits") {
                    Ok(Verdict::Done) => drop(queue.delete(&received.receipt)),
                    Ok(Verdict::Again { after_seconds, .. }) => {
                        queue.change_visibility(now, &received.receipt, after_seconds);
                    }
                    Ok(Verdict::SetAside { why }) => drop(queue.set_aside(&received.receipt, &why)),
                    Err(_) => drop(queue.change_visibility(now, &received.receipt, 45)),
                }
            }
        }
    }

    /// The manifest, if the run is over.
    pub fn manifest(&self) -> Option<Manifest> {
        let key = keys::manifest(&keys::input_path(&self.object.key), &self.object.run());
        serde_json::from_slice(&self.store.object(&key)?.body).ok()
    }
}

/// A send that was accepted.
pub fn accepted(id: &str) -> SendAnswer {
    SendAnswer::Accepted { collection: id.to_owned(), start_eta: None }
}

/// A record of each input.
pub fn records() -> Chunked {
    let rows = br#"[{"input":{"url":"https://a"},"t":1},{"input":{"url":"https://b"},"t":2}]"#;
    vec![Ok(Bytes::from_static(rows))]
}

/// The log of a job that is done.
pub fn done() -> JobLog {
    JobLog { status: Some("done".into()), fails: Some(0), finished: Some(began()), ..JobLog::default() }
}
