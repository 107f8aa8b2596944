//! Whether a service that speaks S3 keeps what the ledger relies on: a write with `If-None-Match: *` is refused where there is an object.
//! Amazon's does; of others, some take the header and write all the same.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use pipeline::ports::PortError;

use super::failed;
use crate::aws::status;

/// What came of trying it out.
#[derive(Debug)]
pub struct Tried {
    /// Whether the second write was refused.
    pub honoured: bool,
    /// Why the object that was written is still there, if it is.
    pub left: Option<PortError>,
}

/// Writes a small object under `key`, which has to be free, tries to write it once more, and deletes what was written, version by version
/// where the bucket keeps versions. Needs `s3:PutObject`, and `s3:DeleteObject` (with versions `s3:DeleteObjectVersion`).
pub async fn try_conditions(client: &Client, bucket: &str, key: &str) -> Result<Tried, PortError> {
    // A resend after a lost answer would meet the object that it has written itself.
    let once = Client::from_conf(client.config().to_builder().retry_config(RetryConfig::disabled()).build());
    let put = || once.put_object().bucket(bucket).key(key).if_none_match("*").body(b"{}".to_vec().into()).send();
    let first = put().await.map_err(|error| failed("create", key, &error))?;
    let second = put().await;
    let mut written = vec![first.version_id];
    let honoured = match second {
        Ok(output) => {
            written.push(output.version_id);
            Ok(false)
        }
        Err(error) if status(&error) == Some(412) => Ok(true),
        Err(error) => Err(failed("create again", key, &error)),
    };
    let mut left = None;
    for version in written {
        let delete = client.delete_object().bucket(bucket).key(key).set_version_id(version).send().await;
        left = delete.err().map(|error| failed("delete", key, &error)).or(left);
    }
    honoured.map(|honoured| Tried { honoured, left })
}
