//! `dropcollect why`.

use dropcollect::why::{self, Asked, NoStory};

use super::{Failure, WhyArgs, exit, place, say};

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
    say(&match args.json {
        true => serde_json::to_string(&story).map_err(|error| Failure::ours(error.to_string()))?,
        false => story.text(&at),
    });
    Ok(exit::FINE)
}
