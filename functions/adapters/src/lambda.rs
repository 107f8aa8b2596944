//! What stands between Lambda and a handler: every message of a batch is worked on by itself, one after the other. A handler that
//! fails or panics fails its own message only, and its verdict becomes what the queue understands.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use pipeline::longest_turn;
use pipeline::messages::{Turn, Verdict};
use pipeline::metrics;
use pipeline::policy::limits::WAIT_SECONDS_MAX;
use pipeline::ports::{Clock, Metrics, PortError};
use pipeline::words::AttemptId;
use tracing::{Instrument, Span, error, info, info_span, warn};

use crate::text_of;

pub mod drops;
mod serve;

pub use serve::{serve_drops, serve_queue, serve_schedule};

/// One delivery of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// ARN of the queue that it came from.
    pub queue_arn: String,
    /// Names this delivery.
    pub receipt: String,
    /// Names the message.
    pub message_id: String,
    /// What the message says.
    pub body: String,
}

/// What can be asked of a queue about a message that it has delivered.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// Deliver it again after this many seconds, unless it is reported as done before.
    async fn again_after(&self, delivery: &Delivery, seconds: u32) -> Result<(), PortError>;
    /// Put a copy into the queue's dead-letter queue, with the reason.
    async fn set_aside(&self, delivery: &Delivery, why: &str) -> Result<(), PortError>;
}

/// How long messages stay invisible.
#[derive(Debug, Clone)]
pub struct Visibility {
    /// While a handler works: a killed one is taken up after this time.
    pub working: u32,
    /// How often that is renewed.
    pub renewed: Duration,
    /// After an error or a panic.
    pub failed: u32,
    /// When a message that can never succeed could not be moved to the dead-letter queue.
    pub stuck: u32,
}

impl Default for Visibility {
    fn default() -> Self {
        Self { working: 120, renewed: Duration::from_secs(60), failed: 45, stuck: 900 }
    }
}

/// With less time than this, a message is left for another invocation.
const LEAST_TIME: SignedDuration = SignedDuration::from_secs(5);

/// When this invocation is stopped. A deadline that has passed is not known (`cargo lambda watch` gives one in 1970): then it is the
/// longest that there is.
pub fn ends_at(deadline_ms: u64, now: Timestamp) -> Timestamp {
    let deadline = i64::try_from(deadline_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    deadline.filter(|deadline| *deadline > now).unwrap_or_else(|| longest_turn(now))
}

/// A record of a batch names no message. Lambda takes a response without its name for "all is done", so the batch fails as a whole.
#[derive(Debug, thiserror::Error)]
#[error("record {0} of the batch has no message id")]
pub struct NoMessageId(pub usize);

/// Works on messages of a queue.
pub struct Worker<D> {
    deliveries: D,
    clock: Arc<dyn Clock>,
    visibility: Visibility,
    failures_max: Option<u32>,
    metrics: Arc<dyn Metrics>,
}

impl<D: Deliveries> Worker<D> {
    /// A worker with the usual times.
    pub fn new(deliveries: D, clock: Arc<dyn Clock>) -> Self {
        Self { deliveries, clock, visibility: Visibility::default(), failures_max: None, metrics: Arc::new(()) }
    }

    /// The same worker, which tells what becomes of messages.
    pub fn watched_by(self, metrics: Arc<dyn Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// The same worker for a queue whose messages are delivered again because they failed, not because they wait: one that fails at its
    /// so-many-th delivery is set aside, with the reason.
    pub fn with_failures_max(self, failures_max: u32) -> Self {
        Self { failures_max: Some(failures_max), ..self }
    }

    /// The same worker with other times.
    pub fn with_visibility(self, visibility: Visibility) -> Self {
        Self { visibility, ..self }
    }

    /// The clock that it goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Hands every message of the batch to the handler; the response names those that come back.
    pub async fn batch<H, F>(
        &self,
        event: SqsEvent,
        ends_at: Timestamp,
        handler: H,
    ) -> Result<SqsBatchResponse, NoMessageId>
    where
        H: Fn(String, Turn) -> F,
        F: Future<Output = Result<Verdict, PortError>>,
    {
        let ids = event.records.iter().map(|record| record.message_id.as_deref().unwrap_or_default());
        if let Some(index) = ids.into_iter().position(str::is_empty) {
            return Err(NoMessageId(index + 1));
        }
        let mut response = SqsBatchResponse::default();
        for record in event.records {
            let receives = attribute(&record, "ApproximateReceiveCount").unwrap_or(1);
            let (delivery, sent_at) = self.delivery(record);
            let span = info_span!("message", message_id = delivery.message_id, receives);
            // Messages of two of the queues name an attempt; the third has events of S3.
            let about = serde_json::from_str::<AttemptId>(&delivery.body).map_or_else(|_| Span::none(), |id| id.span());
            let turn = Turn { message_id: delivery.message_id.clone(), sent_at, receives, ends_at };
            if !self.message(&delivery, turn, &handler).instrument(about).instrument(span).await {
                response.add_failure(delivery.message_id);
            }
        }
        Ok(response)
    }

    fn delivery(&self, record: SqsMessage) -> (Delivery, Timestamp) {
        let sent_at = attribute(&record, "SentTimestamp")
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .unwrap_or_else(|| self.clock.now());
        let delivery = Delivery {
            queue_arn: record.event_source_arn.unwrap_or_default(),
            receipt: record.receipt_handle.unwrap_or_default(),
            message_id: record.message_id.unwrap_or_default(),
            body: record.body.unwrap_or_default(),
        };
        (delivery, sent_at)
    }

    /// Works on one message; whether it is done with.
    async fn message<H, F>(&self, delivery: &Delivery, turn: Turn, handler: &H) -> bool
    where
        H: Fn(String, Turn) -> F,
        F: Future<Output = Result<Verdict, PortError>>,
    {
        if turn.ends_at.duration_since(self.clock.now()) < LEAST_TIME {
            info!("no time is left: the message comes back");
            self.again_after(delivery, 0).await;
            return false;
        }
        let poison = self.failures_max.is_some_and(|max| turn.receives >= max);
        // The handler may panic when it is called, and at every step. Its future is large and deep; in a box, it is moved as a pointer, and the
        // compiler can lay out what is around it.
        let work = AssertUnwindSafe(async { Box::pin(handler(delivery.body.clone(), turn)).await }).catch_unwind();
        match self.kept_invisible(delivery, work).await {
            Ok(Ok(Verdict::Done)) => true,
            Ok(Ok(Verdict::Again { after_seconds, why, .. })) => {
                info!(after_seconds, why, "the message comes back");
                self.again_after(delivery, after_seconds.min(WAIT_SECONDS_MAX)).await;
                false
            }
            Ok(Ok(Verdict::SetAside { why })) => self.set_aside(delivery, &why).await,
            Ok(Err(error)) if poison => self.set_aside(delivery, &text_of(&error)).await,
            Err(panic) if poison => self.set_aside(delivery, panic_text(panic.as_ref())).await,
            Ok(Err(error)) => {
                self.metrics.note(&metrics::MESSAGES_FAILED, "", 1);
                error!(error = %text_of(&error), "the message failed and comes back");
                self.again_after(delivery, self.visibility.failed).await;
                false
            }
            Err(panic) => {
                self.metrics.note(&metrics::MESSAGES_FAILED, "", 1);
                error!(panic = panic_text(panic.as_ref()), "the handler panicked: the message comes back");
                self.again_after(delivery, self.visibility.failed).await;
                false
            }
        }
    }

    /// Runs `work`, and tells the queue beside it that it goes on. Work never waits for that.
    async fn kept_invisible<T>(&self, delivery: &Delivery, work: impl Future<Output = T>) -> T {
        let renew = async {
            loop {
                self.again_after(delivery, self.visibility.working).await;
                tokio::time::sleep(self.visibility.renewed).await;
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            () = renew => unreachable!("it renews until it is dropped"),
        }
    }

    /// Without this, the queue's own time-out holds: the message comes back later than it was meant to, but it does.
    async fn again_after(&self, delivery: &Delivery, seconds: u32) {
        if let Err(error) = self.deliveries.again_after(delivery, seconds).await {
            warn!(error = %text_of(&error), seconds, "the message's visibility could not be changed");
        }
    }

    /// Moves a message to the dead-letter queue by hand: the redrive policy would move it after as many deliveries as a message may
    /// legitimately have, which takes days. Where it cannot be moved, that policy is what is left; the wait makes it calm.
    async fn set_aside(&self, delivery: &Delivery, why: &str) -> bool {
        self.metrics.note(&metrics::MESSAGES_SET_ASIDE, "", 1);
        error!(why, body = delivery.body, "the message can never succeed and is set aside");
        match self.deliveries.set_aside(delivery, why).await {
            Ok(()) => true,
            Err(error) => {
                warn!(error = %text_of(&error), "it could not be moved to the dead-letter queue and comes back");
                self.again_after(delivery, self.visibility.stuck).await;
                false
            }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// A number among the attributes that SQS adds to a message.
fn attribute<T: std::str::FromStr>(record: &SqsMessage, name: &str) -> Option<T> {
    record.attributes.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests;
