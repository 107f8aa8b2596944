//! Looks at everything that a run needs, before anything is paid: settings, token, collector, clock, and the place where runs are.
//!
//! Nothing that starts paid work is ever sent (the transport carries questions only), and nothing is left behind.

mod api;
mod folder;
mod stack;
mod token;
mod watching;
mod work;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use adapters::config::{Config, ConfigError, Role};
use pipeline::ports::Clock;
use serde::{Serialize, Serializer};

use crate::report;
pub use stack::{POLL_SECONDS, RETRY_SECONDS, advice};

/// Columns of a state, with the space behind it.
const INDENT: usize = 9;
/// What the variables of the token begin with.
const TOKEN: &str = "BRIGHT_DATA_API_TOKEN";

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct Asked {
    /// A folder, or `s3://dataset-bucket`.
    pub place: String,
    /// Collector id, before `BRIGHT_DATA_COLLECTOR_ID`.
    pub collector: Option<String>,
    /// Whether an object may be written into the bucket, and deleted, to try its conditional writes out.
    pub write: bool,
}

/// Whose matter a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// A setting or the place is wrong.
    Setting,
    /// The API refuses the token.
    Credentials,
    /// Work waits for a person.
    Person,
    /// Something failed that should not.
    Ours,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing to do.
    Ok,
    /// It works, but may not be what is wanted.
    Warning,
    /// It does not work, or waits for a person.
    Problem(Blame),
    /// It could not be looked at.
    Skipped,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem(_) => "problem",
            Self::Skipped => "skipped",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// What came of looking at one thing. No text has a token or a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was seen.
    pub seen: String,
    /// What to do about it; for all that is not [`State::Ok`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, seen: impl Into<String>) -> Self {
        Self { name, state: State::Ok, seen: seen.into(), fix: None }
    }

    fn not_ok(name: &'static str, state: State, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, state, seen: seen.into(), fix: Some(fix.into()) }
    }

    fn warning(name: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::not_ok(name, State::Warning, seen, fix)
    }

    fn skipped(name: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::not_ok(name, State::Skipped, seen, fix)
    }

    fn problem(name: &'static str, blame: Blame, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::not_ok(name, State::Problem(blame), seen, fix)
    }

    /// For people: a line, and one with what to do.
    pub fn text(&self) -> String {
        let mut text = format!("{:<INDENT$}{}: {}", self.state.word(), self.name, self.seen);
        if let Some(fix) = &self.fix {
            let _ = write!(text, "\n{:INDENT$}-> {fix}", "");
        }
        text
    }
}

/// Reads variables of the environment.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks at everything, in the order in which a person would mend it.
pub async fn examine(asked: &Asked, lookup: Lookup<'_>, clock: Arc<dyn Clock>) -> Vec<Check> {
    let mut checks = vec![version(), settings(lookup)];
    checks.extend(api::checks(asked, lookup, &clock).await);
    checks.extend(match asked.place.strip_prefix("s3://") {
        Some(bucket) => stack::checks(asked, bucket.trim_end_matches('/'), lookup, &*clock).await,
        None => folder::checks(Path::new(&asked.place), &*clock).await,
    });
    checks
}

fn version() -> Check {
    let (os, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    Check::ok("version", format!("dropcollect {} for {os}, {processor}", env!("CARGO_PKG_VERSION")))
}

/// Everything but the token, which has a check of its own.
fn settings(lookup: Lookup<'_>) -> Check {
    let set = RefCell::new(BTreeSet::new());
    let config = Config::from(Role::Local, |name| {
        let value = get(lookup, name)?;
        set.borrow_mut().insert(name.to_owned());
        (!name.starts_with(TOKEN)).then_some(value)
    });
    let set = set.into_inner().into_iter().collect::<Vec<_>>().join(", ");
    match config {
        Ok(_) if set.is_empty() => Check::ok("settings", "no variable is set: defaults hold"),
        Ok(_) => Check::ok("settings", format!("set: {set}")),
        Err(ConfigError(problems)) => {
            let fix = "correct it, or unset it for the default; docs/reference.md has them all";
            Check::problem("settings", Blame::Setting, problems.join("; "), fix)
        }
    }
}

/// A variable; one that is empty counts as not set.
fn get(lookup: Lookup<'_>, name: &str) -> Option<String> {
    lookup(name).filter(|value| !value.trim().is_empty())
}

/// The settings as if only the variables were set that begin so: what is wrong with another one is no reason not to look at these.
fn only(lookup: Lookup<'_>, beginnings: &[&str]) -> Result<Config, ConfigError> {
    let asked = |name: &str| beginnings.iter().any(|beginning| name.starts_with(beginning));
    Config::from(Role::Local, |name| asked(name).then(|| lookup(name)).flatten())
}

fn counted(count: u64, one: &str, many: &str) -> String {
    report::counted(usize::try_from(count).unwrap_or(usize::MAX), one, many)
}

/// The first fix whose needle the text has.
fn fix_for(text: &str, fixes: &[(&str, &'static str)], otherwise: &'static str) -> &'static str {
    fixes.iter().find(|(needle, _)| text.contains(needle)).map_or(otherwise, |(_, fix)| fix)
}
