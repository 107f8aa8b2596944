//! The queues.

use std::collections::BTreeSet;

use async_trait::async_trait;
use dropcollect::queue::Received;
use pipeline::ports::{PortError, QueueName, Queues};

use super::{Outcome, Report, checks, holds, same};

/// The other end of the queues, which the pipeline itself has no port for: the event source receives for it.
#[async_trait]
pub trait QueueProbe: Send + Sync {
    /// The end that is checked.
    fn queues(&self) -> &dyn Queues;
    /// Receives a message that is visible now, and hides it for `visibility` seconds. `None` only if there is none.
    async fn receive(&self, queue: QueueName, visibility: u32) -> Result<Option<Received>, PortError>;
    /// Hides a message that was received for `seconds` from now.
    async fn change_visibility(&self, queue: QueueName, receipt: &str, seconds: u32) -> Result<(), PortError>;
    /// Deletes a message that was received.
    async fn delete(&self, queue: QueueName, receipt: &str) -> Result<(), PortError>;
    /// Lets time pass, or waits for it.
    async fn pass(&self, seconds: u32);
}

/// Hides a message for longer than any check takes.
const LONG: u32 = 300;

/// All checks of the queues. Nobody else may receive from them meanwhile, and what is in them is lost.
pub async fn check_queues(adapter: &str, probe: &dyn QueueProbe) -> Report {
    let checks = checks![
        probe,
        what_is_sent_is_received_as_it_was,
        queues_are_apart,
        ten_messages_are_sent_at_once,
        no_messages_and_eleven_are_refused,
        a_large_body_comes_back_whole,
        a_delay_is_honoured,
        a_delay_above_fifteen_minutes_is_refused,
        what_is_not_deleted_comes_again,
        visibility_can_be_changed,
        what_is_deleted_is_gone,
    ];
    Report::of(adapter, checks).await
}

async fn send(probe: &dyn QueueProbe, queue: QueueName, body: &str, delay: u32) -> Result<(), PortError> {
    probe.queues().send(queue, &[body.to_owned()], delay).await
}

/// Deletes what can be received, and says the bodies.
async fn drain(probe: &dyn QueueProbe, queue: QueueName) -> Result<Vec<String>, PortError> {
    let mut bodies = Vec::new();
    while let Some(received) = probe.receive(queue, LONG).await? {
        probe.delete(queue, &received.receipt).await?;
        bodies.push(received.body);
    }
    Ok(bodies)
}

async fn receive(probe: &dyn QueueProbe, visibility: u32) -> Result<Received, PortError> {
    let received = probe.receive(QueueName::Poll, visibility).await?;
    received.ok_or_else(|| PortError::new("receive", "there is no message"))
}

async fn what_is_sent_is_received_as_it_was(probe: &dyn QueueProbe) -> Outcome {
    drain(probe, QueueName::Poll).await?;
    let body = "{\"text\":\"ä 日 \\u0000 & <tag> 'q' %20\"}\n\t ";
    send(probe, QueueName::Poll, body, 0).await?;
    let received = receive(probe, LONG).await?;
    same("body", received.body.as_str(), body)?;
    same("receive count", received.receive_count, 1)?;
    holds(!received.message_id.is_empty(), || "no message id".to_owned())?;
    probe.delete(QueueName::Poll, &received.receipt).await?;
    Ok(())
}

async fn queues_are_apart(probe: &dyn QueueProbe) -> Outcome {
    drain(probe, QueueName::Poll).await?;
    drain(probe, QueueName::Retry).await?;
    send(probe, QueueName::Retry, "retry", 0).await?;
    same("poll", drain(probe, QueueName::Poll).await?, Vec::<String>::new())?;
    holds(drain(probe, QueueName::Retry).await?.contains(&"retry".to_owned()), || "it is in neither queue".to_owned())
}

async fn ten_messages_are_sent_at_once(probe: &dyn QueueProbe) -> Outcome {
    drain(probe, QueueName::Poll).await?;
    let bodies: Vec<_> = (0..10).map(|at| format!("message {at}")).collect();
    probe.queues().send(QueueName::Poll, &bodies, 0).await?;
    let (mut ids, mut seen) = (BTreeSet::new(), BTreeSet::new());
    while let Some(received) = probe.receive(QueueName::Poll, LONG).await? {
        probe.delete(QueueName::Poll, &received.receipt).await?;
        ids.insert(received.message_id);
        seen.insert(received.body);
    }
    same("bodies", seen.into_iter().collect::<Vec<_>>(), bodies)?;
    same("message ids", ids.len(), 10)
}

async fn no_messages_and_eleven_are_refused(probe: &dyn QueueProbe) -> Outcome {
    for count in [0, 11] {
        let bodies = vec!["x".to_owned(); count];
        let sent = probe.queues().send(QueueName::Poll, &bodies, 0).await;
        holds(sent.is_err(), || format!("{count} messages were taken"))?;
    }
    drain(probe, QueueName::Poll).await.map(drop)?;
    Ok(())
}

async fn a_large_body_comes_back_whole(probe: &dyn QueueProbe) -> Outcome {
    drain(probe, QueueName::Poll).await?;
    let body: String = (0..200_000).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
    send(probe, QueueName::Poll, &body, 0).await?;
    holds(drain(probe, QueueName::Poll).await?.contains(&body), || "it did not come back as it was".to_owned())
}

async fn a_delay_is_honoured(probe: &dyn QueueProbe) -> Outcome {
    drain(probe, QueueName::Poll).await?;
    send(probe, QueueName::Poll, "late", 4).await?;
    same("at once", drain(probe, QueueName::Poll).await?, Vec::<String>::new())?;
    probe.pass(5).await;
    holds(drain(probe, QueueName::Poll).await?.contains(&"late".to_owned()), || "it did not come".to_owned())
}

async fn a_delay_above_fifteen_minutes_is_refused(probe: &dyn QueueProbe) -> Outcome {
    send(probe, QueueName::Poll, "longest", 900).await?;
    let sent = send(probe, QueueName::Poll, "too long", 901).await;
    holds(sent.is_err(), || "a delay of 901 s was taken".to_owned())
}

async fn what_is_not_deleted_comes_again(probe: &dyn QueueProbe) -> Outcome {
    drain(probe, QueueName::Poll).await?;
    send(probe, QueueName::Poll, "again", 0).await?;
    let first = receive(probe, 3).await?;
    same("while it is in flight", probe.receive(QueueName::Poll, LONG).await?, None)?;
    probe.pass(4).await;
    let second = receive(probe, LONG).await?;
    probe.delete(QueueName::Poll, &second.receipt).await?;
    same("message id", &second.message_id, &first.message_id)?;
    same("sent at", second.sent_at, first.sent_at)?;
    same("receive counts", (first.receive_count, second.receive_count), (1, 2))?;
    holds(second.receipt != first.receipt, || "two deliveries have one receipt".to_owned())
}

async fn visibility_can_be_changed(probe: &dyn QueueProbe) -> Outcome {
    drain(probe, QueueName::Poll).await?;
    send(probe, QueueName::Poll, "longer", 0).await?;
    let first = receive(probe, 3).await?;
    probe.change_visibility(QueueName::Poll, &first.receipt, LONG).await?;
    probe.pass(4).await;
    same("after an extension", probe.receive(QueueName::Poll, LONG).await?, None)?;
    probe.change_visibility(QueueName::Poll, &first.receipt, 0).await?;
    let second = receive(probe, LONG).await?;
    probe.delete(QueueName::Poll, &second.receipt).await?;
    same("message id", second.message_id, first.message_id)
}

async fn what_is_deleted_is_gone(probe: &dyn QueueProbe) -> Outcome {
    drain(probe, QueueName::Poll).await?;
    send(probe, QueueName::Poll, "gone", 0).await?;
    let received = receive(probe, 2).await?;
    probe.delete(QueueName::Poll, &received.receipt).await?;
    // A second time is no error.
    probe.delete(QueueName::Poll, &received.receipt).await?;
    probe.pass(3).await;
    same("after its visibility", drain(probe, QueueName::Poll).await?, Vec::<String>::new())
}
