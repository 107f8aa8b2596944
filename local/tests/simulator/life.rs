//! Jobs from trigger to expiry, determinism, scenarios, and what survives the process.

use std::io::Write;

use dropcollect::simulator::{Body, Fault, NAMES, Request, Scenario, Service};
use serde_json::{Value, json};

use crate::world::{Answer, World, calm, dawn, urls};

const LONG: &str = "[jobs]\nbase_seconds = 10.0\nspread_seconds = 0.0\nlongest_seconds = 10.0\nbuilding_seconds = 0.0";

fn states(world: &mut World, ids: &[String]) -> Vec<String> {
    ids.iter().map(|id| world.log(id)["status"].as_str().unwrap_or("none").to_owned()).collect()
}

#[test]
fn both_readings_of_queue_next_and_named_queues() {
    for (reading, queries, expected) in [
        ("now", ["queue_next=1", "queue_next=1"], ["running", "running"]),
        ("now", ["queue_next=1", "queue_next=0"], ["running", "queued"]),
        ("now", ["queue_next=1", ""], ["running", "queued"]),
        ("behind", ["queue_next=1", "queue_next=1"], ["running", "queued"]),
        ("behind", ["queue_next=1", ""], ["running", "running"]),
        ("ignored", ["queue_next=1", ""], ["running", "running"]),
        ("now", ["queue=a", "queue=a"], ["running", "queued"]),
        ("now", ["queue=a", "queue=b"], ["running", "running"]),
        ("behind", ["queue_next=1", "queue_next=1&confirm_cancel=1"], ["canceled", "running"]),
    ] {
        let mut world = World::calm(&format!("api.queue_next = \"{reading}\"\n{LONG}"));
        let ids: Vec<String> =
            queries.iter().map(|query| world.trigger_with(&format!("collector=c_any&{query}"), &urls(1))).collect();
        assert_eq!(states(&mut world, &ids), expected, "{reading} {queries:?}");
        world.wait(30.0);
        assert_eq!(states(&mut world, &ids)[1], "done", "{reading} {queries:?}");
    }
}

#[test]
fn a_regular_trigger_may_be_refused_while_a_job_runs() {
    for (regular, status) in [("accept", 200), ("conflict", 409), ("bad_request", 400)] {
        let mut world = World::calm(&format!("api.regular = \"{regular}\"\n{LONG}"));
        for expected in [200, status] {
            let answer = world.post("/dca/trigger?collector=c_any&queue_next=1", &urls(1).to_string());
            assert_eq!(answer.status, expected);
        }
    }
}

#[test]
fn a_pause_stops_the_clock_of_a_job() {
    let mut world = World::calm(LONG);
    let id = world.trigger("c_any", &urls(1));
    let control = |world: &mut World, action: &str| world.post(&format!("/dca/jobs/{id}/{action}"), "").status;
    world.wait(4.0);
    assert_eq!([control(&mut world, "resume"), control(&mut world, "pause")], [400, 200]);
    world.wait(100.0);
    assert_eq!(world.log(&id)["status"], "paused");
    assert_eq!(world.dataset(&id).status, 202);
    assert_eq!(control(&mut world, "resume"), 200);
    world.wait(5.9);
    assert_eq!(world.log(&id)["status"], "running");
    world.wait(0.2);
    assert_eq!(world.log(&id)["status"], "done");
}

#[test]
fn transient_failures_succeed_in_a_later_job_and_permanent_ones_never() {
    let mut world = World::calm("inputs.transient = 0.3\ninputs.permanent = 0.2\ninputs.transient_failures_max = 2");
    let mut inputs = urls(300);
    let mut failed = Vec::new();
    for _ in 0..4 {
        let (_, rows) = world.collect("c_any", &inputs);
        let errors = rows.iter().filter(|row| row["error"].is_string()).map(|row| row["input"].clone());
        inputs = errors.collect();
        failed.push(inputs.as_array().unwrap().len());
    }
    assert!((120..180).contains(&failed[0]), "{failed:?}");
    assert!(failed[1] < failed[0] && failed[2] < failed[1], "{failed:?}");
    assert!(failed[2] == failed[3] && (40..80).contains(&failed[2]), "{failed:?}");
}

#[test]
fn a_rerun_is_a_new_job_of_all_or_of_the_failed_inputs() {
    let mut world = World::calm("");
    let (id, rows) = world.collect("c_flaky000", &urls(3));
    assert!(rows.iter().all(|row| row["error"].is_string()));
    for (body, inputs) in [("{\"failed_only\":1}", 3), ("", 3)] {
        let answer = world.post(&format!("/dca/jobs/{id}/rerun"), body).json();
        let new = answer["collection_id"].as_str().unwrap().to_owned();
        assert_ne!(new, id);
        world.wait(60.0);
        assert_eq!(world.log(&new)["success"], inputs);
    }
    assert_eq!(world.log(&id)["fails"], 3);
    assert_eq!(world.service.jobs().count(), 3);
}

#[test]
fn jobs_that_fail_or_never_end() {
    for (form, status, text) in [
        ("status", 200, "{\"message\":\"Job did not finish\",\"status\":\"failed\"}"),
        ("empty", 200, "[]"),
        ("missing", 404, "Dataset not found"),
    ] {
        let mut world = World::calm(&format!("jobs.failed_dataset = \"{form}\""));
        let id = world.trigger("c_failed00", &urls(2));
        world.wait(60.0);
        let answer = world.dataset(&id);
        assert_eq!((answer.status, answer.json_or_text()), (status, parsed(text)), "{form}");
        assert_eq!(world.log(&id)["status"], "failed");
    }
    let mut world = World::calm("");
    let id = world.trigger("c_stuck000", &urls(2));
    world.wait(86_400.0);
    assert_eq!(world.dataset(&id).json()["status"], "collecting");
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[test]
fn echoes_in_other_forms_are_the_same_input() {
    let input = r#"{"url":"https://a/","limit":5,"big":12345678901234567890123,"zip":"0123"}"#;
    for (differences, echo) in [
        ("", input),
        ("echo_reordered = 1.0", r#"{"url":"https://a/","limit":5,"big":12345678901234567890123,"zip":"0123"}"#),
        ("echo_respelled = 1.0", r#""limit":"5""#),
        ("echo_defaulted = 1.0", r#""country":"us""#),
    ] {
        let mut world = World::calm(&format!("[dataset]\n{differences}"));
        let id = {
            let answer = world.post("/dca/trigger?collector=c_any&queue_next=1", &format!("[ {input} ]"));
            answer.json()["collection_id"].as_str().unwrap().to_owned()
        };
        world.wait(60.0);
        let text = world.dataset(&id).text;
        if differences.contains("reordered") {
            assert!(!text.contains(input) && text.contains("\"limit\":5"), "{text}");
        } else {
            assert!(text.contains(echo), "{differences}: {text}");
        }
    }
    let mut world = World::calm("");
    let (_, rows) = world.collect("c_noecho00", &urls(1));
    assert!(rows[0].get("input").is_none());
}

#[test]
fn a_huge_dataset_is_made_while_it_is_read() {
    let mut world = World::new(Scenario::named("huge").unwrap());
    let id = world.trigger("c_any", &urls(1000));
    world.wait(60.0);
    assert_eq!(world.log(&id)["lines"].as_u64().map(|lines| lines > 9_000_000), Some(true));
    let reply = world.ask(&Request::new("GET", &format!("/dca/dataset?id={id}"), ""));
    let Body::Stream(chunks) = reply.body else { panic!("ten gigabytes in memory") };
    let first: Vec<_> = chunks.take(20).collect();
    assert!(first.iter().all(|chunk| (60_000..80_000).contains(&chunk.len())));
    let text = String::from_utf8(first.concat()).unwrap();
    let row = text.lines().nth(1).unwrap().trim_end_matches(',');
    assert_eq!(row.len(), 1000);
    assert_eq!(serde_json::from_str::<Value>(row).unwrap()["position"], 1);
}

#[test]
fn a_shuffled_stream_is_complete() {
    let mut world = World::calm("inputs.records = 100\n[dataset]\nshuffled = true\nrecord_bytes = 500");
    let (_, rows) = world.collect("c_any", &urls(50));
    let mut keys: Vec<_> = rows.iter().map(|row| (row["url"].to_string(), row["position"].as_u64())).collect();
    keys.sort();
    keys.dedup();
    assert_eq!((rows.len(), keys.len()), (5000, 5000));
}

#[test]
fn gzip_for_those_who_accept_it() {
    use std::io::Read;
    let mut world = World::calm("");
    for inputs in [3, 5000] {
        let id = world.trigger("c_any", &urls(inputs));
        world.wait(60.0);
        let plain = world.dataset(&id).text;
        let mut request = Request::new("GET", &format!("/dca/dataset?id={id}"), "");
        request.headers.push(("accept-encoding".to_owned(), "gzip, br".to_owned()));
        let reply = world.ask(&request);
        assert_eq!(reply.header("content-encoding"), Some("gzip"));
        assert_eq!(matches!(reply.body, Body::Stream(_)), inputs > 3);
        let mut text = String::new();
        flate2::read::GzDecoder::new(&reply.body.into_bytes()[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, plain);
    }
}

#[test]
fn real_time_requests() {
    let mut world = World::calm("jobs.realtime_seconds = 2.0");
    let answer = world.post("/dca/trigger_immediate?collector=c_realtime", r#"{"url":"https://a/"}"#);
    assert_eq!(answer.status, 202);
    let id = answer.json()["response_id"].as_str().unwrap().to_owned();
    let pending = world.get(&format!("/dca/get_result?response_id={id}"));
    assert_eq!((pending.status, pending.json()), (202, json!({"pending": true})));
    let waited = world.ask(&Request::new("GET", &format!("/dca/get_result?response_id={id}&timeout=30s"), ""));
    assert_eq!((waited.status, waited.delay.as_millis() >= 2000), (200, true));
    assert_eq!(Answer::of(waited).json()[0]["input"], json!({"url": "https://a/"}));
    assert_eq!(world.post("/dca/crawl?collector=c_any&timeout=5s", "{}").status, 400);
    world.service.change(|scenario| scenario.jobs.realtime_seconds = 90.0);
    let late = world.post("/dca/crawl?collector=c_any&timeout=25s", r#"{"url":"https://b/"}"#);
    assert_eq!((late.status, &late.json()["error"]), (202, &json!("crawl_results_timeout")));
    assert_eq!(world.service.jobs().count(), 0);
}

#[test]
fn marked_inputs_have_the_fate_of_their_mark() {
    let mut world = World::calm("[inputs.marked]\n\"/dead/\" = \"permanent\"\n\"/void/\" = \"nothing\"");
    let inputs = json!([{"url": "https://a/dead/1"}, {"url": "https://a/void/2"}, {"url": "https://a/3"}]);
    let (_, rows) = world.collect("c_any", &inputs);
    assert_eq!(rows.len(), 2);
    assert!(rows[0]["error"].is_string() && rows[1]["title"].is_string());
}

/// Everything that a conversation with the service shows.
fn conversation(scenario: Scenario) -> Vec<(u16, Fault, String)> {
    let mut world = World::new(scenario);
    let mut said = Vec::new();
    for n in 0..40 {
        let body = json!([{"n": n}, {"url": format!("https://a/{n}")}]).to_string();
        said.push(world.post(&format!("/dca/trigger?collector=c_any{n}&queue_next=1"), &body));
        let ids: Vec<String> = world.service.jobs().map(|job| job.id().to_owned()).collect();
        for id in ids.iter().rev().take(3) {
            said.push(world.dataset(id));
            said.push(world.get(&format!("/dca/log/{id}")));
        }
        world.wait(3.0);
    }
    said.into_iter().map(|answer| (answer.status, answer.fault, answer.text)).collect()
}

#[test]
fn one_seed_gives_one_conversation() {
    let rough = |seed| Scenario { seed, ..Scenario::named("rough").unwrap() };
    assert_eq!(conversation(rough(7)), conversation(rough(7)));
    assert_ne!(conversation(rough(7)), conversation(rough(8)));
}

#[test]
fn what_happens_to_a_job_does_not_depend_on_unrelated_requests() {
    let alone = {
        let mut world = World::new(Scenario::named("default").unwrap());
        world.collect("c_mine", &urls(100))
    };
    let mut world = World::new(Scenario::named("default").unwrap());
    world.trigger("c_other", &urls(50));
    world.get("/dca/log/j_none");
    assert_eq!(world.collect("c_mine", &urls(100)), alone);
}

#[test]
fn accepted_jobs_survive_the_process_and_a_torn_line_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = || calm("trigger_answer_lost = 0.5\ninputs.transient = 0.5");
    let (jobs, log) = {
        let mut world = World { service: Service::open(scenario(), dir.path()).unwrap(), now: dawn() };
        for n in 0..10 {
            world.post("/dca/trigger?collector=c_any&queue_next=1&name=n", &json!([{"n": n}]).to_string());
            world.wait(0.1);
        }
        let jobs: Vec<String> = world.service.jobs().map(|job| job.id().to_owned()).collect();
        assert_eq!(world.post(&format!("/dca/jobs/{}/cancel", jobs[9]), "").status, 200);
        world.wait(60.0);
        let log: Vec<Value> = jobs.iter().map(|id| world.log(id)).collect();
        // No orderly end: what was answered must be in the file already.
        std::mem::forget(world);
        (jobs, log)
    };
    let path = dir.path().join("journal.ndjson");
    let whole = std::fs::read(&path).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&whole[..40]).unwrap();

    let mut world = World { service: Service::open(scenario(), dir.path()).unwrap(), now: dawn() };
    world.wait(61.0);
    assert_eq!(world.service.jobs().map(|job| job.id().to_owned()).collect::<Vec<_>>(), jobs);
    assert_eq!(jobs.iter().map(|id| world.log(id)).collect::<Vec<_>>(), log);
    let first = world.service.jobs().next().unwrap();
    assert_eq!((first.inputs().next(), first.query()[2].1.as_str()), (Some(json!({"n": 0})), "n"));
    // The same inputs again are another job, and the file is whole.
    let again = world.post("/dca/trigger?collector=c_any&queue_next=1", "[{\"n\":0}]");
    assert_eq!(again.status, 200);
    let service = Service::open(scenario(), dir.path()).unwrap();
    let mut ids: Vec<&str> = service.jobs().map(|job| job.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 11);
}

#[test]
fn the_summary_tells_what_was_paid_twice() {
    let mut world = World::calm("");
    for _ in 0..2 {
        world.trigger("c_any", &urls(3));
    }
    world.trigger("c_any", &urls(1));
    world.wait(60.0);
    let summary = world.get("/_simulator/summary").json();
    assert_eq!(summary["duplicates"][0]["accepted"], 2);
    assert_eq!((&summary["page_loads"], &summary["inputs_paid_again_after_success"]), (&json!(7), &json!(4)));
    assert_eq!(summary["inputs_by_times_triggered"], json!({"2": 2, "3": 1}));
    assert_eq!(world.get("/_simulator/jobs").json().as_array().unwrap().len(), 3);
    assert_eq!(world.get("/_simulator/calls").json(), json!({"POST /dca/trigger 200": 3}));
    let list = world.get("/dca/collectors_list?search=any").json();
    assert_eq!((&list["total"], &list["data"][0]["id"]), (&json!(1), &json!("c_any")));
}

#[test]
fn scenarios_have_names_and_bad_ones_say_why() {
    for name in NAMES {
        Scenario::named(name).unwrap();
    }
    assert_eq!(Scenario::named("default").unwrap(), Scenario::default());
    for (text, reason) in [
        ("jobs.base_second = 1.0", "unknown field `base_second`"),
        ("trigger_answer_lost = 1.5", "trigger_answer_lost is 1.5"),
        ("faults.trigger.too_many = -0.1", "faults.trigger.too_many is -0.1"),
        ("collectors.c_x.jobs.nonsense = 1", "collectors.c_x: bad scenario"),
        ("based_on = \"calmer\"", "known are default, calm, rough, huge, trial, expired"),
    ] {
        let error = Scenario::parse(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert!(Scenario::find("/no/such/file").unwrap_err().to_string().contains("known are"));
}

#[test]
fn trial_and_expired_scenarios() {
    let mut world = World::new(Scenario::named("trial").unwrap());
    assert_eq!(world.post("/dca/trigger?collector=c_any&queue_next=1", "[{}]").status, 400);
    assert_eq!(world.post("/dca/trigger?collector=c_any", "[{}]").status, 200);
    let mut world = World::new(Scenario::named("expired").unwrap());
    let id = world.trigger("c_any", &urls(1));
    world.wait(11.0);
    assert_eq!(world.dataset(&id).status, 404);
}
