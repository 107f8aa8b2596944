//! Records and messages are contracts with earlier and later releases. `golden/` has one of each as JSON; a release must read it, write
//! it back as it was, ignore fields that it does not know, and read it without the fields that may be missing.
//!
//! A new field is added to the files that have it, and to the list of its contract if it may be missing.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use jiff::Timestamp;
use pipeline::accounts::AccountBook;
use pipeline::cancel::RunCancelRecord;
use pipeline::gate::{self, Cause, Gate, Refusal};
use pipeline::late::LateNote;
use pipeline::ledger::{
    AttemptEnd, BatchRecord, BlockRecord, CancelRecord, CollectionRecord, Delivery, DoneRecord, EndRecord, FileReport,
    HeldMark, HeldRecord, Intent, Outcome, OverRecord, ReleaseRecord, RunRecord,
};
use pipeline::manifest::{Manifest, RunState};
use pipeline::messages::{Reminder, RetryOrder};
use pipeline::notice::RunEnded;
use pipeline::page::Page;
use pipeline::pause::Switch;
use pipeline::ports::{Completed, Listing, ObjectInfo, PartTag, PortError, Store, Stored, Tag, UploadId, Written};
use pipeline::spending::{Book, OverLimitsRecord};
use pipeline::status::Status;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads a record with the types of this release, and writes it again.
type Again = fn(&Value) -> Result<Value, String>;

/// A type, the files that are of it, and its fields that may be missing; `*` stands for any place in a list.
struct Contract {
    again: Again,
    files: &'static [&'static str],
    may_be_missing: &'static [&'static str],
}

const CONTRACTS: &[Contract] = &[
    Contract {
        again: record::<RunRecord>,
        files: &["run"],
        may_be_missing: &[
            "/object/version_id",
            "/object/etag",
            "/object/sequencer",
            "/object/bytes",
            "/object/dropped_at",
            "/policy/default_collector",
        ],
    },
    Contract { again: record::<BatchRecord>, files: &["batch"], may_be_missing: &["/inputs/*/source"] },
    Contract { again: record::<EndRecord>, files: &["end"], may_be_missing: &["/header", "/problem"] },
    Contract { again: record::<Intent>, files: &["intent", "intent.called-off"], may_be_missing: &["/called_off"] },
    Contract {
        again: record::<Outcome>,
        files: &[
            "outcome.accepted",
            "outcome.not-sent",
            "outcome.refused",
            "outcome.refused-option",
            "outcome.wait",
            "outcome.credentials",
            "outcome.nothing-started",
            "outcome.abandoned",
        ],
        may_be_missing: &["/start_eta"],
    },
    Contract { again: record::<CancelRecord>, files: &["cancel", "cancel.run"], may_be_missing: &["/run"] },
    Contract { again: record::<RunCancelRecord>, files: &["run-cancel"], may_be_missing: &[] },
    Contract { again: record::<HeldRecord>, files: &["held"], may_be_missing: &["/collection"] },
    Contract { again: record::<HeldMark>, files: &["held-mark"], may_be_missing: &["/held/collection"] },
    Contract {
        again: record::<ReleaseRecord>,
        files: &["release.adopt", "release.again", "release.give-up"],
        may_be_missing: &[],
    },
    Contract { again: record::<LateNote>, files: &["late-note"], may_be_missing: &["/object"] },
    Contract {
        again: record::<Delivery>,
        files: &["delivery.with-object", "delivery.without-object"],
        may_be_missing: &["/object", "/pages"],
    },
    Contract {
        again: record::<AttemptEnd>,
        files: &["attempt-end"],
        may_be_missing: &[
            "/fates/collections/*/adopted",
            "/fates/collections/*/abandoned",
            "/fates/collections/*/output",
            "/fates/collections/*/with_records",
            "/fates/collections/*/pages",
            "/fates/again_codes",
        ],
    },
    Contract {
        again: record::<DoneRecord>,
        files: &["done"],
        may_be_missing: &[
            "/fates/collections/*/adopted",
            "/fates/collections/*/abandoned",
            "/fates/collections/*/output",
            "/fates/collections/*/with_records",
            "/fates/collections/*/pages",
            "/fates/again_codes",
        ],
    },
    Contract {
        again: record::<BlockRecord>,
        files: &["block"],
        may_be_missing: &["/collections", "/sent", "/page_loads"],
    },
    Contract { again: record::<CollectionRecord>, files: &["collection"], may_be_missing: &[] },
    Contract {
        again: record::<Manifest>,
        files: &["manifest", "manifest.rejected"],
        may_be_missing: &[
            "/collector",
            "/input/version_id",
            "/input/etag",
            "/input/bytes",
            "/warnings",
            "/partial",
            "/resent",
            "/collections/*/adopted",
            "/collections/*/abandoned",
            "/collections/*/output",
            "/collections/*/with_records",
            "/collections/*/pages",
            "/spent",
            "/spent/again",
            "/failures",
            "/failures/codes",
            "/failures/other_codes",
            "/failures/hosts",
            "/failures/other_hosts",
            "/failed",
            "/failed/key",
            "/problem",
        ],
    },
    Contract {
        again: record::<Status>,
        files: &["status.running", "status.held", "status.complete"],
        may_be_missing: &[
            "/collector",
            "/input/version_id",
            "/input/etag",
            "/input/bytes",
            "/finished_at",
            "/inputs/pending",
            "/inputs/held",
            "/spent",
            "/spent/again",
            "/notice",
            "/manifest",
            "/problem",
        ],
    },
    Contract { again: record::<FileReport>, files: &["file-report"], may_be_missing: &[] },
    Contract {
        again: record::<RunEnded>,
        files: &["notice.run-ended"],
        may_be_missing: &[
            "/spent",
            "/spent/again",
            "/collector",
            "/input/version_id",
            "/input/etag",
            "/input/bytes",
            "/failed",
            "/failed/key",
            "/problem",
        ],
    },
    Contract { again: record::<Switch>, files: &["switch"], may_be_missing: &["/reason"] },
    Contract { again: record::<OverRecord>, files: &["over"], may_be_missing: &["/path"] },
    Contract { again: record::<OverLimitsRecord>, files: &["over-limits"], may_be_missing: &[] },
    Contract { again: record::<Book>, files: &["spending"], may_be_missing: &[] },
    Contract {
        again: record::<Page>,
        files: &["page"],
        may_be_missing: &[
            "/shown/*/status/collector",
            "/shown/*/status/input/version_id",
            "/shown/*/status/input/etag",
            "/shown/*/status/input/bytes",
            "/shown/*/status/finished_at",
            "/shown/*/status/inputs/pending",
            "/shown/*/status/inputs/held",
            "/shown/*/status/spent",
            "/shown/*/status/spent/again",
            "/shown/*/status/notice",
            "/shown/*/status/manifest",
            "/shown/*/status/problem",
            "/shown/*/collections/*/abandoned",
            "/shown/*/failures/codes",
            "/shown/*/failures/other_codes",
            "/shown/*/failures/hosts",
            "/shown/*/failures/other_hosts",
            "/shown/*/failed",
            "/shown/*/failed/key",
        ],
    },
    Contract { again: record::<AccountBook>, files: &["account-book"], may_be_missing: &[] },
    Contract { again: reminder, files: &["message.reminder"], may_be_missing: &[] },
    Contract { again: retry_order, files: &["message.retry-order"], may_be_missing: &[] },
];

/// Maps of names that users choose: any field belongs there.
const MAPS: &[&str] = &[
    "/metadata",
    "/settings/query",
    "/policy/trigger_defaults",
    "/spent/again",
    "/fates/again_codes",
    "/failures/codes",
    "/failures/hosts",
    "/shown/0/status/spent/again",
    "/shown/0/failures/codes",
    "/shown/0/failures/hosts",
    "/paid",
    "/limits",
    "/runs",
    "/loads",
    "/waiting",
    "/days",
    "/days/2026-01-02",
    "/entered",
];

/// Files with tests of their own.
const OTHERS: [&str; 3] = ["claim", "gate.closed", "gate.probing"];

fn record<T: Serialize + DeserializeOwned>(json: &Value) -> Result<Value, String> {
    // From text, as it comes from the storage.
    let record: T = serde_json::from_str(&json.to_string()).map_err(|error| error.to_string())?;
    serde_json::to_value(record).map_err(|error| error.to_string())
}

fn reminder(json: &Value) -> Result<Value, String> {
    let reminder = Reminder::decode(&json.to_string()).map_err(|error| error.to_string())?;
    serde_json::from_str(&reminder.encode()).map_err(|error| error.to_string())
}

fn retry_order(json: &Value) -> Result<Value, String> {
    let order = RetryOrder::decode(&json.to_string()).map_err(|error| error.to_string())?;
    serde_json::from_str(&order.encode()).map_err(|error| error.to_string())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden(name: &str) -> Value {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn each_file(check: impl Fn(&Contract, &str, &Value)) {
    for contract in CONTRACTS {
        for name in contract.files {
            check(contract, name, &golden(name));
        }
    }
}

/// Every place of a value: its pointer, with `*` for any place in a list beside it.
fn places(value: &Value) -> Vec<(String, String)> {
    let mut places = vec![(String::new(), String::new())];
    let inner: Vec<(String, String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), name.clone(), field)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(place, item)| (place.to_string(), "*".to_owned(), item)).collect()
        }
        _ => Vec::new(),
    };
    for (name, general, value) in inner {
        places.extend(
            self::places(value).into_iter().map(|(exact, any)| (format!("/{name}{exact}"), format!("/{general}{any}"))),
        );
    }
    places
}

/// The value without the field at this pointer; `None` when it is no field of an object.
fn without(value: &Value, pointer: &str) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/')?;
    let mut value = value.clone();
    value.pointer_mut(parent)?.as_object_mut()?.remove(name)?;
    Some(value)
}

fn same(name: &str, what: &str, found: &Value, expected: &Value) {
    let pointers = |value: &Value| places(value).into_iter().map(|(exact, _)| exact).collect::<BTreeSet<_>>();
    let (ours, theirs) = (pointers(found), pointers(expected));
    let gone: Vec<_> = theirs.difference(&ours).collect();
    let new: Vec<_> = ours.difference(&theirs).collect();
    assert!(gone.is_empty(), "{name}, {what}: not written any more: {gone:?}");
    assert!(new.is_empty(), "{name}, {what}: written, but not in the file: {new:?}");
    assert_eq!(found, expected, "{name}, {what}");
}

#[test]
fn what_earlier_releases_wrote_is_read_and_written_as_it_was() {
    each_file(|contract, name, golden| {
        let again = (contract.again)(golden).unwrap_or_else(|error| panic!("{name} is not read any more: {error}"));
        same(name, "as it is", &again, golden);
    });
}

#[test]
fn fields_of_later_releases_are_ignored() {
    each_file(|contract, name, golden| {
        let mut all = golden.clone();
        for (pointer, _) in places(golden) {
            let is_object = golden.pointer(&pointer).is_some_and(Value::is_object);
            if !is_object || MAPS.contains(&pointer.as_str()) {
                continue;
            }
            let mut later = golden.clone();
            for value in [&mut later, &mut all] {
                value.pointer_mut(&pointer).unwrap()["field_of_tomorrow"] = json!({"a": [1, null]});
            }
            let again = (contract.again)(&later)
                .unwrap_or_else(|error| panic!("{name} is not read with another field in {pointer:?}: {error}"));
            same(name, &format!("another field in {pointer:?}"), &again, golden);
        }
        let again = (contract.again)(&all).unwrap_or_else(|error| panic!("{name}, other fields everywhere: {error}"));
        same(name, "other fields everywhere", &again, golden);
    });
}

#[test]
fn fields_that_may_be_missing_may_and_no_others() {
    let mut seen = BTreeSet::new();
    each_file(|contract, name, golden| {
        for (pointer, general) in places(golden) {
            let in_a_map = MAPS.iter().any(|map| pointer.starts_with(&format!("{map}/")));
            let Some(without_it) = without(golden, &pointer).filter(|_| !in_a_map) else { continue };
            let may = contract.may_be_missing.contains(&general.as_str());
            match (contract.again)(&without_it) {
                Ok(again) if may => {
                    // It may be written with its default.
                    let again = without(&again, &pointer).unwrap_or(again);
                    same(name, &format!("without {pointer}"), &again, &without_it);
                }
                Err(error) if may => panic!("{name}: {pointer} became required: {error}"),
                Ok(_) => panic!("{name}: {pointer} may be missing, which its contract does not say"),
                Err(_) => {}
            }
        }
    });
    for contract in CONTRACTS {
        let files: Vec<Value> = contract.files.iter().map(|name| golden(name)).collect();
        for general in contract.may_be_missing {
            let known = files.iter().flat_map(places).any(|(_, any)| any == *general);
            assert!(
                known && seen.insert((contract.files, *general)),
                "{general} is in no file of {:?}",
                contract.files
            );
        }
    }
}

#[test]
fn every_file_has_a_contract() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let named = CONTRACTS.iter().flat_map(|contract| contract.files).chain(&OTHERS).map(|name| (*name).to_owned());
    assert_eq!(named.collect::<BTreeSet<_>>(), files);
}

#[test]
fn a_claim_says_whose_the_collection_is() {
    let claim = golden("claim");
    let again = record::<CollectionRecord>(&claim).unwrap();
    same("claim", "as a record of a collection", &again, &without(&claim, "/queued").unwrap());
}

#[test]
fn words_are_golden() {
    use pipeline::inputs::{FileCompression, FileContainer};
    use pipeline::policy::{OnInDoubt, OutputCompression, OutputFormat};
    fn check<T: Serialize + DeserializeOwned>(words: &[&str], values: &[T]) {
        let written: Vec<Value> = values.iter().map(|value| serde_json::to_value(value).unwrap()).collect();
        assert_eq!(written, words);
        for word in words {
            assert_eq!(record::<T>(&json!(word)).as_ref(), Ok(&json!(word)));
        }
    }
    use FileContainer::{Csv, Json, Ndjson, Tsv, Txt};
    use RunState::{Complete, CompleteWithFailures, Held, Rejected, Running};
    check(&["txt", "csv", "tsv", "json", "ndjson"], &[Txt, Csv, Tsv, Json, Ndjson]);
    check(&["none", "gzip", "zstd"], &[FileCompression::None, FileCompression::Gzip, FileCompression::Zstd]);
    check(&["ndjson", "json"], &[OutputFormat::Ndjson, OutputFormat::Json]);
    check(&["none", "gzip"], &[OutputCompression::None, OutputCompression::Gzip]);
    check(&["reconcile", "hold", "retrigger"], &[OnInDoubt::Reconcile, OnInDoubt::Hold, OnInDoubt::Retrigger]);
    check(
        &["running", "held", "complete", "complete_with_failures", "rejected"],
        &[Running, Held, Complete, CompleteWithFailures, Rejected],
    );
}

/// A store of one object, for the gate.
#[derive(Default)]
struct OneObject(Mutex<Option<Bytes>>);

impl OneObject {
    fn of(json: &Value) -> Self {
        Self(Mutex::new(Some(Bytes::from(json.to_string()))))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(self.0.lock().unwrap().as_ref().unwrap()).unwrap()
    }
}

#[async_trait]
impl Store for OneObject {
    async fn get(&self, _key: &str) -> Result<Option<Stored>, PortError> {
        Ok(self.0.lock().unwrap().clone().map(|body| Stored { body, tag: Tag(String::new()) }))
    }

    async fn replace(&self, _key: &str, body: Bytes, _expected: Option<&Tag>) -> Result<Written, PortError> {
        *self.0.lock().unwrap() = Some(body);
        Ok(Written::New)
    }

    async fn create(&self, _: &str, _: Bytes, _: &ObjectInfo) -> Result<Written, PortError> {
        unreachable!("a gate is replaced")
    }

    async fn put(&self, _: &str, _: Bytes, _: &ObjectInfo) -> Result<(), PortError> {
        unreachable!("a gate is replaced")
    }

    async fn list(&self, _: &str, _: Option<&str>) -> Result<Listing, PortError> {
        unreachable!("a gate has a key")
    }

    async fn begin_upload(&self, _: &str, _: &ObjectInfo) -> Result<UploadId, PortError> {
        unreachable!("a gate is small")
    }

    async fn upload_part(&self, _: &str, _: &UploadId, _: u32, _: Bytes) -> Result<PartTag, PortError> {
        unreachable!("a gate is small")
    }

    async fn complete_upload(&self, _: &str, _: &UploadId, _: &[PartTag]) -> Result<Completed, PortError> {
        unreachable!("a gate is small")
    }

    async fn abort_upload(&self, _: &str, _: &UploadId) -> Result<(), PortError> {
        unreachable!("a gate is small")
    }
}

fn now<T>(future: impl Future<Output = Result<T, PortError>>) -> T {
    future.now_or_never().expect("nothing waits").expect("the store works")
}

/// The gate's record is its own affair; what it is can be seen by what is asked of it.
#[test]
fn gates_are_golden() {
    const KEY: &str = "control/c_abcdef.json";
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let refused_at = at("2026-01-02T03:04:05Z");
    let store = OneObject::default();
    let refusal = Refusal { cause: Cause::Limit, retry_after: Some(30), reason: "slow down" };
    now(gate::close(&store, KEY, refused_at, refusal));
    same("gate.closed", "as it is written", &store.json(), &golden("gate.closed"));
    assert_eq!(now(gate::ask(&store, KEY, at("2026-01-02T03:04:35Z"))), Gate::Probe);
    same("gate.probing", "as it is written", &store.json(), &golden("gate.probing"));

    let mut closed = golden("gate.closed");
    closed["field_of_tomorrow"] = json!({"a": 1});
    let asked = now(gate::ask(&OneObject::of(&closed), KEY, refused_at));
    assert_eq!(asked, Gate::Closed { after: 30, reason: "slow down".to_owned() });
    let asked = now(gate::ask(&OneObject::of(&golden("gate.probing")), KEY, at("2026-01-02T03:04:40Z")));
    assert_eq!(asked, Gate::Closed { after: 10, reason: "slow down".to_owned() }, "others come back soon");
}
