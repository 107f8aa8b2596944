//! The status page: what it costs, that trouble with it stops nothing, and that it goes on by itself. What it looks like is shown by
//! `tests/page.py`, that it is true by the simulated world.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use dropcollect_tests::story::{Story, began};
use futures_util::FutureExt;
use pipeline::keys;
use pipeline::manifest::RunState;
use pipeline::page::{Page, RUNS_MAX, renew};
use pipeline::policy::Policy;
use pipeline::ports::*;
use pipeline::schedule::later;
use pipeline::spending::Limits;

const DOCS: &str = include_str!("../../docs/status-page.md");
/// Seconds that the first collection takes; of a thousand, the last takes twice as long.
const JOB_SECONDS: i64 = 600;
/// Dollars of a PUT and of a GET (S3 standard, us-east-1; list prices as in bench/sections/cost.py).
const PRICES: [f64; 2] = [0.005 / 1_000.0, 0.0004 / 1_000.0];

/// What is asked because of the page: PUTs and GETs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Asked {
    puts: u64,
    gets: u64,
}

impl Asked {
    fn dollars(self) -> f64 {
        self.puts as f64 * PRICES[0] + self.gets as f64 * PRICES[1]
    }
}

/// A store that counts what is asked because of the page, or refuses it.
struct Watching {
    store: Arc<dyn Store>,
    asked: Arc<Mutex<Asked>>,
    /// The kill switch is read before the page is put; elsewhere it is read for other reasons.
    after_swap: Mutex<bool>,
    refuses: bool,
}

impl Watching {
    fn page(&self, key: &str, puts: u64, gets: u64) -> Result<(), PortError> {
        if key != keys::PAGE && key != keys::PAGE_STATE {
            return Ok(());
        }
        let mut asked = self.asked.lock().expect("no panic");
        *asked = Asked { puts: asked.puts + puts, gets: asked.gets + gets };
        if self.refuses { Err(PortError::new(format!("page {key}"), "SlowDown")) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for Watching {
    async fn get(&self, key: &str) -> Result<Option<Stored>, PortError> {
        self.page(key, 0, 1)?;
        if key == keys::PAUSE && std::mem::take(&mut *self.after_swap.lock().expect("no panic")) {
            self.page(keys::PAGE, 0, 1)?;
        }
        self.store.get(key).await
    }
    async fn create(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<Written, PortError> {
        self.store.create(key, body, info).await
    }
    async fn replace(&self, key: &str, body: Bytes, expected: Option<&Tag>) -> Result<Written, PortError> {
        self.page(key, 1, 0)?;
        *self.after_swap.lock().expect("no panic") = key == keys::PAGE_STATE;
        self.store.replace(key, body, expected).await
    }
    async fn put(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<(), PortError> {
        self.page(key, 1, 0)?;
        self.store.put(key, body, info).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Listing, PortError> {
        self.store.list(prefix, after).await
    }
    async fn begin_upload(&self, key: &str, info: &ObjectInfo) -> Result<UploadId, PortError> {
        self.store.begin_upload(key, info).await
    }
    async fn upload_part(&self, key: &str, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, PortError> {
        self.store.upload_part(key, upload, number, body).await
    }
    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<Completed, PortError> {
        self.store.complete_upload(key, upload, parts).await
    }
    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), PortError> {
        self.store.abort_upload(key, upload).await
    }
}

/// Files of so many batches each, of one input, run to their ends; what was asked for the page.
fn run(files: usize, batches: usize, refuses: bool) -> (Story, Asked) {
    let policy = Policy { batch_inputs_max: 1, retry_unattributed: false, ..Policy::default() };
    let part = |script: dropcollect_tests::story::Script| dropcollect_tests::story::Script {
        dataset: Box::new(|now, id| {
            let number: i64 = id.trim_start_matches("j_").parse().expect("j_ and a number");
            (now >= JOB_SECONDS + number * JOB_SECONDS / 1_000).then(|| vec![Ok(Bytes::from_static(b"[]"))])
        }),
        ..script
    };
    let mut story = Story::before(policy, Limits::default(), part, &[]);
    let asked = Arc::new(Mutex::new(Asked::default()));
    let store = story.pipeline.store.clone();
    story.pipeline.store = Arc::new(Watching { store, asked: asked.clone(), after_swap: Mutex::default(), refuses });
    for file in 0..files {
        let rows: String = (0..batches).map(|row| format!("https://a/{file}/{row}\n")).collect();
        story.object = story.inputs.put("in", &format!("{file:04}.txt"), rows, &BTreeMap::new(), began());
        story.trigger();
    }
    story.run_until(2 * 3_600);
    let asked = *asked.lock().expect("no panic");
    (story, asked)
}

fn page(story: &Story) -> Page {
    serde_json::from_slice(&story.store.object(keys::PAGE_STATE).expect("a page").body).expect("a page")
}

#[test]
fn a_thousand_batches_cost_what_the_page_about_it_says() {
    let (story, one_run) = run(1, 1_000, false);
    assert_eq!(story.manifest().expect("a manifest").spent.collections, 1_000);
    assert_eq!(page(&story).shown[0].status.state, RunState::Complete);
    let (story, many_runs) = run(1_000, 1, false);
    assert_eq!(page(&story).shown.len(), RUNS_MAX);
    assert!(page(&story).shown.iter().all(|shown| shown.is_over()));
    let rows = [("one run of 1,000 batches", one_run), ("1,000 runs of one batch", many_runs)]
        .map(|(what, asked)| format!("| {what} | {} | {} | {:.5} |", asked.puts, asked.gets, asked.dollars()));
    println!("{}", rows.join("\n"));
    for row in rows {
        assert!(DOCS.contains(&row), "docs/status-page.md does not have the row {row}");
    }
}

#[test]
fn trouble_with_the_page_stops_nothing() {
    let (story, asked) = run(2, 3, true);
    assert!(asked.puts + asked.gets > 0);
    assert!(story.manifest().is_some() && story.queues.poll.messages().is_empty());
    assert_eq!(story.store.object(keys::PAGE), None);
    assert_eq!(story.watched.told().len(), 2, "who wants to know is told all the same");
}

#[test]
fn a_sweep_makes_up_for_a_page_that_was_lost() {
    let (story, _) = run(2, 3, true);
    let store = Arc::new(story.store.clone());
    let story = Story { pipeline: pipeline::Pipeline { store, ..story.pipeline }, ..story };
    story.sweep();
    let known = page(&story);
    assert_eq!(known.shown.iter().filter(|shown| shown.is_over()).count(), 2);
    // One that cannot be read is made anew, too.
    let put = |body: &'static str| {
        let info = ObjectInfo::default();
        story.store.put(keys::PAGE_STATE, body.into(), &info).now_or_never().expect("nothing waits").expect("no error");
    };
    put("not a page");
    renew(&story.store, later(began(), 86_400)).now_or_never().expect("nothing waits").expect("no error");
    assert_eq!(page(&story).shown, known.shown);
    let html = story.store.object(keys::PAGE).expect("a page");
    assert_eq!(html.info.content_type, "text/html; charset=utf-8");
    assert!(String::from_utf8_lossy(&html.body).starts_with("<!DOCTYPE html><html lang=\"en\">"));
}

#[test]
fn a_bucket_without_runs_has_a_page_that_says_so() {
    let store = dropcollect::memory::MemoryStore::new();
    renew(&store, began()).now_or_never().expect("nothing waits").expect("no error");
    let html = store.object(keys::PAGE).expect("a page").body;
    assert!(String::from_utf8_lossy(&html).contains("Nothing has been run yet."));
}
