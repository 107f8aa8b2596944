//! The parts of the benchmark that are measured, or that stand in for S3 and the API: `bench PART [ARGUMENT…]`. `bench/run` starts
//! them, measures their processes and prints the tables.

mod cost;
mod functions;
mod polling;

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().unwrap_or_default();
    match part.as_str() {
        "cost" => println!("{}", cost::in_memory(&arguments.collect::<Vec<_>>())?),
        "cost-wire" => println!("{}", cost::on_the_wire(&arguments.collect::<Vec<_>>())?),
        "polling" => println!("{}", polling::run()?),
        _ => bail!("there is no part {part:?}; see bench/run"),
    }
    Ok(())
}
