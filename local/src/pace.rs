//! How fast inputs get done, and how long the rest takes: only said where enough has been seen.

use std::time::Duration;

/// Before this long, a rate says more about the start than about the run.
const RATE_AFTER: Duration = Duration::from_secs(5);
/// Inputs get done a collection at a time: fewer steps than this show no pace.
const STEPS_MIN: u32 = 3;
/// Of the inputs that were open at first, the share that has to be done, as a divisor.
const SHARE_MIN: u64 = 20;
/// After so many times the longest pause between two steps without another step, the pace is not what it was.
const PAUSES_MAX: u32 = 2;

/// What has been seen of one run since this process watches it. What happened before does not count: nobody knows for how long the work
/// stood still.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    first: Option<(Duration, u64)>,
    done: u64,
    now: Duration,
    step_at: Duration,
    steps: u32,
    pause: Duration,
}

impl Pace {
    /// So many inputs are done at this time, on a clock that only goes on.
    pub fn see(&mut self, now: Duration, done: u64) {
        self.now = now;
        if self.first.is_none() {
            self.first = Some((now, done));
            (self.done, self.step_at) = (done, now);
        }
        if done > self.done {
            self.pause = self.pause.max(now.saturating_sub(self.step_at));
            (self.done, self.step_at) = (done, now);
            self.steps += 1;
        }
    }

    /// Inputs done per minute.
    pub fn per_minute(&self) -> Option<f64> {
        let (at, done) = self.first?;
        let took = self.now.saturating_sub(at);
        if took < RATE_AFTER || self.done == done {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let done = (self.done - done) as f64;
        Some(done * 60.0 / took.as_secs_f64())
    }

    /// How long so many more inputs take at this pace. Nothing while the end of the file is unknown: that is for the caller to know.
    pub fn left(&self, open: u64) -> Option<Duration> {
        let (_, first) = self.first?;
        let seen = self.done - first;
        let slower = self.now.saturating_sub(self.step_at) > self.pause * PAUSES_MAX + RATE_AFTER;
        if self.steps < STEPS_MIN || slower || seen * SHARE_MIN < seen + open {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let minutes = open as f64 / self.per_minute()?;
        // However few are left, they get done with the next step.
        Duration::try_from_secs_f64(minutes * 60.0).ok().map(|left| left.max(self.pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seen: &[(u64, u64)]) -> Pace {
        let mut pace = Pace::default();
        seen.iter().for_each(|(second, done)| pace.see(Duration::from_secs(*second), *done));
        pace
    }

    #[test]
    fn a_steady_pace_says_its_rate_and_the_time_left() {
        // 100 inputs were done before this process began to watch.
        let pace = after(&[(10, 100), (20, 110), (30, 120), (40, 130)]);
        assert_eq!(pace.per_minute(), Some(60.0));
        assert_eq!(pace.left(90), Some(Duration::from_secs(90)));
        assert_eq!(pace.left(1), Some(Duration::from_secs(10)), "steps come every ten seconds");
    }

    #[test]
    fn nothing_is_said_before_enough_was_seen() {
        assert_eq!((after(&[]).per_minute(), after(&[]).left(1)), (None, None));
        assert_eq!(after(&[(0, 0), (4, 50)]).per_minute(), None, "too soon");
        assert_eq!(after(&[(0, 7), (60, 7)]).per_minute(), None, "nothing done");
        assert_eq!(after(&[(0, 0), (10, 50), (20, 60)]).left(40), None, "two steps");
        let three = [(0, 0), (10, 10), (20, 20), (30, 30)];
        assert!(after(&three).left(500).is_some());
        assert_eq!(after(&three).left(10_000), None, "a small share");
        assert!(after(&[&three[..], &[(50, 30)]].concat()).left(500).is_some());
        assert_eq!(after(&[&three[..], &[(60, 30)]].concat()).left(500), None, "it stands still");
    }
}
