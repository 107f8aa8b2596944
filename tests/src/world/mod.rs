//! The simulated world: the real pipeline over in-memory adapters and the simulated API. One seed gives one world and one trace.
//!
//! A world drops a few files and runs handlers until nothing is left to do. Handlers are futures that stop at every effect; which one
//! goes on, which message is delivered (again), which effect is cut and how, and how time passes is decided by the seed. At rest the
//! properties of [`checks`] must hold.

pub mod checks;
pub mod cuts;
pub mod dice;
mod files;
pub mod points;
mod ports;
mod tally;

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use adapters::dca;
use dropcollect::clock::VirtualClock;
use dropcollect::memory::{MemoryInputs, MemoryQueue, MemoryQueues, MemoryStore};
use dropcollect::queue::{QueueSettings, Received};
use dropcollect::simulator::{Scenario, Service};
use jiff::Timestamp;
use pipeline::Pipeline;
use pipeline::messages::{Turn, Verdict};
use pipeline::policy::{OnInDoubt, OutputCompression, OutputFormat, Policy};
use pipeline::ports::{Clock, PortError};
use pipeline::schedule::later;
use pipeline::words::InputObject;

use checks::{Broken, Tally};
use cuts::Cuts;
use dice::Dice;

/// How long a function may run in a world, in seconds.
const TURN_SECONDS: i64 = 300;
/// How long a message stays invisible when its handler has died.
const VISIBILITY_SECONDS: u32 = 120;
/// Steps after which a world is taken for one that never ends.
const STEPS_MAX: usize = 400_000;

/// A world before it runs, and at rest.
pub struct World {
    /// Its seed.
    pub seed: u64,
    /// What it was made of.
    pub policy: Policy,
    /// The dataset bucket.
    pub store: MemoryStore,
    /// The simulated API.
    pub service: Arc<Mutex<Service>>,
    /// The poll and retry queues.
    pub queues: MemoryQueues,
    /// S3 events.
    pub events: MemoryQueue,
    /// The files that were dropped, with what should become of their rows.
    pub dropped: Vec<files::Dropped>,
    /// Faults and trace.
    pub cuts: Cuts,
    /// When it began.
    pub began: Timestamp,
    /// The clock.
    pub clock: VirtualClock,
    /// Messages delivered.
    pub deliveries: u64,
    pipeline: Arc<Pipeline>,
    inputs: Arc<ports::CutInputs<MemoryInputs>>,
    dice: Dice,
}

/// How a world is made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Seed.
    pub seed: u64,
    /// How many effects may be cut.
    pub faults: usize,
    /// What follows a lost answer.
    pub on_in_doubt: OnInDoubt,
    /// Whether the API too is in good health.
    pub calm: bool,
}

impl Plan {
    /// The plan of a seed: all policies and all levels of faults, none included.
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x706C_616E);
        let on_in_doubt = dice.pick(&[
            OnInDoubt::Reconcile,
            OnInDoubt::Reconcile,
            OnInDoubt::Reconcile,
            OnInDoubt::Reconcile,
            OnInDoubt::Hold,
            OnInDoubt::Retrigger,
        ]);
        let faults = dice.pick(&[0, 4, 12, 12, 30]);
        Self { seed, faults, on_in_doubt, calm: faults == 0 && dice.one_in(2) }
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = Result<Verdict, PortError>>>>,
    queue: MemoryQueue,
    received: Received,
    ends_at: Timestamp,
    asleep_until: Option<Timestamp>,
}

impl World {
    /// Makes a world.
    pub fn new(plan: &Plan) -> Self {
        let mut dice = Dice::new(plan.seed);
        let began: Timestamp = "2026-03-01T23:50:00Z".parse().expect("a time");
        let clock = VirtualClock::at(began);
        let cuts = Cuts::new(clock.clone(), Dice::new(dice.roll()), plan.faults, dice.pick(&[8, 20, 60]));
        let policy = Policy {
            default_collector: Some("c_world1".to_owned()),
            batch_inputs_max: dice.pick(&[1, 3, 7, 20, 40]),
            batch_bytes_max: dice.pick(&[300, 2_000, 5_000_000]),
            attempts_max: dice.pick(&[1, 2, 3, 3]),
            collection_deadline_seconds: dice.pick(&[3_600, 86_400]),
            retry_unattributed: !dice.one_in(4),
            output_format: dice.pick(&[OutputFormat::Ndjson, OutputFormat::Ndjson, OutputFormat::Json]),
            output_compression: dice.pick(&[OutputCompression::None, OutputCompression::None, OutputCompression::Gzip]),
            on_in_doubt: plan.on_in_doubt,
            in_doubt_window_seconds: 600,
            trigger_defaults: BTreeMap::new(),
        };
        let service = Arc::new(Mutex::new(Service::new(scenario(&mut dice, plan.calm))));
        let store = MemoryStore::new();
        let settings = QueueSettings { receives_max: Some(1_000), retention_seconds: Some(14 * 86_400) };
        let queues = MemoryQueues::new(Arc::new(clock.clone()), settings);
        let wire = ports::Wire { service: service.clone(), clock: clock.clone() };
        let token = Arc::new(dca::FixedToken("world".to_owned().into()));
        let client = dca::Client::new(wire, token, Arc::new(clock.clone())).with_backoff(dca::Backoff::none());
        let pipeline = Pipeline {
            store: Arc::new(ports::CutStore(store.clone(), cuts.clone())),
            queues: Arc::new(ports::CutQueues(queues.clone(), cuts.clone())),
            api: Arc::new(ports::CutApi(client, cuts.clone())),
            clock: Arc::new(clock.clone()),
            policy: policy.clone(),
            alone_since: None,
        };
        let inputs = MemoryInputs::versioned().with_piece_bytes(dice.pick(&[1, 17, 4_096]));
        let events = MemoryQueue::new("events", settings);
        let dropped = files::drop_some(&mut dice, &inputs, began);
        for file in &dropped {
            let body = serde_json::to_string(&file.object).expect("an object");
            events.send(began, &body, dice.below(30) as u32);
            if dice.one_in(3) {
                // S3 sends some events twice, as messages of their own.
                events.send(began, &body, dice.below(600) as u32);
            }
        }
        let inputs = Arc::new(ports::CutInputs(inputs, cuts.clone()));
        Self {
            seed: plan.seed,
            policy,
            store,
            service,
            queues,
            events,
            dropped,
            cuts,
            began,
            clock,
            deliveries: 0,
            pipeline: Arc::new(pipeline),
            inputs,
            dice,
        }
    }

    /// Runs until nothing is left to do. An error is a property that broke on the way.
    pub fn run(&mut self) -> Result<(), Broken> {
        let mut tasks: Vec<Task> = Vec::new();
        let mut duplicates = 3;
        for _ in 0..STEPS_MAX {
            let now = self.clock.now();
            let awake: Vec<usize> =
                (0..tasks.len()).filter(|index| tasks[*index].asleep_until.is_none_or(|until| until <= now)).collect();
            let room = tasks.len() < 4;
            if room && (awake.is_empty() || self.dice.one_in(4)) && self.deliver(now, &mut tasks) {
                continue;
            }
            if !awake.is_empty() {
                let index = awake[self.dice.below(awake.len())];
                self.step(index, &mut tasks, &mut duplicates)?;
                continue;
            }
            let wakes = tasks.iter().filter_map(|task| task.asleep_until);
            let visible = self.all_queues().into_iter().filter_map(|queue| queue.next_visible_at());
            let visible: Vec<Timestamp> = if room { visible.collect() } else { Vec::new() };
            match wakes.chain(visible).min() {
                Some(next) => self.clock.set(next.max(now)),
                None if tasks.is_empty() => return Ok(()),
                None => return Err(Broken::new("comes_to_rest", "handlers sleep for ever")),
            }
        }
        Err(Broken::new("comes_to_rest", format!("still busy after {STEPS_MAX} steps, at {}", self.clock.now())))
    }

    /// The collections that the API accepted, by the name and the inputs of their trigger.
    fn accepted_sends(&self) -> BTreeMap<(String, String), Vec<String>> {
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sends: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for job in service.jobs() {
            let name = job.query().iter().find(|(name, _)| name == "name").map(|(_, value)| value.clone());
            let inputs = job.texts().collect::<Vec<_>>().join("\n");
            sends.entry((name.unwrap_or_default(), inputs)).or_default().push(job.id().to_owned());
        }
        sends
    }

    fn all_queues(&self) -> [MemoryQueue; 3] {
        [self.events.clone(), self.queues.poll.clone(), self.queues.retry.clone()]
    }

    /// Delivers some visible message, in no particular order.
    fn deliver(&mut self, now: Timestamp, tasks: &mut Vec<Task>) -> bool {
        let mut choices: Vec<(MemoryQueue, u64)> = Vec::new();
        for queue in self.all_queues() {
            choices.extend(queue.visible(now).into_iter().map(|copy| (queue.clone(), copy)));
        }
        if choices.is_empty() {
            return false;
        }
        let (queue, copy) = choices.swap_remove(self.dice.below(choices.len()));
        let Some(received) = queue.receive_copy(now, copy, TURN_SECONDS as u32 + VISIBILITY_SECONDS) else {
            return false;
        };
        self.deliveries += 1;
        self.cuts.note(&received.message_id);
        let ends_at = later(now, TURN_SECONDS);
        let turn = Turn {
            message_id: received.message_id.clone(),
            sent_at: received.sent_at,
            receives: received.receive_count,
            ends_at,
        };
        let (pipeline, inputs, body) = (self.pipeline.clone(), self.inputs.clone(), received.body.clone());
        let kind = received.message_id.split('-').next().unwrap_or_default().to_owned();
        let future: Pin<Box<dyn Future<Output = Result<Verdict, PortError>>>> = match kind.as_str() {
            "events" => Box::pin(async move {
                let object: InputObject = serde_json::from_str(&body).expect("an object");
                pipeline.trigger(&*inputs, &object, &turn).await
            }),
            "poll" => Box::pin(async move { pipeline.poll(&body, &turn).await }),
            _ => Box::pin(async move { pipeline.retry(&body, &turn).await }),
        };
        tasks.push(Task { future, queue, received, ends_at, asleep_until: None });
        true
    }

    /// Lets one handler go on until its next effect.
    fn step(&mut self, index: usize, tasks: &mut Vec<Task>, duplicates: &mut usize) -> Result<(), Broken> {
        let task = &mut tasks[index];
        task.asleep_until = None;
        self.cuts.enter(task.ends_at);
        let mut context = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| task.future.as_mut().poll(&mut context)))
            .map_err(|panic| Broken::new("no_panic", words_of(&*panic)))?;
        if let Some(broken) = self.cuts.first_broken() {
            return Err(broken);
        }
        let (killed, asleep_until) = self.cuts.leave();
        let now = self.clock.now();
        match polled {
            Poll::Pending if killed => {
                let task = tasks.swap_remove(index);
                task.queue.change_visibility(now, &task.received.receipt, VISIBILITY_SECONDS);
            }
            Poll::Pending => task.asleep_until = asleep_until,
            Poll::Ready(result) => {
                let task = tasks.swap_remove(index);
                self.cuts.note(&format!("{} {result:?}", task.received.message_id));
                match result {
                    Ok(Verdict::Done) => {
                        task.queue.delete(&task.received.receipt);
                        if *duplicates > 0 && self.dice.one_in(6) {
                            *duplicates -= 1;
                            task.queue.duplicate(now, &task.received.message_id);
                        }
                    }
                    Ok(Verdict::Again { after_seconds, .. }) => {
                        task.queue.change_visibility(now, &task.received.receipt, after_seconds);
                    }
                    Ok(Verdict::SetAside { why }) => {
                        task.queue.set_aside(&task.received.receipt, &why);
                    }
                    Err(_) => {
                        task.queue.change_visibility(now, &task.received.receipt, 30);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Runs a world and checks it at rest.
pub fn explore(plan: &Plan) -> (World, Result<Tally, Broken>) {
    let mut world = World::new(plan);
    let result = world.run().and_then(|()| checks::check(&world));
    (world, result)
}

/// Keeps what panicking handlers print to itself: a panic is a property that broke, and is told as one.
pub fn quietly() {
    std::panic::set_hook(Box::new(|_| {}));
}

/// A record of the world's bucket.
fn read<T: serde::de::DeserializeOwned>(world: &World, key: &str) -> Option<T> {
    serde_json::from_slice(&world.store.object(key)?.body).ok()
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

/// A service with some of the quirks.
fn scenario(dice: &mut Dice, calm: bool) -> Scenario {
    let names: &[&str] = if calm { &["calm", "default"] } else { &["calm", "default", "rough", "rough"] };
    let mut scenario = Scenario::named(dice.pick(names)).expect("a scenario");
    scenario.seed = dice.roll();
    scenario.inputs.transient = dice.pick(&[0.0, 0.1, 0.4]);
    scenario.inputs.permanent = dice.pick(&[0.0, 0.05, 0.3]);
    scenario.inputs.nothing = dice.pick(&[0.0, 0.05]);
    scenario.jobs.unlisted_seconds = dice.pick(&[0.0, 20.0, 300.0]);
    scenario
}
