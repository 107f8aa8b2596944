//! `dropcollect retry`: failed inputs of a finished run once more, chosen by their codes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{Done, Place, Simulator};

/// Some inputs fail once, others always; every input is triggered once only.
const SCENARIO: &str = "[inputs]\ntransient = 0.2\npermanent = 0.1\ntransient_failures_max = 1\n";
const ROWS: usize = 200;

fn failed_run(place: &Place, simulator: &Simulator) -> BTreeMap<String, Vec<u64>> {
    let rows: String = (0..ROWS).map(|row| format!("https://shop.example/{row},{row}\n")).collect();
    place.file("list.csv", format!("url,\"row, number\"\n{rows}"));
    let mut command = place.run_against(simulator, &["list.csv"]);
    command.env("ATTEMPTS_MAX", "1");
    place.finish(command).expect(1, &["complete, with failures"]);
    let mut codes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (line, code) in place.errors("list.csv") {
        codes.entry(code).or_default().push(line);
    }
    assert!(codes.len() > 2, "{codes:?}");
    codes
}

fn retry(place: &Place, simulator: &Simulator, arguments: &[&str]) -> Done {
    let mut command: Command = place.command(&[&["retry", "list.csv", "--data", "data"], arguments].concat());
    command.env("BRIGHT_DATA_API_URL", &simulator.address).env("BRIGHT_DATA_API_TOKEN", "right");
    place.finish(command)
}

/// The key that it is run under again.
fn key(place: &Place) -> String {
    let names = fs::read_dir(place.path("data/output")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name != "list.csv");
    assert_eq!(names.len(), 1, "{names:?}");
    names.remove(0)
}

fn inputs_of_last_job(simulator: &Simulator) -> Vec<Value> {
    let jobs = simulator.seen("jobs");
    jobs.as_array().unwrap().last().unwrap()["inputs"].as_array().unwrap().clone()
}

#[test]
fn the_chosen_inputs_are_run_again_once() {
    let place = Place::new();
    let simulator = Simulator::start(&place, SCENARIO);
    let codes = failed_run(&place, &simulator);
    let failures: usize = codes.values().map(Vec::len).sum();
    let offered = retry(&place, &simulator, &[]);
    offered.expect(0, &[&format!("list.csv: {failures} failed inputs"), "--code CODE, or --all"]);
    for (code, lines) in &codes {
        let line = offered.out.lines().find(|line| line.trim_start().starts_with(code.as_str())).unwrap();
        assert!(line.split_whitespace().any(|word| word == lines.len().to_string()), "{line}");
    }
    assert_eq!(simulator.accepted(), 1, "an offer costs nothing");

    let (code, lines) = codes.iter().max_by_key(|(_, lines)| lines.len()).unwrap();
    let done = retry(&place, &simulator, &["--code", code]);
    assert!(matches!(done.status, Some(0 | 1)), "{done:#?}");
    let key = key(&place);
    assert!(key.starts_with("list.retry-") && key.ends_with(".csv"), "{key}");
    let manifest = place.manifest(&key);
    assert_eq!(manifest["inputs"]["read"], lines.len());
    assert_eq!(manifest["collector"], "c_shop00", "{manifest:#}");
    let expected = lines.iter().map(|line| format!("https://shop.example/{}", line - 2));
    let sent: Vec<String> =
        inputs_of_last_job(&simulator).iter().map(|input| input["url"].as_str().unwrap().to_owned()).collect();
    assert_eq!(sent, expected.collect::<Vec<_>>());
    // The file is beside the failed one, with the header as it was written.
    let file: PathBuf = place.result("failed", "list.csv", "failed.retry.csv").unwrap();
    assert!(fs::read_to_string(file).unwrap().starts_with("url,\"row, number\"\n"));

    let accepted = simulator.accepted();
    let again = retry(&place, &simulator, &["--code", code]);
    assert_eq!(again.status, done.status);
    assert_eq!(simulator.accepted(), accepted, "the same once more costs nothing");
    retry(&place, &simulator, &["--code", code, "--again"]);
    assert!(simulator.accepted() > accepted);
}

#[test]
fn all_of_them_and_beginnings_of_codes() {
    let place = Place::new();
    let simulator = Simulator::start(&place, SCENARIO);
    let codes = failed_run(&place, &simulator);
    retry(&place, &simulator, &["--code", "no_such_code"])
        .expect(2, &["no input failed with that code", codes.keys().next().unwrap()]);
    retry(&place, &simulator, &["--all", "--code", "x"]).expect(2, &["cannot be used with"]);
    let (code, _) = codes.first_key_value().unwrap();
    let beginning = format!("{}*", &code[..2]);
    let of_beginning: usize =
        codes.iter().filter(|(code, _)| code.starts_with(&beginning[..2])).map(|(_, lines)| lines.len()).sum();
    retry(&place, &simulator, &["--code", &beginning]);
    assert_eq!(place.manifest(&key(&place))["inputs"]["read"], of_beginning);
    let done = retry(&place, &simulator, &["--all"]);
    let failures: usize = codes.values().map(Vec::len).sum();
    done.expect(1, &[&format!("{failures} inputs of list.csv are run again"), &format!("{failures} read")]);
}
