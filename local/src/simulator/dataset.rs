//! `GET /dca/dataset` (page `Receive_batch_data`): `collecting`, `building`, then the whole dataset, or nothing.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use serde_json::json;

use super::{
    dice::Dice,
    job::{End, Job, Kind, State, after, millis},
    message::{Body, Chunks, Reply, Request},
    rows::Rows,
    scenario::{EndedDataset, Format, Gone},
    service::Service,
};

/// Rows are gathered into chunks of about this size.
const CHUNK_BYTES: usize = 64 * 1024;

impl Service {
    /// `throw` is different for every look at the dataset.
    pub(super) fn dataset(&self, now: Timestamp, request: &Request, throw: Dice) -> Reply {
        let Some(id) = request.param("id").filter(|id| !id.is_empty()) else {
            return Reply::error(400, "Missing id parameter");
        };
        let Some(job) = self.schedule.get(id).filter(|job| job.kind() != Kind::Realtime) else {
            return not_found(404);
        };
        let jobs = &job.rules().jobs;
        if now < after(job.at(), millis(jobs.invisible_seconds)) {
            return not_found(jobs.early_status);
        }
        if now >= job.expires() {
            return match jobs.expired {
                Gone::Missing => not_found(404),
                Gone::Empty => Reply::json(200, &json!([])),
            };
        }
        let pending_status = if throw.text("200").chance(jobs.status_with_200) { 200 } else { 202 };
        let State::Ended { at, end, .. } = job.state else {
            let pending = json!({"status": "collecting", "message": "Job is not finished"});
            return Reply::json(pending_status, &pending);
        };
        if now < after(at, millis(jobs.building_seconds)) {
            let message = format!("Dataset is not ready yet, try again in {}s", jobs.hint_seconds);
            return Reply::json(pending_status, &json!({"status": "building", "message": message}));
        }
        let what = match end {
            End::Done | End::Deadline => EndedDataset::Partial,
            End::Canceled => jobs.canceled,
            End::Failed => jobs.failed_dataset,
        };
        match what {
            EndedDataset::Partial => ready(job, request),
            EndedDataset::Status => Reply::json(200, &json!({"status": job.status(), "message": "Job did not finish"})),
            EndedDataset::Empty => Reply::json(200, &json!([])),
            EndedDataset::Missing => not_found(404),
        }
    }
}

/// The text of this 404 (or 400) is not on record.
fn not_found(status: u16) -> Reply {
    Reply::text(status, "Dataset not found")
}

fn ready(job: &Job, request: &Request) -> Reply {
    let dataset = &job.rules().dataset;
    let asked = dataset.heed_format && request.param("format") == Some("json");
    let format = if asked { Format::Json } else { dataset.format };
    let content_type = match format {
        Format::Json => "application/json; charset=utf-8",
        Format::Jsonl => "application/jsonl",
        Format::Csv => "text/csv; charset=utf-8",
    };
    let rows = Rows::new(job);
    if format == Format::Json && dataset.bare_single && rows.total() == 1 {
        let mut text = String::new();
        rows.write_bare(false, 0, &mut text);
        return Reply::new(200, content_type, Body::Full(text.into()));
    }
    let streamed = rows.estimated_bytes() > dataset.stream_above_bytes;
    let mut chunks: Chunks = Box::new(text_chunks(rows, format));
    let gzip = dataset.gzip && request.header("accept-encoding").is_some_and(|accepted| accepted.contains("gzip"));
    if gzip {
        chunks = Box::new(compressed(chunks));
    }
    let body = if streamed { Body::Stream(chunks) } else { Body::Full(Body::Stream(chunks).into_bytes()) };
    let reply = Reply::new(200, content_type, body);
    if gzip { reply.with_header("content-encoding", "gzip") } else { reply }
}

/// The rows of a real-time answer (page `Receive_data_for_real_time_collection`): always a JSON array.
pub(super) fn array(job: &Job) -> Reply {
    Reply::new(
        200,
        "application/json; charset=utf-8",
        Body::Stream(Box::new(text_chunks(Rows::new(job), Format::Json))),
    )
}

fn text_chunks(rows: Rows, format: Format) -> impl Iterator<Item = Bytes> + Send {
    let (mut next, mut ended) = (0, false);
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut chunk = String::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        if next == 0 {
            chunk.push_str(Rows::header(format));
        }
        while next < rows.total() && chunk.len() < CHUNK_BYTES {
            rows.write(format, next, &mut chunk);
            next += 1;
        }
        if next == rows.total() {
            chunk.push_str(Rows::footer(format));
            ended = true;
        }
        Some(Bytes::from(chunk))
    })
}

fn compressed(mut chunks: Chunks) -> impl Iterator<Item = Bytes> + Send {
    let mut encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    std::iter::from_fn(move || {
        // The encoder keeps small pieces to itself, so several chunks may go in before one comes out. Writing to memory
        // cannot fail.
        while let Some(mut gz) = encoder.take() {
            match chunks.next() {
                None => return gz.finish().ok().map(Bytes::from),
                Some(chunk) => _ = gz.write_all(&chunk),
            }
            let out = std::mem::take(gz.get_mut());
            encoder = Some(gz);
            if !out.is_empty() {
                return Some(Bytes::from(out));
            }
        }
        None
    })
}
