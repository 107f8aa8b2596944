//! The API token must not be told: not in objects, not in messages, not in logs.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::Broken;
use crate::world::cuts::Cuts;
use crate::world::outside::SECRET;

/// Listens to what is written or sent.
pub(in crate::world) fn listen(cuts: &Cuts, whereto: &str, said: &[u8]) {
    if memchr::memmem::find(said, SECRET.as_bytes()).is_some() {
        let said = String::from_utf8_lossy(said).chars().take(300).collect::<String>();
        cuts.broken(Broken::new("no_secret_is_told", format!("{whereto}: {said}")));
    }
}

/// Listens to everything that is logged.
pub(in crate::world) struct Listener {
    cuts: Cuts,
}

impl Listener {
    pub(in crate::world) fn new(cuts: Cuts) -> Self {
        Self { cuts }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line::default();
        span.record(&mut line);
        listen(&self.cuts, "the log", line.0.as_bytes());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line::default();
        values.record(&mut line);
        listen(&self.cuts, "the log", line.0.as_bytes());
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        listen(&self.cuts, "the log", line.0.as_bytes());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// All fields of one line.
#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}
