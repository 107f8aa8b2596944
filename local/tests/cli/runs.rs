//! A run from its file to its result, again, and anew.

use std::fs;

use crate::support::{Place, Simulator, assert_conserved};

/// Line 5 is ragged, line 7 repeats line 2, and whatever has `/dead/` fails for good.
const SHOP: &str = "url,note\r\n\
    https://shop.example/1,\"with, a comma\"\r\n\
    https://shop.example/dead/2,\"two\r\nlines, \"\"quoted\"\"\"\r\n\
    https://shop.example/3\r\n\
    https://shop.example/4,plain\r\n\
    https://shop.example/1,\"with, a comma\"\r\n\
    https://shop.example/dead/5, spaces \r\n";

#[test]
fn a_file_is_run_to_its_end_once_and_anew_when_asked() {
    let place = Place::new();
    let simulator = Simulator::start(
        &place,
        "[inputs]\nuncoded = 0.0\npermanent_codes = { dead_page = 1.0 }\nmarked = { \"/dead/\" = \"permanent\" }",
    );
    place.file("shop.csv", SHOP);

    let first = place.finish(place.run_against(&simulator, &["shop.csv"]));
    let rows = "6 read = 1 rejected + 1 duplicates + 2 with records + 0 without a record + 2 failed";
    let failed = "(correct it, and run it)";
    first.expect(1, &["shop.csv: complete, with failures", rows, "2 from 1 collection\n", "output ", failed]);
    first.expect(1, &["1 batch under way", "ragged_row (line 5): the row has 1 cells", "manifest "]);
    let manifest = place.manifest("shop.csv");
    assert_eq!(manifest["collector"], "c_shop00");
    assert_eq!(manifest["state"], "complete_with_failures");
    let mut urls: Vec<String> =
        place.records(&manifest).iter().map(|record| record["input"]["url"].as_str().unwrap().to_owned()).collect();
    urls.sort();
    assert_eq!(urls, ["https://shop.example/1", "https://shop.example/4"]);
    let failed = fs::read_to_string(place.result("failed", "shop.csv", "failed.csv").unwrap()).unwrap();
    let dead = ["https://shop.example/dead/2,\"two\r\nlines, \"\"quoted\"\"\"", "https://shop.example/dead/5, spaces "];
    assert!(dead.iter().all(|row| SHOP.contains(row)));
    assert_eq!(
        failed,
        format!("url,note\n{}\n{}\n", dead[0], dead[1]),
        "the header, and the rows as they were written"
    );
    let errors: Vec<u64> = place.errors("shop.csv").into_iter().map(|(line, _)| line).collect();
    assert_eq!(errors, [3, 5, 8]);

    let calls = simulator.seen("calls");
    let again = place.finish(place.run_against(&simulator, &["shop.csv"]));
    assert_eq!((again.status, &again.out), (Some(1), &first.out));
    assert_eq!(simulator.seen("calls"), calls, "the result of a finished run costs no call");

    let anew = place.finish(place.run_against(&simulator, &["shop.csv", "--again"]));
    anew.expect(1, &["shop.csv: complete, with failures"]);
    assert_ne!(anew.out, first.out, "a run of its own");
    assert_eq!(simulator.accepted(), 2);

    // The failed inputs are a file like any other; its name is that of a run of its own.
    fs::write(place.path("failed.csv"), failed.replace("/dead", "")).unwrap();
    place.finish(place.run_against(&simulator, &["failed.csv", "--key", "shop/corrected.csv"])).expect(0, &[]);
    assert_eq!(place.manifest("shop/corrected.csv")["records"], 2);
}

#[test]
fn examples_are_run_side_by_side_and_status_shows_them() {
    let place = Place::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut paths: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    paths.retain(|path| !path.ends_with(".md"));
    paths.sort();
    assert!(paths.len() >= 6, "{paths:?}");
    let status = |arguments: &[&str]| place.finish(place.command(&[&["status", "data"], arguments].concat()));
    let statuses = || -> Vec<serde_json::Value> {
        status(&["--json"]).expect(0, &[]).out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };

    let mut arguments: Vec<&str> = paths.iter().map(String::as_str).collect();
    arguments.extend(["--simulate", "--scenario", "calm"]);
    let mut running = place.start(place.run(&arguments));
    running.until("six runs under way", |_| {
        place.path("data/status").exists().then(statuses).filter(|seen| seen.len() == paths.len())
    });
    let seen = statuses();
    seen.iter().for_each(assert_conserved);
    assert!(seen.iter().all(|one| one["state"] == "running" && one["inputs"]["pending"].as_u64() > Some(0)));
    assert!(status(&[]).out.lines().nth(1).unwrap().starts_with("running "));
    running.finish().expect(0, &["products.csv: complete", "ragged_row (2 times, from line ", "errors "]);

    let seen = statuses();
    seen.iter().for_each(assert_conserved);
    assert!(seen.iter().all(|one| one["state"] == "complete"), "{seen:#?}");
    let table = status(&[]).out;
    assert_eq!(table.lines().count(), paths.len() + 1, "{table}");
    for path in &paths {
        let key = path.rsplit('/').next().unwrap();
        assert!(table.lines().any(|line| line.starts_with("complete ") && line.ends_with(key)), "{key}: {table}");
        let manifest = place.manifest(key);
        assert_eq!(place.records(&manifest).len() as u64, manifest["inputs"]["with_records"].as_u64().unwrap());
    }
    let products = &place.manifest("products.csv")["inputs"];
    assert_eq!((products["read"].as_u64(), products["rejected"].as_u64()), (Some(296), Some(2)));
}

#[test]
fn output_is_written_as_it_is_configured() {
    let place = Place::new();
    place.file("urls.txt", "https://shop.example/1\nhttps://shop.example/2\n");
    let mut command = place.run(&["urls.txt", "--simulate", "--scenario", "calm"]);
    command.env("OUTPUT_FORMAT", "json").env("BATCH_INPUTS_MAX", "1");
    place.finish(command).expect(0, &["2 from 2 collections", "(2 files)"]);
    let outputs = place.manifest("urls.txt")["outputs"].clone();
    for output in outputs.as_array().unwrap() {
        let text = fs::read(place.path("data").join(output["key"].as_str().unwrap())).unwrap();
        let records: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
        assert_eq!(records.len(), 1);
    }
}
