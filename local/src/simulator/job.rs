//! A job (a "collection"): what was accepted, and how far it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    builtin::Rules,
    dice::Dice,
    outcome::{Outcome, outcome},
    reads::Counts,
    text,
};

/// How a job came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `POST /dca/trigger`.
    Batch,
    /// `POST /dca/jobs/{id}/rerun`.
    Rerun,
    /// `POST /dca/trigger_immediate` or `/dca/crawl`; its id is a `response_id`.
    Realtime,
}

/// What a request asked for and the service accepted; also the form in which it is journalled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Accepted {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) collector: String,
    pub(super) at: Timestamp,
    pub(super) query: Vec<(String, String)>,
    /// The inputs as compact JSON, spelled as they were sent.
    pub(super) inputs: Vec<String>,
}

/// One input of a job that is run.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Its place in `Accepted::inputs`.
    pub(super) place: usize,
    /// A hash of collector and canonical input.
    pub(super) key: u64,
    /// How many jobs of the collector had it before.
    pub(super) before: u32,
    /// Its place in the job's run time, in [0, 1).
    pub(super) moment: f64,
}

/// What a job is made of; shared with the datasets that are being streamed.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) accepted: Accepted,
    pub(super) pages: Vec<Page>,
    pub(super) rules: Arc<Rules>,
    /// An earlier job of the same collector, whose rows may get in (quirk 22).
    pub(super) neighbour: Option<Arc<Sheet>>,
}

impl Sheet {
    /// Collapses equal inputs (page `job-data`: `dup_inputs`), and counts in `seen` which of them were there before.
    pub(super) fn new(
        accepted: Accepted,
        rules: Arc<Rules>,
        neighbour: Option<Arc<Self>>,
        seen: &mut BTreeMap<u64, u32>,
    ) -> Self {
        let mut known = BTreeSet::new();
        let mut pages = Vec::with_capacity(accepted.inputs.len());
        let collector = Dice::new(rules.seed, "input").text(&accepted.collector);
        for (place, input) in accepted.inputs.iter().enumerate() {
            let canonical = text::canonical(&serde_json::from_str(input).unwrap_or(Value::Null));
            let key = collector.text(&canonical).value();
            if known.insert(canonical) || !rules.jobs.collapse_duplicates {
                let moment = Dice::new(rules.seed, "moment").text(&accepted.id).number(key).unit();
                pages.push(Page { place, key, before: seen.get(&key).copied().unwrap_or(0), moment });
            }
        }
        for key in pages.iter().map(|page| page.key).collect::<BTreeSet<_>>() {
            *seen.entry(key).or_insert(0) += 1;
        }
        Self { accepted, pages, rules, neighbour }
    }

    pub(super) fn text(&self, page: &Page) -> &str {
        &self.accepted.inputs[page.place]
    }

    pub(super) fn dice(&self, purpose: &str) -> Dice {
        Dice::new(self.rules.seed, purpose).text(&self.accepted.id)
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Failed,
    Canceled,
    Deadline,
}

/// Where a job is. `worked` counts run time in milliseconds, pauses excluded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    Waiting,
    Running { since: Timestamp, worked: i64 },
    Paused { worked: i64 },
    Ended { at: Timestamp, worked: i64, end: End },
}

/// An accepted job.
#[derive(Debug)]
pub struct Job {
    pub(super) sheet: Arc<Sheet>,
    pub(super) state: State,
    pub(super) started: Option<Timestamp>,
    /// Run time that all inputs need, in milliseconds.
    pub(super) needs: i64,
    pub(super) deadline: Option<i64>,
    /// The figures of an ended job, counted once.
    pub(super) counts: OnceLock<Counts>,
}

impl Job {
    pub(super) fn new(sheet: Sheet, deadline: Option<i64>) -> Self {
        let jobs = &sheet.rules.jobs;
        let seconds = match sheet.accepted.kind {
            Kind::Realtime => jobs.realtime_seconds,
            Kind::Batch | Kind::Rerun => {
                let spread = jobs.spread_seconds * sheet.dice("spread").unit();
                let all = jobs.base_seconds + jobs.per_input_seconds * sheet.pages.len() as f64 + spread;
                all.min(jobs.longest_seconds)
            }
        };
        Self {
            state: State::Waiting,
            started: None,
            needs: millis(seconds),
            deadline,
            counts: OnceLock::new(),
            sheet: Arc::new(sheet),
        }
    }

    /// `j_…`, or the `response_id` of a real-time request.
    pub fn id(&self) -> &str {
        &self.sheet.accepted.id
    }

    /// How it came to be.
    pub fn kind(&self) -> Kind {
        self.sheet.accepted.kind
    }

    /// `c_…`.
    pub fn collector(&self) -> &str {
        &self.sheet.accepted.collector
    }

    /// When it was accepted.
    pub fn at(&self) -> Timestamp {
        self.sheet.accepted.at
    }

    /// The query of its trigger; the only place where `name` is kept.
    pub fn query(&self) -> &[(String, String)] {
        &self.sheet.accepted.query
    }

    /// Its inputs in the order of the body, duplicates included, as compact JSON in the spelling of the sender.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.sheet.accepted.inputs.iter().map(String::as_str)
    }

    /// The same, parsed.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Value> + '_ {
        self.texts().map(|input| serde_json::from_str(input).unwrap_or(Value::Null))
    }

    /// The status word of its log, as far as the service has been asked since.
    pub fn status(&self) -> &'static str {
        match self.state {
            State::Waiting => "queued",
            State::Running { .. } => "running",
            State::Paused { .. } => "paused",
            State::Ended { end: End::Failed, .. } => "failed",
            State::Ended { end: End::Canceled, .. } if self.rules().jobs.cancelled_with_ll => "cancelled",
            State::Ended { end: End::Canceled, .. } => "canceled",
            State::Ended { end: End::Done | End::Deadline, .. } => "done",
        }
    }

    /// What becomes of its distinct inputs, as far as is known at `now`: the input with records, warnings and errors.
    pub(super) fn outcomes(&self, now: Timestamp) -> impl Iterator<Item = (&Page, Outcome<'_>)> {
        let worked = self.worked(now);
        let end = self.end();
        let reached = move |page: &&Page| end.is_some() || self.reached(page, worked);
        let pages = self.sheet.pages.iter().filter(reached);
        pages.map(move |page| (page, outcome(&self.sheet, page, self.stop())))
    }

    fn reached(&self, page: &Page, worked: i64) -> bool {
        page.moment * (self.needs as f64) < worked as f64
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.sheet.rules
    }

    pub(super) fn worked(&self, now: Timestamp) -> i64 {
        match self.state {
            State::Waiting => 0,
            State::Running { since, worked } => worked + between(since, now),
            State::Paused { worked } | State::Ended { worked, .. } => worked,
        }
    }

    pub(super) fn end(&self) -> Option<End> {
        match self.state {
            State::Ended { end, .. } => Some(end),
            _ => None,
        }
    }

    /// Up to which moment its inputs were run, if it was stopped, and why.
    pub(super) fn stop(&self) -> Option<(f64, End)> {
        match self.state {
            State::Ended { worked, end, .. } if end != End::Done => {
                Some((worked as f64 / self.needs.max(1) as f64, end))
            }
            _ => None,
        }
    }

    /// When it will end by itself, if it runs.
    pub(super) fn ends(&self) -> Option<(Timestamp, End)> {
        let State::Running { since, worked } = self.state else { return None };
        let dice = self.sheet.dice("end");
        let jobs = &self.rules().jobs;
        let ordinary = self.kind() != Kind::Realtime;
        let by_itself = if ordinary && dice.text("stuck").chance(jobs.stuck) {
            None
        } else if ordinary && dice.text("failed").chance(jobs.failed) {
            Some((self.needs / 2, End::Failed))
        } else {
            Some((self.needs, End::Done))
        };
        let end = match (by_itself, self.deadline) {
            (Some((needs, _)), Some(deadline)) if deadline < needs => (deadline, End::Deadline),
            (None, Some(deadline)) => (deadline, End::Deadline),
            (Some(end), _) => end,
            (None, None) => return None,
        };
        Some((after(since, (end.0 - worked).max(0)), end.1))
    }

    /// When its data is deleted: 16 days, rounded up to midnight (sample of page `list-jobs`).
    pub(super) fn expires(&self) -> Timestamp {
        let jobs = &self.rules().jobs;
        if let Some(seconds) = jobs.expires_seconds {
            return after(self.at(), millis(seconds));
        }
        let midnight =
            self.at().to_zoned_datetime(TimeZone::UTC).start_of_day().map_or(self.at(), |day| day.timestamp());
        after(midnight, (i64::from(jobs.expires_days) + 1) * 86_400_000)
    }
}

pub(super) fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

pub(super) fn after(from: Timestamp, millis: i64) -> Timestamp {
    from.saturating_add(SignedDuration::from_millis(millis)).unwrap_or(Timestamp::MAX)
}

pub(super) fn between(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap_or(i64::MAX)
}

/// ISO 8601 with milliseconds, as in every sample.
pub(super) fn stamp(time: Timestamp) -> String {
    format!("{time:.3}")
}
