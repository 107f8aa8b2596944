//! What goes over the wire, whatever the wire is.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use pipeline::ports::Chunks;

/// HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Asks.
    Get,
    /// Starts or ends something.
    Post,
}

impl Method {
    /// As it is written in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One request, without the base address.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path, its segments percent-encoded.
    pub path: String,
    /// Query in order, not yet encoded.
    pub query: Vec<(String, String)>,
    /// Headers, lower-case names.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
}

impl Request {
    /// Path and encoded query.
    pub fn target(&self) -> String {
        let mut target = self.path.clone();
        for (index, (name, value)) in self.query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(&super::encode::escape(name));
            target.push('=');
            target.push_str(&super::encode::escape(value));
        }
        target
    }
}

/// Without header values, which hold the token, and without the inputs.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.method.as_str(), self.target(), self.body.len())
    }
}

/// The head of a response, and a body to be read.
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers, lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed; a cut one ends with an error.
    pub body: Box<dyn Chunks>,
}

/// How a request is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Starts paid work: a fresh connection, no resend of any kind, and no first byte when the wall clock is past `send_by`.
    Send {
        /// Until when the first byte may leave.
        send_by: Timestamp,
    },
    /// A question with a short answer: one total time-out.
    Ask,
    /// A question with a body of any length: a time-out for each read.
    Fetch,
}

/// The request got no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No byte of the request left.
    #[error("not sent: {why}")]
    NotSent {
        /// Reason, for people.
        why: String,
    },
    /// The request may have arrived, whole or in part.
    #[error("no answer: {why}")]
    Broken {
        /// Reason, for people.
        why: String,
    },
}

/// Carries one request, once.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends the request and waits for the head of the response. Redirects are responses like any other.
    async fn call(&self, request: Request, kind: Kind) -> Result<Response, TransportError>;
}
