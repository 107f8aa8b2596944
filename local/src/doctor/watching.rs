//! The transport of the API's own client, watched: what the port does not tell is the `Date` of an answer, and whether there was one.

use std::sync::{Arc, Mutex, PoisonError};

use adapters::dca::{HttpTransport, Kind, Method, Request, Response, Transport, TransportError};
use async_trait::async_trait;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use pipeline::ports::Clock;

/// What was seen of the last request.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The clocks of both sides, if the answer had a `Date`.
    pub(super) dates: Option<Dates>,
    /// Why there was no answer.
    pub(super) failed: Option<TransportError>,
}

/// Two clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dates {
    /// Ours before the request.
    began: Timestamp,
    /// Ours when the answer came.
    ended: Timestamp,
    /// The other one's in between, cut to seconds.
    theirs: Timestamp,
}

impl Dates {
    /// By how many seconds our clock is ahead of the other one, at least; behind it where negative.
    pub(super) fn off(&self) -> i64 {
        let (began, ended, theirs) = (self.began.as_second(), self.ended.as_second(), self.theirs.as_second());
        match theirs {
            early if early < began => began - early,
            late if late > ended => ended - late,
            _ => 0,
        }
    }
}

/// Carries questions, and remembers what became of the last one. Nothing else leaves: a POST may start paid work.
pub(super) struct Watching {
    inner: HttpTransport,
    clock: Arc<dyn Clock>,
    seen: Arc<Mutex<Seen>>,
}

impl Watching {
    /// Watches `inner`, and writes down into `seen`.
    pub(super) fn new(inner: HttpTransport, clock: Arc<dyn Clock>, seen: Arc<Mutex<Seen>>) -> Self {
        Self { inner, clock, seen }
    }
}

#[async_trait]
impl Transport for Watching {
    async fn call(&self, request: Request, kind: Kind) -> Result<Response, TransportError> {
        if request.method != Method::Get {
            return Err(TransportError::NotSent { why: "only questions are asked here".to_owned() });
        }
        let began = self.clock.now();
        let called = self.inner.call(request, kind).await;
        let ended = self.clock.now();
        let seen = match &called {
            Ok(response) => Seen { dates: date(response).map(|theirs| Dates { began, ended, theirs }), failed: None },
            Err(error) => Seen { dates: None, failed: Some(error.clone()) },
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        called
    }
}

/// An HTTP date is an RFC 2822 date whose zone is spelt GMT.
fn date(response: &Response) -> Option<Timestamp> {
    let (_, date) = response.headers.iter().find(|(name, _)| name == "date")?;
    rfc2822::DateTimeParser::new().parse_timestamp(date.trim()).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use adapters::clock::WallClock;
    use adapters::dca::{Client, FixedToken, Times};
    use pipeline::ports::{Api, Looked};

    use super::*;

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let off = |theirs| Dates { began: at(100), ended: at(130), theirs: at(theirs) }.off();
        assert_eq!([100, 115, 130, 95, 140].map(off), [0, 0, 0, 5, -10]);
    }

    #[tokio::test]
    async fn nothing_but_questions_leaves() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let called = Arc::new(AtomicBool::new(false));
        let noticed = Arc::clone(&called);
        std::thread::spawn(move || {
            let _connection = listener.accept();
            noticed.store(true, Ordering::SeqCst);
        });
        let inner = HttpTransport::new(&address, Times::default(), Arc::new(WallClock)).unwrap();
        let watching = Watching::new(inner, Arc::new(WallClock), Arc::default());
        let client = Client::new(watching, Arc::new(FixedToken("token".into())), Arc::new(WallClock));
        let answer = client.with_backoff(adapters::dca::Backoff::none()).cancel("j_1").await;
        assert!(matches!(&answer, Looked::Trouble { why } if why.contains("only questions")), "{answer:?}");
        assert!(!called.load(Ordering::SeqCst));
    }
}
