//! Clients of AWS. Everything comes from the environment, as Lambda sets it: no request is made before the first call.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::config::Config;

/// What all clients share: one HTTP client with one TLS provider.
pub struct Aws {
    sdk: SdkConfig,
    s3_by_path: bool,
}

impl Aws {
    /// Reads region and credentials. `AWS_ENDPOINT_URL` and its kin are read by the SDK itself.
    pub async fn from_env(config: &Config) -> Self {
        // A version is pinned, because what the newest one retries and times out changes with an update.
        let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https())
            .retry_config(RetryConfig::standard())
            .timeout_config(timeouts())
            .load()
            .await;
        // A host name made of a bucket's name exists at Amazon only.
        Self { sdk, s3_by_path: config.s3_endpoint.is_some() }
    }

    /// The same for another SDK configuration, such as one with an endpoint and credentials for tests.
    pub fn new(sdk: SdkConfig, s3_by_path: bool) -> Self {
        Self { sdk, s3_by_path }
    }

    /// S3.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk).force_path_style(self.s3_by_path).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// SQS.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.sdk)
    }

    /// Secrets Manager.
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.sdk)
    }
}

/// The SDK has a time-out for connecting only; without these, one silent peer holds a function until it is killed. An attempt ends
/// with the head of the answer, so long downloads are not bound by it, and a part of 8 MiB has time on a slow line.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(60))
        .build()
}
