//! `dropcollect pause`, `resume`, `spending`: who may pay for what, and what was paid for.

use std::io;

use adapters::clock::WallClock;
use clap::Args;
use dropcollect::report::counted;
use jiff::Timestamp;
use pipeline::keys;
use pipeline::pause;
use pipeline::ports::{Clock, Store};
use pipeline::spending;

use super::{Failure, exit, place, say};

/// Where it is done.
#[derive(Args)]
pub(crate) struct SwitchArgs {
    /// Why, for whoever looks at the status
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    at: ResumeArgs,
}

/// Where it is done.
#[derive(Args)]
pub(crate) struct ResumeArgs {
    /// A folder, or s3://dataset-bucket (then POLL_QUEUE_URL names the stack's poll queue)
    #[arg(long = "data", default_value = "dropcollect-data")]
    place: String,
}

#[derive(Args)]
pub(crate) struct SpendingArgs {
    /// A folder, or s3://dataset-bucket
    #[arg(default_value = "dropcollect-data")]
    place: String,
    /// The accounts of this month, as 2026-11 (default: the current one)
    #[arg(long, value_parser = month)]
    month: Option<String>,
}

fn month(text: &str) -> Result<String, String> {
    let day = format!("{text}-01T00:00:00Z");
    day.parse::<Timestamp>().map(|_| text.to_owned()).map_err(|_| "a month is written as 2026-11".to_owned())
}

/// Nothing more is triggered, in no run.
pub(super) async fn pause(args: &SwitchArgs) -> Result<u8, Failure> {
    let acting = place::acting(&args.at.place, false).await?;
    let switch = pause::pause(&*acting.store, WallClock.now(), &args.reason).await?;
    say(&switch.words());
    say("  Nothing more is triggered after half a minute. What runs is paid for, and is delivered all the same.");
    Ok(exit::FINE)
}

/// Everything goes on, at once.
pub(super) async fn resume(args: &ResumeArgs) -> Result<u8, Failure> {
    let acting = place::acting(&args.place, true).await?;
    let resumed = pause::resume(&*acting.store, &*acting.queues, WallClock.now()).await?;
    let batches = counted(resumed.batches, "open batch", "open batches");
    say(&format!("going on with {batches} of {}", counted(resumed.runs, "run", "runs")));
    if acting.is_folder() && resumed.batches > 0 {
        say("`dropcollect run` with the same files goes on with them");
    }
    Ok(exit::FINE)
}

/// The limits as they stand, and the accounts of a month.
pub(super) async fn spending(args: &SpendingArgs) -> Result<u8, Failure> {
    let store = place::reader(&args.place).await?;
    if let Some(switch) = pause::standing(&*store).await? {
        say(&switch.words());
    }
    let month = args.month.clone().unwrap_or_else(|| WallClock.now().to_string().chars().take(7).collect());
    limits(&*store).await?;
    let Some(accounts) = store.get(&keys::accounts(&month)).await? else {
        say(&format!("no run that was triggered in {month} is over"));
        return Ok(exit::FINE);
    };
    say(&table(&accounts.body).map_err(|error| Failure::ours(format!("{}: {error}", keys::accounts(&month))))?);
    Ok(exit::FINE)
}

async fn limits(store: &dyn Store) -> Result<(), Failure> {
    let Some(book) = spending::book(store).await? else { return Ok(()) };
    for bar in book.bars() {
        let left = bar.limit.saturating_sub(bar.spent.saturating_add(bar.reserved));
        say(&format!(
            "{}  {} of {} page loads spent, {} reserved, {left} left",
            bar.name, bar.spent, bar.limit, bar.reserved
        ));
    }
    for (run, waiting) in &book.waiting {
        say(&format!("{run} waits since {}: {}", waiting.since, waiting.why));
    }
    Ok(())
}

/// The accounts with their columns in line.
fn table(csv: &[u8]) -> io::Result<String> {
    let text = std::str::from_utf8(csv).map_err(io::Error::other)?;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 | 1 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            cells.collect::<Vec<_>>().join("  ")
        })
        .collect();
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_line() {
        let csv = b"day,collector,inputs\n2026-11-26,c_one,5\n2026-11-27,c_other,1000\n";
        let told = "day         collector  inputs\n2026-11-26  c_one           5\n2026-11-27  c_other      1000";
        assert_eq!(table(csv).unwrap(), told);
    }

    #[test]
    fn a_month_is_written_as_one() {
        assert_eq!(month("2026-11").as_deref(), Ok("2026-11"));
        assert!(month("2026-13").is_err() && month("11/2026").is_err());
    }
}
