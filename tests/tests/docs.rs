//! Tables of the documentation that must say what the code does. Its commands are executed by `tests/docs.py`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use adapters::config::{Config, Role};
use pipeline::decisions::{TABLE, codes};
use pipeline::policy::{Policy, limits};
use serde_json::Value;

const FAILURES: &str = include_str!("../../docs/failures.md");
const REFERENCE: &str = include_str!("../../docs/reference.md");
const RESULTS: &str = include_str!("../../docs/results.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");
const COMMANDS: &str = include_str!("../../local/src/commands/mod.rs");
const MANIFEST: &str = include_str!("../../functions/pipeline/tests/golden/manifest.json");

/// The rows of the table that begins with this head: their cells.
fn table(page: &'static str, head: &str) -> Vec<Vec<&'static str>> {
    let rows = page.lines().skip_while(|line| !line.starts_with(head)).skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect();
    assert!(!rows.is_empty(), "there is no table that begins with {head}");
    rows
}

/// What stands in backquotes.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn what_is_triggered_again_is_told() {
    let mut told: BTreeMap<&str, &str> = BTreeMap::new();
    for row in table(FAILURES, "| code | again |") {
        let decision = row[1].split(':').next().unwrap_or(row[1]);
        told.extend(names(row[0]).map(|code| (code, decision)));
    }
    for (code, decision) in &TABLE {
        assert_eq!(told.remove(*code), Some(decision.to_string().as_str()), "{code}");
    }
    assert!(told.is_empty(), "the code knows nothing of {told:?}");
}

#[test]
fn every_code_of_ours_is_explained() {
    let told: BTreeSet<&str> =
        table(FAILURES, "| failed with the code | means |").iter().flat_map(|row| names(row[0])).collect();
    for code in [
        codes::NO_CODE,
        codes::UNATTRIBUTED,
        codes::COLLECTION_FAILED,
        codes::COLLECTION_CANCELLED,
        codes::COLLECTION_DEADLINE,
        codes::COLLECTION_GONE,
        codes::RUN_CANCELLED,
        codes::GIVEN_UP,
        codes::DATASET_UNREADABLE,
    ] {
        assert!(told.contains(code), "docs/failures.md does not explain {code}");
    }
}

#[test]
fn settings_and_their_defaults_are_told() {
    let asked: RefCell<BTreeSet<String>> = RefCell::default();
    for role in [Role::Trigger, Role::Webhook, Role::Local] {
        drop(Config::from(role, |name| {
            asked.borrow_mut().insert(name.to_owned());
            None
        }));
    }
    let rows = table(REFERENCE, "| variable | meaning | default |");
    let mut told: BTreeSet<String> = rows.iter().flat_map(|row| names(row[0])).map(str::to_owned).collect();
    // Read by the logging, before there is a configuration.
    assert!(told.remove("RUST_LOG"));
    assert_eq!(told, asked.into_inner(), "docs/reference.md, and what the code reads");

    let policy = Policy::default();
    for (names, default) in [
        ("`BATCH_INPUTS_MAX`, `BATCH_BYTES_MAX`", format!("{}, {}", policy.batch_inputs_max, policy.batch_bytes_max)),
        ("`ATTEMPTS_MAX`", policy.attempts_max.to_string()),
        ("`COLLECTION_DEADLINE_SECONDS`", policy.collection_deadline_seconds.to_string()),
        ("`RETRY_UNATTRIBUTED`", format!("`{}`", policy.retry_unattributed)),
        ("`IN_DOUBT_WINDOW_SECONDS`", policy.in_doubt_window_seconds.to_string()),
        ("`ON_IN_DOUBT`", "`reconcile`".to_owned()),
        ("`BRIGHT_DATA_API_URL`", format!("`{}`", adapters::config::API_URL)),
    ] {
        let row = rows.iter().find(|row| row[0] == names).unwrap_or_else(|| panic!("no row {names}"));
        assert_eq!(row[2], default, "{names}");
    }
    let days = limits::COLLECTION_DEADLINE_SECONDS_MAX / 86_400;
    assert!(REFERENCE.contains(&format!("{days} days at most")));
}

#[test]
fn every_field_of_a_manifest_is_explained() {
    let told: BTreeSet<&str> = table(RESULTS, "| field | meaning |").iter().flat_map(|row| names(row[0])).collect();
    let manifest: BTreeMap<String, Value> = serde_json::from_str(MANIFEST).expect("a manifest");
    assert_eq!(told, manifest.keys().map(String::as_str).collect());
}

#[test]
fn exit_statuses_are_told() {
    let told: BTreeSet<&str> = table(OPERATIONS, "| exit status | meaning |").iter().map(|row| row[0]).collect();
    let constants = COMMANDS.lines().filter_map(|line| line.trim().strip_prefix("pub(crate) const "));
    let known: BTreeSet<&str> = constants
        .filter_map(|constant| constant.split_once(": u8 = "))
        .map(|(_, value)| value.trim_end_matches(';'))
        .collect();
    assert!(known.len() > 5, "{known:?}");
    assert_eq!(told, known);
}
