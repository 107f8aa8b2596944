//! The functions as AWS runs them: the real handlers behind the real worker, fed with one message at a time by pollers like Lambda's.
//! Over memory, on tokio's paused clock, an hour takes milliseconds; over a local AWS it is the same code on real time.

pub(crate) mod meter;
pub(crate) mod ports;
pub(crate) mod proxy;
pub(crate) mod source;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapters::dca::{Client, FixedToken};
use adapters::lambda::{Deliveries, Worker};
use anyhow::{Context, Result, anyhow};
use aws_lambda_events::sqs::SqsEvent;
use dropcollect::memory::{MemoryInputs, MemoryStore};
use dropcollect::simulator::{Scenario, Service};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pipeline::Pipeline;
use pipeline::messages::{Turn, Verdict};
use pipeline::policy::Policy;
use pipeline::ports::{Clock, Inputs, PortError, Queues, Store};
use pipeline::schedule::later;
use pipeline::spending::Limits;
use pipeline::webhook::{self, Secret, Webhook};
use pipeline::words::InputObject;
use tokio::time::sleep;

use meter::Meter;
use ports::{Counted, TokioClock, Wire};
use source::{MemorySource, Source, Taken};

/// What a function may take, in seconds (template.yaml).
const TURN_SECONDS: i64 = 900;
/// Messages of one queue that are worked on at a time, unless said otherwise (template.yaml: `MaxConcurrency`).
pub(crate) const CONCURRENCY: usize = 10;
/// How often the pollers look for messages that were sent since.
const NAP: Duration = Duration::from_millis(100);
/// How often is looked whether a job is over of which the API tells.
const NOTICES_EVERY: Duration = Duration::from_millis(500);
/// What a call of S3 or SQS takes, within a region: an assumption.
pub(crate) const AWS_LATENCY: Duration = Duration::from_millis(20);
/// What a call of the API takes: an assumption.
pub(crate) const API_LATENCY: Duration = Duration::from_millis(100);

/// The queues that functions work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    Input,
    Poll,
    Retry,
}

impl Queue {
    pub(crate) const ALL: [Self; 3] = [Self::Input, Self::Poll, Self::Retry];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Poll => "poll",
            Self::Retry => "retry",
        }
    }

    /// The function that works on it.
    fn function(self) -> &'static str {
        if self == Self::Input { "trigger" } else { self.name() }
    }
}

/// What the functions are built of.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) inputs: Arc<dyn Inputs>,
    pub(crate) queues: Arc<dyn Queues>,
    pub(crate) deliveries: Arc<dyn Deliveries>,
    pub(crate) source: Arc<dyn Source>,
    /// What AWS takes for a call, where it is only stood in for.
    pub(crate) latency: Option<Duration>,
}

/// The functions with their pollers.
pub(crate) struct Functions {
    pub(crate) meter: Meter,
    pub(crate) service: Arc<Mutex<Service>>,
    pub(crate) pipeline: Pipeline,
    worker: Worker<Counted<Arc<dyn Deliveries>>>,
    inputs: Counted<Arc<dyn Inputs>>,
    source: Arc<dyn Source>,
    clock: Arc<dyn Clock>,
    /// Messages of one queue that are worked on at a time.
    concurrency: usize,
}

/// The functions over memory.
pub(crate) struct InMemory {
    pub(crate) functions: Functions,
    pub(crate) store: MemoryStore,
    source: MemorySource,
    inputs: MemoryInputs,
}

impl Functions {
    /// The functions over these parts and a simulated API of this scenario.
    pub(crate) fn new(parts: Parts, scenario: Scenario, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        let meter = Meter::default();
        let service = Arc::new(Mutex::new(Service::new(scenario)));
        let wire = Wire { service: service.clone(), clock: clock.clone(), meter: meter.clone(), latency: API_LATENCY };
        let token = Arc::new(FixedToken("token".to_owned().into()));
        let latency = parts.latency;
        let pipeline = Pipeline {
            store: Arc::new(Counted { port: parts.store, meter: meter.clone(), latency }),
            queues: Arc::new(Counted { port: parts.queues, meter: meter.clone(), latency }),
            api: Arc::new(Client::new(wire, token, clock.clone())),
            clock: clock.clone(),
            policy,
            limits: Limits::default(),
            notices: Arc::new(()),
            metrics: Arc::new(()),
            webhook: None,
            alone_since: None,
        };
        let deliveries = Counted { port: parts.deliveries, meter: meter.clone(), latency };
        let inputs = Counted { port: parts.inputs, meter: meter.clone(), latency };
        let worker = Worker::new(deliveries, clock.clone());
        let (source, concurrency) = (parts.source, CONCURRENCY);
        Self { meter, service, pipeline, worker, inputs, source, clock, concurrency }
    }

    /// Delivers messages until the queues are empty, or, where that cannot be known, until `over` says so.
    pub(crate) async fn run(&self, over: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let mut busy = FuturesUnordered::new();
        let mut active = [0_usize; 3];
        loop {
            for queue in Queue::ALL {
                while active[queue as usize] < self.concurrency {
                    let Some(taken) = self.source.receive(queue).await? else {
                        self.meter.count("sqs receive nothing", queue.name());
                        break;
                    };
                    self.meter.count("sqs receive", queue.name());
                    active[queue as usize] += 1;
                    busy.push(self.invoke(queue, taken));
                }
            }
            if busy.is_empty() && over().await? {
                return Ok(());
            }
            self.pass_on_notices().await?;
            let free = Queue::ALL.into_iter().filter(|queue| active[*queue as usize] < self.concurrency);
            let nap = free.filter_map(|queue| self.source.next(queue)).min();
            // Whoever works may send something.
            // A notice comes when it likes.
            let nap = if self.pipeline.webhook.is_some() { nap.map(|nap| nap.min(NOTICES_EVERY)) } else { nap };
            let nap = if busy.is_empty() { nap } else { Some(nap.unwrap_or(NAP).min(NAP)) };
            if busy.is_empty() && nap.is_none() {
                return Ok(());
            }
            tokio::select! {
                Some(done) = busy.next(), if !busy.is_empty() => active[done? as usize] -= 1,
                () = sleep(nap.unwrap_or_default()), if nap.is_some() => {}
            }
        }
    }

    /// Plays the part of the API, which calls the address of a trigger whose job is over, and of the function that is called.
    async fn pass_on_notices(&self) -> Result<()> {
        let Some(webhook) = &self.pipeline.webhook else { return Ok(()) };
        let notices = self.service.lock().unwrap_or_else(PoisonError::into_inner).notices(self.clock.now());
        for notice in notices {
            let path = notice.endpoint.strip_prefix(&webhook.address).context("another address")?;
            let attempt = webhook.secret.attempt(path).context("no path of ours")?;
            let taken = webhook::take(&*self.pipeline.queues, self.clock.now(), &attempt);
            self.meter.turn("webhook", taken).await.map_err(|error| anyhow!("{error}: {}", error.source))?;
        }
        Ok(())
    }

    async fn invoke(&self, queue: Queue, taken: Taken) -> Result<Queue> {
        let event: SqsEvent = serde_json::from_value(taken.event)?;
        let ends_at = later(self.clock.now(), TURN_SECONDS);
        let handler = |body: String, turn: Turn| self.handle(queue, body, turn);
        let response = self.meter.turn(queue.function(), self.worker.batch(event, ends_at, handler)).await?;
        if response.batch_item_failures.is_empty() {
            self.meter.count("sqs delete", queue.name());
            self.source.delete(queue, &taken.receipt).await?;
        }
        Ok(queue)
    }

    async fn handle(&self, queue: Queue, body: String, turn: Turn) -> Result<Verdict, PortError> {
        match queue {
            Queue::Input => {
                let object: InputObject =
                    serde_json::from_str(&body).map_err(|error| PortError::new("read an event", error))?;
                self.pipeline.trigger(&self.inputs, &object, &turn).await
            }
            Queue::Poll => self.pipeline.poll(&body, &turn).await,
            Queue::Retry => self.pipeline.retry(&body, &turn).await,
        }
    }

    /// One sweep, without a queue before it.
    pub(crate) async fn sweep(&self) -> Result<()> {
        let now = self.clock.now();
        let turn = Turn { message_id: "sweep".into(), sent_at: now, receives: 1, ends_at: later(now, TURN_SECONDS) };
        let swept = self.meter.turn("sweep", self.pipeline.sweep(&self.inputs, &turn)).await;
        swept.map(drop).map_err(|error| anyhow!("{error}: {}", error.source))
    }
}

impl InMemory {
    /// The functions over memory. Runs on a runtime whose clock is paused.
    pub(crate) fn new(scenario: Scenario, policy: Policy) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::at("2026-03-01T00:00:00Z".parse()?));
        let (store, source, inputs) = (MemoryStore::new(), MemorySource::new(clock.clone()), MemoryInputs::versioned());
        let parts = Parts {
            store: Arc::new(store.clone()),
            inputs: Arc::new(inputs.clone()),
            queues: Arc::new(source.queues.clone()),
            deliveries: Arc::new(source.clone()),
            source: Arc::new(source.clone()),
            latency: Some(AWS_LATENCY),
        };
        Ok(Self { functions: Functions::new(parts, scenario, policy, clock), store, source, inputs })
    }

    /// The same with so many messages of one queue at a time.
    pub(crate) fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.functions.concurrency = concurrency;
        self
    }

    /// The same with notices of the API.
    pub(crate) fn told_by_the_api(mut self) -> Result<Self> {
        let secret = Secret::new("a secret of the benchmarks").context("it is too short")?;
        self.functions.pipeline.webhook = Some(Webhook { address: "https://notices.example/".to_owned(), secret });
        Ok(self)
    }

    /// Drops a file of so many inputs.
    pub(crate) fn drop_file(&self, inputs: u64) -> Result<InputObject> {
        let now = self.functions.clock.now();
        let object = self.inputs.put("in", "inputs.txt", lines(inputs), &Default::default(), now);
        self.source.input.send(now, &serde_json::to_string(&object)?, 0);
        Ok(object)
    }

    /// Runs until no message is left, and gives the manifest.
    pub(crate) async fn run(&self, object: &InputObject) -> Result<pipeline::manifest::Manifest> {
        self.functions.run(async || Ok(false)).await?;
        let key = pipeline::keys::manifest(&pipeline::keys::input_path(&object.key), &object.run());
        let manifest = self.store.object(&key).context("the run has no manifest")?;
        Ok(serde_json::from_slice(&manifest.body)?)
    }
}

/// So many addresses, one a line.
pub(crate) fn lines(inputs: u64) -> String {
    (0..inputs).map(|number| format!("https://shop.example/articles/{number:012}\n")).collect()
}

/// Batches of so many inputs.
pub(crate) fn policy(batch_inputs_max: u32) -> Policy {
    Policy { default_collector: Some("c_bench1".to_owned()), batch_inputs_max, ..Policy::default() }
}

/// Jobs that run for so many seconds, as many at a time as are asked for; then their files are built for a while, and a share of the inputs
/// fails at first.
pub(crate) fn jobs(seconds: f64, building: f64, failing: f64) -> Result<Scenario> {
    Ok(Scenario::parse(&format!(
        r#"
        based_on = "calm"
        [api]
        start_eta = false
        jobs_max = 1000000
        [jobs]
        base_seconds = {seconds:?}
        longest_seconds = {seconds:?}
        spread_seconds = 0.0
        building_seconds = {building:?}
        hint_seconds = 30
        [inputs]
        transient = {failing:?}
        "#
    ))?)
}

/// Runs on a clock that stands still while anything works, and jumps to the next timer when nothing does.
pub(crate) fn on_paused_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(work)
}
