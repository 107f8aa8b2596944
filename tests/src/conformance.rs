//! What every adapter of a port has to do, checked the same way for all of them.
//!
//! A suite is a list of named checks. It runs all of them and says which failed, so that one run against a new adapter shows everything
//! that is wrong with it. Checks keep to keys of their own, and allow what the contract allows: a queue may deliver twice.

use std::error::Error;
use std::fmt::Debug;
use std::pin::Pin;

mod inputs;
mod queues;
mod stores;

pub use inputs::{InputsProbe, check_inputs};
pub use queues::{QueueProbe, check_queues};
pub use stores::check_store;

/// What a check says: nothing, or what is wrong.
type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// A check that is ready to run.
type Check<'a> = (&'static str, Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>);

/// The named functions as checks of one room.
macro_rules! checks {
    ($room:expr, $($name:ident),+ $(,)?) => {
        vec![$((stringify!($name), Box::pin($name($room)) as std::pin::Pin<Box<dyn Future<Output = _> + Send + '_>>)),+]
    };
}
use checks;

/// How the checks of one adapter went.
#[derive(Debug)]
pub struct Report {
    adapter: String,
    passed: Vec<&'static str>,
    failed: Vec<(&'static str, String)>,
}

impl Report {
    async fn of(adapter: &str, checks: Vec<Check<'_>>) -> Self {
        let mut report = Self { adapter: adapter.to_owned(), passed: Vec::new(), failed: Vec::new() };
        for (name, check) in checks {
            match check.await {
                Ok(()) => report.passed.push(name),
                Err(error) => report.failed.push((name, with_sources(error.as_ref()))),
            }
        }
        report
    }

    /// Names of the checks that failed, with what was wrong.
    pub fn failed(&self) -> &[(&'static str, String)] {
        &self.failed
    }

    /// Panics unless all checks passed.
    #[track_caller]
    pub fn assert(&self) {
        let failed: Vec<_> = self.failed.iter().map(|(name, why)| format!("\n  {name}: {why}")).collect();
        let (count, all) = (failed.len(), failed.len() + self.passed.len());
        assert!(count == 0, "{count} of {all} checks failed for {}:{}", self.adapter, failed.concat());
    }
}

fn with_sources(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

/// `got`, which has to be `expected`.
fn same<T: PartialEq<U> + Debug, U: Debug>(what: &str, got: T, expected: U) -> Outcome {
    holds(got == expected, || format!("{what}: got {}, expected {}", short(&got), short(&expected)))
}

/// A condition, and what is wrong when it does not hold.
fn holds(condition: bool, wrong: impl FnOnce() -> String) -> Outcome {
    if condition { Ok(()) } else { Err(wrong().into()) }
}

/// Bodies and lists are long.
fn short(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
