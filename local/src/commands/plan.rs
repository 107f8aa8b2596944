//! `dropcollect plan`.

use std::fs::File;
use std::io::BufReader;

use adapters::config::{Config, Role};
use clap::Args;
use dropcollect::plan;
use pipeline::ledger::FileReport;
use serde_json::json;

use super::run::named_files;
use super::what::What;
use super::{Failure, exit, put, say};

#[derive(Args)]
#[command(disable_version_flag = true)]
pub(crate) struct PlanArgs {
    /// Dollars for 1,000 page loads, as your account pays
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Print a JSON line for each file
    #[arg(long)]
    json: bool,
    // Last, as in `run`.
    #[command(flatten)]
    what: What,
}

/// Dollars for 1,000 page loads.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 =
        text.trim_start_matches('$').parse().map_err(|_| "is no number of dollars, such as 1.50".to_owned())?;
    if (0.0..1e6).contains(&rate) { Ok(rate) } else { Err("is no price".to_owned()) }
}

pub(super) fn plan(args: &PlanArgs) -> Result<u8, Failure> {
    let named = named_files(&args.what)?;
    let lookup = |name: &str| std::env::var(name).ok();
    let config = Config::from(Role::Local, lookup).map_err(|problem| Failure::usage(problem.to_string()))?;
    let mut worst = exit::FINE;
    for (path, key) in named {
        let unreadable = |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
        let file = BufReader::new(File::open(path).map_err(unreadable)?);
        match plan::plan(&config.policy, &key, &args.what.metadata(), file).map_err(unreadable)? {
            Ok(plan) => {
                let whole = plan.rows.rejected == 0 && plan.problem.is_none();
                worst = worst.max(match (whole, plan.inputs()) {
                    (true, _) => exit::FINE,
                    (false, 0) => exit::USAGE,
                    (false, _) => exit::FAILURES,
                });
                match args.json {
                    true => put(&plan.json(&key, args.rate).to_string()),
                    false => say(&plan.text(&key, args.rate)),
                }
            }
            Err(problem) => {
                worst = worst.max(exit::USAGE);
                match args.json {
                    true => put(&json!({"key": key, "problem": problem}).to_string()),
                    false => {
                        let FileReport { message, code } = problem;
                        say(&format!("{key}: would be rejected\n  problem     {message} ({code})"));
                    }
                }
            }
        }
    }
    Ok(worst)
}
