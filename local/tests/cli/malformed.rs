//! Malformed files through the real command: the report names line and reason, and good rows are not lost.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::Place;

/// A file (`~` stands for a thousand bytes), the rows that are rejected as (line, code), and how many good ones it has.
struct Rows(&'static str, &'static [u8], &'static [(u64, &'static str)], u64);

const ROWS: &[Rows] = &[
    Rows(
        "ragged.csv",
        b"url,x\nhttps://a.example/1,1\nhttps://a.example/2\nhttps://a.example/3,3,3\nhttps://a.example/4,4\n",
        &[(3, "ragged_row"), (4, "ragged_row")],
        2,
    ),
    Rows("latin1.csv", b"url,x\nhttps://a.example/1,caf\xe9\nhttps://a.example/2,2\n", &[(2, "invalid_utf8")], 1),
    Rows("nul.csv", b"url,x\nhttps://a.example/1,\0\nhttps://a.example/2,2\n", &[(2, "nul_byte")], 1),
    Rows(
        "quote.csv",
        b"url,x\nhttps://a.example/1,1\nhttps://a.example/2,\"open\nhttps://a.example/3,3\n",
        &[(3, "unclosed_quote")],
        2,
    ),
    Rows("after.csv", b"url,x\nhttps://a.example/1,\"a\"b\nhttps://a.example/2,2\n", &[(2, "text_after_quote")], 1),
    Rows("blank.tsv", b"url\tx\n\t\nhttps://a.example/2\t2\n", &[(2, "empty_input")], 1),
    Rows(
        "urls.txt",
        b"\xef\xbb\xbfhttps://a.example/1\r\n# comment\r\n\r\n{\"url\":1}\r\nhttps://a.example/2",
        &[(4, "not_a_url")],
        2,
    ),
    Rows(
        "kinds.json",
        b"[{\"url\":\"https://a.example/1\"},\n7,\n{},\n\"https://a.example/2\",\nnull]",
        &[(2, "not_an_object"), (3, "empty_input"), (5, "not_an_object")],
        2,
    ),
    Rows(
        "broken.ndjson",
        b"{\"url\":\"https://a.example/1\"}\n{\"url\":\n{\"url\":\"https://a.example/2\"}\n[1]\n",
        &[(2, "bad_json"), (4, "not_an_object")],
        2,
    ),
    Rows(
        "long.ndjson",
        b"{\"url\":\"https://a.example/1\"}\n{\"url\":\"https://a.example/2\",\"text\":\"~\"}\n",
        &[(2, "row_too_long")],
        1,
    ),
    // Broken off in the middle: what came before is run.
    Rows(
        "cut.json",
        b"[{\"url\":\"https://a.example/1\"},\n{\"url\":\"https://a.example/2\"},\n{\"url\":\"htt",
        &[(3, "cut_off")],
        2,
    ),
];

#[test]
fn bad_rows_are_told_by_line_and_good_ones_go_on() {
    let place = Place::new();
    let mut arguments = Vec::new();
    for Rows(name, bytes, ..) in ROWS {
        let text: Vec<&[u8]> = bytes.split(|byte| *byte == b'~').collect();
        place.file(name, text.join("0123456789".repeat(100).as_bytes()));
        arguments.push(*name);
    }
    let mut command = place.command(&[&["plan", "--json", "--collector", "c_shop00"], &arguments[..]].concat());
    command.env("BATCH_BYTES_MAX", "1000");
    let planned = place.finish(command);
    planned.expect(1, &[]);
    assert!(!place.path("dropcollect-data").exists(), "a plan leaves nothing behind");
    let mut plans = planned.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());

    arguments.extend(["--simulate", "--scenario", "calm"]);
    let mut command = place.run(&arguments);
    command.env("BATCH_BYTES_MAX", "1000");
    let done = place.finish(command);
    // For the file that is broken off: rejected rows alone are no failure.
    done.expect(1, &["cut.json: complete, with failures", "line 3: the value that starts here has no end"]);
    for Rows(name, _, rejected, good) in ROWS {
        let report = done.out.split(&format!("{name}: ")).nth(1).unwrap_or_else(|| panic!("{name}: {done:#?}"));
        let found = place.errors(name);
        let found: Vec<(u64, &str)> = found.iter().map(|(line, code)| (*line, code.as_str())).collect();
        assert_eq!(found, *rejected, "{name}: {report}");
        for (_, code) in *rejected {
            assert!(report.contains(&format!("{code} (")), "{name}: {report}");
        }
        let manifest = place.manifest(name);
        assert_eq!(manifest["inputs"]["with_records"], *good, "{name}: {report}");
        assert_eq!(place.records(&manifest).len() as u64, *good, "{name}");
        // What was planned is what came of it.
        let plan = plans.next().unwrap();
        assert_eq!((&plan["key"], &plan["rows"]["inputs"]), (&json!(name), &json!(good)), "{plan}");
        for count in ["read", "rejected", "duplicates"] {
            assert_eq!(plan["rows"][count], manifest["inputs"][count], "{name}: {plan}");
        }
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        rejected.iter().for_each(|(_, code)| *counts.entry(code).or_default() += 1);
        let told = plan["rejected"].as_array().unwrap().iter();
        let told = told.map(|reason| (reason["code"].as_str().unwrap(), reason["count"].as_u64().unwrap()));
        assert_eq!(told.collect::<BTreeMap<_, _>>(), counts, "{name}");
    }
}

/// A file that cannot be read at all, and words of its report.
struct Whole(&'static str, &'static [u8], &'static [&'static str]);

const WHOLE: &[Whole] = &[
    Whole("columns.csv", b"url,x,url\n1,2,3\n", &["columns 1 and 3 are both named \"url\"; rename one"]),
    Whole("unnamed.csv", b"url,\nhttps://a.example/1,2\n", &["column 2 has no name"]),
    Whole("headless.csv", b"https://a.example/1\nhttps://a.example/2\n", &["the first row must name the columns"]),
    Whole("semicolons.csv", b"url;x\nhttps://a.example/1;2\n", &["the header has one column", "separated by"]),
    Whole("header.csv", b"url,x\n", &["the file has no rows"]),
    Whole("object.json", b"{\"url\":\"https://a.example/1\"}", &["must be one JSON array", ".ndjson"]),
    Whole("utf16.txt", b"\xff\xfeh\0t\0t\0p\0", &["UTF-16", "save it as UTF-8", "iconv -f UTF-16 -t UTF-8"]),
    Whole("plain.csv.gz", b"url\nhttps://a.example/1\n", &["the extension says gzip", "not compressed"]),
    Whole("zip.csv", b"PK\x03\x04\x14\x00\x08\x00", &["the file begins like"]),
];

#[test]
fn a_file_that_cannot_be_read_is_rejected_as_a_whole_and_its_neighbour_is_run() {
    let place = Place::new();
    place.file("good.txt", "https://a.example/1\n");
    let mut arguments = vec!["good.txt"];
    for Whole(name, bytes, _) in WHOLE {
        place.file(name, bytes);
        arguments.push(name);
    }
    let planned = place.finish(place.command(&[&["plan", "--collector", "c_shop00"], &arguments[..]].concat()));
    planned.expect(2, &["good.txt: 1 to collect with c_shop00"]);

    arguments.extend(["--simulate", "--scenario", "calm"]);
    let done = place.finish(place.run(&arguments));
    done.expect(2, &["good.txt: complete\n"]);
    for Whole(name, _, words) in WHOLE {
        let report = done.out.split(&format!("{name}: ")).nth(1).unwrap_or_else(|| panic!("{name}: {done:#?}"));
        let report = report.split("manifest").next().unwrap();
        assert!(report.starts_with("rejected, nothing was triggered"), "{name}: {report}");
        assert!(words.iter().all(|word| report.contains(word)), "{name}: {report}");
        let plan = planned.out.split(&format!("{name}: ")).nth(1).unwrap_or_else(|| panic!("{name}: {planned:#?}"));
        assert!(plan.starts_with("would be rejected"), "{name}: {plan}");
        assert!(words.iter().all(|word| plan.contains(word)), "{name}: {plan}");
    }
    assert_eq!(place.accepted().len(), 1);
}
