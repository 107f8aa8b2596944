//! The command `dropcollect`: runs files on one machine, serves the API simulator, shows runs.

mod commands;
mod env_file;

use std::process::ExitCode;

use commands::screen;
use console::Term;

fn main() -> ExitCode {
    // First of all: the environment must not change once there are threads, and a variable may decide about anything that follows.
    let environment = env_file::load();
    let command = match commands::Command::read() {
        Ok(command) => command,
        Err(status) => return ExitCode::from(status),
    };
    ExitCode::from(match environment {
        Ok(()) => start(command),
        Err(problem) => commands::Failure::usage(problem.to_string()).tell(command.told()),
    })
}

fn start(command: commands::Command) -> u8 {
    adapters::telemetry::terminal(|| screen::Log, screen::colours(&Term::stderr()));
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command.run()),
        Err(error) => commands::Failure::ours(error.to_string()).tell(command.told()),
    }
}
