//! `dropcollect man`.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::{Command, Failure, exit, put};

#[derive(Args)]
pub(crate) struct ManArgs {
    /// Folder to write a page for each command into, such as ~/.local/share/man/man1
    dir: Option<PathBuf>,
}

pub(super) fn man(args: &ManArgs) -> Result<u8, Failure> {
    // No page of its own for `help`: what it says is what `--help` says.
    let mut command = Command::command().disable_help_subcommand(true);
    command.build();
    if let Some(dir) = &args.dir {
        let written = fs::create_dir_all(dir).and_then(|()| {
            let mut pages = std::iter::once(&command).chain(command.get_subcommands());
            pages.try_for_each(|of| page(of).generate_to(dir).map(drop))
        });
        written.map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))?;
        return Ok(exit::FINE);
    }
    let mut text = Vec::new();
    page(&command).render(&mut text).map_err(|error| Failure::ours(error.to_string()))?;
    put(String::from_utf8_lossy(&text).trim_end());
    Ok(exit::FINE)
}

fn page(of: &clap::Command) -> Man {
    Man::new(of.clone()).source(concat!("dropcollect ", env!("CARGO_PKG_VERSION")))
}
