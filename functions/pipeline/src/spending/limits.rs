//! The limits that a deployment sets.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// For how long, or for what, a limit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// One version of one input object, all attempts together.
    File,
    /// A day, UTC.
    Day,
    /// A month, UTC.
    Month,
}

impl Per {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Of this collector; `None` for all together.
    pub collector: Option<String>,
    /// For what it holds.
    pub per: Per,
    /// Page loads.
    pub page_loads: u64,
}

impl Limit {
    /// As it is written: `day`, `c_abc.month`.
    pub fn name(&self) -> String {
        match &self.collector {
            Some(collector) => format!("{collector}.{}", self.per.name()),
            None => self.per.name().to_owned(),
        }
    }

    /// Why a send of so many inputs, with so many page loads, waits, and what to do.
    pub(super) fn words(&self, inputs: u32, page_loads: u64) -> String {
        let of = self.collector.as_ref().map(|collector| format!(" of {collector}")).unwrap_or_default();
        let (most, per) = (self.page_loads, self.per.name());
        let then = match self.per {
            // More than that is known to be needed, so no day brings it.
            _ if page_loads > most => "raise SPENDING_LIMITS, or release the run with --over-limits",
            Per::File => "raise SPENDING_LIMITS, or release the run with --over-limits",
            Per::Day => "it goes on the next day (UTC), or when SPENDING_LIMITS is raised",
            Per::Month => "it goes on the next month (UTC), or when SPENDING_LIMITS is raised",
        };
        format!(
            "the limit of {most} page loads a {per}{of} leaves no room for {inputs} inputs (about {page_loads} page loads): {then}"
        )
    }
}

/// `SPENDING_LIMITS`: all limits; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits(Vec<Limit>);

/// What is written as a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("file=N, day=N or month=N page loads, of one collector c_….file=N, c_….day=N or c_….month=N; each once")]
pub struct NotALimit;

impl Limits {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that hold for a collector.
    pub fn of<'a>(&'a self, collector: &'a str) -> impl Iterator<Item = &'a Limit> {
        self.0.iter().filter(move |limit| limit.collector.as_deref().is_none_or(|of| of == collector))
    }

    /// Inputs of a batch at most, of this collector: a tenth of the least limit. A batch starts whole or not at all; so a limit is used up
    /// to nine tenths at least, and one that is smaller than a usual batch lets something through.
    pub fn batch_inputs_max(&self, collector: &str) -> Option<u32> {
        let least = self.of(collector).map(|limit| limit.page_loads).min()?;
        Some(u32::try_from(least / 10).unwrap_or(u32::MAX).max(1))
    }

    /// Page loads by the name of the limit.
    pub(super) fn by_name(&self) -> BTreeMap<String, u64> {
        self.0.iter().map(|limit| (limit.name(), limit.page_loads)).collect()
    }
}

impl FromStr for Limits {
    type Err = NotALimit;

    /// `name=page loads`, separated by commas or white space.
    fn from_str(text: &str) -> Result<Self, NotALimit> {
        let mut limits: Vec<Limit> = Vec::new();
        let words = text.split(|separator: char| separator == ',' || separator.is_whitespace());
        for word in words.filter(|word| !word.is_empty()) {
            let (name, number) = word.split_once('=').ok_or(NotALimit)?;
            let (collector, per) = match name.split_once('.') {
                Some((collector, per)) if is_collector(collector) => (Some(collector.to_owned()), per),
                Some(_) => return Err(NotALimit),
                None => (None, name),
            };
            let per = [Per::File, Per::Day, Per::Month].into_iter().find(|known| known.name() == per);
            let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let page_loads = number.parse().ok().filter(|number| plain && *number > 0).ok_or(NotALimit)?;
            let limit = Limit { collector, per: per.ok_or(NotALimit)?, page_loads };
            if limits.iter().any(|known| known.name() == limit.name()) {
                return Err(NotALimit);
            }
            limits.push(limit);
        }
        Ok(Self(limits))
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(|limit| format!("{}={}", limit.name(), limit.page_loads)).collect();
        f.write_str(&words.join(","))
    }
}

fn is_collector(text: &str) -> bool {
    text.strip_prefix("c_").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written() {
        let text = "file=5000, day=10000\nmonth=200000 c_abc1.day=500";
        let limits: Limits = text.parse().unwrap();
        assert_eq!(limits.to_string(), "file=5000,day=10000,month=200000,c_abc1.day=500");
        assert_eq!((limits.batch_inputs_max("c_abc1"), limits.batch_inputs_max("c_other1")), (Some(50), Some(500)));
        assert_eq!("".parse(), Ok(Limits::default()));
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in
            ["day", "day=", "day=0", "day=+5", "day=x", "week=5", "c_.day=5", "x.day=5", "day=1,day=2", "c_a.b=1"]
        {
            assert_eq!(text.parse::<Limits>(), Err(NotALimit), "{text}");
        }
    }
}
