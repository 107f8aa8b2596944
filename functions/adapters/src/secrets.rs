//! The API token in Secrets Manager.

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use pipeline::ports::PortError;
use secrecy::SecretString;
use serde_json::Value;

use crate::aws::failed;
use crate::dca::ReadToken;

/// A secret that holds the token, as plain text or as JSON with the key `token`.
pub struct TokenSecret {
    client: Client,
    id: String,
}

impl TokenSecret {
    /// The secret with this name or ARN.
    pub fn new(client: Client, id: impl Into<String>) -> Self {
        Self { client, id: id.into() }
    }
}

#[async_trait]
impl ReadToken for TokenSecret {
    async fn read(&self) -> Result<SecretString, PortError> {
        let what = || format!("read the API token from the secret {}", self.id);
        let get = self.client.get_secret_value().secret_id(&self.id).send().await;
        let output = get.map_err(|error| failed(what(), &error))?;
        token(output.secret_string().unwrap_or_default()).map_err(|why| PortError::new(what(), why))
    }
}

/// The token in the text of a secret. No error repeats any of the text.
fn token(text: &str) -> Result<SecretString, &'static str> {
    let text = text.trim();
    let token = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => match fields.get("token") {
            Some(Value::String(token)) => token.trim().to_owned(),
            _ => return Err("it is JSON without a text under the key \"token\""),
        },
        Ok(Value::String(token)) => token,
        Err(_) if text.starts_with('{') => return Err("it begins like JSON, but is none"),
        _ => text.to_owned(),
    };
    match token.as_str() {
        "" => Err("it is empty"),
        token if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(token.into()),
        _ => Err("it has spaces or other characters that no token has"),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_is_text_or_json() {
        for text in ["abc-123", " abc-123\n", r#"{"token":"abc-123","other":1}"#, "\"abc-123\""] {
            assert_eq!(token(text).unwrap().expose_secret(), "abc-123", "{text}");
        }
        assert_eq!(token("1234567890").unwrap().expose_secret(), "1234567890");
        for text in ["", "{}", r#"{"token":7}"#, r#"{"token":""}"#, "abc 123", "{\"token\":\"abc-123\"", "ab\u{fc}"] {
            let why = token(text).unwrap_err();
            assert!(!why.contains("abc"), "{why}");
        }
    }
}
