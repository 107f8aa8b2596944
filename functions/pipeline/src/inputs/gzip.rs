//! Gzip (RFC 1952) in steps of bounded size.
//!
//! The framing is read here and not by `flate2`'s readers, because they cannot be fed piece by piece without either losing the
//! bound on what one piece expands to, or the difference between a file that is cut off and one that is damaged.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::FileProblem;

/// Longer headers (file name, comment, extra field) are no gzip that a tool writes.
const HEADER_BYTES_MAX: usize = 256 * 1024;
const TRAILER_BYTES: usize = 8;

/// Expands a gzip file: one or more members, with nothing but zero bytes behind them.
pub(super) struct Gunzip {
    place: Place,
    inflate: Decompress,
    crc: Crc,
    /// The bytes of a header or trailer so far.
    held: Vec<u8>,
    members: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Body,
    Trailer,
    /// Behind a member, in zero bytes, with which some tools fill up blocks.
    Padding,
}

impl Default for Gunzip {
    fn default() -> Self {
        Self { place: Place::Header, inflate: Decompress::new(false), crc: Crc::new(), held: Vec::new(), members: 0 }
    }
}

impl Gunzip {
    /// Expands into the free capacity of `out`, and says how much of `input` was used up.
    pub(super) fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, FileProblem> {
        match self.place {
            Place::Header => self.header(input),
            Place::Body => self.body(input, out),
            Place::Trailer => self.trailer(input),
            Place::Padding => match input.iter().find(|byte| **byte != 0) {
                Some(_) => Err(garbage()),
                None => Ok(input.len()),
            },
        }
    }

    pub(super) fn finish(&self) -> Result<(), FileProblem> {
        let between = self.place == Place::Header && self.held.is_empty() && self.members > 0;
        if between || self.place == Place::Padding { Ok(()) } else { Err(FileProblem::Truncated) }
    }

    fn header(&mut self, input: &[u8]) -> Result<usize, FileProblem> {
        if self.members > 0 && self.held.is_empty() && input.first() == Some(&0) {
            self.place = Place::Padding;
            return Ok(0);
        }
        let before = self.held.len();
        self.held.extend_from_slice(input);
        match header_length(&self.held) {
            Header::Length(length) => {
                self.held.clear();
                self.inflate.reset(false);
                self.crc.reset();
                self.place = Place::Body;
                Ok(length.saturating_sub(before))
            }
            Header::Incomplete if self.held.len() <= HEADER_BYTES_MAX => Ok(input.len()),
            _ if self.members > 0 => Err(garbage()),
            _ => Err(FileProblem::NotCompressed { expected: "gzip" }),
        }
    }

    fn body(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, FileProblem> {
        let (taken_before, length_before) = (self.inflate.total_in(), out.len());
        let status = self.inflate.decompress_vec(input, out, FlushDecompress::None);
        self.crc.update(out.get(length_before..).unwrap_or_default());
        match status {
            Ok(Status::StreamEnd) => self.place = Place::Trailer,
            Ok(Status::Ok | Status::BufError) => {}
            Err(error) => return Err(FileProblem::Damaged { reason: error.to_string() }),
        }
        Ok(usize::try_from(self.inflate.total_in() - taken_before).unwrap_or(input.len()))
    }

    fn trailer(&mut self, input: &[u8]) -> Result<usize, FileProblem> {
        let part = input.get(..TRAILER_BYTES - self.held.len()).unwrap_or(input);
        self.held.extend_from_slice(part);
        if let [a, b, c, d, e, f, g, h] = *self.held.as_slice() {
            let (sum, length) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            if sum != self.crc.sum() || length != self.crc.amount() {
                return Err(FileProblem::Damaged { reason: "its checksum is wrong".to_owned() });
            }
            self.held.clear();
            self.members += 1;
            self.place = Place::Header;
        }
        Ok(part.len())
    }
}

enum Header {
    Length(usize),
    Incomplete,
    Wrong,
}

/// How long the member header is with which these bytes begin (RFC 1952, section 2.3).
fn header_length(bytes: &[u8]) -> Header {
    const MAGIC_AND_METHOD: [u8; 3] = [0x1F, 0x8B, 8];
    const CHECKSUM: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const RESERVED: u8 = 0xE0;
    let is_gzip = MAGIC_AND_METHOD.iter().zip(bytes).all(|(want, have)| want == have);
    let flags = bytes.get(3).copied().unwrap_or(0);
    if !is_gzip || flags & RESERVED != 0 {
        return Header::Wrong;
    }
    let mut length = 10;
    if flags & EXTRA != 0 {
        let Some([low, high]) = bytes.get(length..length + 2) else { return Header::Incomplete };
        length += 2 + usize::from(u16::from_le_bytes([*low, *high]));
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let rest = bytes.get(length..).unwrap_or_default();
            let Some(end) = memchr::memchr(0, rest) else { return Header::Incomplete };
            length += end + 1;
        }
    }
    if flags & CHECKSUM != 0 {
        length += 2;
    }
    if bytes.len() < length { Header::Incomplete } else { Header::Length(length) }
}

fn garbage() -> FileProblem {
    FileProblem::TrailingGarbage { expected: "gzip" }
}
