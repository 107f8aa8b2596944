//! `dropcollect status --run`: one run in detail, whatever its state.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Done, Place, Simulator, assert_conserved};

impl Place {
    fn detail(&self, named: &str, arguments: &[&str]) -> Done {
        self.finish(self.command(&[&["status", "data", "--run", named], arguments].concat()))
    }
}

#[test]
fn a_run_is_told_while_it_runs_and_when_it_is_over() {
    let place = Place::new();
    let simulator = Simulator::start(
        &place,
        "[jobs]\nbase_seconds = 3.0\n[inputs]\nuncoded = 0.0\npermanent_codes = { dead_page = 1.0 }\ntransient_failures_max = 1\ntransient_codes = { timeout = 1.0 }\nmarked = { \"/dead/\" = \"permanent\", \"/flaky/\" = \"transient\" }",
    );
    place.file(
        "a list.txt",
        "https://shop.example/1\nhttps://shop.example/dead/2\nhttps://shop.example/flaky/3\nhttps://shop.example/1\n",
    );
    let mut command = place.run_against(&simulator, &["a list.txt"]);
    command.env("BATCH_INPUTS_MAX", "2");
    let mut running = place.start(command);
    let told = |running: &mut crate::support::Running, words: &str| {
        running.until(words, |_| Some(place.detail("a list.txt", &[])).filter(|done| done.out.contains(words)))
    };
    let first = told(&mut running, "attempt 1   0 collections fetched, 2 running");
    first.expect(0, &["a list.txt: running\n", "collector c_shop00", "waits for   2 collections, the oldest since 20"]);
    first.expect(0, &[" pending + 0 held\n", "next        nothing, as long as"]);
    let second = told(&mut running, "attempt 2   0 collections fetched, 1 running");
    second.expect(
        0,
        &["attempt 1   2 collections fetched; 1 record, 2 inputs failed", "dead_page (1 input, from batch 1)"],
    );
    let status = place.detail("a list.txt", &["--json"]);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_conserved(&status);
    assert_eq!((&status["state"], &status["input"]["key"]), (&"running".into(), &"a list.txt".into()));
    running.finish().expect(1, &[]);

    let manifest = place.manifest("a list.txt");
    let run = manifest["run"].as_str().unwrap();
    let over = place.detail(run, &[]);
    over.expect(0, &["a list.txt: complete, with failures\n", ", finished 20", ", took "]);
    over.expect(
        0,
        &["2 with records + 0 without a record + 1 failed\n", "2 from 3 collections", "because     dead_page (line 2)"],
    );
    over.expect(
        0,
        &[
            "attempt 1   2 collections fetched; 1 record, 2 inputs failed\n",
            "attempt 2   1 collection fetched; 1 record\n",
        ],
    );
    over.expect(0, &["errors      data/failed/a list.txt/", "manifest    data/output/a list.txt/"]);
    // What is said to be next can be done.
    over.expect(0, &[&format!("next        dropcollect why {run} 2 --data data\n")]);
    let retry = place.finish(place.command(&["retry", run, "--data", "data"]));
    retry.expect(0, &["a list.txt: 1 failed inputs", "dead_page"]);
    over.expect(0, &[&format!("dropcollect retry {run} --data data    (says ")]);
    let next = over.out.lines().last().unwrap().trim().strip_suffix("    (once it is corrected)").unwrap();
    assert!(next.starts_with("dropcollect run 'data/failed/a list.txt/") && next.ends_with("/failed.txt'"), "{next}");
    let why = place.finish(place.command(&["why", run, "2", "--data", "data"]));
    why.expect(0, &["line 2: failed for good (dead_page)"]);
    let json: Value = serde_json::from_str(&place.detail("a list.txt", &["--json"]).out).unwrap();
    assert_eq!(json, manifest);
}

#[test]
fn complete_rejected_and_unknown_runs_are_told() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "");
    place.file("urls.txt", "https://shop.example/1\n");
    place.finish(place.run_against(&simulator, &["urls.txt"])).expect(0, &[]);
    let done = place.detail("urls.txt", &[]);
    done.expect(0, &["urls.txt: complete\n", "attempt 1   1 collection fetched; 1 record\n"]);
    done.expect(0, &["next        dropcollect parquet data urls.txt\n"]);
    place.finish(place.command(&["parquet", "data", "urls.txt"])).expect(0, &[]);

    place.file("table.xlsx", "");
    place.finish(place.run_against(&simulator, &["table.xlsx"])).expect(2, &[]);
    let done = place.detail("table.xlsx", &[]);
    done.expect(0, &["table.xlsx: rejected", "has no known extension", "nothing was paid for", "run it again"]);

    place.detail("other.txt", &[]).expect(2, &["other.txt is neither the id of a run nor an input key"]);
    place.detail("0123456789abcdef", &[]).expect(2, &["there is no run 0123456789abcdef here", "`dropcollect status`"]);
}

#[test]
fn held_work_comes_with_the_decisions_that_release_it() {
    let place = Place::new();
    place.file("two.txt", "https://shop.example/1\nhttps://shop.example/2\n");
    let simulator = Simulator::start(
        &place,
        "trigger_error_accepted = 0.0\nfaults.trigger.server_error = 1.0\njobs.base_seconds = 0.1",
    );
    let command = || {
        let mut command = place.run_against(&simulator, &["two.txt"]);
        command.env("ON_IN_DOUBT", "hold");
        command
    };
    let mut running = place.start(command());
    running.until("a send", |_| simulator.seen("calls").as_object().filter(|calls| !calls.is_empty()).map(drop));
    std::thread::sleep(Duration::from_millis(300));
    assert!(running.kill());
    let held = place.finish(command());
    held.expect(4, &["dropcollect release ", " --data data"]);
    let done = place.detail("two.txt", &[]);
    done.expect(0, &["two.txt: held\n", "0 pending + 2 held", "waits for   a trigger got no answer"]);
    done.expect(0, &["held        batch 1 attempt 1 slice 00000-00002, 2 inputs since 20", "(in_doubt): "]);
    let run = done.out.split("run         ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    done.expect(0, &[&format!("dropcollect release {run} --data data --again"), "--give-up", "--adopt j_…"]);
    place.finish(place.command(&["release", &run, "--data", "data", "--give-up"])).expect(0, &["released"]);
    place.finish(command()).expect(1, &["given_up"]);

    // Another reason to wait: the token.
    let refusing = Simulator::start(&place, "token = \"other\"");
    place.file("one.txt", "https://shop.example/1\n");
    place.finish(place.run_against(&refusing, &["one.txt"])).expect(3, &[]);
    let done = place.detail("one.txt", &[]);
    done.expect(
        0,
        &["one.txt: held\n", "waits for   the API refused the token", "next        set BRIGHT_DATA_API_TOKEN"],
    );
}
