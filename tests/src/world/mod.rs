//! The simulated world: the real pipeline over in-memory adapters and the simulated API. One seed gives one world and one trace.
//!
//! A world drops a few files and runs handlers until nothing is left to do. Handlers are futures that stop at every effect; which one
//! goes on, which message is delivered (again), which effect is cut and how, and how time passes is decided by the seed. At rest the
//! properties of [`checks`] must hold.

pub mod checks;
pub mod cuts;
pub mod dice;
mod explore;
mod files;
mod made;
pub mod outside;
pub mod people;
mod plan;
pub mod points;
mod ports;
mod tally;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use dropcollect::clock::VirtualClock;
use dropcollect::memory::{MemoryInputs, MemoryQueue, MemoryQueues, MemoryStore};
use dropcollect::queue::Received;
use jiff::Timestamp;
use pipeline::Pipeline;
use pipeline::cancel::{self, RunCancelRecord};
use pipeline::held;
use pipeline::keys;
use pipeline::ledger::{self, RunRecord};
use pipeline::messages::{Hint, Turn, Verdict};
use pipeline::policy::Policy;
use pipeline::ports::{Clock, PortError};
use pipeline::schedule::{later, seconds_between};
use pipeline::spending::{self, Limits};
use pipeline::webhook;
use pipeline::words::{InputObject, RunId};

use crate::watched::Watched;

use checks::Broken;
use cuts::{Cut, Cuts};
use dice::Dice;
pub use explore::{explore, quietly};
use outside::Outside;
use people::{Order, People};
pub use plan::{Crowd, Plan};
use points::Point;

/// How long a function may run in a world, in seconds.
const TURN_SECONDS: i64 = 300;
/// How long a message stays invisible unless its handler, which lives, says so again.
const VISIBILITY_SECONDS: u32 = 120;
/// How often it says so.
const RENEWED_SECONDS: i64 = 60;
/// When a message comes back whose handler has failed.
const FAILED_SECONDS: u32 = 30;
/// Steps after which a world is taken for one that never ends.
const STEPS_MAX: usize = 300_000;
/// What is said of a message that the queue itself took for undeliverable.
const TOO_OFTEN: &str = "received too often";
/// What is said of a message whose handlers have failed or died too often.
const IN_A_ROW: &str = "deliveries in a row";
/// What is said of one that nobody moves back any more.
const FOR_GOOD: &str = ", for good";
/// Messages of nobody, which can never succeed.
const STRAYS: [&str; 4] = [
    "not a message",
    r#"{"v":2,"run":"0011223344556677","batch":1,"attempt":1,"generation":1,"sender_gone_at":"2026-01-02T03:04:05Z"}"#,
    r#"{"v":1,"run":"0011223344556677","batch":1,"attempt":2}"#,
    r#"{"v":1,"run":"0011223344556677","batch":1,"attempt":1}"#,
];

/// A world before it runs, and at rest.
pub struct World {
    /// What it was made of.
    pub plan: Plan,
    /// The settings.
    pub policy: Policy,
    /// What may be paid for.
    pub limits: Limits,
    /// The dataset bucket.
    pub store: MemoryStore,
    /// The simulated API, and who else speaks to it.
    pub outside: Outside,
    /// The poll and retry queues.
    pub queues: MemoryQueues,
    /// S3 events.
    pub events: MemoryQueue,
    /// Notices of the API, on their way: paths of the function that takes them.
    pub notices: MemoryQueue,
    /// The files that were dropped, with what should become of their rows.
    pub dropped: Vec<files::Dropped>,
    /// Who watches, and is told of runs.
    pub watched: Watched,
    /// Faults and trace.
    pub cuts: Cuts,
    /// When it began.
    pub began: Timestamp,
    /// The clock.
    pub clock: VirtualClock,
    /// Messages delivered.
    pub deliveries: u64,
    /// Deliveries of messages that went on being worked on, that had been deleted, or that came back from the dead letters.
    pub repeats: Repeats,
    pipeline: Arc<Pipeline>,
    inputs: Arc<ports::CutInputs<MemoryInputs>>,
    dice: Dice,
    /// Dead letters on their way back: when, and where to.
    moves: Vec<(Timestamp, MemoryQueue, String)>,
    /// Sweeps, decisions and losses.
    pub people: People,
    handlers_max: usize,
    /// How many more messages are delivered again after they were deleted, and how many go to the dead letters.
    may: Repeats,
}

/// Deliveries beyond the usual ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repeats {
    /// Deleted messages that were delivered again.
    pub duplicates: u64,
    /// Messages that went to the dead letters and were moved back, under a new id.
    pub redrives: u64,
    /// Messages that became visible while a handler still worked on them.
    pub overlaps: u64,
    /// Messages that got lost.
    pub losses: u64,
    /// Sweeps.
    pub sweeps: u64,
    /// Times that somebody stopped a run.
    pub cancels: u64,
    /// Times that somebody looked because of a notice.
    pub hints: u64,
    /// Times that somebody paused everything, let it go on, or let a run go over the spending limits.
    pub switches: u64,
}

type Handler = Pin<Box<dyn Future<Output = Result<Verdict, PortError>>>>;

/// A message that is being worked on.
struct Task {
    progress: Progress,
    queue: MemoryQueue,
    received: Received,
    ends_at: Timestamp,
    renewed_at: Timestamp,
    asleep_until: Option<Timestamp>,
}

enum Progress {
    Running(Handler),
    /// What is left is to tell the queue.
    Ended(Result<Verdict, PortError>),
}

impl World {
    /// Runs until nothing is left to do. An error is a property that broke on the way.
    pub fn run(&mut self) -> Result<(), Broken> {
        let mut tasks: Vec<Task> = Vec::new();
        for _ in 0..self.steps_max() {
            let now = self.clock.now();
            self.move_back(now);
            let awake: Vec<usize> =
                (0..tasks.len()).filter(|index| tasks[*index].asleep_until.is_none_or(|until| until <= now)).collect();
            let room = tasks.len() < self.handlers_max;
            if room && (awake.is_empty() || self.dice.one_in(4)) && self.deliver(now, &mut tasks) {
                continue;
            }
            if !awake.is_empty() {
                let index = awake[self.dice.below(awake.len())];
                self.step(index, &mut tasks)?;
                continue;
            }
            let wakes = tasks.iter().filter_map(|task| task.asleep_until);
            let moves = self.moves.iter().map(|(at, ..)| *at);
            let visible = self.all_queues().into_iter().filter_map(|queue| queue.next_visible_at());
            let visible: Vec<Timestamp> = if room { visible.collect() } else { Vec::new() };
            match wakes.chain(moves).chain(visible).min() {
                Some(next) => self.clock.set(next.max(now)),
                None if tasks.is_empty() && self.look_after() => {}
                None if tasks.is_empty() => return Ok(()),
                None => return Err(Broken::new("comes_to_rest", "handlers sleep for ever")),
            }
        }
        Err(Broken::new("comes_to_rest", format!("still busy after {STEPS_MAX} steps, at {}", self.clock.now())))
    }

    fn steps_max(&self) -> usize {
        STEPS_MAX * self.handlers_max / 4
    }

    fn all_queues(&self) -> [MemoryQueue; 9] {
        let People { sweeps, decisions, cancels, switches, overs, .. } = &self.people;
        [
            &self.events,
            &self.notices,
            &self.queues.poll,
            &self.queues.retry,
            sweeps,
            decisions,
            cancels,
            switches,
            overs,
        ]
        .map(Clone::clone)
    }

    /// Moves dead letters back that a person has decided to try again: SQS gives them a new id.
    fn move_back(&mut self, now: Timestamp) {
        let (due, rest) = std::mem::take(&mut self.moves).into_iter().partition(|(at, ..)| *at <= now);
        self.moves = rest;
        let due: Vec<(Timestamp, MemoryQueue, String)> = due;
        for (_, queue, body) in due {
            let id = queue.send(now, &body, 0);
            self.cuts.note(&format!("moved back as {id}"));
        }
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
        let Some(received) = queue.receive_copy(now, copy, VISIBILITY_SECONDS) else {
            return false;
        };
        self.cuts.note(&received.message_id);
        if self.may.redrives > 0 && self.dice.one_in(20) {
            self.may.redrives -= 1;
            self.repeats.redrives += 1;
            queue.set_aside(&received.receipt, TOO_OFTEN);
            // A message is received for hours before that happens, and a person moves it back later still.
            let at = later(now, 3_700 + self.dice.below(43_200) as i64);
            self.moves.push((at, queue, received.body));
            return true;
        }
        let kind = received.message_id.split('-').next().unwrap_or_default().to_owned();
        if self.people.losses > 0 && matches!(kind.as_str(), "poll" | "retry") && self.dice.one_in(15) {
            self.people.losses -= 1;
            self.repeats.losses += 1;
            queue.delete(&received.receipt);
            return true;
        }
        self.repeats.sweeps += u64::from(kind == "sweeps");
        self.repeats.cancels += u64::from(kind == "cancels");
        self.repeats.switches += u64::from(matches!(kind.as_str(), "switches" | "overs"));
        self.repeats.hints += u64::from(is_hint(&received));
        self.deliveries += 1;
        self.repeats.overlaps += u64::from(tasks.iter().any(|task| task.received.message_id == received.message_id));
        let ends_at = later(now, TURN_SECONDS);
        let progress = Progress::Running(self.handler(&received, ends_at));
        tasks.push(Task { progress, queue, received, ends_at, renewed_at: now, asleep_until: None });
        true
    }

    /// The handler of a message, by the queue that it came from.
    fn handler(&self, received: &Received, ends_at: Timestamp) -> Handler {
        let turn = Turn {
            message_id: received.message_id.clone(),
            sent_at: received.sent_at,
            receives: received.receive_count,
            ends_at,
        };
        let (pipeline, inputs, body) = (self.pipeline.clone(), self.inputs.clone(), received.body.clone());
        match received.message_id.split('-').next().unwrap_or_default() {
            "events" => Box::pin(async move {
                let object: InputObject = serde_json::from_str(&body).expect("an object");
                pipeline.trigger(&*inputs, &object, &turn).await
            }),
            "notices" => Box::pin(async move {
                let attempt = pipeline.webhook.as_ref().and_then(|webhook| webhook.secret.attempt(&body));
                if let Some(attempt) = attempt {
                    webhook::take(&*pipeline.queues, pipeline.clock.now(), &attempt).await?;
                }
                Ok(Verdict::Done)
            }),
            "poll" => Box::pin(async move { pipeline.poll(&body, &turn).await }),
            "sweeps" => Box::pin(async move {
                let failed = pipeline.sweep(&*inputs, &turn).await?.failed > 0;
                let why = "a sweep of something failed".to_owned();
                let again = || Verdict::Again { after_seconds: FAILED_SECONDS, why, stopped: false };
                Ok(if failed { again() } else { Verdict::Done })
            }),
            "cancels" => Box::pin(async move {
                let run = RunId::parse(&body).expect("a run");
                if ledger::read::<RunRecord>(&*pipeline.store, &keys::run(&run)).await?.is_some() {
                    cancel::cancel(&*pipeline.store, &*pipeline.queues, pipeline.clock.now(), &run).await?;
                }
                Ok(Verdict::Done)
            }),
            "switches" => Box::pin(async move { people::switch(&pipeline, &body).await }),
            "overs" => Box::pin(async move {
                let run = RunId::parse(&body).expect("a run");
                spending::let_over(&*pipeline.store, &*pipeline.queues, pipeline.clock.now(), &run).await?;
                Ok(Verdict::Done)
            }),
            "decisions" => Box::pin(async move {
                let Order { mark, decision } = serde_json::from_str(&body).expect("an order");
                let now = pipeline.clock.now();
                held::release(&*pipeline.store, &*pipeline.queues, now, &mark, &decision).await.map(people::taken)?;
                Ok(Verdict::Done)
            }),
            _ => Box::pin(async move { pipeline.retry(&body, &turn).await }),
        }
    }

    /// Lets one handler go on until its next effect, or tells the queue what it came to.
    fn step(&mut self, index: usize, tasks: &mut Vec<Task>) -> Result<(), Broken> {
        let task = &mut tasks[index];
        task.asleep_until = None;
        let Progress::Running(handler) = &mut task.progress else {
            let task = tasks.swap_remove(index);
            self.tell(task);
            return Ok(());
        };
        let now = self.clock.now();
        if seconds_between(task.renewed_at, now) >= RENEWED_SECONDS {
            task.renewed_at = now;
            task.queue.change_visibility(now, &task.received.receipt, VISIBILITY_SECONDS);
        }
        self.cuts.enter(task.ends_at, is_hint(&task.received));
        let mut context = Context::from_waker(Waker::noop());
        let polled = explore::guarded(|| handler.as_mut().poll(&mut context))?;
        if let Some(broken) = self.cuts.first_broken() {
            return Err(broken);
        }
        let (killed, asleep_until) = self.cuts.leave();
        match polled {
            // Its message comes back when its visibility ends.
            Poll::Pending if killed => drop(tasks.swap_remove(index)),
            Poll::Pending => task.asleep_until = asleep_until,
            Poll::Ready(result) => {
                self.cuts.note(&format!("{} {result:?}", task.received.message_id));
                task.progress = Progress::Ended(result);
                self.settle(index, tasks);
            }
        }
        Ok(())
    }

    /// A handler has ended: the queue is told, unless that is cut.
    fn settle(&mut self, index: usize, tasks: &mut Vec<Task>) {
        let about = match &tasks[index].progress {
            Progress::Ended(Ok(Verdict::Done)) => "delete",
            Progress::Ended(Ok(Verdict::Again { .. })) => "delay",
            Progress::Ended(Ok(Verdict::SetAside { .. })) => "set-aside",
            _ => "give-back",
        };
        let cut = self.cuts.choose(Point::new("message", about));
        match cut {
            Some(Cut::KillBefore | Cut::FailBefore) => {
                tasks.swap_remove(index);
                return;
            }
            Some(Cut::StallBefore) => {
                tasks[index].asleep_until = Some(later(self.clock.now(), self.cuts.stall_seconds()));
                return;
            }
            Some(Cut::FreezeBefore) => self.cuts.jump(),
            _ => {}
        }
        let task = tasks.swap_remove(index);
        self.tell(task);
        if cut == Some(Cut::FreezeAfter) {
            self.cuts.jump();
        }
    }

    /// Tells the queue what a handler came to.
    fn tell(&mut self, task: Task) {
        let now = self.clock.now();
        let Progress::Ended(result) = task.progress else { return };
        match result {
            Ok(Verdict::Done) => {
                task.queue.delete(&task.received.receipt);
                if self.may.duplicates > 0 && self.dice.one_in(6) {
                    self.may.duplicates -= 1;
                    self.repeats.duplicates += 1;
                    task.queue.duplicate(now, &task.received.message_id);
                }
            }
            Ok(Verdict::Again { after_seconds, .. }) => {
                task.queue.change_visibility(now, &task.received.receipt, after_seconds);
            }
            Ok(Verdict::SetAside { mut why }) => {
                if why.contains(IN_A_ROW) && self.people.gives_up() {
                    why.push_str(FOR_GOOD);
                } else if why.contains(IN_A_ROW) {
                    // Somebody reads the reason, finds that the trouble is over, and moves the message back.
                    self.repeats.redrives += 1;
                    self.moves.push((later(now, 3_700), task.queue.clone(), task.received.body.clone()));
                }
                task.queue.set_aside(&task.received.receipt, &why);
            }
            Err(_) => {
                task.queue.change_visibility(now, &task.received.receipt, FAILED_SECONDS);
            }
        }
    }

    /// The collections that the API accepted from us, by the name and the inputs of their trigger.
    fn accepted_sends(&self) -> BTreeMap<(String, String), Vec<String>> {
        let service = self.outside.service();
        let mut sends: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for job in service.jobs().filter(|job| !outside::is_strange(job.query())) {
            let name = job.query().iter().find(|(name, _)| name == "name").map(|(_, value)| value.clone());
            let inputs = job.texts().collect::<Vec<_>>().join("\n");
            sends.entry((name.unwrap_or_default(), inputs)).or_default().push(job.id().to_owned());
        }
        sends
    }
}

/// Whether a message is a hint that came of a notice.
fn is_hint(received: &Received) -> bool {
    Hint::decode(&received.body).is_ok()
}

/// Since when somebody has wanted a run to stop.
fn cancelled_at(world: &World, run: &RunId) -> Option<Timestamp> {
    read::<RunCancelRecord>(world, &keys::run_cancel(run)).map(|record| record.at)
}

/// A record of the world's bucket.
fn read<T: serde::de::DeserializeOwned>(world: &World, key: &str) -> Option<T> {
    serde_json::from_slice(&world.store.object(key)?.body).ok()
}
