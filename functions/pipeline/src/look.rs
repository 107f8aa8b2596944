//! One look at a running collection: wait, deliver, or give up safely.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::attempt::Collecting;
use crate::decisions::codes;
use crate::delivery::{self, Fetched, Output, Time, Whole};
use crate::gate::{self, Cause, Gate, Refusal};
use crate::held::Why;
use crate::keys;
use crate::ledger::{self, CancelRecord, CollectionRecord, Delivery, VERSION};
use crate::metrics;
use crate::policy::limits;
use crate::ports::{Dataset, JobLog, Looked, PortError, Written};
use crate::reconcile::Contest;
use crate::schedule::{first_look, later, next_look, seconds_between};
use crate::words::Slice;
use crate::work::{Step, Work};

/// A job that ended badly may still be writing its file: so long after its end nothing more is waited for.
const FILE_GRACE_SECONDS: i64 = 600;
/// A job younger than this is not asked for its log on every look.
const LOG_FROM_SECONDS: i64 = 300;

/// A dataset that cannot be read is asked for again for so long, and so often: looks may be days apart.
const UNREADABLE_SECONDS_MAX: i64 = 86_400;
const UNREADABLE_TIMES_MAX: u32 = 12;
/// A collection that was told to stop so long ago, and still does not say that it has, is left to a person.
const STOP_SECONDS_MAX: i64 = 2 * 86_400;

/// A dataset could not be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Unreadable {
    v: u32,
    at: Timestamp,
    why: String,
}

/// How a job ended, by its log.
enum End {
    /// It still runs, as far as is known.
    None,
    /// It ended as failed or cancelled: these are the code and the words for inputs without a record.
    Badly(&'static str, String),
    /// It is done.
    Done,
}

/// Why an input of a collection that was told to stop has neither a record nor an error.
fn code_of(cancel: &CancelRecord) -> &'static str {
    if cancel.run { codes::RUN_CANCELLED } else { codes::COLLECTION_DEADLINE }
}

impl Work<'_> {
    /// Looks at the collection of a slice.
    pub(crate) async fn look(&mut self, slice: Slice, collecting: &Collecting) -> Result<Step, PortError> {
        tracing::Span::current().record("collection_id", &collecting.collection);
        let now = self.pipeline.clock.now();
        let probing = match self.may_look(collecting, now).await? {
            Ok(probing) => probing,
            Err(step) => return Ok(step),
        };
        let age = seconds_between(collecting.since, now);
        self.watched(age);
        let answer = self.pipeline.api.dataset(&collecting.collection).await;
        let turned_away = matches!(answer, Looked::Credentials { .. } | Looked::Wait { .. } | Looked::Trouble { .. });
        if probing && !turned_away {
            gate::open(&*self.pipeline.store, keys::TOKEN_GATE, now).await?;
        }
        match answer {
            Looked::Found(Dataset::Ready { content_type, body }) => {
                let key = self.output_key(slice).await?;
                let output =
                    Output { format: self.run.policy.output_format, compression: self.run.policy.output_compression };
                let store = &*self.pipeline.store;
                let time = Time::of(self.pipeline, self.turn.ends_at);
                let sent = self.sent(slice).await?;
                match delivery::fetch(store, key, output, &sent, &content_type, body, time).await? {
                    Fetched::Whole(whole) => self.deliver(slice, collecting, *whole).await,
                    Fetched::Pending => self.pending(slice, collecting, None).await,
                    Fetched::Ended(status) => self.ended(slice, collecting, &status).await,
                    Fetched::Unreadable(why) => self.unreadable(slice, collecting, why).await,
                    Fetched::OutOfTime { bytes } => self.out_of_time(slice, collecting, bytes, now).await,
                }
            }
            Looked::Found(Dataset::Pending { hint }) => self.pending(slice, collecting, hint).await,
            Looked::Found(Dataset::Ended { status }) => self.ended(slice, collecting, &status).await,
            Looked::Absent if age < limits::NOT_VISIBLE_YET_SECONDS => {
                Ok(Step::wait(next_look(collecting.since, now, None), "not visible yet"))
            }
            Looked::Absent => self.absent(slice, collecting).await,
            Looked::Credentials { status, text } => {
                let reason = format!("the API refused the token ({status}): {text}");
                let refusal = Refusal { cause: Cause::Credentials, retry_after: None, reason: &reason };
                let after = gate::close(&*self.pipeline.store, keys::TOKEN_GATE, now, refusal).await?;
                self.pipeline.count(&metrics::CREDENTIALS_REFUSED, 1);
                tracing::error!(status, text, "the API refused the token");
                Ok(Step::wait(after, reason).calmly(collecting.since, now))
            }
            Looked::Wait { retry_after } => {
                let after = self.told_to_wait(retry_after).await?;
                Ok(Step::wait(next_look(collecting.since, now, Some(after)), "the API asked to wait"))
            }
            Looked::Refused { status, text } => {
                self.unreadable(slice, collecting, format!("the dataset was refused ({status}): {text}")).await
            }
            Looked::Trouble { why } => self.pending(slice, collecting, Some(15)).await.map(|step| match step {
                Step::Wait { after, .. } => Step::wait(after, format!("the dataset cannot be had: {why}")),
                step => step,
            }),
        }
    }

    /// Notes a look at a collection that was triggered so long ago.
    fn watched(&self, age: i64) {
        let age = u64::try_from(age).unwrap_or(0);
        self.pipeline.count(&metrics::POLLS, 1);
        self.pipeline.metrics.note(&metrics::COLLECTION_AGE, "", age);
        self.pipeline.metrics.note(
            &metrics::DAYS_TO_EXPIRY,
            "",
            limits::RESULTS_KEPT_SECONDS.saturating_sub(age) / 86_400,
        );
    }

    /// Notes that a collection has come to its end.
    fn concluded(&self, collecting: &Collecting, delivery: &Delivery) {
        let pipeline = self.pipeline;
        let took = seconds_between(collecting.since, delivery.at);
        pipeline.count(&metrics::COLLECTIONS, 1);
        pipeline.metrics.note(&metrics::COLLECTION_SECONDS, "", u64::try_from(took).unwrap_or(0));
        pipeline.count(&metrics::PAGE_LOADS, delivery.pages.unwrap_or(0));
        pipeline.count(&metrics::RECORDS, delivery.records);
        pipeline.count(&metrics::RECORDS_UNMATCHED, delivery.unmatched_records);
        pipeline.count(&metrics::BYTES_DELIVERED, delivery.object.as_ref().map_or(0, |object| object.bytes));
    }

    /// Whether this look probes a token that was refused, or why there is no point in asking now.
    async fn may_look(&self, collecting: &Collecting, now: Timestamp) -> Result<Result<bool, Step>, PortError> {
        let first = later(collecting.since, i64::from(first_look(collecting.since, collecting.start_eta)));
        let left = seconds_between(now, first);
        if left > 0 {
            return Ok(Err(Step::wait(u32::try_from(left).unwrap_or(1), "just triggered")));
        }
        Ok(match gate::ask(&*self.pipeline.store, keys::TOKEN_GATE, now).await? {
            Gate::Closed { after, reason } => Err(Step::wait(after, reason).calmly(collecting.since, now)),
            gate => Ok(gate == Gate::Probe),
        })
    }

    /// What to do with a claimed collection that names no input, if it cannot just be believed.
    async fn doubtful(&self, slice: Slice, collecting: &Collecting) -> Result<Option<Step>, PortError> {
        if !collecting.claimed() {
            return Ok(None);
        }
        Ok(match self.contest(slice, collecting.send, &collecting.collection).await? {
            Contest::Alone => None,
            Contest::Wait(after) => {
                Some(Step::wait(after, "found in the job list, and it names no input: waiting for rivals to show"))
            }
            Contest::Others => {
                Some(self.hold_ambiguous(slice, collecting.send, &collecting.collection, collecting.holds).await?)
            }
        })
    }

    /// Makes a claim final, unless the collection has answered another send by now: an answer beats a claim.
    async fn confirm(&self, slice: Slice, collecting: &Collecting) -> Result<bool, PortError> {
        let send = self.send_id(slice, collecting.send);
        let record = CollectionRecord { v: VERSION, at: self.pipeline.clock.now(), send: send.clone() };
        let key = keys::collection(&collecting.collection);
        let standing = ledger::settle(&*self.pipeline.store, &key, record).await?;
        Ok(standing.send == send)
    }

    async fn output_key(&mut self, slice: Slice) -> Result<String, PortError> {
        let whole = self.whole().await? == slice;
        let policy = &self.run.policy;
        Ok(keys::output(&self.run.path, &self.id, slice, whole, policy.output_format, policy.output_compression))
    }

    /// No dataset yet. Waits, unless the job has ended without one or is past its deadline.
    async fn pending(&mut self, slice: Slice, collecting: &Collecting, hint: Option<u32>) -> Result<Step, PortError> {
        let now = self.pipeline.clock.now();
        let wait = Step::wait(next_look(collecting.since, now, hint), "not ready");
        let stopping = self.cancelled || collecting.cancel.is_some();
        if !stopping && seconds_between(collecting.since, now) < LOG_FROM_SECONDS {
            return Ok(wait);
        }
        let log = match self.asked(self.pipeline.api.log(&collecting.collection).await).await? {
            Looked::Found(log) => log,
            _ => JobLog::default(),
        };
        match self.end(collecting, &log) {
            End::Badly(code, message) => {
                let finished = log.finished.or_else(|| collecting.cancel.as_ref().map(|cancel| cancel.at));
                let since = finished.unwrap_or(collecting.since);
                if seconds_between(since, now) < FILE_GRACE_SECONDS {
                    return Ok(wait);
                }
                self.conclude_without_data(slice, collecting, code, &message).await
            }
            End::Done
                if seconds_between(collecting.since, now) > i64::from(limits::COLLECTION_DEADLINE_SECONDS_MAX) =>
            {
                let message = "the collection is done, but its dataset never came";
                self.conclude_without_data(slice, collecting, codes::DATASET_UNREADABLE, message).await
            }
            End::Done => Ok(wait),
            End::None => self.mind_the_deadline(slice, collecting, &log, wait).await,
        }
    }

    fn end(&self, collecting: &Collecting, log: &JobLog) -> End {
        let status = log.status.as_deref().unwrap_or_default();
        match (status, &collecting.cancel) {
            ("done" | "finished" | "ready", _) => End::Done,
            ("canceled" | "cancelled" | "failed", Some(cancel)) => {
                let limit = self.run.policy.collection_deadline_seconds;
                let message = match cancel.run {
                    true => "the run was cancelled, and the collection with it".to_owned(),
                    false => format!("the collection ran longer than {limit} s and was cancelled"),
                };
                End::Badly(code_of(cancel), message)
            }
            ("canceled" | "cancelled", None) => {
                End::Badly(codes::COLLECTION_CANCELLED, "the collection was cancelled".to_owned())
            }
            ("failed", None) => End::Badly(codes::COLLECTION_FAILED, "the collection failed".to_owned()),
            _ => End::None,
        }
    }

    /// Past the deadline, and when the run was cancelled, the collection is told to stop, again and again until its log says that it has:
    /// as long as it may still run, its inputs are not triggered again.
    async fn mind_the_deadline(
        &self,
        slice: Slice,
        collecting: &Collecting,
        log: &JobLog,
        wait: Step,
    ) -> Result<Step, PortError> {
        let now = self.pipeline.clock.now();
        let limit = i64::from(self.run.policy.collection_deadline_seconds.min(limits::COLLECTION_DEADLINE_SECONDS_MAX));
        let running = log.started.is_some_and(|started| seconds_between(started, now) > limit);
        // A job that never starts, or whose log cannot be had, must not be waited for until its results expire.
        let lost = seconds_between(collecting.since, now) > i64::from(limits::COLLECTION_DEADLINE_SECONDS_MAX);
        if !running && !lost && !self.cancelled && collecting.cancel.is_none() {
            return Ok(wait);
        }
        if collecting.cancel.is_none() {
            let (collection, run) = (collecting.collection.clone(), self.cancelled);
            let record = CancelRecord { v: VERSION, at: now, collection, run };
            ledger::write_once(&*self.pipeline.store, &keys::cancel(&self.id, slice, collecting.send), &record).await?;
        }
        let since = collecting.cancel.as_ref().map_or(now, |cancel| cancel.at);
        if seconds_between(since, now) > STOP_SECONDS_MAX {
            let message = format!(
                "{} was told to stop {STOP_SECONDS_MAX} s ago, and nothing says that it has: look in the control panel, then decide",
                collecting.collection
            );
            return self.hold(slice, Why::of(collecting, "cannot_be_stopped", message)).await;
        }
        let answer = self.asked(self.pipeline.api.cancel(&collecting.collection).await).await?;
        let why = if self.cancelled { "its run was cancelled" } else { "past its deadline" };
        tracing::warn!(?answer, why, "told to stop");
        Ok(Step::wait(30, "waiting for the collection to stop").calmly(since, now))
    }

    /// A status object said that the job has ended without data.
    async fn ended(&mut self, slice: Slice, collecting: &Collecting, status: &str) -> Result<Step, PortError> {
        let log =
            JobLog { status: Some(if status == "error" { "failed" } else { status }.to_owned()), ..JobLog::default() };
        match self.end(collecting, &log) {
            End::Badly(code, message) => self.conclude_without_data(slice, collecting, code, &message).await,
            End::None | End::Done => {
                let now = self.pipeline.clock.now();
                Ok(Step::wait(next_look(collecting.since, now, None), format!("the dataset is {status}")))
            }
        }
    }

    /// 404 after the time in which a new collection may be invisible: deleted or expired, unless the log knows better.
    async fn absent(&mut self, slice: Slice, collecting: &Collecting) -> Result<Step, PortError> {
        match self.asked(self.pipeline.api.log(&collecting.collection).await).await? {
            // Nobody has seen a new collection stay invisible for minutes; giving one up that was paid for is worse than waiting.
            Looked::Absent if seconds_between(collecting.since, self.pipeline.clock.now()) > FILE_GRACE_SECONDS => {
                if collecting.believed {
                    return self.hold_adopted(slice, collecting).await;
                }
                let message = "the API does not know the collection any more: its results were deleted or have expired";
                self.conclude_without_data(slice, collecting, codes::COLLECTION_GONE, message).await
            }
            Looked::Found(log) => match (self.end(collecting, &log), log.finished) {
                (End::Badly(code, message), _) => self.conclude_without_data(slice, collecting, code, &message).await,
                (End::Done, Some(finished))
                    if seconds_between(finished, self.pipeline.clock.now()) > FILE_GRACE_SECONDS =>
                {
                    let message = "the collection is done, but its dataset does not exist: its results were deleted or have expired";
                    self.conclude_without_data(slice, collecting, codes::COLLECTION_GONE, message).await
                }
                _ => self.pending(slice, collecting, None).await,
            },
            _ => self.pending(slice, collecting, None).await,
        }
    }

    /// A person named a collection that does not exist: more likely a slip than results that have expired.
    async fn hold_adopted(&self, slice: Slice, collecting: &Collecting) -> Result<Step, PortError> {
        let message = format!("{} was adopted, and the API does not know it; decide again", collecting.collection);
        self.hold(slice, Why { collection: None, ..Why::of(collecting, "adoption_refused", message) }).await
    }

    /// Something came that is no dataset, or not all of it. It is asked for again for a day.
    async fn unreadable(&mut self, slice: Slice, collecting: &Collecting, why: String) -> Result<Step, PortError> {
        let now = self.pipeline.clock.now();
        tracing::warn!(why, "the dataset could not be read");
        // Whatever the collection's age is, a connection may break: what counts is since when.
        let store = &*self.pipeline.store;
        let times = collecting.unreadable.saturating_add(1);
        let record = Unreadable { v: VERSION, at: now, why: why.clone() };
        ledger::write_once(store, &keys::unreadable(&self.id, slice, collecting.send, times), &record).await?;
        let first = keys::unreadable(&self.id, slice, collecting.send, 1);
        if times >= UNREADABLE_TIMES_MAX
            && seconds_between(ledger::read_known::<Unreadable>(store, &first).await?.at, now) > UNREADABLE_SECONDS_MAX
        {
            // Records were paid for and are still there: whether they are given up is not for a program to say.
            let message = format!(
                "the dataset of {} could not be read {times} times within a day ({why}): look in the control panel; adopt it to try again, or give up",
                collecting.collection
            );
            return self.hold(slice, Why::of(collecting, "dataset_unreadable", message)).await;
        }
        Ok(Step::wait(next_look(collecting.since, now, Some(15)), why))
    }

    /// The turn was too short for the dataset. Where other work had taken a part of it, the next turn begins with the dataset.
    async fn out_of_time(
        &mut self,
        slice: Slice,
        collecting: &Collecting,
        bytes: u64,
        begun: Timestamp,
    ) -> Result<Step, PortError> {
        let took = seconds_between(begun, self.pipeline.clock.now());
        let why = format!(
            "{bytes} bytes of the dataset had come in {took} s when the function's time was nearly up: more memory gives it a faster network and processor"
        );
        if seconds_between(self.began, begun) * 10 > seconds_between(self.began, self.turn.ends_at) {
            tracing::warn!(why, "begun too late in a turn");
            return Ok(Step::wait(1, why));
        }
        self.unreadable(slice, collecting, why).await
    }

    async fn conclude_without_data(
        &mut self,
        slice: Slice,
        collecting: &Collecting,
        code: &str,
        message: &str,
    ) -> Result<Step, PortError> {
        if let Some(step) = self.doubtful(slice, collecting).await? {
            return Ok(step);
        }
        if collecting.claimed() && !self.confirm(slice, collecting).await? {
            return self.renounce(slice, collecting.send, &collecting.collection, "it answered another send").await;
        }
        let pages = self.log(collecting).await?.and_then(|log| log.pages);
        let now = self.pipeline.clock.now();
        let sent = self.sent(slice).await?;
        let mut delivery = delivery::without_data(&sent, &collecting.collection, now, code, message);
        delivery.polls = self.turn.receives;
        delivery.pages = pages;
        let key = keys::delivery(&self.id, slice);
        if ledger::write_once(&*self.pipeline.store, &key, &delivery).await? == Written::New {
            self.concluded(collecting, &delivery);
        }
        tracing::warn!(code, "ended without data: {message}");
        Ok(Step::Next)
    }

    /// The job log of a collection that has ended: it says what was paid for.
    async fn log(&self, collecting: &Collecting) -> Result<Option<JobLog>, PortError> {
        Ok(match self.asked(self.pipeline.api.log(&collecting.collection).await).await? {
            Looked::Found(log) => Some(log),
            _ => None,
        })
    }

    /// Explains what can be explained about inputs without any row, then writes the one record that says what was delivered.
    async fn deliver<'u>(
        &mut self,
        slice: Slice,
        collecting: &Collecting,
        mut whole: Whole<'u>,
    ) -> Result<Step, PortError> {
        let pipeline = self.pipeline;
        if collecting.claimed() && whole.is_anothers() {
            whole.abort().await;
            return self.renounce(slice, collecting.send, &collecting.collection, "its rows echo other inputs").await;
        }
        if collecting.claimed() && whole.names_both() {
            whole.abort().await;
            return self.hold_ambiguous(slice, collecting.send, &collecting.collection, collecting.holds).await;
        }
        if whole.proves_nothing()
            && let Some(step) = self.doubtful(slice, collecting).await?
        {
            whole.abort().await;
            return Ok(step);
        }
        let log = self.log(collecting).await?;
        let pages = log.as_ref().and_then(|log| log.pages);
        if whole.silent() > 0 || collecting.cancel.is_some() {
            self.explain_silence(slice, collecting, &mut whole, log.as_ref()).await?;
        }
        if collecting.claimed() && !self.confirm(slice, collecting).await? {
            whole.abort().await;
            return self.renounce(slice, collecting.send, &collecting.collection, "it answered another send").await;
        }
        let now = pipeline.clock.now();
        let sent = self.sent(slice).await?;
        let mut delivery = whole.describe(&sent, &collecting.collection, now, pages).await?;
        delivery.polls = self.turn.receives;
        let standing = ledger::settle(&*pipeline.store, &keys::delivery(&self.id, slice), delivery.clone()).await?;
        if standing.object.as_ref().map(|object| &object.upload)
            != delivery.object.as_ref().map(|object| &object.upload)
        {
            whole.abort().await;
        } else {
            self.concluded(collecting, &standing);
        }
        let (records, failed, unmatched) = (standing.records, standing.failed.len(), standing.unmatched_records);
        tracing::info!(records, failed, unmatched, "delivered");
        Ok(Step::Next)
    }

    /// Finds out why inputs have neither a record nor an error, and fails those that cannot be said to have none legitimately.
    async fn explain_silence(
        &mut self,
        slice: Slice,
        collecting: &Collecting,
        whole: &mut Whole<'_>,
        log: Option<&JobLog>,
    ) -> Result<(), PortError> {
        let end = log.map_or(End::None, |log| self.end(collecting, log));
        match (end, log) {
            (End::Badly(code, message), _) => whole.fail_silent(code, &message),
            (End::None, _) if let Some(cancel) = &collecting.cancel => {
                let message = "the collection was cancelled before it came to this input";
                whole.fail_silent(code_of(cancel), message);
            }
            (_, None) => {
                let message = "neither a record nor an error, and the job log cannot be had";
                whole.fail_silent(codes::UNATTRIBUTED, message);
            }
            (_, Some(log)) if whole.unexplained(log) == 0 && log.fails.is_some() => {}
            (_, Some(log)) => {
                let errors = self.asked(self.pipeline.api.errors(&collecting.collection).await).await?;
                let sent = self.sent(slice).await?;
                if let Looked::Found(errors) = errors {
                    whole.attribute(&errors, &sent);
                }
                if whole.unexplained(log) > 0 || log.fails.is_none() {
                    let message = "the job log counts failures that no error row explains";
                    whole.fail_silent(codes::UNATTRIBUTED, message);
                }
            }
        }
        Ok(())
    }
}
