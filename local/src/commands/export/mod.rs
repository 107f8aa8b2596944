//! `dropcollect csv`, `dropcollect parquet` and `dropcollect run --output`: the records of a finished run as one file.
//!
//! The outputs are read twice: what the columns are can be known only when all records have been seen. The rows are as many as the manifest says, or
//! there is no file.

mod csv;
mod file;
mod json;
mod names;
mod parquet;
mod records;
mod runs;
mod shape;

use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use dropcollect::folder::FolderStore;
use pipeline::keys;
use pipeline::manifest::{Manifest, RunState};
use pipeline::policy::OutputFormat;
use pipeline::words::RunId;

use self::csv::CsvFile;
use self::file::{NewFile, Problem};
use self::parquet::ParquetFile;
use self::runs::Runs;
use self::shape::Table;
use super::events::Event;
use super::{Failure, complain, exit, say};

/// Fields that a note names.
const NOTES_SHOWN: usize = 10;

/// What whoever opens scraped text in a spreadsheet should know.
pub(super) const FORMULAS: &str = "Cells are what was scraped, unchanged. A spreadsheet takes text that begins with = + - @ for a formula, whoever wrote it: import the columns as text.";

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// A folder (default: dropcollect-data), or s3://dataset-bucket
    #[arg(default_value = "dropcollect-data")]
    place: String,
    /// Input key: its newest run (default: the newest run of every key)
    key: Option<String>,
    /// Id of a run, instead of the newest one
    #[arg(long, value_parser = run_id)]
    run: Option<RunId>,
    /// File to write, or folder to write KEY.RUN.csv or KEY.RUN.parquet into (default: this one; a new one ends with /)
    #[arg(long, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
}

fn run_id(text: &str) -> Result<RunId, String> {
    RunId::parse(text).ok_or_else(|| "a run id has 16 lower-case hex digits".to_owned())
}

/// What `run --output` asks for.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Output {
    Ndjson,
    Json,
    Csv,
    Parquet,
}

impl Output {
    /// The format of the outputs that it asks for.
    pub(super) fn format(self) -> Option<OutputFormat> {
        match self {
            Self::Ndjson => Some(OutputFormat::Ndjson),
            Self::Json => Some(OutputFormat::Json),
            Self::Csv | Self::Parquet => None,
        }
    }

    /// The file that it asks for when a run is over.
    pub(super) fn file(self) -> Option<Kind> {
        match self {
            Self::Ndjson | Self::Json => None,
            Self::Csv => Some(Kind::Csv),
            Self::Parquet => Some(Kind::Parquet),
        }
    }
}

/// What the records are written as.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Csv,
    Parquet,
}

impl Display for Kind {
    /// The extension, which is also the name of the command.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        })
    }
}

impl Kind {
    /// The last segment of the input key and the run: no two runs have the same.
    fn file_name(self, manifest: &Manifest) -> String {
        let path = keys::input_path(&manifest.input.key);
        format!("{}.{}.{self}", path.rsplit('/').next().unwrap_or_default(), manifest.run)
    }

    fn begin(self, path: &Path, table: Table) -> Result<Box<dyn Sheet>, Problem> {
        let file = NewFile::create(path)?;
        Ok(match self {
            Self::Csv => Box::new(CsvFile::new(file, table)?),
            Self::Parquet => Box::new(ParquetFile::new(file, table)?),
        })
    }
}

/// A file that takes the records in a second reading. It has its name when it is finished.
trait Sheet: Send {
    /// Takes one more record.
    fn put(&mut self, record: &str) -> Result<(), Problem>;
    /// Writes the rest.
    fn finish(self: Box<Self>) -> Result<Written, Problem>;
}

/// What a file is like.
struct Written {
    columns: usize,
    /// Columns that hold JSON text where a reader would not expect it, by their path.
    as_text: Vec<String>,
    /// Fields that had to get another name, by their path: the name, and the new one.
    renamed: Vec<(String, String)>,
    bytes: u64,
}

pub(super) async fn export(args: &ExportArgs, kind: Kind) -> Result<u8, Failure> {
    let done = until_interrupted(convert(args, kind)).await;
    done.unwrap_or(Ok(exit::INTERRUPTED))
}

/// `None` when Ctrl-C came first.
async fn until_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        // First, so that it is listened for before anything is written.
        biased;
        _ = tokio::signal::ctrl_c() => {
            complain("Interrupted: nothing is left of the file that was not whole.");
            None
        }
        done = work => Some(done),
    }
}

async fn convert(args: &ExportArgs, kind: Kind) -> Result<u8, Failure> {
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
        let path = if folder { output.join(kind.file_name(manifest)) } else { output.to_owned() };
        let written = write(&runs, manifest, kind, &path).await?;
        say(&format!("{}: {} records in {} columns", manifest.input.key, manifest.records, written.columns));
        say(&format!("  {:<12}{} ({} bytes)", "file", path.display(), written.bytes));
        notes(&written).iter().for_each(|note| say(note));
    }
    Ok(exit::FINE)
}

/// Writes the file of a run that `run` has brought to its end, also where one of this name is: that may come from another folder, even from a trial,
/// because equal files make equal runs. What goes wrong is said here, because the run's own result stands whatever becomes of the file.
pub(super) async fn beside(store: &FolderStore, manifest: &Manifest, kind: Kind, events: bool) -> u8 {
    if manifest.state == RunState::Rejected {
        return exit::FINE;
    }
    let path = PathBuf::from(kind.file_name(manifest));
    let runs = Runs::Folder(store.clone());
    match until_interrupted(write(&runs, manifest, kind, &path)).await {
        Some(Ok(written)) if events => {
            let (file, format) = (path.display().to_string(), kind.to_string());
            let Written { columns, bytes, .. } = written;
            let (run, key) = (&manifest.run, &manifest.input.key);
            Event::Written { run, key, format: &format, file: &file, columns, bytes }.say();
            exit::FINE
        }
        Some(Ok(written)) => {
            say(&format!("  {kind:<12}{} ({} bytes)", path.display(), written.bytes));
            notes(&written).iter().for_each(|note| say(note));
            exit::FINE
        }
        Some(Err(Failure { message, .. })) => {
            let key = &manifest.input.key;
            let message = format!(
                "{key}: the run is over, but its {kind} file could not be written: {message}\nThe same command tries that again, and pays for nothing."
            );
            match events {
                true => Event::Note { message: &message }.say(),
                false => complain(&format!("dropcollect: {message}")),
            }
            exit::OURS
        }
        None => exit::INTERRUPTED,
    }
}

async fn write(runs: &Runs, manifest: &Manifest, kind: Kind, path: &Path) -> Result<Written, Failure> {
    let mut table = Table::default();
    for output in &manifest.outputs {
        runs.read(output, &mut |record| table.learn(record).map_err(|error| format!("a record is no JSON: {error}")))
            .await?;
    }
    let here = |error: &dyn Display| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::usage(here(&error)))?;
    }
    let mut sheet = kind.begin(path, table).map_err(|error| match error {
        Problem::Disk(error) => Failure::usage(here(&error)),
        error => Failure::ours(here(&error)),
    })?;
    let mut rows = 0;
    for output in &manifest.outputs {
        let mut put = |record: &str| {
            rows += 1;
            sheet.put(record).map_err(|error| here(&error))
        };
        runs.read(output, &mut put).await?;
    }
    if rows != manifest.records {
        let (run, records) = (&manifest.run, manifest.records);
        return Err(Failure::ours(format!(
            "the run {run} has {records} records by its manifest, its outputs have {rows}"
        )));
    }
    sheet.finish().map_err(|error| Failure::ours(here(&error)))
}

/// What a reader of the file would not expect.
fn notes(written: &Written) -> Vec<String> {
    let renamed: Vec<String> = written.renamed.iter().map(|(field, name)| format!("{field:?} to {name:?}")).collect();
    let mut notes = Vec::new();
    if !written.as_text.is_empty() {
        let fields = some(&written.as_text);
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
