//! Variables from the file `.env` of the current folder, for names that are not set.

use std::cell::Cell;
use std::fs;
use std::io::{self, Read};

const NAME: &str = ".env";

/// Why the file cannot be used. It may hold secrets, so nothing that is in it is ever shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error(".env cannot be read ({0}): make it readable, or move it away")]
    Unreadable(io::Error),
    #[error(
        ".env is a folder, but a file of variables is looked for under this name: rename it, or run in another folder"
    )]
    Folder,
    #[error(
        "line {0} of .env is not NAME=value (a value with spaces, quotes or # needs quotes around it): correct it, or remove it"
    )]
    Line(usize),
}

/// Sets what is not set. To be called while there is one thread.
pub(crate) fn load() -> Result<(), Problem> {
    let text = match fs::read(NAME) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Err(Problem::Folder),
        Err(error) => return Err(Problem::Unreadable(error)),
    };
    let text = checked(&text)?;
    // It has been read before without an error, so there is none to hide.
    dotenvy::from_read(text.as_bytes()).map_err(|_| Problem::Line(1))
}

/// The text, if every line can be used: nothing is set from a file that is half understood.
fn checked(text: &[u8]) -> Result<String, Problem> {
    let line_of = |at: usize| Problem::Line(1 + text[..at].iter().filter(|byte| **byte == b'\n').count());
    if let Some(at) = text.iter().position(|byte| *byte == 0) {
        return Err(line_of(at));
    }
    let text = std::str::from_utf8(text).map_err(|error| line_of(error.valid_up_to()))?;
    // The last line is one like any other, also without its end.
    let text = format!("{}\n", text.trim_start_matches('\u{feff}'));
    let given = Cell::new(0);
    let lines = Lines { rest: text.as_bytes(), given: &given };
    for variable in dotenvy::from_read_iter(lines) {
        if let Err(error) = variable {
            // A value in quotes that do not end goes on to the end of the file: its first line is the wrong one.
            let over = match &error {
                dotenvy::Error::LineParse(lines, _) => lines.lines().count().max(1),
                _ => 1,
            };
            return Err(Problem::Line((given.get() + 1).saturating_sub(over).max(1)));
        }
    }
    Ok(text)
}

/// Gives a line at most at a time, so that whoever reads has read no further than what it complains about.
struct Lines<'a> {
    rest: &'a [u8],
    given: &'a Cell<usize>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let size = end.min(buffer.len());
        let (now, rest) = self.rest.split_at(size);
        buffer[..size].copy_from_slice(now);
        self.given.set(self.given.get() + usize::from(now.ends_with(b"\n")));
        self.rest = rest;
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8]) -> Option<usize> {
        match checked(text) {
            Ok(_) => None,
            Err(Problem::Line(line)) => Some(line),
            Err(problem) => panic!("{problem}"),
        }
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number() {
        let fine = "\u{feff}A=1\r\n# a comment\n\nexport B='two\nlines'\nC=\"x # y\"\nD=e=f # a comment\nE= ";
        assert_eq!(line(fine.as_bytes()), None);
        for (text, wrong) in [
            ("A=1\nsecret\n", 2),
            ("A=1\n\n# more\nB=a secret\nC=1\n", 4),
            ("A='1\n2'\n=secret", 3),
            ("A=1\nB=\"a secret\nC=1\nD=2\n", 2),
            ("A=1\nB=a\0secret\n", 2),
            ("\u{feff}=secret", 1),
        ] {
            assert_eq!(line(text.as_bytes()), Some(wrong), "{text:?}");
            let said = checked(text.as_bytes()).unwrap_err();
            assert!(!format!("{said} {said:?}").contains("secret"), "{said}");
        }
        assert_eq!(line(b"A=1\nB=\xff\n"), Some(2));
        let long = format!("A={}\nB C\n", "x".repeat(100_000));
        assert_eq!(line(long.as_bytes()), Some(2));
    }
}
