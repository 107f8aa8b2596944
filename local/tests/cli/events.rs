//! `run --json`: every line is an event, and has what the documentation says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{Done, Place, Simulator, assert_conserved};

/// The fields of each event, as the table of docs/operations.md has them.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../../docs/operations.md");
    let rows = page.lines().skip_while(|line| !line.starts_with("| event |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let codes = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let fields = |row: &str| {
        let cells: Vec<&str> = row.split('|').collect();
        (codes(cells[1]).remove(0), codes(cells[2]).into_iter().collect())
    };
    rows.map(fields).collect()
}

/// The events of a command, each as documented, the last of them the end.
fn events(done: &Done, status: i32) -> Vec<Value> {
    assert_eq!(done.status, Some(status), "{done:#?}");
    let table = table();
    assert!(table.len() >= 6, "{table:#?}");
    let events: Vec<Value> = done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &events {
        let object = event.as_object().unwrap();
        let fields: BTreeSet<String> = object.keys().filter(|key| *key != "event").cloned().collect();
        assert_eq!(Some(&fields), table.get(event["event"].as_str().unwrap()), "{event:#}");
        if event["event"] == "progress" {
            assert_conserved(event);
        }
    }
    let end = events.last().unwrap();
    assert_eq!((&end["event"], end["status"].as_i64()), (&"end".into(), Some(status.into())), "{done:#?}");
    assert!(events[..events.len() - 1].iter().all(|event| event["event"] != "end"));
    events
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

#[test]
fn a_run_is_told_in_events() {
    let place = Place::new();
    let simulator = Simulator::start(
        &place,
        "[jobs]\nbase_seconds = 1.0\n[inputs]\nuncoded = 0.0\npermanent_codes = { dead_page = 1.0 }\nmarked = { \"/dead/\" = \"permanent\" }",
    );
    place.file("a.txt", "https://shop.example/1\nhttps://shop.example/dead/2\n");
    place.file("b.xlsx", "");
    let done = place.finish(place.run_against(&simulator, &["a.txt", "b.xlsx", "--json"]));
    assert_eq!(done.err, "");
    let seen = events(&done, 2);
    let started = named(&seen, "started");
    let with_file = place.finish(place.run_against(&simulator, &["a.txt", "--json", "--output", "csv"]));
    let with_file = events(&with_file, 1);
    let written = named(&with_file, "written");
    let file = place.path(written[0]["file"].as_str().unwrap());
    assert_eq!(std::fs::metadata(file).unwrap().len(), written[0]["bytes"]);
    assert_eq!((started.len(), &started[0]["key"], &started[0]["collector"]), (2, &"a.txt".into(), &"c_shop00".into()));
    let progress = named(&seen, "progress");
    assert!(
        progress.iter().any(|event| event["done"] == 0 && event["total"] == 2 && event["batches"] == 1),
        "{seen:#?}"
    );
    let last = progress.iter().rfind(|event| event["key"] == "a.txt").unwrap();
    assert_eq!((&last["done"], &last["state"]), (&2.into(), &"complete_with_failures".into()));
    let finished = named(&seen, "finished");
    let [one, other] = finished.as_slice() else { panic!("{finished:#?}") };
    assert_eq!((&one["key"], &one["manifest"]), (&"a.txt".into(), &place.manifest("a.txt")));
    assert_eq!(other["manifest"]["state"], "rejected");
    for name in ["manifest", "failed", "errors"] {
        assert!(place.path(one["places"][name].as_str().unwrap()).is_file(), "{one:#}");
    }
    assert!(place.path(one["places"]["outputs"][0].as_str().unwrap()).is_file(), "{one:#}");
    // The result of a finished run.
    let again = events(&place.finish(place.run_against(&simulator, &["a.txt", "--json"])), 1);
    assert_eq!(named(&again, "finished"), [*one]);
}

#[test]
fn errors_are_events_too() {
    let place = Place::new();
    place.file("a.txt", "https://shop.example/1\n");
    let one = |done: &Done, status, words: &str| {
        let seen = events(done, status);
        let told: Vec<&Value> = seen.iter().filter(|event| event["event"] != "started").collect();
        assert_eq!((told.len(), done.err.as_str()), (2, ""), "{done:#?}");
        assert_eq!((&told[0]["event"], told[0]["status"].as_i64()), (&"error".into(), Some(status.into())));
        assert!(told[0]["message"].as_str().unwrap().contains(words), "{done:#?}");
    };
    one(&place.finish(place.run(&["a.txt", "--json"])), 2, "there is no API token");
    one(&place.finish(place.run(&["--json"])), 2, "<FILES>");
    one(&place.finish(place.run(&["a.txt", "--json", "--nonsense"])), 2, "--nonsense");
    place.file(".env", "a secret");
    let done = place.finish(place.run(&["a.txt", "--json"]));
    one(&done, 2, "line 1 of .env");
    std::fs::remove_file(place.path(".env")).unwrap();

    let simulator = Simulator::start(&place, "token = \"right\"\n[jobs]\nbase_seconds = 600.0");
    let mut wrong = place.run_against(&simulator, &["a.txt", "--json"]);
    wrong.env("BRIGHT_DATA_API_TOKEN", "wrong");
    let seen = events(&place.finish(wrong), 3);
    let unfinished = named(&seen, "unfinished");
    assert!(unfinished[0]["message"].as_str().unwrap().contains("set BRIGHT_DATA_API_TOKEN"), "{seen:#?}");

    let mut running = place.start(place.run_against(&simulator, &["a.txt", "--json"]));
    running.until("progress", |running| running.out().contains("\"batches\":1").then_some(()));
    running.interrupt();
    let seen = events(&running.finish(), 130);
    assert!(named(&seen, "error")[0]["message"].as_str().unwrap().contains("run the same command again"));
    // Work of another file that is left in the folder.
    place.file("b.txt", "https://shop.example/2\n");
    let mut running = place.start(place.run_against(&simulator, &["b.txt", "--json"]));
    running.until("progress", |running| running.out().contains("\"batches\":1").then_some(()));
    running.interrupt();
    let seen = events(&running.finish(), 130);
    assert!(named(&seen, "note")[0]["message"].as_str().unwrap().contains("unfinished work of a.txt"), "{seen:#?}");
}
