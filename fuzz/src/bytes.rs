//! How a case is made of bytes.

use std::cell::RefCell;

/// Takes a case apart from its beginning.
pub(crate) struct Case<'a>(pub(crate) &'a [u8]);

impl<'a> Case<'a> {
    /// The next byte; 0 when there is none.
    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// The bytes up to the next `end`, which is dropped; all that are left when there is none.
    pub(crate) fn until(&mut self, end: &[u8]) -> &'a [u8] {
        let found = self.0.windows(end.len()).position(|window| window == end);
        let taken = self.0.get(..found.unwrap_or(self.0.len())).unwrap_or_default();
        self.0 = self.0.get(taken.len() + end.len()..).unwrap_or_default();
        taken
    }

    /// The text up to the next `end`.
    pub(crate) fn text_until(&mut self, end: &str) -> String {
        text(self.until(end.as_bytes()))
    }

    /// What is left, as text.
    pub(crate) fn text(&self) -> String {
        text(self.0)
    }
}

/// Text, with what is not UTF-8 replaced.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Cuts bytes into chunks: `0` leaves them whole, `1` cuts them into single bytes, anything else into lengths that follow from it.
pub(crate) fn chunks(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut lengths = u64::from(seed);
    let mut rest = bytes;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        lengths = lengths.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let length = match seed {
            0 | b'0' => rest.len(),
            1 | b'1' => 1,
            _ => 1 + (lengths >> 33) as usize % (usize::from(seed) / 4 + 2),
        };
        let (chunk, behind) = rest.split_at(length.min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

/// Runs a future to its end; timers are there.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: RefCell<Option<tokio::runtime::Runtime>> = const { RefCell::new(None) };
    }
    let runtime = RUNTIME.with(RefCell::take).unwrap_or_else(|| {
        let built = tokio::runtime::Builder::new_current_thread().enable_time().build();
        built.expect("a runtime without sockets can always be built")
    });
    let done = runtime.block_on(future);
    RUNTIME.with(|kept| kept.replace(Some(runtime)));
    done
}

/// The bytes without a byte order mark.
pub(crate) fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}
