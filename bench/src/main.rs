//! The parts of the benchmark that are measured, or that stand in for S3 and the API: `bench PART [ARGUMENT…]`. `bench/run` starts
//! them, measures their processes and prints the tables.

use anyhow::bail;

mod cutting;
mod data;
mod delivery;
mod peers;
mod rows;
mod startup;

// One thread, as in a function.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((part, arguments)) = arguments.split_first() else { bail!("which part? See bench/run") };
    match part.as_str() {
        "peers" => peers::main(),
        "deliver" | "copy" => delivery::main(part, arguments).await,
        "cutting" => cutting::main(arguments),
        "csv" => rows::write(arguments),
        "cut-rows" => rows::cut(arguments),
        "trigger" => rows::trigger(arguments).await,
        "startup" => startup::part(arguments.iter().cloned()).await,
        other => bail!("there is no part {other:?}; see bench/run"),
    }
}
