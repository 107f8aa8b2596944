//! Which input a record belongs to: by the `input` that the API echoes in it.

use std::collections::BTreeMap;

use crate::canonical::{canonical, fingerprint, loose};
use serde_json::value::RawValue;

/// The inputs of one slice, ready to be found.
pub struct Matcher {
    /// Canonical JSON of an input → its position.
    exact: BTreeMap<u128, u32>,
    /// One field with its type-blind value → the positions of the inputs that have it.
    fields: BTreeMap<u128, Vec<u32>>,
    /// Echoes as they were spelt, and the inputs that they are exactly equal to, each near the place that its hash names: most records spell
    /// their echo like one before, and then nothing has to be parsed.
    spelt: Vec<(Box<str>, u32)>,
    /// How many fields each input has.
    sizes: Vec<usize>,
    /// What echoes that are not exactly equal came to, so that a collector which adds a field costs one search per input.
    known: BTreeMap<u128, Option<u32>>,
}

/// Bound of the cache of inexact echoes: a collection of foreign records must not fill the memory.
const KNOWN_MAX: usize = 20_000;
/// Bounds of the other one. Longer echoes are parsed every time.
const SPELT_MAX: usize = 16_384;
const SPELT_BYTES_MAX: usize = 1_000;
/// How many places one spelling may have.
const PROBES: usize = 4;

enum Spelt {
    /// For this input.
    Before(u32),
    /// It may be noted there.
    First(usize),
}

impl Matcher {
    /// Indexes the inputs, given as JSON text.
    pub fn new<'a>(inputs: impl Iterator<Item = &'a str>) -> Self {
        let mut matcher = Self {
            exact: BTreeMap::new(),
            fields: BTreeMap::new(),
            spelt: Vec::new(),
            sizes: Vec::new(),
            known: BTreeMap::new(),
        };
        for (position, input) in (0_u32..).zip(inputs) {
            if let Ok(text) = canonical(input) {
                matcher.exact.insert(fingerprint(&text), position);
            }
            let fields = fields(input);
            matcher.sizes.push(fields.len());
            for field in fields {
                matcher.fields.entry(field).or_default().push(position);
            }
        }
        let places = matcher.sizes.len().saturating_mul(4).next_power_of_two().min(SPELT_MAX);
        // No JSON text is empty, so this is what a free place holds.
        matcher.spelt = vec![(Box::default(), 0); places];
        matcher
    }

    /// The position of the input that a record with this echo belongs to. Equal canonical JSON wins; else the one input whose every
    /// field is in the echo, types aside (`5` is `"5"`), if exactly one fits best. A record without an echo can only belong to the
    /// only input.
    pub fn find(&mut self, echo: Option<&str>) -> Option<u32> {
        let Some(echo) = echo else { return (self.sizes.len() == 1).then_some(0) };
        let place = match self.spelt(echo) {
            Spelt::Before(position) => return Some(position),
            Spelt::First(place) => place,
        };
        let text = fingerprint(&canonical(echo).ok()?);
        if let Some(position) = self.exact.get(&text) {
            if echo.len() <= SPELT_BYTES_MAX
                && let Some(spelt) = self.spelt.get_mut(place)
            {
                *spelt = (echo.into(), *position);
            }
            return Some(*position);
        }
        if let Some(known) = self.known.get(&text) {
            return *known;
        }
        let found = self.best(echo);
        if self.known.len() < KNOWN_MAX {
            self.known.insert(text, found);
        }
        found
    }

    /// Whether an echo was spelt like this before; if not, where to note it.
    fn spelt(&self, echo: &str) -> Spelt {
        let first = place(echo, self.spelt.len());
        for step in 0..PROBES {
            let place = (first + step) & self.spelt.len().wrapping_sub(1);
            match self.spelt.get(place) {
                Some((known, _)) if known.is_empty() => return Spelt::First(place),
                Some((known, position)) if **known == *echo => return Spelt::Before(*position),
                _ => {}
            }
        }
        Spelt::First(first)
    }

    /// The input of which the echo has every field, with the most fields, if there is exactly one.
    fn best(&self, echo: &str) -> Option<u32> {
        let mut shared: BTreeMap<u32, usize> = BTreeMap::new();
        for field in fields(echo) {
            for position in self.fields.get(&field).into_iter().flatten() {
                *shared.entry(*position).or_default() += 1;
            }
        }
        let fits =
            |(position, count): &(u32, usize)| self.sizes.get(*position as usize).is_some_and(|size| size == count);
        let mut fitting: Vec<(u32, usize)> = shared.into_iter().filter(fits).collect();
        fitting.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        match fitting.as_slice() {
            [(position, _)] => Some(*position),
            [(position, best), (_, next), ..] if best > next => Some(*position),
            _ => None,
        }
    }
}

/// A place among `places`, which are a power of two. What finds no place is only slower.
fn place(echo: &str, places: usize) -> usize {
    // A step of FNV-1a for each eight bytes.
    let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(29);
    let (words, rest) = echo.as_bytes().as_chunks::<8>();
    let hash = words.iter().fold(echo.len() as u64, |hash, word| step(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| step(hash, u64::from(*byte)));
    (hash ^ hash >> 32) as usize & places.wrapping_sub(1)
}

/// Fingerprints of `name: value` for every field of an object, types aside.
fn fields(object: &str) -> Vec<u128> {
    let Ok(map) = serde_json::from_str::<BTreeMap<String, &RawValue>>(object) else { return Vec::new() };
    map.iter()
        .filter_map(|(name, value)| Some(fingerprint(&format!("{name}\u{0}{}", loose(value.get()).ok()?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_find_their_input() {
        let inputs = [
            r#"{"url":"https://a","n":5}"#,
            r#"{"url":"https://a","n":5,"page":"2"}"#,
            r#"{"url":"https://b","n":"7"}"#,
        ];
        let mut matcher = Matcher::new(inputs.into_iter());
        for (echo, position) in [
            (r#"{"n":5, "url":"https://a"}"#, Some(0)),
            (r#"{"n":"5","url":"https://a"}"#, Some(0)),
            (r#"{"n":5.0,"url":"https://a","country":null}"#, Some(0)),
            (r#"{"n":"5","url":"https://a","page":2,"added":true}"#, Some(1)),
            (r#"{"n":7,"url":"https://b"}"#, Some(2)),
            (r#"{"url":"https://b"}"#, None),
            (r#"{"url":"https://c","n":"7"}"#, None),
            ("[]", None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(matcher.find(Some(echo)), position, "{echo}");
            assert_eq!(matcher.find(Some(echo)), position, "{echo}, again");
        }
        assert_eq!(matcher.find(None), None);
        assert_eq!(Matcher::new([r#"{"url":"x"}"#].into_iter()).find(None), Some(0));
    }

    #[test]
    fn two_inputs_that_fit_alike_are_no_match() {
        let mut matcher = Matcher::new([r#"{"a":"1"}"#, r#"{"b":"2"}"#].into_iter());
        assert_eq!(matcher.find(Some(r#"{"a":1,"b":2}"#)), None);
    }
}
