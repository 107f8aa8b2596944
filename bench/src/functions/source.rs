//! Queues as Lambda's pollers see them: in memory, and SQS.

use std::sync::Arc;
use std::time::Duration;

use adapters::lambda::{Deliveries, Delivery};
use anyhow::{Context, Result};
use async_trait::async_trait;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use dropcollect::memory::{MemoryQueue, MemoryQueues};
use dropcollect::queue::QueueSettings;
use pipeline::ports::{Clock, PortError};
use serde_json::{Value, json};

use super::Queue;

/// Visibility time-out of the queues (template.yaml).
pub(crate) const VISIBILITY_SECONDS: u32 = 5_400;

/// A message as Lambda hands it over, and what deletes it.
pub(crate) struct Taken {
    /// The event.
    pub(crate) event: Value,
    /// Names the delivery.
    pub(crate) receipt: String,
}

/// Where messages come from.
#[async_trait]
pub(crate) trait Source: Send + Sync {
    /// Receives one message, if there is one.
    async fn receive(&self, queue: Queue) -> Result<Option<Taken>>;
    /// Deletes a message that is done with.
    async fn delete(&self, queue: Queue, receipt: &str) -> Result<()>;
    /// How long to sleep before there can be another one; `None` when there will be none.
    fn next(&self, queue: Queue) -> Option<Duration>;
}

/// The three queues in memory.
#[derive(Clone)]
pub(crate) struct MemorySource {
    pub(crate) input: MemoryQueue,
    pub(crate) queues: MemoryQueues,
    clock: Arc<dyn Clock>,
}

impl MemorySource {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let settings = QueueSettings::default();
        Self { input: MemoryQueue::new("input", settings), queues: MemoryQueues::new(clock.clone(), settings), clock }
    }

    fn queue(&self, queue: Queue) -> &MemoryQueue {
        match queue {
            Queue::Input => &self.input,
            Queue::Poll => &self.queues.poll,
            Queue::Retry => &self.queues.retry,
        }
    }

    fn of(&self, delivery: &Delivery) -> &MemoryQueue {
        let name = delivery.queue_arn.rsplit(':').next().unwrap_or_default();
        Queue::ALL.into_iter().find(|queue| queue.name() == name).map_or(&self.input, |queue| self.queue(queue))
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn receive(&self, queue: Queue) -> Result<Option<Taken>> {
        let received = self.queue(queue).receive(self.clock.now(), VISIBILITY_SECONDS);
        Ok(received.map(|received| Taken {
            event: event(
                queue,
                &received.message_id,
                &received.receipt,
                &received.body,
                &[
                    ("ApproximateReceiveCount", received.receive_count.to_string()),
                    ("SentTimestamp", received.sent_at.as_millisecond().to_string()),
                ],
            ),
            receipt: received.receipt,
        }))
    }

    async fn delete(&self, queue: Queue, receipt: &str) -> Result<()> {
        self.queue(queue).delete(receipt);
        Ok(())
    }

    fn next(&self, queue: Queue) -> Option<Duration> {
        let next = self.queue(queue).next_visible_at()?;
        Some(next.duration_since(self.clock.now()).try_into().unwrap_or_default())
    }
}

#[async_trait]
impl Deliveries for MemorySource {
    async fn again_after(&self, delivery: &Delivery, seconds: u32) -> Result<(), PortError> {
        self.of(delivery).change_visibility(self.clock.now(), &delivery.receipt, seconds);
        Ok(())
    }

    async fn set_aside(&self, delivery: &Delivery, why: &str) -> Result<(), PortError> {
        self.of(delivery).set_aside(&delivery.receipt, why);
        Ok(())
    }
}

fn event(queue: Queue, id: &str, receipt: &str, body: &str, attributes: &[(&str, String)]) -> Value {
    let attributes: Value = attributes.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
    json!({"Records": [{
        "messageId": id, "receiptHandle": receipt, "body": body, "attributes": attributes, "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{}", queue.name()), "awsRegion": "us-east-1",
    }]})
}

/// The three queues in SQS, by their names.
pub(crate) struct SqsSource {
    client: aws_sdk_sqs::Client,
    urls: [String; 3],
}

impl SqsSource {
    /// Makes the queues, and works on them with another client.
    pub(crate) async fn make(maker: &aws_sdk_sqs::Client, client: aws_sdk_sqs::Client) -> Result<Self> {
        let mut urls = [const { String::new() }; 3];
        for (queue, url) in Queue::ALL.into_iter().zip(&mut urls) {
            let made = maker.create_queue().queue_name(queue.name()).send().await?;
            *url = made.queue_url().context("a queue without an address")?.to_owned();
        }
        Ok(Self { client, urls })
    }

    pub(crate) fn url(&self, queue: Queue) -> &str {
        &self.urls[queue as usize]
    }
}

#[async_trait]
impl Source for SqsSource {
    async fn receive(&self, queue: Queue) -> Result<Option<Taken>> {
        use MessageSystemAttributeName::{ApproximateReceiveCount, SentTimestamp};
        let visibility = i32::try_from(VISIBILITY_SECONDS)?;
        let receive = self.client.receive_message().queue_url(self.url(queue)).visibility_timeout(visibility);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All).send().await?;
        let Some(message) = receive.messages().first() else { return Ok(None) };
        let attribute = |name: MessageSystemAttributeName| {
            let value = message.attributes().and_then(|attributes| attributes.get(&name)).cloned();
            value.map(|value| (name.as_str().to_owned(), value))
        };
        let attributes: Vec<_> = [ApproximateReceiveCount, SentTimestamp].into_iter().filter_map(attribute).collect();
        let attributes: Vec<_> = attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let (id, receipt, body) = (text(message.message_id()), text(message.receipt_handle()), text(message.body()));
        Ok(Some(Taken { event: event(queue, &id, &receipt, &body, &attributes), receipt }))
    }

    async fn delete(&self, queue: Queue, receipt: &str) -> Result<()> {
        self.client.delete_message().queue_url(self.url(queue)).receipt_handle(receipt).send().await?;
        Ok(())
    }

    fn next(&self, _: Queue) -> Option<Duration> {
        Some(Duration::from_millis(250))
    }
}
