//! Where a world interferes: before and after every effect of every handler.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use jiff::Timestamp;
use pipeline::ports::{Clock, PortError};
use pipeline::schedule::later;

use super::checks::Broken;
use super::dice::Dice;
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
}

impl Cut {
    /// Whether the effect took place before it.
    pub fn is_after(self) -> bool {
        matches!(self, Self::KillAfter | Self::FailAfter | Self::StallAfter)
    }
}

const ALL: [Cut; 6] =
    [Cut::KillBefore, Cut::KillAfter, Cut::FailBefore, Cut::FailAfter, Cut::StallBefore, Cut::StallAfter];

struct State {
    dice: Dice,
    /// Faults that may still be injected; a world without end proves nothing.
    budget: usize,
    /// One effect in so many is cut.
    rarity: usize,
    killed: bool,
    stalled_until: Option<Timestamp>,
    /// When the running handler's time is over.
    ends_at: Timestamp,
    injected: BTreeMap<(&'static str, Cut), u64>,
    effects: BTreeMap<&'static str, u64>,
    trace: u64,
    broken: Option<Broken>,
}

/// Shared by all wrapped ports of a world.
#[derive(Clone)]
pub struct Cuts {
    clock: VirtualClock,
    state: Arc<Mutex<State>>,
}

impl Cuts {
    /// Cuts by these dice: at most `budget` of them, one effect in `rarity`.
    pub fn new(clock: VirtualClock, dice: Dice, budget: usize, rarity: usize) -> Self {
        let state = State {
            dice,
            budget,
            rarity,
            killed: false,
            stalled_until: None,
            ends_at: Timestamp::MAX,
            injected: BTreeMap::new(),
            effects: BTreeMap::new(),
            trace: 0,
            broken: None,
        };
        Self { clock, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A handler is about to run until its next effect; its time ends then.
    pub fn enter(&self, ends_at: Timestamp) {
        let mut state = self.lock();
        (state.killed, state.stalled_until, state.ends_at) = (false, None, ends_at);
    }

    /// What became of the handler that ran: killed, or stalled until some time.
    pub fn leave(&self) -> (bool, Option<Timestamp>) {
        let state = self.lock();
        (state.killed, state.stalled_until)
    }

    /// Fingerprint of everything that happened so far.
    pub fn trace(&self) -> u64 {
        self.lock().trace
    }

    /// Takes a note into the trace.
    pub fn note(&self, what: &str) {
        let mut state = self.lock();
        for byte in what.bytes() {
            state.trace = (state.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
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
    pub fn effects(&self) -> BTreeMap<&'static str, u64> {
        self.lock().effects.clone()
    }

    /// How often each cut was made.
    pub fn injected(&self) -> BTreeMap<(&'static str, Cut), u64> {
        self.lock().injected.clone()
    }

    /// Decides what happens around the next effect. Other handlers run in between.
    pub async fn decide(&self, effect: &'static str, detail: &str) -> Option<Cut> {
        self.note(effect);
        self.note(detail);
        Yield(false).await;
        let cut = {
            let mut state = self.lock();
            *state.effects.entry(effect).or_default() += 1;
            let (budget, rarity) = (state.budget, state.rarity);
            if budget > 0 && state.dice.one_in(rarity) {
                let cut = state.dice.pick(&ALL);
                state.budget -= 1;
                *state.injected.entry((effect, cut)).or_default() += 1;
                Some(cut)
            } else {
                None
            }
        };
        let pause = self.lock().dice.below(40) as i64;
        let now = self.clock.now();
        self.clock.set(now.checked_add(jiff::SignedDuration::from_millis(pause)).unwrap_or(now));
        if let Some(cut) = cut {
            self.note(&format!("{cut:?}"));
        }
        if self.clock.now() >= self.lock().ends_at {
            self.die().await;
        }
        match cut {
            Some(Cut::KillBefore) => self.die().await,
            Some(Cut::StallBefore) => self.stall().await,
            _ => {}
        }
        cut
    }

    /// The second half: what happens when the effect has been made.
    pub async fn after(&self, cut: Option<Cut>) {
        match cut {
            Some(Cut::KillAfter) => self.die().await,
            Some(Cut::StallAfter) => self.stall().await,
            _ => {}
        }
    }

    async fn die(&self) {
        self.lock().killed = true;
        // Never polled again: the world drops the handler.
        std::future::pending::<()>().await;
    }

    async fn stall(&self) {
        let seconds = {
            let mut state = self.lock();
            let longest = state.dice.pick(&[5, 60, 400, 1_200]);
            state.dice.below(longest) as i64
        };
        let until = later(self.clock.now(), seconds);
        self.lock().stalled_until = Some(until);
        Yield(false).await;
        if self.clock.now() >= self.lock().ends_at {
            self.die().await;
        }
    }

    /// Makes one effect of a store or a queue.
    pub async fn around<T>(
        &self,
        effect: &'static str,
        detail: &str,
        make: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let cut = self.decide(effect, detail).await;
        if cut == Some(Cut::FailBefore) {
            return Err(PortError::new(effect, "injected before"));
        }
        let made = make.await;
        self.after(cut).await;
        if cut == Some(Cut::FailAfter) {
            return Err(PortError::new(effect, "injected after"));
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
