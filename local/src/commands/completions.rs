//! `dropcollect completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Command, Failure, exit, put};

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<u8, Failure> {
    let mut command = Command::command();
    let name = command.get_name().to_owned();
    // Not to standard output at once: whoever reads that may stop early, and this would panic.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    put(String::from_utf8_lossy(&script).trim_end());
    Ok(exit::FINE)
}
