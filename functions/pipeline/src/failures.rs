//! Failed inputs, told apart by code and by host.
//!
//! Codes are the API's and hosts are in the inputs, so neither how many there are nor what they say is known: both are bounded, and what
//! is beyond the bounds is counted together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names that are told apart while they are counted.
const APART_MAX: usize = 1_000;
/// Of them, those that are named in the end: the most frequent.
const NAMED_MAX: usize = 20;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 100;

/// How many inputs failed with which code and at which host. `codes` and `other_codes` add up to all of them; so do `hosts` and
/// `other_hosts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// By code, the most frequent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub codes: BTreeMap<String, u64>,
    /// With other codes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub other_codes: u64,
    /// By the host of the input's first URL, the most frequent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, u64>,
    /// At other hosts, and inputs that name none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub other_hosts: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Failures {
    /// Whether nothing failed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How many inputs they are.
    pub fn count(&self) -> u64 {
        self.codes.values().sum::<u64>() + self.other_codes
    }
}

/// Counts failures.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    codes: Counts,
    hosts: Counts,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    named: BTreeMap<String, u64>,
    other: u64,
}

impl Tally {
    /// An input that failed; `None` where the input is not at hand.
    pub(crate) fn add(&mut self, code: &str, input: Option<&str>) {
        self.codes.add(Some(code));
        self.hosts.add(input.and_then(host).as_deref());
    }

    /// What has been counted so far.
    pub(crate) fn so_far(&self) -> Failures {
        let (codes, hosts) = (self.codes.clone(), self.hosts.clone());
        Self { codes, hosts }.finish()
    }

    pub(crate) fn finish(self) -> Failures {
        let (codes, other_codes) = self.codes.finish();
        let (hosts, other_hosts) = self.hosts.finish();
        Failures { codes, other_codes, hosts, other_hosts }
    }
}

impl Counts {
    fn add(&mut self, name: Option<&str>) {
        let name = name.map(clipped).filter(|name| self.named.contains_key(name) || self.named.len() < APART_MAX);
        match name {
            Some(name) => *self.named.entry(name).or_default() += 1,
            None => self.other += 1,
        }
    }

    fn finish(self) -> (BTreeMap<String, u64>, u64) {
        let mut all: Vec<(String, u64)> = self.named.into_iter().collect();
        // Stable: of equally frequent ones the first by name stay, whoever counts.
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rest = all.split_off(NAMED_MAX.min(all.len()));
        (all.into_iter().collect(), self.other + rest.iter().map(|(_, count)| count).sum::<u64>())
    }
}

fn clipped(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// The host of an input: of its field `url`, or else of its first text that is a URL; lower case, without user and port.
fn host(input: &str) -> Option<String> {
    let fields: serde_json::Map<String, Value> = serde_json::from_str(input).ok()?;
    let url = fields.get("url").into_iter().chain(fields.values());
    url.filter_map(Value::as_str).find_map(host_of)
}

fn host_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.trim_start().split_once("://")?;
    let is_scheme =
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let authority = rest.split(['/', '?', '#', '\\']).next().filter(|_| is_scheme)?;
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    };
    (!host.is_empty()).then(|| host.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_has_the_host_of_its_url() {
        for (input, expected) in [
            (r#"{"url":"https://Shop.example/a?b=c"}"#, Some("shop.example")),
            (r#"{"a":"http://other.example","url":"https://u:p@shop.example:8080"}"#, Some("shop.example")),
            (r#"{"keyword":"x","page":"http://[::1]:80/"}"#, Some("::1")),
            (r#"{"url":"shop.example/a"}"#, None),
            (r#"{"url":"a b://c"}"#, None),
            (r#"{"url":"https://?q"}"#, None),
            (r#"{"url":7}"#, None),
            ("7", None),
        ] {
            let input = host(input);
            assert_eq!(input.as_deref(), expected);
        }
    }

    #[test]
    fn what_is_beyond_the_bounds_is_counted_together() {
        let mut tally = Tally::default();
        for number in 0..3_000 {
            tally.add(&format!("code-{}", number % 1_500), Some(&format!(r#"{{"url":"http://h{number}/"}}"#)));
        }
        for _ in 0..5 {
            tally.add("timeout", None);
            tally.add(&"long".repeat(100), None);
        }
        let failures = tally.finish();
        assert_eq!((failures.codes.len(), failures.hosts.len()), (NAMED_MAX, NAMED_MAX));
        assert_eq!(failures.codes.values().sum::<u64>() + failures.other_codes, 3_010);
        assert_eq!(failures.hosts.values().sum::<u64>() + failures.other_hosts, 3_010);

        let mut tally = Tally::default();
        tally.add("timeout", Some(r#"{"url":"https://a"}"#));
        tally.add(&"long".repeat(100), Some("{}"));
        let failures = tally.finish();
        assert_eq!(failures.codes.keys().map(|code| code.len()).collect::<Vec<_>>(), [NAME_CHARS_MAX, 7]);
        assert_eq!((failures.hosts["a"], failures.other_hosts), (1, 1));
    }
}
