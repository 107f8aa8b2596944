//! What is read from outside, fuzzed: one function for each parser, which takes any bytes, makes a case of them and asserts what must
//! hold for it. A corpus entry is a case as these functions take it.
//!
//! The functions have two drivers. `tests/bounded.rs` replays the corpora and runs a fixed number of mutated cases, with any compiler;
//! `cargo fuzz run <target> --features libfuzzer` is guided by coverage, and needs a nightly one (`README.md`).

mod answers;
mod bytes;
mod config;
mod datasets;
mod deliveries;
mod drops;
mod files;
mod json;
mod keys;
mod ledger;
mod matches;
pub mod mutate;
mod outcome;
mod secrets;
mod tables;
mod texts;
mod words;

pub use answers::api_answer;
pub use config::config;
pub use datasets::dataset;
pub use deliveries::delivery;
pub use drops::{s3_event, sqs_event};
pub use files::input_file;
pub use json::json_cut;
pub use keys::{input_path, settings};
pub use ledger::{attempt_state, ledger, message, notice_path};
pub use matches::matching;
pub use secrets::secret;
pub use tables::csv_table;
pub use texts::canonical;

/// A function that is fuzzed.
pub struct Target {
    /// Its name; the corpus has a folder and `cargo fuzz` a binary of that name.
    pub name: &'static str,
    /// The function. It panics when something does not hold.
    pub run: fn(&[u8]),
    /// How many mutated cases a bounded run makes: about three seconds' worth.
    pub cases: u32,
    /// Words that mutations put in.
    pub words: &'static [&'static str],
}

/// Every target.
pub const TARGETS: [Target; 18] = [
    Target { name: "input_file", run: input_file, cases: 6_000, words: words::FILES },
    Target { name: "csv_table", run: csv_table, cases: 5_000, words: words::FILES },
    Target { name: "dataset", run: dataset, cases: 10_000, words: words::DATASETS },
    Target { name: "delivery", run: delivery, cases: 6_000, words: words::DATASETS },
    Target { name: "json_cut", run: json_cut, cases: 20_000, words: words::JSON },
    Target { name: "canonical", run: canonical, cases: 20_000, words: words::JSON },
    Target { name: "matching", run: matching, cases: 10_000, words: words::JSON },
    Target { name: "settings", run: settings, cases: 20_000, words: words::SETTINGS },
    Target { name: "input_path", run: input_path, cases: 20_000, words: words::PATHS },
    Target { name: "api_answer", run: api_answer, cases: 10_000, words: words::ANSWERS },
    Target { name: "s3_event", run: s3_event, cases: 10_000, words: words::EVENTS },
    Target { name: "sqs_event", run: sqs_event, cases: 5_000, words: words::EVENTS },
    Target { name: "secret", run: secret, cases: 500, words: words::JSON },
    Target { name: "config", run: config, cases: 4_000, words: words::VARIABLES },
    Target { name: "ledger", run: ledger, cases: 20_000, words: words::RECORDS },
    Target { name: "attempt_state", run: attempt_state, cases: 10_000, words: words::RECORDS },
    Target { name: "message", run: message, cases: 20_000, words: words::RECORDS },
    Target { name: "notice_path", run: notice_path, cases: 20_000, words: words::RECORDS },
];
