//! The event loop of a function: Lambda's runtime around a [`Worker`].

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use pipeline::messages::{Turn, Verdict};
use pipeline::ports::{Clock, PortError};
use pipeline::words::InputObject;
use serde::Serialize;
use serde_json::Value;

use super::drops::NotDone;
use super::{Deliveries, NoMessageId, Worker, ends_at};
use crate::emf::Emf;
use crate::text_of;

/// Hands messages to the handler until Lambda ends the process; metrics are told at the end of each turn.
pub async fn serve_queue<D, H, F>(worker: &Worker<D>, metrics: &Emf, handler: H) -> Result<(), Error>
where
    D: Deliveries,
    H: Fn(String, Turn) -> F,
    F: Future<Output = Result<Verdict, PortError>>,
{
    let handler = &handler;
    let invoked = |event: LambdaEvent<SqsEvent>| async move {
        let ends_at = ends_at(event.context.deadline, worker.clock().now());
        let done = worker.batch(event.payload, ends_at, handler).await;
        metrics.flush(worker.clock().now());
        done
    };
    run(service_fn(invoked)).await
}

/// Hands dropped objects to the handler until Lambda ends the process; metrics as above.
pub async fn serve_drops<D, H, F>(worker: &Worker<D>, metrics: &Emf, handler: H) -> Result<(), Error>
where
    D: Deliveries,
    H: Fn(InputObject, Turn) -> F,
    F: Future<Output = Result<Verdict, PortError>>,
{
    let handler = &handler;
    let invoked = |event: LambdaEvent<Value>| async move {
        let ends_at = ends_at(event.context.deadline, worker.clock().now());
        let done = worker.drops(event.payload, &event.context.request_id, ends_at, handler).await;
        metrics.flush(worker.clock().now());
        done
    };
    run(service_fn(invoked)).await
}

/// Runs the handler whenever the schedule says so, until Lambda ends the process; metrics as above. What the event holds does not
/// matter.
pub async fn serve_schedule<T, H, F>(clock: &dyn Clock, metrics: &Emf, handler: H) -> Result<(), Error>
where
    T: Serialize,
    H: Fn(Turn) -> F,
    F: Future<Output = Result<T, PortError>>,
{
    let handler = &handler;
    let invoked = |event: LambdaEvent<Value>| async move {
        let (message_id, sent_at) = (event.context.request_id, clock.now());
        let turn = Turn { message_id, sent_at, receives: 1, ends_at: ends_at(event.context.deadline, sent_at) };
        let done = handler(turn).await.map_err(NotDone::from);
        metrics.flush(clock.now());
        done
    };
    run(service_fn(invoked)).await
}

/// What Lambda reports of a failed invocation. The type is what alarms and destinations can tell apart.
impl From<NotDone> for Diagnostic {
    fn from(error: NotDone) -> Self {
        let error_type = match &error {
            NotDone::NoMessageId(_) => "NoMessageId",
            NotDone::NotSqs(_) => "NotSqs",
            NotDone::Port(_) => "Port",
            NotDone::Again { .. } => "Again",
            NotDone::Never { .. } => "Never",
        };
        Self { error_type: error_type.to_owned(), error_message: text_of(&error) }
    }
}

impl From<NoMessageId> for Diagnostic {
    fn from(error: NoMessageId) -> Self {
        NotDone::from(error).into()
    }
}
