//! The dataset bucket in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pipeline::ports::{Completed, Listing, ObjectInfo, PartTag, PortError, Store, Stored, Tag, UploadId, Written};

use super::hash_of;

/// Keys of one page (S3: `MaxKeys`).
const PAGE_KEYS: usize = 1_000;
/// Longest key in bytes (S3).
const KEY_BYTES_MAX: usize = 1_024;
/// Least size of every part but the last (S3).
const PART_BYTES_MIN: usize = 5 * 1024 * 1024;
/// Greatest number of a part (S3).
const PARTS_MAX: u32 = 10_000;

/// The calls of [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum StoreCall {
    Get,
    Create,
    Replace,
    Put,
    List,
    BeginUpload,
    UploadPart,
    CompleteUpload,
    AbortUpload,
}

/// An object as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryObject {
    /// Its bytes.
    pub body: Bytes,
    /// Content type and user metadata; those of [`Store::replace`] are empty.
    pub info: ObjectInfo,
}

/// An upload that was neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// Its id.
    pub id: UploadId,
    /// The key that it is for.
    pub key: String,
    /// Bytes of the parts so far.
    pub bytes: usize,
}

/// The dataset bucket in memory. A handle: clones see the same objects. Every call takes effect at once, before its future
/// yields, so a world that wants answers to be lost or late wraps it.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    part_bytes_min: usize,
    contents: Arc<Mutex<Contents>>,
}

#[derive(Debug, Default)]
struct Contents {
    objects: BTreeMap<String, MemoryObject>,
    uploads: BTreeMap<String, Upload>,
    last_upload: u64,
    calls: BTreeMap<StoreCall, u64>,
}

#[derive(Debug)]
struct Upload {
    key: String,
    info: ObjectInfo,
    /// By number; a part that is uploaded again replaces the one before.
    parts: BTreeMap<u32, (PartTag, Bytes)>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { part_bytes_min: PART_BYTES_MIN, contents: Arc::default() }
    }

    /// An empty store that takes smaller parts than S3 does, for tests that have many parts and few bytes.
    pub fn with_part_bytes_min(part_bytes_min: usize) -> Self {
        Self { part_bytes_min, ..Self::new() }
    }

    /// A copy of everything that a reader could see now, in order of keys. Bodies are shared, not copied.
    pub fn snapshot(&self) -> BTreeMap<String, MemoryObject> {
        self.lock().objects.clone()
    }

    /// All keys that begin with `prefix`, in order, not counted as a call.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let contents = self.lock();
        let keys = contents.objects.range(prefix.to_owned()..).map(|(key, _)| key);
        keys.take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// One object, not counted as a call.
    pub fn object(&self, key: &str) -> Option<MemoryObject> {
        self.lock().objects.get(key).cloned()
    }

    /// Takes an object away, as a lifecycle rule or a person would; the pipeline never does.
    pub fn remove(&self, key: &str) -> Option<MemoryObject> {
        self.lock().objects.remove(key)
    }

    /// Uploads that were neither completed nor aborted, in the order in which they began.
    pub fn open_uploads(&self) -> Vec<OpenUpload> {
        let contents = self.lock();
        let open = |(id, upload): (&String, &Upload)| OpenUpload {
            id: UploadId(id.clone()),
            key: upload.key.clone(),
            bytes: upload.parts.values().map(|(_, body)| body.len()).sum(),
        };
        contents.uploads.iter().map(open).collect()
    }

    /// How often each call was made. Calls that were never made are missing.
    pub fn calls(&self) -> BTreeMap<StoreCall, u64> {
        self.lock().calls.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // Nothing below can panic half-way through a change.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, call: StoreCall) -> MutexGuard<'_, Contents> {
        let mut contents = self.lock();
        *contents.calls.entry(call).or_default() += 1;
        contents
    }
}

impl Contents {
    fn upload(&mut self, key: &str, upload: &UploadId) -> Option<&mut Upload> {
        self.uploads.get_mut(&upload.0).filter(|upload| upload.key == key)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Stored>, PortError> {
        let object = self.call(StoreCall::Get).objects.get(key).cloned();
        Ok(object.map(|object| Stored { tag: tag_of(&object.body), body: object.body }))
    }

    async fn create(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<Written, PortError> {
        check_key("create", key)?;
        let objects = &mut self.call(StoreCall::Create).objects;
        if objects.contains_key(key) {
            return Ok(Written::Kept);
        }
        objects.insert(key.to_owned(), MemoryObject { body, info: info.clone() });
        Ok(Written::New)
    }

    async fn replace(&self, key: &str, body: Bytes, expected: Option<&Tag>) -> Result<Written, PortError> {
        check_key("replace", key)?;
        let objects = &mut self.call(StoreCall::Replace).objects;
        if objects.get(key).map(|object| tag_of(&object.body)).as_ref() != expected {
            return Ok(Written::Kept);
        }
        objects.insert(key.to_owned(), MemoryObject { body, info: ObjectInfo::default() });
        Ok(Written::New)
    }

    async fn put(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<(), PortError> {
        check_key("put", key)?;
        self.call(StoreCall::Put).objects.insert(key.to_owned(), MemoryObject { body, info: info.clone() });
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Listing, PortError> {
        let contents = self.call(StoreCall::List);
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found = contents.objects.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key);
        let mut keys: Vec<String> =
            found.take_while(|key| key.starts_with(prefix)).take(PAGE_KEYS + 1).cloned().collect();
        let more = keys.len() > PAGE_KEYS;
        keys.truncate(PAGE_KEYS);
        Ok(Listing { keys, more })
    }

    async fn begin_upload(&self, key: &str, info: &ObjectInfo) -> Result<UploadId, PortError> {
        check_key("begin upload of", key)?;
        let mut contents = self.call(StoreCall::BeginUpload);
        contents.last_upload += 1;
        let id = format!("upload-{:08}", contents.last_upload);
        let upload = Upload { key: key.to_owned(), info: info.clone(), parts: BTreeMap::new() };
        contents.uploads.insert(id.clone(), upload);
        Ok(UploadId(id))
    }

    async fn upload_part(&self, key: &str, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, PortError> {
        let what = format!("upload part {number} of {key}");
        if !(1..=PARTS_MAX).contains(&number) {
            return Err(PortError::new(what, "a part has a number from 1 to 10,000"));
        }
        let mut contents = self.call(StoreCall::UploadPart);
        let upload = contents.upload(key, upload).ok_or_else(|| PortError::new(what, "NoSuchUpload"))?;
        let tag = PartTag(format!("{number}-{}", hash_of(&body)));
        upload.parts.insert(number, (tag.clone(), body));
        Ok(tag)
    }

    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<Completed, PortError> {
        let mut contents = self.call(StoreCall::CompleteUpload);
        let Some(found) = contents.upload(key, upload) else { return Ok(Completed::Gone) };
        let refuse = |why: &str| Err(PortError::new(format!("complete upload of {key}"), why));
        let (mut body, mut last) = (BytesMut::new(), 0);
        for (at, tag) in parts.iter().enumerate() {
            let Some((number, (_, part))) = found.parts.iter().find(|(_, (known, _))| known == tag) else {
                return refuse("InvalidPart");
            };
            if *number <= last {
                return refuse("InvalidPartOrder");
            }
            if part.len() < self.part_bytes_min && at + 1 < parts.len() {
                return refuse("EntityTooSmall");
            }
            body.extend_from_slice(part);
            last = *number;
        }
        if parts.is_empty() {
            return refuse("MalformedXML: an upload has at least one part");
        }
        let object = MemoryObject { body: body.freeze(), info: found.info.clone() };
        contents.uploads.remove(&upload.0);
        contents.objects.insert(key.to_owned(), object);
        Ok(Completed::Yes)
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), PortError> {
        let mut contents = self.call(StoreCall::AbortUpload);
        if contents.upload(key, upload).is_some() {
            contents.uploads.remove(&upload.0);
        }
        Ok(())
    }
}

fn tag_of(body: &[u8]) -> Tag {
    Tag(hash_of(body))
}

fn check_key(call: &str, key: &str) -> Result<(), PortError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(PortError::new(format!("{call} {key}"), "a key has 1 to 1,024 bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_are_as_picky_as_those_of_s3() {
        let store = MemoryStore::with_part_bytes_min(3);
        let upload = store.begin_upload("a", &ObjectInfo::default()).await.unwrap();
        let mut tags = Vec::new();
        for (number, body) in [(1, "one"), (2, "2"), (3, "three")] {
            tags.push(store.upload_part("a", &upload, number, body.into()).await.unwrap());
        }
        let why = async |parts: &[&PartTag]| {
            let parts: Vec<_> = parts.iter().map(|tag| (*tag).clone()).collect();
            store.complete_upload("a", &upload, &parts).await.unwrap_err().source.to_string()
        };
        assert_eq!(why(&[&tags[0], &tags[1], &tags[2]]).await, "EntityTooSmall");
        assert_eq!(why(&[&tags[2], &tags[0]]).await, "InvalidPartOrder");
        assert_eq!(why(&[&PartTag("1-0".into())]).await, "InvalidPart");
        assert_eq!(store.open_uploads()[0].bytes, 9);
        let parts = [tags[0].clone(), tags[1].clone()];
        assert_eq!(store.complete_upload("a", &upload, &parts).await.unwrap(), Completed::Yes);
        assert_eq!(store.object("a").unwrap().body, "one2");
        assert_eq!(store.calls()[&StoreCall::CompleteUpload], 4);
    }
}
