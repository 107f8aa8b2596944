//! Output objects as their records: NDJSON or one JSON array, plain or gzip, chunk by chunk.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use pipeline::json_cut::{Cut, Cutter};
use pipeline::policy::limits::RECORD_BYTES_MAX;

/// Compressed bytes that are expanded at once: deflate makes at most a thousand times as many of them.
const STEP_BYTES: usize = 16 * 1024;

/// Takes one record as JSON text.
pub(super) type Each<'a> = dyn FnMut(&str) -> Result<(), String> + 'a;

/// Cuts one output object into its records. Memory is bounded by one record.
pub(super) struct Records {
    expanding: Option<MultiGzDecoder<Vec<u8>>>,
    cutting: Cutting,
}

enum Cutting {
    /// One record a line; the last line so far.
    Lines(Vec<u8>),
    Array(Cutter),
}

impl Records {
    /// For an output with this key; `None` when its name says no format that is written by this release.
    pub(super) fn of(key: &str) -> Option<Self> {
        let (name, gzip) = key.strip_suffix(".gz").map_or((key, false), |name| (name, true));
        let cutting = match name.rsplit_once('.')?.1 {
            "ndjson" => Cutting::Lines(Vec::new()),
            "json" => Cutting::Array(Cutter::new(RECORD_BYTES_MAX)),
            _ => return None,
        };
        Some(Self { expanding: gzip.then(|| MultiGzDecoder::new(Vec::new())), cutting })
    }

    /// Takes the next bytes and gives every record that they complete.
    pub(super) fn push(&mut self, chunk: &[u8], each: &mut Each<'_>) -> Result<(), String> {
        let Some(decoder) = &mut self.expanding else { return self.cutting.push(chunk, each) };
        for step in chunk.chunks(STEP_BYTES) {
            decoder.write_all(step).map_err(not_gzip)?;
            let expanded = std::mem::take(decoder.get_mut());
            self.cutting.push(&expanded, each)?;
        }
        Ok(())
    }

    /// Takes the end of the bytes.
    pub(super) fn finish(mut self, each: &mut Each<'_>) -> Result<(), String> {
        if let Some(decoder) = self.expanding {
            self.cutting.push(&decoder.finish().map_err(not_gzip)?, each)?;
        }
        self.cutting.finish(each)
    }
}

fn not_gzip(error: std::io::Error) -> String {
    format!("it is no whole gzip file: {error}")
}

impl Cutting {
    fn push(&mut self, bytes: &[u8], each: &mut Each<'_>) -> Result<(), String> {
        match self {
            Self::Lines(held) => {
                let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
                lines.try_for_each(|part| match (part.ends_with(b"\n"), held.is_empty()) {
                    (true, true) => line(part, each),
                    (ended, _) => {
                        held.extend_from_slice(part);
                        if held.len() > RECORD_BYTES_MAX + 1 {
                            return Err(format!("a record has more than {RECORD_BYTES_MAX} bytes"));
                        }
                        if ended { line(&std::mem::take(held), each) } else { Ok(()) }
                    }
                })
            }
            Self::Array(cutter) => {
                let mut done = Ok(());
                let pushed = cutter.push(bytes, &mut |cut| element(&cut, &mut done, each));
                done.and(pushed.map_err(|error| error.to_string()))
            }
        }
    }

    fn finish(self, each: &mut Each<'_>) -> Result<(), String> {
        match self {
            Self::Lines(held) => line(&held, each),
            Self::Array(mut cutter) => {
                let mut done = Ok(());
                let finished = cutter.finish(&mut |cut| element(&cut, &mut done, each));
                done.and(finished.map(|_| ()).map_err(|error| error.to_string()))
            }
        }
    }
}

fn line(line: &[u8], each: &mut Each<'_>) -> Result<(), String> {
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?.trim();
    if text.is_empty() { Ok(()) } else { each(text) }
}

fn element(cut: &Cut<'_>, done: &mut Result<(), String>, each: &mut Each<'_>) {
    if done.is_ok() {
        *done = match cut.text.as_ref().map(|text| std::str::from_utf8(text)) {
            Ok(Ok(text)) => each(text),
            Ok(Err(error)) => Err(format!("line {}: {error}", cut.line)),
            Err(long) => Err(format!("line {}: a record has {} bytes", cut.line, long.bytes)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, bytes: &[u8], chunk: usize) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut each = |record: &str| {
            found.push(record.to_owned());
            Ok(())
        };
        let mut records = Records::of(key).unwrap();
        for chunk in bytes.chunks(chunk) {
            records.push(chunk, &mut each)?;
        }
        records.finish(&mut each)?;
        Ok(found)
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_format_is_cut_into_the_same_records() {
        let records = ["{\"a\":\"é\\n\"}", "[1,2]", "7", "{}"];
        let lines = format!("{}\n", records.join("\n"));
        let array = format!("[\n{}\n]\n", records.join(",\n"));
        for chunk in [1, 3, 1000] {
            assert_eq!(read("x.ndjson", lines.as_bytes(), chunk).unwrap(), records);
            assert_eq!(read("x.ndjson", lines.trim_end().as_bytes(), chunk).unwrap(), records);
            assert_eq!(read("x.json", array.as_bytes(), chunk).unwrap(), records);
            assert_eq!(read("x.ndjson.gz", &gzip(&lines), chunk).unwrap(), records);
            assert_eq!(read("x.json.gz", &gzip(&array), chunk).unwrap(), records);
        }
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_noticed() {
        let whole = gzip("{\"a\":1}\n");
        assert!(read("x.ndjson.gz", &whole[..whole.len() - 1], 9).is_err());
        assert!(read("x.ndjson.gz", b"{\"a\":1}\n", 9).is_err());
        assert!(read("x.json", b"[{\"a\":1}", 9).is_err());
        assert!(read("x.ndjson", b"\"\xFF\"\n", 9).is_err());
        assert!(Records::of("x.csv").is_none() && Records::of("x").is_none());
    }

    #[test]
    fn an_error_of_the_taker_ends_it() {
        for (key, bytes) in [("x.ndjson", "1\n2\n"), ("x.json", "[1,2]")] {
            let mut taken = 0;
            let mut each = |_: &str| {
                taken += 1;
                Err("no".to_owned())
            };
            assert_eq!(Records::of(key).unwrap().push(bytes.as_bytes(), &mut each), Err("no".to_owned()));
            assert_eq!(taken, 1);
        }
    }
}
