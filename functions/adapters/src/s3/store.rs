use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use pipeline::ports::{Completed, Listing, ObjectInfo, PartTag, PortError, Store, Stored, Tag, UploadId, Written};

use super::{conditional, cut, failed};
use crate::aws::status;

/// The dataset bucket in S3.
pub struct S3Store {
    client: Client,
    /// Resends nothing, for conditional writes.
    once: Client,
    bucket: String,
}

impl S3Store {
    /// A store in this bucket.
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        let once = client.config().to_builder().retry_config(RetryConfig::disabled()).build();
        Self { once: Client::from_conf(once), client, bucket: bucket.into() }
    }

    /// An address that opens an object for so long, to whoever has it.
    pub async fn address(&self, key: &str, opens_for: Duration) -> Result<String, PortError> {
        let what = || format!("sign an address of {key}");
        let config = PresigningConfig::expires_in(opens_for).map_err(|error| PortError::new(what(), error))?;
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        let signed = get.presigned(config).await.map_err(|error| failed("sign an address of", key, &error))?;
        Ok(signed.uri().to_owned())
    }

    fn write(&self, client: &Client, key: &str, body: Bytes, info: &ObjectInfo) -> PutObjectFluentBuilder {
        client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .body(body.into())
            .content_type(content_type(info))
            // A page is written again under the same address.
            .set_cache_control(info.content_type.starts_with("text/html").then(|| "no-cache".to_owned()))
            .set_metadata(metadata(info))
    }
}

#[async_trait]
impl Store for S3Store {
    async fn get(&self, key: &str) -> Result<Option<Stored>, PortError> {
        let output = match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(output) => output,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => return Ok(None),
            Err(error) => return Err(failed("get", key, &error)),
        };
        let tag = Tag(output.e_tag.unwrap_or_default());
        let body = output.body.collect().await.map_err(|error| cut("get", key, error))?.into_bytes();
        Ok(Some(Stored { body, tag }))
    }

    async fn create(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<Written, PortError> {
        let once = || self.write(&self.once, key, body.clone(), info).if_none_match("*").send();
        conditional::put("create", key, once).await
    }

    async fn replace(&self, key: &str, body: Bytes, expected: Option<&Tag>) -> Result<Written, PortError> {
        let info = ObjectInfo::of("application/json");
        let once = || {
            let write = self.write(&self.once, key, body.clone(), &info);
            match expected {
                Some(tag) => write.if_match(&tag.0).send(),
                None => write.if_none_match("*").send(),
            }
        };
        conditional::put("replace", key, once).await
    }

    async fn put(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<(), PortError> {
        let write = self.write(&self.client, key, body, info);
        write.send().await.map(|_| ()).map_err(|error| failed("put", key, &error))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Listing, PortError> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).max_keys(1_000);
        let output = list
            .set_start_after(after.map(str::to_owned))
            .send()
            .await
            .map_err(|error| failed("list", prefix, &error))?;
        let more = output.is_truncated.unwrap_or(false);
        let keys = output.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect();
        Ok(Listing { keys, more })
    }

    async fn begin_upload(&self, key: &str, info: &ObjectInfo) -> Result<UploadId, PortError> {
        let begin = self.client.create_multipart_upload().bucket(&self.bucket).key(key);
        let output = begin
            .content_type(content_type(info))
            .set_metadata(metadata(info))
            .send()
            .await
            .map_err(|error| failed("begin the upload of", key, &error))?;
        let id = output.upload_id.filter(|id| !id.is_empty());
        id.map(UploadId).ok_or_else(|| PortError::new(format!("begin the upload of {key}"), "S3 gave no upload id"))
    }

    async fn upload_part(&self, key: &str, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, PortError> {
        let what = format!("upload part {number} of");
        let output = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(&upload.0)
            .part_number(part_number(number))
            .body(body.into())
            .send()
            .await
            .map_err(|error| failed(&what, key, &error))?;
        output.e_tag.map(PartTag).ok_or_else(|| PortError::new(format!("{what} {key}"), "S3 gave no ETag"))
    }

    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<Completed, PortError> {
        if parts.is_empty() {
            // S3 refuses it, too; not every service that speaks S3 does.
            return Err(PortError::new(format!("complete the upload of {key}"), "it has no parts"));
        }
        let parts = (1..).zip(parts).map(|(number, tag)| {
            CompletedPart::builder().part_number(part_number(number)).e_tag(tag.0.clone()).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let complete = self.client.complete_multipart_upload().bucket(&self.bucket).key(key);
        match complete.upload_id(&upload.0).multipart_upload(parts).send().await {
            Ok(_) => Ok(Completed::Yes),
            // S3 says NoSuchUpload; the resend of a completion whose answer was lost may be told so, too.
            Err(error) if status(&error) == Some(404) => Ok(Completed::Gone),
            Err(error) => Err(failed("complete the upload of", key, &error)),
        }
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), PortError> {
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(key);
        match abort.upload_id(&upload.0).send().await {
            Ok(_) => Ok(()),
            Err(error) if status(&error) == Some(404) => Ok(()),
            Err(error) => Err(failed("abort the upload of", key, &error)),
        }
    }
}

fn part_number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn content_type(info: &ObjectInfo) -> &str {
    if info.content_type.is_empty() { "application/octet-stream" } else { &info.content_type }
}

fn metadata(info: &ObjectInfo) -> Option<HashMap<String, String>> {
    let pairs = info.metadata.iter().map(|(name, value)| (name.clone(), value.clone()));
    (!info.metadata.is_empty()).then(|| pairs.collect())
}
