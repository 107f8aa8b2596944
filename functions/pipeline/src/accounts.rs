//! The accounts: what every day's collections were paid for and what they brought, in one small file a month that a spreadsheet opens.
//!
//! A run is entered when it is over, under the days on which its collections were triggered.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Pipeline;
use crate::keys;
use crate::ledger::{self, CollectionEntry};
use crate::manifest::Manifest;
use crate::ports::{ObjectInfo, PortError, Store, Tag, Written};
use crate::schedule::seconds_between;
use crate::spending::{day_of, month_of};
use crate::words::RunId;

/// Tries to write while others do.
const TRIES_MAX: usize = 8;
/// A run is remembered for so long after it was entered: whoever was cut off before its last step comes back within this time.
const REMEMBERED_SECONDS: i64 = 7 * 86_400;
/// First line of the file.
const HEADER: &str = "day,collector,collections,inputs,inputs_again,inputs_for_nothing,page_loads,records";

/// `control/accounts/<month>.json`: what the file is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountBook {
    /// Format version.
    pub v: u32,
    /// By day, then by collector.
    pub days: BTreeMap<String, BTreeMap<String, Entry>>,
    /// Runs that were entered lately, and when.
    pub entered: BTreeMap<RunId, Timestamp>,
}

/// What was triggered of one collector on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Collections.
    pub collections: u64,
    /// Inputs that they were triggered with.
    pub inputs: u64,
    /// Of them, those that had been triggered before.
    pub inputs_again: u64,
    /// Of them, those that brought no record.
    pub inputs_for_nothing: u64,
    /// Page loads, by the job logs where there are any, else one for each input.
    pub page_loads: u64,
    /// Records.
    pub records: u64,
}

/// Enters a run that is over; once, however often it is told.
pub(crate) async fn note(pipeline: &Pipeline, manifest: &Manifest) -> Result<(), PortError> {
    let days = manifest.collections.iter().map(|entry| day_of(entry.triggered_at));
    let months: BTreeSet<String> = days.map(|day| month_of(&day).to_owned()).collect();
    for month in months {
        enter(pipeline, manifest, &month).await?;
    }
    Ok(())
}

async fn enter(pipeline: &Pipeline, manifest: &Manifest, month: &str) -> Result<(), PortError> {
    let store = &*pipeline.store;
    let key = keys::account_book(month);
    for _ in 0..TRIES_MAX {
        let (mut book, tag) = load(store, &key).await?;
        if book.enter(manifest, month, pipeline.clock.now())
            && store.replace(&key, ledger::encode(&key, &book)?, tag.as_ref()).await? == Written::Kept
        {
            continue;
        }
        return publish(store, month).await;
    }
    Err(PortError::new(format!("cannot write {key}"), "others write it all the time"))
}

/// Writes the file as the book has it. Of those who write at the same time, the last one looks again, so the newest book is what stays.
async fn publish(store: &dyn Store, month: &str) -> Result<(), PortError> {
    let key = keys::account_book(month);
    for _ in 0..TRIES_MAX {
        let (book, tag) = load(store, &key).await?;
        store.put(&keys::accounts(month), book.csv().into(), &ObjectInfo::of("text/csv; charset=utf-8")).await?;
        if load(store, &key).await?.1 == tag {
            break;
        }
    }
    Ok(())
}

async fn load(store: &dyn Store, key: &str) -> Result<(AccountBook, Option<Tag>), PortError> {
    let Some(stored) = store.get(key).await? else { return Ok((AccountBook::default(), None)) };
    let book =
        serde_json::from_slice(&stored.body).map_err(|error| PortError::new(format!("cannot read {key}"), error))?;
    Ok((book, Some(stored.tag)))
}

impl AccountBook {
    /// Whether the run was not entered before.
    fn enter(&mut self, manifest: &Manifest, month: &str, now: Timestamp) -> bool {
        if self.entered.contains_key(&manifest.run) {
            return false;
        }
        self.v = ledger::VERSION;
        self.entered.retain(|_, at| seconds_between(*at, now) < REMEMBERED_SECONDS);
        self.entered.insert(manifest.run.clone(), now);
        let collector = manifest.collector.clone().unwrap_or_default();
        for collection in &manifest.collections {
            let day = day_of(collection.triggered_at);
            if month_of(&day) == month {
                self.days.entry(day).or_default().entry(collector.clone()).or_default().add(collection);
            }
        }
        true
    }

    fn csv(&self) -> String {
        let mut csv = format!("{HEADER}\n");
        for (day, collectors) in &self.days {
            for (collector, entry) in collectors {
                let Entry { collections, inputs, inputs_again, inputs_for_nothing, page_loads, records } = entry;
                csv.push_str(&format!(
                    "{day},{collector},{collections},{inputs},{inputs_again},{inputs_for_nothing},{page_loads},{records}\n"
                ));
            }
        }
        csv
    }
}

impl Entry {
    fn add(&mut self, collection: &CollectionEntry) {
        let inputs = u64::from(collection.inputs);
        self.collections += 1;
        self.inputs += inputs;
        self.inputs_again += if collection.attempt > 1 { inputs } else { 0 };
        self.inputs_for_nothing += inputs.saturating_sub(u64::from(collection.with_records));
        self.page_loads += collection.page_loads();
        self.records += collection.records;
    }
}
