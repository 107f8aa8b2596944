//! Run control: pages `cancel-job`, `pause-job`, `resume-job`, `rerun-job`. Success is the text `OK`.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    job::{Accepted, Kind, State},
    journal::{Action, Event},
    message::{Reply, Request},
    service::Service,
    trigger::started,
};

impl Service {
    pub(super) fn control(&mut self, now: Timestamp, id: &str, action: &str, request: &Request) -> Reply {
        let job = self.schedule.get(id).filter(|job| job.kind() != Kind::Realtime && now < job.expires());
        let Some(job) = job else { return Reply::text(404, "Job not found") };
        let action = match (action, job.state) {
            ("rerun", _) => return self.rerun(now, id, request),
            // "Completed runs can't be cancelled"; what they are told is not documented.
            (_, State::Ended { .. }) => return Reply::text(400, "Job is already finished"),
            ("cancel", _) => Action::Cancel,
            ("pause", State::Running { .. }) => Action::Pause,
            ("resume", State::Paused { .. }) => Action::Resume,
            _ => return Reply::text(400, "Job is not in the right state"),
        };
        match self.record(Event::Control { at: now, id: id.to_owned(), action }) {
            Ok(()) => Reply::text(200, "OK"),
            Err(reply) => reply,
        }
    }

    /// A new run of all inputs or of the failed ones; the original stays as it is.
    fn rerun(&mut self, now: Timestamp, id: &str, request: &Request) -> Reply {
        let Some(job) = self.schedule.get(id) else { return Reply::text(404, "Job not found") };
        let failed_only = match serde_json::from_slice::<Value>(&request.body) {
            Ok(options) => options["failed_only"] == 1 || options["failed_only"] == true,
            Err(_) => false,
        };
        let inputs: Vec<String> = if failed_only {
            let failed = job.outcomes(now).filter(|(_, outcome)| outcome.error.is_some());
            failed.map(|(page, _)| job.sheet.text(page).to_owned()).collect()
        } else {
            job.texts().map(str::to_owned).collect()
        };
        if inputs.is_empty() {
            return Reply::error(400, "No input provided");
        }
        let collector = job.collector().to_owned();
        let id = self.fresh_id("j_", &collector, &inputs);
        let query = vec![("queue_next".to_owned(), "1".to_owned())];
        match self.accept(Accepted { kind: Kind::Rerun, id, collector, at: now, query, inputs }) {
            Ok(index) => started(&self.schedule.jobs[index]),
            Err(reply) => reply,
        }
    }
}
