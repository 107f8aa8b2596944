//! The input bucket.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pipeline::ports::{Inputs, PortError};
use pipeline::words::InputObject;

use super::{Outcome, Report, checks, holds, same};

/// The other end of the input bucket, which the pipeline itself cannot write to.
#[async_trait]
pub trait InputsProbe: Send + Sync {
    /// The end that is checked.
    fn inputs(&self) -> &dyn Inputs;
    /// Drops a file, and says what the event would.
    async fn put(&self, key: &str, body: Bytes, metadata: &BTreeMap<String, String>) -> Result<InputObject, PortError>;
    /// Takes the file of this key away.
    async fn remove(&self, key: &str) -> Result<(), PortError>;
}

/// All checks of an input bucket.
pub async fn check_inputs(adapter: &str, probe: &dyn InputsProbe) -> Report {
    let checks = checks![
        probe,
        an_object_is_opened_as_it_is,
        an_empty_object_ends_at_once,
        a_large_object_comes_back_whole,
        keys_may_have_any_letters,
        what_is_not_there_is_none,
        an_etag_names_one_object,
        what_was_replaced_is_never_taken_for_the_new_one,
        what_was_removed_is_none_or_as_it_was,
    ];
    Report::of(adapter, checks).await
}

async fn put(probe: &dyn InputsProbe, key: &str, body: impl Into<Bytes>) -> Result<InputObject, PortError> {
    probe.put(key, body.into(), &BTreeMap::new()).await
}

/// The whole body; `None` when the object cannot be opened.
async fn read(probe: &dyn InputsProbe, object: &InputObject) -> Result<Option<Bytes>, PortError> {
    let Some(mut input) = probe.inputs().open(object).await? else { return Ok(None) };
    let mut body = BytesMut::new();
    while let Some(piece) = input.body.next().await? {
        if piece.is_empty() {
            return Err(PortError::new("next", "a piece is empty"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body.freeze()))
}

async fn an_object_is_opened_as_it_is(probe: &dyn InputsProbe) -> Outcome {
    let metadata = BTreeMap::from([("collector", "c_abc123"), ("queue-next", "1")]);
    let metadata = metadata.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let object = probe.put("folder/plain.txt", "https://example.com\n".into(), &metadata).await?;
    same("bytes in the event", object.bytes, Some(20))?;
    // An event may know less than the bucket.
    for asked in [object.clone(), InputObject { bytes: None, ..object.clone() }] {
        let mut input = probe.inputs().open(&asked).await?.ok_or("it cannot be opened")?;
        same("metadata", &input.metadata, &metadata)?;
        same("object", input.object.run(), object.run())?;
        same("bytes", input.object.bytes, Some(20))?;
        same("ETag", &input.object.etag, &object.etag)?;
        same("version", &input.object.version_id, &object.version_id)?;
        same("body", input.body.next().await?, Some(Bytes::from("https://example.com\n")))?;
        same("end", input.body.next().await?, None)?;
    }
    Ok(())
}

async fn an_empty_object_ends_at_once(probe: &dyn InputsProbe) -> Outcome {
    let object = put(probe, "empty.csv", "").await?;
    same("body", read(probe, &object).await?, Some(Bytes::new()))
}

async fn a_large_object_comes_back_whole(probe: &dyn InputsProbe) -> Outcome {
    let body: Bytes = (0..6 * 1024 * 1024_u32).map(|at| (at % 251) as u8).collect();
    let object = put(probe, "large.csv", body.clone()).await?;
    holds(read(probe, &object).await? == Some(body), || "it did not come back as it was".to_owned())
}

async fn keys_may_have_any_letters(probe: &dyn InputsProbe) -> Outcome {
    for key in ["a b+c%20d.csv", "Größe/日本.csv", "c_abc123/it's (1) & more=2?.txt"] {
        let object = put(probe, key, key).await?;
        same("key", object.key.as_str(), key)?;
        same("body", read(probe, &object).await?, Some(Bytes::from(key)))?;
    }
    Ok(())
}

async fn what_is_not_there_is_none(probe: &dyn InputsProbe) -> Outcome {
    let object = put(probe, "there.csv", "a").await?;
    let other = InputObject { key: "not-there.csv".to_owned(), version_id: None, ..object };
    same("body", read(probe, &other).await?, None::<Bytes>)
}

async fn an_etag_names_one_object(probe: &dyn InputsProbe) -> Outcome {
    let object = put(probe, "etag.csv", "a").await?;
    let other = Some("00000000000000000000000000000000".to_owned());
    let stranger = InputObject { version_id: None, etag: other, ..object.clone() };
    same("another ETag", read(probe, &stranger).await?, None::<Bytes>)?;
    let newest = InputObject { version_id: None, etag: None, ..object };
    same("no ETag", read(probe, &newest).await?, Some(Bytes::from("a")))
}

async fn what_was_replaced_is_never_taken_for_the_new_one(probe: &dyn InputsProbe) -> Outcome {
    let old = put(probe, "replaced.csv", "old").await?;
    let new = put(probe, "replaced.csv", "new").await?;
    holds(old.run() != new.run(), || "two drops give one run".to_owned())?;
    let kept = old.version_id.is_some().then(|| Bytes::from("old"));
    same("old", read(probe, &old).await?, kept)?;
    same("new", read(probe, &new).await?, Some(Bytes::from("new")))
}

async fn what_was_removed_is_none_or_as_it_was(probe: &dyn InputsProbe) -> Outcome {
    let object = put(probe, "removed.csv", "a").await?;
    probe.remove("removed.csv").await?;
    let body = read(probe, &object).await?;
    let is_kept = object.version_id.is_some() && body.as_deref() == Some(b"a");
    holds(body.is_none() || is_kept, || "it is something else".to_owned())
}
