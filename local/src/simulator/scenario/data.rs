//! What becomes of inputs, and what datasets look like.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

section! {
    /// What becomes of inputs. The fate of an input is decided by the seed and the input, and for transient failures by
    /// how many jobs of the collector have had it before.
    Inputs {
        /// Share of inputs that fail at first and succeed in a later job.
        transient: f64 = 0.06,
        /// How many jobs such an input fails in at most (at least one).
        transient_failures_max: u32 = 2,
        /// Share of inputs that fail in every job.
        permanent: f64 = 0.02,
        /// Share of inputs that give neither a record nor an error (quirk 8).
        nothing: f64 = 0.01,
        /// Records of an ordinary input.
        records: u64 = 1,
        /// Share of the remaining inputs that give more (quirk 8).
        many: f64 = 0.05,
        /// How many records those give at most (at least 2).
        many_max: u64 = 3,
        /// Share of inputs with records that have a warning (and a `warning_code`).
        warning: f64 = 0.02,
        /// Share of inputs with records that have an error row besides.
        partial: f64 = 0.0,
        /// Share of error rows with prose only, without `error_code` and `status_code` (quirk 7).
        uncoded: f64 = 0.05,
        /// Share of error rows with a code and no `status_code`.
        without_status_code: f64 = 0.1,
        /// Codes of transient failures with their weights (names of the error-codes page).
        transient_codes: BTreeMap<String, f64> = weights(&["infra_error", "runner_disconnected", "browser_disconnected",
            "crawl_error", "proxy_error", "timeout", "net_err_tunnel", "navigation_timeout"]),
        /// Codes of permanent failures with their weights.
        permanent_codes: BTreeMap<String, f64> = weights(&["dead_page", "dead_page", "wait_element_timeout", "bad_input", "parse_error"]),
        /// Fates by a part of the input's text: `"/dead/" = "permanent"`. The first that fits wins.
        marked: BTreeMap<String, Fate> = BTreeMap::new(),
    }
}

choices! {
    /// What becomes of an input.
    Fate {
        /// Records.
        #[default] Records,
        /// Fails at first.
        Transient,
        /// Always fails.
        Permanent,
        /// Neither record nor error.
        Nothing,
    }
}

section! {
    /// What datasets look like.
    Dataset {
        /// The scraper's file format (quirk 3).
        format: Format = Format::Json,
        /// Whether `format=json` in the query overrides it (an official script counts on it).
        heed_format: bool = true,
        /// Whether a JSON dataset of one record is a bare object (quirk 3).
        bare_single: bool = false,
        /// Whether error rows are in the dataset (quirk 6; "Data preferences" of the scraper).
        errors: ErrorRows = ErrorRows::Combined,
        /// Whether rows come in another order than inputs (quirk 10).
        shuffled: bool = false,
        /// Share of datasets with rows of another run (quirk 22).
        foreign: f64 = 0.0,
        /// How many rows those have too much.
        foreign_rows: u64 = 2,
        /// Wraps the records of an input into one row under this key: `entries`, `results`, ….
        wrapped: Option<String> = None,
        /// Records are filled up to so many bytes.
        record_bytes: usize = 0,
        /// Share of inputs whose echo has a field added (a default of the collector).
        echo_defaulted: f64 = 0.0,
        /// Share of inputs whose echo has its keys in another order.
        echo_reordered: f64 = 0.0,
        /// Share of inputs whose echo spells numbers as strings and numeric strings as numbers.
        echo_respelled: f64 = 0.0,
        /// Share of inputs whose echo has another `url` (a collector that normalises addresses: `/` is put behind it).
        echo_rewritten: f64 = 0.0,
        /// Share of inputs that are not echoed.
        echo_absent: f64 = 0.0,
        /// Whether datasets are compressed for a client that sends `Accept-Encoding: gzip`.
        gzip: bool = true,
        /// Datasets up to so many bytes have a `Content-Length`; larger ones are streamed.
        stream_above_bytes: u64 = 262_144,
    }
}

choices! {
    /// File formats.
    Format {
        /// A JSON array, `application/json`.
        #[default] Json,
        /// One object a line with a final newline, `application/jsonl`.
        Jsonl,
        /// `text/csv` with a header row; the echoed input is JSON text in the column `input`.
        Csv,
    }
}

choices! {
    /// Where error rows are.
    ErrorRows {
        /// Between the records.
        #[default] Combined,
        /// Nowhere.
        Absent,
    }
}

fn weights(codes: &[&str]) -> BTreeMap<String, f64> {
    let mut weights = BTreeMap::new();
    for code in codes {
        *weights.entry((*code).to_owned()).or_insert(0.0) += 1.0;
    }
    weights
}
