//! The event loop of a function: Lambda's runtime around a [`Worker`].

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use pipeline::messages::{Turn, Verdict};
use pipeline::ports::PortError;
use pipeline::words::InputObject;
use serde_json::Value;

use super::{Deliveries, Worker, ends_at};

/// Hands messages to the handler until Lambda ends the process.
pub async fn serve_queue<D, H, F>(worker: &Worker<D>, handler: H) -> Result<(), Error>
where
    D: Deliveries,
    H: Fn(String, Turn) -> F,
    F: Future<Output = Result<Verdict, PortError>>,
{
    let handler = &handler;
    let invoked = |event: LambdaEvent<SqsEvent>| async move {
        let ends_at = ends_at(event.context.deadline, worker.clock().now());
        worker.batch(event.payload, ends_at, handler).await.map_err(Error::from)
    };
    run(service_fn(invoked)).await
}

/// Hands dropped objects to the handler until Lambda ends the process.
pub async fn serve_drops<D, H, F>(worker: &Worker<D>, handler: H) -> Result<(), Error>
where
    D: Deliveries,
    H: Fn(InputObject, Turn) -> F,
    F: Future<Output = Result<Verdict, PortError>>,
{
    let handler = &handler;
    let invoked = |event: LambdaEvent<Value>| async move {
        let ends_at = ends_at(event.context.deadline, worker.clock().now());
        worker.drops(event.payload, &event.context.request_id, ends_at, handler).await.map_err(Error::from)
    };
    run(service_fn(invoked)).await
}
