//! Every adapter of a port against the suite of that port.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dropcollect::clock::VirtualClock;
use dropcollect::folder::{FolderInputs, FolderStore};
use dropcollect::lock::FolderLock;
use dropcollect::memory::{MemoryInputs, MemoryQueues, MemoryStore};
use dropcollect::queue::{FolderQueues, QueueSettings, Received};
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
