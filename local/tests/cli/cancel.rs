//! `dropcollect cancel`: a run that a person stops.

use std::fs;

use serde_json::Value;

use crate::support::{Place, Simulator, lines};

const ROWS: usize = 300;

/// 30 batches, of jobs that take long; interrupted when some have been triggered, and the `whole` file has been read.
fn begun(place: &Place, simulator: &Simulator, whole: bool) {
    let rows: String = (0..ROWS).map(|row| format!("https://shop.example/{row}\n")).collect();
    place.file("list.txt", rows);
    let mut command = place.run_against(simulator, &["list.txt"]);
    command.env("BATCH_INPUTS_MAX", "10");
    let mut running = place.start(command);
    running.until("some collections", |_| (simulator.accepted() >= 3).then_some(()));
    if whole {
        let read = |run: fs::DirEntry| run.path().join("end.json").exists();
        let runs = || fs::read_dir(place.path("data/ledger/runs")).unwrap().map(Result::unwrap);
        running.until("the end of the file", |_| runs().any(read).then_some(()));
    }
    running.interrupt();
    running.finish().expect(130, &["interrupted"]);
}

fn against(place: &Place, simulator: &Simulator, arguments: &[&str]) -> std::process::Command {
    let mut command = place.command(&[arguments, &["--data", "data"]].concat());
    command.env("BRIGHT_DATA_API_URL", &simulator.address).env("BRIGHT_DATA_API_TOKEN", "right");
    command
}

#[test]
fn nothing_more_is_triggered_and_what_has_come_is_kept() {
    let place = Place::new();
    let slow = "[api]\njobs_max = 3\nover_cap = \"error\"\n[jobs]\nbase_seconds = 15\nlongest_seconds = 15\n";
    let simulator = Simulator::start(&place, slow);
    begun(&place, &simulator, true);
    let before = simulator.accepted();
    assert!(before < 10, "{before} of 30 batches were triggered");
    let done = place.finish(against(&place, &simulator, &["cancel", "list.txt"]));
    done.expect(1, &["told to stop", "open batches", "run_cancelled", "list.txt: complete, with failures"]);
    assert_eq!(simulator.accepted(), before);

    let manifest = place.manifest("list.txt");
    assert_eq!(manifest["inputs"]["read"], ROWS);
    assert_eq!(manifest["collections"].as_array().unwrap().len() as u64, before);
    let errors = lines(&place.result("failed", "list.txt", "errors.ndjson").unwrap());
    let unsent: Vec<&Value> = errors.iter().filter(|error| error["attempts"] == 0).collect();
    assert_eq!(unsent.len() as u64, ROWS as u64 - 10 * before, "each batch has ten inputs");
    assert!(unsent.iter().all(|error| error["code"] == "run_cancelled"), "{unsent:?}");
    let jobs = simulator.seen("jobs");
    assert!(jobs.as_array().unwrap().iter().all(|job| job["status"] != "running"), "{jobs:#}");

    let line = unsent[0]["line"].to_string();
    let why = against(&place, &simulator, &["why", "list.txt", &line]);
    place.finish(why).expect(0, &["failed for good (run_cancelled)", "not triggered: the run was cancelled"]);
    let again = against(&place, &simulator, &["cancel", "list.txt"]);
    place.finish(again).expect(2, &["is over: there is nothing left to cancel"]);
}

#[test]
fn without_a_token_it_is_recorded_and_goes_on_with_one() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "[jobs]\nbase_seconds = 15\nlongest_seconds = 15\n");
    begun(&place, &simulator, false);
    let mut command = against(&place, &simulator, &["cancel", "list.txt"]);
    command.env_remove("BRIGHT_DATA_API_TOKEN");
    place.finish(command).expect(2, &["there is no API token"]);
    let before = simulator.accepted();
    // Whoever runs the file again finds it stopped.
    let mut command = place.run_against(&simulator, &["list.txt"]);
    command.env("BATCH_INPUTS_MAX", "10");
    let done = place.finish(command);
    done.expect(1, &["problem     the run was cancelled when"]);
    assert_eq!(simulator.accepted(), before);
    let manifest = place.manifest("list.txt");
    let read = manifest["inputs"]["read"].as_u64().unwrap();
    assert!(read < ROWS as u64, "{manifest:#}");
    let message = format!("the run was cancelled when {read} rows of the file had been read");
    assert_eq!(manifest["problem"]["message"], message, "{manifest:#}");
}

#[test]
fn what_cannot_be_cancelled_is_said() {
    let place = Place::new();
    place.file("data/.keep", "");
    let command = place.command(&["cancel", "list.txt", "--data", "data"]);
    place.finish(command).expect(2, &["list.txt is neither the id of a run nor an input key"]);
    let command = place.command(&["cancel", "0123456789abcdef", "--data", "data"]);
    place.finish(command).expect(2, &["has not begun, or its file was rejected"]);
    let command = place.command(&["cancel", "list.txt", "--data", "elsewhere"]);
    place.finish(command).expect(2, &["elsewhere is no folder"]);
    assert!(fs::read_dir(place.path("data")).unwrap().all(|entry| entry.unwrap().file_name() != "ledger"));
}
