//! The text of the secret that holds the token.

use adapters::dca::ReadToken;
use adapters::secrets::TokenSecret;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use secrecy::ExposeSecret;

use crate::bytes::{text, wait};

/// Answers every call with this body.
#[derive(Debug, Clone)]
struct Answers(String);

impl HttpConnector for Answers {
    fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
        let status = 200_u16.try_into().expect("200 is a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, self.0.clone().into())))
    }
}

impl HttpClient for Answers {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The text of a secret.
pub fn secret(bytes: &[u8]) {
    let text = text(bytes);
    let body = serde_json::json!({ "Name": "token", "SecretString": text }).to_string();
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(Answers(body))
        .build();
    match wait(TokenSecret::new(Client::from_conf(config), "the-secret").read()) {
        Ok(token) => {
            let token = token.expose_secret();
            assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()), "{token:?}");
            let plain = text.trim() == token;
            assert!(plain || within(&text, token), "{token} is the secret's");
            assert!(!token.starts_with('{'), "half a JSON is no token: {token}");
        }
        Err(error) => {
            let why = format!("{error}: {} {error:?}", error.source);
            let told = text.trim();
            let common = ["token", "JSON", "it is empty", "text"].into_iter().any(|word| word.contains(told));
            assert!(told.len() < 8 || common || !why.contains(told), "the text is not told: {why}");
        }
    }
}

/// Whether the text is JSON that names this token.
fn within(text: &str, token: &str) -> bool {
    let named = serde_json::from_str::<serde_json::Value>(text.trim()).unwrap_or_default();
    named.get("token").unwrap_or(&named).as_str().is_some_and(|named| named.trim() == token)
}
