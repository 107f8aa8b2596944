//! Where scenarios come from: built-in names, TOML, and the collectors that demonstrate a problem each.

use std::{collections::BTreeMap, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use super::scenario::{Api, Collector, Dataset, Inputs, Jobs, Scenario};

/// The names of the built-in scenarios.
pub const NAMES: [&str; 6] = ["default", "calm", "rough", "huge", "trial", "expired"];

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a built-in name nor a readable file.
    #[error("unknown scenario `{0}`; known are {known}, or the path of a TOML file", known = NAMES.join(", "))]
    Unknown(String),
    /// Not TOML, an unknown key or a value of the wrong type.
    #[error("bad scenario: {0}")]
    Toml(#[from] toml::de::Error),
    /// A value that cannot be.
    #[error("bad scenario: {0}")]
    Value(String),
}

impl Scenario {
    /// A built-in scenario; the error lists their names.
    pub fn named(name: &str) -> Result<Self, Error> {
        Self::from_table(builtin(name)?)
    }

    /// A scenario in TOML, as differences from the one that its key `based_on` names (`default` if it has none).
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut table: Table = toml::from_str(text)?;
        let mut base = match table.remove("based_on") {
            None => Table::new(),
            Some(Value::String(name)) => builtin(&name)?,
            Some(other) => return Err(Error::Value(format!("based_on is {}, not a name", other.type_str()))),
        };
        merge(&mut base, table);
        Self::from_table(base)
    }

    /// A built-in name, or else the path of a TOML file.
    pub fn find(name_or_path: &str) -> Result<Self, Error> {
        if NAMES.contains(&name_or_path) {
            return Self::named(name_or_path);
        }
        let text = std::fs::read_to_string(Path::new(name_or_path));
        Self::parse(&text.map_err(|_| Error::Unknown(name_or_path.to_owned()))?)
    }

    fn from_table(differences: Table) -> Result<Self, Error> {
        let scenario: Self = merged(&Self::default(), differences)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Finds what the types cannot say: shares outside 0…1, and bad exceptions for single collectors.
    pub fn check(&self) -> Result<(), Error> {
        let mut table = to_table(self)?;
        for section in ["jobs", "inputs", "dataset"] {
            if let Some(Value::Table(knobs)) = table.get_mut(section) {
                // Seconds, the only other fractions, may be greater than 1.
                knobs.retain(|key, _| !key.ends_with("_seconds"));
            }
        }
        check_shares("", &table)?;
        for id in self.collectors.keys() {
            Rules::new(self, id).map_err(|error| Error::Value(format!("collectors.{id}: {error}")))?;
        }
        Ok(())
    }
}

fn check_shares(path: &str, table: &Table) -> Result<(), Error> {
    for (key, value) in table {
        match value {
            Value::Float(share) if !(0.0..=1.0).contains(share) => {
                return Err(Error::Value(format!("{path}{key} is {share}, which is not a share between 0 and 1")));
            }
            // Weights of error codes are free, exceptions are checked when they are merged.
            Value::Table(inner) if !key.ends_with("_codes") && key != "collectors" => {
                check_shares(&format!("{path}{key}."), inner)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What holds for one collector: the scenario with the collector's exceptions.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) seed: u64,
    pub(super) api: Api,
    pub(super) jobs: Jobs,
    pub(super) inputs: Inputs,
    pub(super) dataset: Dataset,
    pub(super) collector: Collector,
}

impl Rules {
    pub(super) fn new(scenario: &Scenario, collector: &str) -> Result<Self, Error> {
        let exceptions =
            scenario.collectors.get(collector).or(scenario.collectors.get("*")).cloned().unwrap_or_default();
        let mut rules = Self {
            seed: scenario.seed,
            api: merged(&scenario.api, exceptions.api.clone())?,
            jobs: merged(&scenario.jobs, exceptions.jobs.clone())?,
            inputs: merged(&scenario.inputs, exceptions.inputs.clone())?,
            dataset: merged(&scenario.dataset, exceptions.dataset.clone())?,
            collector: exceptions,
        };
        rules.dataset.format = rules.collector.format.unwrap_or(rules.dataset.format);
        Ok(rules)
    }
}

fn to_table(value: &impl Serialize) -> Result<Table, Error> {
    Table::try_from(value).map_err(|error| Error::Value(error.to_string()))
}

fn merged<T: Serialize + DeserializeOwned>(base: &T, differences: Table) -> Result<T, Error> {
    let mut table = to_table(base)?;
    merge(&mut table, differences);
    Ok(table.try_into()?)
}

/// Later values win, tables are merged; the weights of error codes are one value each.
fn merge(base: &mut Table, differences: Table) {
    for (key, value) in differences {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) if !key.ends_with("_codes") => merge(old, new),
            (_, value) => _ = base.insert(key, value),
        }
    }
}

fn builtin(name: &str) -> Result<Table, Error> {
    let text = match name {
        "default" => "",
        "calm" => include_str!("scenario/calm.toml"),
        "rough" => include_str!("scenario/rough.toml"),
        "huge" => include_str!("scenario/huge.toml"),
        "trial" => "[collectors.\"*\"]\ntrial = true\n",
        "expired" => include_str!("scenario/expired.toml"),
        other => return Err(Error::Unknown(other.to_owned())),
    };
    Ok(toml::from_str(text)?)
}

/// The collectors that demonstrate one problem each, whatever the scenario.
pub(super) fn well_known() -> BTreeMap<String, Collector> {
    let parsed: Result<BTreeMap<String, Collector>, _> = toml::from_str(include_str!("scenario/collectors.toml"));
    parsed.unwrap_or_else(|error| unreachable!("the built-in collectors are proven by a test: {error}"))
}
