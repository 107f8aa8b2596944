//! Lines at the bottom of a terminal that are rewritten in place, beside log lines that do not tear them.
//!
//! The cursor rests at the beginning of the line below them. A Ctrl-C that is typed is shown there by the terminal itself, as `^C`, and goes
//! with the rest; behind the last line it would move everything by a row, and one would stay.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::{Term, measure_text_width};

/// What is drawn now: there is one terminal.
static DRAWN: Mutex<Option<Drawn>> = Mutex::new(None);

struct Drawn {
    term: Term,
    lines: Vec<String>,
}

/// Lines that are rewritten in place. When it goes, nothing of them stays.
pub(super) struct Screen {
    term: Term,
}

impl Screen {
    /// On this terminal; nothing if it is none, or one that cannot move its cursor.
    pub(super) fn open(term: Term) -> Option<Self> {
        if !term.is_term() || std::env::var_os("TERM").is_none_or(|kind| kind == "dumb") {
            return None;
        }
        *drawn() = Some(Drawn { term: term.clone(), lines: Vec::new() });
        Some(Self { term })
    }

    /// How many lines there is room for, and how wide they may be. What erases the rest of a line would, behind the last column, take the
    /// last character.
    pub(super) fn room(&self) -> (usize, usize) {
        let (rows, columns) = self.term.size();
        (usize::from(rows).saturating_sub(1).max(1), usize::from(columns).saturating_sub(1).max(1))
    }

    /// Shows these lines instead of those before.
    pub(super) fn show(&self, lines: Vec<String>) {
        if let Some(drawn) = &mut *drawn()
            && drawn.lines != lines
        {
            let up = drawn.up();
            drawn.lines = lines;
            drawn.write(&[up.as_bytes(), drawn.frame().as_bytes()].concat());
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(drawn) = drawn().take() {
            drawn.write(format!("{}{ERASE_BELOW}", drawn.up()).as_bytes());
        }
    }
}

const ERASE_BELOW: &str = "\x1b[J";

impl Drawn {
    /// Back to the first column of the first line. A terminal that has become narrower has broken the lines.
    fn up(&self) -> String {
        let columns = usize::from(self.term.size().1).max(1);
        let rows: usize = self.lines.iter().map(|line| measure_text_width(line).div_ceil(columns).max(1)).sum();
        if rows == 0 { "\r".to_owned() } else { format!("\r\x1b[{rows}A") }
    }

    /// All lines, over whatever stands there: nothing is erased before it is written anew, so nothing flickers.
    fn frame(&self) -> String {
        let lines = self.lines.iter().map(|line| format!("{line}\x1b[K\n")).collect::<String>();
        format!("{lines}{ERASE_BELOW}")
    }

    /// In one write, so that nothing comes between. A terminal that has gone needs no progress.
    fn write(&self, bytes: &[u8]) {
        let mut term = &self.term;
        drop(term.write_all(bytes).and_then(|()| term.flush()));
    }
}

fn drawn() -> MutexGuard<'static, Option<Drawn>> {
    DRAWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error for log lines: each write is one line, or several whole ones.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match &*drawn() {
            Some(drawn) if Term::stderr().is_term() => {
                let above = format!("{}{ERASE_BELOW}", drawn.up());
                drawn.write(&[above.as_bytes(), lines, drawn.frame().as_bytes()].concat());
            }
            _ => io::stderr().write_all(lines)?,
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Columns for text on this terminal; nothing if it is none. The last column stays free, for terminals that go on to the next line by
/// themselves.
pub(super) fn width(term: &Term) -> Option<usize> {
    let (_, columns) = term.size_checked().filter(|_| term.is_term())?;
    Some(usize::from(columns).saturating_sub(1)).filter(|columns| *columns > 0)
}

/// Whether text for this terminal may have colours: `NO_COLOR`, `CLICOLOR=0`, `TERM=dumb` and everything that is no terminal say no.
pub(crate) fn colours(term: &Term) -> bool {
    term.features().colors_supported() && std::env::var_os("CLICOLOR").is_none_or(|value| value != "0")
}
