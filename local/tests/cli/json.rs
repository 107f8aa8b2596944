//! `--json` of the commands that decide something: one object, whatever happens, with the fields that docs/reference.md names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Place, Simulator};

/// The fields of each command, as the page says.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md");
    let page = fs::read_to_string(page).unwrap();
    let table = page.split("\n| `--json` of | fields |").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|');
        let command = names(cells.next().unwrap()).remove(0);
        (command, names(cells.next().unwrap()).into_iter().collect())
    })
    .collect()
}

impl Place {
    /// The one object that a command prints; its exit status and its fields are as they should be.
    fn object(&self, simulator: &Simulator, row: &str, arguments: &[&str], status: i32) -> Value {
        let mut command = self.command(&[arguments, &["--json"]].concat());
        command.env("BRIGHT_DATA_API_URL", &simulator.address).env("BRIGHT_DATA_API_TOKEN", "right");
        let done = self.finish(command);
        assert_eq!(done.out.lines().count(), 1, "{done:#?}");
        let object: Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!((done.status, &object["status"]), (Some(status), &status.into()), "{done:#?}");
        let fields: BTreeSet<String> = object.as_object().unwrap().keys().cloned().collect();
        let mut expected = documented()[row].clone();
        expected.insert("status".to_owned());
        assert_eq!(fields, expected, "{row}: {object:#}");
        object
    }
}

const DEAD: &str =
    "[inputs]\npermanent_codes = { dead_page = 1.0 }\nuncoded = 0.0\nmarked = { \"/dead/\" = \"permanent\" }\n";

#[test]
fn a_finished_run_is_retried() {
    let place = Place::new();
    let simulator = Simulator::start(&place, DEAD);
    place.file("urls.txt", "https://shop.example/dead/1\nhttps://shop.example/2\n");
    place.finish(place.run_against(&simulator, &["urls.txt"])).expect(1, &[]);
    let offer = place.object(&simulator, "retry", &["retry", "urls.txt", "--data", "data"], 0);
    assert_eq!((&offer["chosen"], &offer["retry"]), (&0.into(), &Value::Null));
    assert_eq!(offer["codes"], serde_json::json!([{"code": "dead_page", "count": 1, "may_succeed": false}]));
    let done = place.object(&simulator, "retry", &["retry", "urls.txt", "--data", "data", "--all"], 1);
    assert_eq!((&done["chosen"], &done["retry"]["state"]), (&1.into(), &"complete_with_failures".into()));
    let key = done["retry"]["key"].as_str().unwrap();
    assert_eq!(done["retry"]["manifest"], place.manifest(key));
    let none = place.object(&simulator, "release", &["release", "--data", "data"], 0);
    assert_eq!(none["held"], Value::Array(Vec::new()));
    let over = place.object(&simulator, "an error", &["cancel", "urls.txt", "--data", "data"], 2);
    assert!(over["error"].as_str().unwrap().contains("is over: there is nothing left to cancel"), "{over}");
    place.object(&simulator, "an error", &["cancel"], 2);
    place.object(&simulator, "an error", &["release", "--nonsense"], 2);
}

#[test]
fn a_cancelled_run_says_since_when() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "[jobs]\nbase_seconds = 15\nlongest_seconds = 15\n");
    let rows: String = (0..60).map(|row| format!("https://shop.example/{row}\n")).collect();
    place.file("list.txt", rows);
    let mut command = place.run_against(&simulator, &["list.txt"]);
    command.env("BATCH_INPUTS_MAX", "10");
    let mut running = place.start(command);
    running.until("all collections", |_| (simulator.accepted() == 6).then_some(()));
    running.interrupt();
    running.finish().expect(130, &[]);
    let done = place.object(&simulator, "cancel", &["cancel", "list.txt", "--data", "data"], 1);
    let manifest = place.manifest("list.txt");
    assert_eq!((&done["manifest"], &done["state"], &done["key"]), (&manifest, &manifest["state"], &"list.txt".into()));
    let at = done["cancelled_at"].as_str().unwrap();

    let status = |arguments: &[&str]| place.finish(place.command(&[&["status", "data"], arguments].concat())).out;
    let listed: Value = serde_json::from_str(&status(&["--json"])).unwrap();
    assert_eq!((&listed["cancelled_at"], &listed["run"]), (&at.into(), &done["run"]));
    let detail: Value = serde_json::from_str(&status(&["--run", "list.txt", "--json"])).unwrap();
    assert_eq!((&detail["cancelled_at"], &detail["inputs"]), (&at.into(), &manifest["inputs"]));
    let second = &at[..19];
    assert!(
        status(&["--run", "list.txt"]).contains(&format!("  cancelled   {second}Z\n")),
        "{}",
        status(&["--run", "list.txt"])
    );
    assert!(status(&[]).lines().next().unwrap().contains("  cancelled  "), "{}", status(&[]));
    assert!(status(&[]).contains(&format!("  {second}Z  ")), "{}", status(&[]));
}

#[test]
fn money_is_told_to_programs() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "");
    place.file("list.txt", "https://shop.example/1\nhttps://shop.example/2\n");
    let mut command = place.run_against(&simulator, &["list.txt"]);
    command.env("SPENDING_LIMITS", "month=1000");
    place.finish(command).expect(0, &[]);
    let paused = place.object(&simulator, "pause", &["pause", "--reason", "tea", "--data", "data"], 0);
    assert_eq!((&paused["paused"], &paused["reason"]), (&true.into(), &"tea".into()));
    let spending = place.object(&simulator, "spending", &["spending", "data"], 0);
    assert_eq!(spending["paused"]["reason"], "tea");
    assert_eq!((&spending["limits"][0]["name"], &spending["limits"][0]["left"]), (&"month".into(), &998.into()));
    assert_eq!(
        (&spending["accounts"][0]["collector"], &spending["accounts"][0]["inputs"]),
        (&"c_shop00".into(), &2.into())
    );
    let resumed = place.object(&simulator, "resume", &["resume", "--data", "data"], 0);
    assert_eq!((&resumed["paused"], &resumed["runs"]), (&false.into(), &0.into()));
}

#[test]
fn held_work_is_listed_and_released() {
    let place = Place::new();
    place.file("two.csv", "url\nhttps://shop.example/1\nhttps://shop.example/2\n");
    let refusing = "trigger_error_accepted = 0.0\nfaults.trigger.server_error = 1.0\njobs.base_seconds = 0.1";
    let simulator = Simulator::start(&place, refusing);
    let command = || {
        let mut command = place.run_against(&simulator, &["two.csv"]);
        command.env("ON_IN_DOUBT", "hold");
        command
    };
    let mut running = place.start(command());
    running.until("a send", |_| simulator.seen("calls").as_object().filter(|calls| !calls.is_empty()).map(drop));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(running.kill());
    place.finish(command()).expect(4, &[]);
    let held = place.object(&simulator, "release", &["release", "--data", "data"], 4);
    let work = &held["held"][0];
    assert_eq!((&work["inputs"], &work["reason"], &work["batch"]), (&2.into(), &"in_doubt".into(), &1.into()));
    let run = work["run"].as_str().unwrap();
    let given_up = ["release", run, "--give-up", "--data", "data"];
    let released = place.object(&simulator, "release RUN", &given_up, 0);
    assert_eq!(released["released"][0]["slice"], work["slice"]);
    place.object(&simulator, "an error", &given_up, 2);
}
