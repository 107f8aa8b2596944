//! What becomes of one input in one job.

use std::collections::BTreeMap;

use super::{
    dice::Dice,
    job::{End, Page, Sheet},
    scenario::{Fate, Inputs},
};

/// Records, and perhaps an error or a warning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome<'a> {
    pub(super) records: u64,
    pub(super) warning: Option<&'a str>,
    pub(super) error: Option<ErrorRow<'a>>,
}

/// What an error row says besides its prose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ErrorRow<'a> {
    /// Absent in rows with prose only.
    pub(super) code: Option<&'a str>,
    pub(super) status: Option<u16>,
    pub(super) text: &'a str,
}

/// The outcome of an input; `stop` is the share of the run time after which the job was stopped, and why.
pub(super) fn outcome<'a>(sheet: &'a Sheet, page: &Page, stop: Option<(f64, End)>) -> Outcome<'a> {
    let inputs = &sheet.rules.inputs;
    let dice = |purpose| Dice::new(sheet.rules.seed, purpose).number(page.key);
    let this_time = |purpose| dice(purpose).number(u64::from(page.before));
    if let Some((share, end)) = stop
        && page.moment >= share
    {
        // Pages `cancel-job` and error-codes.
        let code = match end {
            End::Deadline if dice("deadline").chance(0.5) => "deadline_timeout",
            End::Deadline => "uncrawled_page",
            End::Done | End::Failed | End::Canceled => "aborted_page",
        };
        return Outcome { error: Some(coded(code)), ..Outcome::default() };
    }
    let error = |codes, otherwise| {
        let code = weighted(codes, this_time("code")).unwrap_or(otherwise);
        if this_time("uncoded").chance(inputs.uncoded) {
            ErrorRow { code: None, status: None, text: prose(code) }
        } else if this_time("status code").chance(inputs.without_status_code) {
            ErrorRow { status: None, ..coded(code) }
        } else {
            coded(code)
        }
    };
    let failed = |error| Outcome { error: Some(error), ..Outcome::default() };
    match fate(inputs, sheet.text(page), dice("fate")) {
        Fate::Nothing => return Outcome::default(),
        Fate::Permanent => return failed(error(&inputs.permanent_codes, "dead_page")),
        Fate::Transient => {
            let failures = 1 + dice("failures").below(u64::from(inputs.transient_failures_max));
            if u64::from(page.before) < failures {
                return failed(error(&inputs.transient_codes, "infra_error"));
            }
        }
        Fate::Records => {}
    }
    let records = if dice("many").chance(inputs.many) {
        2 + dice("how many").below(inputs.many_max.saturating_sub(1))
    } else {
        inputs.records
    };
    Outcome {
        records,
        warning: dice("warning").chance(inputs.warning).then_some("dead_page"),
        error: dice("partial").chance(inputs.partial).then(|| coded("navigation_timeout")),
    }
}

fn fate(inputs: &Inputs, text: &str, dice: Dice) -> Fate {
    if let Some((_, fate)) = inputs.marked.iter().find(|(mark, _)| text.contains(mark.as_str())) {
        return *fate;
    }
    let mut throw = dice.unit();
    let shares =
        [(inputs.transient, Fate::Transient), (inputs.permanent, Fate::Permanent), (inputs.nothing, Fate::Nothing)];
    for (share, fate) in shares {
        if throw < share {
            return fate;
        }
        throw -= share;
    }
    Fate::Records
}

fn weighted(codes: &BTreeMap<String, f64>, dice: Dice) -> Option<&str> {
    let mut throw = dice.unit() * codes.values().sum::<f64>();
    let hit = codes.iter().find(|(_, weight)| {
        throw -= **weight;
        throw < 0.0
    });
    hit.or(codes.iter().next_back()).map(|(code, _)| code.as_str())
}

fn coded(code: &str) -> ErrorRow<'_> {
    ErrorRow { code: Some(code), status: status_code(code), text: prose(code) }
}

/// The figures that the error-codes page lists.
fn status_code(code: &str) -> Option<u16> {
    Some(match code {
        "bad_input" | "ERR_INVALID_URL" => 400,
        "blocked" | "block" | "detect_block" => 403,
        "dead_page" => 404,
        "global_rate_limit" | "bucket_rate_limit" => 429,
        "worker_too_busy" => 503,
        "parse_error" | "infra_error" | "runner_disconnected" | "browser_disconnected" | "proxy_error" => 500,
        code if code.ends_with("timeout") => 408,
        _ => return None,
    })
}

/// Prose in the style of `Crawler error: Cannot find product title`.
fn prose(code: &str) -> &'static str {
    match code {
        "dead_page" => "Crawler error: The page does not exist",
        "blocked" => "Crawler error: Access to the page was blocked",
        "bad_input" => "Error: Bad input",
        "parse_error" => "Error: price missing",
        "aborted_page" => "aborted",
        "deadline_timeout" => "Crawler error: Job deadline was reached",
        "uncrawled_page" => "Page was not crawled",
        "global_rate_limit" | "bucket_rate_limit" => "Crawler error: Rate limit was reached",
        code if code.ends_with("timeout") => "Crawler error: Timeout while waiting for the page",
        _ => "Crawler error: The page could not be collected",
    }
}
