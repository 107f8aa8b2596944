//! What happens beside the messages: sweeps by the clock, people who decide about held work, and messages that get lost, as when
//! somebody empties a queue.

use dropcollect::memory::MemoryQueue;
use dropcollect::queue::QueueSettings;
use futures_util::FutureExt;
use jiff::Timestamp;
use pipeline::Pipeline;
use pipeline::held::{self, HeldWork, NotReleased};
use pipeline::keys;
use pipeline::ledger::{AttemptEnd, BatchRecord, CollectionRecord, Decision, HeldMark};
use pipeline::messages::Verdict;
use pipeline::pause;
use pipeline::ports::{Clock, PortError};
use pipeline::spending::Limits;
use pipeline::words::{AttemptId, RunId};
use serde::{Deserialize, Serialize};

use super::dice::Dice;
use super::{World, outside, read};

/// What people and clocks may still do in a world.
pub struct People {
    /// Orders to sweep, by the schedule.
    pub sweeps: MemoryQueue,
    /// Decisions about held work.
    pub decisions: MemoryQueue,
    /// Runs that somebody stops.
    pub cancels: MemoryQueue,
    /// When somebody pauses and resumes everything.
    pub switches: MemoryQueue,
    /// Runs that somebody lets go over the spending limits.
    pub overs: MemoryQueue,
    /// How many more messages are lost.
    pub losses: u64,
    /// How many more sweeps there are as long as something stands still.
    rescues: u32,
    /// How often people look after held work.
    visits: u32,
    /// How many more dead letters they move back: what fails all the same is not trouble of the moment.
    patience: u32,
}

const PAUSE: &str = "pause";
const RESUME: &str = "resume";

/// Somebody pauses everything, or lets it go on.
pub(super) async fn switch(pipeline: &Pipeline, body: &str) -> Result<Verdict, PortError> {
    let (store, now) = (&*pipeline.store, pipeline.clock.now());
    if body == PAUSE {
        pause::pause(store, now, "somebody").await?;
    } else {
        pause::resume(store, &*pipeline.queues, now).await?;
    }
    Ok(Verdict::Done)
}

/// A decision on its way into the ledger.
#[derive(Serialize, Deserialize)]
pub struct Order {
    /// What is held.
    pub mark: HeldMark,
    /// What to do with it.
    pub decision: Decision,
}

impl People {
    /// People of a world: in some there is nobody.
    pub fn new(dice: &mut Dice, began: Timestamp, calm: bool) -> Self {
        let queue = |name| MemoryQueue::new(name, QueueSettings::default());
        let (sweeps, decisions) = (queue("sweeps"), queue("decisions"));
        let nobody = calm || dice.one_in(3);
        if !nobody {
            for _ in 0..dice.below(5) {
                let delay = dice.below(4 * 86_400) as u32;
                // A schedule may fire twice, and the second sweep begins while the first one works.
                for _ in 0..1 + usize::from(dice.one_in(3)) {
                    sweeps.send(began, "sweep", delay);
                }
            }
        }
        let losses = if nobody { 0 } else { dice.pick(&[0, 0, 1, 3]) };
        if losses > 0 {
            // What was lost has to be found while the rest of the world goes on.
            for day in 1..=20 {
                sweeps.send(began, "sweep", day * 86_400);
            }
        }
        let visits = if nobody { 0 } else { dice.pick(&[0, 1, 4]) };
        let (cancels, switches, overs) = (queue("cancels"), queue("switches"), queue("overs"));
        Self {
            sweeps,
            decisions,
            cancels,
            switches,
            overs,
            losses,
            rescues: if nobody { 0 } else { 40 },
            visits,
            patience: 8,
        }
    }

    /// In one world of six somebody stops some of the runs, once or twice.
    pub(super) fn cancel_some(&self, dice: &mut Dice, began: Timestamp, runs: impl Iterator<Item = RunId>) {
        if !dice.one_in(6) {
            return;
        }
        for run in runs {
            for _ in 0..dice.below(3) {
                let longest = dice.pick(&[30, 300, 3_600, 86_400]);
                self.cancels.send(began, run.as_str(), dice.below(longest) as u32);
            }
        }
    }

    /// In one world of six somebody pauses everything once or twice, and lets it go on again.
    pub(super) fn switch_some(&self, dice: &mut Dice, began: Timestamp) {
        if !dice.one_in(6) {
            return;
        }
        let mut from = 0;
        for _ in 0..1 + dice.below(2) {
            let longest = dice.pick(&[60, 600, 86_400]);
            let off = from + dice.below(longest) as u32;
            let on = off + dice.pick(&[30, 3_000, 200_000]);
            self.switches.send(began, PAUSE, off);
            // A message may be delivered late: what is paused after all is noticed some day.
            for later in [0, 3_600, 86_400, 10 * 86_400] {
                self.switches.send(began, RESUME, on + later);
            }
            from = on;
        }
    }

    /// Somebody pauses everything so many seconds after the world began, and lets it go on later.
    pub fn pause(&self, began: Timestamp, off: u32, on: u32) {
        self.switches.send(began, PAUSE, off);
        self.switches.send(began, RESUME, on);
    }

    /// What waits for the limit of a file waits for a person; of other limits, some people do not want to wait.
    pub(super) fn let_some_over(
        &self,
        dice: &mut Dice,
        began: Timestamp,
        runs: impl Iterator<Item = RunId>,
        limits: &Limits,
    ) {
        let of_files = limits.to_string().contains("file");
        for run in runs.filter(|_| !limits.is_empty()) {
            if of_files || dice.one_in(4) {
                // Once it has begun: the message finds what it sets going.
                self.overs.send(began, run.as_str(), 3_600 + dice.below(2 * 86_400) as u32);
            }
        }
    }

    /// Whether nobody moves another dead letter back.
    pub(super) fn gives_up(&mut self) -> bool {
        let patience = self.patience;
        self.patience = patience.saturating_sub(1);
        patience == 0
    }
}

impl World {
    /// What of a run waits for a person.
    pub(super) fn held(&self, run: &RunId) -> Vec<HeldWork> {
        held::list(&self.store, run).now_or_never().expect("nothing waits").expect("readable marks")
    }

    /// How many of its inputs do.
    pub(super) fn held_inputs(&self, run: &RunId) -> u64 {
        self.held(run).iter().map(|work| u64::from(work.mark.held.inputs)).sum()
    }

    /// When no message is left: the next sweep, if a run stands still, and decisions about what is held. Whether there is more to do.
    pub(super) fn look_after(&mut self) -> bool {
        let now = self.clock.now();
        let runs: Vec<_> = self.dropped.iter().map(|file| (file.object.run(), file.object.key.clone())).collect();
        let mut held = Vec::new();
        let mut still = false;
        for (run, key) in &runs {
            let listed = self.held(run);
            let over = self.store.object(&keys::manifest(&keys::input_path(key), run)).is_some();
            // Beside what is held, something may have lost its message.
            still |= !over && (listed.is_empty() || self.repeats.losses > 0);
            held.extend(listed);
        }
        if held.is_empty() || self.people.visits == 0 {
            let sweeps = still && self.people.rescues > 0;
            if sweeps {
                self.people.rescues -= 1;
                self.people.sweeps.send(now, "sweep", 6 * 3_600);
            }
            return sweeps;
        }
        self.people.visits -= 1;
        for work in held {
            let decision = self.decide(&work);
            let order = Order { mark: work.mark, decision };
            let delay = self.dice.below(3 * 86_400) as u32;
            self.people.decisions.send(now, &serde_json::to_string(&order).expect("an order"), delay);
        }
        true
    }

    /// What a person finds in the control panel, who sees the inputs of every collection there.
    fn decide(&mut self, work: &HeldWork) -> Decision {
        if let Some(collection) = &work.answered {
            return Decision::Adopt { collection: collection.clone() };
        }
        if self.dice.one_in(6) {
            return Decision::GiveUp;
        }
        let id = &work.mark.attempt;
        let name = format!("dropcollect {} {}.{}", id.run, id.batch, id.attempt);
        let inputs = self.inputs_of(work);
        let service = self.outside.service();
        let ours = service.jobs().filter(|job| !outside::is_strange(job.query())).find(|job| {
            job.query().iter().any(|(key, value)| key == "name" && *value == name)
                && job.texts().eq(inputs.iter().map(String::as_str))
                && read::<CollectionRecord>(self, &keys::collection(job.id()))
                    .is_none_or(|record| record.send.attempt == *id && record.send.slice == work.mark.slice)
        });
        match ours {
            Some(job) => Decision::Adopt { collection: job.id().to_owned() },
            None => Decision::Again,
        }
    }
}

impl World {
    /// The inputs of held work, as they were sent.
    fn inputs_of(&self, work: &HeldWork) -> Vec<String> {
        let (id, slice) = (&work.mark.attempt, work.mark.slice);
        let batch: BatchRecord = read(self, &keys::batch(&id.run, id.batch)).expect("a batch");
        let before = AttemptId { attempt: id.attempt.saturating_sub(1), ..id.clone() };
        let positions: Vec<u32> = match read::<AttemptEnd>(self, &keys::attempt_end(&before)) {
            Some(end) => end.fates.again.iter().map(|failed| failed.input).collect(),
            None => (0..).take(batch.inputs.len()).collect(),
        };
        let sent = positions.into_iter().skip(slice.start as usize).take(slice.len() as usize);
        sent.map(|position| batch.inputs[position as usize].json.clone()).collect()
    }
}

/// What came of a decision: one that was taken before is not an error of anybody's.
pub(super) fn taken(released: Result<(), NotReleased>) {
    match released {
        Ok(()) | Err(NotReleased::Decided(_) | NotReleased::Taken { .. }) => {}
        Err(problem @ NotReleased::NoCollection(_)) => panic!("{problem}"),
    }
}
