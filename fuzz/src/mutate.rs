//! Cases made of other cases, for a run that no coverage guides: bits are flipped, parts dropped, doubled and spliced, words put in.

/// Longest case; what needs more than that to show is not found by chance.
const BYTES_MAX: usize = 4_096;

/// Numbers that follow from a seed (SplitMix64).
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A part of `length` bytes, mostly a short one.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let most = if self.below(4) == 0 { length } else { 16 };
        start..(start + 1 + self.below(most)).min(length)
    }
}

/// A case made of the corpus.
pub fn mutated(random: &mut Random, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let pick = |random: &mut Random| corpus.get(random.below(corpus.len())).cloned().unwrap_or_default();
    let mut case = pick(random);
    for _ in 0..=random.below(6) {
        step(random, &mut case, &pick, words);
    }
    case.truncate(BYTES_MAX);
    case
}

fn step(random: &mut Random, case: &mut Vec<u8>, pick: &dyn Fn(&mut Random) -> Vec<u8>, words: &[&str]) {
    let at = random.below(case.len() + 1);
    let part = random.part(case.len());
    match random.below(12) {
        0 => {
            if let Some(byte) = case.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = case.get_mut(at) {
                *byte = random.next() as u8;
            }
        }
        2 => case.insert(at, random.next() as u8),
        3 => case.truncate(at),
        4 => drop(case.drain(part)),
        5 => {
            let doubled: Vec<u8> = case.drain(part.clone()).collect();
            let twice = [doubled.as_slice(), &doubled].concat();
            drop(case.splice(part.start..part.start, twice));
        }
        6 => {
            let moved: Vec<u8> = case.get(part).unwrap_or_default().to_vec();
            drop(case.splice(at..at, moved));
        }
        7 => {
            let other = pick(random);
            case.truncate(at);
            case.extend_from_slice(other.get(random.below(other.len() + 1)..).unwrap_or_default());
        }
        8 => {
            let other = pick(random);
            let inserted = other.get(random.part(other.len())).unwrap_or_default().to_vec();
            drop(case.splice(at..at, inserted));
        }
        9 if case.len() < BYTES_MAX => {
            let word = words.get(random.below(words.len())).copied().unwrap_or_default();
            let times = if random.below(16) == 0 { 1 + random.below(200) } else { 1 };
            drop(case.splice(at..at, word.repeat(times).into_bytes()));
        }
        _ => {
            let word = words.get(random.below(words.len())).copied().unwrap_or_default();
            drop(case.splice(part, word.bytes()));
        }
    }
}

/// The case with everything left away that is not needed for `fails`.
pub fn least(case: &[u8], fails: &dyn Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut least = case.to_vec();
    let mut length = least.len();
    while length > 0 {
        let mut at = 0;
        while at < least.len() {
            let mut shorter = least.clone();
            shorter.drain(at..(at + length).min(least.len()));
            if fails(&shorter) {
                least = shorter;
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    least
}
