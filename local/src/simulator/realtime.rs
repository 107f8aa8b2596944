//! The real-time endpoints, as far as the official command line uses them for a single URL.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    dataset::array,
    job::{Accepted, Job, Kind, between},
    message::{Reply, Request},
    service::{Checked, Service},
    text,
};

impl Service {
    /// Page `Trigger_a_scraper_for_real_time_collection_method`. OpenAPI says 200, live notes say 202.
    pub(super) fn trigger_immediate(&mut self, now: Timestamp, request: &Request) -> Reply {
        match self.begin(now, request) {
            Ok(index) => Reply::json(202, &json!({"response_id": self.schedule.jobs[index].id()})),
            Err(reply) => reply,
        }
    }

    /// Page `Receive_data_for_real_time_collection`: 202 `{"pending":true}` (observed) or the rows. `timeout` waits.
    pub(super) fn get_result(&self, now: Timestamp, request: &Request) -> Reply {
        let job = request.param("response_id").and_then(|id| self.schedule.get(id));
        let Some(job) = job.filter(|job| job.kind() == Kind::Realtime) else {
            return Reply::text(404, "Response not found");
        };
        let patience = match request.param("timeout").map(parse_timeout) {
            None => 0,
            Some(Some(timeout)) => timeout,
            Some(None) => return Reply::error(400, "timeout must be between 25s and 50s"),
        };
        match wait(job, now) {
            wait if wait <= patience => delayed(array(job), wait),
            _ => delayed(Reply::json(202, &json!({"pending": true})), patience),
        }
    }

    /// Page `crawl`: trigger and result in one.
    pub(super) fn crawl(&mut self, now: Timestamp, request: &Request) -> Reply {
        let Some(patience) = request.param("timeout").and_then(parse_timeout) else {
            return Reply::error(400, "timeout must be between 25s and 50s");
        };
        let job = match self.begin(now, request) {
            Ok(index) => &self.schedule.jobs[index],
            Err(reply) => return reply,
        };
        match wait(job, now) {
            wait if wait <= patience => delayed(array(job), wait),
            _ => {
                let id = job.id();
                // The text is the live one, its `NaNs` included.
                let message =
                    format!("Timed out waiting for crawl results (timeout=NaNs). Use /dca/get_result?response_id={id}");
                let body = json!({"error": "crawl_results_timeout", "message": message, "response_id": id});
                delayed(Reply::json(202, &body), patience)
            }
        }
    }

    /// The body is one object, not an array.
    fn begin(&mut self, now: Timestamp, request: &Request) -> Checked<usize> {
        let (collector, _) = self.collector(request)?;
        let input = std::str::from_utf8(&request.body).unwrap_or_default();
        if !serde_json::from_str::<Value>(input).is_ok_and(|value| value.is_object()) {
            return Err(Reply::error(400, "No input provided"));
        }
        let inputs = vec![text::compact(input)];
        let id = self.fresh_id("z", &collector, &inputs);
        self.accept(Accepted { kind: Kind::Realtime, id, collector, at: now, query: request.query.clone(), inputs })
    }
}

fn delayed(reply: Reply, millis: i64) -> Reply {
    Reply { delay: Duration::from_millis(millis.unsigned_abs()), ..reply }
}

/// Milliseconds until the job is done.
fn wait(job: &Job, now: Timestamp) -> i64 {
    job.ends().map_or(0, |(end, _)| between(now, end).max(0))
}

/// `25s` to `50s`.
fn parse_timeout(value: &str) -> Option<i64> {
    let seconds: i64 = value.strip_suffix('s').unwrap_or(value).parse().ok()?;
    (25..=50).contains(&seconds).then_some(seconds * 1000)
}
