//! Finished runs as CSV files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Done, Place};

impl Place {
    /// `dropcollect csv data …`
    fn csv(&self, arguments: &[&str]) -> Done {
        self.finish(self.command(&[&["csv", "data"], arguments].concat()))
    }
}

/// The header and the rows, as another reader takes them.
pub(crate) fn table(path: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    // Not flexible: every row has as many cells as the header.
    let mut reader = csv::Reader::from_path(path).unwrap();
    let texts = |row: &csv::StringRecord| row.iter().map(str::to_owned).collect();
    let header = texts(reader.headers().unwrap());
    (header, reader.records().map(|row| texts(&row.unwrap())).collect())
}

/// Whether the rows are those records, in this order: a string as itself, everything else as its JSON.
pub(crate) fn assert_rows(path: &Path, records: &[Value]) {
    let (header, rows) = table(path);
    assert_eq!(rows.len(), records.len());
    for (row, record) in rows.iter().zip(records) {
        let fields = record.as_object().unwrap();
        assert!(fields.keys().all(|field| header.contains(field)), "{header:?}: {record}");
        for (name, cell) in header.iter().zip(row) {
            match fields.get(name) {
                None | Some(Value::Null) => assert_eq!(cell, ""),
                Some(Value::String(text)) => assert_eq!(cell, text),
                Some(value) => assert_eq!(serde_json::from_str::<Value>(cell).unwrap(), *value),
            }
        }
    }
}

#[test]
fn awkward_values_come_back_as_they_were() {
    let place = Place::new();
    let manifest = place.simulated("x.txt", 1, &[]);
    let records = [
        r#"{"text":"a, \"b\"\r\nc\rd","big":1e400,"long":12345678901234567890123}"#,
        r#"{"nested":{"k": [1.50,"ü,\n"]},"text":"","long":null,"none":null}"#,
        r#"{"long":-0.10,"text":" 日本\t😀\u0000 ","yes":true,"nested":[ ]}"#,
        r#"{"text":"\ud800","yes":false,"big":1E+2}"#,
        r#"{"text":"=1+1","long":"-5","Text":"@x","":"+"}"#,
    ];
    place.replace_records(&manifest, &records);
    let notes = ["x.txt: 5 records in 8 columns", "x.csv (", r#"renamed     "Text" to "Text_2", "" to "_""#];
    place.csv(&["x.txt", "--output", "x.csv"]).expect(0, &notes);
    let expected = [
        "text,big,long,nested,none,yes,Text_2,_\n",
        "\"a, \"\"b\"\"\r\nc\rd\",1e400,12345678901234567890123,,,,,\n",
        "\"\",,,\"{\"\"k\"\": [1.50,\"\"ü,\\n\"\"]}\",,,,\n",
        "\" 日本\t😀\0 \",,-0.10,[ ],,true,,\n",
        "\"\"\"\\ud800\"\"\",1E+2,,,,false,,\n",
        "=1+1,,-5,,,,@x,+\n",
    ];
    assert_eq!(fs::read_to_string(place.path("x.csv")).unwrap(), expected.concat());
    let (header, rows) = table(&place.path("x.csv"));
    assert_eq!((header.len(), rows.len()), (8, 5));
    assert_eq!(rows[0][..3], ["a, \"b\"\r\nc\rd", "1e400", "12345678901234567890123"]);
    assert_eq!((&*rows[1][3], &*rows[2][0]), (r#"{"k": [1.50,"ü,\n"]}"#, " 日本\t😀\0 "));
}

#[test]
fn records_that_are_no_rows_are_kept_whole() {
    let place = Place::new();
    let manifest = place.simulated("x.txt", 1, &[]);
    let csv = |records: &[&str]| {
        place.replace_records(&manifest, records);
        place.csv(&["x.txt", "--output", "x.csv"]).expect(0, &[]);
        fs::read_to_string(place.path("x.csv")).unwrap()
    };
    assert_eq!(
        csv(&[r#"{"value":1}"#, "7", r#"{"a":1,"a":2}"#]),
        "value_2,value\n1,\n,7\n,\"{\"\"a\"\":1,\"\"a\"\":2}\"\n"
    );
    assert_eq!(csv(&["{}", "{}"]), "value\n{}\n{}\n");
    assert_eq!(csv(&[r#"{"a":null}"#, r#"{"a":1}"#]), "a\n\"\"\n1\n", "an empty line would be no row");
    assert_eq!(csv(&[]), "value\n");
    let wide: Vec<String> = (0..2_001).map(|id| format!(r#"{{"id{id}":{id}}}"#)).collect();
    let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
    let whole = csv(&wide);
    assert!(whole.starts_with("value\n\"{\"\"id0\"\":0}\"\n"), "{}", &whole[..40]);
    assert_eq!(whole.lines().count(), 2_002);
}

#[test]
fn every_record_is_a_row_whatever_the_outputs_are_written_in() {
    let place = Place::new();
    for (name, format, compression) in
        [("p.txt", "ndjson", "none"), ("l.txt", "ndjson", "gzip"), ("a.txt", "json", "none"), ("z.txt", "json", "gzip")]
    {
        let manifest = place.simulated(name, 50, &[("OUTPUT_FORMAT", format), ("OUTPUT_COMPRESSION", compression)]);
        assert_eq!(manifest["outputs"].as_array().unwrap().len(), 2);
        let file = format!("{name}.{}.csv", manifest["run"].as_str().unwrap());
        place.csv(&[name, "--output", "out/"]).expect(0, &["50 records", &format!("out/{file} (")]);
        place.csv(&[name]).expect(0, &[&format!("file        {file} (")]);
        assert_eq!(fs::read(place.path(&file)).unwrap(), fs::read(place.path("out").join(&file)).unwrap());
        if name == "p.txt" {
            assert_rows(&place.path(&file), &place.records(&manifest));
        }
        let (header, rows) = table(&place.path(&file));
        let title = header.iter().position(|name| name == "title").unwrap();
        assert!(rows.len() == 50 && rows.iter().all(|row| !row[title].is_empty()));
    }
    fs::remove_dir_all(place.path("out")).unwrap();
    place.csv(&["--output", "out/"]).expect(0, &["p.txt: 50 ", "l.txt: 50 ", "a.txt: 50 ", "z.txt: 50 "]);
    assert_eq!(place.files("out").len(), 4);
}

#[test]
fn what_is_not_whole_is_no_file() {
    let place = Place::new();
    let manifest = place.simulated("x.txt", 3, &[]);
    let output = place.path("data").join(manifest["outputs"][0]["key"].as_str().unwrap());
    let whole = fs::read_to_string(&output).unwrap();
    let one_less: String = whole.split_inclusive('\n').skip(1).collect();
    let cases = [(one_less, "3 by the manifest"), (whole[..whole.len() - 3].to_owned(), "no JSON")];
    for (changed, words) in cases {
        fs::write(&output, changed).unwrap();
        place.csv(&["x.txt", "--output", "out/"]).expect(70, &["batch-00001.1.ndjson: ", words]);
    }
    assert_eq!(place.files("out"), [] as [PathBuf; 0]);
}

#[test]
fn interrupted_it_leaves_nothing() {
    let place = Place::new();
    let manifest = place.simulated("x.txt", 1, &[]);
    place.replace_records(&manifest, &vec![r#"{"a":"b","c":[1,2,3],"d":{"e":"f"}}"#; 400_000]);
    fs::create_dir(place.path("out")).unwrap();
    for command in ["csv", "parquet"] {
        let mut running = place.start(place.command(&[command, "data", "x.txt", "--output", "out/"]));
        let begun = running.until("a file", |running| {
            assert!(running.exited().is_none(), "{}", running.err());
            place.files("out").pop()
        });
        assert!(begun.extension().unwrap() == "tmp", "{begun:?}");
        running.interrupt();
        running.finish().expect(130, &["Interrupted: nothing is left"]);
        assert_eq!(place.files("out"), [] as [PathBuf; 0]);
    }
}
