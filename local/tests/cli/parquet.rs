//! Finished runs as Parquet files.

use std::fs;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::{Value, json};

use crate::support::{Done, Place};

impl Place {
    /// `dropcollect parquet data …`
    fn parquet(&self, arguments: &[&str]) -> Done {
        self.finish(self.command(&[&["parquet", "data"], arguments].concat()))
    }
}

/// Some columns of every row: text, a number, and a field of an object.
fn rows(path: &Path) -> Vec<Value> {
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| {
        let row = row.unwrap();
        let at = |name: &str| row.get_column_iter().position(|(column, _)| column == name).unwrap();
        let url = row.get_group(at("input")).unwrap().get_string(0).unwrap().clone();
        json!([row.get_string(at("title")).unwrap(), row.get_double(at("price")).unwrap(), url])
    });
    rows.collect()
}

fn expected(records: &[Value]) -> Vec<Value> {
    let columns = |record: &Value| json!([record["title"], record["price"], record["input"]["url"]]);
    records.iter().map(columns).collect()
}

#[test]
fn every_record_is_a_row_whatever_the_outputs_are_written_in() {
    let place = Place::new();
    let manifest = place.simulated("plain.txt", 90, &[]);
    let run = manifest["run"].as_str().unwrap();
    assert_eq!((&manifest["records"], manifest["outputs"].as_array().unwrap().len()), (&json!(90), 3));
    let path = place.path(&format!("out/plain.txt.{run}.parquet"));
    place.parquet(&["plain.txt", "--output", "out/"]).expect(0, &["plain.txt: 90 records in ", ".parquet ("]);
    assert_eq!(rows(&path), expected(&place.records(&manifest)));

    for (name, format, compression) in
        [("l.txt", "ndjson", "gzip"), ("a.txt", "json", "none"), ("z.txt", "json", "gzip")]
    {
        let manifest = place.simulated(name, 50, &[("OUTPUT_FORMAT", format), ("OUTPUT_COMPRESSION", compression)]);
        place.parquet(&[name, "--output", "one.parquet"]).expect(0, &[": 50 records"]);
        let mut urls: Vec<Value> = rows(&place.path("one.parquet")).into_iter().map(|row| row[2].clone()).collect();
        urls.sort_by_key(Value::to_string);
        let mut all: Vec<Value> = (0..50).map(|number| json!(format!("https://shop.example/{number}"))).collect();
        all.sort_by_key(Value::to_string);
        assert_eq!(urls, all, "{name}");
        // The key tells where the run is, also when its ledger has expired.
        let run = manifest["run"].as_str().unwrap();
        place.parquet(&["--run", run, "--output", "by-run"]).expect(0, &[]);
        fs::remove_file(place.path(&format!("data/ledger/runs/{run}/run.json"))).unwrap();
        place.parquet(&["--run", run]).expect(2, &["name its input key"]);
        place.parquet(&[name, "--run", run, "--output", "by-both"]).expect(0, &[]);
        assert_eq!(fs::read(place.path("by-run")).unwrap(), fs::read(place.path("by-both")).unwrap());
    }

    place.parquet(&["--output", "all/"]).expect(0, &["plain.txt: 90 ", "l.txt: 50 ", "a.txt: 50 ", "z.txt: 50 "]);
    assert_eq!(place.files("all").len(), 4);
    assert_eq!(fs::read(place.path("one.parquet")).unwrap(), fs::read(place.path("by-both")).unwrap());
    place.parquet(&["--output", "one.parquet"]).expect(2, &["4 runs are meant"]);
}

#[test]
fn what_is_not_whole_is_no_file() {
    let place = Place::new();
    place.file("data/.keep", "");
    place.parquet(&[]).expect(2, &["no run with records is over"]);
    place.parquet(&["x.txt"]).expect(2, &["x.txt is no input key"]);
    place.parquet(&["--run", "x"]).expect(2, &["16 lower-case hex digits"]);
    place.finish(place.command(&["parquet", "elsewhere"])).expect(2, &["elsewhere is no folder"]);

    let manifest = place.simulated("x.txt", 60, &[]);
    let output = place.path("data").join(manifest["outputs"][1]["key"].as_str().unwrap());
    let whole = fs::read_to_string(&output).unwrap();
    let convert = || place.parquet(&["x.txt", "--output", "out/"]);
    let one_less = whole.split_inclusive('\n').skip(1).collect::<String>();
    let cases = [
        (one_less, "records, and 20 by the manifest"),
        (whole[..whole.len() - 3].to_owned(), "no JSON"),
        (whole.replacen('{', "", 1), "no JSON"),
    ];
    for (changed, words) in cases {
        fs::write(&output, changed).unwrap();
        convert().expect(70, &["batch-00002.1.ndjson: ", words]);
    }
    fs::remove_file(&output).unwrap();
    convert().expect(70, &["batch-00002.1.ndjson", "No such file"]);
    assert_eq!(place.files("out"), [] as [PathBuf; 0]);

    fs::write(&output, whole).unwrap();
    convert().expect(0, &["60 records"]);
    assert_eq!(place.files("out").len(), 1);
    place.parquet(&["x.txt", "--output", "data/.keep/x.parquet"]).expect(2, &["data/.keep"]);
    fs::remove_file(place.result("output", "x.txt", "manifest.json").unwrap()).unwrap();
    place.parquet(&["x.txt"]).expect(2, &["it is not over"]);
}

#[test]
fn records_of_any_shape_are_rows() {
    let place = Place::new();
    let mut manifest = place.simulated("x.txt", 1, &[]);
    place.replace_records(
        &manifest,
        &[r#"{"a":1,"A":{"b":[]}}"#, "7", r#"{"a":"x","c":{}}"#, r#"{"a":18446744073709551616}"#],
    );
    let notes = ["4 records in 4 columns", "JSON text   a, c, value", r#"renamed     "A" to "A_2""#];
    place.parquet(&["x.txt", "--output", "x.parquet"]).expect(0, &notes);

    manifest["records"] = json!(5);
    manifest["outputs"][0]["records"] = json!(4);
    fs::write(place.result("output", "x.txt", "manifest.json").unwrap(), manifest.to_string()).unwrap();
    place.parquet(&["x.txt", "--output", "y.parquet"]).expect(70, &["5 records by its manifest", "have 4"]);
    assert!(!place.path("y.parquet").exists());
}
