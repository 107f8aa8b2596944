//! The story of a row while its run goes on: what waits, what a person decided, what was refused.

use dropcollect::why::{self, Asked, Fate, Story as Row};
use dropcollect_tests::story::{DAY, Script, Story, accepted};
use futures_util::FutureExt;
use pipeline::ledger::Decision;
use pipeline::policy::{OnInDoubt, Policy};
use pipeline::ports::SendAnswer;

fn row(story: &Story, line: u64) -> Row {
    let (run, line) = (story.object.run(), Asked::Line(line));
    why::story(&story.store, &run, &line).now_or_never().expect("nothing waits").expect("a story")
}

fn said(row: &Row) -> Vec<(u32, &str)> {
    row.attempts.iter().map(|chapter| (chapter.attempt, chapter.said.as_str())).collect()
}

#[test]
fn a_collection_that_runs_is_waited_for() {
    let story = Story::begin(|script| Script { dataset: Box::new(|_, _| None), ..script }, &[]);
    let told = row(&story, 2);
    assert_eq!((told.fate.clone(), told.row.as_str()), (Fate::Pending, "https://b"));
    assert_eq!(said(&told), [(1, "the collection runs, or its dataset has not been fetched yet")]);
    assert_eq!(told.attempts[0].collection.as_deref(), Some("j_0"));
}

#[test]
fn what_is_held_and_given_up_is_told() {
    let policy = Policy { on_in_doubt: OnInDoubt::Hold, ..Policy::default() };
    let lost = |_, _| SendAnswer::InDoubt { why: "reset".into() };
    let mut story = Story::with(policy, |script| Script { trigger: Box::new(lost), ..script }, &[]);
    assert_eq!(said(&row(&story, 1)), [(1, "triggered, without an answer so far")]);
    story.run_until(DAY);
    let held = row(&story, 1);
    assert!(matches!(&held.fate, Fate::Held { reason, .. } if reason == "in_doubt"), "{held:?}");
    assert!(
        held.text(&str::to_owned).contains("  to decide   a trigger got no answer"),
        "{}",
        held.text(&str::to_owned)
    );
    assert!(story.release(&Decision::GiveUp).iter().all(Result::is_ok));
    story.run_until(2 * DAY);
    let given_up = row(&story, 1);
    assert!(matches!(&given_up.fate, Fate::Failed { code, .. } if code == "given_up"), "{given_up:?}");
    assert_eq!(said(&given_up), [(1, "given up by a person")]);
}

#[test]
fn of_a_refused_batch_each_row_has_its_own_story() {
    // One input is wrong, and a trigger with it is refused.
    let trigger = |_, request: pipeline::ports::TriggerRequest| match String::from_utf8_lossy(&request.body) {
        body if body.contains("https://b") => SendAnswer::Refused { status: 422, text: "no schema for it".into() },
        _ => accepted("j_good"),
    };
    let one = || vec![Ok(bytes::Bytes::from_static(br#"[{"input":{"url":"https://a"},"t":1}]"#))];
    let script =
        move |script| Script { trigger: Box::new(trigger), dataset: Box::new(move |_, _| Some(one())), ..script };
    let mut story = Story::begin(script, &[]);
    story.run_until(DAY);
    assert!(story.manifest().is_some());
    let (good, bad) = (row(&story, 1), row(&story, 2));
    assert_eq!((good.fate.clone(), good.attempts[0].collection.as_deref()), (Fate::WithRecords, Some("j_good")));
    assert!(matches!(&bad.fate, Fate::Failed { code, .. } if code == "refused_422"), "{bad:?}");
    assert_eq!(said(&bad), [(1, "the trigger was refused with 422: no schema for it")]);
}
