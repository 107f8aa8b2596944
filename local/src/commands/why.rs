//! `dropcollect why`.

use clap::Args;
use dropcollect::why::{self, Asked, NoStory};

use super::{Failure, exit, place, put, say};

#[derive(Args)]
pub(crate) struct WhyArgs {
    /// Id of a run, or an input key (then its newest run)
    run: String,
    /// Line of the file, from 1; or a text, such as a URL, for the first row that has it
    row: String,
    /// A folder, or s3://dataset-bucket
    #[arg(long = "data", default_value = "dropcollect-data")]
    place: String,
    /// Print the story as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn why(args: &WhyArgs) -> Result<u8, Failure> {
    let store = place::reader(&args.place).await?;
    let run = place::run(&*store, &args.run).await?;
    let asked = match args.row.parse() {
        Ok(line) => Asked::Line(line),
        Err(_) => Asked::Text(args.row.clone()),
    };
    let story = why::story(&*store, &run, &asked).await.map_err(|problem| match problem {
        NoStory::Port(error) => error.into(),
        asked => Failure::usage(asked.to_string()),
    })?;
    let at = |key: &str| format!("{}/{key}", args.place.trim_end_matches('/'));
    match args.json {
        true => put(&serde_json::to_string(&story).map_err(|error| Failure::ours(error.to_string()))?),
        false => say(&story.text(&at)),
    }
    Ok(exit::FINE)
}
