//! The buckets: [`S3Store`] is the dataset bucket, [`S3Inputs`] the input bucket.

mod conditional;
mod inputs;
mod store;

pub use inputs::S3Inputs;
pub use store::S3Store;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStreamError;
use pipeline::ports::PortError;

/// What went wrong with `call` on `key`.
fn failed<E>(call: &str, key: &str, error: SdkError<E>) -> PortError
where
    E: std::error::Error + Send + Sync + 'static,
{
    PortError::new(format!("{call} {key}: {}", cause(&error)), error)
}

fn cut(call: &str, key: &str, error: ByteStreamError) -> PortError {
    PortError::new(format!("{call} {key}: the body broke off"), error)
}

/// The SDK's own text of an error says only which kind it is.
fn cause<E>(error: &SdkError<E>) -> String
where
    E: std::error::Error + Send + Sync + 'static,
{
    let text = aws_sdk_s3::error::DisplayErrorContext(error).to_string();
    match status(error) {
        Some(status) => format!("status {status}, {text}"),
        None => text,
    }
}

/// The HTTP status, if there was an answer.
fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}
