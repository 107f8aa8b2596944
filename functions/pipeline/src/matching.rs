//! Which input a record belongs to: by the `input` that the API echoes in it.

use foldhash::fast::FixedState;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use crate::canonical::{canonical, fingerprint, loose};

/// The inputs of one slice, ready to be found.
pub struct Matcher {
    /// Canonical JSON of an input → its position.
    exact: BTreeMap<u128, u32>,
    /// One field with its type-blind value → the positions of the inputs that have it.
    fields: BTreeMap<u128, Vec<u32>>,
    /// Echoes as they are spelt → the inputs that they are exactly equal to: most records spell their echo as the input was sent, or like
    /// one before, and then nothing has to be parsed.
    spelt: Spelt,
    /// How many fields each input has.
    sizes: Vec<usize>,
    /// What echoes that are not exactly equal came to, so that a collector which adds a field costs one search per input.
    known: BTreeMap<u128, Option<u32>>,
}

/// Bound of the caches: a collection of foreign records must not fill the memory.
const KNOWN_MAX: usize = 20_000;
/// Longer echoes are parsed every time.
const SPELT_BYTES_MAX: usize = 1_000;

#[expect(
    clippy::disallowed_types,
    reason = "it is asked for every record and never gone through, and its hashes have no random key"
)]
type Spelt = std::collections::HashMap<Box<str>, u32, FixedState>;

impl Matcher {
    /// Indexes the inputs, given as JSON text.
    pub fn new<'a>(inputs: impl Iterator<Item = &'a str>) -> Self {
        let mut matcher = Self {
            exact: BTreeMap::new(),
            fields: BTreeMap::new(),
            spelt: Spelt::default(),
            sizes: Vec::new(),
            known: BTreeMap::new(),
        };
        for (position, input) in (0_u32..).zip(inputs) {
            if let Ok(text) = canonical(input) {
                let position = *matcher.exact.entry(fingerprint(&text)).or_insert(position);
                matcher.spell(input, position);
            }
            let fields = fields(input);
            matcher.sizes.push(fields.len());
            for field in fields {
                matcher.fields.entry(field).or_default().push(position);
            }
        }
        matcher
    }

    /// The position of the input that a record with this echo belongs to. Equal canonical JSON wins; else the one input whose every
    /// field is in the echo, types aside (`5` is `"5"`), if exactly one fits best. A record without an echo can only belong to the
    /// only input.
    pub fn find(&mut self, echo: Option<&str>) -> Option<u32> {
        let Some(echo) = echo else { return (self.sizes.len() == 1).then_some(0) };
        if let Some(position) = self.spelt.get(echo) {
            return Some(*position);
        }
        let text = fingerprint(&canonical(echo).ok()?);
        if let Some(position) = self.exact.get(&text) {
            let position = *position;
            self.spell(echo, position);
            return Some(position);
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

    /// Remembers that an echo which is spelt so belongs to this input.
    fn spell(&mut self, echo: &str, position: u32) {
        if self.spelt.len() < KNOWN_MAX && echo.len() <= SPELT_BYTES_MAX {
            self.spelt.insert(echo.into(), position);
        }
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
