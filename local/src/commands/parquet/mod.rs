//! `dropcollect parquet`: the records of a finished run as one Parquet file.
//!
//! The outputs are read twice: what the columns are can be known only when all records have been seen. One file for each run, not for each output: an
//! output holds the records of a thousand inputs at most, so there would be hundreds of small files, each with columns of its own. Memory is
//! bounded by a row group either way.
//!
//! | JSON | Parquet |
//! |---|---|
//! | field of the records | column, `null` where it is missing |
//! | object, list | group, list |
//! | integers that 64 bits hold | int64 |
//! | other numbers, and integers beside them | double; JSON text if that would change an integer |
//! | string | string. Times, too: JSON has none, and what all strings of one run look like says nothing about the next run |
//! | values of different types, integers beyond 64 bits, objects that are always empty or name a field twice, half surrogate pairs, what is nested deeper than 16 levels | string with the JSON text as it was written |
//! | record that is no object, or names a field twice | JSON text in the column `value` |
//! | records with more than 2,000 columns | the widest fields become JSON text, or whole records do, in the column `value` |

mod columns;
mod file;
mod json;
mod leaf;
mod records;
mod runs;
mod shape;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use pipeline::keys;
use pipeline::manifest::Manifest;
use pipeline::words::RunId;

use self::columns::Columns;
use self::file::{FileError, NewFile};
use self::runs::Runs;
use self::shape::Table;
use super::{Failure, exit, say};

/// Fields that a note names.
const NOTES_SHOWN: usize = 10;

#[derive(Args)]
pub(crate) struct ParquetArgs {
    /// A folder (default: dropcollect-data), or s3://dataset-bucket
    #[arg(default_value = "dropcollect-data")]
    place: String,
    /// Input key: its newest run (default: the newest run of every key)
    key: Option<String>,
    /// Id of a run, instead of the newest one
    #[arg(long, value_parser = run_id)]
    run: Option<RunId>,
    /// File to write, or folder to write KEY.RUN.parquet into (default: this one; a new one ends with /)
    #[arg(long, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
}

fn run_id(text: &str) -> Result<RunId, String> {
    RunId::parse(text).ok_or_else(|| "a run id has 16 lower-case hex digits".to_owned())
}

pub(super) async fn parquet(args: &ParquetArgs) -> Result<u8, Failure> {
    tokio::select! {
        // First, so that it is listened for before anything is written.
        biased;
        _ = tokio::signal::ctrl_c() => {
            eprintln!("Interrupted: nothing is left of the file that was not whole.");
            Ok(exit::INTERRUPTED)
        }
        done = convert(args) => done.map(|()| exit::FINE),
    }
}

async fn convert(args: &ParquetArgs) -> Result<(), Failure> {
    let runs = Runs::open(&args.place).await?;
    let chosen = runs.chosen(args.key.as_deref(), args.run.as_ref()).await?;
    let output = args.output.as_deref().unwrap_or(Path::new(""));
    let named = output.as_os_str().as_encoded_bytes();
    let folder = named.is_empty() || named.ends_with(b"/") || output.is_dir();
    if !folder && chosen.len() > 1 {
        let count = chosen.len();
        return Err(Failure::usage(format!("{count} runs are meant, and --output is no folder: name one, or a key")));
    }
    for manifest in &chosen {
        let path = if folder { output.join(file_name(manifest)) } else { output.to_owned() };
        write(&runs, manifest, &path).await?;
    }
    Ok(())
}

/// The last segment of the input key and the run: no two runs have the same.
fn file_name(manifest: &Manifest) -> String {
    let path = keys::input_path(&manifest.input.key);
    format!("{}.{}.parquet", path.rsplit('/').next().unwrap_or_default(), manifest.run)
}

async fn write(runs: &Runs, manifest: &Manifest, path: &Path) -> Result<(), Failure> {
    let mut table = Table::default();
    for output in &manifest.outputs {
        runs.read(output, &mut |record| table.learn(record).map_err(|error| format!("a record is no JSON: {error}")))
            .await?;
    }
    let here = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let columns = Columns::new(table).map_err(|error| Failure::ours(here(&error)))?;
    let (count, notes) = (columns.count(), notes(&columns));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::usage(here(&error)))?;
    }
    let mut file = NewFile::create(path, columns).map_err(|error| match error {
        FileError::Disk(error) => Failure::usage(here(&error)),
        FileError::Record(error) => Failure::ours(here(&error)),
    })?;
    let mut rows = 0;
    for output in &manifest.outputs {
        let mut put = |record: &str| {
            rows += 1;
            file.put(record).map_err(|error| here(&error))
        };
        runs.read(output, &mut put).await?;
    }
    if rows != manifest.records {
        let (run, records) = (&manifest.run, manifest.records);
        return Err(Failure::ours(format!(
            "the run {run} has {records} records by its manifest, its outputs have {rows}"
        )));
    }
    let bytes = file.finish().map_err(|error| Failure::ours(here(&error)))?;
    say(&format!(
        "{}: {rows} records in {count} columns\n  file        {} ({bytes} bytes)",
        manifest.input.key,
        path.display()
    ));
    notes.iter().for_each(|note| say(note));
    Ok(())
}

/// What a reader of the file would not expect.
fn notes(columns: &Columns) -> Vec<String> {
    let renamed: Vec<String> = columns.renamed.iter().map(|(field, name)| format!("{field:?} to {name:?}")).collect();
    let mut notes = Vec::new();
    if !columns.as_text.is_empty() {
        let fields = some(&columns.as_text);
        notes.push(format!("  JSON text   {fields} (of several types, or of none that a column can have)"));
    }
    if !renamed.is_empty() {
        let fields = some(&renamed);
        notes.push(format!(
            "  renamed     {fields} (columns are not told apart by upper and lower case, and have a name)"
        ));
    }
    notes
}

/// The first of them, and how many more there are.
fn some(all: &[String]) -> String {
    let shown: Vec<&str> = all.iter().take(NOTES_SHOWN).map(String::as_str).collect();
    let more = all.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
