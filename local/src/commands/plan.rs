//! `dropcollect plan`.

use std::fs::File;
use std::io::BufReader;

use adapters::config::{Config, Role};
use dropcollect::plan;
use serde_json::json;

use super::run::named_files;
use super::{Failure, PlanArgs, exit, say};

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
                say(&if args.json { plan.json(&key, args.rate).to_string() } else { plan.text(&key, args.rate) });
            }
            Err(problem) => {
                worst = worst.max(exit::USAGE);
                say(&match args.json {
                    true => json!({"key": key, "problem": problem}).to_string(),
                    false => format!("{key}: would be rejected\n  problem     {} ({})", problem.message, problem.code),
                });
            }
        }
    }
    Ok(worst)
}
