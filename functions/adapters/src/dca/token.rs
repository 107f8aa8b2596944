//! Where the API token comes from. It is a [`SecretString`]: no `Debug`, no `Display`, wiped when dropped.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use pipeline::ports::{Clock, PortError};
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::{info, warn};

/// A source of the API token.
#[async_trait]
pub trait Token: Send + Sync {
    /// The token to use now.
    async fn token(&self) -> SecretString;
    /// Another token than `rejected`, which the API answered 401 to; `None` when there is none.
    async fn instead_of(&self, rejected: &SecretString) -> Option<SecretString>;
}

/// A token that never changes.
pub struct FixedToken(pub SecretString);

#[async_trait]
impl Token for FixedToken {
    async fn token(&self) -> SecretString {
        self.0.clone()
    }

    async fn instead_of(&self, _rejected: &SecretString) -> Option<SecretString> {
        None
    }
}

/// Reads the secret that holds the token.
#[async_trait]
pub trait ReadToken: Send + Sync {
    /// Reads it anew.
    async fn read(&self) -> Result<SecretString, PortError>;
}

/// A token that is read at start, and again when the API does not accept it.
pub struct RereadToken<R> {
    reader: R,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    token: SecretString,
    read_at: Timestamp,
}

/// A rejected token does not make every message read the secret.
const REREAD_AFTER: SignedDuration = SignedDuration::from_secs(60);

impl<R: ReadToken> RereadToken<R> {
    /// Reads the token.
    pub async fn read(reader: R, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        let state = State { token: reader.read().await?, read_at: clock.now() };
        Ok(Self { reader, clock, state: Mutex::new(state) })
    }

    fn known(&self) -> SecretString {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).token.clone()
    }

    /// Whether the secret may be read again; if so, this reader is the one that does it.
    fn take_turn(&self) -> bool {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let may = now.duration_since(state.read_at) >= REREAD_AFTER;
        if may {
            state.read_at = now;
        }
        may
    }
}

#[async_trait]
impl<R: ReadToken> Token for RereadToken<R> {
    async fn token(&self) -> SecretString {
        self.known()
    }

    async fn instead_of(&self, rejected: &SecretString) -> Option<SecretString> {
        let other = |token: SecretString| (token.expose_secret() != rejected.expose_secret()).then_some(token);
        if let Some(token) = other(self.known()) {
            return Some(token);
        }
        if !self.take_turn() {
            return None;
        }
        match self.reader.read().await {
            Ok(token) => {
                self.state.lock().unwrap_or_else(PoisonError::into_inner).token = token.clone();
                let changed = other(token);
                info!(changed = changed.is_some(), "the API token was read again");
                changed
            }
            Err(error) => {
                warn!(%error, "the API token could not be read again");
                None
            }
        }
    }
}
