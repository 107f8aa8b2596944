//! The queues: [`SqsQueues`] sends, [`SqsDeliveries`] does what a handler's verdict asks of the message that it worked on.

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName, SendMessageBatchRequestEntry};
use pipeline::ports::{PortError, QueueName, Queues};
use serde::Deserialize;

use crate::aws::failed;
use crate::lambda::{Deliveries, Delivery};

/// Messages of one call (SQS quota).
const MESSAGES_MAX: usize = 10;
/// Longest delay of a message (SQS quota).
const DELAY_SECONDS_MAX: u32 = 900;

/// The poll queue and the retry queue in SQS.
pub struct SqsQueues {
    client: Client,
    poll: String,
    retry: String,
}

impl SqsQueues {
    /// Queues by their URLs. An empty one is not configured: sending there is an error.
    pub fn new(client: Client, poll_url: impl Into<String>, retry_url: impl Into<String>) -> Self {
        Self { client, poll: poll_url.into(), retry: retry_url.into() }
    }
}

#[async_trait]
impl Queues for SqsQueues {
    async fn send(&self, queue: QueueName, bodies: &[String], delay_seconds: u32) -> Result<(), PortError> {
        let url = match queue {
            QueueName::Poll => &self.poll,
            QueueName::Retry => &self.retry,
        };
        let what = || format!("send {} messages to {url}", bodies.len());
        if url.is_empty() {
            return Err(PortError::new(format!("send to the {queue:?} queue"), "its URL is not configured"));
        }
        if bodies.is_empty() || bodies.len() > MESSAGES_MAX || delay_seconds > DELAY_SECONDS_MAX {
            // SQS refuses it, too; not every service that speaks SQS does.
            return Err(PortError::new(
                what(),
                format!("1 to {MESSAGES_MAX}, delayed by {DELAY_SECONDS_MAX} s at most"),
            ));
        }
        let delay = i32::try_from(delay_seconds).unwrap_or(i32::MAX);
        if let [body] = bodies {
            let send = self.client.send_message().queue_url(url).message_body(body).delay_seconds(delay).send().await;
            return send.map(|_| ()).map_err(|error| failed(what(), &error));
        }
        let entries = bodies.iter().enumerate().map(|(index, body)| {
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string());
            entry.message_body(body).delay_seconds(delay).build().map_err(|error| PortError::new(what(), error))
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let send = self.client.send_message_batch().queue_url(url).set_entries(Some(entries)).send();
        let sent = send.await.map_err(|error| failed(what(), &error))?;
        match sent.failed() {
            [] if sent.successful().len() == bodies.len() => Ok(()),
            [] => Err(PortError::new(what(), "the answer does not name all of them")),
            [first, ..] => {
                let why = first.message().unwrap_or_else(|| first.code());
                Err(PortError::new(what(), format!("{} were not sent: {why}", sent.failed().len())))
            }
        }
    }
}

/// Messages that Lambda has received for a function.
pub struct SqsDeliveries {
    client: Client,
}

impl SqsDeliveries {
    /// Messages of any queue that this client may use.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Where the queue's redrive policy sends what is received too often.
    async fn dead_letter_queue(&self, queue_url: &str) -> Result<String, PortError> {
        let looked = look(&self.client, queue_url).await?.dead_letter_queue;
        let none = || PortError::new(format!("find the dead-letter queue of {queue_url}"), "it has no redrive policy");
        looked.ok_or_else(none)
    }
}

/// What a queue says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLook {
    /// Messages that may be received now. This and the next two are approximate, as SQS says.
    pub visible: u64,
    /// Messages that somebody works on, or that wait with an extended visibility.
    pub in_flight: u64,
    /// Messages that are to be delivered later.
    pub delayed: u64,
    /// For how long a received message is hidden from others, in seconds.
    pub visibility_seconds: u64,
    /// URL of the queue for what is received too often, if it has one.
    pub dead_letter_queue: Option<String>,
}

impl QueueLook {
    /// All messages.
    pub fn messages(&self) -> u64 {
        self.visible.saturating_add(self.in_flight).saturating_add(self.delayed)
    }
}

/// Asks for a queue's attributes: needs `sqs:GetQueueAttributes`, and changes nothing. A number that the answer does not have is 0.
pub async fn look(client: &Client, queue_url: &str) -> Result<QueueLook, PortError> {
    let what = || format!("get the attributes of {queue_url}");
    let get = client.get_queue_attributes().queue_url(queue_url).attribute_names(QueueAttributeName::All).send();
    let answer = get.await.map_err(|error| failed(what(), &error))?;
    let attribute = |name| answer.attributes().and_then(|attributes| attributes.get(&name));
    let number = |name| attribute(name).and_then(|number| number.parse().ok()).unwrap_or_default();
    let dead_letter_queue = match attribute(QueueAttributeName::RedrivePolicy) {
        Some(policy) => {
            let policy: RedrivePolicy = serde_json::from_str(policy).map_err(|error| PortError::new(what(), error))?;
            Some(queue_url_of(&policy.dead_letter_target_arn)?)
        }
        None => None,
    };
    Ok(QueueLook {
        visible: number(QueueAttributeName::ApproximateNumberOfMessages),
        in_flight: number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        delayed: number(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
        visibility_seconds: number(QueueAttributeName::VisibilityTimeout),
        dead_letter_queue,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
}

#[async_trait]
impl Deliveries for SqsDeliveries {
    async fn again_after(&self, delivery: &Delivery, seconds: u32) -> Result<(), PortError> {
        let url = queue_url_of(&delivery.queue_arn)?;
        let change = self.client.change_message_visibility().queue_url(&url).receipt_handle(&delivery.receipt);
        let change = change.visibility_timeout(i32::try_from(seconds).unwrap_or(i32::MAX)).send().await;
        change.map(|_| ()).map_err(|error| failed(format!("change the visibility of {}", delivery.message_id), &error))
    }

    async fn set_aside(&self, delivery: &Delivery, why: &str) -> Result<(), PortError> {
        let url = self.dead_letter_queue(&queue_url_of(&delivery.queue_arn)?).await?;
        let what = format!("set {} aside in {url}", delivery.message_id);
        let text = |value: &str| {
            let attribute = MessageAttributeValue::builder().data_type("String").string_value(value);
            attribute.build().map_err(|error| PortError::new(what.clone(), error))
        };
        let send = self.client.send_message().queue_url(&url).message_body(&delivery.body);
        let send = send.message_attributes("reason", text(why)?);
        let send = send.message_attributes("message-id", text(&delivery.message_id)?).send().await;
        send.map(|_| ()).map_err(|error| failed(what.clone(), &error))
    }
}

/// The URL of a queue that is known by its ARN, as events name it. SQS finds the queue by the path; the request itself goes to the
/// client's endpoint.
fn queue_url_of(arn: &str) -> Result<String, PortError> {
    let parts: Vec<_> = arn.split(':').collect();
    let &["arn", partition, "sqs", region, account, name] = parts.as_slice() else {
        return Err(PortError::new(format!("find the queue {arn:?}"), "it is no ARN of a queue"));
    };
    let suffix = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    Ok(format!("https://sqs.{region}.{suffix}/{account}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_found_by_its_arn() {
        let table = [
            ("arn:aws:sqs:eu-west-1:123456789012:poll", "https://sqs.eu-west-1.amazonaws.com/123456789012/poll"),
            ("arn:aws-cn:sqs:cn-north-1:1:q", "https://sqs.cn-north-1.amazonaws.com.cn/1/q"),
            ("arn:aws-us-gov:sqs:us-gov-west-1:1:q", "https://sqs.us-gov-west-1.amazonaws.com/1/q"),
        ];
        for (arn, url) in table {
            assert_eq!(queue_url_of(arn).unwrap(), url);
        }
        for arn in ["", "poll", "arn:aws:sns:eu-west-1:1:topic"] {
            assert!(queue_url_of(arn).is_err(), "{arn}");
        }
    }
}
