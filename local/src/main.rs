//! The command `dropcollect`: runs files on one machine, serves the API simulator, shows runs.

mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let command = commands::Command::parse();
    adapters::telemetry::terminal();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("dropcollect: {error}");
            return ExitCode::from(commands::exit::OURS);
        }
    };
    ExitCode::from(runtime.block_on(command.run()))
}
