//! What is read back, by the format's own reader, is what was written.

use std::collections::HashMap;
use std::fs::File;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::super::Sheet;
use super::super::file::NewFile;
use super::super::shape::Table;
use super::file::ParquetFile;

/// Writes records, in row groups of a few, and reads them. Says also whether there is a column for whole records.
fn through_a_file(records: &[String], group_bytes: usize) -> (Vec<Row>, bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let mut table = Table::default();
    records.iter().for_each(|record| table.learn(record).unwrap());
    let whole = table.whole || table.fields.shapes.is_empty();
    let file = ParquetFile::new(NewFile::create(&path).unwrap(), table).unwrap();
    let mut file = Box::new(file.with_groups_of(group_bytes));
    for record in records {
        assert!(!path.exists(), "a file that is not whole has another name");
        file.put(record).unwrap();
    }
    let bytes = file.finish().unwrap().bytes;
    let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["x.parquet"]);
    assert_eq!(path.metadata().unwrap().len(), bytes);
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), records.len() as i64);
    (reader.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect(), whole)
}

/// The rows as JSON, groups and lists included.
fn rows(records: &[&str]) -> Vec<Value> {
    let records: Vec<String> = records.iter().map(|record| (*record).to_owned()).collect();
    through_a_file(&records, usize::MAX).0.iter().map(object).collect()
}

fn object(row: &Row) -> Value {
    Value::Object(row.get_column_iter().map(|(name, field)| (name.clone(), plain(field))).collect::<Map<_, _>>())
}

fn plain(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => json!(value),
        Field::Long(value) => json!(value),
        Field::Double(value) => json!(value),
        Field::Str(value) => json!(value),
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().map(plain).collect(),
        other => panic!("no column has this type: {other:?}"),
    }
}

#[test]
fn rows_are_the_records_as_the_table_says() {
    assert_eq!(
        rows(&[
            r#"{"a":1,"b":{"c":[1,null,2.5],"d":null},"e":{},"t":"2026-01-01"}"#,
            r#"{"b":{"c":[]},"A":true,"":"x","e":{ }}"#,
            r#"{"b":null,"a":-9223372036854775808}"#,
        ]),
        [
            json!({"a":1,"b":{"c":[1.0,null,2.5],"d":null},"e":"{}","t":"2026-01-01","A_2":null,"_":null}),
            json!({"a":null,"b":{"c":[],"d":null},"e":"{ }","t":null,"A_2":true,"_":"x"}),
            json!({"a":i64::MIN,"b":null,"e":null,"t":null,"A_2":null,"_":null}),
        ]
    );
    assert_eq!(
        rows(&[r#"{"m":"x","n":[{"p":1},"y"]}"#, r#"{"m":{"k": 1.50},"n":[null]}"#, r#"{"m":18446744073709551616}"#]),
        [
            json!({"m":"\"x\"","n":[r#"{"p":1}"#, "\"y\""]}),
            json!({"m":"{\"k\": 1.50}","n":[null]}),
            json!({"m":"18446744073709551616","n":null}),
        ]
    );
    assert_eq!(
        rows(&[r#"{"value":5}"#, "7", "null", r#"{"x":1,"x":2}"#, "[]"]),
        [
            json!({"value_2":5,"value":null}),
            json!({"value_2":null,"value":"7"}),
            json!({"value_2":null,"value":"null"}),
            json!({"value_2":null,"value":r#"{"x":1,"x":2}"#}),
            json!({"value_2":null,"value":"[]"}),
        ]
    );
    assert_eq!(rows(&["{}", "{}"]), [json!({"value":"{}"}), json!({"value":"{}"})]);
    assert_eq!(rows(&[]), [] as [Value; 0]);
}

#[test]
fn lists_keep_their_borders() {
    let records = [
        r#"{"l":[[1,2],[],null,[3]],"o":[{"n":["a"]},{},null,{"n":[]},{"n":["b","c"]}]}"#,
        r#"{"l":[],"o":null}"#,
        r#"{"l":null,"o":[]}"#,
        r#"{"l":[[]],"o":[{"n":[null]}]}"#,
    ];
    let mut expected: Vec<Value> = records.iter().map(|record| serde_json::from_str(record).unwrap()).collect();
    expected[0]["o"][1] = json!({"n":null});
    assert_eq!(rows(&records), expected);
}

#[test]
fn a_record_that_was_not_seen_before_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for other in [r#"{"b":1}"#, r#"{"a":"x"}"#, r#"{"a":1.5}"#, r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#, "7"] {
        let mut table = Table::default();
        table.learn(r#"{"a":1}"#).unwrap();
        let path = folder.path().join("x.parquet");
        let mut file = ParquetFile::new(NewFile::create(&path).unwrap(), table).unwrap();
        assert!(file.put(other).is_err(), "{other}");
        drop(file);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing is left of it");
    }
}

/// JSON of any shape, with few names, so that the same field comes again with another type.
fn any_json() -> impl Strategy<Value = String> {
    let string = prop_oneof![
        "[a-c ]{0,3}".prop_map(|text| json!(text).to_string()),
        any::<String>().prop_map(|text| json!(text).to_string()),
        Just(r#""\ud800""#.to_owned()),
        Just(r#""\u00fc\ud83d\ude00""#.to_owned()),
    ];
    let number = prop_oneof![
        (-3i64..3).prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| format!("{number}0")),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        Just("-0".to_owned()),
        Just("2.50".to_owned()),
        Just("1e999".to_owned()),
    ];
    let words = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("false".to_owned())];
    prop_oneof![string, number, words].prop_recursive(4, 40, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|elements| format!("[{}]", elements.join(" ,")));
        prop_oneof![list, an_object(inner)]
    })
}

fn an_object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    // "aa" twice: now and then an object names it twice.
    let name = prop_oneof![Just("aa"), Just("aa"), Just("b.b"), Just("ç"), Just("d"), Just("e"), Just("value")];
    prop::collection::vec((name, value), 0..5).prop_map(|members| {
        let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// Whether a field of a row says what this JSON says: the same value, or its very text.
fn says(field: &Field, text: &str) -> bool {
    let text = text.trim();
    if let Field::Str(found) = field
        && found == text
    {
        return true;
    }
    match field {
        Field::Null => text == "null",
        Field::Bool(found) => found.to_string() == text,
        Field::Str(found) => serde_json::from_str::<String>(text).is_ok_and(|text| text == *found),
        Field::Long(found) => found.to_string() == text,
        Field::Double(found) => text.parse().is_ok_and(|value: f64| value.to_bits() == found.to_bits()),
        Field::ListInternal(found) => {
            let Ok(texts) = serde_json::from_str::<Vec<&RawValue>>(text) else { return false };
            let found = found.elements();
            found.len() == texts.len() && found.iter().zip(texts).all(|(field, text)| says(field, text.get()))
        }
        Field::Group(found) => fields_say(found, text),
        _ => false,
    }
}

fn fields_say(row: &Row, text: &str) -> bool {
    let Ok(mut fields) = serde_json::from_str::<HashMap<String, &RawValue>>(text) else { return false };
    row.get_column_iter().all(|(name, field)| says(field, fields.remove(name).map_or("null", RawValue::get)))
        && fields.is_empty()
}

/// Whether a row says what a record says, where the last column is perhaps that of whole records.
fn row_says(row: &Row, record: &str, whole: bool) -> bool {
    if !whole {
        return fields_say(row, record);
    }
    let mut columns: Vec<(String, Field)> =
        row.get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect();
    match columns.pop() {
        Some((_, Field::Str(whole))) => whole == record && columns.iter().all(|(_, field)| *field == Field::Null),
        Some((_, Field::Null)) => {
            let own = |name: String| if name == "value_2" { "value".to_owned() } else { name };
            fields_say(&Row::new(columns.into_iter().map(|(name, field)| (own(name), field)).collect()), record)
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_read_back(
        records in prop::collection::vec(prop_oneof![9 => an_object(any_json()), 1 => any_json()], 0..150),
        group_bytes in 1usize..20_000,
    ) {
        let (rows, whole) = through_a_file(&records, group_bytes);
        prop_assert_eq!(rows.len(), records.len());
        for (row, record) in rows.iter().zip(&records) {
            prop_assert!(row_says(row, record, whole), "{}\n{:?}", record, row);
        }
    }
}
