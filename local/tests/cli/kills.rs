//! Whatever ends the process, the next one goes on where it was and triggers nothing twice.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, Running, Simulator};

/// Answers take a while, so that many kills fall between a send and its answer; some inputs fail, so that there are more attempts.
const SCENARIO: &str = "seed = 7\n[faults.trigger]\nlatency_ms = 150\n[inputs]\ntransient = 0.1\npermanent = 0.04\nnothing = 0.03\nmany = 0.1\n";
const ROWS: usize = 1_100;
/// Batches of this size differ in ten sizes: which collection belongs to a lost answer is known at once.
const BATCH: &str = "100";

fn shop(place: &Place) {
    let rows: String = (0..ROWS).map(|row| format!("https://shop.example/{row}\n")).collect();
    place.file("shop.csv", format!("url\n{rows}"));
}

/// What does not depend on when things happened.
fn totals(place: &Place) -> (Value, Value, usize) {
    let manifest = place.manifest("shop.csv");
    assert_eq!(manifest["inputs"]["read"], ROWS);
    (manifest["inputs"].clone(), manifest["records"].clone(), place.records(&manifest).len())
}

/// How often each attempt of each batch was accepted.
fn attempts(queries: impl Iterator<Item = String>) -> BTreeMap<String, u32> {
    let mut attempts = BTreeMap::new();
    for name in queries {
        *attempts.entry(name).or_default() += 1;
    }
    assert!(attempts.keys().all(|name| name.starts_with("dropcollect ")), "{attempts:?}");
    attempts
}

fn assert_paid_once(simulator: &Simulator) {
    let summary = simulator.seen("summary");
    assert_eq!(summary["inputs_paid_again_after_success"], 0, "{summary:#}");
    let jobs = simulator.seen("jobs");
    let names = jobs.as_array().unwrap().iter().map(|job| job["query"]["name"].as_str().unwrap().to_owned());
    let attempts = attempts(names);
    assert!(attempts.len() > 12 && attempts.values().all(|times| *times == 1), "{attempts:#?}");
}

/// Kills one process after the other, each a little later, and lets the last one end.
fn kill_often(place: &Place, command: impl Fn() -> Command, first: impl FnOnce(&mut Running)) {
    let mut running = place.start(command());
    first(&mut running);
    assert!(running.kill());
    let mut kills = 1;
    for delay in [30, 60, 100, 150, 200, 270, 350, 450, 600, 800, 1_100, 1_500] {
        let running = place.start(command());
        std::thread::sleep(Duration::from_millis(delay));
        kills += u32::from(running.kill());
    }
    assert!(kills >= 10, "the run was over after {kills} kills");
    place.finish(command()).expect(1, &["shop.csv: complete, with failures"]);
}

#[test]
fn killed_a_dozen_times_it_pays_once_and_counts_as_if_nothing_had_happened() {
    let calm = Place::new();
    let place = Place::new();
    let simulator = Simulator::start(&place, SCENARIO);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let simulator = Simulator::start(&calm, SCENARIO);
            shop(&calm);
            let mut command = calm.run_against(&simulator, &["shop.csv"]);
            command.env("BATCH_INPUTS_MAX", BATCH);
            calm.finish(command).expect(1, &[]);
            assert_paid_once(&simulator);
        });
        shop(&place);
        let command = || {
            let mut command = place.run_against(&simulator, &["shop.csv"]);
            command.env("BATCH_INPUTS_MAX", BATCH);
            command
        };
        // The first kill comes right after the first acceptance, before its answer.
        kill_often(&place, command, |running| {
            running.until("an accepted trigger", |_| (simulator.accepted() > 0).then_some(()));
        });
    });
    assert_paid_once(&simulator);
    assert_eq!(totals(&place), totals(&calm));
}

#[test]
fn the_simulator_in_the_process_survives_with_it() {
    let place = Place::new();
    shop(&place);
    place.file("scenario.toml", format!("based_on = \"calm\"\n{SCENARIO}"));
    let command = || {
        let mut command = place.run(&["shop.csv", "--simulate", "--scenario", "scenario.toml"]);
        command.env("BATCH_INPUTS_MAX", BATCH).env("IN_DOUBT_WINDOW_SECONDS", "1");
        command
    };
    let journal = place.path("data/.dropcollect/simulator/journal.ndjson");
    kill_often(&place, command, |running| {
        running.until("an accepted trigger", |_| std::fs::metadata(&journal).ok().filter(|found| found.len() > 0));
    });
    let name = |job: Value| {
        let query = job["query"].as_array().unwrap().iter().find(|pair| pair[0] == "name").unwrap().clone();
        query[1].as_str().unwrap().to_owned()
    };
    let attempts = attempts(place.accepted().into_iter().map(name));
    assert!(attempts.len() > 12 && attempts.values().all(|times| *times == 1), "{attempts:#?}");
    totals(&place);
}

#[test]
fn ctrl_c_ends_it_and_a_second_process_keeps_out() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "");
    place.file("urls.txt", "https://shop.example/1\n");
    place.file("other.txt", "https://shop.example/2\n");
    let command = |name| place.run_against(&simulator, &[name]);

    let mut running = place.start(command("urls.txt"));
    running.until("an accepted trigger", |_| (simulator.accepted() > 0).then_some(()));
    running.until("a status", |_| place.path("data/status/urls.txt.json").exists().then_some(()));
    let holder = format!(
        "data is in use by process {}, and there is one process per folder: wait for it, or end it",
        running.id()
    );
    place.finish(command("urls.txt")).expect(2, &[&holder, "choose another folder with --data"]);
    place.finish(place.command(&["status", "data"])).expect(0, &["running", "urls.txt"]);
    running.interrupt();
    running.finish().expect(130, &["interrupted", "run the same command again"]);

    let other = place.finish(command("other.txt"));
    other.expect(0, &["other.txt: complete", "data also holds unfinished work of urls.txt"]);
    let resumed = place.finish(command("urls.txt"));
    resumed.expect(0, &["urls.txt: complete", "1 from 1 collection\n"]);
    assert_eq!(simulator.accepted(), 2);
}
