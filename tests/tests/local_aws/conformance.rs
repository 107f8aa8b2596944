//! Every adapter of a port against the suite of that port.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use adapters::s3::{S3Inputs, S3Store};
use adapters::sqs::SqsQueues;
use anyhow::{Context, Result};
use async_trait::async_trait;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_sdk_sqs::operation::delete_message::DeleteMessageError;
use aws_sdk_sqs::types::MessageSystemAttributeName::{self, ApproximateReceiveCount, SentTimestamp};
use bytes::Bytes;
use dropcollect::clock::VirtualClock;
use dropcollect::folder::{FolderInputs, FolderStore};
use dropcollect::lock::FolderLock;
use dropcollect::memory::{MemoryInputs, MemoryQueues, MemoryStore};
use dropcollect::queue::{FolderQueues, QueueSettings, Received};
use dropcollect_tests::cloud::Cloud;
use dropcollect_tests::conformance::{InputsProbe, QueueProbe, check_inputs, check_queues, check_store};
use jiff::Timestamp;
use pipeline::ports::{Clock, Inputs, PortError, QueueName, Queues};
use pipeline::words::InputObject;
use tempfile::TempDir;

fn now() -> Timestamp {
    Timestamp::constant(1_767_323_045, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn store_in_memory() {
    check_store("MemoryStore", Arc::new(MemoryStore::new()), "").await.assert();
}

#[tokio::test(flavor = "multi_thread")]
async fn store_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(&FolderLock::take(folder.path()).unwrap().without_sync());
    check_store("FolderStore", Arc::new(store), "").await.assert();
}

struct InMemory {
    queues: MemoryQueues,
    clock: VirtualClock,
}

#[async_trait]
impl QueueProbe for InMemory {
    fn queues(&self) -> &dyn Queues {
        &self.queues
    }

    async fn receive(&self, queue: QueueName, visibility: u32) -> Result<Option<Received>, PortError> {
        Ok(self.queues.queue(queue).receive(self.clock.now(), visibility))
    }

    async fn change_visibility(&self, queue: QueueName, receipt: &str, seconds: u32) -> Result<(), PortError> {
        self.queues.queue(queue).change_visibility(self.clock.now(), receipt, seconds);
        Ok(())
    }

    async fn delete(&self, queue: QueueName, receipt: &str) -> Result<(), PortError> {
        self.queues.queue(queue).delete(receipt);
        Ok(())
    }

    async fn pass(&self, seconds: u32) {
        self.clock.advance(seconds);
    }
}

#[tokio::test]
async fn queues_in_memory() {
    let clock = VirtualClock::at(now());
    let queues = MemoryQueues::new(Arc::new(clock.clone()), QueueSettings::default());
    check_queues("MemoryQueues", &InMemory { queues, clock }).await.assert();
}

struct InAFolder {
    queues: FolderQueues,
    clock: VirtualClock,
}

#[async_trait]
impl QueueProbe for InAFolder {
    fn queues(&self) -> &dyn Queues {
        &self.queues
    }

    async fn receive(&self, queue: QueueName, visibility: u32) -> Result<Option<Received>, PortError> {
        self.queues.queue(queue).receive(self.clock.now(), visibility)
    }

    async fn change_visibility(&self, queue: QueueName, receipt: &str, seconds: u32) -> Result<(), PortError> {
        self.queues.queue(queue).change_visibility(self.clock.now(), receipt, seconds);
        Ok(())
    }

    async fn delete(&self, queue: QueueName, receipt: &str) -> Result<(), PortError> {
        self.queues.queue(queue).delete(receipt).map(drop)
    }

    async fn pass(&self, seconds: u32) {
        self.clock.advance(seconds);
    }
}

#[tokio::test]
async fn queues_in_a_folder() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), VirtualClock::at(now()));
    let queues = FolderQueues::open(&FolderLock::take(folder.path()).unwrap(), Arc::new(clock.clone())).unwrap();
    check_queues("FolderQueues", &InAFolder { queues, clock }).await.assert();
}

#[async_trait]
impl InputsProbe for Dropped<MemoryInputs> {
    fn inputs(&self) -> &dyn Inputs {
        &self.inputs
    }

    async fn put(&self, key: &str, body: Bytes, metadata: &BTreeMap<String, String>) -> Result<InputObject, PortError> {
        Ok(self.inputs.put("in", key, body, metadata, now()))
    }

    async fn remove(&self, key: &str) -> Result<(), PortError> {
        self.inputs.remove("in", key);
        Ok(())
    }
}

struct Dropped<T> {
    inputs: T,
    folder: TempDir,
}

#[async_trait]
impl InputsProbe for Dropped<FolderInputs> {
    fn inputs(&self) -> &dyn Inputs {
        &self.inputs
    }

    async fn put(&self, key: &str, body: Bytes, metadata: &BTreeMap<String, String>) -> Result<InputObject, PortError> {
        let path = self.folder.path().join(key.replace('/', "-"));
        fs::write(&path, body).map_err(|error| PortError::new("put", error))?;
        self.inputs.add(key, &path, metadata.clone(), now()).await
    }

    async fn remove(&self, key: &str) -> Result<(), PortError> {
        fs::remove_file(self.folder.path().join(key)).map_err(|error| PortError::new("remove", error))
    }
}

#[tokio::test]
async fn inputs_in_memory() {
    for inputs in [MemoryInputs::versioned(), MemoryInputs::unversioned()] {
        let probe = Dropped { inputs, folder: tempfile::tempdir().unwrap() };
        check_inputs("MemoryInputs", &probe).await.assert();
    }
}

#[tokio::test]
async fn inputs_in_a_folder() {
    let probe = Dropped { inputs: FolderInputs::new("local"), folder: tempfile::tempdir().unwrap() };
    check_inputs("FolderInputs", &probe).await.assert();
}

#[tokio::test(flavor = "multi_thread")]
async fn store_in_s3() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    cloud.s3().create_bucket().bucket("datasets").send().await?;
    check_store("S3Store", Arc::new(S3Store::new(cloud.s3(), "datasets")), "").await.assert();
    Ok(())
}

struct InSqs {
    queues: SqsQueues,
    client: aws_sdk_sqs::Client,
    poll: String,
    retry: String,
}

impl InSqs {
    async fn new(cloud: &Cloud) -> Result<Self> {
        let client = cloud.sqs();
        let mut urls = Vec::new();
        for name in ["poll", "retry"] {
            let made = client.create_queue().queue_name(name).send().await?;
            urls.push(made.queue_url.context("no URL")?);
        }
        let [poll, retry] = urls.try_into().ok().context("two queues")?;
        Ok(Self { queues: SqsQueues::new(client.clone(), &poll, &retry), client, poll, retry })
    }

    fn url(&self, queue: QueueName) -> &str {
        match queue {
            QueueName::Poll => &self.poll,
            QueueName::Retry => &self.retry,
        }
    }
}

#[async_trait]
impl QueueProbe for InSqs {
    fn queues(&self) -> &dyn Queues {
        &self.queues
    }

    async fn receive(&self, queue: QueueName, visibility: u32) -> Result<Option<Received>, PortError> {
        // A poll that waits asks all hosts of a queue; one that does not may miss a message that is there.
        let receive = self.client.receive_message().queue_url(self.url(queue)).wait_time_seconds(1);
        let receive = receive.visibility_timeout(visibility.cast_signed());
        let names = [ApproximateReceiveCount, SentTimestamp];
        let received = receive.set_message_system_attribute_names(Some(names.into())).send().await;
        let received = received.map_err(|error| PortError::new("receive", error))?;
        received.messages.unwrap_or_default().into_iter().next().map(as_received).transpose()
    }

    async fn change_visibility(&self, queue: QueueName, receipt: &str, seconds: u32) -> Result<(), PortError> {
        let change = self.client.change_message_visibility().queue_url(self.url(queue)).receipt_handle(receipt);
        let changed = change.visibility_timeout(seconds.cast_signed()).send().await;
        changed.map(drop).map_err(|error| PortError::new("change the visibility", error))
    }

    async fn delete(&self, queue: QueueName, receipt: &str) -> Result<(), PortError> {
        match self.client.delete_message().queue_url(self.url(queue)).receipt_handle(receipt).send().await {
            Ok(_) => Ok(()),
            // SQS answers 200 for a message that is deleted already; MiniStack knows its receipt no more.
            Err(error) if error.as_service_error().is_some_and(DeleteMessageError::is_receipt_handle_is_invalid) => {
                Ok(())
            }
            Err(error) => Err(PortError::new("delete", error)),
        }
    }

    async fn pass(&self, seconds: u32) {
        tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    }
}

fn as_received(message: aws_sdk_sqs::types::Message) -> Result<Received, PortError> {
    let number = |name: MessageSystemAttributeName| {
        let text = message.attributes.as_ref().and_then(|attributes| attributes.get(&name));
        text.and_then(|text| text.parse::<i64>().ok()).ok_or_else(|| PortError::new("receive", format!("no {name}")))
    };
    let sent_at = Timestamp::from_millisecond(number(SentTimestamp)?);
    Ok(Received {
        receive_count: number(ApproximateReceiveCount)?.try_into().unwrap_or(u32::MAX),
        sent_at: sent_at.map_err(|error| PortError::new("receive", error))?,
        message_id: message.message_id.unwrap_or_default(),
        receipt: message.receipt_handle.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
    })
}

#[tokio::test]
async fn queues_in_sqs() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    check_queues("SqsQueues", &InSqs::new(&cloud).await?).await.assert();
    Ok(())
}

struct InS3 {
    inputs: S3Inputs,
    client: aws_sdk_s3::Client,
    bucket: String,
    drops: AtomicU32,
}

#[async_trait]
impl InputsProbe for InS3 {
    fn inputs(&self) -> &dyn Inputs {
        &self.inputs
    }

    async fn put(&self, key: &str, body: Bytes, metadata: &BTreeMap<String, String>) -> Result<InputObject, PortError> {
        let bytes = body.len() as u64;
        let put = self.client.put_object().bucket(&self.bucket).key(key).body(body.into());
        let put = put.set_metadata(Some(metadata.clone().into_iter().collect())).send().await;
        let put = put.map_err(|error| PortError::new("put", error))?;
        Ok(InputObject {
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            version_id: put.version_id,
            etag: put.e_tag.map(|etag| etag.trim_matches('"').to_owned()),
            // Only an event has it.
            sequencer: Some(format!("{:016X}", self.drops.fetch_add(1, Ordering::Relaxed))),
            bytes: Some(bytes),
            dropped_at: Some(now()),
        })
    }

    async fn remove(&self, key: &str) -> Result<(), PortError> {
        let removed = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        removed.map(drop).map_err(|error| PortError::new("remove", error))
    }
}

#[tokio::test]
async fn inputs_in_s3() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let client = cloud.s3();
    for (bucket, versioned) in [("versioned", true), ("unversioned", false)] {
        client.create_bucket().bucket(bucket).send().await?;
        if versioned {
            let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            client.put_bucket_versioning().bucket(bucket).versioning_configuration(enabled).send().await?;
        }
        let inputs = S3Inputs::new(client.clone());
        let probe = InS3 { inputs, client: client.clone(), bucket: bucket.to_owned(), drops: AtomicU32::new(0) };
        check_inputs(&format!("S3Inputs, {bucket}"), &probe).await.assert();
    }
    Ok(())
}
