//! When jobs start and end: queues, the limit of parallel jobs, deadlines, pauses, cancels.
//!
//! Nothing happens between two requests; each request first settles what was due before it, in the order of time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::{
    job::{End, Job, Kind, State},
    notices::endpoint,
    scenario::QueueNext,
};

/// The jobs, the order in which they end, and who waits for whom.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pub(super) jobs: Vec<Job>,
    by_id: BTreeMap<String, usize>,
    ends: BTreeSet<(Timestamp, usize)>,
    collectors: BTreeMap<String, Floor>,
    /// Jobs that have ended and want a notice of it, in this order.
    pub(super) ended: Vec<usize>,
}

/// The jobs of one collector that have not ended.
#[derive(Debug, Default)]
struct Floor {
    running: BTreeSet<usize>,
    waiting: VecDeque<usize>,
}

/// What a job waits for.
#[derive(Debug, PartialEq, Eq)]
enum Behind<'a> {
    Nothing,
    /// Every earlier job of the collector.
    Collector,
    /// Earlier jobs with the same `queue`.
    Queue(&'a str),
}

impl Schedule {
    pub(super) fn index(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Job> {
        self.index(id).map(|index| &self.jobs[index])
    }

    /// Jobs of a collector that are running or paused.
    pub(super) fn running(&self, collector: &str) -> Vec<usize> {
        self.collectors.get(collector).map(|floor| floor.running.iter().copied().collect()).unwrap_or_default()
    }

    /// Adds a job at its own time; everything before that must be settled.
    pub(super) fn add(&mut self, job: Job) -> usize {
        let (index, at) = (self.jobs.len(), job.at());
        let floor = self.collectors.entry(job.collector().to_owned()).or_default();
        floor.waiting.push_back(index);
        let collector = job.collector().to_owned();
        self.by_id.insert(job.id().to_owned(), index);
        self.jobs.push(job);
        self.start_waiting(&collector, at);
        index
    }

    /// Lets everything end and start that is due until `now`.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while let Some(&(time, index)) = self.ends.first()
            && time <= now
        {
            if let Some((_, end)) = self.jobs[index].ends() {
                self.finish(index, time, end);
            }
        }
    }

    pub(super) fn finish(&mut self, index: usize, now: Timestamp, end: End) {
        self.unplan(index);
        let worked = self.jobs[index].worked(now);
        self.jobs[index].state = State::Ended { at: now, worked, end };
        if endpoint(self.jobs[index].query()).is_some() {
            self.ended.push(index);
        }
        let collector = self.jobs[index].collector().to_owned();
        if let Some(floor) = self.collectors.get_mut(&collector) {
            floor.running.remove(&index);
            floor.waiting.retain(|&other| other != index);
        }
        self.start_waiting(&collector, now);
    }

    pub(super) fn pause(&mut self, index: usize, now: Timestamp) {
        self.unplan(index);
        self.jobs[index].state = State::Paused { worked: self.jobs[index].worked(now) };
    }

    pub(super) fn resume(&mut self, index: usize, now: Timestamp) {
        self.run(index, now, self.jobs[index].worked(now));
    }

    fn run(&mut self, index: usize, now: Timestamp, worked: i64) {
        let job = &mut self.jobs[index];
        job.started.get_or_insert(now);
        job.state = State::Running { since: now, worked };
        if let Some((time, _)) = job.ends() {
            self.ends.insert((time, index));
        }
    }

    fn unplan(&mut self, index: usize) {
        if let Some((time, _)) = self.jobs[index].ends() {
            self.ends.remove(&(time, index));
        }
    }

    fn start_waiting(&mut self, collector: &str, now: Timestamp) {
        let Some(mut floor) = self.collectors.remove(collector) else { return };
        let mut kept = VecDeque::new();
        while let Some(index) = floor.waiting.pop_front() {
            let job = &self.jobs[index];
            let realtime = job.kind() == Kind::Realtime;
            let full = floor.running.len() >= job.rules().api.jobs_max;
            let ahead = floor.running.iter().chain(&kept).map(|&other| &self.jobs[other]);
            if !realtime && (full || blocked(job, ahead)) {
                kept.push_back(index);
                if full && floor.waiting.iter().all(|&other| self.jobs[other].kind() != Kind::Realtime) {
                    kept.append(&mut floor.waiting);
                }
            } else {
                // Real-time requests have a limit of their own (page `specifications`), so they do not count here.
                if !realtime {
                    floor.running.insert(index);
                }
                self.run(index, now, 0);
            }
        }
        floor.waiting = kept;
        self.collectors.insert(collector.to_owned(), floor);
    }
}

fn blocked<'a>(job: &Job, mut ahead: impl Iterator<Item = &'a Job>) -> bool {
    match behind(job) {
        Behind::Nothing => false,
        Behind::Collector => ahead.next().is_some(),
        Behind::Queue(name) => ahead.any(|other| behind(other) == Behind::Queue(name)),
    }
}

fn behind(job: &Job) -> Behind<'_> {
    wait(job.rules().api.queue_next, job.query())
}

fn wait(reading: QueueNext, query: &[(String, String)]) -> Behind<'_> {
    let param = |name| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if let Some(name) = param("queue") {
        return Behind::Queue(name);
    }
    // "Replace request": it runs instead of what it cancels.
    if param("confirm_cancel") == Some("1") {
        return Behind::Nothing;
    }
    match (reading, param("queue_next") == Some("1")) {
        (QueueNext::Now, false) | (QueueNext::Behind, true) => Behind::Collector,
        (QueueNext::Now, true) | (QueueNext::Behind, false) | (QueueNext::Ignored, _) => Behind::Nothing,
    }
}

/// Whether a trigger with this query is to run beside the jobs that are running.
pub(super) fn runs_beside(reading: QueueNext, query: &[(String, String)]) -> bool {
    let replaces = query.iter().any(|(key, value)| key == "confirm_cancel" && value == "1");
    wait(reading, query) == Behind::Nothing && !replaces
}
