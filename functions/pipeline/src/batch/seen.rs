//! Which inputs a file has had so far.

#![expect(clippy::disallowed_types, reason = "nothing goes through these sets in their order")]

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// A set that doubles holds its old and its new table for a moment. Many small ones do that one after the other, so that the memory of
/// a million inputs never peaks at half as much again.
const PARTS: usize = 256;

/// The fingerprints of inputs: 19 to 39 bytes each.
pub(super) struct Seen(Vec<HashSet<u128, BuildHasherDefault<AsItIs>>>);

impl Default for Seen {
    fn default() -> Self {
        Self(std::iter::repeat_with(HashSet::default).take(PARTS).collect())
    }
}

impl Seen {
    /// Whether it is the first of its kind.
    pub(super) fn insert(&mut self, fingerprint: u128) -> bool {
        // The highest bits choose the part; within it the lowest 64 say the place.
        let part = (fingerprint >> 120) as usize % PARTS;
        self.0.get_mut(part).is_some_and(|part| part.insert(fingerprint))
    }
}

/// A fingerprint is a hash already, and nobody can choose it (SHA-256).
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::fingerprint;

    #[test]
    fn each_is_new_once() {
        let mut seen = Seen::default();
        let all = || (0..20_000).map(|n: u32| fingerprint(&n.to_string()));
        assert!(all().all(|fingerprint| seen.insert(fingerprint)));
        assert!(!all().any(|fingerprint| seen.insert(fingerprint)));
        // Neighbours, which share what chooses the part, and what says the place.
        assert!(seen.insert(1) && seen.insert(1 << 64) && seen.insert(2) && !seen.insert(1));
    }
}
