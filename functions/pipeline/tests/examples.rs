//! The files in `examples/` are what their README says.

use std::collections::BTreeSet;

use pipeline::canonical::{canonical, fingerprint};
use pipeline::inputs::{FileFormat, ReadLimits, RowReader};

/// Rows, rejected rows and duplicates of a file.
fn count(key: &str, bytes: &[u8]) -> (usize, usize, usize) {
    let Ok(format) = FileFormat::from_key(key) else { panic!("{key}") };
    let mut reader = RowReader::new(&format, ReadLimits::default());
    assert_eq!(reader.push(bytes), Ok(()), "{key}");
    let mut rows: Vec<_> = std::iter::from_fn(|| reader.next_row()).collect();
    assert_eq!(reader.finish(), Ok(()), "{key}");
    rows.extend(std::iter::from_fn(|| reader.next_row()));
    let good: Vec<&String> = rows.iter().filter_map(|row| row.input.as_ref().ok()).collect();
    let different: BTreeSet<u128> =
        good.iter().filter_map(|input| canonical(input).ok()).map(|text| fingerprint(&text)).collect();
    (rows.len(), rows.len() - good.len(), good.len() - different.len())
}

#[test]
fn examples_are_what_their_readme_says() {
    assert_eq!(count("products.csv", include_bytes!("../../../examples/products.csv")), (296, 2, 4));
    assert_eq!(count("products.csv.gz", include_bytes!("../../../examples/products.csv.gz")), (40, 0, 0));
    assert_eq!(count("urls.txt", include_bytes!("../../../examples/urls.txt")), (40, 0, 0));
    assert_eq!(count("keywords.tsv", include_bytes!("../../../examples/keywords.tsv")), (24, 0, 0));
    assert_eq!(count("hotels.json", include_bytes!("../../../examples/hotels.json")), (30, 0, 0));
    assert_eq!(count("listings.ndjson", include_bytes!("../../../examples/listings.ndjson")), (60, 0, 0));
}
