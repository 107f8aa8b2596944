//! `dropcollect status`.

use std::time::Duration;

use console::{Term, truncate_str};
use dropcollect::detail::{NoDetail, detail};
use dropcollect::{report, table};
use jiff::Timestamp;
use pipeline::keys;
use pipeline::ledger::list_all;
use pipeline::ports::Store;
use pipeline::status::Status;

use super::screen::{self, Screen};
use super::{Failure, StatusArgs, exit, place, say, web};

pub(super) async fn status(args: &StatusArgs) -> Result<u8, Failure> {
    if args.web {
        return web::web(&args.place).await;
    }
    let store = place::reader(&args.place).await?;
    match args.watch {
        None => say_lines(&text(args, &*store).await?),
        Some(seconds) => watch(args, &*store, Duration::from_secs(seconds)).await?,
    }
    Ok(exit::FINE)
}

/// Until Ctrl-C: in place on a terminal, elsewhere anew whenever something has changed.
async fn watch(args: &StatusArgs, store: &dyn Store, pause: Duration) -> Result<(), Failure> {
    let screen = Screen::open(Term::stdout()).filter(|_| !args.json);
    let mut last = String::new();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let text = tokio::select! {
            text = text(args, store) => text?,
            _ = &mut interrupted => break,
        };
        match &screen {
            Some(screen) => screen.show(fitted(&text, screen.room())),
            None if text != last => say_lines(&text),
            None => {}
        }
        last = text;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = &mut interrupted => break,
        }
    }
    // What was seen last stays.
    if screen.is_some() {
        drop(screen);
        say_lines(&last);
    }
    Ok(())
}

/// No runs are no lines for a program.
fn say_lines(text: &str) {
    if !text.is_empty() {
        say(text);
    }
}

/// As much of a text as there is room for: the newest runs are at its end.
fn fitted(text: &str, (rows, columns): (usize, usize)) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(|line| truncate_str(line, columns, "…").into_owned()).collect();
    if lines.len() > rows {
        let over = lines.len() - rows + 1;
        // The header stays.
        lines.splice(1..=over, [truncate_str(&format!("… {over} lines more"), columns, "…").into_owned()]);
        lines.truncate(rows);
    }
    lines
}

async fn text(args: &StatusArgs, store: &dyn Store) -> Result<String, Failure> {
    let term = Term::stdout();
    let colours = screen::colours(&term);
    if let Some(named) = &args.run {
        let detail = detail(store, named).await.map_err(|problem| match problem {
            NoDetail::Port(error) => error.into(),
            asked => Failure::usage(asked.to_string()),
        })?;
        if args.json {
            return detail.json().map_err(|error| Failure::ours(error.to_string()));
        }
        let text = detail.text(&args.place);
        return Ok(if colours { paint(&text, detail.state()) } else { text });
    }
    let runs = runs(store).await?;
    if args.json {
        let lines: Vec<String> = runs.iter().map(|run| serde_json::to_string(run).unwrap_or_default()).collect();
        return Ok(lines.join("\n"));
    }
    if runs.is_empty() {
        return Ok(format!("no runs in {}", args.place));
    }
    Ok(match term.is_term() {
        // The last column stays free, for terminals that go on to the next line by themselves.
        true => table::fitting(&runs, Timestamp::now(), usize::from(term.size().1).saturating_sub(1), colours),
        false => report::table(&runs).trim_end().to_owned(),
    })
}

/// The state in the first line, which follows the key.
fn paint(text: &str, state: pipeline::manifest::RunState) -> String {
    let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
    match head.rsplit_once(": ") {
        Some((key, words)) => format!("{key}: {}\n{rest}", table::paint(words, state)),
        None => text.to_owned(),
    }
}

async fn runs(store: &dyn Store) -> Result<Vec<Status>, Failure> {
    let mut runs: Vec<Status> = Vec::new();
    for key in list_all(store, keys::STATUSES).await?.into_iter().filter(|key| *key != keys::PAGE) {
        let Some(stored) = store.get(&key).await? else { continue };
        match serde_json::from_slice(&stored.body) {
            Ok(status) => runs.push(status),
            Err(error) => eprintln!("{key}: not readable: {error}"),
        }
    }
    runs.sort_by_key(|status| status.started_at);
    Ok(runs)
}
