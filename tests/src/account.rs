//! What was paid for, by the simulator's own account, beside what manifests say.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::built::Simulator;

/// Each attempt of a batch was accepted once, and each collection is in the manifest of its run: nothing was paid for twice, nothing is
/// orphaned, and nothing is somebody else's. Inputs that fail are triggered twice, so the stack has `AttemptsMax` 2.
pub fn paid_once(simulator: &Simulator, manifests: &[Value]) -> Result<()> {
    let jobs = simulator.jobs()?;
    let mut attempts = BTreeMap::new();
    let mut inputs = BTreeMap::new();
    for job in &jobs {
        let name = job["query"]["name"].as_str().context("no name")?;
        ensure!(attempts.insert(name, job).is_none(), "{name} was accepted twice: {job:#}\n{:#}", attempts[name]);
        for input in job["inputs"].as_array().context("no inputs")? {
            *inputs.entry((job["collector"].to_string(), input.to_string())).or_insert(0) += 1;
        }
    }
    for ((collector, input), times) in inputs {
        // Of a file of text, what fails is sent once more, and nothing else.
        let due = if input.contains("/flaky/") || input.contains("/dead/") { 1..=2 } else { 1..=1 };
        ensure!(due.contains(&times), "{input} was paid for {times} times in {collector}");
    }
    let mut known = BTreeMap::new();
    for manifest in manifests {
        for entry in manifest["collections"].as_array().context("no collections")? {
            let name = format!(
                "dropcollect {} {}.{}",
                manifest["run"].as_str().unwrap_or_default(),
                entry["batch"],
                entry["attempt"]
            );
            let inputs = entry["inputs"].as_u64();
            ensure!(
                known.insert(entry["id"].clone().to_string(), (name, inputs)).is_none(),
                "{entry:#} is there twice"
            );
        }
    }
    let paid = jobs.iter().map(|job| {
        let inputs = job["inputs"].as_array().map(|inputs| inputs.len() as u64);
        (job["id"].to_string(), (job["query"]["name"].as_str().unwrap_or_default().to_owned(), inputs))
    });
    let paid: BTreeMap<_, _> = paid.collect();
    ensure!(paid == known, "paid: {paid:#?}\nin manifests: {known:#?}");
    ensure!(simulator.summary()?["inputs_paid_again_after_success"] == 0);
    Ok(())
}
