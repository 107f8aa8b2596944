//! Where a world interferes: before and after every effect of every handler.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::hash::{DefaultHasher, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use jiff::{SignedDuration, Timestamp};
use pipeline::ports::{Clock, PortError};
use pipeline::schedule::later;

use super::checks::Broken;
use super::dice::Dice;
use super::points::Point;
use dropcollect::clock::VirtualClock;

/// What may happen around one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// The process dies before the effect.
    KillBefore,
    /// The process dies after the effect.
    KillAfter,
    /// The effect does not happen and an error is seen.
    FailBefore,
    /// The effect happens and an error is seen: its answer was lost.
    FailAfter,
    /// The handler stands still before the effect, for up to longer than its time.
    StallBefore,
    /// The handler stands still after the effect.
    StallAfter,
    /// All handlers stand still before the effect, for minutes to hours: the clock jumps.
    FreezeBefore,
    /// All handlers stand still after the effect.
    FreezeAfter,
}

impl Cut {
    /// Whether the effect took place before it.
    pub fn is_after(self) -> bool {
        matches!(self, Self::KillAfter | Self::FailAfter | Self::StallAfter | Self::FreezeAfter)
    }
}

const ALL: [Cut; 8] = [
    Cut::KillBefore,
    Cut::KillAfter,
    Cut::FailBefore,
    Cut::FailAfter,
    Cut::StallBefore,
    Cut::StallAfter,
    Cut::FreezeBefore,
    Cut::FreezeAfter,
];

/// Which effects of a world are cut.
#[derive(Debug, Clone)]
pub struct Aim {
    /// Faults that are injected at most; a world without end proves nothing.
    pub budget: usize,
    /// One effect in so many is cut.
    pub rarity: usize,
    /// An effect takes less than so many milliseconds.
    pub pause_ms: usize,
    /// Only these, if there are any: common effects would use the budget up before a rare one comes.
    pub only: BTreeSet<Point>,
}

/// How often a collection was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looks {
    /// So often.
    pub count: u64,
    /// For the last time.
    pub last: Timestamp,
}

struct State {
    dice: Dice,
    aim: Aim,
    killed: bool,
    stalled_until: Option<Timestamp>,
    /// When the running handler's time is over.
    ends_at: Timestamp,
    /// Whether it works on a hint.
    hinted: bool,
    injected: BTreeMap<(Point, Cut), u64>,
    effects: BTreeMap<Point, u64>,
    looks: BTreeMap<String, Looks>,
    trace: DefaultHasher,
    broken: Option<Broken>,
    /// When everything was paused, and when it went on.
    switches: Vec<(Timestamp, bool)>,
}

/// Shared by all wrapped ports of a world.
#[derive(Clone)]
pub struct Cuts {
    clock: VirtualClock,
    state: Arc<Mutex<State>>,
}

impl Cuts {
    /// Cuts by these dice.
    pub fn new(clock: VirtualClock, dice: Dice, aim: Aim) -> Self {
        let state = State {
            dice,
            aim,
            killed: false,
            stalled_until: None,
            ends_at: Timestamp::MAX,
            hinted: false,
            injected: BTreeMap::new(),
            effects: BTreeMap::new(),
            looks: BTreeMap::new(),
            trace: DefaultHasher::new(),
            broken: None,
            switches: Vec::new(),
        };
        Self { clock, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A handler is about to run until its next effect; its time ends then. `hinted`: it works on a hint.
    pub fn enter(&self, ends_at: Timestamp, hinted: bool) {
        let mut state = self.lock();
        (state.killed, state.stalled_until, state.ends_at) = (false, None, ends_at);
        state.hinted = hinted;
    }

    /// Something is triggered: by a handler of a hint, that breaks a property.
    pub fn triggered(&self) {
        if self.lock().hinted {
            self.broken(Broken::new("a_notice_starts_nothing", "a hint has led to a trigger"));
        }
    }

    /// What became of the handler that ran: killed, or stalled until some time.
    pub fn leave(&self) -> (bool, Option<Timestamp>) {
        let state = self.lock();
        (state.killed, state.stalled_until)
    }

    /// Fingerprint of everything that happened so far.
    pub fn trace(&self) -> u64 {
        self.lock().trace.finish()
    }

    /// Takes down that everything is paused from now on, or goes on.
    pub fn switched(&self, paused: bool) {
        let now = self.clock.now();
        self.lock().switches.push((now, paused));
    }

    /// When everything was paused, and when it went on.
    pub fn switches(&self) -> Vec<(Timestamp, bool)> {
        self.lock().switches.clone()
    }

    /// Takes a note into the trace.
    pub fn note(&self, what: &str) {
        self.lock().trace.write(what.as_bytes());
    }

    /// Takes down a property that broke while a handler ran; the first one counts.
    pub fn broken(&self, broken: Broken) {
        self.lock().broken.get_or_insert(broken);
    }

    /// The first property that broke while a handler ran.
    pub fn first_broken(&self) -> Option<Broken> {
        self.lock().broken.clone()
    }

    /// How often each effect was made.
    pub fn effects(&self) -> BTreeMap<Point, u64> {
        self.lock().effects.clone()
    }

    /// How often each cut was made.
    pub fn injected(&self) -> BTreeMap<(Point, Cut), u64> {
        self.lock().injected.clone()
    }

    /// Takes down a look at a collection.
    pub fn looked(&self, collection: &str) {
        let now = self.clock.now();
        let mut state = self.lock();
        let looks = state.looks.entry(collection.to_owned()).or_insert(Looks { count: 0, last: now });
        (looks.count, looks.last) = (looks.count + 1, now);
    }

    /// How often each collection was looked at.
    pub fn looks(&self) -> BTreeMap<String, Looks> {
        self.lock().looks.clone()
    }

    /// Counts an effect, and decides whether it is cut and how.
    pub fn choose(&self, point: Point) -> Option<Cut> {
        let cut = {
            let mut state = self.lock();
            *state.effects.entry(point).or_default() += 1;
            let rarity = state.aim.rarity;
            let aimed = state.aim.budget > 0 && (state.aim.only.is_empty() || state.aim.only.contains(&point));
            (aimed && state.dice.one_in(rarity)).then(|| {
                let cut = state.dice.pick(&ALL);
                state.aim.budget -= 1;
                *state.injected.entry((point, cut)).or_default() += 1;
                cut
            })
        };
        if let Some(cut) = cut {
            self.note(&format!("{cut:?}"));
        }
        cut
    }

    /// Decides what happens around the next effect. Other handlers run in between.
    pub async fn decide(&self, point: Point, detail: &str) -> Option<Cut> {
        self.note(point.call);
        self.note(detail);
        Yield(false).await;
        let pause = {
            let mut state = self.lock();
            let longest = state.aim.pause_ms;
            state.dice.below(longest) as i64
        };
        self.pass(SignedDuration::from_millis(pause));
        if self.clock.now() >= self.lock().ends_at {
            self.die().await;
        }
        let cut = self.choose(point);
        match cut {
            Some(Cut::KillBefore) => self.die().await,
            Some(Cut::StallBefore) => self.stall().await,
            Some(Cut::FreezeBefore) => self.freeze().await,
            _ => {}
        }
        cut
    }

    /// The second half: what happens when the effect has been made.
    pub async fn after(&self, cut: Option<Cut>) {
        match cut {
            Some(Cut::KillAfter) => self.die().await,
            Some(Cut::StallAfter) => self.stall().await,
            Some(Cut::FreezeAfter) => self.freeze().await,
            _ => {}
        }
    }

    async fn die(&self) {
        self.lock().killed = true;
        // Never polled again: the world drops the handler.
        std::future::pending::<()>().await;
    }

    async fn stall(&self) {
        let seconds = self.stall_seconds();
        let until = later(self.clock.now(), seconds);
        self.lock().stalled_until = Some(until);
        self.survive().await;
    }

    /// For how long somebody stands still.
    pub fn stall_seconds(&self) -> i64 {
        let mut state = self.lock();
        let longest = state.dice.pick(&[5, 60, 400, 1_200]);
        state.dice.below(longest) as i64
    }

    async fn freeze(&self) {
        self.jump();
        self.survive().await;
    }

    /// Goes on, unless the handler's time is over.
    pub async fn survive(&self) {
        Yield(false).await;
        if self.clock.now() >= self.lock().ends_at {
            self.die().await;
        }
    }

    /// Minutes to hours pass at once.
    pub fn jump(&self) {
        let seconds = {
            let mut state = self.lock();
            let longest = state.dice.pick(&[100, 250, 1_200, 20_000]);
            state.dice.below(longest) as i64
        };
        self.pass(SignedDuration::from_secs(seconds));
    }

    /// So much time passes.
    pub fn pass(&self, time: SignedDuration) {
        let now = self.clock.now();
        self.clock.set(now.checked_add(time).unwrap_or(now));
    }

    /// Makes one effect of a store or a queue.
    pub async fn around<T>(
        &self,
        point: Point,
        detail: &str,
        make: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let cut = self.decide(point, detail).await;
        if cut == Some(Cut::FailBefore) {
            return Err(PortError::new(point.call, "injected before"));
        }
        let made = make.await;
        self.after(cut).await;
        if cut == Some(Cut::FailAfter) {
            return Err(PortError::new(point.call, "injected after"));
        }
        made
    }
}

/// Lets other handlers run.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        // Groups of futures only look at members that asked for it.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
