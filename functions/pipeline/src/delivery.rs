//! Streams a finished dataset into the bucket: cut, told apart and matched on the way. What was delivered is one fetch: the delivery
//! record decides which, and whoever finds the record completes the upload.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::Pipeline;
use crate::dataset::{Ending, Reader, Row};
use crate::decisions::codes;
use crate::ledger::{Delivery, FailedInput, InputRow};
use crate::matching::Matcher;
use crate::policy::{OutputCompression, OutputFormat, limits};
use crate::ports::{Chunks, Clock, JobError, JobLog, ObjectInfo, PortError, Store};
use crate::schedule::{later, seconds_between};
use crate::upload::Upload;

/// The part of an attempt that a collection was triggered with.
pub struct Sent<'a> {
    /// The inputs, in the order in which they were sent.
    pub inputs: Vec<&'a InputRow>,
    /// Their positions in the batch record.
    pub positions: Vec<u32>,
    /// Number of the attempt.
    pub attempt: u32,
}

/// What was learnt about each input, and about those rows that belong to none.
struct Tally {
    matcher: Matcher,
    fates: Vec<Fate>,
    records: u64,
    unmatched_records: u64,
    unmatched_errors: u64,
    /// Inputs that error rows speak of, each unmatched one counted as another.
    failed_rows: u64,
    /// Rows that echo one of our inputs.
    named: u64,
    /// Rows that echo an input which is none of ours.
    strangers: u64,
    warnings: u64,
}

#[derive(Default)]
struct Fate {
    has_record: bool,
    error: Option<(String, String)>,
}

/// What a fetch came to.
pub enum Fetched<'a> {
    /// All of it, uploaded and not yet visible.
    Whole(Box<Whole<'a>>),
    /// A status object after all.
    Pending,
    /// A status object that says it ended without data.
    Ended(String),
    /// The bytes broke off or are no dataset; it may be fetched again.
    Unreadable(String),
    /// The turn ends before the bytes do.
    OutOfTime {
        /// How many had come.
        bytes: u64,
    },
}

/// A dataset that was read to its end.
pub struct Whole<'a> {
    tally: Tally,
    upload: Upload<'a>,
}

/// How records are written.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Format.
    pub format: OutputFormat,
    /// Compression.
    pub compression: OutputCompression,
}

/// The time that a fetch has.
pub struct Time<'a> {
    clock: &'a dyn Clock,
    until: Timestamp,
}

impl<'a> Time<'a> {
    /// As long as it takes.
    pub fn unlimited(clock: &'a dyn Clock) -> Self {
        Self { clock, until: Timestamp::MAX }
    }

    /// What is left of a turn that ends at `ends_at`, but for the reserve.
    pub fn until(clock: &'a dyn Clock, ends_at: Timestamp) -> Self {
        let left = seconds_between(clock.now(), ends_at).max(0);
        Self { clock, until: later(ends_at, -limits::DELIVERY_RESERVE_SECONDS.min(left / 4)) }
    }

    /// That of a turn which ends at `ends_at`. A process that is alone on its store is not stopped by time.
    pub(crate) fn of(pipeline: &'a Pipeline, ends_at: Timestamp) -> Self {
        match pipeline.alone_since {
            Some(_) => Self::unlimited(&*pipeline.clock),
            None => Self::until(&*pipeline.clock, ends_at),
        }
    }

    fn is_up(&self) -> bool {
        self.clock.now() >= self.until
    }
}

/// Reads the body to its end while its records are uploaded to `key`. An error is the store's; trouble with the body is a value.
pub async fn fetch<'a>(
    store: &'a dyn Store,
    key: String,
    output: Output,
    sent: &Sent<'_>,
    content_type: &str,
    mut body: Box<dyn Chunks>,
    time: Time<'_>,
) -> Result<Fetched<'a>, PortError> {
    let info = ObjectInfo::of(match (output.format, output.compression) {
        (_, OutputCompression::Gzip) => "application/gzip",
        (OutputFormat::Ndjson, OutputCompression::None) => "application/x-ndjson",
        (OutputFormat::Json, OutputCompression::None) => "application/json",
    });
    let mut upload = Upload::new(store, key, info, output.compression);
    let mut tally = Tally::new(sent);
    let mut reader = Reader::new(content_type);
    let mut bytes: u64 = 0;
    loop {
        let chunk = match upload.beside(body.next()).await? {
            Ok(chunk) => chunk,
            Err(error) => {
                upload.abort().await;
                return Ok(Fetched::Unreadable(format!("the dataset broke off: {}", describe(&error))));
            }
        };
        bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        let mut each = |row: Row<'_>| tally.row(row, output.format, &mut upload);
        let read = match &chunk {
            Some(chunk) => reader.push(chunk, &mut each).map(|()| None),
            None => reader.finish(&mut each).map(Some),
        };
        upload.flush().await?;
        let problem = match read {
            Ok(None) if upload.is_full() => {
                Fetched::Unreadable(format!("an object of {} parts does not hold it", limits::PARTS_MAX))
            }
            Ok(None) if time.is_up() => Fetched::OutOfTime { bytes },
            Ok(None) => continue,
            Ok(Some(Ending::Complete)) => {
                if tally.records > 0 && output.format == OutputFormat::Json {
                    upload.take(b"\n]\n");
                }
                return Ok(Fetched::Whole(Box::new(Whole { tally, upload })));
            }
            Ok(Some(Ending::Pending)) => Fetched::Pending,
            Ok(Some(Ending::Ended(word))) => Fetched::Ended(word),
            Err(error) => Fetched::Unreadable(error.to_string()),
        };
        upload.abort().await;
        return Ok(problem);
    }
}

fn describe(error: &PortError) -> String {
    format!("{error}: {}", error.source)
}

impl Whole<'_> {
    /// Positive evidence that the collection is not the one that was triggered with these inputs: its rows echo other inputs, and none
    /// of them one of ours. Rows without an echo prove nothing.
    pub fn is_anothers(&self) -> bool {
        self.tally.strangers > 0 && self.tally.named == 0
    }

    /// No row names any input, so nothing says whose collection it is.
    pub fn proves_nothing(&self) -> bool {
        self.tally.strangers == 0 && self.tally.named == 0
    }

    /// Many rows name other inputs beside those that name ours: some rows of one run have been seen in the dataset of another (trial
    /// collectors), so neither says whose collection it is.
    pub fn names_both(&self) -> bool {
        self.tally.named > 0 && self.tally.strangers > 0 && self.tally.strangers.saturating_mul(3) >= self.tally.named
    }

    /// Inputs with neither a record nor an error.
    pub fn silent(&self) -> u64 {
        self.tally.fates.iter().filter(|fate| !fate.has_record && fate.error.is_none()).count() as u64
    }

    /// How many more failures there were than inputs are known to have failed: by the log, or by error rows that name no input of ours.
    pub fn unexplained(&self, log: &JobLog) -> u64 {
        let failed = self.tally.fates.iter().filter(|fate| fate.error.is_some()).count() as u64;
        log.fails.unwrap_or(0).max(self.tally.failed_rows).saturating_sub(failed)
    }

    /// Ties the entries of the job's error list to silent inputs, by `url`; an entry that fits several inputs fits none.
    pub fn attribute(&mut self, errors: &[JobError], sent: &Sent<'_>) {
        let mut by_url: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (position, input) in sent.inputs.iter().enumerate() {
            if let Some(url) = url_of(&input.json) {
                by_url.entry(bare(&url).to_owned()).or_default().push(position);
            }
        }
        for error in errors {
            let Some([position]) = by_url.get(bare(&error.url)).map(Vec::as_slice) else { continue };
            if let Some(fate) = self.tally.fates.get_mut(*position)
                && !fate.has_record
                && fate.error.is_none()
            {
                fate.error = Some((codes::NO_CODE.to_owned(), crate::dataset::shorten(&error.error)));
            }
        }
    }

    /// Fails the silent inputs.
    pub fn fail_silent(&mut self, code: &str, message: &str) {
        for fate in &mut self.tally.fates {
            if !fate.has_record && fate.error.is_none() {
                fate.error = Some((code.to_owned(), message.to_owned()));
            }
        }
    }

    /// Uploads the rest and describes what was delivered; the record is the caller's to write.
    pub async fn describe(
        &mut self,
        sent: &Sent<'_>,
        collection: &str,
        at: Timestamp,
        pages: Option<u64>,
    ) -> Result<Delivery, PortError> {
        let object = if self.upload.is_empty() { None } else { Some(self.upload.finish().await?) };
        let tally = &self.tally;
        let mut delivery = Delivery {
            object,
            records: tally.records,
            unmatched_records: tally.unmatched_records,
            unmatched_errors: tally.unmatched_errors,
            warnings: tally.warnings,
            pages,
            ..nothing(collection, at)
        };
        for (fate, position) in tally.fates.iter().zip(&sent.positions) {
            match (&fate.error, fate.has_record) {
                (error, true) => {
                    delivery.with_records += 1;
                    delivery.partial += u64::from(error.is_some());
                }
                (None, false) => delivery.no_record.push(*position),
                (Some((code, message)), false) => delivery.failed.push(FailedInput {
                    input: *position,
                    code: code.clone(),
                    message: message.clone(),
                    attempts: sent.attempt,
                }),
            }
        }
        Ok(delivery)
    }

    /// Gives up an upload that lost against another fetch.
    pub async fn abort(self) {
        self.upload.abort().await;
    }
}

/// The delivery of a collection that ended without any data: every input failed for the same reason.
pub fn without_data(sent: &Sent<'_>, collection: &str, at: Timestamp, code: &str, message: &str) -> Delivery {
    let fail = |position: &u32| FailedInput {
        input: *position,
        code: code.to_owned(),
        message: message.to_owned(),
        attempts: sent.attempt,
    };
    Delivery { failed: sent.positions.iter().map(fail).collect(), ..nothing(collection, at) }
}

fn nothing(collection: &str, at: Timestamp) -> Delivery {
    Delivery {
        v: crate::ledger::VERSION,
        at,
        collection: collection.to_owned(),
        object: None,
        records: 0,
        unmatched_records: 0,
        unmatched_errors: 0,
        warnings: 0,
        partial: 0,
        with_records: 0,
        no_record: Vec::new(),
        failed: Vec::new(),
        polls: 0,
        pages: None,
    }
}

impl Tally {
    fn new(sent: &Sent<'_>) -> Self {
        Self {
            matcher: Matcher::new(sent.inputs.iter().map(|input| input.json.as_str())),
            fates: sent.inputs.iter().map(|_| Fate::default()).collect(),
            records: 0,
            unmatched_records: 0,
            unmatched_errors: 0,
            failed_rows: 0,
            named: 0,
            strangers: 0,
            warnings: 0,
        }
    }

    fn row(&mut self, row: Row<'_>, format: OutputFormat, out: &mut Upload<'_>) {
        match row {
            Row::Record { text, echo, warning } => {
                match format {
                    OutputFormat::Ndjson => {}
                    OutputFormat::Json if self.records == 0 => out.take(b"[\n"),
                    OutputFormat::Json => out.take(b",\n"),
                }
                out.take(text.as_bytes());
                if format == OutputFormat::Ndjson {
                    out.take(b"\n");
                }
                self.records += 1;
                self.warnings += u64::from(warning);
                let named = echo.is_some();
                match self.fate(echo.as_deref()) {
                    Some(fate) => {
                        fate.has_record = true;
                        self.named += u64::from(named);
                    }
                    None => {
                        self.unmatched_records += 1;
                        self.strangers += u64::from(named);
                    }
                }
            }
            Row::Error { echo, code, message } => {
                let code = code.unwrap_or_else(|| codes::NO_CODE.to_owned());
                let named = echo.is_some();
                match self.fate(echo.as_deref()) {
                    Some(fate) => {
                        let first = fate.error.is_none();
                        fate.error.get_or_insert((code, message));
                        self.failed_rows += u64::from(first);
                        self.named += u64::from(named);
                    }
                    None => {
                        self.unmatched_errors += 1;
                        self.failed_rows += 1;
                        self.strangers += u64::from(named);
                    }
                }
            }
        }
    }

    fn fate(&mut self, echo: Option<&str>) -> Option<&mut Fate> {
        let position = self.matcher.find(echo)?;
        self.fates.get_mut(position as usize)
    }
}

fn url_of(input: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Url {
        url: String,
    }
    serde_json::from_str::<Url>(input).ok().map(|input| input.url)
}

/// The API leaves the scheme away in some samples.
fn bare(url: &str) -> &str {
    let url = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or(url);
    url.strip_suffix('/').unwrap_or(url)
}
