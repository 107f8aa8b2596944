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
    /// 1 when the last byte of the block before was part of a number or a word.
    in_scalar: u64,
}

/// The masks of one block; bit `n` is its byte `n`.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Quotes that begin a string, punctuation, and first bytes of numbers and words.
    pub(super) tokens: u64,
    /// Line ends outside strings.
    pub(super) lines: u64,
    /// Backslashes that escape something.
    escapes: u64,
    /// Control characters in strings.
    controls: u64,
}

impl Blocks {
    /// The block of `bytes` that begins at `base`. Behind their end stand spaces.
    #[inline(always)]
    pub(super) fn next<S: Simd>(&mut self, simd: S, bytes: &[u8], base: usize) -> Block {
        let rest = bytes.get(base..).unwrap_or_default();
        match rest.first_chunk::<BLOCK>() {
            Some(block) => self.masks(Lanes(u8x64::simd_from(simd, *block))),
            None => {
                let mut block = [b' '; BLOCK];
                block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                self.masks(Lanes(u8x64::simd_from(simd, block)))
            }
        }
    }

    #[inline(always)]
    fn masks<S: Simd>(&mut self, lanes: Lanes<S>) -> Block {
        if self.in_string == u64::MAX && lanes.is_plain_text() {
            self.escaped = 0;
            return Block::default();
        }
        let (escapes, escaped) = self.escapes(&lanes);
        let quotes = lanes.equal(b'"') & !escaped;
        let in_string = prefix_xor(quotes) ^ self.in_string;
        let low = lanes.low();
        self.in_string = 0_u64.wrapping_sub(in_string >> 63);
        let marks = lanes.marks() & !in_string;
        // The closing quote is not in the string any more.
        let others = !(marks | quotes | in_string);
        let (begins, lines) = if others == 0 {
            self.in_scalar = 0;
            (0, 0)
        } else {
            self.others(&lanes, others, low)
        };
        Block {
            tokens: marks | quotes & in_string | begins,
            lines,
            escapes: escapes & in_string,
            controls: low & in_string,
        }
    }

    /// Where numbers and words begin, and the line ends, among bytes that are neither in strings nor punctuation.
    #[inline(always)]
    fn others<S: Simd>(&mut self, lanes: &Lanes<S>, others: u64, low: u64) -> (u64, u64) {
        // Most JSON has no other white space than spaces.
        let lines = if low == 0 { 0 } else { lanes.equal(b'\n') | lanes.equal(b'\r') };
        let tabs = if low == 0 { 0 } else { lanes.equal(b'\t') };
        let scalars = others & !(lanes.equal(b' ') | lines | tabs);
        let begins = scalars & !(scalars << 1 | self.in_scalar);
        self.in_scalar = scalars >> 63;
        (begins, lines & others)
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
    /// Whether the strings among these bytes hold nothing that a string cannot hold.
    #[inline(always)]
    pub(super) fn is_valid(&self, among: u64, bytes: &[u8], base: usize) -> bool {
        let mut escapes = self.escapes & among;
        while escapes != 0 {
            let behind = base + escapes.trailing_zeros() as usize + 1;
            if !is_escape(bytes.get(behind..).unwrap_or_default()) {
                return false;
            }
            escapes &= escapes - 1;
        }
        self.controls & among == 0
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

    /// Punctuation.
    #[inline(always)]
    fn marks(&self) -> u64 {
        // All four brackets, and `Y`, `_`, `y` and DEL, which stand nowhere outside strings, have these bits in common.
        let brackets = (self.0 | 0x26).simd_eq(0x7F);
        (brackets | self.0.simd_eq(b',') | self.0.simd_eq(b':')).to_bitmask()
    }

    /// Whether nothing among the bytes matters inside a string: the middle of a long text.
    #[inline(always)]
    fn is_plain_text(&self) -> bool {
        !(self.0.simd_eq(b'"') | self.0.simd_eq(b'\\') | self.0.simd_lt(b' ')).any_true()
    }

    /// Control characters.
    #[inline(always)]
    fn low(&self) -> u64 {
        let low = self.0.simd_lt(b' ');
        if low.any_true() { low.to_bitmask() } else { 0 }
    }
}
