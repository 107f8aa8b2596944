//! What the functions write to their logs: every line of work on an attempt names it, and a run's story can be told from its lines alone.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use adapters::telemetry;
use bytes::Bytes;
use dropcollect_tests::story::{DAY, Script, Story, accepted};
use pipeline::policy::{OnInDoubt, Policy};
use pipeline::ports::SendAnswer;
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged while something is done, as a function in Lambda writes it when the level is `DEBUG`.
fn logged<T>(doing: impl FnOnce() -> T) -> (T, Vec<Value>) {
    let lines = Lines::default();
    let writer = lines.clone();
    let filter = telemetry::directives(|name| (name == "RUST_LOG").then(|| "debug".to_owned()));
    let done = tracing::subscriber::with_default(telemetry::json_lines(&filter, move || writer.clone()), doing);
    let written = String::from_utf8(lines.0.lock().expect("nobody panics with it").clone()).expect("text");
    (done, written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// One input succeeds, and one never does.
fn one_fails(script: Script) -> Script {
    let rows = br#"[{"input":{"url":"https://a"},"t":1},{"input":{"url":"https://b"},"error":"Timed out","error_code":"timeout"}]"#;
    let again = br#"[{"input":{"url":"https://b"},"error":"Timed out","error_code":"timeout"}]"#;
    let dataset = move |_, id: String| {
        Some(vec![Ok(if id == "j_0" { Bytes::from_static(rows) } else { Bytes::from_static(again) })])
    };
    Script { dataset: Box::new(dataset), ..script }
}

#[test]
fn every_line_about_an_attempt_names_it() {
    let (mut story, reading) = logged(|| Story::begin(one_fails, &[]));
    let run = story.object.run().to_string();
    assert!(!reading.is_empty());
    for line in &reading {
        assert_eq!(line["run"], run, "{line}");
    }
    let ((), working) = logged(|| story.run_until(3 * DAY));
    assert!(story.manifest().is_some());
    for line in &working {
        assert_eq!((&line["run"], &line["batch"]), (&json!(run), &json!(1)), "{line}");
        let attempt = line["attempt"].as_u64().expect("an attempt");
        // From the second attempt on, there are lines from before the trigger.
        let named = line["collection_id"].as_str();
        assert!(named == Some(&format!("j_{}", attempt - 1)) || (named.is_none() && attempt > 1), "{line}");
    }
    for attempt in 1..=3 {
        let named = |line: &&Value| line["attempt"] == attempt && !line["collection_id"].is_null();
        assert!(working.iter().any(|line| named(&line)), "nothing is said of attempt {attempt}: {working:#?}");
    }
}

#[test]
fn a_lost_answer_and_what_a_person_is_needed_for_can_be_read_from_the_log() {
    let sends = AtomicUsize::new(0);
    let trigger = move |_, _| match sends.fetch_add(1, Ordering::Relaxed) {
        0 => SendAnswer::InDoubt { why: "connection reset".into() },
        number => accepted(&format!("j_{number}")),
    };
    let policy = Policy { on_in_doubt: OnInDoubt::Hold, ..Policy::default() };
    let ((story, said), lines) = logged(|| {
        let mut story = Story::with(policy, |script| Script { trigger: Box::new(trigger), ..script }, &[]);
        story.run_until(DAY);
        let said = story.waits().len();
        (story, said)
    });
    assert_eq!(said, 1);
    let run = story.object.run().to_string();
    let told: Vec<_> = lines.iter().filter(|line| line["level"] != "INFO" && line["level"] != "DEBUG").collect();
    let levels: Vec<_> = told.iter().map(|line| &line["level"]).collect();
    assert_eq!(levels, ["WARN", "ERROR"], "the doubt, and that it waits for a person: {lines:#?}");
    for line in told {
        assert_eq!((&line["run"], &line["batch"], &line["attempt"]), (&json!(run), &json!(1), &json!(1)), "{line}");
    }
}

#[test]
fn no_input_and_no_record_is_logged() {
    let (_, lines) = logged(|| {
        let mut story = Story::begin(one_fails, &[]);
        story.run_until(3 * DAY);
    });
    for line in lines {
        let text = line.to_string();
        assert!(!text.contains("https://a") && !text.contains("\"t\":1"), "{line}");
    }
}
