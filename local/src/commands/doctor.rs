//! `dropcollect doctor`.

use std::sync::Arc;

use adapters::clock::WallClock;
use clap::Args;
use dropcollect::doctor::{self, Asked, Blame, State};

pub(super) use dropcollect::doctor::advice;

use super::{Failure, exit, put, say};

#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// A folder, or s3://dataset-bucket (then POLL_QUEUE_URL and RETRY_QUEUE_URL name the stack's queues)
    #[arg(long = "data", default_value = "dropcollect-data")]
    place: String,
    /// Collector id, c_… (or BRIGHT_DATA_COLLECTOR_ID)
    #[arg(long)]
    collector: Option<String>,
    /// Also try conditional writes: writes one object below control/ of the bucket, and deletes it
    #[arg(long)]
    write: bool,
    /// Print a JSON line for each check
    #[arg(long)]
    json: bool,
}

pub(super) async fn doctor(args: &DoctorArgs) -> Result<u8, Failure> {
    let asked = Asked { place: args.place.clone(), collector: args.collector.clone(), write: args.write };
    let lookup = |name: &str| std::env::var(name).ok();
    let mut worst = exit::FINE;
    for check in doctor::examine(&asked, &lookup, Arc::new(WallClock)).await {
        worst = worst.max(match check.state {
            State::Ok | State::Warning | State::Skipped => exit::FINE,
            State::Problem(Blame::Setting) => exit::USAGE,
            State::Problem(Blame::Credentials) => exit::CREDENTIALS,
            State::Problem(Blame::Person) => exit::HELD,
            State::Problem(Blame::Ours) => exit::OURS,
        });
        match args.json {
            true => put(&serde_json::to_string(&check).map_err(|error| Failure::ours(error.to_string()))?),
            false => say(&check.text()),
        }
    }
    Ok(worst)
}
