//! Which collector, which settings: decided once for a file, before anything is paid.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::policy::Policy;

/// What every send of a run has in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Collector id, `c_…`.
    pub collector: String,
    /// `queue_next`: 0 or 1.
    pub queue_next: u8,
    /// `confirm_cancel=1`: replaces the running job; only for a file that makes a single batch.
    pub confirm_cancel: bool,
    /// The other options, in the API's spelling.
    pub query: BTreeMap<String, String>,
}

/// A setting that rejects the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingProblem {
    /// None of the three places names a collector.
    #[error(
        "no collector: name one with --collector or BRIGHT_DATA_COLLECTOR_ID; a file in S3 may also name its own, in its metadata \
         (x-amz-meta-collector) or with a folder of its key (c_…/file.csv)"
    )]
    NoCollector,
    /// A value that the option does not take.
    #[error("bad value {value:?} for {name}: expected {expected}")]
    BadValue {
        /// The option as the user writes it.
        name: String,
        /// What was given.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// `confirm-cancel` on a file of several batches.
    #[error(
        "confirm-cancel replaces the running job, so a file of several batches would cancel itself: take it away, or raise BATCH_INPUTS_MAX"
    )]
    CancelsItself,
}

impl SettingProblem {
    /// Stable code for reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCollector => "no_collector",
            Self::BadValue { .. } => "bad_setting",
            Self::CancelsItself => "confirm_cancel_many_batches",
        }
    }
}

/// The options that a file may set, as metadata (`x-amz-meta-…`) and as flags of the command line write them.
pub const OPTIONS: [&str; 9] = [
    "version",
    "name",
    "queue",
    "queue-next",
    "confirm-cancel",
    "deadline",
    "no-downloads",
    "override-incompatible-schema",
    "override-incompatible-input-schema",
];

/// Reads the settings of one file: its own metadata goes before the defaults of the deployment.
pub fn settle(policy: &Policy, key: &str, metadata: &BTreeMap<String, String>) -> Result<Settings, SettingProblem> {
    let mut settings = Settings {
        collector: collector(policy, key, metadata)?,
        queue_next: 1,
        confirm_cancel: false,
        query: BTreeMap::new(),
    };
    for name in OPTIONS {
        // `confirm-cancel` is never a default: it ends work that somebody else may have started.
        let default = policy.trigger_defaults.get(name).filter(|_| name != "confirm-cancel");
        let Some(value) = metadata.get(name).or(default) else { continue };
        apply(&mut settings, name, value.trim())?;
    }
    Ok(settings)
}

fn apply(settings: &mut Settings, name: &str, value: &str) -> Result<(), SettingProblem> {
    let bad = |expected| SettingProblem::BadValue { name: name.to_owned(), value: value.to_owned(), expected };
    let flag = || match value {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(bad("1 or 0")),
    };
    match name {
        "queue-next" => settings.queue_next = u8::from(flag()?),
        "confirm-cancel" => settings.confirm_cancel = flag()?,
        "no-downloads" | "override-incompatible-schema" | "override-incompatible-input-schema" => {
            if flag()? {
                settings.query.insert(name.replace('-', "_"), "1".to_owned());
            }
        }
        "deadline" => {
            let digits = ["h", "m", "s"].iter().find_map(|unit| value.strip_suffix(unit)).unwrap_or_default();
            let plain = digits.len() <= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
            if !plain || !digits.parse::<u32>().is_ok_and(|number| number > 0) {
                return Err(bad("a number and h, m or s, such as 1h, 30m, 45s"));
            }
            settings.query.insert(name.to_owned(), value.to_owned());
        }
        _ => {
            let plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            if value.is_empty() || value.len() > 100 || !plain {
                return Err(bad("1 to 100 printable ASCII characters"));
            }
            settings.query.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(())
}

fn collector(policy: &Policy, key: &str, metadata: &BTreeMap<String, String>) -> Result<String, SettingProblem> {
    if let Some(value) = metadata.get("collector") {
        return checked(value.trim(), "collector");
    }
    let mut folders: Vec<&str> = key.split('/').collect();
    folders.pop();
    if let Some(folder) = folders.into_iter().find(|folder| looks_like_a_collector(folder, 6)) {
        return Ok(folder.to_owned());
    }
    match &policy.default_collector {
        Some(value) => checked(value, "BRIGHT_DATA_COLLECTOR_ID"),
        None => Err(SettingProblem::NoCollector),
    }
}

fn checked(value: &str, name: &str) -> Result<String, SettingProblem> {
    if looks_like_a_collector(value, 1) {
        return Ok(value.to_owned());
    }
    let expected = "a collector id: c_ and lower-case letters and digits";
    Err(SettingProblem::BadValue { name: name.to_owned(), value: value.to_owned(), expected })
}

fn looks_like_a_collector(text: &str, least: usize) -> bool {
    text.strip_prefix("c_").is_some_and(|rest| {
        rest.len() >= least
            && rest.len() <= 100
            && rest.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(key: &str, metadata: &[(&str, &str)], default: Option<&str>) -> Result<Settings, SettingProblem> {
        let policy = Policy { default_collector: default.map(Into::into), ..Policy::default() };
        let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        settle(&policy, key, &metadata)
    }

    #[test]
    fn the_collector_comes_from_metadata_then_folder_then_default() {
        for (key, metadata, default, expected) in [
            ("c_folder1/x.csv", &[("collector", "c_meta")][..], Some("c_default"), Some("c_meta")),
            ("a/c_folder1/c_folder2/x.csv", &[], Some("c_default"), Some("c_folder1")),
            ("c_abc/x.csv", &[], Some("c_default"), Some("c_default")),
            ("c_filename1", &[], None, None),
            ("x.csv", &[], None, None),
            ("C_FOLDER1/x.csv", &[], None, None),
        ] {
            assert_eq!(
                settled(key, metadata, default).ok().map(|settings| settings.collector).as_deref(),
                expected,
                "{key}"
            );
        }
        assert!(matches!(settled("x", &[("collector", "nonsense")], None), Err(SettingProblem::BadValue { .. })));
    }

    #[test]
    fn options_are_checked_before_anything_is_paid() {
        let good = settled(
            "x",
            &[
                ("deadline", "30m"),
                ("queue-next", "0"),
                ("version", "dev"),
                ("no-downloads", "1"),
                ("other", "kept out"),
            ],
            Some("c_default"),
        )
        .unwrap();
        assert_eq!(good.queue_next, 0);
        let query: Vec<_> = good.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(query, ["deadline=30m", "no_downloads=1", "version=dev"]);
        for (name, value) in [
            ("deadline", "soon"),
            ("deadline", ""),
            ("deadline", "0h"),
            ("deadline", "é"),
            ("queue-next", "2"),
            ("name", "ü"),
        ] {
            let problem = settled("x", &[(name, value)], Some("c_default")).unwrap_err();
            assert_eq!(problem.code(), "bad_setting", "{name}={value}");
        }
    }
}
