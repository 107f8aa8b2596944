//! A deployed stack, and what a test asks of its buckets and queues.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use aws_sdk_sqs::types::Message;
use aws_sdk_sqs::types::QueueAttributeName::{
    ApproximateNumberOfMessages, ApproximateNumberOfMessagesDelayed, ApproximateNumberOfMessagesNotVisible,
};
use jiff::Timestamp;
use pipeline::words::InputObject;
use serde_json::{Value, json};

/// The queues that functions work on, by their outputs.
pub const QUEUES: [&str; 3] = ["InputQueueUrl", "PollQueueUrl", "RetryQueueUrl"];
/// The queues of what could not be acted on, by their outputs.
pub const DEAD_LETTER_QUEUES: [&str; 3] =
    ["InputDeadLetterQueueUrl", "PollDeadLetterQueueUrl", "RetryDeadLetterQueueUrl"];

/// A deployed stack.
pub struct Stack {
    outputs: BTreeMap<String, String>,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
}

/// An object that was dropped.
pub struct Dropped {
    /// The object.
    pub object: InputObject,
    /// The S3 event that was sent for it, to be sent again.
    pub event: String,
}

impl Stack {
    /// A stack with these outputs.
    pub fn new(outputs: BTreeMap<String, String>, s3: aws_sdk_s3::Client, sqs: aws_sdk_sqs::Client) -> Self {
        Self { outputs, s3, sqs }
    }

    /// One output.
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map_or_else(|| panic!("the stack has no output {name}"), String::as_str)
    }

    /// Drops a file.
    pub async fn drop_file(&self, key: &str, body: String) -> Result<Dropped> {
        let (bucket, bytes) = (self.output("InputBucket"), body.len());
        let put = self.s3.put_object().bucket(bucket).key(key).body(body.into_bytes().into()).send().await?;
        let version = put.version_id().context("no version")?;
        let object = serde_json::from_value(json!({"bucket": bucket, "key": key, "version_id": version}))?;
        let encode = |byte: u8| match byte {
            b' ' => "+".to_owned(),
            plain if plain.is_ascii_alphanumeric() || b"/.-_".contains(&plain) => char::from(plain).to_string(),
            other => format!("%{other:02X}"),
        };
        let event = json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": "ObjectCreated:Put",
            "eventTime": Timestamp::now().to_string(),
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": {"name": bucket, "arn": format!("arn:aws:s3:::{bucket}")},
                "object": {
                    "key": key.bytes().map(encode).collect::<String>(), "size": bytes, "sequencer": "00",
                    "eTag": put.e_tag().context("no ETag")?.trim_matches('"'), "versionId": version,
                },
            },
        }]});
        Ok(Dropped { object, event: event.to_string() })
    }

    /// Sends a message to a queue, by its output.
    pub async fn send(&self, queue: &str, body: &str) -> Result<()> {
        self.sqs.send_message().queue_url(self.output(queue)).message_body(body).send().await?;
        Ok(())
    }

    /// All keys of the dataset bucket that begin with `prefix`, with their ETags.
    pub async fn keys(&self, prefix: &str) -> Result<BTreeMap<String, String>> {
        let list = self.s3.list_objects_v2().bucket(self.output("DatasetBucket")).prefix(prefix);
        let mut pages = list.into_paginator().send();
        let mut keys = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page?;
            let objects = page.contents().iter();
            keys.extend(objects.filter_map(|object| Some((object.key()?.to_owned(), object.e_tag()?.to_owned()))));
        }
        Ok(keys)
    }

    /// An object of the dataset bucket.
    pub async fn text(&self, key: &str) -> Result<String> {
        let found = self.s3.get_object().bucket(self.output("DatasetBucket")).key(key).send().await;
        let bytes = found.with_context(|| key.to_owned())?.body.collect().await?.into_bytes();
        Ok(String::from_utf8(bytes.into())?)
    }

    /// Writes an object of the dataset bucket.
    pub async fn put(&self, key: &str, body: &Value) -> Result<()> {
        let body = serde_json::to_vec(body)?;
        self.s3.put_object().bucket(self.output("DatasetBucket")).key(key).body(body.into()).send().await?;
        Ok(())
    }

    /// Takes an object of the dataset bucket away, and gives what was in it.
    pub async fn take(&self, key: &str) -> Result<Value> {
        let body = serde_json::from_str(&self.text(key).await?)?;
        self.s3.delete_object().bucket(self.output("DatasetBucket")).key(key).send().await?;
        Ok(body)
    }

    /// The manifests that there are: each with the folder of its run.
    pub async fn manifests(&self) -> Result<Vec<(String, Value)>> {
        let mut manifests = Vec::new();
        for key in self.keys("output/").await?.into_keys() {
            if let Some(folder) = key.strip_suffix("manifest.json") {
                manifests.push((folder.to_owned(), serde_json::from_str(&self.text(&key).await?)?));
            }
        }
        Ok(manifests)
    }

    /// Messages of a queue, in whatever state; by its output.
    pub async fn waiting(&self, queue: &str) -> Result<u64> {
        let names =
            [ApproximateNumberOfMessages, ApproximateNumberOfMessagesDelayed, ApproximateNumberOfMessagesNotVisible];
        let asked =
            self.sqs.get_queue_attributes().queue_url(self.output(queue)).set_attribute_names(Some(names.into()));
        let answer = asked.send().await?;
        let counts = answer.attributes().into_iter().flatten().filter_map(|(_, count)| count.parse::<u64>().ok());
        Ok(counts.sum())
    }

    /// Messages of all queues that functions work on.
    pub async fn all_waiting(&self) -> Result<u64> {
        let mut messages = 0;
        for queue in QUEUES {
            messages += self.waiting(queue).await?;
        }
        Ok(messages)
    }

    /// The messages of a dead-letter queue, by its output: what each says, and the reason that it was set aside for.
    pub async fn set_aside(&self, queue: &str) -> Result<Vec<(String, String)>> {
        let taken = self.received(queue).await?;
        for message in &taken {
            let receipt = message.receipt_handle().context("no receipt")?;
            let shown = self.sqs.change_message_visibility().queue_url(self.output(queue)).receipt_handle(receipt);
            shown.visibility_timeout(0).send().await?;
        }
        let said = |message: Message| {
            let reason = message.message_attributes()?.get("reason")?.string_value()?.to_owned();
            Some((message.body?, reason))
        };
        taken.into_iter().map(|message| said(message).context("a message without a reason")).collect()
    }

    /// Moves the messages of a dead-letter queue back, both by their outputs, as `start-message-move-task` does (MiniStack has none): the
    /// same text under a new id.
    pub async fn redrive(&self, dead_letters: &str, queue: &str) -> Result<()> {
        for message in self.received(dead_letters).await? {
            self.send(queue, message.body().context("no body")?).await?;
            let receipt = message.receipt_handle().context("no receipt")?;
            let delete = self.sqs.delete_message().queue_url(self.output(dead_letters)).receipt_handle(receipt);
            delete.send().await?;
        }
        Ok(())
    }

    /// At most ten messages of a queue, which nobody else sees for some seconds.
    async fn received(&self, queue: &str) -> Result<Vec<Message>> {
        let receive = self.sqs.receive_message().queue_url(self.output(queue)).message_attribute_names("All");
        let received = receive.max_number_of_messages(10).visibility_timeout(30).send().await?;
        Ok(received.messages.unwrap_or_default())
    }
}
