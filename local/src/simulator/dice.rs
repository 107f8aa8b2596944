//! Randomness without state: every throw is a hash of the seed, a purpose and what it is about, so that the same things
//! happen to the same input whatever else is asked in between.

/// A hash in the making, and a throw once it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64, purpose: &str) -> Self {
        Self(mix(seed ^ 0x9e37_79b9_7f4a_7c15)).text(purpose)
    }

    /// Adds a text (FNV-1a, then mixed).
    pub(super) fn text(self, text: &str) -> Self {
        let hash = text.bytes().fold(self.0 ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(mix(hash))
    }

    /// Adds a number.
    pub(super) fn number(self, number: u64) -> Self {
        Self(mix(self.0 ^ mix(number.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    pub(super) fn value(self) -> u64 {
        self.0
    }

    /// A number in [0, 1).
    pub(super) fn unit(self) -> f64 {
        // The upper 53 bits are what a double holds exactly.
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn chance(self, rate: f64) -> bool {
        self.unit() < rate
    }

    /// A number below `n`; 0 if `n` is 0.
    pub(super) fn below(self, n: u64) -> u64 {
        self.0.checked_rem(n).unwrap_or(0)
    }

    /// Lower-case base 36, as in the API's own ids.
    pub(super) fn name(self, length: usize) -> String {
        let mut state = self;
        let mut name = String::with_capacity(length);
        for position in 0..length {
            state = state.number(position as u64);
            name.push(char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[state.below(36) as usize]));
        }
        name
    }
}

/// The finaliser of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A permutation of `0..n` that needs no memory: a Feistel network over the next even power of two, walked until the
/// result falls below `n`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permutation {
    n: u64,
    half_bits: u32,
    dice: Dice,
}

impl Permutation {
    pub(super) fn new(n: u64, dice: Dice) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        Self { n, half_bits: bits.div_ceil(2).max(1), dice }
    }

    pub(super) fn at(&self, index: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let mut x = index;
        loop {
            let (mut left, mut right) = (x >> self.half_bits, x & mask);
            for round in 0..4 {
                (left, right) = (right, left ^ (self.dice.number(round).number(right).value() & mask));
            }
            x = (left << self.half_bits) | right;
            if x < self.n {
                return x;
            }
        }
    }
}
