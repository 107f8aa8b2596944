//! The input of `trigger`: messages whose bodies are S3 events, or an S3 event by itself.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use pipeline::messages::{Turn, Verdict};
use pipeline::ports::PortError;
use pipeline::words::InputObject;
use serde_json::Value;
use tracing::error;

use super::{Deliveries, NoMessageId, Worker};
use crate::events::{Dropped, dropped, dropped_value};

/// Why an invocation with an S3 event by itself, or with something else, is a failed one: Lambda invokes again, and in the end
/// hands the event to the function's destination for failures.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// See [`NoMessageId`].
    #[error(transparent)]
    NoMessageId(#[from] NoMessageId),
    /// It has records of SQS, but cannot be read as such.
    #[error("the event is none of SQS: {0}")]
    NotSqs(#[from] serde_json::Error),
    /// The storage or a queue could not do it.
    #[error(transparent)]
    Port(#[from] PortError),
    /// It has to be tried again later.
    #[error("to be tried again in {after_seconds} s: {why}")]
    Again {
        /// Seconds.
        after_seconds: u32,
        /// Reason.
        why: String,
    },
    /// It can never succeed.
    #[error("it can never succeed: {why}")]
    Never {
        /// Reason.
        why: String,
    },
}

impl<D: Deliveries> Worker<D> {
    /// Hands every object that the event drops to the handler. `invocation` stands for the message's id where there is no message.
    pub async fn drops<H, F>(
        &self,
        event: Value,
        invocation: &str,
        ends_at: Timestamp,
        handler: H,
    ) -> Result<SqsBatchResponse, NotDone>
    where
        H: Fn(InputObject, Turn) -> F,
        F: Future<Output = Result<Verdict, PortError>>,
    {
        if is_sqs(&event) {
            let event: SqsEvent = serde_json::from_value(event)?;
            let handler = |body: String, turn| each(dropped(&body), turn, &handler);
            return Ok(self.batch(event, ends_at, handler).await?);
        }
        let turn = Turn { message_id: invocation.to_owned(), sent_at: self.clock().now(), receives: 1, ends_at };
        match each(dropped_value(event), turn, &handler).await? {
            Verdict::Done => Ok(SqsBatchResponse::default()),
            Verdict::Again { after_seconds, why, .. } => Err(NotDone::Again { after_seconds, why }),
            Verdict::SetAside { why } => Err(NotDone::Never { why }),
        }
    }
}

fn is_sqs(event: &Value) -> bool {
    let source = event.get("Records").and_then(|records| records.get(0)?.get("eventSource")?.as_str());
    source == Some("aws:sqs")
}

/// Works on all objects, and sums up. In practice there is one: S3 puts one record into an event.
async fn each<H, F>(dropped: Dropped, turn: Turn, handler: &H) -> Result<Verdict, PortError>
where
    H: Fn(InputObject, Turn) -> F,
    F: Future<Output = Result<Verdict, PortError>>,
{
    let Dropped { objects, malformed } = dropped;
    let mut sum = Ok(Verdict::Done);
    for object in objects {
        let result = Box::pin(handler(object, turn.clone())).await;
        sum = worse(sum, result);
    }
    if malformed.is_empty() {
        return sum;
    }
    worse(sum, Ok(Verdict::SetAside { why: format!("not an S3 event: {}", malformed.join("; ")) }))
}

/// What the whole message is told: as long as one object has to be tried again, it comes back. Those that are done stay done.
fn worse(one: Result<Verdict, PortError>, other: Result<Verdict, PortError>) -> Result<Verdict, PortError> {
    let weight = |result: &Result<Verdict, PortError>| match result {
        Ok(Verdict::Done) => 0,
        Ok(Verdict::SetAside { .. }) => 1,
        // The sooner one.
        Ok(Verdict::Again { after_seconds, .. }) => 2 + u64::from(u32::MAX - after_seconds),
        Err(_) => u64::MAX,
    };
    let (less, more) = if weight(&one) >= weight(&other) { (other, one) } else { (one, other) };
    match &less {
        // Only one of them can be handed on.
        Err(less) => error!(error = %crate::text_of(less), "another object of the same message failed, too"),
        Ok(Verdict::SetAside { why }) => error!(why, "another object of the same message can never succeed"),
        Ok(_) => {}
    }
    more
}
