//! Tables of the README that must say what the code does.

use std::collections::BTreeMap;

use pipeline::decisions::TABLE;

const README: &str = include_str!("../../README.md");

#[test]
fn the_readme_says_what_is_triggered_again() {
    let section = README.split("### What is triggered again").nth(1).and_then(|text| text.split("\n## ").next());
    let rows = section.expect("the section").lines().filter(|line| line.starts_with("| `"));
    let mut told: BTreeMap<&str, &str> = BTreeMap::new();
    for row in rows {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let (codes, again) = (cells.next().expect("codes"), cells.next().expect("what follows"));
        let decision = again.split(':').next().unwrap_or(again);
        told.extend(codes.split('`').skip(1).step_by(2).map(|code| (code, decision)));
    }
    for (code, decision) in &TABLE {
        assert_eq!(told.remove(*code), Some(decision.to_string().as_str()), "{code}");
    }
    assert!(told.is_empty(), "the code knows nothing of {told:?}");
}
