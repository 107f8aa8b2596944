//! What can be read about jobs: the log (page `job-data`), the failed inputs (page `get-errors-for-job`), the job list
//! (page `list-jobs`) and the list of collectors.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Map, Value, json};

use super::{
    dice::Dice,
    job::{End, Job, Kind, State, after, between, millis, stamp},
    message::{Reply, Request},
    scenario::ErrorList,
    service::{Checked, Service},
};

/// The figures of a job. `lines` counts records, not error rows (observed).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) pages: usize,
    pub(super) lines: u64,
    pub(super) fails: usize,
    pub(super) success: usize,
}

impl Job {
    pub(super) fn counts(&self, now: Timestamp) -> Counts {
        let count = || {
            self.outcomes(now).fold(Counts::default(), |counts, (_, outcome)| Counts {
                pages: counts.pages + 1,
                lines: counts.lines + outcome.records,
                fails: counts.fails + usize::from(outcome.error.is_some()),
                success: counts.success + usize::from(outcome.error.is_none()),
            })
        };
        if self.end().is_some() { *self.counts.get_or_init(count) } else { count() }
    }

    fn inputs_counted(&self) -> usize {
        let sheet = &self.sheet;
        if self.rules().jobs.count_before_collapse { sheet.accepted.inputs.len() } else { sheet.pages.len() }
    }

    fn status_at(&self, now: Timestamp) -> &'static str {
        let jobs = &self.rules().jobs;
        let building = |at| now < after(at, millis(jobs.building_seconds));
        match self.state {
            State::Ended { at, end: End::Done | End::Deadline, .. } if jobs.log_building && building(at) => "building",
            _ => self.status(),
        }
    }

    fn finished(&self) -> Option<Timestamp> {
        match self.state {
            State::Ended { at, .. } => Some(at),
            _ => None,
        }
    }
}

impl Service {
    fn readable(&self, now: Timestamp, id: &str) -> Checked<&Job> {
        let job = self.schedule.get(id).filter(|job| job.kind() != Kind::Realtime && now < job.expires());
        job.ok_or_else(|| Reply::text(404, "Job not found"))
    }

    pub(super) fn log(&self, now: Timestamp, id: &str, throw: Dice) -> Reply {
        match self.readable(now, id) {
            Err(reply) => reply,
            Ok(job) if throw.text("broken").chance(job.rules().jobs.log_broken) => {
                Reply::text(500, "Internal server error")
            }
            Ok(job) => Reply::json(200, &log_of(job, now)),
        }
    }

    /// A failed input is known by its `url` alone; `skip_normalize` is accepted and changes nothing here.
    pub(super) fn errors(&self, now: Timestamp, id: &str, _request: &Request) -> Reply {
        if !id.starts_with("j_") {
            return Reply::text(400, "Invalid job ID supplied");
        }
        let job = match self.readable(now, id) {
            Ok(job) => job,
            Err(reply) => return reply,
        };
        let jobs = &job.rules().jobs;
        if jobs.error_list == ErrorList::Missing {
            return Reply::text(404, "Job not found");
        }
        let entry = |(page, outcome): (_, super::outcome::Outcome<'_>)| {
            let error = outcome.error?;
            let input: Value = serde_json::from_str(job.sheet.text(page)).ok()?;
            let url = input["url"].as_str()?;
            let bare = url.split_once("://").map_or(url, |(_, rest)| rest);
            let url = if jobs.error_list_without_scheme { bare } else { url };
            Some(json!({"url": url, "error": error.text, "consumer": "dca-hp-so-simul"}))
        };
        let works = jobs.error_list == ErrorList::Works;
        let errors: Vec<Value> = job.outcomes(now).filter(|_| works).filter_map(entry).collect();
        Reply::json(200, &json!({ "errors": errors }))
    }

    /// Day granularity, no `name`, and rows without their collector: a lost trigger can only be guessed from it.
    pub(super) fn list(&mut self, now: Timestamp, request: &Request, throw: Dice) -> Reply {
        let Some(collector) = request.param("collector").filter(|id| !id.is_empty()) else {
            // Documented as optional; observed as required.
            return Reply::text(400, "Missing collector parameter");
        };
        let rules = self.rules(collector);
        if throw.text("broken").chance(rules.jobs.log_broken) {
            return Reply::text(500, "Internal server error");
        }
        let paging = Paging::of(request, 50, 500);
        let day = |name| request.param(name).filter(|day| day.len() == 10).and_then(|day| day.parse::<Date>().ok());
        let (Some(from), Some(to), Ok(paging)) = (day("from_date"), day("to_date"), paging) else {
            return Reply::error(400, "Invalid from_date, to_date, offset or limit");
        };
        let listed = |job: &&Job| {
            let queued = job.at().to_zoned_datetime(TimeZone::UTC).date();
            let visible = now >= after(job.at(), millis(job.rules().jobs.unlisted_seconds));
            job.collector() == collector && visible && (from..=to).contains(&queued) && now < job.expires()
        };
        let mut jobs: Vec<&Job> = self.jobs().filter(listed).collect();
        jobs.sort_by_key(|job| job.at());
        if request.param("sort_asc") != Some("1") {
            jobs.reverse();
        }
        let rows = paging.of_rows(jobs.len(), |place| list_row(jobs[place], now));
        Reply::json(200, &rows)
    }

    /// The collectors that the scenario names and those that have jobs.
    pub(super) fn collectors(&self, request: &Request) -> Reply {
        let Ok(paging) = Paging::of(request, 50, 500) else { return Reply::error(400, "Invalid offset or limit") };
        let search = request.param("search").unwrap_or_default();
        let mut ids: Vec<&str> = self.scenario.collectors.keys().map(String::as_str).collect();
        ids.extend(self.jobs().map(Job::collector));
        ids.retain(|id| id.starts_with("c_") && id.contains(search));
        ids.retain(|id| self.scenario.collectors.get(*id).is_none_or(|collector| !collector.unknown));
        ids.sort_unstable();
        ids.dedup();
        let row = |place: usize| {
            let id = ids[place];
            let name = self.scenario.collectors.get(id).and_then(|collector| collector.name.as_deref());
            let last = self.jobs().filter(|job| job.collector() == id).map(Job::at).max();
            json!({"id": id, "name": name.unwrap_or(id), "active": true, "last_run": last.map(stamp),
                "deliver": {"type": "api_pull"}, "output_schema": null})
        };
        Reply::json(200, &paging.of_rows(ids.len(), row))
    }
}

fn log_of(job: &Job, now: Timestamp) -> Value {
    let counts = job.counts(now);
    let all = job.sheet.pages.len();
    let mut log = json!({
        "id": job.id(), "status": job.status_at(now), "collector": job.collector(),
        "template": format!("t_{}.1", job.collector().trim_start_matches("c_")),
        "inputs": job.inputs_counted(), "dup_inputs": job.sheet.accepted.inputs.len() - all,
        "lines": counts.lines, "fails": counts.fails, "pages": all, "pages_left": all - counts.pages,
        "success": counts.success, "navigations": counts.pages * 2,
        "created": stamp(job.at()), "trigger": "user@example.com",
        "success_rate": if counts.pages == 0 { 0.0 } else { counts.success as f64 / counts.pages as f64 },
    });
    if let Some(started) = job.started {
        log["started"] = stamp(started).into();
        log["queue_time"] = between(job.at(), started).into();
        log["job_time"] = between(started, job.finished().unwrap_or(now)).into();
    }
    if let Some(finished) = job.finished() {
        log["finished"] = stamp(finished).into();
    }
    let jobs = &job.rules().jobs;
    if let Value::Object(fields) = &mut log {
        if job.sheet.dice("log").chance(jobs.log_without_status) {
            fields.remove("status");
        }
        if jobs.log_title_case {
            *fields = std::mem::take(fields).into_iter().map(title_case).collect::<Map<_, _>>();
        }
    }
    log
}

/// `Pages_left`, as older documents have it.
fn title_case((key, value): (String, Value)) -> (String, Value) {
    let (first, rest) = key.split_at(1);
    (first.to_ascii_uppercase() + rest, value)
}

fn list_row(job: &Job, now: Timestamp) -> Value {
    let counts = job.counts(now);
    let mut row = json!({
        "id": job.id(), "status": job.status_at(now), "queued": stamp(job.at()),
        "inputs": job.inputs_counted(), "page_loads": counts.pages, "total_pages": job.sheet.pages.len(),
        "failed_pages": counts.fails, "data_lines": counts.lines,
        "trigger": {"type": "API", "user": "user@example.com", "ip": "192.0.2.10"},
        "expired": stamp(job.expires()),
    });
    if let Some(started) = job.started {
        row["started"] = stamp(started).into();
    }
    if let Some(finished) = job.finished() {
        row["finished"] = stamp(finished).into();
    }
    row
}

/// `offset` and `limit` of both lists.
struct Paging {
    offset: usize,
    limit: usize,
}

impl Paging {
    fn of(request: &Request, usual: usize, most: usize) -> Result<Self, std::num::ParseIntError> {
        let number = |name, usual| request.param(name).map_or(Ok(usual), str::parse);
        Ok(Self { offset: number("offset", 0)?, limit: number("limit", usual)?.min(most) })
    }

    fn of_rows(&self, total: usize, row: impl Fn(usize) -> Value) -> Value {
        let data: Vec<Value> = (self.offset..total).take(self.limit).map(row).collect();
        json!({"total": total, "offset": self.offset, "limit": self.limit, "data": data})
    }
}
