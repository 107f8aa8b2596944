//! What is spent and reserved: one mutable object, and how it changes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Limit, Limits, Paid, Per, Wanted};
use crate::words::{AttemptId, RunId, Slice};

/// Inputs whose page loads are remembered of a collector, at most: what it took long ago counts less and less.
const REMEMBERED_MAX: u64 = 10_000;

/// `control/spending.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Format version.
    pub v: u32,
    /// The day that is counted, as `2026-11-26`, UTC.
    pub day: String,
    /// The limits that whoever wrote it last goes by: page loads by name.
    pub limits: BTreeMap<String, u64>,
    /// Page loads that attempts which are over have paid for, of this day and its month; under the names of limits.
    pub paid: BTreeMap<String, u64>,
    /// The same of each run that is not over.
    pub runs: BTreeMap<RunId, u64>,
    /// What attempts that are not over have reserved.
    pub open: Vec<Reservation>,
    /// What collectors took lately.
    pub loads: BTreeMap<String, Loads>,
    /// Runs of which something waits for a limit.
    pub waiting: BTreeMap<RunId, Waiting>,
}

/// Page loads that are reserved for a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: AttemptId,
    /// The slice.
    pub slice: Slice,
    /// Its collector.
    pub collector: String,
    /// How many.
    pub page_loads: u64,
    /// The day on which they count.
    pub day: String,
    /// When they were reserved.
    pub at: Timestamp,
}

/// How many page loads inputs took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loads {
    /// Inputs.
    pub inputs: u64,
    /// Their page loads.
    pub page_loads: u64,
}

/// What a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Name of the limit.
    pub limit: String,
    /// Since when.
    pub since: Timestamp,
    /// In words.
    pub why: String,
}

/// How far a limit is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// Name of the limit.
    pub name: String,
    /// Page loads that it allows.
    pub limit: u64,
    /// Page loads that were paid for.
    pub spent: u64,
    /// Page loads that are reserved.
    pub reserved: u64,
}

/// The day of a moment, UTC.
pub(crate) fn day_of(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// The month of a day.
pub(crate) fn month_of(day: &str) -> &str {
    day.get(..7).unwrap_or(day)
}

impl Book {
    /// Begins a new day where it is one. Never an older one: clocks of handlers differ.
    pub(super) fn turn_over(&mut self, now: Timestamp) {
        let today = day_of(now);
        if today <= self.day {
            return;
        }
        let month = month_of(&today) != month_of(&self.day);
        self.paid.retain(|name, _| {
            let per = name.rsplit('.').next();
            per == Some(Per::Month.name()) && !month
        });
        self.day = today;
    }

    /// Reserves what is wanted; whether anything has changed. The limit that leaves no room is the error, unless the run may go over it.
    pub(super) fn reserve(
        &mut self,
        limits: &Limits,
        now: Timestamp,
        wanted: &Wanted<'_>,
        over: bool,
    ) -> Result<bool, Limit> {
        // What was sent on an earlier day counts there.
        let sent_on = |day: &str| wanted.abandoned.iter().filter(|at| day_of(**at) == day).count() as u64;
        let page_loads = self.estimate(wanted.collector, wanted.inputs).saturating_mul(1 + sent_on(&self.day));
        let own = |open: &Reservation| open.attempt == *wanted.attempt && open.slice == wanted.slice;
        if self.open.iter().any(|open| own(open) && open.day == self.day && open.page_loads >= page_loads) {
            return Ok(false);
        }
        // Where a slice was refused and halved, what was reserved for it makes room for its halves.
        let today = self.day.clone();
        let replaced = |open: &Reservation| {
            let outdated = open.day == today || sent_on(&open.day) == 0;
            open.attempt == *wanted.attempt && holds(open.slice, wanted.slice) && outdated
        };
        let room = |limit: &&Limit| {
            let used = self.used(limit, &wanted.attempt.run, |open| !replaced(open));
            used.0.saturating_add(used.1).saturating_add(page_loads) <= limit.page_loads
        };
        if !over && let Some(limit) = limits.of(wanted.collector).find(|limit| !room(limit)) {
            return Err(limit.clone());
        }
        self.open.retain(|open| !replaced(open));
        self.waiting.remove(&wanted.attempt.run);
        self.open.push(Reservation {
            attempt: wanted.attempt.clone(),
            slice: wanted.slice,
            collector: wanted.collector.to_owned(),
            page_loads,
            day: self.day.clone(),
            at: now,
        });
        Ok(true)
    }

    /// Notes that a run waits; whether that is news.
    pub(super) fn wait(&mut self, run: &RunId, now: Timestamp, limit: &Limit, why: &str) -> bool {
        let limit = limit.name();
        if self.waiting.get(run).is_some_and(|known| known.limit == limit) {
            return false;
        }
        let why = why.to_owned();
        self.waiting.insert(run.clone(), Waiting { limit, since: now, why });
        true
    }

    /// Puts what was paid in the place of what was reserved; whether anything has changed.
    pub(super) fn settle(&mut self, attempt: &AttemptId, paid: &Paid) -> bool {
        let Some(open) = self.open.iter().find(|open| open.attempt == *attempt) else { return false };
        let collector = open.collector.clone();
        self.open.retain(|open| open.attempt != *attempt);
        for (at, page_loads) in &paid.page_loads {
            let day = day_of(*at);
            if day == self.day {
                self.pay(Per::Day, &collector, *page_loads);
            }
            if month_of(&day) == month_of(&self.day) {
                self.pay(Per::Month, &collector, *page_loads);
            }
            let run = self.runs.entry(attempt.run.clone()).or_default();
            *run = run.saturating_add(*page_loads);
        }
        self.learn(&collector, paid.known);
        true
    }

    fn pay(&mut self, per: Per, collector: &str, page_loads: u64) {
        for collector in [None, Some(collector.to_owned())] {
            let name = Limit { collector, per, page_loads: 0 }.name();
            let spent = self.paid.entry(name).or_default();
            *spent = spent.saturating_add(page_loads);
        }
    }

    /// Forgets a run that is over; whether anything was known of it.
    pub(super) fn forget(&mut self, run: &RunId) -> bool {
        let known = self.runs.remove(run).is_some();
        self.waiting.remove(run).is_some() || known
    }

    /// Drops what is reserved for an attempt that is over and settled; whether anything was.
    pub(super) fn drop_of(&mut self, attempt: &AttemptId) -> bool {
        let before = self.open.len();
        self.open.retain(|open| open.attempt != *attempt);
        self.open.len() != before
    }

    /// How far each limit is used up that does not belong to a file.
    pub fn bars(&self) -> Vec<Bar> {
        let bar = |(name, limit): (&String, &u64)| {
            let (collector, per) = name.rsplit_once('.').map_or((None, name.as_str()), |(of, per)| (Some(of), per));
            let per = [Per::Day, Per::Month].into_iter().find(|known| known.name() == per)?;
            let of = Limit { collector: collector.map(str::to_owned), per, page_loads: *limit };
            let spent = self.paid.get(name).copied().unwrap_or(0);
            let counts = |open: &&Reservation| self.counts(&of, open);
            let reserved = self.open.iter().filter(counts).map(|open| open.page_loads).sum();
            Some(Bar { name: name.clone(), limit: *limit, spent, reserved })
        };
        self.limits.iter().filter_map(bar).collect()
    }

    /// Spent and reserved of a limit, of the reservations that `which` takes.
    fn used(&self, limit: &Limit, run: &RunId, which: impl Fn(&Reservation) -> bool) -> (u64, u64) {
        let of_run = |open: &Reservation| limit.per != Per::File || open.attempt.run == *run;
        let open = self.open.iter().filter(|open| self.counts(limit, open) && of_run(open) && which(open));
        let spent = match limit.per {
            Per::File => self.runs.get(run),
            _ => self.paid.get(&limit.name()),
        };
        (spent.copied().unwrap_or(0), open.map(|open| open.page_loads).fold(0, u64::saturating_add))
    }

    /// Whether a reservation counts for a limit now.
    fn counts(&self, limit: &Limit, open: &Reservation) -> bool {
        limit.collector.as_deref().is_none_or(|of| of == open.collector)
            && match limit.per {
                Per::File => true,
                Per::Day => open.day == self.day,
                Per::Month => month_of(&open.day) == month_of(&self.day),
            }
    }

    /// Page loads that so many inputs will take, as far as is known: one each at least.
    pub(super) fn estimate(&self, collector: &str, inputs: u32) -> u64 {
        let Loads { inputs: known, page_loads } = self.loads.get(collector).copied().unwrap_or_default();
        let inputs = u64::from(inputs);
        if known == 0 { inputs } else { inputs.saturating_mul(page_loads).div_ceil(known).max(inputs) }
    }

    fn learn(&mut self, collector: &str, (inputs, page_loads): (u64, u64)) {
        if inputs == 0 {
            return;
        }
        let loads = self.loads.entry(collector.to_owned()).or_default();
        *loads = Loads {
            inputs: loads.inputs.saturating_add(inputs),
            page_loads: loads.page_loads.saturating_add(page_loads),
        };
        while loads.inputs > REMEMBERED_MAX {
            *loads = Loads { inputs: loads.inputs / 2, page_loads: loads.page_loads / 2 };
        }
    }
}

/// Whether a slice is another one, or holds it.
fn holds(outer: Slice, inner: Slice) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::later;

    const NOON: i64 = 1_000 * 86_400 + 43_200;

    fn noon() -> Timestamp {
        later(Timestamp::UNIX_EPOCH, NOON)
    }

    fn attempt(batch: u32) -> AttemptId {
        AttemptId { run: RunId::parse("0123456789abcdef").unwrap(), batch, attempt: 1 }
    }

    fn wanted(attempt: &AttemptId, start: u32, end: u32) -> Wanted<'_> {
        let slice = Slice { start, end };
        Wanted { attempt, slice, collector: "c_one1", inputs: slice.len(), abandoned: Vec::new() }
    }

    fn today() -> Book {
        let mut book = Book::default();
        book.turn_over(noon());
        book
    }

    fn refused(book: &mut Book, limits: &str, wanted: &Wanted<'_>) -> Option<String> {
        book.reserve(&limits.parse().unwrap(), noon(), wanted, false).err().map(|limit| limit.name())
    }

    #[test]
    fn every_limit_that_holds_is_asked() {
        let (one, two) = (attempt(1), attempt(2));
        for limits in ["day=15", "month=15", "file=15", "c_one1.day=15", "c_one1.month=15", "c_one1.file=15"] {
            let mut book = today();
            assert_eq!(refused(&mut book, limits, &wanted(&one, 0, 10)), None);
            assert_eq!(refused(&mut book, limits, &wanted(&one, 0, 10)), None, "once for the same slice");
            let name = limits.trim_end_matches("=15");
            assert_eq!(refused(&mut book, limits, &wanted(&two, 0, 10)).as_deref(), Some(name));
            assert_eq!(refused(&mut book, limits, &wanted(&two, 0, 5)), None);
        }
        assert_eq!(refused(&mut today(), "c_other1.day=1", &wanted(&one, 0, 10)), None);
    }

    #[test]
    fn what_was_paid_takes_the_place_of_what_was_reserved_once() {
        let (one, two) = (attempt(1), attempt(2));
        let mut book = today();
        assert_eq!(refused(&mut book, "day=20", &wanted(&one, 0, 10)), None);
        let paid = Paid { page_loads: vec![(noon(), 14)], known: (10, 14) };
        assert!(book.settle(&one, &paid) && !book.settle(&one, &paid));
        assert_eq!((book.paid["day"], book.paid["c_one1.month"], book.runs[&one.run]), (14, 14, 14));
        // Inputs of this collector take more than one page load.
        assert_eq!(refused(&mut book, "day=20", &wanted(&two, 0, 5)).as_deref(), Some("day"));
        assert_eq!(refused(&mut book, "day=20", &wanted(&two, 0, 4)), None);
        assert!(book.forget(&one.run) && book.runs.is_empty());
    }

    #[test]
    fn halves_take_the_place_of_the_whole() {
        let one = attempt(1);
        let mut book = today();
        for (start, end) in [(0, 10), (0, 5), (5, 10)] {
            assert_eq!(refused(&mut book, "day=10", &wanted(&one, start, end)), None, "{start}-{end}");
        }
        assert_eq!(book.open.len(), 2);
    }

    #[test]
    fn a_send_that_may_have_been_paid_for_counts_twice() {
        let one = attempt(1);
        let mut book = today();
        assert_eq!(refused(&mut book, "day=15", &wanted(&one, 0, 10)), None);
        let again = Wanted { abandoned: vec![noon()], ..wanted(&one, 0, 10) };
        assert_eq!(refused(&mut book, "day=15", &again).as_deref(), Some("day"));
        assert_eq!(refused(&mut book, "day=20", &again), None);
    }

    #[test]
    fn sends_of_earlier_days_do_not_count_on_this_one() {
        let one = attempt(1);
        let mut book = today();
        assert_eq!(refused(&mut book, "day=10", &wanted(&one, 0, 10)), None);
        let again = Wanted { abandoned: vec![noon()], ..wanted(&one, 0, 10) };
        assert_eq!(refused(&mut book, "day=10", &again).as_deref(), Some("day"));
        let tomorrow = later(noon(), 86_400);
        book.turn_over(tomorrow);
        let month = |limits: &str| book.clone().reserve(&limits.parse().unwrap(), tomorrow, &again, false).is_ok();
        assert!(month("day=10 month=20 file=20") && !month("day=10 month=19") && !month("file=19"));
        // Nothing left on the day before: what was reserved there goes.
        let unsent = |limits: &str| {
            let wanted = wanted(&one, 0, 10);
            book.clone().reserve(&limits.parse().unwrap(), tomorrow, &wanted, false).is_ok()
        };
        assert!(unsent("day=10 month=10 file=10"));
        let paid = Paid { page_loads: vec![(noon(), 10), (tomorrow, 10)], known: (0, 0) };
        assert!(book.reserve(&"day=10".parse().unwrap(), tomorrow, &again, false).unwrap() && book.settle(&one, &paid));
        assert_eq!((book.paid["day"], book.paid["month"], book.runs[&one.run], book.open.len()), (10, 20, 20, 0));
    }

    #[test]
    fn a_new_day_begins_with_nothing_spent_and_no_day_comes_back() {
        let (one, two) = (attempt(1), attempt(2));
        let mut book = today();
        assert_eq!(refused(&mut book, "day=10 month=15", &wanted(&one, 0, 10)), None);
        book.settle(&one, &Paid { page_loads: vec![(noon(), 10)], known: (0, 0) });
        book.turn_over(later(noon(), 86_400));
        book.turn_over(noon());
        assert_eq!(refused(&mut book, "day=10 month=15", &wanted(&two, 0, 10)).as_deref(), Some("month"));
        assert_eq!(refused(&mut book, "day=10 month=20", &wanted(&two, 0, 10)), None);
        let bars: Vec<_> = {
            book.limits = "day=10 month=20 file=9".parse::<Limits>().unwrap().by_name();
            book.bars().into_iter().map(|bar| (bar.name, bar.spent, bar.reserved)).collect()
        };
        assert_eq!(bars, [("day".to_owned(), 0, 10), ("month".to_owned(), 10, 10)]);
    }

    #[test]
    fn who_may_go_over_a_limit_is_counted_all_the_same() {
        let (one, two) = (attempt(1), attempt(2));
        let mut book = today();
        let limits: Limits = "day=5".parse().unwrap();
        let limit = book.reserve(&limits, noon(), &wanted(&one, 0, 10), false).unwrap_err();
        assert!(book.wait(&one.run, noon(), &limit, "full") && !book.wait(&one.run, noon(), &limit, "full"));
        assert_eq!(book.reserve(&limits, noon(), &wanted(&one, 0, 10), true), Ok(true));
        assert!(book.waiting.is_empty());
        assert_eq!(refused(&mut book, "day=14", &wanted(&two, 0, 5)).as_deref(), Some("day"));
    }
}
