//! What somebody may have meant who wrote a name that is not there.

/// Names are alike from here on: one of five letters may be wrong.
const ALIKE: f64 = 0.7;
/// A beginning of so many letters is enough.
const BEGINNING_MIN: usize = 4;

/// The name that is most like the wanted one, if any is: it may lack folders or its end, or have letters wrong.
pub fn nearest(wanted: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let likeness = |name: &str| {
        let whole = name.strip_suffix(wanted).is_some_and(|folders| folders.ends_with('/'));
        let begun = wanted.chars().count() >= BEGINNING_MIN && name.starts_with(wanted);
        let letters = |name: &str| strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &wanted.to_lowercase());
        let last = name.rsplit('/').next().unwrap_or(name);
        if whole || begun { 1.0 } else { letters(name).max(letters(last)) }
    };
    let alike = names.into_iter().map(|name| (likeness(&name), name)).filter(|(likeness, _)| *likeness >= ALIKE);
    // Of equal ones the first.
    alike.reduce(|best, other| if other.0 > best.0 { other } else { best }).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_found_and_nothing_else() {
        let names = ["urls.txt", "products.csv", "shop/2026/products.csv", "6f782124d760af17"].map(str::to_owned);
        for (wanted, meant) in [
            ("url.txt", Some("urls.txt")),
            ("URLS.txt", Some("urls.txt")),
            ("ulrs.txt", Some("urls.txt")),
            ("prodcuts.csv", Some("products.csv")),
            ("2026/products.csv", Some("shop/2026/products.csv")),
            ("6f78", Some("6f782124d760af17")),
            ("6f782124d760af71", Some("6f782124d760af17")),
            ("hotels.json", None),
            ("u", None),
            ("", None),
        ] {
            assert_eq!(nearest(wanted, names.clone()).as_deref(), meant, "{wanted}");
        }
    }
}
