//! What is counted: calls of the ports by what they are about, turns of the functions, and the processor time of each.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clocks::thread_cpu;

/// Counters that everything of one run shares.
#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<Tally>>);

/// What was counted.
#[derive(Default)]
pub(crate) struct Tally {
    /// Calls by port and name.
    pub(crate) calls: BTreeMap<&'static str, u64>,
    /// The same, told apart by what they are about.
    pub(crate) kinds: BTreeMap<String, u64>,
    /// Turns by function.
    pub(crate) turns: BTreeMap<&'static str, Turns>,
    /// Processor time of what stands in for AWS and the API.
    pub(crate) outside: Duration,
}

/// All turns of one function.
#[derive(Default, Clone, Copy)]
pub(crate) struct Turns {
    /// How many.
    pub(crate) number: u64,
    /// Processor time of the handler, without what stands in for AWS and the API.
    pub(crate) cpu: Duration,
    /// Time on the clock, which is what calls of AWS and the API take.
    pub(crate) wall: Duration,
}

impl Meter {
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call and the key that it is about.
    pub(crate) fn count(&self, call: &'static str, about: &str) {
        let mut tally = self.tally();
        *tally.calls.entry(call).or_default() += 1;
        *tally.kinds.entry(format!("{call} {}", kind_of(about))).or_default() += 1;
    }

    /// Does what AWS or the API would do; its processor time is not the handler's.
    pub(crate) async fn outside<T>(&self, work: impl Future<Output = T>) -> T {
        let before = thread_cpu();
        let done = work.await;
        self.tally().outside += thread_cpu().saturating_sub(before);
        done
    }

    /// Measures one turn of a function.
    pub(crate) async fn turn<T>(&self, function: &'static str, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let mut work = pin!(work);
        let mut spent = Duration::ZERO;
        let done = poll_fn(|context| {
            let (before, outside) = (thread_cpu(), self.tally().outside);
            let polled = work.as_mut().poll(context);
            let not_ours = self.tally().outside.saturating_sub(outside);
            spent += thread_cpu().saturating_sub(before).saturating_sub(not_ours);
            polled
        })
        .await;
        let mut tally = self.tally();
        let turns = tally.turns.entry(function).or_default();
        turns.number += 1;
        turns.cpu += spent;
        turns.wall += began.elapsed();
        done
    }
}

/// A key without what differs from run to run and from batch to batch.
fn kind_of(key: &str) -> String {
    for (place, rest) in [("ledger/collections/", ".json"), ("GET /dca/log/", "")] {
        if key.starts_with(place) {
            return format!("{place}<id>{rest}");
        }
    }
    key.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn segment(text: &str) -> String {
    let run = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if run {
        return "<run>".to_owned();
    }
    let mut short = String::new();
    for character in text.chars() {
        match character {
            digit if digit.is_ascii_digit() && short.ends_with('#') => {}
            digit if digit.is_ascii_digit() => short.push('#'),
            other => short.push(other),
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_kind_are_alike() {
        assert_eq!(
            kind_of("ledger/runs/0123456789abcdef/attempts/000012.01/00000-01000.send-001.intent.json"),
            "ledger/runs/<run>/attempts/#.#/#-#.send-#.intent.json"
        );
        assert_eq!(kind_of("ledger/collections/j_abc.json"), "ledger/collections/<id>.json");
    }
}
