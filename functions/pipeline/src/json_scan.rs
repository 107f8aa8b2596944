//! Looks at one JSON object in one pass: whether it is valid, where it ends, and where the members stand by which rows are told apart.
//!
//! This is the inner loop of a delivery. Blocks of 64 bytes are turned into bit masks (strings, punctuation, white space) without a
//! branch for each byte, and only what the masks name is walked over; the idea is that of simdjson (Langdale and Lemire, "Parsing
//! Gigabytes of JSON per Second", 2019). Whatever is rare here (deep nesting, escaped names) is said to be [`Seen::Odd`] and left to
//! a general parser.

use std::ops::Range;

use fearless_simd::{Level, Simd, dispatch};

use self::blocks::{BLOCK, Block, Blocks};

mod blocks;
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

    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"input" => Self::Input,
            b"error" => Self::Error,
            b"error_code" => Self::ErrorCode,
            b"warning" => Self::Warning,
            b"warning_code" => Self::WarningCode,
            _ => return None,
        })
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

/// Deeper nesting is [`Seen::Odd`]: one bit a level.
const DEPTH_MAX: u32 = 63;

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

/// Follows the grammar from token to token. Which token may come is known from where the loop stands, so that its branches are easy to
/// predict; only the kinds of the open containers are kept.
#[inline(always)]
fn walk<S: Simd>(simd: S, bytes: &[u8], object: &mut Object) -> Result<(), Stop> {
    if bytes.first() != Some(&b'{') {
        return Err(Stop::Odd);
    }
    let mut tokens = Tokens::new(simd, bytes);
    let mut open = Open::default();
    let mut member = None;
    tokens.next()?;
    open.push(true)?;
    let mut first = true;
    'next: loop {
        'value: {
            if open.in_object() {
                let at = tokens.next()?;
                match tokens.byte(at) {
                    b'"' => {}
                    b'}' if first => {
                        if open.pop() {
                            return tokens.end(at, object);
                        }
                        break 'value;
                    }
                    _ => return Err(Stop::Odd),
                }
                let colon = tokens.next()?;
                if tokens.byte(colon) != b':' {
                    return Err(Stop::Odd);
                }
                if open.depth == 1 && may_be_a_member(tokens.byte(at + 1), tokens.byte(at + 2)) {
                    let name = object.name(bytes.get(at + 1..colon).unwrap_or_default())?;
                    member = name.map(|member| (member, colon + 1));
                }
            }
            let at = tokens.next()?;
            match tokens.byte(at) {
                b'"' => {}
                byte @ (b'{' | b'[') => {
                    open.push(byte == b'{')?;
                    first = true;
                    continue 'next;
                }
                b']' if first && !open.in_object() => drop(open.pop()),
                _ => match scalar::is_valid(bytes.get(at..).unwrap_or_default()) {
                    Some(true) => {}
                    Some(false) => return Err(Stop::Odd),
                    None => return Err(Stop::Cut),
                },
            }
        }
        loop {
            let at = tokens.next()?;
            let byte = tokens.byte(at);
            if open.depth == 1
                && let Some((member, begin)) = member.take()
            {
                object.set(member, begin, bytes.get(begin..at).unwrap_or_default())?;
            }
            if byte == b',' {
                first = false;
                break;
            }
            if byte != if open.in_object() { b'}' } else { b']' } {
                return Err(Stop::Odd);
            }
            if open.pop() {
                return tokens.end(at, object);
            }
        }
    }
}

/// Whether a name that begins so may be one of [`Member`]'s, in whatever spelling.
#[inline(always)]
fn may_be_a_member(first: u8, second: u8) -> bool {
    match first {
        b'i' => matches!(second, b'n' | b'\\'),
        b'e' => matches!(second, b'r' | b'\\'),
        b'w' => matches!(second, b'a' | b'\\'),
        first => first == b'\\',
    }
}

impl Object {
    /// Which member a name of the outermost object is: `text` are the bytes from behind its first quote up to the colon.
    fn name(&self, text: &[u8]) -> Result<Option<Member>, Stop> {
        let name = text.trim_ascii_end();
        let name = name.strip_suffix(b"\"").unwrap_or(name);
        match Member::named(name) {
            // A name that is given twice says two things.
            Some(member) if self.member(member).is_some() => Err(Stop::Odd),
            // It may be one of these in another spelling.
            None if name.contains(&b'\\') => Err(Stop::Odd),
            member => Ok(member),
        }
    }

    /// The value of a member lies in `text`, which begins at `begin`.
    fn set(&mut self, member: Member, begin: usize, text: &[u8]) -> Result<(), Stop> {
        let begin = begin + text.len() - text.trim_ascii_start().len();
        let end = begin + text.trim_ascii().len();
        let (Ok(begin), Ok(end)) = (u32::try_from(begin), u32::try_from(end)) else { return Err(Stop::Odd) };
        if let Some(place) = self.members.get_mut(member as usize) {
            *place = Place { begin, end };
        }
        Ok(())
    }
}

/// The containers that are open: one bit each, the innermost lowest, 1 for an object.
#[derive(Default)]
struct Open {
    kinds: u64,
    depth: u32,
}

impl Open {
    #[inline(always)]
    fn in_object(&self) -> bool {
        self.kinds & 1 == 1
    }

    #[inline(always)]
    fn push(&mut self, object: bool) -> Result<(), Stop> {
        self.kinds = self.kinds << 1 | u64::from(object);
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Stop::Odd) } else { Ok(()) }
    }

    /// Closes the innermost; `true` if it was the last.
    #[inline(always)]
    fn pop(&mut self) -> bool {
        self.kinds >>= 1;
        self.depth -= 1;
        self.depth == 0
    }
}

/// The tokens of the bytes, block by block.
struct Tokens<'a, S> {
    simd: S,
    bytes: &'a [u8],
    blocks: Blocks,
    block: Block,
    /// Where the block begins.
    base: usize,
    /// The tokens of the block that are still to come.
    left: u64,
    has_lines: bool,
}

impl<'a, S: Simd> Tokens<'a, S> {
    #[inline(always)]
    fn new(simd: S, bytes: &'a [u8]) -> Self {
        let mut blocks = Blocks::default();
        let block = blocks.next(simd, bytes, 0);
        Self { simd, bytes, blocks, left: block.tokens, block, base: 0, has_lines: false }
    }

    /// Where the next token begins.
    #[inline(always)]
    fn next(&mut self) -> Result<usize, Stop> {
        while self.left == 0 {
            self.refill()?;
        }
        let at = self.left.trailing_zeros() as usize;
        self.left &= self.left - 1;
        Ok(self.base + at)
    }

    #[inline(always)]
    fn refill(&mut self) -> Result<(), Stop> {
        if !self.block.is_valid(u64::MAX, self.bytes, self.base) {
            return Err(Stop::Odd);
        }
        self.has_lines |= self.block.lines != 0;
        self.base += BLOCK;
        if self.base >= self.bytes.len() {
            return Err(Stop::Cut);
        }
        self.block = self.blocks.next(self.simd, self.bytes, self.base);
        self.left = self.block.tokens;
        Ok(())
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(b' ')
    }

    /// The object ends with the token at `at`.
    #[inline(always)]
    fn end(&self, at: usize, object: &mut Object) -> Result<(), Stop> {
        let among = u64::MAX >> (BLOCK - 1 - (at - self.base));
        if !self.block.is_valid(among, self.bytes, self.base) {
            return Err(Stop::Odd);
        }
        object.bytes = at + 1;
        object.has_lines = self.has_lines || self.block.lines & among != 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
