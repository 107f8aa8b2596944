use super::*;

fn at() -> Timestamp {
    Timestamp::constant(1_782_864_000, 0) // 2026-07-01T00:00:00Z
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn answer(status: u16, body: &str) -> Answer<'_> {
    Answer { status, headers: &[], body: body.as_bytes(), cut: None, at: at(), token: None }
}

fn in_doubt(why: &str) -> SendAnswer {
    SendAnswer::InDoubt { why: why.into() }
}

fn refused(status: u16, text: &str) -> SendAnswer {
    SendAnswer::Refused { status, text: text.into() }
}

fn credentials(status: u16, text: &str) -> SendAnswer {
    SendAnswer::Credentials { status, text: text.into() }
}

fn accepted(collection: &str, start_eta: Option<&str>) -> SendAnswer {
    SendAnswer::Accepted { collection: collection.into(), start_eta: start_eta.map(|eta| eta.parse().unwrap()) }
}

#[test]
fn what_the_api_says_to_a_send() {
    let maximum = "Maximum limit of 100 jobs per scraper has been exceeded. Please reduce the number of parallel jobs.";
    let maximum_json = format!(r#"{{"error":"{maximum}"}}"#);
    let wait = || SendAnswer::Wait { retry_after: None, text: maximum.into() };
    let eta = "2026-05-22T13:26:22.702Z";
    let table = [
        (200, r#"{"collection_id":"j_abc","start_eta":"2026-05-22T13:26:22.702Z"}"#, accepted("j_abc", Some(eta))),
        (200, r#"{"collection_id":"j_abc"}"#, accepted("j_abc", None)),
        (200, r#"{"collection_id":"j_abc","start_eta":"soon"}"#, accepted("j_abc", None)),
        (200, r#"{"collection_id":"j_abc","start_eta":null}"#, accepted("j_abc", None)),
        (201, r#"{"collection_id":"j_abc"}"#, accepted("j_abc", None)),
        (202, r#"{"collection_id":"j_abc"}"#, accepted("j_abc", None)),
        (200, "{}", in_doubt("200 without an id: {}")),
        (200, r#"{"collection_id":""}"#, in_doubt(r#"200 without an id: {"collection_id":""}"#)),
        (200, r#"{"collection_id":null}"#, in_doubt(r#"200 without an id: {"collection_id":null}"#)),
        (200, r#"{"error":"oh"}"#, in_doubt("200 without an id: oh")),
        (200, "OK", in_doubt("200 without an id: OK")),
        (200, "", in_doubt("200 without an id: no text")),
        (204, "", in_doubt("204 without an id: no text")),
        (300, "", in_doubt("300: no text")),
        (301, "", refused(301, "no text")),
        (302, "", in_doubt("302: no text")),
        (303, "", in_doubt("303: no text")),
        (304, "", in_doubt("304: no text")),
        (307, "", refused(307, "no text")),
        (308, "", refused(308, "no text")),
        (400, r#"{"error":"No input provided"}"#, refused(400, "No input provided")),
        (
            400,
            r#"{"error":"Trial collectors don't support queuing jobs"}"#,
            SendAnswer::RefusedOption { text: "Trial collectors don't support queuing jobs".into() },
        ),
        (400, &maximum_json, wait()),
        (403, maximum, wait()),
        (422, maximum, wait()),
        (401, "Invalid credentials", credentials(401, "Invalid credentials")),
        (401, r#"{"error":"Credentials are missing"}"#, credentials(401, "Credentials are missing")),
        (403, "This API key lacks the permission", credentials(403, "This API key lacks the permission")),
        (403, r#"{"error":"No permission for scraper"}"#, credentials(403, "No permission for scraper")),
        (403, "", credentials(403, "no text")),
        (403, r#"{"error":"Collector does not have a template"}"#, refused(403, "Collector does not have a template")),
        (404, "Collector not found", refused(404, "Collector not found")),
        (408, "", in_doubt("408: no text")),
        (409, "busy", refused(409, "busy")),
        (422, r#"{"message":"url is required"}"#, refused(422, "url is required")),
        (429, "slow down", SendAnswer::Wait { retry_after: None, text: "slow down".into() }),
        (500, "Internal server error", in_doubt("500: Internal server error")),
        (502, "<html><head><title>502 Bad Gateway</title></head></html>", in_doubt("502: 502 Bad Gateway")),
        (503, maximum, in_doubt(&format!("503: {maximum}"))),
        (504, r#"{"collection_id":"j_abc"}"#, in_doubt(r#"504: {"collection_id":"j_abc"}"#)),
        (999, "", in_doubt("999: no text")),
    ];
    for (status, body, expected) in table {
        assert_eq!(trigger(&answer(status, body)), expected, "{status} {body}");
    }
}

#[test]
fn a_cut_answer_to_a_send_is_in_doubt_unless_its_status_says_all() {
    for (status, body) in [
        (200, r#"{"collection_id":"j_abc""#),
        (504, r#"{"collection_id":"j_abc"}"#),
        (400, r#"{"error":"Trial"#),
        (403, ""),
        (404, "Coll"),
    ] {
        let cut = Answer { cut: Some("reset"), ..answer(status, body) };
        assert_eq!(trigger(&cut), in_doubt(&format!("{status}, but the answer was cut: reset")));
    }
    let whole = r#"{"collection_id":"j_abc"}"#;
    assert_eq!(trigger(&Answer { cut: Some("reset"), ..answer(200, whole) }), accepted("j_abc", None));
    let cut = |status| Answer { cut: Some("reset"), ..answer(status, "") };
    assert_eq!(trigger(&cut(401)), credentials(401, "no text"));
    assert_eq!(trigger(&cut(429)), SendAnswer::Wait { retry_after: None, text: "no text".into() });
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let table = [
        ("7", Some(7)),
        (" 0 ", Some(0)),
        ("99999999999", Some(u32::MAX)),
        ("Wed, 01 Jul 2026 00:01:30 GMT", Some(90)),
        ("Tue, 30 Jun 2026 00:00:00 GMT", Some(0)),
        ("soon", None),
        ("-5", None),
    ];
    for (value, seconds) in table {
        let headers = headers(&[("retry-after", value)]);
        let answer = Answer { headers: &headers, ..answer(429, "") };
        assert_eq!(answer.retry_after(), seconds, "{value}");
        assert_eq!(trigger(&answer), SendAnswer::Wait { retry_after: seconds, text: "no text".into() });
        assert_eq!(log(&answer), Looked::Wait { retry_after: seconds });
    }
}

#[test]
fn what_a_dataset_says_before_it_is_there() {
    let pending = |hint| Looked::Found(Waiting::Pending(hint));
    let table = [
        (202, r#"{"status":"building","message":"Dataset is not ready yet, try again in 30s"}"#, pending(Some(30))),
        (202, r#"{"status":"building","message":"Try again in 2 minutes"}"#, pending(Some(120))),
        (202, r#"{"status":"building","message":"try again in a while"}"#, pending(None)),
        (202, r#"{"status":"collecting","message":"Job is not finished"}"#, pending(None)),
        (202, r#"{"pending":true}"#, pending(None)),
        (202, "", pending(None)),
        (202, r#"{"status":"Failed"}"#, Looked::Found(Waiting::Ended("Failed".into()))),
        (202, r#"{"status":"cancelled"}"#, Looked::Found(Waiting::Ended("cancelled".into()))),
        (404, "Job not found", Looked::Absent),
        (410, "", Looked::Absent),
        (400, r#"{"error":"Job not found"}"#, Looked::Absent),
        (400, "Invalid job ID supplied", Looked::Absent),
        (400, "Missing id", Looked::Refused { status: 400, text: "Missing id".into() }),
        (204, "", Looked::Refused { status: 204, text: "no text".into() }),
        (302, "", Looked::Refused { status: 302, text: "no text".into() }),
        (401, "Invalid credentials", Looked::Credentials { status: 401, text: "Invalid credentials".into() }),
        (403, "no", Looked::Credentials { status: 403, text: "no".into() }),
        (429, "", Looked::Wait { retry_after: None }),
        (502, "oops", Looked::Trouble { why: "502: oops".into() }),
    ];
    for (status, body, expected) in table {
        assert_eq!(dataset(&answer(status, body)), expected, "{status} {body}");
    }
    let headers = headers(&[("retry-after", "45")]);
    let body = r#"{"message":"try again in 30s"}"#;
    assert_eq!(dataset(&Answer { headers: &headers, ..answer(202, body) }), pending(Some(45)));
    let cut = Answer { cut: Some("reset"), ..answer(202, "{") };
    assert_eq!(dataset(&cut), Looked::Trouble { why: "202, but the answer was cut: reset".into() });
}

#[test]
fn logs() {
    let golden = r#"{"id":"j_ma13y9ay1piehrso8r","status":"done","collector":"c_m9im5n7v82p2y35la",
        "template":"t_m9jty150kxgwtzcgi.3","inputs":1,"dup_inputs":0,"lines":60,"fails":0,"pages":1,"pages_left":0,
        "success":1,"navigations":2,"created":"2025-04-28T13:22:16.857Z","started":"2025-04-28T13:22:17.502Z",
        "finished":"2025-04-28T13:23:28.961Z","trigger":"user@example.com","success_rate":1,"job_time":71459}"#;
    let expected = JobLog {
        status: Some("done".into()),
        lines: Some(60),
        fails: Some(0),
        pages: Some(1),
        started: Some("2025-04-28T13:22:17.502Z".parse().unwrap()),
        finished: Some("2025-04-28T13:23:28.961Z".parse().unwrap()),
    };
    assert_eq!(log(&answer(200, golden)), Looked::Found(expected.clone()));
    let title_case = r#"{"Id":"j_1","Status":"Done","Lines":"60","Fails":0,"Pages":1,
        "Started":"2025-04-28T13:22:17.502Z","Finished":"2025-04-28T13:23:28.961Z"}"#;
    assert_eq!(log(&answer(200, title_case)), Looked::Found(expected));
    let no_status = r#"{"id":"j_1","fails":15,"started":"","finished":null,"lines":-1}"#;
    assert_eq!(log(&answer(200, no_status)), Looked::Found(JobLog { fails: Some(15), ..JobLog::default() }));
    assert_eq!(log(&answer(404, "Job not found")), Looked::Absent);
    assert_eq!(log(&answer(200, "[]")), Looked::Refused { status: 200, text: "[]".into() });
    assert_eq!(log(&answer(200, "<p>")), Looked::Refused { status: 200, text: "<p>".into() });
    let cut = Answer { cut: Some("reset"), ..answer(200, golden) };
    assert_eq!(log(&cut), Looked::Trouble { why: "200, but the answer was cut: reset".into() });
}

#[test]
fn error_lists() {
    let golden = r#"{"errors":[{"url":"www.example.com/x","error":"aborted","consumer":"dca-hp-so-szakh"},{"error":"?"},{"url":"b"}]}"#;
    let row = |url: &str, error: &str| JobError { url: url.into(), error: error.into() };
    let rows = vec![row("www.example.com/x", "aborted"), row("b", "")];
    assert_eq!(errors(&answer(200, golden)), Looked::Found(rows));
    assert_eq!(errors(&answer(200, r#"{"errors":[]}"#)), Looked::Found(Vec::new()));
    assert_eq!(errors(&answer(200, r#"[{"url":"a","error":"e"}]"#)), Looked::Found(vec![row("a", "e")]));
    assert_eq!(errors(&answer(404, "Job not found")), Looked::Absent);
    assert_eq!(errors(&answer(400, "Invalid job ID supplied")), Looked::Absent);
    assert_eq!(
        errors(&answer(500, "Internal server error")),
        Looked::Trouble { why: "500: Internal server error".into() }
    );
}

#[test]
fn job_lists() {
    let golden = r#"{"total":3,"offset":0,"limit":50,"data":[{"id":"j_example1234567890","status":"Done",
        "queued":"2026-07-02T12:21:04.121Z","started":"2026-07-02T12:21:04.387Z","finished":"2026-07-02T12:21:09.566Z",
        "inputs":1,"page_loads":1,"total_pages":1,"failed_pages":0,"data_lines":50,
        "trigger":{"type":"CP","user":"user@example.com","ip":"192.0.2.10"},"expired":"2026-07-19T00:00:00.000Z"},
        {"status":"queued"},{"id":"j_2"}]}"#;
    let first = ListedJob {
        id: "j_example1234567890".into(),
        queued: Some("2026-07-02T12:21:04.121Z".parse().unwrap()),
        inputs: Some(1),
        status: Some("done".into()),
    };
    let second = ListedJob { id: "j_2".into(), queued: None, inputs: None, status: None };
    assert_eq!(jobs(&answer(200, golden)), Looked::Found(JobPage { total: 3, jobs: vec![first, second] }));
    assert_eq!(jobs(&answer(200, r#"{"data":[]}"#)), Looked::Found(JobPage::default()));
    let missing = r#"{"error":"Missing collector parameter"}"#;
    assert_eq!(
        jobs(&answer(400, missing)),
        Looked::Refused { status: 400, text: "Missing collector parameter".into() }
    );
}

#[test]
fn cancelling() {
    assert_eq!(cancel(&answer(200, "OK")), Looked::Found(()));
    assert_eq!(cancel(&answer(404, "Job not found")), Looked::Absent);
    assert_eq!(cancel(&answer(409, "done")), Looked::Refused { status: 409, text: "done".into() });
}
