//! Looks at one JSON object in one pass: whether it is valid, where it ends, and where the members stand by which rows are told apart.
//!
//! This is the inner loop of a delivery. Blocks of 64 bytes are turned into bit masks (strings, punctuation, white space) without a
//! branch for each byte, and only what the masks name is walked over; the idea is that of simdjson (Langdale and Lemire, "Parsing
//! Gigabytes of JSON per Second", 2019). Whatever is rare here (deep nesting, escaped names) is said to be [`Seen::Odd`] and left to
//! a general parser.

use std::ops::Range;

use fearless_simd::{Level, Simd, dispatch};

use self::blocks::{BLOCK, Blocks};
use self::grammar::{Checked, Grammar, Open};

mod blocks;
mod grammar;
mod scalar;

/// The members by which rows are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// `input`: the echoed input.
    Input,
    /// `error`
    Error,
    /// `error_code`
    ErrorCode,
    /// `warning`
    Warning,
    /// `warning_code`
    WarningCode,
}

impl Member {
    /// All of them, in this order.
    pub const ALL: [Self; 5] = [Self::Input, Self::Error, Self::ErrorCode, Self::Warning, Self::WarningCode];

    /// The one whose name, with the quote behind it, these bytes begin with, and how long that is.
    fn of(bytes: &[u8]) -> Option<(Self, usize)> {
        const NAMES: [(Member, &[u8]); 5] = [
            (Member::Input, b"input\""),
            (Member::Error, b"error\""),
            (Member::ErrorCode, b"error_code\""),
            (Member::Warning, b"warning\""),
            (Member::WarningCode, b"warning_code\""),
        ];
        NAMES.into_iter().find(|(_, name)| bytes.starts_with(name)).map(|(member, name)| (member, name.len()))
    }
}

/// A valid object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its length in bytes.
    pub bytes: usize,
    /// It has line ends between its tokens.
    pub has_lines: bool,
    members: [Place; 5],
}

/// From where to where a value stands. No value has no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    begin: u32,
    end: u32,
}

impl Place {
    const NONE: Self = Self { begin: 0, end: 0 };
}

impl Object {
    /// Where the value of a member stands, white space around it left out.
    pub fn member(&self, member: Member) -> Option<Range<usize>> {
        self.members
            .get(member as usize)
            .filter(|place| **place != Place::NONE)
            .map(|place| place.begin as usize..place.end as usize)
    }
}

/// What the bytes begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A valid object, as far as syntax goes: whether it is UTF-8 is not looked at.
    Object(Object),
    /// The beginning of an object: the bytes end before it does.
    Cut,
    /// Something else: no object, not valid, or valid but for a general parser.
    Odd,
}

/// Looks at the object that `bytes` begin with.
pub fn object(bytes: &[u8]) -> Seen {
    let mut object = Object { bytes: 0, has_lines: false, members: [Place::NONE; 5] };
    match dispatch!(Level::new(), simd => walk(simd, bytes, &mut object)) {
        Ok(()) => Seen::Object(object),
        Err(Stop::Cut) => Seen::Cut,
        Err(Stop::Odd) => Seen::Odd,
    }
}

/// Why there is no object to be had.
enum Stop {
    Cut,
    Odd,
}

/// Goes from block to block. Each byte outside strings says what may stand behind it, for all bytes of a block at the same time; only brackets,
/// numbers, words and names of interest are visited one by one.
#[inline(always)]
fn walk<S: Simd>(simd: S, bytes: &[u8], object: &mut Object) -> Result<(), Stop> {
    if bytes.first() != Some(&b'{') {
        return Err(Stop::Odd);
    }
    let mut blocks = Blocks::default();
    let mut open = Open::default();
    let mut grammar = Grammar::default();
    let mut lines = 0;
    // 1 when the next block begins with the first byte of a name.
    let mut name_begins = 0;
    let mut member = None;
    let mut base = 0;
    while base < bytes.len() {
        if let Some(block) = blocks.next(simd, bytes, base) {
            let nesting = open.follow(&block, bytes, base)?;
            let Checked { names, scalars, misplaced } = grammar.check(&block, &nesting);
            let among = nesting.among;
            if (misplaced | block.controls) & among != 0 || !block.has_valid_escapes(among, bytes, base) {
                return Err(Stop::Odd);
            }
            for at in ones(scalars & among) {
                match scalar::is_valid(bytes.get(base + at..).unwrap_or_default()) {
                    Some(true) => {}
                    Some(false) => return Err(Stop::Odd),
                    None => return Err(Stop::Cut),
                }
            }
            lines |= block.lines & among;
            let names = names & nesting.outermost & among;
            let initials = (names << 1 | name_begins) & block.initials;
            name_begins = names >> 63;
            if initials != 0 || member.is_some() {
                let ends = (block.commas & nesting.outermost | nesting.last()) & among;
                object.find(bytes, base, initials, ends, &mut member)?;
            }
            if nesting.ended {
                object.bytes = base + among.count_ones() as usize;
                object.has_lines = lines != 0;
                return Ok(());
            }
        }
        base += BLOCK;
    }
    Err(Stop::Cut)
}

/// Whether a name that begins so may be one of [`Member`]'s, in whatever spelling.
fn may_be_a_member(name: &[u8]) -> bool {
    matches!(name, [b'i', b'n' | b'\\', ..] | [b'e', b'r' | b'\\', ..] | [b'w', b'a' | b'\\', ..] | [b'\\', ..])
}

/// Where the ones of a mask are.
#[inline(always)]
fn ones(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = mask.trailing_zeros() as usize;
        mask &= mask.checked_sub(1)?;
        Some(at)
    })
}

impl Object {
    /// Finds members whose names begin at `initials` in the block at `base`, and the end of the one that is open. Values of the outermost
    /// object end at `ends`.
    #[inline]
    fn find(
        &mut self,
        bytes: &[u8],
        base: usize,
        initials: u64,
        ends: u64,
        open: &mut Option<(Member, usize)>,
    ) -> Result<(), Stop> {
        let mut initials = ones(initials);
        let mut from = 0;
        loop {
            if let Some((member, begin)) = *open {
                let ends = ends & u64::MAX << from;
                if ends == 0 {
                    return Ok(());
                }
                self.set(member, begin, base + ends.trailing_zeros() as usize, bytes)?;
                *open = None;
            }
            let Some(at) = initials.next() else { return Ok(()) };
            *open = self.name(bytes, base + at)?;
            from = at;
        }
    }

    /// Which member the name is that begins behind its quote at `begin`, and where its value begins.
    fn name(&self, bytes: &[u8], begin: usize) -> Result<Option<(Member, usize)>, Stop> {
        let rest = bytes.get(begin..).unwrap_or_default();
        if !may_be_a_member(rest) {
            return Ok(None);
        }
        match Member::of(rest) {
            // A name that is given twice says two things.
            Some((member, _)) if self.member(member).is_some() => Err(Stop::Odd),
            Some((member, length)) => {
                let behind = rest.get(length..).unwrap_or_default();
                let colon = behind.iter().position(|&byte| byte == b':').ok_or(Stop::Cut)?;
                Ok(Some((member, begin + length + colon + 1)))
            }
            // It may be one of these in another spelling.
            None => match rest.iter().find(|byte| matches!(byte, b'"' | b'\\')) {
                Some(b'\\') => Err(Stop::Odd),
                _ => Ok(None),
            },
        }
    }

    /// The value of a member lies between `begin` and `end`.
    fn set(&mut self, member: Member, begin: usize, end: usize, bytes: &[u8]) -> Result<(), Stop> {
        let text = bytes.get(begin..end).unwrap_or_default();
        let begin = begin + text.len() - text.trim_ascii_start().len();
        let end = begin + text.trim_ascii().len();
        let (Ok(begin), Ok(end)) = (u32::try_from(begin), u32::try_from(end)) else { return Err(Stop::Odd) };
        if let Some(place) = self.members.get_mut(member as usize) {
            *place = Place { begin, end };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
