//! What the records of a run look like, learnt from all of them: the first of two readings.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::json::{Members, Value, take_apart};

/// Columns of one file at most. Objects that are maps in truth, with an identifier for every name, would make a column for each.
const COLUMNS_MAX: usize = 2_000;
/// Levels of objects and lists that become levels of columns; readers are not made for more.
const DEPTH_MAX: usize = 16;
/// Every integer up to this one, and not the next, is a double.
const EXACT_MAX: u64 = 1 << 53;

/// The type of a field, as far as it has been seen. `null` fits everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Shape {
    /// Nothing but `null`.
    #[default]
    Unknown,
    Bool,
    Int {
        /// Whether doubles hold all of them.
        exact: bool,
    },
    /// Some number has a fraction or an exponent, and doubles hold all those that have none.
    Double,
    String,
    List(Box<Self>),
    /// Without fields as long as every one of the objects is empty.
    Object(Fields),
    /// Values of several types, or that no type holds: kept as JSON text.
    Json,
}

impl Shape {
    /// Learns one more value, at a depth of so many objects and lists. Says whether there are new fields.
    fn learn(&mut self, text: &str, depth: usize) -> bool {
        if *self == Self::Json {
            return false;
        }
        let seen = match take_apart(text) {
            Value::Null => return false,
            Value::Object(members) if depth < DEPTH_MAX => {
                if *self == Self::Unknown {
                    *self = Self::Object(Fields::default());
                }
                match self {
                    Self::Object(fields) => return fields.learn(&members, depth),
                    _ => Self::Json,
                }
            }
            Value::List(elements) if depth < DEPTH_MAX => {
                if *self == Self::Unknown {
                    *self = Self::List(Box::default());
                }
                match self {
                    Self::List(shape) => {
                        return elements.iter().fold(false, |grew, text| shape.learn(text.get(), depth + 1) | grew);
                    }
                    _ => Self::Json,
                }
            }
            Value::Object(_) | Value::List(_) | Value::Other => Self::Json,
            Value::Bool(_) => Self::Bool,
            Value::Int(number) => Self::Int { exact: number.unsigned_abs() <= EXACT_MAX },
            Value::Double(_) => Self::Double,
            Value::String(_) => Self::String,
        };
        *self = std::mem::take(self).with(seen);
        false
    }

    /// What holds values of this and of another one, which has no values inside.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, other) => other,
            (Self::Int { exact: one }, Self::Int { exact: two }) => Self::Int { exact: one && two },
            (Self::Int { exact: true }, Self::Double) | (Self::Double, Self::Int { exact: true }) => Self::Double,
            (one, two) if one == two => one,
            _ => Self::Json,
        }
    }

    /// How many columns it makes.
    fn columns(&self) -> usize {
        match self {
            Self::List(element) => element.columns(),
            Self::Object(fields) => fields.columns().max(1),
            _ => 1,
        }
    }
}

/// The fields of an object, in the order in which they were first seen.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Fields {
    pub(super) positions: HashMap<String, usize>,
    pub(super) shapes: Vec<(String, Shape)>,
}

impl Fields {
    fn learn(&mut self, members: &Members<'_>, depth: usize) -> bool {
        let mut grew = false;
        for (name, value) in members {
            let position = self.positions.get(&**name).copied().unwrap_or_else(|| {
                grew = true;
                self.positions.insert(name.clone().into_owned(), self.shapes.len());
                self.shapes.push((name.clone().into_owned(), Shape::Unknown));
                self.shapes.len() - 1
            });
            if let Some((_, shape)) = self.shapes.get_mut(position) {
                grew |= shape.learn(value.get(), depth + 1);
            }
        }
        grew
    }

    fn columns(&self) -> usize {
        self.shapes.iter().map(|(_, shape)| shape.columns()).sum()
    }
}

/// What all records look like. Its size is bounded by the number of columns, however many records there are.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Table {
    /// Fields of the records that are objects; none when they have too many.
    pub(super) fields: Fields,
    /// Some record does not consist of these fields, and is kept whole.
    pub(super) whole: bool,
    too_wide: bool,
}

impl Table {
    /// Learns one more record; an error is about text that is no JSON.
    pub(super) fn learn(&mut self, record: &str) -> Result<(), serde_json::Error> {
        match take_apart(record) {
            Value::Object(_) if self.too_wide => {}
            Value::Object(members) => {
                if self.fields.learn(&members, 0) {
                    self.narrow();
                }
            }
            _ => {
                serde_json::from_str::<&RawValue>(record)?;
                self.whole = true;
            }
        }
        Ok(())
    }

    /// While there are too many columns, the field that makes most of them becomes JSON text; where that does not help, whole records do.
    fn narrow(&mut self) {
        while self.fields.columns() > COLUMNS_MAX {
            let shapes = self.fields.shapes.iter_mut().map(|(_, shape)| shape);
            match shapes.max_by_key(|shape| shape.columns()).filter(|shape| shape.columns() > 1) {
                Some(widest) => *widest = Shape::Json,
                None => {
                    self.too_wide = true;
                    self.fields = Fields::default();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of the field `a` of these records, in short: its type, `[…]` around a list's, `{…}` around an object's.
    fn shape_of(values: &[&str]) -> String {
        let mut table = Table::default();
        for value in values {
            table.learn(&format!(r#"{{"a":{value}}}"#)).unwrap();
        }
        short(&table.fields.shapes[0].1)
    }

    fn short(shape: &Shape) -> String {
        match shape {
            Shape::Unknown => "?".to_owned(),
            Shape::Bool => "bool".to_owned(),
            Shape::Int { .. } => "int".to_owned(),
            Shape::Double => "double".to_owned(),
            Shape::String => "string".to_owned(),
            Shape::Json => "json".to_owned(),
            Shape::List(element) => format!("[{}]", short(element)),
            Shape::Object(fields) => {
                let fields: Vec<String> =
                    fields.shapes.iter().map(|(name, shape)| format!("{name} {}", short(shape))).collect();
                format!("{{{}}}", fields.join(", "))
            }
        }
    }

    #[test]
    fn a_field_has_the_type_that_holds_all_its_values_in_any_order() {
        let table: &[(&[&str], &str)] = &[
            (&["null"], "?"),
            (&["true", "null", "false"], "bool"),
            (&["1", "-9223372036854775808", "9223372036854775807"], "int"),
            (&["1", "2.5"], "double"),
            (&["1.0"], "double"),
            (&["1e3", "7"], "double"),
            (&["-0", "3"], "double"),
            (&["9007199254740992", "0.5"], "double"),
            (&["9007199254740993", "0.5"], "json"),
            (&["9223372036854775808", "1"], "json"),
            (&["1e999"], "json"),
            (&[r#""2026-01-01T00:00:00Z""#, r#""x""#], "string"),
            (&[r#""x""#, "null", r#""\u00e9""#], "string"),
            (&[r#""\ud800""#, r#""x""#], "json"),
            (&["1", r#""1""#], "json"),
            (&["1", "true"], "json"),
            (&[r#""x""#, r#"{"b":1}"#], "json"),
            (&["[1]", r#"{"b":1}"#], "json"),
            (&["[1]", "1"], "json"),
            (&["[]"], "[?]"),
            (&["[]", "[null,1]", "[2.5]"], "[double]"),
            (&["[1,\"x\"]"], "[json]"),
            (&["[[1],[[]]]"], "[[json]]"),
            (&["{}"], "{}"),
            (&["{}", r#"{"b":1}"#], "{b int}"),
            (&[r#"{"b":1,"b":2}"#], "json"),
            (&[r#"{"b":null}"#, r#"{"b":[{"c":true}]}"#], "{b [{c bool}]}"),
        ];
        for (values, shape) in table {
            assert_eq!(shape_of(values), *shape, "{values:?}");
            let backwards: Vec<&str> = values.iter().rev().copied().collect();
            assert_eq!(shape_of(&backwards), *shape, "{backwards:?}");
        }
        assert_eq!(shape_of(&[r#"{"z":1,"b":2}"#, r#"{"c":3,"z":"x"}"#]), "{z json, b int, c int}", "first seen first");
    }

    #[test]
    fn what_is_too_deep_is_text() {
        let nested = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let shape = shape_of(&[&nested]);
        assert!(shape.contains("json") && shape.len() < 50, "{shape}");
    }

    #[test]
    fn records_that_are_no_objects_are_kept_whole_and_others_refused() {
        for (record, whole) in [(r#"{"a":1}"#, false), ("7", true), ("null", true), ("[1]", true)] {
            let mut table = Table::default();
            table.learn(record).unwrap();
            assert_eq!(table.whole, whole, "{record}");
        }
        let mut twice = Table::default();
        twice.learn(r#"{"a":1,"a":"x"}"#).unwrap();
        assert_eq!((twice.whole, twice.fields.shapes.len()), (true, 0));
        for no_json in [r#"{"a":}"#, "inf", "01", "+1", "", r#"{"a":1"#, "nul"] {
            assert!(Table::default().learn(no_json).is_err(), "{no_json}");
        }
    }

    #[test]
    fn maps_do_not_become_columns() {
        let mut table = Table::default();
        for id in 0..COLUMNS_MAX {
            table
                .learn(&format!(r#"{{"name":"x","small":{{"a":1,"b":2}},"by_id":{{"id{id}":{{"price":1}}}}}}"#))
                .unwrap();
        }
        let shapes: Vec<String> = table.fields.shapes.iter().map(|(_, shape)| short(shape)).collect();
        assert_eq!(shapes, ["string", "{a int, b int}", "json"]);
        for id in 0..=COLUMNS_MAX {
            table.learn(&format!(r#"{{"id{id}":1}}"#)).unwrap();
        }
        assert!(table.too_wide && table.fields == Fields::default());
    }
}
