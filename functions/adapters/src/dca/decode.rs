//! Responses become answers. Every rule about what the API's answers mean is in this file; sources are in the table of
//! `ARCHITECTURE.md` about what the API says to a send.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use pipeline::ports::{JobError, JobLog, JobPage, ListedJob, Looked, SendAnswer};
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::text::readable;

/// A response that was read whole.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// Headers, lower-case names.
    pub headers: &'a [(String, String)],
    /// The body, or as much of it as came.
    pub body: &'a [u8],
    /// Why the body ended early, if it did.
    pub cut: Option<&'a str>,
    /// When it came; turns a `Retry-After` date into seconds.
    pub at: Timestamp,
    /// The token of the request: a gateway's error page may repeat it, and no text of ours does.
    pub token: Option<&'a SecretString>,
}

impl Answer<'_> {
    fn text(&self) -> String {
        readable(self.body, self.headers, self.token)
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(self.body).ok()
    }

    /// `Retry-After`: seconds, or an HTTP date.
    pub fn retry_after(&self) -> Option<u32> {
        let value = header(self.headers, "retry-after")?.trim();
        if let Ok(seconds) = value.parse::<u64>() {
            return Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        }
        // An HTTP date is an RFC 2822 date whose zone is spelt GMT.
        let date = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
        Some(u32::try_from(date.as_second().saturating_sub(self.at.as_second()).max(0)).unwrap_or(u32::MAX))
    }
}

pub(super) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// What an answer to `POST /dca/trigger` means. What is not known to have started nothing is in doubt.
pub fn trigger(answer: &Answer<'_>) -> SendAnswer {
    let status = answer.status;
    let in_doubt = |why: String| SendAnswer::InDoubt { why };
    match (status, answer.cut) {
        (401, _) => return SendAnswer::Credentials { status, text: answer.text() },
        (429, _) => return SendAnswer::Wait { retry_after: answer.retry_after(), text: answer.text() },
        // A whole JSON object with an id says all there is to know, whatever was to come behind it; the job list may never say it.
        (200..=299, Some(_)) if let Some(accepted) = accepted(answer) => return accepted,
        // The part that is missing may be the one that tells a refusal from a limit, or the id.
        (_, Some(cut)) => return in_doubt(format!("{status}, but the answer was cut: {cut}")),
        _ => {}
    }
    match status {
        200..=299 => accepted(answer).unwrap_or_else(|| in_doubt(format!("{status} without an id: {}", answer.text()))),
        // A gateway may answer so after it has passed the request on.
        408 => in_doubt(format!("408: {}", answer.text())),
        // "See there what came of it" (RFC 9110, 15.4.4) may follow a POST that was done, and 302 is used for the same. 301, 307 and 308
        // ask for the same request elsewhere, so it was not done here.
        300 | 302..=306 => in_doubt(format!("{status}: {}", answer.text())),
        300..=499 => refused(answer),
        _ => in_doubt(format!("{status}: {}", answer.text())),
    }
}

fn accepted(answer: &Answer<'_>) -> Option<SendAnswer> {
    let body = answer.json()?;
    let collection = body.get("collection_id")?.as_str().filter(|id| !id.trim().is_empty())?.to_owned();
    Some(SendAnswer::Accepted { collection, start_eta: body.get("start_eta").and_then(time) })
}

fn refused(answer: &Answer<'_>) -> SendAnswer {
    let (status, text) = (answer.status, answer.text());
    let lower = text.to_ascii_lowercase();
    // "Maximum limit of 100 jobs per scraper has been exceeded"; no page gives the status.
    if status >= 400 && lower.contains("maximum limit of") && lower.contains("job") {
        return SendAnswer::Wait { retry_after: answer.retry_after(), text };
    }
    match status {
        400 if lower.contains("trial collectors") && lower.contains("queuing") => SendAnswer::RefusedOption { text },
        403 if !about_the_collector(answer) => SendAnswer::Credentials { status, text },
        _ => SendAnswer::Refused { status, text },
    }
}

/// 403 mostly means the key, in plain text; `{"error":"Collector does not have a template"}` means the collector.
fn about_the_collector(answer: &Answer<'_>) -> bool {
    let text = answer.text().to_ascii_lowercase();
    let names = |words: &[&str]| words.iter().any(|word| text.contains(word));
    answer.json().is_some_and(|body| body.is_object())
        && names(&["collector", "scraper", "template"])
        && !names(&["permission", "credential", "token", "api key", "authoriz", "not allowed", "access"])
}

/// The head of an answer to `GET /dca/dataset`: 200 has the records behind it.
pub fn dataset_is_ready(status: u16) -> bool {
    status == 200
}

/// What a dataset answer other than 200 means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// Still `collecting` or `building`; ask again after so many seconds.
    Pending(Option<u32>),
    /// `failed`, `error` or `canceled`.
    Ended(String),
}

/// An answer to `GET /dca/dataset` that has no records.
pub fn dataset(answer: &Answer<'_>) -> Looked<Waiting> {
    if answer.status != 202 || answer.cut.is_some() {
        return failed(answer);
    }
    let body = answer.json();
    let status = body.as_ref().and_then(|body| body.get("status")).and_then(Value::as_str).unwrap_or("");
    match status.to_ascii_lowercase().as_str() {
        "failed" | "error" | "canceled" | "cancelled" => Looked::Found(Waiting::Ended(status.to_owned())),
        _ => Looked::Found(Waiting::Pending(hint(&answer.text()).max(answer.retry_after()))),
    }
}

/// The seconds in "Dataset is not ready yet, try again in 30s".
fn hint(text: &str) -> Option<u32> {
    let text = text.to_ascii_lowercase();
    let (_, rest) = text.split_once("try again in ")?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = rest[..digits].parse::<u32>().ok()?;
    match rest[digits..].trim_start().chars().next() {
        Some('m') => number.checked_mul(60),
        Some('h') => number.checked_mul(3_600),
        _ => Some(number),
    }
}

/// An answer to `GET /dca/log/{id}`. Keys are lower case today and were title case once.
pub fn log(answer: &Answer<'_>) -> Looked<JobLog> {
    found(answer, |body| {
        let fields = lower_case(body.as_object()?);
        Some(JobLog {
            status: fields.get("status").and_then(status),
            lines: fields.get("lines").and_then(count),
            fails: fields.get("fails").and_then(count),
            pages: fields.get("pages").and_then(count),
            started: fields.get("started").and_then(time),
            finished: fields.get("finished").and_then(time),
        })
    })
}

/// An answer to `GET /dca/jobs/{id}/hp_errors`.
pub fn errors(answer: &Answer<'_>) -> Looked<Vec<JobError>> {
    found(answer, |body| {
        let rows = body.get("errors").unwrap_or(body).as_array()?;
        let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let row = |row| Some(JobError { url: text(row, "url")?, error: text(row, "error").unwrap_or_default() });
        Some(rows.iter().filter_map(row).collect())
    })
}

/// An answer to `GET /dca/collector/jobs`.
pub fn jobs(answer: &Answer<'_>) -> Looked<JobPage> {
    found(answer, |body| {
        let rows = body.get("data")?.as_array()?;
        let total = body.get("total").and_then(count).unwrap_or(rows.len() as u64);
        let jobs = rows.iter().filter_map(|row| {
            Some(ListedJob {
                id: row.get("id")?.as_str()?.to_owned(),
                queued: row.get("queued").and_then(time),
                inputs: row.get("inputs").and_then(count),
                status: row.get("status").and_then(status),
            })
        });
        Some(JobPage { total, jobs: jobs.collect() })
    })
}

/// An answer to `POST /dca/jobs/{id}/cancel`: the text `OK`.
pub fn cancel(answer: &Answer<'_>) -> Looked<()> {
    match answer.status {
        200..=299 => Looked::Found(()),
        _ => failed(answer),
    }
}

/// Whether a question that was answered so may be answered otherwise in a moment.
pub fn worth_asking_again(status: u16) -> bool {
    matches!(status, 408 | 500..=599)
}

fn found<T>(answer: &Answer<'_>, read: impl FnOnce(&Value) -> Option<T>) -> Looked<T> {
    if answer.status != 200 || answer.cut.is_some() {
        return failed(answer);
    }
    match answer.json().as_ref().and_then(read) {
        Some(value) => Looked::Found(value),
        None => Looked::Refused { status: 200, text: answer.text() },
    }
}

fn failed<T>(answer: &Answer<'_>) -> Looked<T> {
    let (status, text) = (answer.status, answer.text());
    match status {
        401 => Looked::Credentials { status, text },
        403 if !about_the_collector(answer) => Looked::Credentials { status, text },
        404 | 410 => Looked::Absent,
        429 => Looked::Wait { retry_after: answer.retry_after() },
        408 | 500..=599 => Looked::Trouble { why: format!("{status}: {text}") },
        _ if answer.cut.is_some() => {
            Looked::Trouble { why: format!("{status}, but the answer was cut: {}", answer.cut.unwrap_or_default()) }
        }
        400 if unknown_job(&text) => Looked::Absent,
        _ => Looked::Refused { status, text },
    }
}

/// Some seconds after a trigger the API may answer 400 for an id that it does not show yet.
fn unknown_job(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["not found", "unknown", "does not exist", "doesn't exist", "no such", "invalid job id", "invalid id"]
        .iter()
        .any(|words| text.contains(words))
}

fn lower_case(fields: &Map<String, Value>) -> Map<String, Value> {
    fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

fn status(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_ascii_lowercase)
}

/// A count may come as a number or as its text.
fn count(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        number => number.as_u64(),
    }
}

/// ISO 8601; times are informational, so what cannot be read is absent.
fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
