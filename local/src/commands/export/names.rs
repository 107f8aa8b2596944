//! Names of columns.

use std::collections::HashSet;

/// Name of the column for records that are kept whole.
pub(super) const WHOLE: &str = "value";

/// Names for columns that are beside each other. Query engines do not tell upper and lower case apart, so whoever comes second gets a number, and
/// they want a name where there is none.
pub(super) fn names<'a>(fields: impl Iterator<Item = &'a str>, reserved: Option<&str>) -> Vec<String> {
    let fields: Vec<&str> = fields.map(|name| if name.is_empty() { "_" } else { name }).collect();
    let mut taken: HashSet<String> = reserved.map(str::to_owned).into_iter().collect();
    let given: HashSet<String> = fields.iter().map(|name| name.to_lowercase()).collect();
    let mut named = Vec::new();
    for name in fields {
        let numbered =
            (2..).map(|number| format!("{name}_{number}")).filter(|name| !given.contains(&name.to_lowercase()));
        let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| taken.insert(name.to_lowercase()));
        named.extend(free);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_get_numbers() {
        let table: &[(&[&str], Option<&str>, &[&str])] = &[
            (&["a", "b"], None, &["a", "b"]),
            (&["Price", "price", "PRICE"], None, &["Price", "price_2", "PRICE_3"]),
            (&["a", "A", "a_2", "A_2"], None, &["a", "A_3", "a_2", "A_2_2"]),
            (&["", "_"], None, &["_", "__2"]),
            (&["Value", "x"], Some("value"), &["Value_2", "x"]),
            (&["Ä", "ä"], None, &["Ä", "ä_2"]),
        ];
        for (fields, reserved, expected) in table {
            assert_eq!(names(fields.iter().copied(), *reserved), *expected, "{fields:?}");
        }
    }
}
