//! The ports in memory. They are deterministic: no clock of their own, no randomness, no order that differs from run to run.
//! All of them are handles; a clone sees the same contents.

mod inputs;
mod queues;
mod store;

use sha2::{Digest, Sha256};

pub use inputs::MemoryInputs;
pub use queues::{MemoryQueue, MemoryQueues};
pub use store::{MemoryObject, MemoryStore, OpenUpload, StoreCall};

/// A tag of these bytes. Equal bytes have equal tags, as they have in S3 (without encryption by customer keys).
pub fn hash_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..16])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
