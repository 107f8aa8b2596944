//! Which byte may stand behind which, for 64 of them at a time.

use super::Stop;
use super::blocks::{BLOCK, Block};

/// The containers that are open: one bit each, the innermost lowest, 1 for an object; above them a 1.
#[derive(Debug)]
pub(super) struct Open(u64);

/// No container.
const NONE: u64 = 0b1;
/// The outermost object and nothing in it.
const OUTERMOST: u64 = NONE << 1 | 1;
/// As deep as the bits reach. Deeper nesting is [`Seen::Odd`](super::Seen::Odd).
const DEEPEST: u64 = 1 << 63;

/// How the brackets of a block nest.
#[derive(Debug)]
pub(super) struct Nesting {
    opening: u64,
    closing: u64,
    /// Those of objects.
    curly: u64,
    /// Bytes whose innermost container is an array.
    in_arrays: u64,
    /// Bytes whose only container is the outermost object.
    pub(super) outermost: u64,
    /// Bytes up to the end of the outermost object: all, as long as it goes on.
    pub(super) among: u64,
    /// The outermost object ends with the last of them.
    pub(super) ended: bool,
}

impl Nesting {
    /// The last byte of the outermost object, if it is here.
    #[inline(always)]
    pub(super) fn last(&self) -> u64 {
        if self.ended { self.among ^ self.among >> 1 } else { 0 }
    }
}

impl Default for Open {
    fn default() -> Self {
        Self(NONE)
    }
}

impl Open {
    /// Opens and closes what the block does.
    #[inline(always)]
    pub(super) fn follow(&mut self, block: &Block, bytes: &[u8], base: usize) -> Result<Nesting, Stop> {
        let (mut in_array, mut outermost) = (self.in_array(), self.is_outermost());
        let (in_arrays, among) = (in_array, u64::MAX);
        let mut nesting = Nesting { opening: 0, closing: 0, curly: 0, in_arrays, outermost, among, ended: false };
        let mut brackets = block.brackets;
        while brackets != 0 {
            let at = brackets.trailing_zeros() as usize;
            brackets &= brackets - 1;
            let byte = bytes.get(base + at).copied().unwrap_or_default();
            let curly = u64::from(byte >> 5 & 1);
            nesting.curly |= curly << at;
            // `{` and `[` have one of these bits, `}` and `]` the other; what looks like a bracket and is none has both or neither.
            match byte & 0b110 {
                0b010 if self.0 < DEEPEST => {
                    nesting.opening |= 1 << at;
                    self.0 = self.0 << 1 | curly;
                }
                0b100 if self.0 & 1 == curly && !is_behind_comma(bytes, base + at) => {
                    nesting.closing |= 1 << at;
                    self.0 >>= 1;
                    if self.0 == NONE {
                        nesting.among = u64::MAX >> (BLOCK - 1 - at);
                        nesting.ended = true;
                        break;
                    }
                }
                _ => return Err(Stop::Odd),
            }
            let behind = u64::MAX << at;
            let before = (in_array, outermost);
            (in_array, outermost) = (self.in_array(), self.is_outermost());
            nesting.in_arrays ^= behind & (before.0 ^ in_array);
            nesting.outermost ^= behind & (before.1 ^ outermost);
        }
        Ok(nesting)
    }

    /// All ones or none.
    #[inline(always)]
    fn in_array(&self) -> u64 {
        (self.0 & 1).wrapping_sub(1)
    }

    /// All ones or none.
    #[inline(always)]
    fn is_outermost(&self) -> u64 {
        0_u64.wrapping_sub(u64::from(self.0 == OUTERMOST))
    }
}

/// Whether a comma is the last byte before the one at `at`, white space left out.
#[inline(always)]
fn is_behind_comma(bytes: &[u8], at: usize) -> bool {
    bytes.get(..at).unwrap_or_default().trim_ascii_end().last() == Some(&b',')
}

/// What the next block has to begin with: 1 where the last byte of the block before, white space left out, was such a byte.
#[derive(Debug, Default)]
pub(super) struct Grammar {
    name_comes: u64,
    value_comes: u64,
    name: u64,
    value: u64,
    /// 1 when the last byte was part of a name.
    in_name: u64,
    /// 1 when the last byte was part of a number or a word.
    in_scalar: u64,
}

/// Where a block's tokens of interest are, and what is wrong with it.
pub(super) struct Checked {
    /// Opening quotes of names.
    pub(super) names: u64,
    /// First bytes of numbers and words, which are still to be looked at.
    pub(super) scalars: u64,
    /// Bytes that cannot stand where they do.
    pub(super) misplaced: u64,
}

impl Grammar {
    #[inline(always)]
    pub(super) fn check(&mut self, block: &Block, nesting: &Nesting) -> Checked {
        // Most JSON that is not made for people has no white space.
        if block.spaces == 0 {
            self.check_with(behind, block, nesting)
        } else {
            self.check_with(behind_spaces, block, nesting)
        }
    }

    #[inline(always)]
    fn check_with(&mut self, behind: impl Fn(u64, u64, &mut u64) -> u64, block: &Block, nesting: &Nesting) -> Checked {
        let Block { strings, quotes, commas, colons, scalars, spaces, .. } = *block;
        let Nesting { opening, closing, curly, in_arrays, .. } = *nesting;
        let begin_string = quotes & strings;
        let end_string = quotes & !strings;

        let name_comes = behind(opening & curly | commas & !in_arrays, spaces, &mut self.name_comes);
        let names = begin_string & name_comes;
        // Adding its first bit to a run of ones leaves a one behind it: where a string ends that is a name.
        let (ends, over) = strings.overflowing_add(names | self.in_name);
        self.in_name = u64::from(over);
        let end_name = ends & end_string;

        let value_comes = behind(colons | opening & !curly | commas & in_arrays, spaces, &mut self.value_comes);
        let after_name = behind(end_name, spaces, &mut self.name);
        let after_value = behind(end_string ^ end_name | scalars | closing, spaces, &mut self.value);
        let goes_on = scalars & (scalars << 1 | self.in_scalar);
        self.in_scalar = scalars >> 63;
        let begin_scalar = scalars ^ goes_on;

        // An empty container closes where something may come. That nothing closes behind a comma, and by which bracket, is known already.
        let misplaced = name_comes & !(begin_string | closing)
            | value_comes & !(begin_string | begin_scalar | opening | closing & !curly)
            | after_name ^ colons
            | after_value & !(commas | closing | goes_on);
        Checked { names, scalars: begin_scalar, misplaced }
    }
}

/// The bytes behind those of `bits`, in a block without white space. What lies behind the block is carried to the next one.
#[inline(always)]
fn behind(bits: u64, _: u64, carry: &mut u64) -> u64 {
    let next = bits << 1 | *carry;
    *carry = bits >> 63;
    next
}

/// The bytes behind those of `bits`, white space left out.
#[inline(always)]
fn behind_spaces(bits: u64, spaces: u64, carry: &mut u64) -> u64 {
    let next = bits << 1 | *carry;
    // White space that begins behind one of them is a run of ones; adding its first bit leaves a one behind it.
    let (ends, over) = spaces.overflowing_add(next & spaces);
    *carry = bits >> 63 | u64::from(over);
    (next | ends) & !spaces
}
