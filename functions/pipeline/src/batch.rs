//! Cuts the rows of a file into batches, by count and by bytes, and leaves out what was there before.

use crate::inputs::Row;
use crate::ledger::{BatchRecord, InputRow, RejectedRow, RowCounts, VERSION};
use crate::policy::Policy;

use self::seen::Seen;

mod seen;

/// Rejected rows that one batch record holds at most, so that a file of nothing but bad rows is cut too.
const REJECTED_MAX: usize = 5_000;
/// How many sizes the batches of a run have: see [`Cutter::inputs_max`].
const SIZES: u32 = 50;

/// Cuts rows into batches. Rows that earlier batches hold already are only remembered, for the sake of duplicates.
pub struct Cutter {
    inputs_max: u32,
    bytes_max: usize,
    /// What the recorded batches hold.
    skip: RowCounts,
    until: RowCounts,
    seen: Seen,
    batch: u32,
    rows: RowCounts,
    inputs: Vec<InputRow>,
    rejected: Vec<RejectedRow>,
    bytes: usize,
}

impl Cutter {
    /// Goes on behind the last recorded batch: its number (0 for none) and the rows up to its end.
    pub fn new(policy: &Policy, batch: u32, until: RowCounts) -> Self {
        Self {
            inputs_max: policy.batch_inputs_max.max(1),
            bytes_max: policy.batch_bytes_max as usize,
            skip: until,
            until: RowCounts::default(),
            seen: Seen::default(),
            batch: batch.saturating_add(1),
            rows: RowCounts::default(),
            inputs: Vec::new(),
            rejected: Vec::new(),
            bytes: 2,
        }
    }

    /// Number of the batch that is being cut.
    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// Batches of one run differ in size (1000, 999, 998, …): a job in the API's list, which shows nothing but its number of inputs, can
    /// then be told from its neighbours. Costs nothing, and finds the collection of a lost answer.
    fn inputs_max(&self) -> usize {
        let sizes = SIZES.min(self.inputs_max / 10).max(1);
        (self.inputs_max - (self.batch - 1) % sizes) as usize
    }

    /// Takes the next row. Returns the batch that it does not fit into any more.
    pub fn take(&mut self, row: Row) -> Option<BatchRecord> {
        let place = self.place(&row);
        if self.skips() {
            self.until.add(&counts(&place));
            if self.until.read == self.skip.read {
                self.until = self.skip;
            }
            return None;
        }
        let full = match &place {
            Place::Input => self.inputs.len() >= self.inputs_max() || self.bytes + size(&row) > self.bytes_max,
            Place::Rejected(..) => self.rejected.len() >= REJECTED_MAX,
            Place::Duplicate => false,
        };
        let cut = if full { self.cut() } else { None };
        self.rows.add(&counts(&place));
        match place {
            Place::Input => {
                self.bytes += size(&row);
                let json = row.input.unwrap_or_default();
                let source = (row.source != json).then_some(row.source);
                self.inputs.push(InputRow { line: row.line, json, source });
            }
            Place::Rejected(code, message) => {
                self.rejected.push(RejectedRow { line: row.line, code, message, source: row.source });
            }
            Place::Duplicate => {}
        }
        cut
    }

    /// The last batch, with whatever is left; `None` when nothing is.
    pub fn finish(&mut self) -> Option<BatchRecord> {
        if self.rows.read == 0 { None } else { self.cut() }
    }

    /// Rows of the file up to the end of the last batch that was cut.
    ///
    /// What recorded batches hold stays a fact when the file ends before it, as a damaged archive may from one reading to the next.
    pub fn until(&self) -> RowCounts {
        if self.skips() { self.skip } else { self.until }
    }

    /// Whether recorded batches hold the next row.
    fn skips(&self) -> bool {
        self.until.read < self.skip.read
    }

    fn place(&mut self, row: &Row) -> Place {
        let json = match &row.input {
            Ok(json) => json,
            Err(problem) => return Place::Rejected(problem.code().to_owned(), problem.to_string()),
        };
        if size(row) + 2 > self.bytes_max {
            let message =
                format!("the input has {} bytes, a batch holds {} (BATCH_BYTES_MAX)", json.len(), self.bytes_max);
            return Place::Rejected("input_too_large".to_owned(), message);
        }
        if self.seen.insert(row.fingerprint) { Place::Input } else { Place::Duplicate }
    }

    fn cut(&mut self) -> Option<BatchRecord> {
        let rows = std::mem::take(&mut self.rows);
        self.until.add(&rows);
        let record = BatchRecord {
            v: VERSION,
            batch: self.batch,
            rows,
            until: self.until,
            inputs: std::mem::take(&mut self.inputs),
            rejected: std::mem::take(&mut self.rejected),
        };
        self.batch += 1;
        self.bytes = 2;
        Some(record)
    }
}

enum Place {
    Input,
    Rejected(String, String),
    Duplicate,
}

fn counts(place: &Place) -> RowCounts {
    RowCounts {
        read: 1,
        rejected: u64::from(matches!(place, Place::Rejected(..))),
        duplicates: u64::from(matches!(place, Place::Duplicate)),
    }
}

/// Bytes of the row in the body of a trigger, its comma included.
fn size(row: &Row) -> usize {
    row.input.as_ref().map_or(0, |json| json.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical;

    fn row(line: u64, json: &str) -> Row {
        let fingerprint = canonical::fingerprint(&canonical::canonical(json).unwrap());
        Row { line, source: json.to_owned(), input: Ok(json.to_owned()), fingerprint }
    }

    fn cut(policy: &Policy, batch: u32, until: RowCounts, rows: &[String]) -> Vec<BatchRecord> {
        let mut cutter = Cutter::new(policy, batch, until);
        let mut batches: Vec<BatchRecord> =
            rows.iter().zip(1..).filter_map(|(json, line)| cutter.take(row(line, json))).collect();
        batches.extend(cutter.finish());
        batches
    }

    #[test]
    fn batches_keep_to_their_bounds_and_begin_where_the_last_ended() {
        let policy = Policy { batch_inputs_max: 20, batch_bytes_max: 300, ..Policy::default() };
        let rows: Vec<String> = (0..100).map(|n| format!(r#"{{"url":"https://a/{}"}}"#, n % 90)).collect();
        let all = cut(&policy, 0, RowCounts::default(), &rows);
        let total: u64 = all.iter().map(|batch| batch.rows.read).sum();
        assert_eq!(
            (total, all.last().map(|batch| batch.until)),
            (100, Some(RowCounts { read: 100, rejected: 0, duplicates: 10 }))
        );
        for batch in &all {
            let bytes: usize = batch.inputs.iter().map(|input| input.json.len() + 1).sum::<usize>() + 2;
            assert!(bytes <= 300 && batch.inputs.len() <= 20, "{bytes} bytes, {} inputs", batch.inputs.len());
            assert_eq!(batch.rows.inputs(), batch.inputs.len() as u64);
            // Whoever goes on behind any batch cuts the same ones.
            assert_eq!(cut(&policy, batch.batch, batch.until, &rows), all[batch.batch as usize..]);
        }
    }

    #[test]
    fn neighbouring_batches_differ_in_size() {
        let rows: Vec<String> = (0..600).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
        let policy = Policy { batch_inputs_max: 100, ..Policy::default() };
        let sizes: Vec<usize> =
            cut(&policy, 0, RowCounts::default(), &rows).iter().map(|batch| batch.inputs.len()).collect();
        assert_eq!(sizes, [100, 99, 98, 97, 96, 95, 15]);
    }

    #[test]
    fn an_input_larger_than_a_batch_is_rejected_alone() {
        let policy = Policy { batch_bytes_max: 50, ..Policy::default() };
        let rows = [format!(r#"{{"n":"{}"}}"#, "x".repeat(60)), r#"{"n":1}"#.to_owned()];
        let batches = cut(&policy, 0, RowCounts::default(), &rows);
        assert_eq!((batches[0].inputs.len(), batches[0].rejected[0].code.as_str()), (1, "input_too_large"));
    }
}
