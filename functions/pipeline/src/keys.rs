//! Where everything lies in the dataset bucket. Nobody else puts a key together.

use jiff::Timestamp;

use crate::policy::{OutputCompression, OutputFormat};
use crate::words::{AttemptId, RunId, Slice};

/// Longest encoded segment of an input key: file systems allow 255 bytes, temporary names need some of them.
const SEGMENT_BYTES_MAX: usize = 200;
/// Longest encoded input key: with what stands around it, a key keeps below S3's 1,024 bytes.
const PATH_BYTES_MAX: usize = 900;

/// The input key as a part of other keys: a segment of letters, digits, `-_.~` and space stays as it is, anything else is
/// percent-encoded, and what is too long is cut and gets a hash. Different keys give different paths.
pub fn input_path(key: &str) -> String {
    let path = key.split('/').map(segment).collect::<Vec<_>>().join("/");
    if path.len() <= PATH_BYTES_MAX { path } else { cut(&path, PATH_BYTES_MAX, key) }
}

fn segment(raw: &str) -> String {
    // "%" alone and "%-" never come out of percent-encoding, so these spellings clash with no other segment.
    if raw.is_empty() {
        return "%".to_owned();
    }
    let dots = raw == "." || raw == "..";
    let mut encoded = String::with_capacity(raw.len());
    for byte in raw.bytes() {
        let plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b' ') || (byte == b'.' && !dots);
        if plain {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    if encoded.len() <= SEGMENT_BYTES_MAX { encoded } else { cut(&encoded, SEGMENT_BYTES_MAX, raw) }
}

/// Cuts ASCII text and marks it with a hash of what it stood for.
fn cut(encoded: &str, max: usize, whole: &str) -> String {
    let hash = format!("{:032x}", crate::canonical::fingerprint(whole));
    let kept: String = encoded.chars().take(max - 18).collect();
    format!("{}%-{}", kept.trim_end_matches('/'), &hash[..16])
}

/// The record that a run begins with.
pub fn run(run: &RunId) -> String {
    format!("ledger/runs/{run}/run.json")
}

/// Prefix of the marks of runs that have begun, in the order of their beginnings.
pub const BEGUN: &str = "ledger/begun/";
/// Prefix of the marks of runs that are over, under the same names.
pub const OVER: &str = "ledger/over/";

/// The name of a run among the [`BEGUN`] and the [`OVER`].
pub fn run_mark(prefix: &str, run: &RunId, started_at: Timestamp) -> String {
    format!("{prefix}{:014}.{run}.json", started_at.as_millisecond().max(0))
}

/// The run that such a mark names.
pub fn marked_run(mark: &str) -> Option<RunId> {
    RunId::parse(mark.strip_suffix(".json")?.rsplit('.').next()?)
}

/// Prefix of the sweeps of a run.
pub fn sweeps(run: &RunId) -> String {
    format!("ledger/runs/{run}/sweeps/")
}

/// How far a sweep came that was made at this time.
pub fn sweep(run: &RunId, at: Timestamp) -> String {
    format!("{}{:014}.json", sweeps(run), at.as_millisecond().max(0))
}

/// What one batch holds.
pub fn batch(run: &RunId, batch: u32) -> String {
    format!("{}{batch:06}.json", batches(run))
}

/// Prefix of the batch records.
pub fn batches(run: &RunId) -> String {
    format!("ledger/runs/{run}/batches/")
}

/// How many batches there are.
pub fn end(run: &RunId) -> String {
    format!("ledger/runs/{run}/end.json")
}

/// That this run is to stop.
pub fn run_cancel(run: &RunId) -> String {
    format!("ledger/runs/{run}/cancel.json")
}

/// That this run's collector refuses `queue_next`.
pub fn no_queue_next(run: &RunId) -> String {
    format!("ledger/runs/{run}/no-queue-next.json")
}

/// Batches are completed in blocks of this many, so that noticing the end of a run stays linear.
pub const BLOCK: u32 = 100;

/// The block of a batch, from 0.
pub fn block_of(batch: u32) -> u32 {
    batch.saturating_sub(1) / BLOCK
}

/// The terminal record of a batch.
pub fn done(run: &RunId, batch: u32) -> String {
    format!("{}{batch:06}.json", done_block(run, block_of(batch)))
}

/// Prefix of the terminal records of all batches.
pub fn all_done(run: &RunId) -> String {
    format!("ledger/runs/{run}/done/")
}

/// Prefix of the terminal records of one block of batches.
pub fn done_block(run: &RunId, block: u32) -> String {
    format!("{}{block:05}/", all_done(run))
}

/// Prefix of what is known so far of the batches of a block that go on with another attempt.
pub fn partial_block(run: &RunId, block: u32) -> String {
    format!("ledger/runs/{run}/partial/{block:05}/")
}

/// What the attempts of a batch up to this one have decided.
pub fn partial(id: &AttemptId) -> String {
    format!("{}{:06}.{:02}.json", partial_block(&id.run, block_of(id.batch)), id.batch, id.attempt)
}

/// Prefix of the records of complete blocks.
pub fn blocks(run: &RunId) -> String {
    format!("ledger/runs/{run}/blocks/")
}

/// The record of a complete block.
pub fn block(run: &RunId, block: u32) -> String {
    format!("{}{block:05}.json", blocks(run))
}

/// Prefix of the marks of held slices.
pub fn held_marks(run: &RunId) -> String {
    format!("ledger/runs/{run}/held/")
}

/// The mark of a held slice, for counting; `number` as in [`held`].
pub fn held_mark(attempt: &AttemptId, slice: Slice, number: u32) -> String {
    format!("{}{:06}.{:02}.{slice}.{number:03}.json", held_marks(&attempt.run), attempt.batch, attempt.attempt)
}

/// The slice of such a mark.
pub fn marked_slice(mark: &str) -> Option<Slice> {
    Slice::parse(mark.rsplit('/').next()?.split('.').nth(2)?)
}

/// That a held slice does not count any more: it was released.
pub fn released_mark(mark: &str) -> String {
    format!("{}.released.json", mark.trim_end_matches(".json"))
}

/// Prefix of the records of all attempts of all batches.
pub fn all_attempts(run: &RunId) -> String {
    format!("ledger/runs/{run}/attempts/")
}

/// The attempt that such a record belongs to.
pub fn attempt_of(run: &RunId, key: &str) -> Option<AttemptId> {
    let (batch, attempt) = key.strip_prefix(&all_attempts(run))?.split_once('/')?.0.split_once('.')?;
    Some(AttemptId { run: run.clone(), batch: batch.parse().ok()?, attempt: attempt.parse().ok()? })
}

/// Prefix of the records of all attempts of one batch.
pub fn attempts(run: &RunId, batch: u32) -> String {
    format!("{}{batch:06}.", all_attempts(run))
}

/// Prefix of the records of one attempt.
pub fn attempt(id: &AttemptId) -> String {
    format!("{}{:02}/", attempts(&id.run, id.batch), id.attempt)
}

/// The end of an attempt.
pub fn attempt_end(id: &AttemptId) -> String {
    format!("{}end.json", attempt(id))
}

/// Which message polls the attempt.
pub fn poller(id: &AttemptId, generation: u32) -> String {
    format!("{}poller-{generation:03}.json", attempt(id))
}

/// Intent of a send.
pub fn intent(id: &AttemptId, slice: Slice, send: u32) -> String {
    format!("{}{slice}.send-{send:03}.intent.json", attempt(id))
}

/// Outcome of a send.
pub fn outcome(id: &AttemptId, slice: Slice, send: u32) -> String {
    format!("{}{slice}.send-{send:03}.outcome.json", attempt(id))
}

/// That the collection of a send was told to stop.
pub fn cancel(id: &AttemptId, slice: Slice, send: u32) -> String {
    format!("{}{slice}.send-{send:03}.cancel.json", attempt(id))
}

/// That the dataset of a send's collection could not be read, for the `number`-th time (from 1).
pub fn unreadable(id: &AttemptId, slice: Slice, send: u32, number: u32) -> String {
    format!("{}{slice}.send-{send:03}.unreadable-{number:03}.json", attempt(id))
}

/// What was delivered.
pub fn delivery(id: &AttemptId, slice: Slice) -> String {
    format!("{}{slice}.delivery.json", attempt(id))
}

/// That a person has to decide, for the `number`-th time (from 1).
pub fn held(id: &AttemptId, slice: Slice, number: u32) -> String {
    format!("{}{slice}.held-{number:03}.json", attempt(id))
}

/// What the person decided.
pub fn released(id: &AttemptId, slice: Slice, number: u32) -> String {
    format!("{}{slice}.released-{number:03}.json", attempt(id))
}

/// That a handler of a message came to its end at the message's `receives`-th delivery.
pub fn alive(id: &AttemptId, message_id: &str, receives: u32) -> String {
    format!("{}alive-{}-{receives:06}.json", attempt(id), message_tag(message_id))
}

/// A message's id as a part of a key.
pub fn message_tag(message_id: &str) -> String {
    format!("{:032x}", crate::canonical::fingerprint(message_id)).chars().take(16).collect()
}

/// The send that a collection answered.
pub fn collection(id: &str) -> String {
    format!("ledger/collections/{}.json", segment(id))
}

/// Prefix of everything that is known about a collection.
pub fn known_of(id: &str) -> String {
    format!("ledger/collections/{}.", segment(id))
}

/// The `number`-th send (from 1) that claims a collection found in the job list.
pub fn claim(id: &str, number: u32) -> String {
    format!("ledger/collections/{}.claim-{number:03}.json", segment(id))
}

/// That a claim was given up.
pub fn renounced(id: &str, number: u32) -> String {
    format!("ledger/collections/{}.claim-{number:03}.renounced.json", segment(id))
}

/// Prefix of the sends that have ever been in doubt, of all collectors.
pub const DOUBTS: &str = "ledger/doubts/";

/// Prefix of the sends of a collector that have ever been in doubt.
pub fn doubts(collector: &str) -> String {
    format!("{DOUBTS}{}/", segment(collector))
}

/// A place in the doubts of a collector: keys are in the order of the intents, given in milliseconds of the epoch.
pub fn doubts_from(collector: &str, millisecond: i64) -> String {
    format!("{}{:014}", doubts(collector), millisecond.max(0))
}

/// The record of one send in doubt.
pub fn doubt(collector: &str, millisecond: i64, id: &AttemptId, slice: Slice, send: u32) -> String {
    let place = doubts_from(collector, millisecond);
    format!("{place}.{}.{:06}.{:02}.{slice}.{send:03}.json", id.run, id.batch, id.attempt)
}

/// Pause of one collector.
pub fn collector_gate(collector: &str) -> String {
    format!("control/{}.json", segment(collector))
}

/// Pause of the API token.
pub const TOKEN_GATE: &str = "control/token.json";

/// The kill switch.
pub const PAUSE: &str = "control/pause.json";

/// What is spent and reserved of the spending limits.
pub const SPENDING: &str = "control/spending.json";

/// That a person lets this run go over the spending limits.
pub fn over_limits(run: &RunId) -> String {
    format!("ledger/runs/{run}/over-limits.json")
}

/// What the accounts of a month (`2026-11`) are made of.
pub fn account_book(month: &str) -> String {
    format!("control/accounts/{month}.json")
}

/// The accounts of a month, for a spreadsheet.
pub fn accounts(month: &str) -> String {
    format!("accounts/{month}.csv")
}

/// Live state of the newest run of an input key.
pub fn status(path: &str) -> String {
    // A file system cannot hold the page and a folder of its name; `%i` comes out of no percent-encoding, so this clashes with no key.
    match path.strip_prefix("index.html/") {
        Some(rest) => format!("{STATUSES}%index.html/{rest}.json"),
        None => format!("{STATUSES}{path}.json"),
    }
}

/// Prefix of the states of the newest run of every input key, and of the [`PAGE`].
pub const STATUSES: &str = "status/";

/// The status page.
pub const PAGE: &str = "status/index.html";

/// What the status page is made of.
pub const PAGE_STATE: &str = "control/page.json";

/// What says that a run is over.
pub fn manifest(path: &str, run: &RunId) -> String {
    format!("output/{path}/{run}/manifest.json")
}

/// The records of one slice of one attempt; `whole` when the slice is the whole attempt.
pub fn output(
    path: &str,
    id: &AttemptId,
    slice: Slice,
    whole: bool,
    format: OutputFormat,
    compression: OutputCompression,
) -> String {
    let share = if whole { String::new() } else { format!("-{slice}") };
    let extension = extension(format, compression);
    format!("output/{path}/{}/batch-{:05}.{}{share}.{extension}", id.run, id.batch, id.attempt)
}

/// How a key of records ends.
pub fn extension(format: OutputFormat, compression: OutputCompression) -> String {
    let format = match format {
        OutputFormat::Ndjson => "ndjson",
        OutputFormat::Json => "json",
    };
    let gz = match compression {
        OutputCompression::None => "",
        OutputCompression::Gzip => ".gz",
    };
    format!("{format}{gz}")
}

/// The inputs that failed for good, in the format of the input file.
pub fn failed(path: &str, run: &RunId, extension: &str) -> String {
    format!("failed/{path}/{run}/failed.{extension}")
}

/// The records of a collection that came to light after its send had been given up.
pub fn late_records(path: &str, run: &RunId, collection: &str, extension: &str) -> String {
    format!("late/{path}/{run}/{}.{extension}", segment(collection))
}

/// What is known about them.
pub fn late_note(path: &str, run: &RunId, collection: &str) -> String {
    format!("late/{path}/{run}/{}.note.json", segment(collection))
}

/// One line for every failed input and every rejected row.
pub fn errors(path: &str, run: &RunId) -> String {
    format!("failed/{path}/{run}/errors.ndjson")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_segments_stay_and_others_are_encoded() {
        for (key, path) in [
            ("a b/c-d_e.f~g.csv", "a b/c-d_e.f~g.csv"),
            ("ü/x%y", "%C3%BC/x%25y"),
            ("../.", "%2E%2E/%2E"),
            ("a//b/", "a/%/b/%"),
            ("/abs", "%/abs"),
        ] {
            assert_eq!(input_path(key), path);
        }
    }

    #[test]
    fn long_keys_are_cut_and_stay_apart() {
        let (one, two) = (format!("{}1", "x".repeat(300)), format!("{}2", "x".repeat(300)));
        assert_ne!(input_path(&one), input_path(&two));
        assert!(input_path(&one).len() <= SEGMENT_BYTES_MAX);
        let deep = "ü/".repeat(400);
        assert!(input_path(&deep).len() <= PATH_BYTES_MAX);
        assert_ne!(input_path(&deep), input_path(&format!("{deep}x")));
    }

    #[test]
    fn a_record_says_which_attempt_it_belongs_to() {
        let id = AttemptId { run: RunId::parse("0123456789abcdef").unwrap(), batch: 1_234_567, attempt: 2 };
        assert_eq!(attempt_of(&id.run, &attempt_end(&id)), Some(id.clone()));
        assert_eq!(attempt_of(&id.run, &batch(&id.run, 1)), None);
    }

    #[test]
    fn no_status_is_in_the_way_of_the_page() {
        for key in ["index.html", "index.html/a.txt", "index.htm", "a/index.html"] {
            let status = status(&input_path(key));
            assert!(status != PAGE && !status.starts_with(&format!("{PAGE}/")), "{status}");
        }
        assert_ne!(status("index.html/a"), status(&input_path("%index.html/a")));
    }

    #[test]
    fn the_last_batch_of_a_block_is_in_it() {
        assert_eq!((block_of(1), block_of(100), block_of(101)), (0, 0, 1));
    }
}
