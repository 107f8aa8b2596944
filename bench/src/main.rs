//! The parts of the benchmark that are measured, or that stand in for S3 and the API: `bench PART [ARGUMENT…]`. `bench/run` starts
//! them, measures their processes and prints the tables.

use anyhow::bail;

mod clocks;
mod cost;
mod cutting;
mod data;
mod delivery;
mod functions;
mod peers;
mod polling;
mod rows;
mod scale;
mod startup;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((part, arguments)) = arguments.split_first() else { bail!("which part? See bench/run") };
    match part.as_str() {
        "peers" => peers::main(),
        "deliver" | "copy" => on_one_thread(delivery::main(part, arguments)),
        "cutting" => cutting::main(arguments),
        "csv" => rows::write(arguments),
        "cut-rows" => rows::cut(arguments),
        "trigger" => on_one_thread(rows::trigger(arguments)),
        "startup" => on_one_thread(startup::part(arguments.iter().cloned())),
        "cost" => said(&cost::in_memory(arguments)?),
        "cost-wire" => said(&cost::on_the_wire(arguments)?),
        "polling" => said(&polling::run()?),
        "scale" => said(&scale::run()),
        other => bail!("there is no part {other:?}; see bench/run"),
    }
}

/// As in a function.
fn on_one_thread(part: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(part)
}

fn said(text: &impl std::fmt::Display) -> anyhow::Result<()> {
    println!("{text}");
    Ok(())
}
