//! How far `run` is: bars on a terminal, a line now and then elsewhere, events for programs.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use console::Term;
use dropcollect::bars::{self, Row};
use dropcollect::engine::{Engine, Waiting};
use dropcollect::pace::Pace;
use dropcollect::report::{self, Reached};
use pipeline::status::Status;
use pipeline::words::InputObject;

use super::events::{self, Event};
use super::screen::Screen;

/// How often a file gets a line of progress where standard error is no terminal.
const LOG_INTERVAL: Duration = Duration::from_secs(5);
/// Progress is looked at again after so many times as long as it took: with a thousand files it must not keep them from being run.
const SHOW_REST: u32 = 50;

/// Progress of the runs of some files.
pub(super) struct Progress<'a> {
    how: How,
    files: RefCell<Vec<File<'a>>>,
    began: Instant,
    not_before: Cell<Instant>,
}

enum How {
    Bars(Screen),
    Lines,
    Events,
}

struct File<'a> {
    key: &'a str,
    over: bool,
    begun: bool,
    pace: Pace,
    row: Row,
    /// What was printed last, and when.
    printed: Option<(String, Instant)>,
}

impl<'a> Progress<'a> {
    /// Of the runs of these keys: events on standard output, or what suits standard error.
    pub(super) fn new(keys: impl Iterator<Item = &'a str>, events: bool) -> Self {
        let how = match events {
            true => How::Events,
            false => Screen::open(Term::stderr()).map_or(How::Lines, How::Bars),
        };
        let file = |key: &'a str| File {
            key,
            over: false,
            begun: false,
            pace: Pace::default(),
            row: Row::unread(key),
            printed: None,
        };
        let files = RefCell::new(keys.map(file).collect());
        Self { how, files, began: Instant::now(), not_before: Cell::new(Instant::now()) }
    }

    /// Shows how far an engine is with the objects of the keys, unless that was done just now.
    pub(super) async fn show(&self, engine: &Engine, objects: &[InputObject]) {
        let began = Instant::now();
        if began >= self.not_before.get() {
            self.last(engine, objects).await;
            self.not_before.set(Instant::now() + began.elapsed() * SHOW_REST);
        }
    }

    /// Shows where everything ended.
    pub(super) async fn last(&self, engine: &Engine, objects: &[InputObject]) {
        let waiting = engine.waiting();
        for (at, object) in objects.iter().enumerate() {
            if self.files.borrow()[at].over {
                continue;
            }
            // What cannot be read now is shown the next time.
            if let Some(status) = engine.status(object).await.ok().flatten() {
                self.saw(at, &status, waiting.get(&status.run));
            }
        }
        self.draw();
    }

    /// Notes how far the run of the key at this place is.
    pub(super) fn saw(&self, at: usize, status: &Status, waiting: Option<&Waiting>) {
        let file = &mut self.files.borrow_mut()[at];
        file.begun = true;
        file.over = status.manifest.is_some();
        file.pace.see(self.began.elapsed(), Reached::of(status).done);
        self.print(file, status, waiting.filter(|_| !file.over));
    }

    /// Draws the bars anew, if there are any.
    pub(super) fn draw(&self) {
        if let How::Bars(screen) = &self.how {
            screen.show(lines(&self.files.borrow(), screen.room()));
        }
    }

    fn print(&self, file: &mut File<'_>, status: &Status, waiting: Option<&Waiting>) {
        match self.how {
            How::Bars(_) => file.row = Row::of(status, waiting, &file.pace),
            How::Lines => {
                let mut line = report::progress(status, waiting);
                let soon = |(known, at): &(String, Instant)| *known == line || at.elapsed() < LOG_INTERVAL;
                if file.printed.as_ref().is_some_and(soon) {
                    return;
                }
                file.printed = Some((line.clone(), Instant::now()));
                if let Some(rate) = file.pace.per_minute() {
                    line = format!("{line}; {} inputs a minute", bars::number(rate));
                }
                if let Some(left) = file.pace.left(status.inputs.pending).filter(|_| status.file_read && !file.over) {
                    line = format!("{line}, about {} left", bars::span(left));
                }
                eprintln!("{line}");
            }
            How::Events => {
                // What only counts down is no change.
                let what = waiting.map(|waiting| (waiting.batches, &waiting.why));
                let known =
                    format!("{:?} {:?} {what:?}", status.inputs, (status.state, &status.notice, status.records));
                if file.printed.as_ref().is_none_or(|(printed, _)| *printed != known) {
                    event(file, status, waiting);
                    file.printed = Some((known, Instant::now()));
                }
            }
        }
    }
}

fn event(file: &File<'_>, status: &Status, waiting: Option<&Waiting>) {
    let Reached { done, total } = Reached::of(status);
    let left = file.pace.left(status.inputs.pending).filter(|_| status.file_read && !file.over);
    let why = status.notice.as_deref().or(waiting.and_then(|waiting| waiting.why.as_deref()));
    let progress = events::Progress {
        run: &status.run,
        key: file.key,
        state: status.state,
        file_read: status.file_read,
        inputs: events::Counts::from(&status.inputs),
        done,
        total,
        records: status.records,
        unmatched_records: status.unmatched_records,
        per_minute: file.pace.per_minute(),
        seconds_left: left.map(|left| left.as_secs()),
        batches: waiting.map_or(0, |waiting| waiting.batches),
        next_look_seconds: waiting.map(|waiting| waiting.next),
        waits_for: why.filter(|_| !file.over),
    };
    Event::Progress(progress).say();
}

/// A line for each file, or for as many as there is room for: those that go on come first, and one line tells of the others.
fn lines(files: &[File<'_>], (room, width): (usize, usize)) -> Vec<String> {
    let rows = |files: &[&File<'_>]| files.iter().map(|file| file.row.clone()).collect::<Vec<_>>();
    if files.len() <= room {
        return bars::lines(&rows(&files.iter().collect::<Vec<_>>()), width);
    }
    let (mut shown, rest): (Vec<&File<'_>>, Vec<&File<'_>>) = files.iter().partition(|file| file.begun && !file.over);
    let mut others = shown.split_off(shown.len().min(room - 1));
    others.extend(rest);
    let over = others.iter().filter(|file| file.over).count();
    let mut lines = bars::lines(&rows(&shown), width);
    lines.push(bars::others(&rows(&others), over, width));
    lines
}
