//! The parts of the benchmark that are measured, or that stand in for S3 and the API: `bench PART [ARGUMENT…]`. `bench/run` starts
//! them, measures their processes and prints the tables.

use anyhow::bail;

mod startup;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().unwrap_or_default();
    match part.as_str() {
        "startup" => startup::part(arguments),
        _ => bail!("there is no part {part:?}; see bench/run"),
    }
}
