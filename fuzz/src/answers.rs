//! What the API answers: any status, headers and body.

use adapters::dca::decode::{self, Answer, Waiting};
use jiff::Timestamp;
use pipeline::policy::limits::TEXT_BYTES_MAX;
use pipeline::ports::{Looked, SendAnswer};
use secrecy::SecretString;
use serde_json::Value;

use crate::bytes::Case;

/// As long as the API's are, and in no corpus by chance.
pub(crate) const TOKEN: &str = "tok-0123456789abcdef";

/// The status, `c` for an answer that was cut, on a line; headers, `name: value` on a line each, up to a blank one; and the body.
pub fn api_answer(bytes: &[u8]) {
    let mut case = Case(bytes);
    let head = case.text_until("\n");
    let cut = head.ends_with('c').then_some("reset");
    let status = head.trim_end_matches('c').parse().unwrap_or(200);
    let mut headers = Vec::new();
    loop {
        let line = case.text_until("\n");
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let token = SecretString::from(TOKEN);
    let at = Timestamp::constant(1_782_864_000, 0);
    let answer = Answer { status, headers: &headers, body: case.0, cut, at, token: Some(&token) };
    check_retry_after(&answer);
    check_send(&answer, &decode::trigger(&answer));
    check_dataset(&answer);
    check_looked(&answer, &decode::log(&answer), status == 200 && cut.is_none());
    check_looked(&answer, &decode::errors(&answer), status == 200 && cut.is_none());
    check_looked(&answer, &decode::cancel(&answer), (200..=299).contains(&status));
    let jobs = decode::jobs(&answer);
    check_looked(&answer, &jobs, status == 200 && cut.is_none());
    if let Looked::Found(page) = &jobs {
        assert!(page.jobs.iter().all(|job| contains(answer.body, &job.id)), "ids are those of the body");
    }
}

/// What a person reads: short, on one line, and without the token.
fn check_text(text: &str, bytes_max: usize) {
    assert!(text.len() <= bytes_max, "{text:?}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(!text.contains(TOKEN), "{text:?}");
}

fn check_send(answer: &Answer<'_>, send: &SendAnswer) {
    let Answer { status, cut, .. } = *answer;
    match send {
        SendAnswer::Accepted { collection, .. } => {
            // What is cut off behind a whole answer changes nothing.
            let whole = cut.is_none() || serde_json::from_slice::<Value>(answer.body).is_ok();
            assert!((200..=299).contains(&status) && whole, "{status}");
            assert!(!collection.trim().is_empty() && contains(answer.body, collection), "{collection}");
            assert!(!collection.chars().any(char::is_control), "{collection:?}");
        }
        SendAnswer::InDoubt { why } => check_text(why, TEXT_BYTES_MAX + 50),
        SendAnswer::NotSent { why } => panic!("there was an answer, so it was sent: {why}"),
        SendAnswer::RefusedOption { text } => {
            assert_eq!(status, 400);
            check_text(text, TEXT_BYTES_MAX);
        }
        SendAnswer::Refused { status: told, text } | SendAnswer::Credentials { status: told, text } => {
            assert_eq!(*told, status);
            check_text(text, TEXT_BYTES_MAX);
        }
        SendAnswer::Wait { text, .. } => check_text(text, TEXT_BYTES_MAX),
    }
    let doubtful = matches!(send, SendAnswer::InDoubt { .. });
    let may_have_started = !(300..=499).contains(&status) || status == 408;
    assert!(!may_have_started || doubtful || matches!(send, SendAnswer::Accepted { .. }), "{status}: {send:?}");
    assert!(!(500..=599).contains(&status) || doubtful, "{status}: {send:?}");
    let known = doubtful || matches!(send, SendAnswer::Accepted { .. }) || matches!(status, 401 | 429);
    assert!(cut.is_none() || known, "{status}, cut: {send:?}");
}

/// Whether a JSON body has this text somewhere, however it is escaped.
fn contains(body: &[u8], text: &str) -> bool {
    fn within(value: &Value, text: &str) -> bool {
        match value {
            Value::String(found) => found == text,
            Value::Array(items) => items.iter().any(|item| within(item, text)),
            Value::Object(fields) => fields.values().any(|field| within(field, text)),
            _ => false,
        }
    }
    serde_json::from_slice::<Value>(body).is_ok_and(|value| within(&value, text))
}

fn check_dataset(answer: &Answer<'_>) {
    if decode::dataset_is_ready(answer.status) {
        return;
    }
    let looked = decode::dataset(answer);
    check_looked(answer, &looked, answer.status == 202 && answer.cut.is_none());
    match looked {
        Looked::Found(Waiting::Ended(status)) => {
            let known = ["failed", "error", "canceled", "cancelled"];
            assert!(known.contains(&status.to_ascii_lowercase().as_str()), "{status}");
        }
        Looked::Found(Waiting::Pending(hint)) => assert!(hint >= answer.retry_after(), "{hint:?}"),
        _ => {}
    }
}

fn check_looked<T: std::fmt::Debug>(answer: &Answer<'_>, looked: &Looked<T>, may_be_found: bool) {
    let status = answer.status;
    match looked {
        Looked::Found(_) => assert!(may_be_found, "{status}: {looked:?}"),
        Looked::Credentials { status: told, text } => {
            assert!(*told == status && matches!(status, 401 | 403), "{status}");
            check_text(text, TEXT_BYTES_MAX);
        }
        Looked::Refused { status: told, text } => {
            assert!(*told == status && !decode::worth_asking_again(status), "{status}");
            check_text(text, TEXT_BYTES_MAX);
        }
        Looked::Trouble { why } => check_text(why, TEXT_BYTES_MAX + 50),
        Looked::Absent => assert!(matches!(status, 400 | 404 | 410), "{status}"),
        Looked::Wait { .. } => assert_eq!(status, 429),
    }
    let trouble = matches!(looked, Looked::Trouble { .. });
    assert!(!decode::worth_asking_again(status) || trouble, "{status}: {looked:?}");
}

fn check_retry_after(answer: &Answer<'_>) {
    let Some((_, value)) = answer.headers.iter().find(|(name, _)| name == "retry-after") else {
        return assert_eq!(answer.retry_after(), None);
    };
    let value = value.trim();
    if !value.is_empty() && value.len() < 10 && value.bytes().all(|byte| byte.is_ascii_digit()) {
        assert_eq!(answer.retry_after(), value.parse().ok());
    }
    assert!(!value.starts_with('-') || answer.retry_after().is_none(), "{value}");
}
