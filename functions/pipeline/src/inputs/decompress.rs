//! Decompression in small steps, with a limit against bombs.

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::DParameter;

use super::{FileCompression, FileProblem, ReadLimits, STEP_BYTES, gzip::Gunzip};

/// 8 MiB: what RFC 8878 (section 3.1.1.1.2) asks every decoder to support, and all that zstd's levels up to 19 use.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Turns the bytes of a file into the bytes of its text.
pub(super) struct Expander {
    method: Method,
    limits: ReadLimits,
    taken: u64,
    expanded: u64,
    /// The last step filled its buffer, so that there may be more without any more input.
    has_more: bool,
}

enum Method {
    Plain,
    Gzip(Box<Gunzip>),
    Zstd(Unzstd),
}

impl Expander {
    pub(super) fn new(compression: FileCompression, limits: ReadLimits) -> Self {
        let method = match compression {
            FileCompression::None => Method::Plain,
            FileCompression::Gzip => Method::Gzip(Box::default()),
            FileCompression::Zstd => Method::Zstd(Unzstd::default()),
        };
        Self { method, limits, taken: 0, expanded: 0, has_more: false }
    }

    /// Fills `out`, whose capacity bounds the step, and says how much of `input` was used up.
    pub(super) fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, FileProblem> {
        if input.is_empty() && !self.has_more {
            return Ok(0);
        }
        let input = input.get(..STEP_BYTES).unwrap_or(input);
        let taken = match &mut self.method {
            Method::Plain => {
                out.extend_from_slice(input);
                return Ok(input.len());
            }
            Method::Gzip(gunzip) => gunzip.step(input, out)?,
            Method::Zstd(unzstd) => unzstd.step(input, out)?,
        };
        self.has_more = out.len() == out.capacity();
        self.taken += taken as u64;
        self.expanded += out.len() as u64;
        let ReadLimits { expansion_max, expansion_free_bytes: free_bytes, .. } = self.limits;
        if self.expanded > self.taken.saturating_mul(expansion_max).saturating_add(free_bytes) {
            out.clear();
            return Err(FileProblem::Bomb { expansion_max, free_bytes });
        }
        Ok(taken)
    }

    /// Whether the compressed data may end here.
    pub(super) fn finish(&self) -> Result<(), FileProblem> {
        match &self.method {
            Method::Plain => Ok(()),
            _ if self.taken == 0 => Err(FileProblem::Empty),
            Method::Gzip(gunzip) => gunzip.finish(),
            Method::Zstd(unzstd) => unzstd.finish(),
        }
    }
}

#[derive(Default)]
struct Unzstd {
    decoder: Option<Decoder<'static>>,
    /// A frame has begun and not ended.
    in_frame: bool,
    frames: u64,
}

impl Unzstd {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, FileProblem> {
        let damaged = |error: std::io::Error| FileProblem::Damaged { reason: error.to_string() };
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => {
                let mut decoder = Decoder::new().map_err(damaged)?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(damaged)?;
                none.insert(decoder)
            }
        };
        let mut source = InBuffer::around(input);
        let hint = decoder.run(&mut source, &mut OutBuffer::around(out)).map_err(|error| {
            match (error.to_string().contains("Unknown frame descriptor"), self.frames) {
                (true, 0) => FileProblem::NotCompressed { expected: "zstd" },
                (true, _) => FileProblem::TrailingGarbage { expected: "zstd" },
                _ => damaged(error),
            }
        })?;
        if hint == 0 && (self.in_frame || source.pos > 0) {
            self.frames += 1;
        }
        self.in_frame = hint != 0;
        Ok(source.pos)
    }

    fn finish(&self) -> Result<(), FileProblem> {
        if self.in_frame { Err(FileProblem::Truncated) } else { Ok(()) }
    }
}
