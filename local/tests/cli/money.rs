//! `dropcollect pause`, `resume`, `spending`, `release --over-limits`: who may pay for what, and what was paid.

use std::fs;

use crate::support::{Place, Simulator, lines};

const ROWS: u64 = 120;

/// A list in batches of ten, and a run of it that ends with this status.
fn run(place: &Place, simulator: &Simulator, limits: &str, status: i32, words: &[&str]) {
    let rows: String = (0..ROWS).map(|row| format!("https://shop.example/{row}\n")).collect();
    place.file("list.txt", rows);
    let mut command = place.run_against(simulator, &["list.txt"]);
    command.env("BATCH_INPUTS_MAX", "10").env("SPENDING_LIMITS", limits);
    place.finish(command).expect(status, words);
}

/// A command on the data folder.
fn on_data(place: &Place, arguments: &[&str], status: i32, words: &[&str]) -> String {
    let done = place.finish(place.command(&[arguments, &["--data", "data"]].concat()));
    done.expect(status, words);
    done.out
}

/// The accounts of all months: sums of the columns from `collections` on.
fn accounts(place: &Place) -> Vec<u64> {
    let mut sums = vec![0; 6];
    for file in place.files("data/accounts") {
        for line in fs::read_to_string(file).unwrap().lines().skip(1) {
            for (sum, cell) in sums.iter_mut().zip(line.split(',').skip(2)) {
                *sum += cell.parse::<u64>().unwrap();
            }
        }
    }
    sums
}

#[test]
fn a_pause_stops_the_next_command_and_a_resumption_lets_it_go_on() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "");
    fs::create_dir_all(place.path("data")).unwrap();
    on_data(&place, &["pause", "--reason", "prices look wrong"], 0, &["prices look wrong", "dropcollect resume"]);
    run(&place, &simulator, "", 4, &["paused by a person since", "prices look wrong", "the same command goes on"]);
    assert_eq!(simulator.accepted(), 0);
    let status = place.finish(place.command(&["status", "data", "--run", "list.txt"]));
    status.expect(0, &["list.txt: held", "paused by a person since"]);
    place.finish(place.command(&["spending", "data"])).expect(0, &["paused by a person", "prices look wrong"]);
    // Whoever pauses what is paused changes nothing.
    on_data(&place, &["pause", "--reason", "another"], 0, &["prices look wrong"]);

    on_data(&place, &["resume"], 0, &["12 open batches of 1 run"]);
    run(&place, &simulator, "", 0, &["list.txt: complete", "paid        120 page loads for 120 inputs"]);
    assert_eq!(simulator.accepted(), 12);
    on_data(&place, &["resume"], 0, &["0 open batches of 0 runs"]);
}

#[test]
fn what_is_over_a_limit_waits_until_a_person_lets_it_pass() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "");
    run(
        &place,
        &simulator,
        "file=55,month=1000",
        4,
        &["the limit of 55 page loads a file", "--over-limits", "the same command goes on"],
    );
    // Batches of at most a tenth of the limit: eleven of five.
    assert_eq!(simulator.seen("summary")["inputs"], 55);
    let told = place.finish(place.command(&["spending", "data"]));
    told.expect(0, &["month  55 of 1000 page loads spent, 0 reserved, 945 left", "waits since"]);
    let status = place.finish(place.command(&["status", "data", "--run", "list.txt"]));
    status
        .expect(0, &["list.txt: held", "the limit of 55 page loads a file", "paid        55 page loads for 55 inputs"]);

    on_data(&place, &["release", "nothing.txt", "--over-limits"], 2, &["nothing.txt"]);
    on_data(&place, &["release", "list.txt", "--over-limits"], 0, &["may go over the spending limits"]);
    run(&place, &simulator, "file=55,month=1000", 0, &["list.txt: complete", "paid        120 page loads"]);
    assert_eq!(simulator.seen("summary")["inputs"], ROWS);
    let told = place.finish(place.command(&["spending", "data"]));
    told.expect(0, &["month  120 of 1000 page loads spent, 0 reserved, 880 left", "c_shop00"]);
    on_data(&place, &["release", "list.txt", "--over-limits"], 2, &["is not under way"]);
}

#[test]
fn a_limit_that_is_none_is_refused_before_anything_is_paid() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "");
    for (limits, word) in
        [("day=0", "day=0"), ("week=5", "week=5"), ("c_shop00.day", "c_shop00.day"), ("day=5,day=6", "day")]
    {
        run(&place, &simulator, limits, 2, &["SPENDING_LIMITS", word]);
    }
    assert_eq!(simulator.accepted(), 0);
    place.finish(place.command(&["spending", "data", "--month", "11/2026"])).expect(2, &["a month is written as"]);
}

/// Inputs that fail once, always, in whole collections, and pages that take more than one load.
#[test]
fn the_accounts_are_what_the_api_has_accepted() {
    let place = Place::new();
    let simulator = Simulator::start(
        &place,
        "[inputs]\ntransient = 0.3\npermanent = 0.1\nnothing = 0.1\nmany = 0.1\n[jobs]\nfailed = 0.2\n",
    );
    run(&place, &simulator, "", 1, &["complete, with failures", "of them again"]);
    let summary = simulator.seen("summary");
    let manifest = place.manifest("list.txt");
    let spent = &manifest["spent"];
    assert_eq!(spent["collections"], summary["accepted_triggers"], "{summary:#}");
    assert_eq!(spent["inputs"], summary["inputs"], "{summary:#}");
    assert_eq!(spent["page_loads"], summary["page_loads"], "{summary:#}");
    let again: u64 = spent["again"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(again, spent["inputs"].as_u64().unwrap() - ROWS, "each input once, and these again");

    let [collections, inputs, inputs_again, for_nothing, page_loads, records] = accounts(&place)[..] else {
        panic!("six columns")
    };
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    assert_eq!(
        [collections, inputs, inputs_again, for_nothing, page_loads, records],
        [
            number(&spent["collections"]),
            number(&spent["inputs"]),
            again,
            number(&spent["for_nothing"]),
            number(&spent["page_loads"]),
            number(&manifest["records"])
        ]
    );
    assert_eq!(place.records(&manifest).len() as u64, records);
    assert!(lines(&place.result("failed", "list.txt", "errors.ndjson").unwrap()).len() > 2);
}
