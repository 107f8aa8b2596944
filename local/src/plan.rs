//! What running a file takes: the file is read, checked and cut as `trigger` does it, and nothing is sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read};

use pipeline::batch::Cutter;
use pipeline::inputs::{FileFormat, ReadLimits, RowReader};
use pipeline::ledger::{BatchRecord, FileReport, RowCounts};
use pipeline::policy::Policy;
use pipeline::settings::{self, SettingProblem};
use serde_json::{Value, json};

use crate::report::{Reason, Reasons, counted, why};

/// Collections of one collector that the API runs at the same time; more of them wait there (Bright Data page "Specifications" of Scraper
/// Studio).
const PARALLEL_COLLECTIONS: u32 = 100;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What running one file takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The collector that it is for.
    pub collector: String,
    /// Its rows.
    pub rows: RowCounts,
    /// Batches, each of them a trigger and a collection.
    pub batches: u32,
    /// Why rows are rejected, most frequent first.
    pub rejected: Vec<Reason>,
    /// What ends the file before its end; the rows before it are run.
    pub problem: Option<FileReport>,
    /// How often an input is triggered at most.
    pub attempts_max: u32,
}

/// Reads a file to its end. The inner error is why the whole file would be rejected; an outer one is of `file`.
pub fn plan(
    policy: &Policy,
    key: &str,
    metadata: &BTreeMap<String, String>,
    mut file: impl Read,
) -> io::Result<Result<Plan, FileReport>> {
    let format = match FileFormat::from_key(key) {
        Ok(format) => format,
        Err(problem) => return Ok(Err(FileReport::from(&problem))),
    };
    let settings = match settings::settle(policy, key, metadata) {
        Ok(settings) => settings,
        Err(problem) => return Ok(Err(FileReport::from(&problem))),
    };
    let mut reader = RowReader::new(&format, ReadLimits::of_rows(policy));
    let mut cutter = Cutter::new(policy, 0, RowCounts::default());
    let (mut chunk, mut batches, mut reasons, mut problem) = (vec![0; CHUNK_BYTES], 0, Reasons::default(), None);
    let mut look = |batch: BatchRecord| {
        batches += 1;
        for row in batch.rejected {
            reasons.add(row.line, &row.code, || row.message);
        }
    };
    while problem.is_none() {
        let bytes = file.read(&mut chunk)?;
        let read = if bytes > 0 { reader.push(&chunk[..bytes]) } else { reader.finish() };
        problem = read.err();
        while let Some(row) = reader.next_row() {
            cutter.take(row).into_iter().for_each(&mut look);
        }
        if bytes == 0 {
            break;
        }
    }
    cutter.finish().into_iter().for_each(&mut look);
    if let Some(problem) = problem.take_if(|_| cutter.until().read == 0) {
        return Ok(Err(FileReport::from(&problem)));
    }
    if settings.confirm_cancel && batches > 1 {
        return Ok(Err(FileReport::from(&SettingProblem::CancelsItself)));
    }
    Ok(Ok(Plan {
        collector: settings.collector,
        rows: cutter.until(),
        batches,
        rejected: reasons.sorted(),
        problem: problem.as_ref().map(FileReport::from),
        attempts_max: policy.attempts_max,
    }))
}

impl Plan {
    /// Inputs that are triggered: the rows that are neither rejected nor there before.
    pub fn inputs(&self) -> u64 {
        self.rows.read - self.rows.rejected - self.rows.duplicates
    }

    /// Page loads, if a page is loaded for each input: when none needs another attempt, and when each needs all of them.
    pub fn page_loads(&self) -> (u64, u64) {
        (self.inputs(), self.inputs().saturating_mul(self.attempts_max.into()))
    }

    /// Dollars for them, to the cent, at so many for 1,000.
    pub fn dollars(&self, rate: f64) -> (f64, f64) {
        // A count is exact far beyond what anybody could pay for.
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let dollars = |loads: u64| (loads as f64 * rate / 10.0).round() / 100.0;
        let (least, most) = self.page_loads();
        (dollars(least), dollars(most))
    }

    /// For a person.
    pub fn text(&self, key: &str, rate: Option<f64>) -> String {
        let rows = &self.rows;
        let mut text = format!("{key}: {} to collect with {}\n", self.inputs(), self.collector);
        if let Some(problem) = &self.problem {
            let _ = writeln!(text, "  problem     {} ({}); what came before is run", problem.message, problem.code);
        }
        let _ = writeln!(
            text,
            "  rows        {} read = {} rejected + {} duplicates + {} inputs",
            rows.read,
            rows.rejected,
            rows.duplicates,
            self.inputs()
        );
        let rounds = self.batches.div_ceil(PARALLEL_COLLECTIONS);
        let at_once = match rounds {
            0 | 1 => "all at once".to_owned(),
            _ => format!("{PARALLEL_COLLECTIONS} at once, so for {rounds} times as long as one of them takes"),
        };
        let collections = counted(self.batches as usize, "collection", "collections");
        let _ = writeln!(text, "  triggers    {collections}, {at_once}");
        let (least, most) = self.page_loads();
        let _ = writeln!(
            text,
            "  page loads  {least}, at most {most} if every input fails {} (more where an input takes several pages)",
            counted(self.attempts_max as usize, "time", "times")
        );
        if let Some(rate) = rate {
            let (least, most) = self.dollars(rate);
            let _ = writeln!(text, "  price       ${least:.2}, at most ${most:.2} (${rate:.2} for 1,000 page loads)");
        }
        why(&mut text, &self.rejected);
        text.truncate(text.trim_end().len());
        text
    }

    /// For a program.
    pub fn json(&self, key: &str, rate: Option<f64>) -> Value {
        let range = |(least, most): (f64, f64)| json!({"least": least, "most": most});
        let (least, most) = self.page_loads();
        let rejected = self.rejected.iter().map(|reason| {
            json!({"code": reason.code, "count": reason.count, "line": reason.line, "message": reason.message})
        });
        json!({
            "key": key,
            "collector": self.collector,
            "rows": {"read": self.rows.read, "rejected": self.rows.rejected, "duplicates": self.rows.duplicates, "inputs": self.inputs()},
            "triggers": self.batches,
            "page_loads": {"least": least, "most": most},
            "dollars": rate.map(|rate| range(self.dollars(rate))),
            "rejected": rejected.collect::<Vec<_>>(),
            "problem": self.problem,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(inputs: u64, policy: &Policy, metadata: &[(&str, &str)]) -> Result<Plan, FileReport> {
        let file: String = (0..inputs).map(|n| format!("https://a.example/{n}\n")).collect();
        let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        plan(policy, "c_abc123/list.txt", &metadata, file.as_bytes()).unwrap()
    }

    #[test]
    fn a_large_file_runs_in_rounds_and_its_price_is_a_range() {
        let policy = Policy { batch_inputs_max: 10, attempts_max: 2, ..Policy::default() };
        let plan = planned(1_020, &policy, &[]).unwrap();
        assert_eq!((plan.collector.as_str(), plan.batches, plan.page_loads()), ("c_abc123", 102, (1_020, 2_040)));
        let text = plan.text("list.txt", Some(1.5));
        assert!(text.contains("102 collections, 100 at once, so for 2 times as long as one of them takes"), "{text}");
        assert!(text.contains("$1.53, at most $3.06 ($1.50 for 1,000 page loads)"), "{text}");
        assert_eq!(plan.json("list.txt", None)["dollars"], Value::Null);
        assert_eq!(planned(290, &policy, &[]).unwrap().dollars(1.5), (0.44, 0.87));
    }

    #[test]
    fn settings_that_reject_the_file_are_told() {
        let policy = Policy { batch_inputs_max: 10, ..Policy::default() };
        let code =
            |inputs, metadata: &[(&str, &str)]| planned(inputs, &policy, metadata).map_err(|problem| problem.code);
        assert_eq!(code(11, &[("confirm-cancel", "1")]), Err("confirm_cancel_many_batches".to_owned()));
        assert!(code(10, &[("confirm-cancel", "1")]).is_ok());
        assert_eq!(code(1, &[("deadline", "soon")]), Err("bad_setting".to_owned()));
        assert_eq!(code(1, &[("collector", "shop")]), Err("bad_setting".to_owned()));
    }
}
