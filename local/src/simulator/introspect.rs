//! `GET /_simulator/jobs`, `/_simulator/calls` and `/_simulator/summary`: what the service knows and the API hides.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    job::{End, Job, Kind},
    message::Reply,
    outcome::outcome,
    service::Service,
};

impl Service {
    pub(super) fn introspect(&self, what: &str) -> Reply {
        let value = match what {
            "jobs" => self.schedule.jobs.iter().map(describe).collect(),
            "calls" => json!(self.calls()),
            "summary" => self.summary(),
            _ => return Reply::text(404, "Known are jobs, calls and summary"),
        };
        Reply::json(200, &value)
    }

    /// Whether anything was paid for twice, in figures.
    fn summary(&self) -> Value {
        let mut inputs = 0;
        let mut page_loads = 0;
        let mut sets: BTreeMap<(&str, Vec<u64>), Vec<&str>> = BTreeMap::new();
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        let mut satisfied = BTreeSet::new();
        let mut paid_again = 0;
        for job in self.jobs() {
            inputs += job.texts().len();
            page_loads += job.counts(self.clock()).pages;
            let mut keys: Vec<u64> = job.sheet.pages.iter().map(|page| page.key).collect();
            for page in &job.sheet.pages {
                *times.entry(page.key).or_insert(0) += 1;
                paid_again += usize::from(satisfied.contains(&page.key));
            }
            // A job counts with what it gives in the end, even if it still runs: it is paid for.
            let stop = job.stop().filter(|(_, end)| *end != End::Done);
            let good = job.sheet.pages.iter().filter(|page| outcome(&job.sheet, page, stop).records > 0);
            satisfied.extend(good.map(|page| page.key));
            keys.sort_unstable();
            sets.entry((job.collector(), keys)).or_default().push(job.id());
        }
        let duplicates: Vec<Value> = sets
            .iter()
            .filter(|(_, ids)| ids.len() > 1)
            .map(|((collector, keys), ids)| json!({"collector": collector, "inputs": keys.len(), "accepted": ids.len(), "ids": ids}))
            .collect();
        let mut triggered: BTreeMap<String, u64> = BTreeMap::new();
        for count in times.values() {
            *triggered.entry(count.to_string()).or_insert(0) += 1;
        }
        json!({
            "accepted_triggers": self.jobs().count(),
            "realtime_requests": self.schedule.jobs.iter().filter(|job| job.kind() == Kind::Realtime).count(),
            "inputs": inputs,
            "distinct_inputs": times.len(),
            "page_loads": page_loads,
            "distinct_input_sets": sets.len(),
            "duplicates": duplicates,
            "inputs_by_times_triggered": triggered,
            "inputs_paid_again_after_success": paid_again,
        })
    }
}

fn describe(job: &Job) -> Value {
    let query: BTreeMap<_, _> = job.query().iter().cloned().collect();
    json!({
        "id": job.id(), "kind": job.kind(), "collector": job.collector(), "at": job.at(), "status": job.status(),
        "query": query, "inputs": job.inputs().collect::<Vec<_>>(),
    })
}
