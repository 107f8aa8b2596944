//! A thousand files of a thousand batches each: which limit is met first. A model of messages and turns, because a million batches with all
//! their records are more than a machine holds; waits are the pipeline's own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use jiff::Timestamp;
use pipeline::schedule::{first_look, later, next_look};
use serde_json::{Value, json};

const FILES: u32 = 1_000;
const BATCHES: u32 = 1_000;
/// Duration of a job, in milliseconds.
const JOB: u64 = 600_000;
/// One turn of `poll`, in milliseconds: 9.4 calls of AWS of 20 ms and 1.2 of the API of 100 ms, as `bench/run cost` counts them.
const TURN: u64 = 310;
/// One batch in a turn of `trigger`: recorded and sent.
const SEND: u64 = 350;
/// Messages that were received and are not deleted, of one queue (SQS quota).
const IN_FLIGHT_MAX: usize = 120_000;

/// What a stack and an API allow.
#[derive(Clone, Copy)]
struct Limits {
    /// `MaxConcurrency`.
    concurrency: usize,
    /// Jobs that the API runs at once, over all collectors.
    jobs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A batch was sent: its reminder is on its way, and its job waits for a place.
    Sent(u32),
    JobEnds(u32),
    /// A message can be received.
    Visible {
        batch: u32,
        received: bool,
    },
    /// A worker is free, having found the job over or not.
    TurnEnds {
        batch: u32,
        over: bool,
    },
}

struct Model {
    limits: Limits,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    sent: Vec<u64>,
    ended: Vec<u64>,
    places: usize,
    queued: VecDeque<u32>,
    visible: VecDeque<u32>,
    idle: usize,
    in_flight: usize,
    in_flight_most: usize,
    turns: u64,
    late: u64,
}

pub(crate) fn run() -> Value {
    let rows: Vec<Value> =
        [(10, 1_000_000), (100, 1_000_000), (1_000, 1_000_000), (100, 10_000), (100, 1_000), (10, 1_000)]
            .map(|(concurrency, jobs)| Model::new(Limits { concurrency, jobs }).run())
            .into();
    json!({"files": FILES, "batches": BATCHES, "job": JOB / 1_000, "rows": rows})
}

impl Model {
    fn new(limits: Limits) -> Self {
        let all = (FILES * BATCHES) as usize;
        let (events, visible, queued) = (BinaryHeap::new(), VecDeque::new(), VecDeque::new());
        let (sent, ended) = (vec![0; all], vec![u64::MAX; all]);
        let (places, idle) = (limits.jobs, limits.concurrency);
        Self {
            limits,
            events,
            sent,
            ended,
            places,
            queued,
            visible,
            idle,
            in_flight: 0,
            in_flight_most: 0,
            turns: 0,
            late: 0,
        }
    }

    fn run(mut self) -> Value {
        // So many files are read at the same time, and each sends its batches one after the other.
        let mut all_sent = 0;
        for file in 0..FILES {
            let begins = u64::from(file) / self.limits.concurrency as u64 * u64::from(BATCHES) * SEND;
            for batch in 0..BATCHES {
                let at = begins + u64::from(batch + 1) * SEND;
                all_sent = all_sent.max(at);
                self.events.push(Reverse((at, Event::Sent(file * BATCHES + batch))));
            }
        }
        let mut now = 0;
        while let Some(Reverse((at, event))) = self.events.pop() {
            now = at;
            self.happens(now, event);
            self.receive(now);
        }
        let all = f64::from(FILES * BATCHES);
        json!({
            "concurrency": self.limits.concurrency, "jobs": self.limits.jobs, "sent": all_sent / 1_000, "over": now / 1_000,
            "late": self.late as f64 / all / 1_000.0, "turns": self.turns as f64 / all, "in_flight": self.in_flight_most,
        })
    }

    fn happens(&mut self, now: u64, event: Event) {
        match event {
            Event::Sent(batch) => {
                self.sent[batch as usize] = now;
                let seen = now + u64::from(first_look(Timestamp::UNIX_EPOCH, None)) * 1_000;
                self.events.push(Reverse((seen, Event::Visible { batch, received: false })));
                self.queued.push_back(batch);
                self.start(now);
            }
            Event::JobEnds(batch) => {
                self.ended[batch as usize] = now;
                self.places += 1;
                self.start(now);
            }
            Event::Visible { batch, received } => {
                self.in_flight -= usize::from(received);
                self.visible.push_back(batch);
            }
            Event::TurnEnds { batch, over } => {
                self.idle += 1;
                if over {
                    self.in_flight -= 1;
                    return;
                }
                let age = (now - self.sent[batch as usize]).div_ceil(1_000);
                let start = Timestamp::UNIX_EPOCH;
                let wait = next_look(start, later(start, i64::try_from(age).unwrap_or(i64::MAX)), None);
                let seen = now + u64::from(wait) * 1_000;
                self.events.push(Reverse((seen, Event::Visible { batch, received: true })));
            }
        }
    }

    /// Jobs take the free places of the API, in order.
    fn start(&mut self, now: u64) {
        while self.places > 0
            && let Some(batch) = self.queued.pop_front()
        {
            self.places -= 1;
            self.events.push(Reverse((now + JOB, Event::JobEnds(batch))));
        }
    }

    /// Idle workers take messages, as long as the queue lets them.
    fn receive(&mut self, now: u64) {
        while self.idle > 0
            && self.in_flight < IN_FLIGHT_MAX
            && let Some(batch) = self.visible.pop_front()
        {
            let ended = self.ended[batch as usize];
            let over = ended <= now;
            self.late += if over { now - ended } else { 0 };
            self.idle -= 1;
            self.turns += 1;
            self.in_flight += 1;
            self.in_flight_most = self.in_flight_most.max(self.in_flight);
            self.events.push(Reverse((now + TURN, Event::TurnEnds { batch, over })));
        }
    }
}
