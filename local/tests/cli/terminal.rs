//! What stands on a terminal: nothing too wide, nothing torn, nothing left behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Done, Place, Simulator, side_by_side};

/// A terminal that a command ran on: what it wrote, and how it ended.
pub(crate) struct Seen {
    pub(crate) done: Done,
    raw: Vec<u8>,
    size: (u16, u16),
}

/// What ends every drawing, and so a state that a person can see.
const DRAWN: &[u8] = b"\x1b[J";

impl Place {
    /// Runs the command on a terminal of this size, where Ctrl-C is typed when `words` are to be seen.
    pub(crate) fn on_terminal(&self, command: &Command, size: (u16, u16), words: &str) -> Seen {
        let mut terminal = Command::new("python3");
        terminal.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/terminal.py"));
        terminal.args([&size.0.to_string(), &size.1.to_string(), words]);
        terminal.arg(command.get_program()).args(command.get_args());
        terminal.current_dir(command.get_current_dir().unwrap()).env_clear();
        let machine = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        terminal.env("TERM", "xterm").envs(machine);
        terminal.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let running = self.start(terminal);
        let out = running.out_path().to_owned();
        let done = running.finish();
        Seen { done, raw: fs::read(out).unwrap(), size }
    }
}

impl Seen {
    /// The rows that could be seen, after each drawing and at the end. What has gone up over the edge is in the last of them.
    fn screens(&self) -> Vec<Vec<String>> {
        let (rows, columns) = self.size;
        let mut parser = vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 10_000);
        let mut screens = Vec::new();
        let mut rest = self.raw.as_slice();
        while !rest.is_empty() {
            let end = rest.windows(DRAWN.len()).position(|bytes| bytes == DRAWN);
            let (now, later) = rest.split_at(end.map_or(rest.len(), |at| at + DRAWN.len()));
            parser.process(now);
            screens.push(parser.screen().rows(0, columns).map(|row| row.trim_end().to_owned()).collect());
            rest = later;
        }
        parser.screen_mut().set_scrollback(usize::MAX);
        let mut all: Vec<String> = Vec::new();
        for back in (0..=parser.screen().scrollback()).rev() {
            parser.screen_mut().set_scrollback(back);
            let rows: Vec<String> = parser.screen().rows(0, columns).map(|row| row.trim_end().to_owned()).collect();
            all.extend(if back == 0 { rows } else { rows.into_iter().take(1).collect() });
        }
        all.truncate(all.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
        screens.push(all);
        screens
    }

    fn last(&self) -> Vec<String> {
        self.screens().pop().unwrap_or_default()
    }
}

fn is_bar(row: &str) -> bool {
    row.contains(['━', '┄']) || row.contains("%  ")
}

#[test]
fn bars_fit_reach_their_end_and_go() {
    side_by_side(&[40, 80, 140], |columns| {
        let place = Place::new();
        let simulator = Simulator::start(&place, "[jobs]\nbase_seconds = 1.5");
        let keys = ["one.txt", "a-second-file-with-a-long-name-日本語.txt"];
        for key in keys {
            place.file(key, "https://shop.example/1\nhttps://shop.example/2\nhttps://shop.example/3\n");
        }
        let mut command = place.run_against(&simulator, &keys);
        command.env("BATCH_INPUTS_MAX", "1").env("RUST_LOG", "info");
        let seen = place.on_terminal(&command, (24, *columns), "");
        assert_eq!(seen.done.status, Some(0), "{}", seen.done.out);
        let screens = seen.screens();
        let bars: Vec<&String> = screens.iter().flatten().filter(|row| is_bar(row)).collect();
        assert!(bars.iter().any(|row| row.starts_with("one.txt ") && row.contains("  0%  0/")), "{bars:#?}");
        for key in ["one.txt", "a-second"] {
            assert!(bars.iter().any(|row| row.starts_with(key) && row.contains("100%  3/3")), "{key}: {bars:#?}");
        }
        // A row that was too wide would go on in the next one, and a torn one would begin with something else.
        for screen in &screens[..screens.len() - 2] {
            let first = screen.iter().position(|row| is_bar(row));
            let rows = screen.iter().skip(first.unwrap_or(screen.len())).filter(|row| !row.is_empty());
            for row in rows {
                assert!(row.starts_with("one.txt ") || row.starts_with("a-second"), "{row:?} in {screen:#?}");
            }
        }
        let last = seen.last();
        assert!(last.iter().any(|row| row.contains("INFO")), "{last:#?}");
        assert!(!last.iter().any(|row| is_bar(row)), "nothing of the bars stays: {last:#?}");
        assert!(last.iter().any(|row| row == "one.txt: complete"), "{last:#?}");
    });
}

#[test]
fn a_typed_interrupt_leaves_the_screen_clean() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "[jobs]\nbase_seconds = 600.0");
    for key in ["one.txt", "two.txt", "three.txt"] {
        place.file(key, "https://shop.example/1\n");
    }
    let command = place.run_against(&simulator, &["one.txt", "two.txt", "three.txt"]);
    let seen = place.on_terminal(&command, (24, 80), "next look in ");
    assert_eq!(seen.done.status, Some(130), "{}", seen.done.out);
    let last = seen.last();
    assert!(last[0].starts_with("dropcollect: interrupted. Collections that were started go on"), "{last:#?}");
    assert!(!last.iter().any(|row| is_bar(row) || row.contains("^C")), "{last:#?}");
    assert!(seen.screens().iter().any(|screen| screen[..3].iter().all(|row| is_bar(row))));
}

#[test]
fn more_files_than_rows_are_summed_up() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "[jobs]\nbase_seconds = 600.0");
    let keys: Vec<String> = (0..30).map(|number| format!("{number}.txt")).collect();
    keys.iter().for_each(|key| drop(place.file(key, "https://shop.example/1\n")));
    let command = place.run_against(&simulator, &keys.iter().map(String::as_str).collect::<Vec<_>>());
    let seen = place.on_terminal(&command, (10, 80), "and 22 more files");
    assert_eq!(seen.done.status, Some(130), "{}", seen.done.out);
    let screens = seen.screens();
    let full = screens.iter().find(|screen| screen.iter().any(|row| row.starts_with("and 22 more files, 0 over: 0/")));
    let full = full.unwrap_or_else(|| panic!("{screens:#?}"));
    assert_eq!(full.iter().filter(|row| is_bar(row)).count(), 8, "and a row for what is typed: {full:#?}");
    assert!(!seen.last().iter().any(|row| is_bar(row)));
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "");
    place.file("urls.txt", "https://shop.example/1\n");
    let piped = place.finish(place.run_against(&simulator, &["urls.txt"]));
    piped.expect(0, &["urls.txt: complete"]);
    let status = |variables: &[(&str, &str)], columns| {
        let mut command = place.command(&["status", "data"]);
        command.envs(variables.iter().copied());
        place.on_terminal(&command, (24, columns), "").done.out
    };
    assert!(status(&[], 80).contains("\x1b[32mcomplete\x1b[0m   1/1"), "{:?}", status(&[], 80));
    assert!(status(&[], 140).contains("\x1b[32mcomplete\x1b[0m  1     1"), "{:?}", status(&[], 140));
    for variable in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
        assert!(!status(&[variable], 80).contains('\x1b'), "{variable:?}");
    }
    for arguments in [&["status", "data"][..], &["status", "data", "--run", "urls.txt"], &["status", "--help"]] {
        let mut command = place.command(arguments);
        command.env("TERM", "xterm");
        let done = place.finish(command);
        assert!(!format!("{}{}{}{}", done.out, done.err, piped.out, piped.err).contains('\x1b'), "{done:?}");
    }
    let mut forced = place.command(&["status", "data"]);
    forced.env("TERM", "xterm").env("CLICOLOR_FORCE", "1");
    assert!(!place.finish(forced).out.contains('\x1b'));
    // A terminal that cannot move its cursor gets lines.
    let mut dumb = place.run_against(&simulator, &["urls.txt", "--again"]);
    dumb.env("TERM", "dumb");
    let dumb = place.on_terminal(&dumb, (24, 80), "").done;
    assert!(dumb.out.contains("urls.txt: 0 of 1 inputs done") && !dumb.out.contains('\x1b'), "{}", dumb.out);
}

#[test]
fn a_watched_status_goes_on_until_it_is_interrupted() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "");
    place.file("urls.txt", "https://shop.example/1\n");
    place.finish(place.run_against(&simulator, &["urls.txt"])).expect(0, &[]);
    let watch = place.command(&["status", "data", "--watch", "1"]);
    let seen = place.on_terminal(&watch, (24, 80), "urls.txt");
    assert_eq!(seen.done.status, Some(0), "{}", seen.done.out);
    let last = seen.last();
    assert_eq!(last.iter().filter(|row| row.ends_with("  urls.txt")).count(), 1, "{last:#?}");
    assert!(last[0].starts_with("state ") && last.len() == 2, "{last:#?}");

    // On a pipe, a table for each change.
    let mut piped = place.start(place.command(&["status", "data", "--watch", "1"]));
    piped.until("the first table", |piped| piped.out().contains("urls.txt").then_some(()));
    place.file("more.txt", "https://shop.example/1\n");
    place.finish(place.run_against(&simulator, &["more.txt"])).expect(0, &[]);
    let row = |out: &str| out.lines().any(|row| row.starts_with("complete ") && row.ends_with("more.txt"));
    piped.until("the second table", |piped| row(&piped.out()).then_some(()));
    let seen = piped.out();
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert_eq!(piped.out(), seen, "nothing has changed");
    piped.interrupt();
    piped.finish().expect(0, &[]);
}
