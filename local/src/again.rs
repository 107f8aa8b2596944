//! The failed inputs of a run that is over, chosen by their codes: as a file in the format of the input file, and counted.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use pipeline::inputs::SourceWriter;
use pipeline::keys;
use pipeline::ledger::{self, BatchRecord, DoneRecord, EndRecord, RunRecord};
use pipeline::ports::{PortError, Store};

/// Records of batches that are read at the same time.
const READ_AT_ONCE: usize = 16;

/// Failed inputs of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failed {
    /// The chosen ones, as a file like the one that they came from.
    pub file: Vec<u8>,
    /// How many these are.
    pub chosen: u64,
    /// How many there are with each code, chosen or not.
    pub codes: BTreeMap<String, u64>,
}

/// Reads the failed inputs of a run that is over; `wanted` chooses by code. All that are chosen are held in memory.
pub async fn failed(store: &dyn Store, run: &RunRecord, wanted: impl Fn(&str) -> bool) -> Result<Failed, PortError> {
    let end: EndRecord = ledger::read_known(store, &keys::end(&run.run)).await?;
    let mut writer = SourceWriter::new(&run.format, end.header.as_deref());
    let mut found = Failed::default();
    let wanted = &wanted;
    let batches = stream::iter(1..=end.batches).map(|batch| of_batch(store, run, batch, wanted));
    let mut batches = std::pin::pin!(batches.buffered(READ_AT_ONCE));
    while let Some((codes, rows)) = batches.try_next().await? {
        for code in codes {
            *found.codes.entry(code).or_default() += 1;
        }
        for row in rows {
            writer.row(&row);
            found.chosen += 1;
        }
        found.file.extend(writer.take());
    }
    found.file.extend(writer.finish());
    Ok(found)
}

/// The codes of all failures of a batch, and the rows of the wanted ones in the order of the file.
async fn of_batch(
    store: &dyn Store,
    run: &RunRecord,
    batch: u32,
    wanted: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, Vec<String>), PortError> {
    let done: DoneRecord = ledger::read_known(store, &keys::done(&run.run, batch)).await?;
    let failures = done.fates.failed;
    let mut chosen: Vec<u32> =
        failures.iter().filter(|failed| wanted(&failed.code)).map(|failed| failed.input).collect();
    chosen.sort_unstable();
    let mut rows = Vec::new();
    if !chosen.is_empty() {
        let batch: BatchRecord = ledger::read_known(store, &keys::batch(&run.run, batch)).await?;
        let row = |input: u32| batch.inputs.get(input as usize).map(|row| row.source().to_owned());
        rows.extend(chosen.into_iter().filter_map(row));
    }
    Ok((failures.into_iter().map(|failed| failed.code).collect(), rows))
}

/// The input key that failed inputs of a run are run under again: that of its file, with the run's name before the extension. The name of
/// an earlier run makes way.
pub fn key_of(run: &RunRecord) -> String {
    const MARK: &str = ".retry-";
    let key = &run.object.key;
    let name_at = key.rfind('/').map_or(0, |slash| slash + 1);
    let stem_end = key.len() - run.format.extension.len() - 1;
    let (mut stem, extension) = key.split_at(stem_end.max(name_at));
    if let Some(at) = stem.rfind(MARK).filter(|at| *at > name_at && stem.len() - at == MARK.len() + SHORT) {
        stem = &stem[..at];
    }
    format!("{stem}{MARK}{}{extension}", &run.run.as_str()[..SHORT])
}

/// Digits of a run's id that tell it from other runs of the same file.
const SHORT: usize = 8;
