//! What the pipeline asks of the world, and what it may rely on. Each contract stands on its trait and is held by one conformance suite
//! over all adapters (in memory, a folder, S3 and SQS).

use std::collections::BTreeMap;
use std::error::Error;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::metrics::Metric;
use crate::notice::RunEnded;
use crate::words::InputObject;

/// The storage or a queue could not do it: the handler ends with this error and the message comes back. API trouble is never this;
/// it is an answer ([`SendAnswer`], [`Looked`]).
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct PortError {
    /// The call and the key or queue that it was about.
    pub what: String,
    /// The adapter's own error.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl PortError {
    /// An error of the call `what`.
    pub fn new(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { what: what.into(), source: source.into() }
    }
}

/// The wall clock. Lambda stops the monotonic clock while it freezes a function, so durations are always differences of these.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Version of an object's bytes, for compare-and-swap (S3: the ETag).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(pub String);

/// An object that was read whole.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its bytes.
    pub body: Bytes,
    /// Their version.
    pub tag: Tag,
}

/// What an object is, beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectInfo {
    /// `Content-Type`.
    pub content_type: String,
    /// User metadata, lower-case names.
    pub metadata: BTreeMap<String, String>,
}

impl ObjectInfo {
    /// Only a content type.
    pub fn of(content_type: &str) -> Self {
        Self { content_type: content_type.to_owned(), metadata: BTreeMap::new() }
    }
}

/// Whether a conditional write took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It did, and readers see it from now on.
    New,
    /// Nothing was written: the object exists (create) or is not the expected one any more (replace).
    Kept,
}

/// One page of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Keys in byte order, at most 1,000.
    pub keys: Vec<String>,
    /// Whether more follow behind the last of them.
    pub more: bool,
}

/// Names one multipart upload of one key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UploadId(pub String);

/// Names one uploaded part (S3: its ETag).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct PartTag(pub String);

/// What became of completing an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// The object is visible under its key: this call completed the upload, or an earlier one did and the storage still knows of it.
    Yes,
    /// There is no such upload: it was completed before (then the object exists), or aborted.
    Gone,
}

/// The dataset bucket. Strongly consistent; every write is atomic: a reader sees the old object, the new one, or none.
#[async_trait]
pub trait Store: Send + Sync {
    /// Reads a small object whole; `None` when there is none.
    async fn get(&self, key: &str) -> Result<Option<Stored>, PortError>;
    /// Writes the object if the key is free. Of any number of racing creators exactly one is told [`Written::New`], unless its
    /// answer is lost: then it gets an error, and everyone else [`Written::Kept`].
    async fn create(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<Written, PortError>;
    /// Compare-and-swap: writes if the object still has the tag (`None`: if there is no object). A lost answer is told as by
    /// [`create`](Self::create): an error, never [`Written::Kept`], to the one who may have written.
    async fn replace(&self, key: &str, body: Bytes, expected: Option<&Tag>) -> Result<Written, PortError>;
    /// Writes whatever is there.
    async fn put(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<(), PortError>;
    /// Keys that begin with `prefix`, in byte order, behind `after`.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Listing, PortError>;
    /// Begins a multipart upload. Nothing is visible before it is completed.
    async fn begin_upload(&self, key: &str, info: &ObjectInfo) -> Result<UploadId, PortError>;
    /// Uploads part `number` (1 to 10,000), in any order; an upload has the parts 1 to n without a gap. Every part but the last has at
    /// least 5 MiB (S3 quota "part size").
    async fn upload_part(&self, key: &str, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, PortError>;
    /// Makes the object of all parts visible: the tags of the parts 1, 2, … n in ascending order, at least one. Completing it a second
    /// time, with the same parts, changes nothing and answers [`Completed::Yes`] or [`Completed::Gone`].
    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<Completed, PortError>;
    /// Drops an upload and its parts. Dropping one that is gone is no error.
    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), PortError>;
}

/// Bytes that arrive piece by piece. After an error nothing more comes.
#[async_trait]
pub trait Chunks: Send {
    /// The next piece, never empty; `None` at the proper end. A body that was cut short ends with an error, never with `None`.
    async fn next(&mut self) -> Result<Option<Bytes>, PortError>;
}

/// An input object, opened.
pub struct OpenInput {
    /// The object as it is: version, ETag and size may be more exact than what the event said.
    pub object: InputObject,
    /// User metadata, lower-case names.
    pub metadata: BTreeMap<String, String>,
    /// Its bytes.
    pub body: Box<dyn Chunks>,
}

/// The input bucket. There is nothing here to write with.
#[async_trait]
pub trait Inputs: Send + Sync {
    /// Opens exactly this version (without versions: this ETag); `None` when it is gone or has been replaced.
    async fn open(&self, object: &InputObject) -> Result<Option<OpenInput>, PortError>;
}

/// The queues that the pipeline sends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QueueName {
    /// Reminders for `poll`.
    Poll,
    /// Attempts after the first, for `retry`.
    Retry,
}

/// Queues that deliver at least once, in any order.
#[async_trait]
pub trait Queues: Send + Sync {
    /// Sends 1 to 10 messages of at most 1 MiB in total (SQS quotas), to be delivered after `delay_seconds` (0 to 900, SQS quota) at
    /// the earliest. An error means that any of them may or may not have been sent.
    async fn send(&self, queue: QueueName, bodies: &[String], delay_seconds: u32) -> Result<(), PortError>;
}

/// Who wants to know when a run is over.
#[async_trait]
pub trait Notices: Send + Sync {
    /// Tells it, at least once for each run. An error means that they may or may not have been told.
    async fn run_ended(&self, ended: &RunEnded) -> Result<(), PortError>;
}

/// Nobody.
#[async_trait]
impl Notices for () {
    async fn run_ended(&self, _: &RunEnded) -> Result<(), PortError> {
        Ok(())
    }
}

/// Who watches. Nothing depends on it: it takes no time, and cannot fail.
pub trait Metrics: Send + Sync {
    /// Notes a value; `of` is the value of the metric's own dimension, empty where it has none.
    fn note(&self, metric: &Metric, of: &'static str, value: u64);
}

/// Nobody.
impl Metrics for () {
    fn note(&self, _: &Metric, _: &'static str, _: u64) {}
}

/// One `POST /dca/trigger`.
#[derive(Debug, Clone)]
pub struct TriggerRequest {
    /// Collector id, `c_…`.
    pub collector: String,
    /// The rest of the query, in order: `queue_next`, `version`, … as the API spells them.
    pub query: Vec<(String, String)>,
    /// A JSON array of inputs.
    pub body: Bytes,
}

/// What came of a send (design: "what the API says to a send").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendAnswer {
    /// No byte of the request left: refused connection, DNS, TLS, or the clock was past `send_by`.
    NotSent {
        /// Reason, for people.
        why: String,
    },
    /// 200 with a `collection_id`.
    Accepted {
        /// `j_…`.
        collection: String,
        /// When the API expects to start it.
        start_eta: Option<Timestamp>,
    },
    /// 400 "Trial collectors don't support queuing jobs": the same send without `queue_next` may be accepted.
    RefusedOption {
        /// The API's text.
        text: String,
    },
    /// Any other 4xx: nothing was started, and the same request never will be.
    Refused {
        /// HTTP status.
        status: u16,
        /// The API's text, at most 200 bytes.
        text: String,
    },
    /// 401 or 403: the token is not accepted.
    Credentials {
        /// HTTP status.
        status: u16,
        /// The API's text, at most 200 bytes.
        text: String,
    },
    /// 429, or the limit of parallel jobs: nothing was started, ask again later.
    Wait {
        /// `Retry-After`, in seconds.
        retry_after: Option<u32>,
        /// The API's text, at most 200 bytes.
        text: String,
    },
    /// 5xx, time-out, reset, cut answer, 200 without an id: a collection may or may not exist.
    InDoubt {
        /// What happened, for people.
        why: String,
    },
}

/// What came of a question (a GET, or a cancel), which may be asked again at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked<T> {
    /// The answer.
    Found(T),
    /// 404.
    Absent,
    /// 401 or 403.
    Credentials {
        /// HTTP status.
        status: u16,
        /// The API's text, at most 200 bytes.
        text: String,
    },
    /// 429.
    Wait {
        /// `Retry-After`, in seconds.
        retry_after: Option<u32>,
    },
    /// Another 4xx, or an answer that is not of the documented form.
    Refused {
        /// HTTP status.
        status: u16,
        /// The API's text, at most 200 bytes.
        text: String,
    },
    /// 5xx, time-out, reset, cut answer, after the adapter has asked a few times.
    Trouble {
        /// What happened, for people.
        why: String,
    },
}

/// `GET /dca/dataset`.
pub enum Dataset {
    /// 202, or a status object: still `collecting` or `building`.
    Pending {
        /// "try again in XXs", in seconds.
        hint: Option<u32>,
    },
    /// The status object said `failed` or `canceled`.
    Ended {
        /// The status as the API spelt it.
        status: String,
    },
    /// 200 with a body; it may still turn out to be a status object.
    Ready {
        /// `Content-Type`, lower case.
        content_type: String,
        /// The body, decompressed.
        body: Box<dyn Chunks>,
    },
}

/// `GET /dca/log/{id}`, as far as it is used. Every field may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobLog {
    /// Lower case; `canceled` and `cancelled` are both seen.
    pub status: Option<String>,
    /// Records that the job wrote.
    pub lines: Option<u64>,
    /// Failed inputs or pages.
    pub fails: Option<u64>,
    /// Page loads: what is paid for.
    pub pages: Option<u64>,
    /// When it started to run.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// One row of `GET /dca/jobs/{id}/hp_errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError {
    /// The `url` of the failed input; its scheme may be missing.
    pub url: String,
    /// The error text.
    pub error: String,
}

/// One row of `GET /dca/collector/jobs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedJob {
    /// `j_…`.
    pub id: String,
    /// When it was accepted.
    pub queued: Option<Timestamp>,
    /// How many inputs it has.
    pub inputs: Option<u64>,
    /// Lower case.
    pub status: Option<String>,
}

/// One page of the job list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobPage {
    /// How many jobs the whole list has.
    pub total: u64,
    /// The jobs of this page, newest first.
    pub jobs: Vec<ListedJob>,
}

/// The Scraper Studio API, the calls of it that the pipeline makes.
#[async_trait]
pub trait Api: Send + Sync {
    /// `POST /dca/trigger`: starts paid work and is not idempotent, so it is made at most once per call, on a fresh connection, and
    /// not at all when the wall clock is past `send_by` immediately before the first byte.
    async fn trigger(&self, request: &TriggerRequest, send_by: Timestamp) -> SendAnswer;
    /// `GET /dca/dataset`.
    async fn dataset(&self, collection: &str) -> Looked<Dataset>;
    /// `GET /dca/log/{id}`.
    async fn log(&self, collection: &str) -> Looked<JobLog>;
    /// `GET /dca/jobs/{id}/hp_errors`: best effort, many jobs have none.
    async fn errors(&self, collection: &str) -> Looked<Vec<JobError>>;
    /// `GET /dca/collector/jobs`, days inclusive, newest first, at most 500 a page.
    async fn jobs(&self, collector: &str, from: Date, to: Date, offset: u64) -> Looked<JobPage>;
    /// `POST /dca/jobs/{id}/cancel`. Cancelling what has ended is [`Looked::Found`] or [`Looked::Refused`].
    async fn cancel(&self, collection: &str) -> Looked<()>;
}
