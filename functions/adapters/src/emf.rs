//! Metrics as lines of the log: CloudWatch makes metrics of what is in its embedded metric format (CloudWatch page "Embedded metric format
//! specification"), so telling them takes no request.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use pipeline::metrics::{Metric, Statistic};
use pipeline::ports::Metrics;
use serde_json::{Map, Value, json};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "dropcollect";
/// The dimension of all metrics: any number of stacks stand side by side.
pub const STACK: &str = "Stack";

/// Collects what is noted in one turn.
pub struct Emf {
    stack: String,
    noted: Mutex<BTreeMap<Series, (Metric, u64)>>,
}

/// A metric with the value of its own dimension. Those with the same one share a line.
type Series = (&'static str, &'static str, &'static str);

impl Emf {
    /// For a stack of this name.
    pub fn new(stack: impl Into<String>) -> Self {
        Self { stack: stack.into(), noted: Mutex::default() }
    }

    /// Prints what has been noted since the last time.
    pub fn flush(&self, now: Timestamp) {
        for line in self.lines(now) {
            println!("{line}");
        }
    }

    /// The lines that [`flush`](Self::flush) prints.
    pub fn lines(&self, now: Timestamp) -> Vec<Value> {
        let noted = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
        let mut lines: BTreeMap<(&str, &str), Vec<(Metric, u64)>> = BTreeMap::new();
        for ((by, of, _), value) in noted {
            lines.entry((by, of)).or_default().push(value);
        }
        lines.into_iter().map(|((by, of), values)| self.line(now, by, of, &values)).collect()
    }

    fn line(&self, now: Timestamp, by: &str, of: &str, values: &[(Metric, u64)]) -> Value {
        let mut line: Map<String, Value> =
            values.iter().map(|(metric, value)| (metric.name.to_owned(), json!(value))).collect();
        let mut dimensions = vec![STACK];
        line.insert(STACK.to_owned(), json!(self.stack));
        if !by.is_empty() {
            dimensions.push(by);
            line.insert(by.to_owned(), json!(of));
        }
        let metrics: Vec<_> =
            values.iter().map(|(metric, _)| json!({"Name": metric.name, "Unit": metric.unit.name()})).collect();
        let directive = json!({"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics});
        line.insert("_aws".to_owned(), json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive]}));
        Value::Object(line)
    }
}

impl Metrics for Emf {
    fn note(&self, metric: &Metric, of: &'static str, value: u64) {
        let series = (metric.by.unwrap_or_default(), of, metric.name);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted
            .entry(series)
            .and_modify(|(_, so_far)| {
                *so_far = match metric.statistic {
                    Statistic::Sum => so_far.saturating_add(value),
                    Statistic::Maximum => (*so_far).max(value),
                    Statistic::Minimum => (*so_far).min(value),
                }
            })
            .or_insert((*metric, value));
    }
}

#[cfg(test)]
mod tests {
    use pipeline::metrics;

    use super::*;

    #[test]
    fn what_is_noted_becomes_lines() {
        let emf = Emf::new("shop");
        emf.note(&metrics::POLLS, "", 1);
        emf.note(&metrics::POLLS, "", 2);
        emf.note(&metrics::DAYS_TO_EXPIRY, "", 9);
        emf.note(&metrics::DAYS_TO_EXPIRY, "", 7);
        emf.note(&metrics::COLLECTION_AGE, "", 7);
        emf.note(&metrics::COLLECTION_AGE, "", 5);
        emf.note(&metrics::TRIGGERS, "accepted", 1);
        emf.note(&metrics::TRIGGERS, "in_doubt", 1);
        let trigger = |outcome: &str| {
            json!({
                "Stack": "shop", "Outcome": outcome, "triggers": 1,
                "_aws": {"Timestamp": 0, "CloudWatchMetrics": [{
                    "Namespace": "dropcollect", "Dimensions": [["Stack", "Outcome"]],
                    "Metrics": [{"Name": "triggers", "Unit": "Count"}],
                }]},
            })
        };
        let plain = json!({
            "Stack": "shop", "polls": 3, "days_to_expiry": 7, "collection_age_seconds": 7,
            "_aws": {"Timestamp": 0, "CloudWatchMetrics": [{
                "Namespace": "dropcollect", "Dimensions": [["Stack"]],
                "Metrics": [
                    {"Name": "collection_age_seconds", "Unit": "Seconds"},
                    {"Name": "days_to_expiry", "Unit": "None"},
                    {"Name": "polls", "Unit": "Count"},
                ],
            }]},
        });
        assert_eq!(emf.lines(Timestamp::UNIX_EPOCH), [plain, trigger("accepted"), trigger("in_doubt")]);
        assert_eq!(emf.lines(Timestamp::UNIX_EPOCH), [] as [Value; 0], "nothing is told twice");
    }
}
