//! A notice of the API that a collection is over: a hint to look at once, and nothing more.
//!
//! The trigger's `notify` names an address of our own (page `Trigger_a_scraper_for_batch_collection_method`). Its path says which attempt
//! it is about and ends with a code that only who knows the secret can make: notices are not signed, so whatever else comes to a public
//! address is turned away unread. What a notice says is not read either. It may be early, late, doubled, forged or missing: the schedule of
//! looks is the same with it and without it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use crate::messages::Hint;
use crate::ports::{PortError, QueueName, Queues};
use crate::words::{AttemptId, RunId};

/// Shortest secret, in bytes.
pub const SECRET_BYTES_MIN: usize = 20;
/// Bytes of the code at the end of a path.
const CODE_BYTES: usize = 16;

/// What codes are made with. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// A secret; `None` when it is shorter than [`SECRET_BYTES_MIN`].
    pub fn new(text: &str) -> Option<Self> {
        (text.len() >= SECRET_BYTES_MIN).then(|| Self(text.to_owned()))
    }

    /// The path of notices about an attempt, without a slash in front.
    pub fn path(&self, attempt: &AttemptId) -> String {
        let about = about(attempt);
        let code = self.mac(&about).finalize().into_bytes();
        let code: String = code.iter().take(CODE_BYTES).map(|byte| format!("{byte:02x}")).collect();
        format!("{about}/{code}")
    }

    /// The attempt that a path is about; `None` when it is not one of ours.
    pub fn attempt(&self, path: &str) -> Option<AttemptId> {
        let (said, code) = path.trim_start_matches('/').rsplit_once('/')?;
        let attempt = parse(said)?;
        let bytes = hex(code).filter(|bytes| bytes.len() == CODE_BYTES)?;
        // In constant time, so that nobody can guess it digit by digit.
        self.mac(&about(&attempt)).verify_truncated_left(&bytes).ok().map(|()| attempt)
    }

    fn mac(&self, about: &str) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes())
            .unwrap_or_else(|_| unreachable!("keys of any length are fine"));
        mac.chain_update(about)
    }
}

/// Where notices are to be sent, and with which secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Address of the function that takes them, such as `https://abc.lambda-url.eu-west-1.on.aws/`.
    pub address: String,
    /// What its paths are made with.
    pub secret: Secret,
}

impl Webhook {
    /// The trigger's `notify`, before it is encoded.
    pub(crate) fn notify(&self, attempt: &AttemptId) -> String {
        let endpoint = format!("{}/{}", self.address.trim_end_matches('/'), self.secret.path(attempt));
        serde_json::json!({"type": "webhook", "endpoint": endpoint}).to_string()
    }
}

/// Passes on a notice about an attempt: `poll` looks as soon as it can.
pub async fn take(queues: &dyn Queues, now: Timestamp, attempt: &AttemptId) -> Result<(), PortError> {
    queues.send(QueueName::Poll, &[Hint::new(attempt.clone(), now).encode()], 0).await
}

fn about(attempt: &AttemptId) -> String {
    format!("{}/{}/{}", attempt.run, attempt.batch, attempt.attempt)
}

fn parse(said: &str) -> Option<AttemptId> {
    let mut parts = said.split('/');
    let run = RunId::parse(parts.next()?)?;
    let mut number = || parts.next()?.parse().ok();
    let attempt = AttemptId { run, batch: number()?, attempt: number()? };
    parts.next().is_none().then_some(attempt)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> AttemptId {
        AttemptId { run: RunId::parse("00112233aabbccdd").unwrap(), batch: 7, attempt: 2 }
    }

    fn secret() -> Secret {
        Secret::new("a secret of 26 characters.").unwrap()
    }

    #[test]
    fn a_path_is_golden_and_names_its_attempt() {
        let path = secret().path(&attempt());
        // printf 00112233aabbccdd/7/2 | openssl dgst -sha256 -hmac 'a secret of 26 characters.'
        assert_eq!(path, "00112233aabbccdd/7/2/339481baf172a09641ae45c98b717e83");
        for path in [path.clone(), format!("/{path}")] {
            assert_eq!(secret().attempt(&path), Some(attempt()));
        }
    }

    #[test]
    fn whatever_else_comes_to_the_address_is_turned_away() {
        let path = secret().path(&attempt());
        let (said, code) = path.rsplit_once('/').unwrap();
        let others = [
            String::new(),
            "/".to_owned(),
            said.to_owned(),
            format!("{said}/"),
            format!("{said}/{}", &code[..30]),
            format!("{said}/{code}00"),
            format!("{said}/{code}/"),
            format!("{said}/{}", "0".repeat(32)),
            format!("{said}/{}é", &code[..30]),
            format!("00112233aabbccdd/7/3/{code}"),
            format!("00112233aabbccdd/8/2/{code}"),
            format!("00112233aabbccde/7/2/{code}"),
            format!("00112233aabbccdd/7/2/9/{code}"),
            format!("00112233aabbccdd/-7/2/{code}"),
        ];
        for path in others {
            assert_eq!(secret().attempt(&path), None, "{path:?}");
        }
        assert_eq!(Secret::new("another one of 26 letters.").unwrap().attempt(&path), None);
    }

    #[test]
    fn a_secret_is_long_and_is_not_shown() {
        assert!(Secret::new("nineteen characters").is_none());
        let webhook = Webhook { address: "https://x.example/".to_owned(), secret: secret() };
        assert!(!format!("{webhook:?}").contains("26"));
        let path = secret().path(&attempt());
        let expected = format!(r#"{{"endpoint":"https://x.example/{path}","type":"webhook"}}"#);
        assert_eq!(webhook.notify(&attempt()), expected);
    }
}
