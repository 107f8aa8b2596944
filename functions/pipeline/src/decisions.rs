//! Which failed inputs are triggered again, when, and how often: the one table.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::policy::{Policy, limits};

/// What a failure means for the input. As text: `never`, `30` (seconds until it is triggered again), `30x1` (the same, but once at most).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Decision {
    /// Trigger it again, as long as `ATTEMPTS_MAX` allows.
    Again {
        /// After so many seconds.
        after: u32,
        /// Only an input that has not been triggered again so often yet, for whatever reason.
        times: Option<u32>,
    },
    /// Another attempt would bring the same.
    Final,
}

/// The text is no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`never`, seconds from 0 to {}, or seconds and how often, such as `60x1`", limits::DELAY_SECONDS_MAX)]
pub struct NotADecision;

impl Decision {
    /// How often an input may be triggered in all when it fails so; 1 means never again.
    pub fn attempts_max(self) -> u32 {
        match self {
            Self::Final => 1,
            Self::Again { times, .. } => times.map_or(u32::MAX, |times| times.saturating_add(1)),
        }
    }
}

impl FromStr for Decision {
    type Err = NotADecision;

    fn from_str(text: &str) -> Result<Self, NotADecision> {
        if text == "never" {
            return Ok(Self::Final);
        }
        let (after, times) = match text.split_once('x') {
            Some((after, times)) => (after, Some(times.parse().ok().filter(|times| *times > 0).ok_or(NotADecision)?)),
            None => (text, None),
        };
        let after = after.parse().ok().filter(|after| *after <= limits::DELAY_SECONDS_MAX).ok_or(NotADecision)?;
        Ok(Self::Again { after, times })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Final => f.write_str("never"),
            Self::Again { after, times: None } => write!(f, "{after}"),
            Self::Again { after, times: Some(times) } => write!(f, "{after}x{times}"),
        }
    }
}

impl TryFrom<String> for Decision {
    type Error = NotADecision;

    fn try_from(text: String) -> Result<Self, NotADecision> {
        text.parse()
    }
}

impl From<Decision> for String {
    fn from(decision: Decision) -> Self {
        decision.to_string()
    }
}

/// Codes that are ours, where the API gives none.
pub mod codes {
    /// An error row without `error_code`.
    pub const NO_CODE: &str = "no_code";
    /// The log counts failures that no error row explains.
    pub const UNATTRIBUTED: &str = "unattributed";
    /// The collection ended as failed, without data.
    pub const COLLECTION_FAILED: &str = "collection_failed";
    /// Somebody cancelled the collection.
    pub const COLLECTION_CANCELLED: &str = "collection_cancelled";
    /// The collection ran past `COLLECTION_DEADLINE_SECONDS` and was cancelled.
    pub const COLLECTION_DEADLINE: &str = "collection_deadline";
    /// The API does not know the collection any more (results are deleted after 16 days).
    pub const COLLECTION_GONE: &str = "collection_gone";
    /// A person cancelled the run.
    pub const RUN_CANCELLED: &str = "run_cancelled";
    /// A person gave it up.
    pub const GIVEN_UP: &str = "given_up";
    /// The dataset cannot be read as records.
    pub const DATASET_UNREADABLE: &str = "dataset_unreadable";
}

const AT_ONCE: Decision = Decision::Again { after: 5, times: None };
const ONCE_MORE: Decision = Decision::Again { after: 5, times: Some(1) };
const WHEN_RECOVERED: Decision = Decision::Again { after: 30, times: None };
const WHEN_UNBLOCKED: Decision = Decision::Again { after: 15, times: None };

/// Codes (one that ends with `*` stands for all that begin so) and what follows. The API's page on error codes says which are worth a retry
/// and which never are; its advice is followed. What is not listed is triggered again: trouble on the way, or unknown.
pub const TABLE: [(&str, Decision); 29] = [
    // The input or its target: the same page gives the same answer.
    ("bad_input", Decision::Final),
    ("ERR_INVALID_URL", Decision::Final),
    ("dead_page", Decision::Final),
    ("child_input_size_validation", Decision::Final),
    ("collector_request_validation", Decision::Final),
    // The collector asks for something that cannot work.
    ("bad_cmd_arg", Decision::Final),
    ("not_supported_cmd", Decision::Final),
    ("page_too_big", Decision::Final),
    ("too_many_pages", Decision::Final),
    // Ended on purpose, or nothing is left to fetch: triggering again would pay again for a decision that was taken.
    (codes::COLLECTION_CANCELLED, Decision::Final),
    (codes::COLLECTION_DEADLINE, Decision::Final),
    (codes::COLLECTION_GONE, Decision::Final),
    (codes::RUN_CANCELLED, Decision::Final),
    (codes::GIVEN_UP, Decision::Final),
    (codes::DATASET_UNREADABLE, Decision::Final),
    ("refused_*", Decision::Final),
    // The parser gave up on what it got, which may have been a page that only said "come back later".
    ("parse_error", ONCE_MORE),
    ("parse_req_error", ONCE_MORE),
    ("parse_request_payload_large", ONCE_MORE),
    ("parse_mem_limit_exceeded", ONCE_MORE),
    ("parse_cpu_limit_exceeded", ONCE_MORE),
    // Limits need time to recover.
    ("global_rate_limit", WHEN_RECOVERED),
    ("bucket_rate_limit", WHEN_RECOVERED),
    ("worker_too_busy", WHEN_RECOVERED),
    // Another address, another moment.
    ("blocked", WHEN_UNBLOCKED),
    ("block", WHEN_UNBLOCKED),
    ("detect_block", WHEN_UNBLOCKED),
    ("captcha_timeout", WHEN_UNBLOCKED),
    // No error of its own: see `RETRY_UNATTRIBUTED`.
    (codes::UNATTRIBUTED, AT_ONCE),
];

/// What a deployment decides otherwise: codes, as in [`TABLE`], and what follows.
pub type Overrides = BTreeMap<String, Decision>;

/// Reads overrides as a setting gives them: `code=decision`, separated by commas or white space.
pub fn overrides(text: &str) -> Result<Overrides, NotADecision> {
    let pairs =
        text.split(|separator: char| separator == ',' || separator.is_whitespace()).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (code, decision) = pair.split_once('=').ok_or(NotADecision)?;
            if code.is_empty() { Err(NotADecision) } else { Ok((code.to_owned(), decision.parse()?)) }
        })
        .collect()
}

/// What follows a failure with this `error_code`: what the deployment says, else what the table says; a code beats a beginning, and a
/// longer beginning a shorter one.
pub fn decide(code: &str, policy: &Policy) -> Decision {
    let chosen = policy.retry_codes.iter().map(|(pattern, decision)| (pattern.as_str(), *decision));
    if let Some(decision) = best(code, chosen) {
        return decision;
    }
    if code == codes::UNATTRIBUTED && !policy.retry_unattributed {
        return Decision::Final;
    }
    best(code, TABLE.into_iter()).unwrap_or(AT_ONCE)
}

fn best<'a>(code: &str, rules: impl Iterator<Item = (&'a str, Decision)>) -> Option<Decision> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => code.starts_with(beginning).then_some(beginning.len()),
        None => (code == pattern).then_some(usize::MAX),
    };
    let fitting = rules.filter_map(|(pattern, decision)| Some((fits(pattern)?, decision)));
    fitting.max_by_key(|(length, _)| *length).map(|(_, decision)| decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_advice_is_followed() {
        let policy = Policy::default();
        for code in ["bad_input", "ERR_INVALID_URL", "dead_page", "refused_422"] {
            assert_eq!(decide(code, &policy), Decision::Final, "{code}");
        }
        for code in ["infra_error", "runner_disconnected", "browser_disconnected", "proxy_error", "a_code_of_tomorrow"]
        {
            assert_eq!(decide(code, &policy), AT_ONCE, "{code}");
        }
        for code in ["worker_too_busy", "global_rate_limit", "bucket_rate_limit"] {
            assert_eq!(decide(code, &policy), WHEN_RECOVERED, "{code}");
        }
        assert_eq!(decide(codes::UNATTRIBUTED, &policy), AT_ONCE);
        let policy = Policy { retry_unattributed: false, ..policy };
        assert_eq!(decide(codes::UNATTRIBUTED, &policy), Decision::Final);
    }

    #[test]
    fn a_deployment_decides_otherwise() {
        let retry_codes = overrides("dead_page=60x2, net_err_*=never\nnet_err_tunnel=5,unattributed=900").unwrap();
        let policy = Policy { retry_codes, retry_unattributed: false, ..Policy::default() };
        assert_eq!(decide("dead_page", &policy), Decision::Again { after: 60, times: Some(2) });
        assert_eq!(decide("net_err_reset", &policy), Decision::Final);
        assert_eq!(decide("net_err_tunnel", &policy), AT_ONCE);
        assert_eq!(decide(codes::UNATTRIBUTED, &policy), Decision::Again { after: 900, times: None });
        assert_eq!(decide("timeout", &policy), AT_ONCE);
        for bad in ["dead_page", "=5", "a=often", "a=5x", "a=5x0", "a=901", "a=-1", "a=5 x 2"] {
            assert_eq!(overrides(bad), Err(NotADecision), "{bad}");
        }
        assert_eq!(overrides(" , ").unwrap(), Overrides::new());
    }
}
