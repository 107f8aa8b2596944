//! When to look at a collection again.

use jiff::Timestamp;

use crate::policy::limits;

/// Shortest wait between two looks, in seconds.
const LEAST: f64 = 5.0;
/// Share of a collection's age that it waits for the next look: the finish is noticed at most this fraction of the job's own time
/// late (plus [`LEAST`]), and a job of six hours costs 55 looks.
const SHARE: f64 = 0.12;

/// Seconds to wait for the next look at a collection that was accepted at `since`. `hint` is what the API asked for.
pub fn next_look(since: Timestamp, now: Timestamp, hint: Option<u32>) -> u32 {
    let age = seconds_between(since, now).max(0) as f64;
    let own = (LEAST + SHARE * age) as u32;
    own.max(hint.unwrap_or(0)).min(limits::WAIT_SECONDS_MAX)
}

/// Seconds to wait for the first look, counted from the trigger.
pub fn first_look(now: Timestamp, start_eta: Option<Timestamp>) -> u32 {
    let start = start_eta.map_or(0, |eta| seconds_between(now, eta).max(0));
    (u32::try_from(start).unwrap_or(u32::MAX).saturating_add(LEAST as u32)).min(limits::DELAY_SECONDS_MAX)
}

/// Seconds to wait after the `failures`-th refusal in a row: 30 s, doubling, 15 minutes at most.
pub fn backoff(failures: u32) -> u32 {
    30_u32.saturating_mul(1 << failures.saturating_sub(1).min(5)).min(900)
}

/// Whole seconds from `from` to `to`, rounded up; negative when `to` is earlier.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    let milliseconds = to.as_millisecond() - from.as_millisecond();
    milliseconds.div_euclid(1_000) + i64::from(milliseconds.rem_euclid(1_000) > 0)
}

/// `at` and so many seconds; the far future instead of an overflow.
pub fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks until a job of `duration` seconds is noticed, and how late.
    fn follow(duration: u32) -> (u32, u32) {
        let start = Timestamp::UNIX_EPOCH;
        let mut age = first_look(start, None);
        let mut looks = 1;
        while age < duration {
            age += next_look(start, later(start, i64::from(age)), None);
            looks += 1;
        }
        (looks, age - duration)
    }

    #[test]
    fn finishing_is_noticed_soon_and_waiting_is_cheap() {
        for duration in [10, 60, 600, 3_600, 21_600] {
            let (looks, late) = follow(duration);
            assert!(f64::from(late) <= 0.12 * f64::from(duration) + 5.0, "{duration} s: {late} s late");
            assert!(looks <= 60, "{duration} s: {looks} looks");
        }
    }

    #[test]
    fn the_api_may_ask_for_more() {
        let start = Timestamp::UNIX_EPOCH;
        assert_eq!(next_look(start, start, Some(30)), 30);
        assert_eq!(next_look(start, start, Some(1)), 5);
        assert_eq!(first_look(start, Some(later(start, 60))), 65);
        assert_eq!((backoff(1), backoff(3), backoff(99)), (30, 120, 900));
    }
}
