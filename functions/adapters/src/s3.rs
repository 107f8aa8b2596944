//! The buckets: [`S3Store`] is the dataset bucket, [`S3Inputs`] the input bucket as functions read it, [`InputBucket`] as a person writes to it.

mod conditional;
mod conditions;
mod drops;
mod inputs;
mod store;

pub use conditions::{Tried, try_conditions};
pub use drops::{InputBucket, Newest};
pub use inputs::S3Inputs;
pub use store::S3Store;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStreamError;
use pipeline::ports::PortError;

use crate::aws;

/// What went wrong with `call` on `key`.
fn failed<E>(call: &str, key: &str, error: &SdkError<E>) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    aws::failed(format!("{call} {key}"), error)
}

fn cut(call: &str, key: &str, error: ByteStreamError) -> PortError {
    PortError::new(format!("{call} {key}: the body broke off"), error)
}
