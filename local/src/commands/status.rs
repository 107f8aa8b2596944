//! `dropcollect status`.

use dropcollect::report;
use pipeline::ledger::list_all;
use pipeline::status::Status;

use super::{Failure, StatusArgs, exit, place, say};

pub(super) async fn status(args: &StatusArgs) -> Result<u8, Failure> {
    let store = place::reader(&args.place).await?;
    let mut runs: Vec<Status> = Vec::new();
    for key in list_all(&*store, "status/").await? {
        let Some(stored) = store.get(&key).await? else { continue };
        match serde_json::from_slice(&stored.body) {
            Ok(status) => runs.push(status),
            Err(error) => eprintln!("{key}: not readable: {error}"),
        }
    }
    runs.sort_by_key(|status| status.started_at);
    if args.json {
        for status in &runs {
            say(&serde_json::to_string(status).unwrap_or_default());
        }
    } else if runs.is_empty() {
        say("no runs");
    } else {
        say(report::table(&runs).trim_end());
    }
    Ok(exit::FINE)
}
