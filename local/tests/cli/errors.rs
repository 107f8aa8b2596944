//! What users run into: each time the command says what is wrong, where, and what to do, and no input is lost or paid for by mistake.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Place, Simulator, assert_conserved, lines, side_by_side};

const TWO: &str = "url\nhttps://shop.example/1\nhttps://shop.example/2\n";

/// Wrong usage: arguments, variables, and words of the report.
struct Usage(&'static [&'static str], &'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn wrong_usage_is_told_before_anything_is_paid() {
    const TOKEN: (&str, &str) = ("BRIGHT_DATA_API_TOKEN", "key");
    const NOWHERE: (&str, &str) = ("BRIGHT_DATA_API_URL", "http://127.0.0.1:1");
    let cases = [
        Usage(&["two.csv"], &[], &["there is no API token", "set BRIGHT_DATA_API_TOKEN", "--simulate"]),
        Usage(&["two.csv"], &[TOKEN, NOWHERE], &["rejected, nothing was triggered", "no collector", "--collector"]),
        Usage(&["two.csv", "--simulate", "--collector", "shop"], &[], &["\"shop\"", "collector id: c_"]),
        Usage(&["table.xlsx", "--simulate"], &[], &["\"table.xlsx\" has no known extension", ".csv"]),
        Usage(&["empty.csv", "--simulate"], &[], &["empty.csv: rejected", "the file is empty; add at least one input"]),
        Usage(&["missing.csv", "--simulate"], &[], &["missing.csv: there is no such file (paths are taken from"]),
        Usage(&["tow.csv", "--simulate"], &[], &["tow.csv: there is no such file; did you mean two.csv?"]),
        Usage(&["folder/TWO.CSV", "--simulate"], &[], &["there is no such file; did you mean folder/two.csv?"]),
        Usage(&["utf16.csv", "--simulate"], &[], &["utf16.csv: rejected", "UTF-16", "iconv -f UTF-16 -t UTF-8"]),
        Usage(
            &["two.csv"],
            &[TOKEN, ("SPENDING_LIMITS", "day=many")],
            &["SPENDING_LIMITS is \"day=many\"", "such as day=10000"],
        ),
        Usage(
            &["two.csv"],
            &[TOKEN, ("SPENDING_LIMITS", "week=5")],
            &["SPENDING_LIMITS is \"week=5\"", "file=N, day=N or month=N"],
        ),
        Usage(&["folder", "--simulate"], &[], &["folder is a folder: name the files in it"]),
        Usage(&["two.csv", "folder/two.csv", "--simulate"], &[], &["two files have the key two.csv", "--key"]),
        Usage(&["two.csv", "urls.txt", "--key", "k", "--simulate"], &[], &["--key names one file"]),
        Usage(&["two.csv", "--simulate", "--deadline", "soon"], &[], &["\"soon\" for deadline", "1h, 30m, 45s"]),
        Usage(&["two.csv", "--simulate", "--queue-next", "2"], &[], &["\"2\" for queue-next", "1 or 0"]),
        Usage(
            &["two.csv", "--simulate", "--confirm-cancel"],
            &[("BATCH_INPUTS_MAX", "1")],
            &["confirm-cancel replaces the running job", "raise BATCH_INPUTS_MAX"],
        ),
        Usage(&["two.csv", "--simulate", "--scenario", "calmer"], &[], &["unknown scenario `calmer`", "calm"]),
        Usage(&["two.csv", "--scenario", "calm"], &[], &["--simulate"]),
        Usage(&["two.csv", "--nonsense"], &[], &["--nonsense"]),
        Usage(
            &["two.csv", "--simulate"],
            &[("BATCH_INPUTS_MAX", "0"), ("OUTPUT_FORMAT", "xml")],
            &["BATCH_INPUTS_MAX is \"0\", but must be", "OUTPUT_FORMAT is \"xml\"", "ndjson or json"],
        ),
        Usage(&["two.csv"], &[("BRIGHT_DATA_API_TOKEN", "se cret")], &["BRIGHT_DATA_API_TOKEN has spaces"]),
        Usage(&["two.csv"], &[TOKEN, ("BRIGHT_DATA_API_URL", "nowhere")], &["BRIGHT_DATA_API_URL is \"nowhere\""]),
    ];
    side_by_side(&cases, |Usage(arguments, variables, words)| {
        let place = Place::new();
        for name in ["two.csv", "folder/two.csv", "table.xlsx"] {
            place.file(name, TWO);
        }
        place.file("urls.txt", "https://shop.example/1\n");
        place.file("empty.csv", "");
        place.file("utf16.csv", b"\xff\xfeu\0r\0l\0\n\0");
        let mut command = place.run(arguments);
        command.envs(variables.iter().copied());
        let done = place.finish(command);
        done.expect(2, words);
        assert!(!done.err.contains("cret") && !done.out.contains("cret"), "{done:?}");
        assert!(!place.path("data/.dropcollect/simulator").exists() || place.accepted().is_empty(), "{arguments:?}");
        assert!(!place.path("data/ledger/collections").exists(), "{arguments:?}");
    });
    let place = Place::new();
    place.finish(place.command(&["status", "data"])).expect(2, &["data is no folder: nothing has been run there"]);
    // Whoever has tried it out is told where the trial is.
    std::fs::create_dir(place.path("dropcollect-simulated")).unwrap();
    let trial = ["name it (`status dropcollect-simulated`, `why … --data dropcollect-simulated`)"];
    place.finish(place.command(&["status"])).expect(2, &trial);
    place.finish(place.command(&["why", "a.csv", "2"])).expect(2, &trial);
    place.finish(place.command(&["simulate", "--listen", "nowhere"])).expect(2, &["--listen"]);
    place.file("a.csv", TWO);
    let onto = place.command(&["run", "a.csv", "--simulate", "--data", "a.csv"]);
    place.finish(onto).expect(2, &["a.csv is a file: --data names a folder"]);
}

#[test]
fn a_name_that_is_mistyped_is_told_with_what_is_there() {
    let place = Place::new();
    let run = place.simulated("urls.txt", 2, &[])["run"].as_str().unwrap().to_owned();
    for (named, meant) in [("url.txt", "urls.txt"), ("ulrs.txt", "urls.txt"), (&run[..6], run.as_str())] {
        let told =
            format!("{named} is neither the id of a run nor an input key that was run here: did you mean {meant}?");
        for command in [
            ["status", "data", "--run", named],
            ["retry", named, "--data", "data"],
            ["cancel", named, "--data", "data"],
        ] {
            place.finish(place.command(&command)).expect(2, &[&told]);
        }
        place.finish(place.command(&["why", named, "1", "--data", "data"])).expect(2, &[&told]);
    }
    let done = place.finish(place.command(&["status", "data", "--run", "hotels.json"]));
    assert!(!done.expect(2, &["hotels.json is neither"]).err.contains("did you mean"), "{done:?}");
}

#[test]
fn a_stack_without_region_or_credentials_says_what_to_set() {
    let place = Place::new();
    let status = |variables: &[(&str, &str)]| {
        let mut command = place.command(&["status", "s3://bucket"]);
        command.env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
        place.finish(command)
    };
    status(&[]).expect(2, &["region must be set", "set AWS_REGION to the stack's region", "dropcollect doctor"]);
    status(&[("AWS_REGION", "us-east-1")])
        .expect(2, &["no credentials found", "log in to AWS: set AWS_PROFILE, or AWS_ACCESS_KEY_ID"]);
    let nobody = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ];
    status(&nobody).expect(70, &["dispatch failure", "check the network, AWS_REGION and AWS_ENDPOINT_URL"]);
}

/// A collector that demonstrates a problem, further arguments, exit status, words of the report, and the code of both inputs if the
/// trigger is refused.
struct Case(&'static str, &'static [&'static str], i32, &'static [&'static str], Option<&'static str>);

#[test]
fn what_a_collector_refuses_fails_for_good_and_is_kept() {
    let cases = [
        Case("c_unknown0", &[], 1, &["Collector not found", "is the collector's id right"], Some("refused_404")),
        Case("c_template", &[], 1, &["Collector does not have a template"], Some("refused_403")),
        Case("c_realtime", &[], 1, &["batch job with a real-time scraper"], Some("refused_400")),
        Case("c_changed0", &[], 1, &["input_schema_incompatible"], Some("refused_422")),
        Case("c_changed0", &["--override-incompatible-input-schema"], 0, &["two.csv: complete\n"], None),
        // Refuses `queue_next`, and rows of a neighbour get in there, which are counted.
        Case("c_trial00", &[], 1, &["2 with records", "2 records could not be tied to their input"], None),
        Case("c_rejects0", &[], 1, &["2 failed"], None),
        Case("c_jsonlines", &[], 0, &["2 with records"], None),
        Case("c_csvfile0", &[], 0, &["2 with records"], None),
        Case("c_empty000", &[], 0, &["0 with records + 2 without a record"], None),
    ];
    side_by_side(&cases, |Case(collector, more, status, words, refused)| {
        let place = Place::new();
        place.file("two.csv", TWO);
        let arguments = ["two.csv", "--simulate", "--scenario", "calm", "--collector", collector];
        place.finish(place.run(&[&arguments, *more].concat())).expect(*status, words);
        place.manifest("two.csv");
        assert_eq!(place.accepted().is_empty(), refused.is_some(), "{collector}");
        if let Some(code) = refused {
            assert_eq!(place.errors("two.csv"), [2, 3].map(|line| (line, (*code).to_owned())), "{collector}");
            let failed = place.result("failed", "two.csv", "failed.csv").unwrap();
            assert_eq!(std::fs::read_to_string(failed).unwrap(), TWO, "{collector}: fix it, drop it again");
        }
    });
}

#[test]
fn halving_finds_the_inputs_that_do_not_fit() {
    let place = Place::new();
    let row = |row: u32| match row {
        2 | 3 | 9 => json!({"url": format!("https://shop.example/{row}"), "note": "unknown"}),
        _ => json!({"url": format!("https://shop.example/{row}")}),
    };
    let rows: String = (0..16).map(|number| format!("{}\n", row(number))).collect();
    place.file("rows.ndjson", rows);
    let arguments = ["rows.ndjson", "--simulate", "--scenario", "calm", "--collector", "c_schema00"];
    let words = ["13 with records", "3 failed", "refused_422 (3 times, from line 3)", "input schema"];
    place.finish(place.run(&arguments)).expect(1, &words);
    let unfit = |line| (line, "refused_422".to_owned());
    assert_eq!(place.errors("rows.ndjson"), [unfit(3), unfit(4), unfit(10)]);
    assert_eq!(place.records(&place.manifest("rows.ndjson")).len(), 13);
    // 0-1, 4-7, 8, 10-11, 12-15: the largest parts without one of them.
    let mut sizes: Vec<usize> = place.accepted().iter().map(|job| job["inputs"].as_array().unwrap().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 2, 4, 4]);
    let failed = place.result("failed", "rows.ndjson", "failed.ndjson").unwrap();
    assert_eq!(lines(&failed), [row(2), row(3), row(9)]);
}

#[test]
fn a_wrong_token_holds_the_work_until_the_right_one_comes() {
    let place = Place::new();
    place.file("two.csv", TWO);
    let simulator = Simulator::start(&place, "token = \"right\"");
    for _ in 0..2 {
        let mut command = place.run_against(&simulator, &["two.csv"]);
        command.env("BRIGHT_DATA_API_TOKEN", "wr0ng-t0ken");
        let done = place.finish(command);
        done.expect(3, &["the API refused the token (401)", "set BRIGHT_DATA_API_TOKEN", "run the same command again"]);
        assert!(!done.err.contains("wr0ng-t0ken") && !done.out.contains("wr0ng-t0ken"), "{done:?}");
        assert_eq!(simulator.accepted(), 0);
        let shown = place.finish(place.command(&["status", "data", "--json"]));
        let status: serde_json::Value = serde_json::from_str(shown.out.trim()).unwrap();
        assert_conserved(&status);
        assert_eq!((&status["state"], &status["inputs"]["pending"]), (&json!("held"), &json!(2)));
    }
    place.finish(place.run_against(&simulator, &["two.csv"])).expect(0, &["2 with records"]);
    assert_eq!(simulator.accepted(), 1);
}

#[test]
fn an_api_that_cannot_be_reached_is_waited_for() {
    let place = Place::new();
    place.file("two.csv", TWO);
    let mut command = place.run(&["two.csv", "--collector", "c_shop00"]);
    command.env("BRIGHT_DATA_API_TOKEN", "key").env("BRIGHT_DATA_API_URL", "http://127.0.0.1:1");
    let mut running = place.start(command);
    running.until("a reason", |running| running.err().contains("(the API cannot be reached)").then_some(()));
    running.interrupt();
    running.finish().expect(130, &["0 of 2 inputs done"]);
}

#[test]
fn what_only_a_person_can_decide_is_held() {
    let place = Place::new();
    place.file("two.csv", TWO);
    // The trigger is not processed and its answer is an error, so the job list has nothing to show.
    let simulator = Simulator::start(
        &place,
        "trigger_error_accepted = 0.0\nfaults.trigger.server_error = 1.0\njobs.base_seconds = 0.1",
    );
    let command = || {
        let mut command = place.run_against(&simulator, &["two.csv"]);
        command.env("ON_IN_DOUBT", "hold");
        command
    };
    let mut running = place.start(command());
    running.until("a send", |_| simulator.seen("calls").as_object().filter(|calls| !calls.is_empty()).map(drop));
    std::thread::sleep(Duration::from_millis(300));
    // Whoever comes next knows that the sender is dead, and need not wait for it.
    assert!(running.kill());
    let began = Instant::now();
    let held = place.finish(command());
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    held.expect(4, &["2 held", "a trigger got no answer", "waits for a person", "--again"]);
    place.finish(place.command(&["status", "data"])).expect(0, &["held", "two.csv"]);

    let release =
        |arguments: &[&str]| place.finish(place.command(&[&["release", "--data", "data"], arguments].concat()));
    let shown = release(&[]);
    shown.expect(4, &["batch 1 attempt 1", "(2 inputs)", "in_doubt", "a trigger got no answer", "--adopt"]);
    let run = shown.out.split(' ').next().unwrap_or_default().to_owned();
    release(&["--give-up"]).expect(2, &["<RUN>"]);
    release(&["--give-up", "other.csv"]).expect(2, &["other.csv is neither the id of a run nor an input key"]);
    release(&["--give-up", &run, "--batch", "2"]).expect(2, &["nothing of it is held"]);
    release(&["--adopt", "c_shop00", &run]).expect(2, &["c_shop00 does not look like the id of a collection"]);
    release(&["--give-up", &run]).expect(0, &["released", "`dropcollect run` with the same file goes on"]);
    release(&[]).expect(0, &["nothing is held"]);
    place.finish(command()).expect(1, &["2 failed", "given_up"]);
}

#[test]
fn simulated_and_real_runs_do_not_share_a_folder() {
    let place = Place::new();
    place.file("urls.txt", "https://shop.example/1\n");
    let simulator = Simulator::start(&place, "");
    let simulated = || place.run(&["urls.txt", "--simulate", "--scenario", "calm"]);
    let real = || place.run_against(&simulator, &["urls.txt"]);
    place.finish(simulated()).expect(0, &[]);
    place.finish(real()).expect(2, &["data holds simulated runs", "--data"]);
    std::fs::rename(place.path("data"), place.path("simulated")).unwrap();
    place.finish(real()).expect(0, &[]);
    place.finish(simulated()).expect(2, &["data holds real runs", "--data"]);
    assert_eq!(simulator.accepted(), 1);
}

#[test]
fn a_reader_that_stops_early_ends_nothing() {
    use std::process::{Command, Stdio};
    let place = Place::new();
    place.file("empty.csv", "");
    place.finish(place.run(&["empty.csv", "--simulate"])).expect(2, &[]);
    let mut command = place.command(&["status", "data", "--json"]);
    // The reader has gone before the first byte.
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let pipe = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    let done = command.stdout(pipe).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
}
