//! Each quirk of the service on a virtual clock, in the order of the list in `simulator/scenario.rs`.

use dropcollect::simulator::{Fault, Request};
use serde_json::{Value, json};

use crate::world::{Answer, World, urls};

#[test]
fn quirk_1_collecting_then_building_then_the_rows() {
    let mut world = World::calm("jobs.building_seconds = 5.0\njobs.hint_seconds = 30");
    let id = world.trigger("c_any", &urls(2));
    let first = world.dataset(&id);
    assert_eq!((first.status, first.json()), (202, json!({"status": "collecting", "message": "Job is not finished"})));
    world.wait(2.0);
    let second = world.dataset(&id);
    let hint = "Dataset is not ready yet, try again in 30s";
    assert_eq!((second.status, second.json()), (202, json!({"status": "building", "message": hint})));
    world.wait(5.0);
    let third = world.dataset(&id);
    assert_eq!((third.status, third.json().as_array().unwrap().len()), (200, 2));
    assert_eq!(third.json()[0]["input"], json!({"url": "https://shop.example/0"}));
}

#[test]
fn quirk_2_a_status_object_with_200() {
    let mut world = World::calm("jobs.status_with_200 = 1.0");
    let id = world.trigger("c_any", &urls(1));
    let answer = world.dataset(&id);
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("collecting")));
}

#[test]
fn quirk_3_file_formats_and_a_bare_object() {
    let mut world = World::calm("");
    for (collector, inputs, ask, content_type, begins, lines) in [
        ("c_any", 2, "", "application/json; charset=utf-8", "[{", 2),
        ("c_jsonlines", 2, "", "application/jsonl", "{\"url\"", 2),
        ("c_jsonlines", 1, "", "application/jsonl", "{\"url\"", 1),
        ("c_jsonlines", 2, "&format=json", "application/json; charset=utf-8", "[{", 2),
        ("c_csvfile0", 2, "&format=json", "text/csv; charset=utf-8", "url,title,", 3),
        ("c_single00", 1, "", "application/json; charset=utf-8", "{\"url\"", 1),
        ("c_single00", 2, "", "application/json; charset=utf-8", "[{", 2),
    ] {
        let id = world.trigger(collector, &urls(inputs));
        world.wait(60.0);
        let answer = world.get(&format!("/dca/dataset?id={id}{ask}"));
        assert_eq!(answer.header("content-type"), Some(content_type), "{collector}");
        assert!(answer.text.starts_with(begins), "{collector}: {}", answer.text);
        assert_eq!(answer.text.lines().count(), lines, "{collector}: {}", answer.text);
        assert_eq!(answer.text.ends_with('\n'), !content_type.contains("/json;"), "{collector}");
    }
}

#[test]
fn quirk_4_and_6_errors_in_the_dataset_or_only_in_the_log() {
    for (errors, rows) in [("combined", 3), ("absent", 0)] {
        let mut world = World::calm(&format!("inputs.permanent = 1.0\ndataset.errors = \"{errors}\""));
        let (id, dataset) = world.collect("c_any", &urls(3));
        assert_eq!(dataset.len(), rows, "{dataset:?}");
        assert!(dataset.iter().all(|row| row["error"].is_string() && row["input"]["url"].is_string()), "{dataset:?}");
        let log = world.log(&id);
        assert_eq!([&log["fails"], &log["success"], &log["lines"]], [&json!(3), &json!(0), &json!(0)]);
    }
}

#[test]
fn quirk_5_a_new_dataset_is_not_visible_at_first() {
    for status in [404, 400] {
        let mut world = World::calm(&format!("jobs.invisible_seconds = 3.0\njobs.early_status = {status}"));
        let id = world.trigger("c_any", &urls(1));
        assert_eq!(world.dataset(&id).status, status);
        assert_eq!(world.get(&format!("/dca/log/{id}")).status, 200);
        world.wait(3.0);
        assert_eq!(world.dataset(&id).status, 200);
    }
}

#[test]
fn quirk_7_error_rows_with_and_without_a_code() {
    let failing = "inputs.permanent = 1.0\ninputs.without_status_code = 0.0\n[inputs.permanent_codes]\ndead_page = 1";
    for (uncoded, code, status) in [(0.0, json!("dead_page"), json!(404)), (1.0, Value::Null, Value::Null)] {
        let mut world = World::calm(&format!("inputs.uncoded = {uncoded:.1}\n{failing}"));
        let (_, rows) = world.collect("c_any", &urls(1));
        assert_eq!([&rows[0]["error_code"], &rows[0]["status_code"]], [&code, &status]);
        assert!(rows[0]["error"].is_string());
    }
}

#[test]
fn quirk_8_many_rows_none_and_a_record_beside_an_error() {
    for (differences, rows, success) in [
        ("inputs.records = 3", 12, 4),
        ("inputs.many = 1.0\ninputs.many_max = 2", 8, 4),
        ("inputs.nothing = 1.0", 0, 4),
        ("inputs.partial = 1.0", 8, 0),
        ("dataset.wrapped = \"entries\"\ninputs.records = 3", 4, 4),
    ] {
        let mut world = World::calm(differences);
        let (id, dataset) = world.collect("c_any", &urls(4));
        assert_eq!(dataset.len(), rows, "{differences}");
        assert_eq!(world.log(&id)["success"], success, "{differences}");
        if differences.contains("wrapped") {
            assert_eq!(dataset[0]["entries"].as_array().unwrap().len(), 3);
            assert!(dataset[0]["input"]["url"].is_string());
        }
    }
}

#[test]
fn quirk_9_equal_inputs_are_run_once_and_counted() {
    let inputs = json!([{"url": "https://a/", "n": 1}, {"n": 1, "url": "https://a/"}, {"url": "https://b/"}]);
    for (differences, counted, duplicates, rows) in
        [("", 3, 1, 2), ("jobs.count_before_collapse = false", 2, 1, 2), ("jobs.collapse_duplicates = false", 3, 0, 3)]
    {
        let mut world = World::calm(differences);
        let (id, dataset) = world.collect("c_any", &inputs);
        let log = world.log(&id);
        assert_eq!((&log["inputs"], &log["dup_inputs"]), (&json!(counted), &json!(duplicates)), "{differences}");
        assert_eq!(dataset.len(), rows, "{differences}");
    }
}

#[test]
fn quirk_10_rows_in_another_order() {
    let mut world = World::calm("dataset.shuffled = true");
    let (_, rows) = world.collect("c_any", &urls(200));
    let mut echoed: Vec<Value> = rows.iter().map(|row| row["input"].clone()).collect();
    let mut sent = urls(200).as_array().unwrap().clone();
    assert_ne!(echoed, sent);
    for inputs in [&mut echoed, &mut sent] {
        inputs.sort_by_key(Value::to_string);
    }
    assert_eq!(echoed, sent);
}

#[test]
fn quirk_11_logs_without_status_in_title_case_and_two_spellings() {
    let mut world = World::calm("jobs.log_without_status = 1.0");
    let id = world.trigger("c_any", &urls(1));
    assert!(world.log(&id).get("status").is_none());

    let mut world = World::calm("jobs.log_title_case = true");
    let id = world.trigger("c_any", &urls(1));
    assert_eq!((&world.log(&id)["Status"], &world.log(&id)["Pages_left"]), (&json!("running"), &json!(1)));

    let mut world = World::calm("jobs.log_building = true\njobs.building_seconds = 5.0");
    let id = world.trigger("c_any", &urls(1));
    for status in ["running", "building", "building", "done"] {
        assert_eq!(world.log(&id)["status"], status);
        world.wait(2.2);
    }

    for (double, status) in [(false, "canceled"), (true, "cancelled")] {
        let mut world = World::calm(&format!("jobs.cancelled_with_ll = {double}"));
        let id = world.trigger("c_any", &urls(1));
        assert_eq!(world.post(&format!("/dca/jobs/{id}/cancel"), "").text, "OK");
        assert_eq!(world.log(&id)["status"], status);
    }
}

#[test]
fn quirk_12_the_list_of_failed_inputs_knows_urls_only() {
    let works = json!({"url": "https://shop.example/0", "error": "Crawler error: The page does not exist", "consumer": "dca-hp-so-simul"});
    let bare = json!({"url": "shop.example/0", "error": "Crawler error: The page does not exist", "consumer": "dca-hp-so-simul"});
    for (differences, status, errors) in [
        ("", 200, Some(vec![works])),
        ("jobs.error_list_without_scheme = true", 200, Some(vec![bare])),
        ("jobs.error_list = \"empty\"", 200, Some(vec![])),
        ("jobs.error_list = \"missing\"", 404, None),
    ] {
        let failing = "inputs.permanent = 1.0\n[inputs.permanent_codes]\ndead_page = 1";
        let mut world = World::calm(&format!("{differences}\n{failing}"));
        let (id, _) = world.collect("c_any", &json!([{"url": "https://shop.example/0"}, {"keyword": "no address"}]));
        let answer = world.get(&format!("/dca/jobs/{id}/hp_errors?skip_normalize=true"));
        assert_eq!(answer.status, status);
        match errors {
            Some(errors) => assert_eq!(answer.json(), json!({ "errors": errors })),
            None => assert_eq!(answer.text, "Job not found"),
        }
    }
    let mut world = World::calm("");
    assert_eq!(world.get("/dca/jobs/x/hp_errors").text, "Invalid job ID supplied");
}

#[test]
fn quirk_13_the_job_list_by_collector_and_day() {
    let mut world = World::calm("jobs.unlisted_seconds = 10.0");
    let ids: Vec<String> = (1..=3).map(|n| world.trigger_with("collector=c_list&name=secret", &urls(n))).collect();
    world.trigger("c_other", &urls(9));
    let list = "/dca/collector/jobs?collector=c_list&from_date=2026-07-02&to_date=2026-07-02";
    assert_eq!(world.get(list).json()["total"], 0);
    world.wait(60.0);
    let answer = world.get(&format!("{list}&limit=2&sort_asc=1"));
    let page = answer.json();
    assert_eq!((&page["total"], page["data"].as_array().unwrap().len()), (&json!(3), 2));
    assert_eq!((&page["data"][1]["id"], &page["data"][1]["inputs"]), (&json!(ids[1]), &json!(2)));
    assert_eq!(page["data"][0]["expired"], "2026-07-19T00:00:00.000Z");
    assert!(!answer.text.contains("secret") && !answer.text.contains("c_list"));
    assert_eq!(world.get(&format!("{list}&offset=2")).json()["data"].as_array().unwrap().len(), 1);

    for (query, status) in [
        ("from_date=2026-07-02&to_date=2026-07-02", 400),
        ("collector=c_list&from_date=2026-07-02", 400),
        ("collector=c_list&from_date=today&to_date=2026-07-02", 400),
        ("collector=c_list&from_date=2026-07-03&to_date=2026-07-04", 200),
    ] {
        let answer = world.get(&format!("/dca/collector/jobs?{query}"));
        assert_eq!(answer.status, status, "{query}");
        assert!(status == 400 || answer.json()["total"] == 0);
    }
}

#[test]
fn quirk_14_and_other_refusals_start_nothing() {
    let good = r#"[{"url":"https://a/"}]"#;
    let realtime =
        r#"{"error":"Cannot trigger a batch job with a real-time scraper. Use /trigger_immediate endpoint instead"}"#;
    let not_objects = r#"{"error":"Input must be a JSON array of objects"}"#;
    let mismatch = r#"{"error":"Input does not match the input schema of the collector"}"#;
    let mut world = World::calm("");
    for (query, body, status, text) in [
        ("collector=c_trial00&queue_next=1", good, 400, r#"{"error":"Trial collectors don't support queuing jobs"}"#),
        ("collector=c_unknown0", good, 404, "Collector not found"),
        ("collector=other", good, 404, "Collector not found"),
        ("", good, 400, "Missing collector parameter"),
        ("collector=c_template", good, 403, r#"{"error":"Collector does not have a template"}"#),
        ("collector=c_realtime", good, 400, realtime),
        ("collector=c_any", "", 400, r#"{"error":"No input provided"}"#),
        ("collector=c_any", "[]", 400, r#"{"error":"No input provided"}"#),
        ("collector=c_any", r#"{"url":"https://a/"}"#, 400, not_objects),
        ("collector=c_any", r#"["https://a/"]"#, 400, not_objects),
        ("collector=c_any", r#"[{"url":"#, 400, not_objects),
        ("collector=c_any&queue_next=yes", good, 400, r#"{"error":"Invalid parameter queue_next"}"#),
        ("collector=c_any&deadline=soon", good, 400, r#"{"error":"Invalid parameter deadline"}"#),
        ("collector=c_any&notify=webhook", good, 400, r#"{"error":"Invalid parameter notify"}"#),
        ("collector=c_schema00", r#"[{"url":"https://a/"},{"u":1}]"#, 422, mismatch),
        ("collector=c_schema00", r#"[{"url":"https://a/","n":1}]"#, 422, mismatch),
        ("collector=c_changed0", good, 422, r#"{"error":"input_schema_incompatible"}"#),
    ] {
        let answer = world.post(&format!("/dca/trigger?{query}"), body);
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{query} {body}");
    }
    assert_eq!(world.service.jobs().count(), 0);
    let deliver = "deliver=%7B%22type%22%3A%22email%22%7D";
    for query in [
        "collector=c_trial00",
        "collector=c_schema00&queue_next=1&name=a+b&queue=q&no_downloads=1&deadline=45s&version=dev&future=1",
        "collector=c_changed0&override_incompatible_input_schema=1",
        &format!("collector=c_any&{deliver}"),
    ] {
        assert_eq!(world.post(&format!("/dca/trigger?{query}"), good).status, 200, "{query}");
    }
    assert_eq!(world.service.jobs().count(), 4);
}

#[test]
fn quirk_15_credentials_are_refused_as_plain_text() {
    let mut world = World::calm("token = \"right\"");
    for (header, status, text) in [
        (None, 401, "User authentication is required"),
        (Some(""), 401, "User authentication is required"),
        (Some("Basic cmlnaHQ="), 401, "Auth method is not supported"),
        (Some("Bearer "), 401, "Auth method is not supported"),
        (Some("Bearer wrong"), 401, "Invalid credentials"),
        (Some("Bearer right"), 404, "Job not found"),
    ] {
        let mut request = Request::new("GET", "/dca/log/j_none", "");
        request.headers = header.map(|value| ("authorization".to_owned(), value.to_owned())).into_iter().collect();
        let answer = Answer::of(world.ask(&request));
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{header:?}");
    }
}

#[test]
fn quirk_16_lost_answers_and_refused_connections() {
    for (differences, fault, accepted) in [
        ("trigger_answer_lost = 1.0", Fault::AnswerLost, 1),
        ("faults.trigger.not_connected = 1.0", Fault::NotConnected, 0),
        ("trigger_without_id = 1.0", Fault::None, 1),
    ] {
        let mut world = World::calm(differences);
        let answer = world.post("/dca/trigger?collector=c_any", &urls(1).to_string());
        assert_eq!(answer.fault, fault);
        assert_eq!(world.service.jobs().count(), accepted, "{differences}");
        assert_ne!(answer.text.contains("collection_id"), differences.contains("without_id") || accepted == 0);
    }
    let mut world = World::calm("trigger_answer_lost = 0.1");
    for n in 0..1000 {
        world.post("/dca/trigger?collector=c_any&queue_next=1", &json!([{"n": n}]).to_string());
    }
    let lost = world.service.calls()["POST /dca/trigger 200 lost"];
    assert!((70..130).contains(&lost), "{lost}");
    assert_eq!(world.service.jobs().count(), 1000);
}

#[test]
fn quirk_17_the_limit_of_parallel_jobs() {
    let mut world = World::calm("api.jobs_max = 2\njobs.spread_seconds = 0.0\njobs.base_seconds = 0.8");
    let ids: Vec<String> = (0..4).map(|_| world.trigger("c_any", &urls(1))).collect();
    let status = |world: &mut World| ids.iter().map(|id| world.log(id)["status"].to_string()).collect::<Vec<_>>();
    assert_eq!(status(&mut world), ["\"running\"", "\"running\"", "\"queued\"", "\"queued\""]);
    world.wait(1.0);
    assert_eq!(status(&mut world), ["\"done\"", "\"done\"", "\"running\"", "\"running\""]);

    let mut world = World::calm("api.jobs_max = 2\napi.over_cap = \"error\"");
    (0..2).for_each(|_| _ = world.trigger("c_any", &urls(1)));
    let refused = world.post("/dca/trigger?collector=c_any", &urls(1).to_string());
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("Maximum limit of 2 jobs per scraper has been exceeded"));
    assert_eq!(world.service.jobs().count(), 2);
}

#[test]
fn quirk_18_expiry() {
    for (gone, status, text) in [("missing", 404, "Dataset not found"), ("empty", 200, "[]")] {
        let mut world = World::calm(&format!("jobs.expired = \"{gone}\""));
        let (id, _) = world.collect("c_any", &urls(1));
        world.wait(15.0 * 86_400.0);
        assert_eq!(world.dataset(&id).json().as_array().unwrap().len(), 1);
        world.wait(2.0 * 86_400.0);
        let answer = world.dataset(&id);
        assert_eq!((answer.status, answer.text.as_str()), (status, text));
        assert_eq!(world.get(&format!("/dca/log/{id}")).status, 404);
        assert_eq!(world.post(&format!("/dca/jobs/{id}/rerun"), "").status, 404);
    }
}

#[test]
fn quirk_19_and_20_a_stopped_job_keeps_what_it_has() {
    let slow = "[jobs]\nbase_seconds = 100.0\nlongest_seconds = 100.0";
    for (cancel, status, codes) in
        [(false, "done", vec!["deadline_timeout", "uncrawled_page"]), (true, "canceled", vec!["aborted_page"])]
    {
        let mut world = World::calm(slow);
        let id = world.trigger_with("collector=c_any&deadline=50s", &urls(200));
        world.wait(40.0);
        if cancel {
            assert_eq!(world.post(&format!("/dca/jobs/{id}/cancel"), "").text, "OK");
        }
        world.wait(20.0);
        assert_eq!(world.log(&id)["status"], status);
        let rows = world.dataset(&id).json().as_array().unwrap().clone();
        let (errors, records): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row["error"].is_string());
        assert!(errors.len() > 50 && records.len() > 50 && rows.len() == 200, "{}", records.len());
        assert!(errors.iter().all(|row| codes.contains(&row["error_code"].as_str().unwrap())));
        assert_eq!(world.post(&format!("/dca/jobs/{id}/cancel"), "").status, 400);
    }
}

#[test]
fn quirk_15_and_21_gateway_errors_and_rate_limits() {
    let mut world = World::calm("faults.dataset.server_error = 1.0");
    let answers: Vec<_> = (0..40).map(|_| world.get("/dca/dataset?id=j_x")).collect();
    for status in [500, 502, 503, 504] {
        let answer = answers.iter().find(|answer| answer.status == status).unwrap();
        assert_eq!(answer.text.starts_with("<html>"), status != 500);
        assert_eq!(answer.header("retry-after").is_some(), status == 503);
    }
    for (form, expected) in [("seconds", Some("2")), ("date", Some("Thu, 02 Jul 2026 12:21:06 GMT")), ("absent", None)]
    {
        let mut world = World::calm(&format!("faults.log.too_many = 1.0\nfaults.retry_after = \"{form}\""));
        let answer = world.get("/dca/log/j_x");
        assert_eq!((answer.status, answer.header("retry-after")), (429, expected));
    }
    // A 5xx on a trigger may or may not have started a job.
    let mut world = World::calm("faults.trigger.server_error = 1.0");
    for n in 0..100 {
        assert!(world.post("/dca/trigger?collector=c_any", &json!([{"n": n}]).to_string()).status >= 500);
    }
    assert!((30..70).contains(&world.service.jobs().count()));
}

#[test]
fn quirk_22_rows_of_another_run() {
    let mut world = World::calm("");
    world.collect("c_foreign0", &json!([{"url": "https://first.example/"}]));
    let (_, rows) = world.collect("c_foreign0", &json!([{"url": "https://second.example/"}]));
    let foreign = rows.iter().filter(|row| row["input"]["url"] == "https://first.example/").count();
    assert_eq!((rows.len(), foreign), (3, 2));
}

#[test]
fn quirk_23_an_error_header_on_a_200() {
    let mut world = World::calm("faults.trigger.brd_error = 1.0");
    let answer = world.post("/dca/trigger?collector=c_any", &urls(1).to_string());
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    assert!(answer.header("x-brd-error").is_some());
    assert_eq!(world.service.jobs().count(), 0);
}
