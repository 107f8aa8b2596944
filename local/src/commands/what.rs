//! What `run` and `plan` are told: files, the collector, and options of the trigger.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

/// What is run, and how it is triggered.
#[derive(Args)]
pub(super) struct What {
    /// Files of inputs: .txt, .csv, .tsv, .json, .ndjson, .jsonl, each also .gz or .zst
    #[arg(required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Collector id, c_… (or a folder of the key, or BRIGHT_DATA_COLLECTOR_ID)
    #[arg(long)]
    pub(super) collector: Option<String>,
    /// Input key that the results are filed under (default: the file's name); only with a single file
    #[arg(long)]
    pub(super) key: Option<String>,
    #[command(flatten)]
    options: Options,
}

impl What {
    /// What stands for the metadata that an object in S3 would have.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let options = self.options.given().map(|(name, value)| (name.to_owned(), value));
        options.chain(self.collector.iter().map(|collector| ("collector".to_owned(), collector.clone()))).collect()
    }
}

/// The trigger's options, as an object's metadata names them.
#[derive(Args)]
#[command(next_help_heading = "Options of the trigger")]
struct Options {
    /// Version of the collector, such as dev
    #[arg(long)]
    version: Option<String>,
    /// Name of the collections in the control panel
    #[arg(long)]
    name: Option<String>,
    /// Queue: collections with the same queue run one after another
    #[arg(long)]
    queue: Option<String>,
    /// 1 (default) or 0
    #[arg(long)]
    queue_next: Option<String>,
    /// Cancel the collector's running job first; only for a file that makes one batch
    #[arg(long, num_args = 0..=1, default_missing_value = "1")]
    confirm_cancel: Option<String>,
    /// Let the API stop a collection after a time such as 1h, 30m, 45s
    #[arg(long)]
    deadline: Option<String>,
    /// Download no media files
    #[arg(long, num_args = 0..=1, default_missing_value = "1")]
    no_downloads: Option<String>,
    /// Run although the output schema has changed
    #[arg(long, num_args = 0..=1, default_missing_value = "1")]
    override_incompatible_schema: Option<String>,
    /// Run although the input schema has changed
    #[arg(long, num_args = 0..=1, default_missing_value = "1")]
    override_incompatible_input_schema: Option<String>,
}

impl Options {
    /// The options that were given.
    fn given(&self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("version", &self.version),
            ("name", &self.name),
            ("queue", &self.queue),
            ("queue-next", &self.queue_next),
            ("confirm-cancel", &self.confirm_cancel),
            ("deadline", &self.deadline),
            ("no-downloads", &self.no_downloads),
            ("override-incompatible-schema", &self.override_incompatible_schema),
            ("override-incompatible-input-schema", &self.override_incompatible_input_schema),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.clone().map(|value| (name, value)))
    }
}
