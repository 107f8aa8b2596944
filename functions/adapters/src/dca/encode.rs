//! Calls become requests. The token is not here: [`Client`](super::Client) adds it last.

use bytes::Bytes;
use jiff::civil::Date;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pipeline::ports::TriggerRequest;

use super::wire::{Method, Request};

/// Everything but RFC 3986's unreserved characters, in a path segment and in a query alike.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Jobs on one page of the job list; the API's maximum (page `list-jobs`).
pub const JOBS_PER_PAGE: u64 = 500;

/// `User-Agent` of every request.
pub const USER_AGENT: &str = concat!("dropcollect/", env!("CARGO_PKG_VERSION"));

pub(super) fn escape(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// `POST /dca/trigger`.
pub fn trigger(request: &TriggerRequest) -> Request {
    let collector = ("collector".to_owned(), request.collector.clone());
    let query = std::iter::once(collector).chain(request.query.iter().cloned()).collect();
    let mut post = plain(Method::Post, "/dca/trigger".to_owned(), query);
    post.headers.push(("content-type".to_owned(), "application/json".to_owned()));
    post.body = request.body.clone();
    post
}

/// `GET /dca/dataset`. Without `format=json` the answer may be in another format (`brightdata/skills`).
pub fn dataset(collection: &str) -> Request {
    get("/dca/dataset".to_owned(), &[("id", collection), ("format", "json")])
}

/// `GET /dca/log/{id}`.
pub fn log(collection: &str) -> Request {
    get(format!("/dca/log/{}", escape(collection)), &[])
}

/// `GET /dca/jobs/{id}/hp_errors`.
pub fn errors(collection: &str) -> Request {
    get(format!("/dca/jobs/{}/hp_errors", escape(collection)), &[])
}

/// `GET /dca/collector/jobs`, newest first.
pub fn jobs(collector: &str, from: Date, to: Date, offset: u64) -> Request {
    let (from, to) = (from.to_string(), to.to_string());
    let (offset, limit) = (offset.to_string(), JOBS_PER_PAGE.to_string());
    let query = [
        ("collector", collector),
        ("from_date", &from),
        ("to_date", &to),
        ("offset", &offset),
        ("limit", &limit),
        ("sort_asc", "-1"),
    ];
    get("/dca/collector/jobs".to_owned(), &query)
}

/// `POST /dca/jobs/{id}/cancel`.
pub fn cancel(collection: &str) -> Request {
    plain(Method::Post, format!("/dca/jobs/{}/cancel", escape(collection)), Vec::new())
}

fn get(path: String, query: &[(&str, &str)]) -> Request {
    let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    plain(Method::Get, path, query)
}

fn plain(method: Method, path: String, query: Vec<(String, String)>) -> Request {
    let headers = [("accept", "application/json"), ("user-agent", USER_AGENT)];
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Request { method, path, query, headers, body: Bytes::new() }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn requests_are_golden() {
        let request = TriggerRequest {
            collector: "c_abc123".into(),
            query: vec![("queue_next".into(), "1".into()), ("name".into(), "a b&c/ü".into())],
            body: Bytes::from_static(b"[{\"url\":\"https://a\"}]"),
        };
        let post = trigger(&request);
        assert_eq!(
            format!("{post:?}"),
            "POST /dca/trigger?collector=c_abc123&queue_next=1&name=a%20b%26c%2F%C3%BC (21 bytes)"
        );
        assert_eq!(post.headers[2], ("content-type".into(), "application/json".into()));
        let golden = [
            (dataset("j_1"), "GET /dca/dataset?id=j_1&format=json"),
            (log("j_1"), "GET /dca/log/j_1"),
            (log("../x?y"), "GET /dca/log/..%2Fx%3Fy"),
            (errors("j_1"), "GET /dca/jobs/j_1/hp_errors"),
            (
                jobs("c_a", date(2026, 1, 2), date(2026, 1, 3), 500),
                "GET /dca/collector/jobs?collector=c_a&from_date=2026-01-02&to_date=2026-01-03&offset=500&limit=500&sort_asc=-1",
            ),
            (cancel("j_1"), "POST /dca/jobs/j_1/cancel"),
        ];
        for (request, line) in golden {
            assert_eq!(format!("{request:?}"), format!("{line} (0 bytes)"));
            let names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["accept", "user-agent"]);
        }
    }
}
