//! Clients of AWS. What a function needs stands in its environment, as Lambda sets it: no request is made before the first call.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpClient, http_client_fn};

use pipeline::ports::PortError;

use crate::config::Config;
use crate::text_of;

mod roots;
mod variables;

pub use roots::BadBundle;

/// What all clients share: one HTTP client with one TLS provider.
#[derive(Debug, Clone)]
pub struct Aws {
    sdk: SdkConfig,
    s3_by_path: bool,
}

impl Aws {
    /// For somebody's machine: finds region and credentials wherever the SDK looks for them, and trusts what the system trusts, because
    /// a proxy may stand between. `AWS_ENDPOINT_URL` and its kin are read by the SDK itself.
    pub async fn from_env(config: &Config) -> Self {
        let sdk = aws_config::defaults(version())
            .http_client(http_client(TlsContext::default()))
            .retry_config(RetryConfig::standard())
            .timeout_config(timeouts());
        Self::new(sdk.load().await, config.s3_endpoint.is_some())
    }

    /// For a function: everything stands in variables, and it trusts whom they ask for, which is Amazon alone where nothing is said.
    pub fn of_function(config: &Config) -> Result<Self, BadBundle> {
        let sdk = variables::sdk(|name| std::env::var(name).ok())
            .behavior_version(version())
            .http_client(http_client(roots::of_function()?))
            .retry_config(RetryConfig::standard())
            .timeout_config(timeouts());
        Ok(Self::new(sdk.build(), config.s3_endpoint.is_some()))
    }

    /// The same for another SDK configuration, such as one with an endpoint and credentials for tests. S3 is addressed by path where it
    /// is not Amazon's: a host name made of a bucket's name exists there only.
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

    /// EventBridge.
    pub fn events(&self) -> aws_sdk_eventbridge::Client {
        aws_sdk_eventbridge::Client::new(&self.sdk)
    }

    /// Secrets Manager.
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.sdk)
    }
}

/// Pinned, because what the newest version retries and times out changes with an update.
fn version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Connects over TLS. A client that is made validates its HTTP client, for which this one of the SDK parses all certificates, once for
/// each client and once more for S3, and throws them away: a quarter of what a function does before its first event. Behind a closure
/// it has nothing to validate, and parses them for the first request.
fn http_client(tls: TlsContext) -> SharedHttpClient {
    let client = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls).build_https();
    http_client_fn(move |settings, components| client.http_connector(settings, components))
}

/// The SDK has a time-out for connecting only; without these, one silent peer holds a function until it is killed. An attempt ends
/// with the head of the answer, so long downloads are not bound by it, and a part of 8 MiB has time on a slow line.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(60))
        .build()
}

/// What came of `call`. The SDK's own texts are either two words or a page with all headers; this is the line that a person needs.
pub(crate) fn failed<E>(call: impl Into<String>, error: &SdkError<E>) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let said = match (status(error), error.code(), error.message()) {
        (Some(status), Some(code), message) => format!("{code} ({status}): {}", message.unwrap_or("no text")),
        (Some(status), None, _) => format!("{}, status {status}", text_of(error)),
        _ => text_of(error),
    };
    let request = error.meta().extra("aws_request_id").map(|id| format!(", request {id}")).unwrap_or_default();
    PortError::new(call, format!("{said}{request}"))
}

/// The HTTP status, if there was an answer.
pub(crate) fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::http::HttpResponse;
    use aws_sdk_s3::error::ErrorMetadata;
    use aws_sdk_s3::operation::get_object::GetObjectError;
    use aws_sdk_s3::primitives::SdkBody;

    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let said =
            ErrorMetadata::builder().code("AccessDenied").message("Access Denied").custom("aws_request_id", "R1");
        let mut response = HttpResponse::new(403.try_into().unwrap(), SdkBody::from("a page of XML"));
        response.headers_mut().insert("x-secret", "header");
        let error = SdkError::service_error(GetObjectError::generic(said.build()), response);
        let told = text_of(&failed("get k", &error));
        assert_eq!(told, "get k: AccessDenied (403): Access Denied, request R1");

        let error: SdkError<GetObjectError> = SdkError::timeout_error("no answer in 60 s");
        assert_eq!(text_of(&failed("get k", &error)), "get k: request has timed out: no answer in 60 s");
    }
}
