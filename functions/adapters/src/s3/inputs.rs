use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use pipeline::ports::{Chunks, Inputs, OpenInput, PortError};
use pipeline::words::InputObject;

use super::{cut, failed};
use crate::aws::status;

/// Input buckets in S3: the object names its own.
pub struct S3Inputs {
    client: Client,
}

impl S3Inputs {
    /// All buckets that this client may read.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Inputs for S3Inputs {
    async fn open(&self, object: &InputObject) -> Result<Option<OpenInput>, PortError> {
        // "null" names whatever was written without versioning, so only its ETag is exact.
        let exact = object.version_id.as_deref().is_some_and(|version| version != "null");
        let etag = object.etag.as_deref().filter(|_| !exact).map(|etag| format!("\"{}\"", etag.trim_matches('"')));
        let get = self.client.get_object().bucket(&object.bucket).key(&object.key);
        let output = match get.set_version_id(object.version_id.clone()).set_if_match(etag).send().await {
            Ok(output) => output,
            // 404: no such key or version; 405: that version is a delete marker; 412: another ETag.
            Err(error) if matches!(status(&error), Some(404 | 405 | 412)) && !no_bucket(&error) => return Ok(None),
            Err(error) => return Err(failed("open", &object.key, &error)),
        };
        let mut opened = object.clone();
        if opened.etag.is_none() && opened.version_id.is_none() {
            // Where the event says either, it stays: it makes the run.
            opened.version_id = output.version_id;
        }
        opened.etag = opened.etag.or_else(|| output.e_tag.map(|etag| etag.trim_matches('"').to_owned()));
        opened.bytes = output.content_length.and_then(|bytes| u64::try_from(bytes).ok()).or(opened.bytes);
        let metadata = output.metadata.unwrap_or_default().into_iter();
        let metadata = metadata.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let body = Box::new(Body { key: object.key.clone(), stream: Some(output.body) });
        Ok(Some(OpenInput { object: opened, metadata, body }))
    }
}

/// A bucket that is not there is a mistake of the deployment, not a missing object.
fn no_bucket<E: aws_sdk_s3::error::ProvideErrorMetadata>(error: &E) -> bool {
    error.code() == Some("NoSuchBucket")
}

/// A body on its way; `None` once it has ended, well or not.
struct Body {
    key: String,
    stream: Option<ByteStream>,
}

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        while let Some(stream) = &mut self.stream {
            match stream.next().await {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => return Ok(Some(chunk)),
                None => self.stream = None,
                Some(Err(error)) => {
                    self.stream = None;
                    return Err(cut("read", &self.key, error));
                }
            }
        }
        Ok(None)
    }
}
