//! `dropcollect why`: the story of one row, whatever became of it.

use serde_json::Value;

use crate::support::Place;

const SCENARIO: &str = r#"
based_on = "calm"
[inputs]
transient_failures_max = 1
[inputs.marked]
"/dead/" = "permanent"
"/flaky/" = "transient"
"/quiet/" = "nothing"
"#;

const ROWS: &str = "\
https://a.example/good/1
# a comment
https://a.example/flaky/2
https://a.example/dead/3
https://a.example/quiet/4
{\"url\":1}
https://a.example/good/1
https://a.example/good/5
";

/// What is asked, the exit status, and words of the answer.
struct Asked(&'static str, i32, &'static [&'static str]);

const ASKED: &[Asked] = &[
    Asked(
        "1",
        0,
        &["rows.txt line 1: has records", "attempt 1   j_", ", fetched ", ": has records", "data/output/rows.txt/"],
    ),
    Asked("/flaky/2", 0, &["line 3: has records", "attempt 1   j_", "triggered again", "attempt 2   j_"]),
    Asked(
        "4",
        0,
        &["line 4: failed for good (", "https://a.example/dead/3", "attempt 1   j_", ", not triggered again: "],
    ),
    Asked("quiet", 0, &["line 5: ended without a record and without an error", "neither a record nor an error"]),
    Asked("6", 0, &["line 6: rejected, not sent (not_a_url)", "{\"url\":1}", "because "]),
    Asked("8", 0, &["line 8: has records", "https://a.example/good/5"]),
    // A comment, an equal row, and behind the end.
    Asked("2", 2, &["line 2 holds no input of its own"]),
    Asked("7", 2, &["line 7 holds no input of its own", "equal to an earlier row"]),
    Asked("9", 2, &["line 9 holds no input of its own"]),
    Asked("/absent/", 2, &["no row has \"/absent/\" in it"]),
];

#[test]
fn every_row_has_its_story() {
    let place = Place::new();
    place.file("calm.toml", SCENARIO);
    place.file("rows.txt", ROWS);
    let mut run = place.run(&["rows.txt", "--simulate", "--scenario", "calm.toml"]);
    // Several batches, so that the right one has to be found.
    run.env("BATCH_INPUTS_MAX", "2");
    place.finish(run).expect(1, &["rows.txt: complete, with failures"]);
    for Asked(row, status, words) in ASKED {
        let done = place.finish(place.command(&["why", "rows.txt", row, "--data", "data"]));
        let said = format!("{}{}", done.out, done.err);
        assert_eq!(done.status, Some(*status), "{row}: {said}");
        for word in *words {
            assert!(said.contains(word), "{row}: {word:?} is not in\n{said}");
        }
    }
    let run = place.manifest("rows.txt")["run"].as_str().unwrap().to_owned();
    let done = place.finish(place.command(&["why", &run, "/flaky/2", "--data", "data", "--json"]));
    let story: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&story["fate"]["fate"], story["attempts"].as_array().unwrap().len()), (&"with_records".into(), 2));
    let output = story["attempts"][1]["output"].as_str().unwrap();
    let records = std::fs::read_to_string(place.path("data").join(output)).unwrap();
    assert!(records.contains("/flaky/2"), "{records}");
    place.finish(place.command(&["why", "other.txt", "1", "--data", "data"])).expect(2, &[]);
}
