//! Token, collector and clock: a question to the API, which costs nothing.
//!
//! The question is the one for the job list, as reconciliation asks it, so its answer is read by the same rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::policy::Policy;
use pipeline::policy::limits::RESULTS_KEPT_SECONDS;
use pipeline::ports::{Clock, JobPage, Looked};
use pipeline::settings::{SettingProblem, settle};

use super::token::Asking;
use super::watching::Dates;
use super::{Asked, Blame, Check, Lookup, State, get};

/// What two clocks may differ by without a word, in seconds: the header counts whole ones.
const OFF_NOTHING: i64 = 2;
/// A difference that is worth mending: the windows in which lost triggers are looked for allow a few seconds.
const OFF_WARNING: i64 = 60;
/// A difference that gets in the way: those windows are minutes long, and AWS refuses signatures that are 15 minutes off.
const OFF_PROBLEM: i64 = 300;

/// Token, collector and clock.
pub(super) async fn checks(asked: &Asked, lookup: Lookup<'_>, clock: &Arc<dyn Clock>) -> Vec<Check> {
    let id = asked.collector.clone().or_else(|| get(lookup, "BRIGHT_DATA_COLLECTOR_ID"));
    let id = id.map(|id| id.trim().to_owned());
    let misshapen = id.as_deref().and_then(misshapen);
    let named = id.as_deref().filter(|_| misshapen.is_none());
    let asking = match Asking::new(asked, lookup, clock).await {
        Ok(asking) => asking,
        Err(token) => return vec![token, misshapen.unwrap_or_else(|| untold(named)), off(None)],
    };
    let answer = asking.jobs(named.unwrap_or_default()).await;
    let token = match answer {
        // This may be about the collector, so the address and the token are tried without one.
        Looked::Absent | Looked::Refused { .. } if named.is_some() => asking.token(&asking.jobs("").await),
        _ => asking.token(&answer),
    };
    let told = named.filter(|_| token.state == State::Ok).map(|id| known(id, &answer));
    let collector = misshapen.or(told).unwrap_or_else(|| untold(named));
    vec![token, collector, off(asking.seen().dates)]
}

/// What is wrong with the looks of a collector's id.
fn misshapen(id: &str) -> Option<Check> {
    let policy = Policy { default_collector: Some(id.to_owned()), ..Policy::default() };
    match settle(&policy, "file.csv", &BTreeMap::new()) {
        Err(SettingProblem::BadValue { value, expected, .. }) => {
            let fix = format!("give {expected}; the control panel shows it");
            Some(Check::problem("collector", Blame::Setting, format!("{value:?} cannot be one"), fix))
        }
        _ => None,
    }
}

fn untold(id: Option<&str>) -> Check {
    match id {
        Some(id) => Check::skipped("collector", format!("{id}: the API has told nothing"), "see token"),
        None => {
            let fix = "name one with --collector c_… or BRIGHT_DATA_COLLECTOR_ID";
            Check::skipped("collector", "none is named", fix)
        }
    }
}

/// What the job list tells about a collector.
fn known(id: &str, answer: &Looked<JobPage>) -> Check {
    let days = RESULTS_KEPT_SECONDS / 86_400;
    let problem = |seen: String| {
        let fix = "take the id from the control panel, of the account whose token this is";
        Check::problem("collector", Blame::Setting, seen, fix)
    };
    match answer {
        Looked::Found(page) if page.total > 0 => {
            Check::ok("collector", format!("{id}: jobs of the last {days} days: {}", page.total))
        }
        Looked::Found(_) => Check::warning(
            "collector",
            format!("{id}: no job in the last {days} days, so nothing shows that it exists"),
            "compare it with the id in the control panel; one that is new has no job before its first run",
        ),
        Looked::Absent => problem(format!("{id}: the API does not know it")),
        Looked::Refused { status, text } => problem(format!("{id}: the API says {status}: {text}")),
        _ => untold(Some(id)),
    }
}

/// How far this machine's clock is from the API's.
fn off(dates: Option<Dates>) -> Check {
    let Some(seconds) = dates.map(|dates| dates.off()) else {
        return Check::skipped("clock", "no answer of the API to compare it with", "see token");
    };
    let how = if seconds > 0 { "ahead of" } else { "behind" };
    let seen = format!("{} s {how} the API's", seconds.abs());
    let fix = "set this machine's clock (timedatectl set-ntp true): AWS refuses requests that are 15 minutes off, and what became of a lost \
               trigger is found by its time";
    match seconds.abs() {
        off if off <= OFF_NOTHING => Check::ok("clock", "as the API's"),
        off if off <= OFF_WARNING => Check::ok("clock", seen),
        off if off <= OFF_PROBLEM => Check::warning("clock", seen, fix),
        _ => Check::problem("clock", Blame::Setting, seen, fix),
    }
}
