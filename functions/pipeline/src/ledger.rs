//! The ledger: the pipeline's own durable records, each written once. State is never stored; it follows from which records exist.
//! Records are contracts with earlier and later releases: fields are added, never renamed, and every record says its version.

mod fates;
mod runs;
mod sends;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use fates::*;
pub use runs::*;
pub use sends::*;

use crate::ports::{ObjectInfo, PortError, Store, Written};

/// Version of the records that are written.
pub const VERSION: u32 = 1;

/// Reads a record; `None` when there is none.
pub async fn read<T: DeserializeOwned>(store: &dyn Store, key: &str) -> Result<Option<T>, PortError> {
    let Some(stored) = store.get(key).await? else { return Ok(None) };
    serde_json::from_slice(&stored.body)
        .map(Some)
        .map_err(|error| PortError::new(format!("the record {key} is not readable by this release"), error))
}

/// Whether an object is there, without reading it.
pub async fn exists(store: &dyn Store, key: &str) -> Result<bool, PortError> {
    Ok(store.list(key, None).await?.keys.first().is_some_and(|first| first == key))
}

/// Reads a record that must be there, because a record that exists names it.
pub async fn read_known<T: DeserializeOwned>(store: &dyn Store, key: &str) -> Result<T, PortError> {
    read(store, key)
        .await?
        .ok_or_else(|| PortError::new(format!("the record {key} is missing"), "it was deleted by somebody else"))
}

/// Writes a record unless it exists.
pub async fn write_once<T: Serialize>(store: &dyn Store, key: &str, record: &T) -> Result<Written, PortError> {
    store.create(key, encode(key, record)?, &ObjectInfo::of("application/json")).await
}

/// Writes a record unless it exists, and returns the one that stands.
pub async fn settle<T: Serialize + DeserializeOwned>(store: &dyn Store, key: &str, record: T) -> Result<T, PortError> {
    match write_once(store, key, &record).await? {
        Written::New => Ok(record),
        Written::Kept => read_known(store, key).await,
    }
}

/// The JSON text of a record.
pub fn encode<T: Serialize>(key: &str, record: &T) -> Result<Bytes, PortError> {
    serde_json::to_vec(record).map(Bytes::from).map_err(|error| PortError::new(format!("cannot write {key}"), error))
}

/// All keys below a prefix.
pub async fn list_all(store: &dyn Store, prefix: &str) -> Result<Vec<String>, PortError> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let page = store.list(prefix, keys.last().map(String::as_str)).await?;
        let more = page.more && !page.keys.is_empty();
        keys.extend(page.keys);
        if !more {
            return Ok(keys);
        }
    }
}
