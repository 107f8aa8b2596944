//! What the pipeline tells about itself: the one table of metrics. Dashboard, alarms and documentation are tested against it.
//!
//! Metrics are for watching. What a handler notes is lost if it dies before its end, and a message that is delivered again may count a
//! question twice; what became of every input is in the manifest.

use crate::decisions::codes;
use crate::manifest::RunState;
use crate::ports::SendAnswer;

/// Unit of a metric, as CloudWatch spells it (API reference `MetricDatum`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things; values of one turn are added up.
    Count,
    /// Bytes; added up, too.
    Bytes,
    /// Seconds.
    Seconds,
    /// Days, for which CloudWatch has no unit.
    None,
}

impl Unit {
    /// As CloudWatch spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Bytes => "Bytes",
            Self::Seconds => "Seconds",
            Self::None => "None",
        }
    }
}

/// The statistic that says something about a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// What happened, in all.
    Sum,
    /// The greatest value: of a level that every sweep measures, or of an age.
    Maximum,
    /// The least value.
    Minimum,
}

impl Statistic {
    /// As CloudWatch spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "Sum",
            Self::Maximum => "Maximum",
            Self::Minimum => "Minimum",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name in CloudWatch.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// How it is read.
    pub statistic: Statistic,
    /// A dimension of its own beside the stack; its values are a short, closed list, because each is a metric that is paid for.
    pub by: Option<&'static str>,
    /// What it says, in a sentence.
    pub means: &'static str,
}

impl Metric {
    const fn count(name: &'static str, means: &'static str) -> Self {
        Self { name, unit: Unit::Count, statistic: Statistic::Sum, by: None, means }
    }

    const fn count_by(by: &'static str, name: &'static str, means: &'static str) -> Self {
        Self { by: Some(by), ..Self::count(name, means) }
    }

    /// A level: every sweep measures it anew.
    const fn level(name: &'static str, means: &'static str) -> Self {
        Self { statistic: Statistic::Maximum, ..Self::count(name, means) }
    }

    const fn seconds(name: &'static str, means: &'static str) -> Self {
        Self { unit: Unit::Seconds, ..Self::level(name, means) }
    }
}

/// Defines the metrics, and the table of all of them.
macro_rules! metrics {
    ($($constant:ident = $metric:expr;)*) => {
        $(
            #[doc = concat!("See [`TABLE`]: `", stringify!($constant), "`.")]
            pub const $constant: Metric = $metric;
        )*
        /// Every metric, in the order in which a file passes through the pipeline; those of the sweep last.
        pub const TABLE: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    FILES = Metric::count("files", "files that began a run");
    INPUTS = Metric::count("inputs", "rows that were read");
    INPUTS_REJECTED = Metric::count("inputs_rejected", "of them, rows that are no valid input");
    INPUTS_DUPLICATE = Metric::count("inputs_duplicate", "of them, inputs that an earlier row of the file has");
    BATCHES = Metric::count("batches", "batches that were recorded");
    TRIGGERS = Metric::count_by("Outcome", "triggers", "triggers, by what the API answered; `in_doubt` is no answer");
    INPUTS_TRIGGERED = Metric::count("inputs_triggered", "inputs of accepted triggers: what is paid for");
    LIMIT_REACHED = Metric::count("limit_reached", "runs that began to wait for a spending limit");
    CREDENTIALS_REFUSED = Metric::count("credentials_refused", "calls that the API answered with 401 or 403");
    POLLS = Metric::count("polls", "questions for a dataset");
    HINTS = Metric::count("hints", "looks that a notice of the API asked for");
    COLLECTION_AGE = Metric::seconds("collection_age_seconds", "time since the trigger, of collections that were looked at: the greatest is the oldest open one");
    DAYS_TO_EXPIRY = Metric {
        unit: Unit::None,
        statistic: Statistic::Minimum,
        ..Metric::level("days_to_expiry", "days until the API deletes the results of a collection that is not delivered yet")
    };
    COLLECTIONS = Metric::count("collections", "collections that were delivered, or ended without data");
    COLLECTION_SECONDS = Metric::seconds("collection_seconds", "from the trigger to the delivery of a collection");
    PAGE_LOADS = Metric::count("page_loads", "page loads of these collections by their job logs: what the API charges");
    RECORDS = Metric::count("records", "records that were delivered");
    RECORDS_UNMATCHED = Metric::count("records_unmatched", "of them, records whose input could not be told");
    BYTES_DELIVERED = Metric { unit: Unit::Bytes, ..Metric::count("bytes_delivered", "bytes of output objects") };
    INPUTS_AGAIN = Metric::count("inputs_again", "failed inputs that go to the retry queue");
    INPUTS_WITH_RECORDS = Metric::count("inputs_with_records", "inputs that ended with a record");
    INPUTS_WITHOUT_RECORD = Metric::count("inputs_without_record", "inputs that ended with neither a record nor an error");
    INPUTS_FAILED = Metric::count_by("Code", "inputs_failed", "inputs that failed for good, by code");
    INPUTS_HELD = Metric::count("inputs_held", "inputs that began to wait for a person");
    SENDS_IN_DOUBT = Metric::count("sends_in_doubt", "triggers without an answer for which the job list is searched");
    RUNS = Metric::count_by("State", "runs", "runs that ended, by the state of their manifest");
    RUN_SECONDS = Metric::seconds("run_seconds", "from the drop of a file to its manifest");
    CONSERVATION_BROKEN = Metric::count("conservation_broken", "manifests that were not written because the counts do not add up");
    MESSAGES_FAILED = Metric::count("messages_failed", "deliveries of messages that ended with an error or a panic, and come back");
    MESSAGES_SET_ASIDE = Metric::count("messages_set_aside", "messages that were put into a dead-letter queue, with the reason");
    OPEN_RUNS = Metric::level("open_runs", "runs that are not over");
    OLDEST_RUN = Metric::seconds("oldest_run_seconds", "age of the oldest of them");
    STUCK_RUNS = Metric::level("stuck_runs", "runs that wait for nobody, and are older than all their attempts may take");
    PAUSED = Metric::level("paused", "1 while the kill switch keeps everything from being triggered");
    HELD_INPUTS = Metric::level("held_inputs", "inputs that wait for a person");
    REMINDED = Metric::count("reminded", "batches that were sent a reminder");
    READ_ON = Metric::count("read_on", "files that had not been read to their end, and were read on");
    OVERDUE = Metric::level("overdue", "triggers without an answer that should have been settled an hour ago");
    EXPIRING = Metric::level("expiring", "collections older than 14 days that are not delivered: the API deletes results after 16");
    LATE = Metric::count("late", "collections that came to light after their trigger had been given up; they were paid for");
    SWEEP_FAILURES = Metric::level("sweep_failures", "runs, and triggers that were given up, that a sweep could not look at");
    SWEEP_CUT_SHORT = Metric::level("sweep_cut_short", "1 if a sweep's time ran out before everything had been looked at");
}

/// Value of the dimension `Outcome`.
pub fn outcome(answer: &SendAnswer) -> &'static str {
    match answer {
        SendAnswer::NotSent { .. } => "not_sent",
        SendAnswer::Accepted { .. } => "accepted",
        SendAnswer::RefusedOption { .. } => "refused_option",
        SendAnswer::Refused { .. } => "refused",
        SendAnswer::Credentials { .. } => "credentials",
        SendAnswer::Wait { .. } => "wait",
        SendAnswer::InDoubt { .. } => "in_doubt",
    }
}

/// Value of the dimension `State`.
pub fn state(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Held => "held",
        RunState::Complete => "complete",
        RunState::CompleteWithFailures => "complete_with_failures",
        RunState::Rejected => "rejected",
    }
}

/// Value of the dimension `Code`: codes that the API documents and our own by their names, families of codes by theirs, the rest as
/// `other`. The log and `errors.ndjson` have every code as it came.
pub fn code(code: &str) -> &'static str {
    if let Some(known) = CODES.iter().find(|known| **known == code) {
        return known;
    }
    let family = FAMILIES.iter().find(|family| code.strip_prefix(**family).is_some_and(|rest| rest.starts_with('_')));
    family.copied().unwrap_or("other")
}

/// Families of codes whose members are not listed anywhere.
pub const FAMILIES: [&str; 3] = ["refused", "net_err", "cdp"];

/// Codes of the API (page on error codes), and ours.
pub const CODES: &[&str] = &[
    codes::NO_CODE,
    codes::UNATTRIBUTED,
    codes::COLLECTION_FAILED,
    codes::COLLECTION_CANCELLED,
    codes::COLLECTION_DEADLINE,
    codes::COLLECTION_GONE,
    codes::RUN_CANCELLED,
    codes::GIVEN_UP,
    codes::DATASET_UNREADABLE,
    "bad_input",
    "ERR_INVALID_URL",
    "dead_page",
    "blocked",
    "block",
    "detect_block",
    "captcha_timeout",
    "crawl_error",
    "child_input_size_validation",
    "collector_request_validation",
    "wait_element_timeout",
    "click_timeout",
    "close_popup_fail",
    "load_more_timeout",
    "tag_response",
    "load_sitemap",
    "ajax_request_error",
    "bad_cmd_arg",
    "not_supported_cmd",
    "detached_element",
    "timeout",
    "bad_navigate",
    "navigation_timeout",
    "domcontentloaded_event_timeout",
    "networkidle_event_timeout",
    "load_event_timeout",
    "document_load_failed",
    "page_too_big",
    "infra_error",
    "runner_disconnected",
    "browser_disconnected",
    "bad_browser",
    "network_error",
    "ipc_timeout",
    "worker_too_busy",
    "crawl_request_failed",
    "brul",
    "global_rate_limit",
    "bucket_rate_limit",
    "job_run_timeout",
    "crawl_timeout",
    "deadline_timeout",
    "too_many_pages",
    "uncrawled_page",
    "aborted_page",
    "proxy",
    "proxy_error",
    "no_peers",
    "parse_error",
    "parse_req_error",
    "parse_request_payload_large",
    "parse_mem_limit_exceeded",
    "parse_cpu_limit_exceeded",
    "external_upload_fail",
    "failed_media_upload",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::decisions;

    #[test]
    fn names_are_one_of_a_kind() {
        let names: BTreeSet<_> = TABLE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), TABLE.len());
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }

    #[test]
    fn a_code_of_tomorrow_makes_no_metric_of_its_own() {
        let told = ["dead_page", "refused_422", "net_err_tunnel", "cdp_closed", "net_errand", "a_code_of_tomorrow", ""];
        assert_eq!(told.map(code), ["dead_page", "refused", "net_err", "cdp", "other", "other", "other"]);
        for (known, _) in decisions::TABLE {
            assert_ne!(code(known), "other", "{known} is in the table of decisions");
        }
    }
}
