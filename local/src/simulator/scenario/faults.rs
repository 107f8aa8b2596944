//! Trouble on the way, and exceptions for single collectors.

use serde::{Deserialize, Serialize};

use super::data::Format;

section! {
    /// Trouble on the way.
    Faults {
        /// `POST /dca/trigger`.
        trigger: Endpoint = Endpoint::default(),
        /// `GET /dca/dataset`.
        dataset: Endpoint = Endpoint::default(),
        /// `GET /dca/log/{id}` and `GET /dca/jobs/{id}/hp_errors`.
        log: Endpoint = Endpoint::default(),
        /// `GET /dca/collector/jobs` and `GET /dca/collectors_list`.
        list: Endpoint = Endpoint::default(),
        /// `POST /dca/jobs/{id}/…`.
        control: Endpoint = Endpoint::default(),
        /// The real-time endpoints.
        realtime: Endpoint = Endpoint::default(),
        /// What `Retry-After` of a 429 or 503 says.
        retry_after: RetryAfter = RetryAfter::Seconds,
        /// How long it says.
        retry_after_seconds: u32 = 2,
        /// Whether 502, 503 and 504 are a gateway's HTML page (quirks 15 and 21) or plain text.
        gateway_html: bool = true,
        /// Whether an answer with `x-brd-error` keeps its body; otherwise it is empty. Undocumented.
        brd_error_with_body: bool = false,
    }
}

section! {
    /// Trouble of one endpoint. Except for cut answers, nothing is processed.
    Endpoint {
        /// Share of requests that meet a refused connection.
        not_connected: f64 = 0.0,
        /// Share of answers whose body is cut.
        answer_cut: f64 = 0.0,
        /// Share of 500, 502, 503 and 504 (quirk 21).
        server_error: f64 = 0.0,
        /// Share of 429.
        too_many: f64 = 0.0,
        /// Share of 200 with an `x-brd-error` header (quirk 23).
        brd_error: f64 = 0.0,
        /// Shortest time of an answer.
        latency_ms: u64 = 5,
        /// A random addition of at most so much.
        latency_spread_ms: u64 = 20,
    }
}

choices! {
    /// Forms of `Retry-After`.
    RetryAfter {
        /// A number of seconds.
        #[default] Seconds,
        /// An HTTP date.
        Date,
        /// None.
        Absent,
    }
}

section! {
    /// Exceptions for one collector.
    Collector {
        /// The name in the list of collectors.
        name: Option<String> = None,
        /// 404 `Collector not found`.
        unknown: bool = false,
        /// 400 for `queue_next` (quirk 14).
        trial: bool = false,
        /// 403 `Collector does not have a template`.
        no_template: bool = false,
        /// 403: the key lacks the permission, as plain text.
        forbidden: bool = false,
        /// A real-time scraper, which refuses batches with 400.
        realtime: bool = false,
        /// Fields that every input must have; 422 otherwise.
        schema: Vec<String> = Vec::new(),
        /// Whether other fields are refused too.
        schema_closed: bool = false,
        /// The managed scraper's schema has changed: refused unless the trigger overrides it (FAQ).
        schema_changed: Option<SchemaChange> = None,
        /// Short for `dataset.format`.
        format: Option<Format> = None,
        /// Keys of `[api]` with other values.
        api: toml::Table = toml::Table::new(),
        /// Keys of `[jobs]` with other values.
        jobs: toml::Table = toml::Table::new(),
        /// Keys of `[inputs]` with other values.
        inputs: toml::Table = toml::Table::new(),
        /// Keys of `[dataset]` with other values.
        dataset: toml::Table = toml::Table::new(),
    }
}

choices! {
    /// Which schema has changed.
    SchemaChange {
        /// `override_incompatible_input_schema=1` lets it pass.
        #[default] Input,
        /// `override_incompatible_schema=1` lets it pass.
        Output,
    }
}
