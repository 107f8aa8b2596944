//! 64 bytes at a time, as bit masks.

use fearless_simd::{Simd, SimdBase, SimdFrom, SimdMask, u8x64};

/// Bytes of a block: one bit each.
pub(super) const BLOCK: usize = 64;

/// What is carried from one block to the next.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// All ones inside a string.
    in_string: u64,
    /// 1 when the first byte of the next block is escaped.
    escaped: u64,
}

/// The masks of one block; bit `n` is its byte `n`.
#[derive(Debug)]
pub(super) struct Block {
    /// Strings: from the opening quote up to before the closing one.
    pub(super) strings: u64,
    /// Quotes that open or close a string.
    pub(super) quotes: u64,
    pub(super) commas: u64,
    pub(super) colons: u64,
    /// All four, and some bytes that stand nowhere outside strings.
    pub(super) brackets: u64,
    /// What is left: numbers, words, and whatever has no place in JSON.
    pub(super) scalars: u64,
    /// White space outside strings.
    pub(super) spaces: u64,
    /// Line ends outside strings.
    pub(super) lines: u64,
    /// Bytes with which a name of interest may begin.
    pub(super) initials: u64,
    /// Backslashes that escape something.
    escapes: u64,
    /// Control characters in strings.
    pub(super) controls: u64,
}

impl Blocks {
    /// The block of `bytes` that begins at `base`, behind whose end stand spaces. `None`: all of it is text in the middle of a string.
    #[inline(always)]
    pub(super) fn next<S: Simd>(&mut self, simd: S, bytes: &[u8], base: usize) -> Option<Block> {
        let rest = bytes.get(base..).unwrap_or_default();
        match rest.first_chunk::<BLOCK>() {
            Some(block) => self.masks(&Lanes(u8x64::simd_from(simd, *block))),
            None => {
                let mut block = [b' '; BLOCK];
                block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                self.masks(&Lanes(u8x64::simd_from(simd, block)))
            }
        }
    }

    #[inline(always)]
    fn masks<S: Simd>(&mut self, lanes: &Lanes<S>) -> Option<Block> {
        if self.in_string == u64::MAX && lanes.is_plain_text() {
            self.escaped = 0;
            return None;
        }
        let (escapes, escaped) = self.escapes(lanes);
        let quotes = lanes.equal(b'"') & !escaped;
        let strings = prefix_xor(quotes) ^ self.in_string;
        self.in_string = 0_u64.wrapping_sub(strings >> 63);
        let (commas, colons, brackets) =
            (lanes.equal(b',') & !strings, lanes.equal(b':') & !strings, lanes.brackets() & !strings);
        // A closing quote is not in its string.
        let others = !(strings | quotes | commas | colons | brackets);
        // Most JSON has no other white space than spaces.
        let mut spaces = if others == 0 { 0 } else { lanes.equal(b' ') };
        let (mut lines, mut controls) = (0, 0);
        if lanes.has_controls() {
            lines = lanes.equal(b'\n') | lanes.equal(b'\r');
            spaces |= lines | lanes.equal(b'\t');
            controls = lanes.controls();
        }
        Some(Block {
            strings,
            quotes,
            commas,
            colons,
            brackets,
            scalars: others & !spaces,
            spaces: others & spaces,
            lines: others & lines,
            initials: lanes.initials() | escapes,
            escapes: escapes & strings,
            controls: controls & strings,
        })
    }

    /// Backslashes that escape the byte behind them, and the bytes that are escaped.
    #[inline(always)]
    fn escapes<S: Simd>(&mut self, lanes: &Lanes<S>) -> (u64, u64) {
        /// Every second bit: a run of backslashes pairs up from where it begins.
        const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
        if !lanes.has(b'\\') {
            return (0, std::mem::take(&mut self.escaped));
        }
        let backslashes = lanes.equal(b'\\');
        let candidates = backslashes & !self.escaped;
        let behind = candidates << 1 | ODD;
        let paired = behind.wrapping_sub(candidates) ^ ODD;
        let escaped = paired ^ (backslashes | self.escaped);
        let escapes = paired & backslashes;
        self.escaped = escapes >> 63;
        (escapes, escaped)
    }
}

impl Block {
    /// Whether what is escaped among these bytes can be.
    #[inline(always)]
    pub(super) fn has_valid_escapes(&self, among: u64, bytes: &[u8], base: usize) -> bool {
        let mut escapes = self.escapes & among;
        while escapes != 0 {
            let behind = base + escapes.trailing_zeros() as usize + 1;
            if !is_escape(bytes.get(behind..).unwrap_or_default()) {
                return false;
            }
            escapes &= escapes - 1;
        }
        true
    }
}

/// What may stand behind a backslash. At the end of the bytes everything may: the object is cut, and is looked at again.
fn is_escape(bytes: &[u8]) -> bool {
    match bytes {
        [b'u', digits @ ..] => digits.iter().take(4).all(u8::is_ascii_hexdigit),
        [byte, ..] => matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'),
        [] => true,
    }
}

/// Bit n is the parity of the bits 0 to n: ones from an opening quote up to before the closing one.
#[inline(always)]
fn prefix_xor(bits: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].into_iter().fold(bits, |bits, shift| bits ^ bits << shift)
}

/// The block as one vector, in as many registers as the processor needs for it.
struct Lanes<S: Simd>(u8x64<S>);

impl<S: Simd> Lanes<S> {
    #[inline(always)]
    fn equal(&self, byte: u8) -> u64 {
        self.0.simd_eq(byte).to_bitmask()
    }

    /// Whether any byte is this one: cheaper than asking which.
    #[inline(always)]
    fn has(&self, byte: u8) -> bool {
        self.0.simd_eq(byte).any_true()
    }

    /// All four brackets, and `Y`, `_`, `y` and DEL, which have these bits in common with them.
    #[inline(always)]
    fn brackets(&self) -> u64 {
        (self.0 | 0x26).simd_eq(0x7F).to_bitmask()
    }

    /// The first letters of [`Member`](super::Member)'s names.
    #[inline(always)]
    fn initials(&self) -> u64 {
        (self.0.simd_eq(b'i') | self.0.simd_eq(b'e') | self.0.simd_eq(b'w')).to_bitmask()
    }

    /// Whether nothing among the bytes matters inside a string: the middle of a long text.
    #[inline(always)]
    fn is_plain_text(&self) -> bool {
        !(self.0.simd_eq(b'"') | self.0.simd_eq(b'\\') | self.0.simd_lt(b' ')).any_true()
    }

    #[inline(always)]
    fn has_controls(&self) -> bool {
        self.0.simd_lt(b' ').any_true()
    }

    #[inline(always)]
    fn controls(&self) -> u64 {
        self.0.simd_lt(b' ').to_bitmask()
    }
}
