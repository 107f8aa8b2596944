//! Makes the calls: puts the token in, asks again where that is harmless, and hands responses to [`decode`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use pipeline::ports::{Api, Clock, Dataset, JobError, JobLog, JobPage, Looked, SendAnswer, TriggerRequest};
use secrecy::{ExposeSecret, SecretString};
use tracing::debug;

use super::decode::{self, Answer, Waiting, header};
use super::encode;
use super::token::Token;
use super::wire::{Kind, Request, Response, Transport, TransportError};

/// Bytes of a short answer. A full page of jobs is about 200 kB; an error list grows with the inputs of one batch.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of an error answer that are looked at.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// When a question that found trouble is asked again inside one call.
#[derive(Debug, Clone)]
pub struct Backoff {
    /// One more question after each of these.
    pub waits: Vec<Duration>,
    /// A longer `Retry-After` is left to the caller's own schedule.
    pub retry_after_max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        let waits = vec![Duration::from_millis(300), Duration::from_secs(1)];
        Self { waits, retry_after_max: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// Asks once.
    pub fn none() -> Self {
        Self { waits: Vec::new(), retry_after_max: Duration::ZERO }
    }
}

/// The Scraper Studio API behind any transport.
pub struct Client<T> {
    transport: T,
    token: Arc<dyn Token>,
    clock: Arc<dyn Clock>,
    backoff: Backoff,
}

impl<T: Transport> Client<T> {
    /// A client with the usual backoff.
    pub fn new(transport: T, token: Arc<dyn Token>, clock: Arc<dyn Clock>) -> Self {
        Self { transport, token, clock, backoff: Backoff::default() }
    }

    /// The same client with another backoff.
    pub fn with_backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Asks until there is an answer worth having, and reads it whole unless it is the dataset itself.
    async fn ask(&self, request: Request, kind: Kind) -> Heard {
        let mut token = self.token.token().await;
        let mut renewed = false;
        let mut waits = self.backoff.waits.iter();
        loop {
            let response = match self.transport.call(authorized(&request, &token), kind).await {
                Ok(response) if kind == Kind::Fetch && decode::dataset_is_ready(response.status) => {
                    return Heard::Ready(response);
                }
                Ok(response) => Ok(Whole::read(response, &token, self.clock.now()).await),
                Err(TransportError::NotSent { why } | TransportError::Broken { why }) => Err(why),
            };
            if let Ok(answer) = &response
                && answer.status == 401
                && !renewed
                && let Some(other) = self.token.instead_of(&token).await
            {
                (token, renewed) = (other, true);
                continue;
            }
            let pause = match &response {
                Ok(answer) if answer.cut.is_none() && !decode::worth_asking_again(answer.status) => None,
                Ok(answer) => self.pause(answer.answer().retry_after(), waits.next()),
                Err(_) => self.pause(None, waits.next()),
            };
            let Some(pause) = pause else {
                return response.map_or_else(Heard::Nothing, Heard::Whole);
            };
            debug!(?request, ?pause, "asking again");
            tokio::time::sleep(pause).await;
        }
    }

    fn pause(&self, retry_after: Option<u32>, wait: Option<&Duration>) -> Option<Duration> {
        let wait = *wait?;
        let told = Duration::from_secs(retry_after.unwrap_or(0).into());
        (told <= self.backoff.retry_after_max).then_some(wait.max(told))
    }

    async fn short<A>(&self, request: Request, read: impl FnOnce(&Answer<'_>) -> Looked<A>) -> Looked<A> {
        match self.ask(request, Kind::Ask).await {
            Heard::Whole(answer) => read(&answer.answer()),
            Heard::Ready(response) => Looked::Refused { status: response.status, text: String::new() },
            Heard::Nothing(why) => Looked::Trouble { why },
        }
    }
}

#[async_trait]
impl<T: Transport> Api for Client<T> {
    async fn trigger(&self, request: &TriggerRequest, send_by: Timestamp) -> SendAnswer {
        let token = self.token.token().await;
        let now = self.clock.now();
        if now > send_by {
            return SendAnswer::NotSent { why: format!("it is {now}, too late for a send that was due by {send_by}") };
        }
        let request = authorized(&encode::trigger(request), &token);
        let response = match self.transport.call(request, Kind::Send { send_by }).await {
            Ok(response) => response,
            Err(TransportError::NotSent { why }) => return SendAnswer::NotSent { why },
            Err(TransportError::Broken { why }) => return SendAnswer::InDoubt { why },
        };
        let answer = decode::trigger(&Whole::read(response, &token, self.clock.now()).await.answer());
        if let SendAnswer::Credentials { status: 401, .. } = answer {
            // For the next send; this one has its answer.
            self.token.instead_of(&token).await;
        }
        answer
    }

    async fn dataset(&self, collection: &str) -> Looked<Dataset> {
        match self.ask(encode::dataset(collection), Kind::Fetch).await {
            Heard::Ready(response) => {
                let content_type = header(&response.headers, "content-type").unwrap_or_default().to_ascii_lowercase();
                Looked::Found(Dataset::Ready { content_type, body: response.body })
            }
            Heard::Whole(answer) => match decode::dataset(&answer.answer()) {
                Looked::Found(Waiting::Pending(hint)) => Looked::Found(Dataset::Pending { hint }),
                Looked::Found(Waiting::Ended(status)) => Looked::Found(Dataset::Ended { status }),
                Looked::Absent => Looked::Absent,
                Looked::Credentials { status, text } => Looked::Credentials { status, text },
                Looked::Wait { retry_after } => Looked::Wait { retry_after },
                Looked::Refused { status, text } => Looked::Refused { status, text },
                Looked::Trouble { why } => Looked::Trouble { why },
            },
            Heard::Nothing(why) => Looked::Trouble { why },
        }
    }

    async fn log(&self, collection: &str) -> Looked<JobLog> {
        self.short(encode::log(collection), decode::log).await
    }

    async fn errors(&self, collection: &str) -> Looked<Vec<JobError>> {
        self.short(encode::errors(collection), decode::errors).await
    }

    async fn jobs(&self, collector: &str, from: Date, to: Date, offset: u64) -> Looked<JobPage> {
        self.short(encode::jobs(collector, from, to, offset), decode::jobs).await
    }

    async fn cancel(&self, collection: &str) -> Looked<()> {
        self.short(encode::cancel(collection), decode::cancel).await
    }
}

fn authorized(request: &Request, token: &SecretString) -> Request {
    let mut request = request.clone();
    request.headers.push(("authorization".to_owned(), format!("Bearer {}", token.expose_secret())));
    request
}

/// What came of asking.
enum Heard {
    /// A dataset, unread.
    Ready(Response),
    /// Anything else that has a status.
    Whole(Whole),
    /// No response.
    Nothing(String),
}

/// A response that was read.
struct Whole {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut: Option<String>,
    at: Timestamp,
    token: SecretString,
}

impl Whole {
    async fn read(response: Response, token: &SecretString, at: Timestamp) -> Self {
        let Response { status, headers, body: mut chunks } = response;
        let fine = status < 300;
        let most = if fine { ANSWER_BYTES_MAX } else { ERROR_BYTES_MAX };
        let mut body = Vec::new();
        let cut = loop {
            match chunks.next().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break None,
                Err(error) => break Some(crate::text_of(&error)),
            }
            if body.len() > most {
                // Of an error, the beginning is enough.
                body.truncate(most);
                break fine.then(|| format!("longer than {most} bytes"));
            }
        };
        Self { status, headers, body, cut, at, token: token.clone() }
    }

    fn answer(&self) -> Answer<'_> {
        let Self { status, headers, body, cut, at, token } = self;
        Answer { status: *status, headers, body, cut: cut.as_deref(), at: *at, token: Some(token) }
    }
}

#[cfg(test)]
mod tests;
