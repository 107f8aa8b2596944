//! The crash points of a world: every kind of effect that a handler makes, told apart by what it is about, before and after it took
//! place. Which kinds there are is declared here, so that one which no world ever cuts is reported, and one which nobody declared too.

use std::fmt;

/// A kind of effect: the call and what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The call, as its port names it.
    pub call: &'static str,
    /// The record, queue message or question.
    pub about: &'static str,
}

impl Point {
    /// A kind of effect.
    pub const fn new(call: &'static str, about: &'static str) -> Self {
        Self { call, about }
    }

    /// A call of the store about this key (of a listing: about the keys that begin so).
    pub fn of_key(call: &'static str, key: &str) -> Self {
        Self { call, about: record(key) }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.call, self.about))
    }
}

/// What a key of the dataset bucket is about.
pub fn record(key: &str) -> &'static str {
    let (first, rest) = key.split_once('/').unwrap_or((key, ""));
    match first {
        "ledger" => ledger(rest),
        "control" if rest == "token.json" => "token-gate",
        "control" if rest == "pause.json" => "pause",
        "control" if rest == "spending.json" => "spending",
        "control" if rest == "page.json" => "page-state",
        "control" if rest.starts_with("accounts/") => "account-book",
        "accounts" => "accounts",
        "control" => "collector-gate",
        "status" if rest == "index.html" => "page",
        "status" => "status",
        "output" if rest.ends_with("/manifest.json") => "manifest",
        "output" => "records",
        "late" if rest.ends_with(".note.json") => "late-note",
        // Delivered in the same way as any other.
        "late" => "records",
        "failed" if rest.ends_with("/errors.ndjson") => "error-list",
        "failed" => "failed-file",
        _ => "other",
    }
}

fn ledger(rest: &str) -> &'static str {
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        ["collections", name] if name.ends_with(".renounced.json") => "renounced",
        ["collections", name] if name.contains(".claim-") => "claim",
        ["collections", _] => "collection",
        ["doubts", ..] => "doubt",
        ["begun", _] => "begun",
        ["over", _] => "over",
        ["runs", _, name] => match *name {
            "run.json" => "run",
            "end.json" => "end",
            "cancel.json" => "run-cancel",
            "over-limits.json" => "over-limits",
            "no-queue-next.json" => "no-queue-next",
            _ => "other",
        },
        ["runs", _, "batches", ..] => "batch",
        ["runs", _, "done", ..] => "done",
        ["runs", _, "partial", ..] => "partial",
        ["runs", _, "blocks", ..] => "block",
        ["runs", _, "held", name] if name.ends_with(".released.json") => "released-mark",
        ["runs", _, "held", ..] => "held-mark",
        ["runs", _, "sweeps", ..] => "sweep",
        ["runs", _, "attempts", _] => "attempts",
        ["runs", _, "attempts", _, name] => attempt(name),
        _ => "other",
    }
}

fn attempt(name: &str) -> &'static str {
    let words = [
        (".intent.json", "intent"),
        (".outcome.json", "outcome"),
        (".cancel.json", "cancel"),
        (".delivery.json", "delivery"),
    ];
    match name {
        "" => "attempt",
        "end.json" => "attempt-end",
        name if name.starts_with("poller-") => "poller",
        name if name.starts_with("alive-") => "alive",
        name if name.contains(".unreadable-") => "unreadable",
        name if name.contains(".held-") => "held",
        name if name.contains(".released-") => "released",
        name => words.iter().find(|(end, _)| name.ends_with(end)).map_or("other", |(_, word)| word),
    }
}

/// Every kind of effect, by call.
const EXPECTED: &[(&str, &[&str])] = &[
    ("abort_upload", &["records"]),
    ("api", &["cancel", "dataset", "errors", "jobs", "log", "trigger"]),
    ("begin_upload", &["error-list", "failed-file", "records"]),
    ("complete_upload", &["error-list", "failed-file", "records"]),
    (
        "create",
        &[
            "alive",
            "attempt-end",
            "batch",
            "begun",
            "block",
            "cancel",
            "claim",
            "collection",
            "delivery",
            "done",
            "doubt",
            "end",
            "held",
            "held-mark",
            "intent",
            "late-note",
            "manifest",
            "no-queue-next",
            "outcome",
            "over",
            "over-limits",
            "partial",
            "poller",
            "released",
            "released-mark",
            "renounced",
            "run",
            "run-cancel",
            "sweep",
            "unreadable",
        ],
    ),
    (
        "get",
        &[
            "account-book",
            "attempt-end",
            "batch",
            "block",
            "cancel",
            "claim",
            "collection",
            "collector-gate",
            "delivery",
            "done",
            "doubt",
            "end",
            "held",
            "held-mark",
            "intent",
            "late-note",
            "manifest",
            "no-queue-next",
            "outcome",
            "over",
            "page-state",
            "partial",
            "pause",
            "poller",
            "released",
            "renounced",
            "run",
            "run-cancel",
            "spending",
            "status",
            "sweep",
            "token-gate",
            "unreadable",
        ],
    ),
    (
        "list",
        &[
            "attempt",
            "attempt-end",
            "attempts",
            "batch",
            "begun",
            "block",
            "collection",
            "done",
            "doubt",
            "held-mark",
            "manifest",
            "over",
            "over-limits",
            "partial",
            "records",
            "sweep",
        ],
    ),
    ("message", &["delay", "delete", "give-back", "set-aside"]),
    ("notify", &["run-ended"]),
    ("open", &["input"]),
    ("read", &["dataset", "input"]),
    ("put", &["accounts", "page"]),
    ("replace", &["account-book", "collector-gate", "page-state", "pause", "spending", "status", "token-gate"]),
    ("send", &["hand-over", "hint", "reminder", "reminders", "retry-order"]),
    ("upload_part", &["error-list", "failed-file", "records"]),
];

/// Effects that few worlds make, and that are aimed at more often for that.
pub(super) const RARE: &[Point] = &[
    Point::new("abort_upload", "records"),
    Point::new("create", "late-note"),
    Point::new("create", "no-queue-next"),
    Point::new("create", "released"),
    Point::new("create", "released-mark"),
    Point::new("get", "late-note"),
];

/// Every kind of effect that handlers make.
pub fn expected() -> impl Iterator<Item = Point> {
    EXPECTED.iter().flat_map(|(call, abouts)| abouts.iter().map(|about| Point::new(call, about)))
}

#[cfg(test)]
mod tests {
    use pipeline::keys;
    use pipeline::words::{AttemptId, RunId, Slice};

    use super::*;

    #[test]
    fn keys_name_their_record() {
        let run = RunId::parse("0123456789abcdef").unwrap();
        let id = AttemptId { run: run.clone(), batch: 3, attempt: 2 };
        let slice = Slice { start: 0, end: 4 };
        for (key, about) in [
            (keys::run(&run), "run"),
            (keys::batches(&run), "batch"),
            (keys::end(&run), "end"),
            (keys::done(&run, 7), "done"),
            (keys::partial(&id), "partial"),
            (keys::blocks(&run), "block"),
            (keys::held_mark(&id, slice, 1), "held-mark"),
            (keys::attempt(&id), "attempt"),
            (keys::attempt_end(&id), "attempt-end"),
            (keys::poller(&id, 2), "poller"),
            (keys::outcome(&id, slice, 1), "outcome"),
            (keys::held(&id, slice, 1), "held"),
            (keys::released(&id, slice, 1), "released"),
            (keys::released_mark(&keys::held_mark(&id, slice, 1)), "released-mark"),
            (keys::attempts(&run, 3), "attempts"),
            (keys::late_note("a", &run, "j_1"), "late-note"),
            (keys::collection("j_1"), "collection"),
            (keys::claim("j_1", 1), "claim"),
            (keys::renounced("j_1", 1), "renounced"),
            (keys::collector_gate("c_x"), "collector-gate"),
            (keys::TOKEN_GATE.to_owned(), "token-gate"),
            (keys::PAUSE.to_owned(), "pause"),
            (keys::SPENDING.to_owned(), "spending"),
            (keys::PAGE_STATE.to_owned(), "page-state"),
            (keys::PAGE.to_owned(), "page"),
            (keys::status("index.html/a"), "status"),
            (keys::over_limits(&run), "over-limits"),
            (keys::account_book("2026-11"), "account-book"),
            (keys::accounts("2026-11"), "accounts"),
            (keys::manifest("a/b.txt", &run), "manifest"),
            (keys::errors("a/b.txt", &run), "error-list"),
        ] {
            assert_eq!(record(&key), about, "{key}");
        }
    }
}
