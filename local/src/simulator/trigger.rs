//! `POST /dca/trigger` (page `Trigger_a_scraper_for_batch_collection_method`): checks everything, then starts a paid job.

use jiff::Timestamp;
use serde_json::{Value, json, value::RawValue};

use super::{
    builtin::Rules,
    dice::Dice,
    job::{Accepted, Job, Kind, State, after, stamp},
    message::{Reply, Request},
    scenario::{OverCap, Regular, SchemaChange},
    schedule::runs_beside,
    service::{Checked, Service},
    text,
};

/// The query parameters of the page and the FAQ.
const PARAMETERS: [&str; 12] = [
    "collector",
    "version",
    "name",
    "queue_next",
    "queue",
    "confirm_cancel",
    "no_downloads",
    "deadline",
    "notify",
    "deliver",
    "override_incompatible_schema",
    "override_incompatible_input_schema",
];

impl Service {
    pub(super) fn trigger(&mut self, now: Timestamp, request: &Request, without_id: Dice) -> Reply {
        let (collector, rules) = match self.collector(request) {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        let checked = check_kind(&rules).and_then(|()| check_query(&rules, &request.query));
        let inputs = checked.and_then(|()| {
            let inputs = parse_inputs(&rules, &request.body)?;
            check_schema(&rules, request, &inputs)?;
            Ok(inputs)
        });
        let inputs = match inputs.and_then(|inputs| self.check_room(&rules, &collector, request).map(|()| inputs)) {
            Ok(inputs) => inputs,
            Err(reply) => return reply,
        };
        let id = self.fresh_id("j_", &collector, &inputs);
        let accepted = Accepted { kind: Kind::Batch, id, collector, at: now, query: request.query.clone(), inputs };
        match self.accept(accepted) {
            Ok(index) if without_id.chance(self.scenario.trigger_without_id) => {
                tracing::debug!(collection_id = self.schedule.jobs[index].id(), "accepted, answered without an id");
                Reply::json(200, &json!({}))
            }
            Ok(index) => started(&self.schedule.jobs[index]),
            Err(reply) => reply,
        }
    }

    /// The collector of a request and what holds for it.
    pub(super) fn collector(&mut self, request: &Request) -> Checked<(String, std::sync::Arc<Rules>)> {
        let Some(id) = request.param("collector").filter(|id| !id.is_empty()) else {
            return Err(Reply::text(400, "Missing collector parameter"));
        };
        let rules = self.rules(id);
        if !id.starts_with("c_") || id.len() < 3 || rules.collector.unknown {
            return Err(Reply::text(404, "Collector not found"));
        }
        if rules.collector.forbidden {
            let text =
                "Your API key lacks the permission for this operation, see https://brightdata.com/cp/setting/users";
            return Err(Reply::text(403, text));
        }
        if rules.collector.no_template {
            return Err(Reply::error(403, "Collector does not have a template"));
        }
        Ok((id.to_owned(), rules))
    }

    /// The limit of parallel jobs (page `specifications`) and the undocumented meeting of two regular jobs.
    fn check_room(&self, rules: &Rules, collector: &str, request: &Request) -> Checked<()> {
        let running = self.schedule.running(collector).len();
        let replaces = request.param("confirm_cancel") == Some("1");
        if rules.api.over_cap == OverCap::Error && running >= rules.api.jobs_max && !replaces {
            let limit = rules.api.jobs_max;
            let text = format!(
                "Maximum limit of {limit} jobs per scraper has been exceeded. Please reduce the number of parallel jobs."
            );
            return Err(Reply::error(400, &text));
        }
        let text = "Another job of this scraper is running";
        match rules.api.regular {
            Regular::Conflict if running > 0 && runs_beside(rules.api.queue_next, &request.query) => {
                Err(Reply::error(409, text))
            }
            Regular::BadRequest if running > 0 && runs_beside(rules.api.queue_next, &request.query) => {
                Err(Reply::error(400, text))
            }
            _ => Ok(()),
        }
    }
}

/// 200 with the id; `start_eta` lies in the future for a job that waits.
pub(super) fn started(job: &Job) -> Reply {
    let mut answer = json!({"collection_id": job.id()});
    if job.rules().api.start_eta {
        let wait = if job.state == State::Waiting { job.needs } else { 500 };
        answer["start_eta"] = stamp(after(job.at(), wait)).into();
    }
    Reply::json(200, &answer)
}

fn check_kind(rules: &Rules) -> Checked<()> {
    if rules.collector.realtime {
        // The text of the delivery-type page.
        let text = "Cannot trigger a batch job with a real-time scraper. Use /trigger_immediate endpoint instead";
        return Err(Reply::error(400, text));
    }
    Ok(())
}

/// What a bad value is told is not documented; it is taken to be a 400 like the others.
fn check_query(rules: &Rules, query: &[(String, String)]) -> Checked<()> {
    for (name, value) in query {
        let good = match name.as_str() {
            "queue_next" | "confirm_cancel" | "no_downloads" => value.parse::<u8>().is_ok(),
            "override_incompatible_schema" | "override_incompatible_input_schema" => {
                matches!(value.as_str(), "0" | "1")
            }
            "deadline" => parse_deadline(value).is_some(),
            "notify" | "deliver" => serde_json::from_str::<Value>(value).is_ok_and(|value| value["type"].is_string()),
            "queue" | "version" => !value.is_empty(),
            known => PARAMETERS.contains(&known) || !rules.api.strict_parameters,
        };
        if !good {
            return Err(Reply::error(400, &format!("Invalid parameter {name}")));
        }
        if name == "queue_next" && value == "1" && rules.collector.trial {
            return Err(Reply::error(400, "Trial collectors don't support queuing jobs"));
        }
    }
    Ok(())
}

/// `1h`, `30m`, `45s` (trigger page); the control panel's `30min` too.
pub(super) fn parse_deadline(value: &str) -> Option<i64> {
    let digits = value.find(|c: char| !c.is_ascii_digit())?;
    let number: i64 = value[..digits].parse().ok().filter(|number| *number > 0)?;
    let unit = match &value[digits..] {
        "h" => 3_600_000,
        "m" | "min" => 60_000,
        "s" => 1000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// A JSON array of objects, even for one input.
fn parse_inputs(rules: &Rules, body: &[u8]) -> Checked<Vec<String>> {
    if body.len() > rules.api.body_bytes_max {
        return Err(Reply::text(413, "Request entity too large"));
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Reply::error(400, "No input provided"));
    }
    let not_objects = || Reply::error(400, "Input must be a JSON array of objects");
    let rows = match serde_json::from_slice::<Vec<&RawValue>>(body) {
        Ok(rows) => rows,
        Err(_) if rules.api.bare_object => vec![serde_json::from_slice(body).map_err(|_| not_objects())?],
        Err(_) => return Err(not_objects()),
    };
    if rows.is_empty() {
        return Err(Reply::error(400, "No input provided"));
    }
    if !rows.iter().all(|row| row.get().starts_with('{')) {
        return Err(not_objects());
    }
    Ok(rows.into_iter().map(|row| text::compact(row.get())).collect())
}

/// 422 for a mismatch with the input schema; its body is not documented.
fn check_schema(rules: &Rules, request: &Request, inputs: &[String]) -> Checked<()> {
    let pass = |name| request.param(name) == Some("1");
    match rules.collector.schema_changed {
        Some(SchemaChange::Input) if !pass("override_incompatible_input_schema") => {
            return Err(Reply::error(422, "input_schema_incompatible"));
        }
        Some(SchemaChange::Output) if !pass("override_incompatible_schema") => {
            return Err(Reply::error(422, "output_schema_incompatible"));
        }
        _ => {}
    }
    let (schema, closed) = (&rules.collector.schema, rules.collector.schema_closed);
    let fits = |input: &String| {
        let fields: Value = serde_json::from_str(input).unwrap_or_default();
        let known = |field: &String| schema.contains(field);
        schema.iter().all(|field| fields.get(field).is_some_and(|value| !value.is_null()))
            && (!closed || fields.as_object().is_some_and(|fields| fields.keys().all(known)))
    };
    if schema.is_empty() || inputs.iter().all(fits) {
        return Ok(());
    }
    let text = "Input does not match the input schema of the collector";
    Err(if rules.api.schema_error_json { Reply::error(422, text) } else { Reply::text(422, text) })
}
