//! Files that a person drops into an input bucket, from outside of the pipeline.

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use bytes::Bytes;
use pipeline::ports::{PortError, Written};

use super::{conditional, failed};
use crate::aws::status;

/// An input bucket to drop files into.
pub struct InputBucket {
    client: Client,
    /// Conditional writes do their own resends.
    once: Client,
    name: String,
}

/// The newest version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its version, in a bucket that has versions.
    pub version_id: Option<String>,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its user metadata.
    pub metadata: BTreeMap<String, String>,
}

impl InputBucket {
    /// The bucket of this name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        let once = client.config().to_builder().retry_config(RetryConfig::disabled()).build();
        Self { once: Client::from_conf(once), client, name: name.into() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands under a key.
    pub async fn newest(&self, key: &str) -> Result<Option<Newest>, PortError> {
        let head = match self.client.head_object().bucket(&self.name).key(key).send().await {
            Ok(head) => head,
            Err(error) if status(&error) == Some(404) => return Ok(None),
            Err(error) => return Err(failed("look at", key, &error)),
        };
        Ok(Some(Newest {
            version_id: head.version_id,
            etag: head.e_tag.unwrap_or_default().trim_matches('"').to_owned(),
            metadata: head.metadata.unwrap_or_default().into_iter().collect(),
        }))
    }

    /// Drops a file, unless something else stands under the key by now than `over`. S3 takes 5 GB in one request.
    pub async fn drop_file(
        &self,
        key: &str,
        body: Bytes,
        metadata: &BTreeMap<String, String>,
        over: Option<&Newest>,
    ) -> Result<Written, PortError> {
        let once = || {
            let put = self.once.put_object().bucket(&self.name).key(key).body(body.clone().into());
            let put = put.set_metadata(Some(metadata.clone().into_iter().collect()));
            match over {
                Some(newest) => put.if_match(format!("\"{}\"", newest.etag)).send(),
                None => put.if_none_match("*").send(),
            }
        };
        conditional::put("drop", key, once).await
    }
}
