//! Work that stands still, in whatever place: pauses, and what waits for a person.

use jiff::Timestamp;
use pipeline::gate::{self, Cause, Pause};
use pipeline::held;
use pipeline::keys;
use pipeline::ledger::list_all;
use pipeline::pause;
use pipeline::ports::{Clock, PortError, Store};
use pipeline::sweep::open_runs;

use super::{Blame, Check, counted};

/// Where the pauses are.
const CONTROL: &str = "control/";

/// Pauses, and held work.
pub(super) async fn checks(store: &dyn Store, place: &str, clock: &dyn Clock) -> Vec<Check> {
    let failed = |name: &'static str, error: PortError| {
        let fix = "mend what it says; what lies below ledger/ and control/ is only dropcollect's to write";
        vec![Check::problem(name, Blame::Ours, format!("{error}: {}", error.source), fix)]
    };
    let mut checks = pauses(store, clock.now()).await.unwrap_or_else(|error| failed("pauses", error));
    checks.extend(waiting(store, place).await.unwrap_or_else(|error| failed("held", error)));
    checks
}

/// A check for each pause, or one that says that there is none.
async fn pauses(store: &dyn Store, now: Timestamp) -> Result<Vec<Check>, PortError> {
    let mut checks = Vec::new();
    if let Some(switch) = pause::standing(store).await? {
        let fix = "`dropcollect resume` with the same --data, when what it was for is over";
        checks.push(Check::problem("pauses", Blame::Person, format!("everything is {}", switch.words()), fix));
    }
    for key in list_all(store, CONTROL).await? {
        if let Some(pause) = gate::paused(store, &key).await? {
            checks.push(paused(&key, &pause, now));
        }
    }
    if checks.is_empty() {
        checks.push(Check::ok("pauses", "none"));
    }
    Ok(checks)
}

fn paused(key: &str, pause: &Pause, now: Timestamp) -> Check {
    let who = match key {
        keys::TOKEN_GATE => "all calls with the token",
        key => key.trim_start_matches(CONTROL).trim_end_matches(".json"),
    };
    let (until, reason) = (pause.until.strftime("%F %T UTC"), &pause.reason);
    if pause.until <= now {
        return Check::ok("pauses", format!("{who}: over since {until}, the next call tries ({reason})"));
    }
    let fix = match pause.cause {
        Cause::Credentials => {
            "give the functions, or the next run, a token that is accepted: work then goes on by itself"
        }
        Cause::Limit => "nothing: work goes on by itself; fewer, larger batches (BATCH_INPUTS_MAX) wait less",
    };
    Check::warning("pauses", format!("{who}: until {until}: {reason}"), fix)
}

/// What waits for a person.
async fn waiting(store: &dyn Store, place: &str) -> Result<Vec<Check>, PortError> {
    let (mut runs, mut inputs) = (0_u64, 0_u64);
    for run in open_runs(store).await? {
        let held = held::list(store, &run).await?;
        runs += u64::from(!held.is_empty());
        inputs += held.iter().map(|work| u64::from(work.mark.held.inputs)).sum::<u64>();
    }
    if runs == 0 {
        return Ok(vec![Check::ok("held", "nothing waits for a person")]);
    }
    let inputs = counted(inputs, "input waits", "inputs wait");
    let seen = format!("{inputs} for a person, in {}", counted(runs, "run", "runs"));
    let fix = format!("dropcollect release --data {place} shows why, and how to decide");
    Ok(vec![Check::problem("held", Blame::Person, seen, fix)])
}
