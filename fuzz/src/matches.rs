//! Which input a record belongs to.

use std::collections::BTreeMap;

use pipeline::canonical::{canonical, loose};
use pipeline::matching::Matcher;
use serde_json::value::RawValue;

use crate::bytes::Case;

/// Inputs, one a line and up to a blank one; then echoes, one a line.
pub fn matching(bytes: &[u8]) {
    let mut case = Case(bytes);
    let inputs: Vec<String> = case.text_until("\n\n").split('\n').take(30).map(str::to_owned).collect();
    let echoes = case.text();
    let mut matcher = Matcher::new(inputs.iter().map(String::as_str));
    assert_eq!(matcher.find(None), (inputs.len() == 1).then_some(0));
    for echo in echoes.split('\n').chain(inputs.iter().map(String::as_str)).take(60) {
        let found = matcher.find(Some(echo));
        assert_eq!(matcher.find(Some(echo)), found, "the same again");
        let mut fresh = Matcher::new(inputs.iter().map(String::as_str));
        assert_eq!(fresh.find(Some(echo)), found, "whatever was asked before");
        check(&inputs, echo, found);
    }
}

fn check(inputs: &[String], echo: &str, found: Option<u32>) {
    let Ok(text) = canonical(echo) else { return assert_eq!(found, None, "no JSON: {echo}") };
    let equal = |input: &&String| canonical(input).as_ref() == Ok(&text);
    let position = found.map(|position| position as usize);
    let Some(position) = position else {
        return assert!(!inputs.iter().any(|input| equal(&input)), "an equal input is found: {echo}");
    };
    if inputs.iter().any(|input| equal(&input)) {
        return assert!(equal(&&inputs[position]), "an equal input goes before: {echo}");
    }
    let (Some(ours), Some(theirs)) = (fields(&inputs[position]), fields(echo)) else { panic!("objects: {echo}") };
    assert!(ours.iter().all(|field| theirs.contains(field)), "the echo has every field: {echo}");
    let fit = |input: &String| fields(input).filter(|fields| fields.iter().all(|field| theirs.contains(field)));
    let others = inputs.iter().enumerate().filter(|(other, _)| *other != position);
    let rival = others.filter_map(|(_, input)| fit(input)).any(|fields| fields.len() >= ours.len());
    assert!(!rival, "exactly one fits best: {echo}");
}

/// The fields of an object with their values, types aside.
fn fields(object: &str) -> Option<Vec<(String, String)>> {
    let map = serde_json::from_str::<BTreeMap<String, &RawValue>>(object).ok()?;
    Some(map.into_iter().filter_map(|(name, value)| Some((name, loose(value.get()).ok()?))).collect())
}
