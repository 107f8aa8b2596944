//! The status page: `status/index.html`, one file without a script that shows the newest runs.
//!
//! It is made of [`Page`], one bounded object, and written again when a status is, at most once a minute for all runs together, and
//! whenever a run is over. Nothing depends on it: trouble with it is logged and forgotten, and the sweep makes up for what was missed.
//!
//! An update takes five requests, [`keys::PAGE_STATE`] read, swapped and read again, the page put, the kill switch read, and a sixth where
//! there are spending limits. A status that is written before the minute is over reads [`keys::PAGE_STATE`] once.

mod charts;
mod details;
mod html;
mod shown;
mod text;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use shown::Seen;
pub use shown::{Pace, Shown, Span};

use crate::Pipeline;
use crate::keys;
use crate::ledger::{self, DoneRecord, OverRecord, RunRecord};
use crate::manifest::Manifest;
use crate::pause::{self, Switch};
use crate::ports::{ObjectInfo, PortError, Store, Written};
use crate::schedule::seconds_between;
use crate::spending::{self, Book};
use crate::status::Status;
use crate::sweep::Marks;
use crate::words::RunId;

/// Runs on the page.
pub const RUNS_MAX: usize = 30;
/// Shortest time between two updates, but for those of runs that end.
pub const INTERVAL_SECONDS: i64 = 60;
/// Finished batches of runs that go on that a sweep reads for the page, of all runs together.
const LOOKS_MAX: usize = 100;
/// Tries to write while others do.
const TRIES_MAX: usize = 8;

/// `control/page.json`: what the page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Format version.
    pub v: u32,
    /// When it was written.
    pub updated_at: Timestamp,
    /// The newest runs: those that are not over first, then by their beginnings, the newest first.
    pub shown: Vec<Shown>,
}

/// What stands beside the runs.
#[derive(Debug, Default)]
struct Beside {
    switch: Option<Switch>,
    book: Option<Book>,
}

/// What there is to tell of a run.
enum News {
    Live(Box<Status>, Seen),
    Over(String, Box<Manifest>),
}

/// A status was written: tells it, if the page is old enough.
pub(crate) async fn noted(pipeline: &Pipeline, status: Status, seen: Seen) {
    let update = Update::of(pipeline, status.updated_at);
    logged(update.write(&[News::Live(Box::new(status), seen)], When::Due).await);
}

/// A run is over and has its manifest.
pub(crate) async fn ended(pipeline: &Pipeline, path: &str, manifest: Manifest) {
    let update = Update::of(pipeline, pipeline.clock.now());
    logged(update.write(&[News::Over(path.to_owned(), Box::new(manifest))], When::News).await);
}

/// Makes up for what was missed, and tells that the sweep runs.
pub(crate) async fn swept(pipeline: &Pipeline, marks: &Marks) {
    logged(Update::of(pipeline, pipeline.clock.now()).renew(marks).await);
}

/// Writes the page anew from what is in the dataset bucket; for people, who do not wait for the next sweep.
pub async fn renew(store: &dyn Store, now: Timestamp) -> Result<(), PortError> {
    let marks = Marks::read(store).await?;
    Update { store, now, limits: true }.renew(&marks).await
}

/// The page is never a reason for work to fail.
fn logged(done: Result<(), PortError>) {
    if let Err(error) = done {
        tracing::warn!(%error, source = %error.source, "the status page could not be written; the next sweep does it");
    }
}

/// When a page is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// If it is old enough.
    Due,
    /// If anything changes.
    News,
    Always,
}

struct Update<'a> {
    store: &'a dyn Store,
    now: Timestamp,
    /// Whether there are spending limits.
    limits: bool,
}

impl<'a> Update<'a> {
    fn of(pipeline: &'a Pipeline, now: Timestamp) -> Self {
        Self { store: &*pipeline.store, now, limits: !pipeline.limits.is_empty() }
    }

    async fn write(&self, news: &[News], when: When) -> Result<(), PortError> {
        for _ in 0..TRIES_MAX {
            let stored = self.store.get(keys::PAGE_STATE).await?;
            // One that cannot be read is begun anew: the sweep finds the runs again.
            let known = stored.as_ref().and_then(|stored| serde_json::from_slice::<Page>(&stored.body).ok());
            let fresh =
                known.as_ref().is_some_and(|page| seconds_between(page.updated_at, self.now) < INTERVAL_SECONDS);
            if when == When::Due && fresh {
                return Ok(());
            }
            let mut page = known.unwrap_or(Page { v: ledger::VERSION, updated_at: self.now, shown: Vec::new() });
            let mut changed = false;
            for news in news {
                changed |= page.enter(news);
            }
            if !changed && when != When::Always {
                return Ok(());
            }
            // Clocks of handlers differ.
            page.updated_at = page.updated_at.max(self.now);
            let body = ledger::encode(keys::PAGE_STATE, &page)?;
            let tag = stored.as_ref().map(|stored| &stored.tag);
            if self.store.replace(keys::PAGE_STATE, body, tag).await? == Written::New {
                return self.publish(page).await;
            }
        }
        Err(PortError::new(format!("cannot write {}", keys::PAGE_STATE), "others write it all the time"))
    }

    /// Writes the page as its state is. Of those who write at the same time, the last one looks again, so the newest state is what stays.
    async fn publish(&self, mut page: Page) -> Result<(), PortError> {
        let beside = self.beside().await?;
        for _ in 0..TRIES_MAX {
            let info = ObjectInfo::of("text/html; charset=utf-8");
            self.store.put(keys::PAGE, html::page(&page, &beside).into(), &info).await?;
            match ledger::read::<Page>(self.store, keys::PAGE_STATE).await? {
                Some(newer) if newer != page => page = newer,
                _ => break,
            }
        }
        Ok(())
    }

    async fn beside(&self) -> Result<Beside, PortError> {
        let book = if self.limits { spending::book(self.store).await? } else { None };
        Ok(Beside { switch: pause::standing(self.store).await?, book })
    }

    /// What the page should know and does not: runs that are over, and the states of those that are not.
    async fn renew(&self, marks: &Marks) -> Result<(), PortError> {
        let known: Option<Page> = match self.store.get(keys::PAGE_STATE).await? {
            Some(stored) => serde_json::from_slice(&stored.body).ok(),
            None => None,
        };
        let (mut news, mut looks) = (Vec::new(), LOOKS_MAX);
        for mark in marks.open.iter().rev().take(RUNS_MAX) {
            let Some(run) = keys::marked_run(mark) else { continue };
            let Some(path) = self.path_of(&run, None).await? else { continue };
            let status: Option<Status> = ledger::read(self.store, &keys::status(&path)).await?;
            let Some(status) = status.filter(|status| status.run == run) else { continue };
            // A run that has its manifest is over, whether its last mark was written or not.
            match status.manifest {
                Some(_) => news.extend(self.over(path, &run).await?),
                None => news.push(News::Live(Box::new(status), self.look(&run, &mut looks).await?)),
            }
        }
        for mark in marks.over.iter().rev().take(RUNS_MAX.saturating_sub(news.len())) {
            let Some(run) = keys::marked_run(mark) else { continue };
            if known.as_ref().is_some_and(|page| page.is_over(&run)) {
                continue;
            }
            let Some(path) = self.path_of(&run, Some(mark)).await? else { continue };
            news.extend(self.over(path, &run).await?);
        }
        self.write(&news, When::Always).await
    }

    async fn over(&self, path: String, run: &RunId) -> Result<Option<News>, PortError> {
        let manifest: Option<Manifest> = ledger::read(self.store, &keys::manifest(&path, run)).await?;
        Ok(manifest.map(|manifest| News::Over(path, Box::new(manifest))))
    }

    /// The newest finished batches of a run, as far as there are looks left.
    async fn look(&self, run: &RunId, looks: &mut usize) -> Result<Seen, PortError> {
        let mut seen = Seen::default();
        for key in ledger::list_all(self.store, &keys::all_done(run)).await?.iter().rev().take(*looks) {
            seen.add(&ledger::read_known::<DoneRecord>(self.store, key).await?.fates);
            *looks -= 1;
        }
        Ok(seen)
    }

    /// The input key of a run, as a part of other keys: by the mark that it is over, or by its first record.
    async fn path_of(&self, run: &RunId, over: Option<&str>) -> Result<Option<String>, PortError> {
        if let Some(mark) = over
            && let Some(path) = ledger::read::<OverRecord>(self.store, mark).await?.and_then(|over| over.path)
        {
            return Ok(Some(path));
        }
        Ok(ledger::read::<RunRecord>(self.store, &keys::run(run)).await?.map(|record| record.path))
    }
}

impl Page {
    /// Whether the page knows what became of the run.
    pub fn is_over(&self, run: &RunId) -> bool {
        self.shown.iter().any(|shown| shown.status.run == *run && shown.is_over())
    }

    /// Takes what is told of a run; whether that is news. Telling it again, or in another order, comes to the same.
    fn enter(&mut self, news: &News) -> bool {
        let (run, at) = match news {
            News::Live(status, _) => (&status.run, status.updated_at),
            News::Over(_, manifest) => (&manifest.run, manifest.finished_at),
        };
        let place = self.shown.iter().position(|shown| shown.status.run == *run);
        let before = place.and_then(|place| self.shown.get(place));
        let older = |before: &Shown| matches!(news, News::Live(..)) && before.status.updated_at > at;
        if before.is_some_and(|before| before.is_over() || older(before)) {
            return false;
        }
        let shown = match news {
            News::Live(status, seen) => Shown::live(status.as_ref().clone(), seen, before),
            News::Over(path, manifest) => Shown::over(path, manifest),
        };
        if let Some(place) = place {
            self.shown.remove(place);
        }
        self.shown.push(shown);
        self.shown.sort_by_key(|shown| (shown.is_over(), std::cmp::Reverse(shown.status.started_at)));
        self.shown.truncate(RUNS_MAX);
        true
    }
}
