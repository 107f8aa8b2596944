//! What the environment of a function says to its clients of AWS.
//!
//! Lambda gives region and credentials in variables that do not change while the process lives. The SDK's own loading also looks for
//! profiles, containers, single sign-on and instance metadata: code that no function uses, and time of every cold start.

use std::str::FromStr;

use aws_config::SdkConfig;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_sdk_s3::config::{AppName, Region, SharedCredentialsProvider};
use aws_types::sdk_config::Builder;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// Reads a variable.
type Lookup = fn(&str) -> Option<String>;

/// A configuration with all that may stand in variables, under the names that all SDKs know ("AWS SDKs and Tools Reference Guide",
/// "Environment variables support"); credentials are read from the process's environment when they are needed.
pub(super) fn sdk(lookup: Lookup) -> Builder {
    let variables = Variables(lookup);
    let region = variables.text("AWS_REGION").or_else(|| variables.text("AWS_DEFAULT_REGION"));
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut sdk = SdkConfig::builder().region(region.map(Region::new));
    sdk.set_credentials_provider(Some(SharedCredentialsProvider::new(credentials)))
        .set_use_fips(variables.parsed("AWS_USE_FIPS_ENDPOINT"))
        .set_use_dual_stack(variables.parsed("AWS_USE_DUALSTACK_ENDPOINT"))
        .set_request_checksum_calculation(variables.parsed("AWS_REQUEST_CHECKSUM_CALCULATION"))
        .set_response_checksum_validation(variables.parsed("AWS_RESPONSE_CHECKSUM_VALIDATION"))
        .set_app_name(variables.text("AWS_SDK_UA_APP_ID").and_then(|name| AppName::new(name).ok()))
        .set_endpoint_url(variables.text("AWS_ENDPOINT_URL"));
    sdk.service_config(variables)
}

/// The environment; a variable that is empty or cannot be understood counts as not set.
#[derive(Debug)]
struct Variables(Lookup);

impl Variables {
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn parsed<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.to_ascii_lowercase().parse().ok()
    }
}

/// What is said about one service, such as in `AWS_ENDPOINT_URL_SECRETS_MANAGER`, goes before what is said about all.
impl LoadServiceConfig for Variables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_ascii_uppercase().replace(' ', "_");
        self.text(&format!("{}_{service}", key.env())).or_else(|| self.text(key.env()))
    }
}

#[cfg(test)]
mod tests {
    use aws_config::BehaviorVersion;

    use super::*;
    use crate::aws::Aws;

    fn set(name: &str) -> Option<String> {
        let value = match name {
            "AWS_REGION" => "eu-west-1",
            "AWS_DEFAULT_REGION" => "eu-west-2",
            "AWS_ENDPOINT_URL" => "http://127.0.0.1:4566",
            "AWS_ENDPOINT_URL_S3" => "http://127.0.0.1:1",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER" => "http://127.0.0.1:2",
            "AWS_USE_FIPS_ENDPOINT" => "TRUE",
            "AWS_USE_DUALSTACK_ENDPOINT" => "maybe",
            "AWS_REQUEST_CHECKSUM_CALCULATION" => "WHEN_REQUIRED",
            "AWS_SDK_UA_APP_ID" => "harvest",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn endpoint(lookup: Lookup, service: &str) -> Option<String> {
        let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
        Variables(lookup).load_config(key.build().unwrap())
    }

    #[test]
    fn what_is_said_about_a_service_goes_before_what_is_said_about_all() {
        assert_eq!(endpoint(set, "S3").unwrap(), "http://127.0.0.1:1");
        assert_eq!(endpoint(set, "SQS").unwrap(), "http://127.0.0.1:4566");
        assert_eq!(endpoint(set, "Secrets Manager").unwrap(), "http://127.0.0.1:2");
        assert_eq!(endpoint(|_| Some("  ".to_owned()), "S3"), None);
    }

    #[test]
    fn the_variables_of_the_sdks_are_known() {
        let config = sdk(set).behavior_version(BehaviorVersion::v2026_01_12()).build();
        assert_eq!(config.region().unwrap().as_ref(), "eu-west-1");
        assert_eq!(config.endpoint_url(), Some("http://127.0.0.1:4566"));
        assert_eq!((config.use_fips(), config.use_dual_stack()), (Some(true), None));
        assert_eq!(config.request_checksum_calculation(), "when_required".parse().ok());
        assert_eq!(config.response_checksum_validation(), None);
        assert_eq!(config.app_name().unwrap().as_ref(), "harvest");
        assert_eq!(Aws::new(config, true).sqs().config().region().unwrap().as_ref(), "eu-west-1");
        let unset = sdk(|name| (name == "AWS_DEFAULT_REGION").then(|| "eu-west-2".to_owned())).build();
        assert_eq!((unset.region().unwrap().as_ref(), unset.endpoint_url()), ("eu-west-2", None));
    }
}
