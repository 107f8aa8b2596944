//! `dropcollect pause`, `resume`, `spending`: who may pay for what, and what was paid for.

use std::io;

use adapters::clock::WallClock;
use clap::Args;
use dropcollect::report::counted;
use jiff::Timestamp;
use pipeline::keys;
use pipeline::pause;
use pipeline::ports::{Clock, Store};
use pipeline::spending::{self, Book};

use serde_json::{Value, json};

use super::{Failure, answer, exit, place, put, say};

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
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

impl SwitchArgs {
    /// Whether a program reads what is said.
    pub(super) fn json(&self) -> bool {
        self.at.json
    }
}

#[derive(Args)]
pub(crate) struct SpendingArgs {
    /// A folder, or s3://dataset-bucket
    #[arg(default_value = "dropcollect-data")]
    place: String,
    /// The accounts of this month, as 2026-11 (default: the current one)
    #[arg(long, value_parser = month)]
    month: Option<String>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

fn month(text: &str) -> Result<String, String> {
    let day = format!("{text}-01T00:00:00Z");
    day.parse::<Timestamp>().map(|_| text.to_owned()).map_err(|_| "a month is written as 2026-11".to_owned())
}

/// Nothing more is triggered, in no run.
pub(super) async fn pause(args: &SwitchArgs) -> Result<u8, Failure> {
    let acting = place::acting(&args.at.place, false).await?;
    let switch = pause::pause(&*acting.store, WallClock.now(), &args.reason).await?;
    if args.json() {
        return Ok(answer(json!({"paused": switch.paused, "at": switch.at, "reason": switch.reason}), exit::FINE));
    }
    say(&switch.words());
    say("  Nothing more is triggered after half a minute. What runs is paid for, and is delivered all the same.");
    Ok(exit::FINE)
}

/// Everything goes on, at once.
pub(super) async fn resume(args: &ResumeArgs) -> Result<u8, Failure> {
    let acting = place::acting(&args.place, true).await?;
    let resumed = pause::resume(&*acting.store, &*acting.queues, WallClock.now()).await?;
    if args.json {
        return Ok(answer(json!({"paused": false, "runs": resumed.runs, "batches": resumed.batches}), exit::FINE));
    }
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
    if args.json {
        return Ok(answer(object(&*store, args).await?, exit::FINE));
    }
    if let Some(switch) = pause::standing(&*store).await? {
        say(&switch.words());
    }
    let month = args.month();
    limits(&*store).await?;
    let Some(accounts) = store.get(&keys::accounts(&month)).await? else {
        say(&format!("no run that was triggered in {month} is over"));
        return Ok(exit::FINE);
    };
    put(&table(&accounts.body).map_err(|error| Failure::ours(format!("{}: {error}", keys::accounts(&month))))?);
    Ok(exit::FINE)
}

impl SpendingArgs {
    fn month(&self) -> String {
        self.month.clone().unwrap_or_else(|| WallClock.now().to_string().chars().take(7).collect())
    }
}

/// The same for a program.
async fn object(store: &dyn Store, args: &SpendingArgs) -> Result<Value, Failure> {
    let (month, book) = (args.month(), spending::book(store).await?);
    let bars = book.iter().flat_map(Book::bars).map(|bar| {
        let left = bar.limit.saturating_sub(bar.spent.saturating_add(bar.reserved));
        json!({"name": bar.name, "limit": bar.limit, "spent": bar.spent, "reserved": bar.reserved, "left": left})
    });
    let limits: Vec<Value> = bars.collect();
    let waiting = book.iter().flat_map(|book| &book.waiting);
    let waiting: Vec<Value> =
        waiting.map(|(run, waiting)| json!({"run": run, "since": waiting.since, "why": waiting.why})).collect();
    let accounts = store.get(&keys::accounts(&month)).await?.map(|csv| accounts(&String::from_utf8_lossy(&csv.body)));
    let paused = pause::standing(store).await?.map(|switch| json!({"at": switch.at, "reason": switch.reason}));
    Ok(
        json!({"paused": paused, "limits": limits, "waiting": waiting, "month": month, "accounts": accounts.unwrap_or_default()}),
    )
}

/// The rows of the accounts by the names of their columns.
fn accounts(csv: &str) -> Vec<Value> {
    let mut rows = csv.lines().map(|line| line.split(','));
    let header: Vec<&str> = rows.next().into_iter().flatten().collect();
    let cell = |cell: &str| cell.parse::<u64>().map_or_else(|_| cell.into(), Value::from);
    rows.map(|row| header.iter().zip(row).map(|(name, text)| ((*name).to_owned(), cell(text))).collect()).collect()
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
