//! `dropcollect doctor`: what it sees, what it says to do, and that it leaves nothing behind and tells no token.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use pipeline::keys;
use pipeline::ledger::{HeldMark, HeldRecord};
use pipeline::words::{AttemptId, RunId, Slice};
use serde_json::{Value, json};

use crate::support::{Done, Place, Simulator, side_by_side};

const TOKEN: &str = "s3cr3t-t0k3n";
const TWO: &str = "url\nhttps://shop.example/1\nhttps://shop.example/2\n";

/// `dropcollect doctor …` with these variables, for the folder `data` if no other is named; broken lines are joined. Whatever the variables
/// are, no token is told.
fn doctor(place: &Place, variables: &[(&str, &str)], arguments: &[&str]) -> Done {
    let folder: &[&str] = if arguments.contains(&"--data") { &[] } else { &["--data", "data"] };
    let mut command = place.command(&[&["doctor"], folder, arguments].concat());
    command.envs(variables.iter().copied());
    let done = place.finish(command);
    assert!(!done.out.contains("s3cr3t") && done.err.is_empty(), "{done:#?}");
    Done { out: done.out.replace("\n         ", " "), ..done }
}

/// The same, with `--json`: the checks by their names.
fn checks(place: &Place, variables: &[(&str, &str)], arguments: &[&str]) -> BTreeMap<String, Value> {
    let done = doctor(place, variables, &[&["--json"], arguments].concat());
    let check = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    done.out.lines().map(check).map(|check| (check["name"].as_str().unwrap().to_owned(), check)).collect()
}

/// Every file below a folder, with its bytes.
fn everything(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(everything(&path)),
            false => _ = found.insert(path.display().to_string(), fs::read(&path).unwrap()),
        }
    }
    found
}

/// An HTTP server that says the same to everyone; its address.
fn answering(answer: impl Fn() -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            while request.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let _ = stream.write_all(answer().as_bytes());
        }
    });
    address
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

#[test]
fn where_all_is_well_every_check_says_so_and_nothing_changes() {
    let place = Place::new();
    place.file("two.csv", TWO);
    let simulator = Simulator::start(&place, "token = \"right\"");
    place.finish(place.run_against(&simulator, &["two.csv"])).expect(0, &[]);
    let before = everything(&place.path("data"));
    let address = ("BRIGHT_DATA_API_URL", simulator.address.as_str());
    let variables = [("BRIGHT_DATA_API_TOKEN", "right"), ("BRIGHT_DATA_COLLECTOR_ID", "c_shop00"), address];
    let done = doctor(&place, &variables, &[]);
    done.expect(
        0,
        &["accepts it", "c_shop00: jobs of the last 16 days: 1", "clock: as the API's", "it holds real runs"],
    );
    done.expect(0, &["set: BRIGHT_DATA_API_TOKEN, BRIGHT_DATA_API_URL, BRIGHT_DATA_COLLECTOR_ID"]);
    assert_eq!(done.out.lines().filter(|line| line.starts_with("ok ")).count(), 10, "{}", done.out);
    assert_eq!((done.out.lines().count(), done.out.contains("->")), (10, false), "{}", done.out);
    assert_eq!(everything(&place.path("data")), before);
    assert_eq!(simulator.accepted(), 1);
    let calls = simulator.seen("calls");
    let posts = calls.as_object().unwrap().iter().filter(|(call, _)| call.starts_with("POST"));
    assert_eq!(posts.map(|(_, count)| count.as_u64().unwrap()).sum::<u64>(), 1, "{calls:#}");
}

/// Variables and arguments, exit status, the check in question, its state, and words of what it says.
struct Case<'a>(&'a [(&'a str, &'a str)], &'a [&'a str], i32, &'a str, &'a str, &'a [&'a str]);

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let place = Place::new();
    let simulator = Simulator::start(&place, &format!("token = \"{TOKEN}\""));
    let jobs = |status: &'static str, body: &'static str| answering(move || response(status, "", body));
    let (elsewhere, busy) = (jobs("404 Not Found", "no such page"), jobs("503 Service Unavailable", "down"));
    let (often, barred) = (jobs("429 Too Many Requests", "slow down"), jobs("403 Forbidden", "no permission"));
    let (page, moved) = (jobs("200 OK", "<html>welcome</html>"), jobs("301 Moved", ""));
    let echo = answering(|| response("401 Unauthorized", "", &format!("bad key {TOKEN}")));
    let tls = simulator.address.replace("http:", "https:");
    let api = ("BRIGHT_DATA_API_URL", simulator.address.as_str());
    let token = ("BRIGHT_DATA_API_TOKEN", TOKEN);
    let at = |address| [token, ("BRIGHT_DATA_API_URL", address)];
    let quoted = format!("\"{TOKEN}\"");
    let (bearer, spaced) = (format!("Bearer {TOKEN}"), format!("{TOKEN} {TOKEN}"));
    let given = |value| [api, ("BRIGHT_DATA_API_TOKEN", value)];
    let cases = [
        Case(&[api], &[], 2, "token", "problem", &["is not set", "API key", "--simulate"]),
        Case(&[api, ("BRIGHTDATA_API_KEY", TOKEN)], &[], 2, "token", "problem", &["BRIGHTDATA_API_KEY is"]),
        Case(&given(&quoted), &[], 2, "token", "problem", &["quotation marks", "the key alone"]),
        Case(&given(&bearer), &[], 2, "token", "problem", &["begins with \"Bearer\"", "the key alone"]),
        Case(&given(&spaced), &[], 2, "token", "problem", &["has spaces", "the key alone"]),
        Case(
            &[api, token, ("BRIGHT_DATA_API_TOKEN_SECRET", "s")],
            &[],
            2,
            "token",
            "problem",
            &["are both set", "once"],
        ),
        Case(
            &given("wr0ng-s3cr3t"),
            &[],
            3,
            "token",
            "problem",
            &["refuses it (401): Invalid credentials", "brightdata.com/cp"],
        ),
        Case(&at(&echo), &[], 3, "token", "problem", &["refuses it (401): bad key …"]),
        Case(&at(&barred), &[], 3, "token", "problem", &["(403): no permission", "may run collectors"]),
        Case(&given(TOKEN), &[], 0, "token", "ok", &["lets it in", "Missing collector parameter"]),
        Case(&given(TOKEN), &[], 0, "collector", "skipped", &["none is named", "--collector"]),
        Case(&given(TOKEN), &["--collector", "shop"], 2, "collector", "problem", &["\"shop\"", "c_"]),
        Case(&given(TOKEN), &["--collector", "c_shop00"], 0, "token", "ok", &["accepts it"]),
        Case(&given(TOKEN), &["--collector", "c_shop00"], 0, "collector", "warning", &["no job", "control panel"]),
        Case(&at("http://127.0.0.1:1"), &[], 2, "token", "problem", &["cannot be reached", "nothing listens there"]),
        Case(&at("http://nowhere.invalid"), &[], 2, "token", "problem", &["cannot be reached", "check the host name"]),
        Case(&at(&tls), &[], 2, "token", "problem", &["cannot be reached", "BRIGHT_DATA_API_URL"]),
        Case(&at(&elsewhere), &[], 2, "token", "problem", &["no job list (404)", "correct BRIGHT_DATA_API_URL"]),
        Case(&at(&elsewhere), &["--collector", "c_shop00"], 2, "collector", "skipped", &["told nothing"]),
        Case(&at(&page), &[], 2, "token", "problem", &["does not answer as the API does (200)"]),
        Case(&at(&moved), &[], 2, "token", "problem", &["does not answer as the API does (301)"]),
        Case(&at(&busy), &[], 0, "token", "warning", &["in trouble (503: down)", "ask again later"]),
        Case(&at(&often), &[], 0, "token", "warning", &["asked too often (429)", "ask again later"]),
        Case(
            &[api, token, ("BATCH_INPUTS_MAX", "0"), ("OUTPUT_FORMAT", "xml")],
            &[],
            2,
            "settings",
            "problem",
            &["BATCH_INPUTS_MAX is \"0\"", "OUTPUT_FORMAT is \"xml\""],
        ),
        // What is wrong with one setting is no reason not to look at the others.
        Case(&[api, token, ("BATCH_INPUTS_MAX", "0")], &[], 2, "token", "ok", &["lets it in"]),
        Case(&[token, ("BRIGHT_DATA_API_URL", "nowhere")], &[], 2, "token", "skipped", &["see settings"]),
    ];
    side_by_side(&cases, |Case(variables, arguments, status, name, state, words)| {
        let found = &checks(&place, variables, arguments)[*name];
        assert_eq!(found["state"], *state, "{found:#}");
        assert_eq!(found["fix"].is_null(), *state == "ok", "{found:#}");
        doctor(&place, variables, arguments).expect(*status, &[]);
        let said = format!("{} {}", found["seen"], found["fix"]).replace("\\\"", "\"");
        words.iter().for_each(|word| assert!(said.contains(word), "{word:?} is not in {said}"));
    });
    assert_eq!(simulator.accepted(), 0);
    assert!(!place.path("data").exists());
}

#[test]
fn a_clock_that_is_off_is_noticed() {
    let place = Place::new();
    for (seconds, status, state, words) in [
        (0, 0, "ok", "as the API's"),
        (-30, 0, "ok", "s ahead of the API's"),
        (-120, 0, "warning", "s ahead of the API's"),
        (1_200, 2, "problem", "s behind the API's"),
    ] {
        let address = answering(move || {
            let date = (Timestamp::now() + SignedDuration::from_secs(seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT");
            response("200 OK", &format!("date: {date}\r\n"), "{\"data\":[]}")
        });
        let variables = [("BRIGHT_DATA_API_TOKEN", TOKEN), ("BRIGHT_DATA_API_URL", address.as_str())];
        doctor(&place, &variables, &[]).expect(status, &[words]);
        assert_eq!(checks(&place, &variables, &[])["clock"]["state"], state, "{seconds}");
    }
}

#[test]
fn a_folder_is_looked_at_without_being_touched() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "");
    let variables = [("BRIGHT_DATA_API_TOKEN", TOKEN), ("BRIGHT_DATA_API_URL", simulator.address.as_str())];
    let seen = |state: &str, status: i32, name: &str, words: &[&str], folder: &str| {
        let check = &checks(&place, &variables, &["--data", folder])[name];
        assert_eq!(check["state"], state, "{check:#}");
        doctor(&place, &variables, &["--data", folder]).expect(status, words);
    };
    seen("ok", 0, "folder", &["data is not there yet"], "data");
    assert!(!place.path("data").exists());
    place.file("file", "");
    seen("problem", 2, "folder", &["file is no folder"], "file");
    // Whoever runs this, nobody makes files there.
    seen("problem", 2, "folder", &["cannot be made, /proc cannot be written"], "/proc/dropcollect/data");
    seen("problem", 2, "folder", &["/proc cannot be written", "give this user the right"], "/proc");

    place.file("simulated/.dropcollect/simulator/journal.ndjson", "");
    seen("ok", 0, "folder", &["simulated can be written; it holds simulated runs"], "simulated");
    place.file("simulated/thesis.tex", "");
    place.file("simulated/output/kept", "");
    seen("warning", 0, "content", &["things of others in it: thesis.tex"], "simulated");

    let path = place.file("simulated/.dropcollect/lock", "4711\n");
    let held = File::open(path).unwrap();
    seen("ok", 0, "lock", &["lock: free"], "simulated");
    held.lock().unwrap();
    seen("warning", 0, "lock", &["is in use by process 4711", "wait for that process"], "simulated");
    let names = |folder| fs::read_dir(place.path(folder)).unwrap().count();
    assert_eq!(names("simulated"), 3);
}

#[test]
fn what_stands_still_is_shown() {
    let place = Place::new();
    place.file("two.csv", TWO);
    let simulator = Simulator::start(&place, &format!("token = \"{TOKEN}\""));
    let variables = [("BRIGHT_DATA_API_TOKEN", TOKEN), ("BRIGHT_DATA_API_URL", simulator.address.as_str())];
    let mut refused = place.run_against(&simulator, &["two.csv"]);
    refused.env("BRIGHT_DATA_API_TOKEN", "wr0ng-t0ken");
    place.finish(refused).expect(3, &[]);
    doctor(&place, &variables, &[]).expect(0, &["held: nothing waits for a person"]);
    let pause = &checks(&place, &variables, &[])["pauses"];
    assert_eq!(pause["state"], "warning", "{pause:#}");
    let seen = pause["seen"].as_str().unwrap();
    assert!(seen.starts_with("all calls with the token: until 2"), "{seen}");
    assert!(seen.ends_with("the API refused the token (401): Invalid credentials"), "{seen}");

    // The same, some time later.
    let gate = place.path("data").join(keys::TOKEN_GATE);
    let mut record: Value = serde_json::from_slice(&fs::read(&gate).unwrap()).unwrap();
    record["closed_until"] = json!("2026-01-01T00:00:00Z");
    fs::write(&gate, record.to_string()).unwrap();
    let pause = &checks(&place, &variables, &[])["pauses"];
    assert_eq!(pause["state"], "ok", "{pause:#}");
    assert!(pause["seen"].as_str().unwrap().contains("over since 2026-01-01 00:00:00 UTC"), "{pause:#}");

    let id = AttemptId { run: RunId::parse("0123456789abcdef").unwrap(), batch: 1, attempt: 1 };
    let (at, slice) = (Timestamp::now(), Slice { start: 0, end: 5 });
    let (reason, message) = ("in_doubt".to_owned(), "decide".to_owned());
    let held = HeldRecord { v: 1, at, reason, message, inputs: 5, send: 1, collection: None };
    let mark = HeldMark { v: 1, attempt: id.clone(), slice, number: 1, held };
    let below = |key: String| format!("data/{key}");
    place.file(&below(keys::held_mark(&id, slice, 1)), serde_json::to_vec(&mark).unwrap());
    place.file(&below(keys::run_mark(keys::BEGUN, &id.run, at)), "{}");
    doctor(&place, &variables, &[])
        .expect(4, &["problem  held: 5 inputs wait for a person, in 1 run", "dropcollect release --data data"]);
    // The worst of all counts.
    doctor(&place, &[("BRIGHT_DATA_API_URL", &simulator.address)], &[]).expect(4, &["problem  token"]);
}
