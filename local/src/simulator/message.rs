//! What goes in and out: a request, a reply, and the fault that the network adds to it.

use std::{fmt, time::Duration};

use adapters::dca;
use bytes::Bytes;
use serde_json::Value;

/// One HTTP request, already read.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path without the query, still percent-encoded.
    pub path: String,
    /// The decoded query parameters in their order.
    pub query: Vec<(String, String)>,
    /// Headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, empty if there was none.
    pub body: Bytes,
}

impl Request {
    /// A request from a method and a target such as `/dca/dataset?id=j_1`, with an `Authorization` header.
    pub fn new(method: &str, target: &str, body: impl Into<Bytes>) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: decode_query(query),
            headers: vec![("authorization".to_owned(), "Bearer token".to_owned())],
            body: body.into(),
        }
    }

    /// The first query parameter with this name.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first header with this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl From<dca::Request> for Request {
    /// As it comes out of the client, for a service in the same process.
    fn from(request: dca::Request) -> Self {
        let dca::Request { method, path, query, headers, body } = request;
        Self { method: method.as_str().to_owned(), path, query, headers, body }
    }
}

/// Splits and decodes `a=1&b=%20`, as `application/x-www-form-urlencoded` says.
pub(super) fn decode_query(query: &str) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect()
}

/// Chunks of a body, made while they are taken.
pub type Chunks = Box<dyn Iterator<Item = Bytes> + Send>;

/// The body of a reply.
pub enum Body {
    /// All of it; a server announces its `Content-Length`.
    Full(Bytes),
    /// Generated lazily, because a dataset may be larger than the memory; a server sends it in chunked encoding.
    Stream(Chunks),
}

impl Body {
    /// The whole body in memory.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Full(bytes) => bytes,
            Self::Stream(chunks) => chunks
                .fold(Vec::new(), |mut all, chunk| {
                    all.extend_from_slice(&chunk);
                    all
                })
                .into(),
        }
    }

    /// The body as chunks, whichever way it is made.
    pub fn into_chunks(self) -> Chunks {
        match self {
            Self::Full(bytes) => Box::new(std::iter::once(bytes).filter(|chunk| !chunk.is_empty())),
            Self::Stream(chunks) => chunks,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => f.debug_tuple("Full").field(bytes).finish(),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

/// What the network does to a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The connection was refused; the request was not processed.
    NotConnected,
    /// The request was processed, and the connection cut before any answer.
    AnswerLost,
    /// Status and headers arrive, and at most so many bytes of the body; there is no clean end.
    AnswerCut {
        /// Bytes of the body (as sent, so after compression) that still arrive.
        after: usize,
    },
}

/// The answer to one request.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
    /// What the network does to this reply.
    pub fault: Fault,
    /// How long the answer takes: a server sleeps it, a virtual world adds it to its clock.
    pub delay: Duration,
}

impl Reply {
    pub(super) fn new(status: u16, content_type: &str, body: Body) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status, headers, body, fault: Fault::None, delay: Duration::ZERO }
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", Body::Full(value.to_string().into()))
    }

    /// Many errors of this API are plain text (observed), so a client must not count on JSON.
    pub(super) fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", Body::Full(Bytes::copy_from_slice(text.as_bytes())))
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": message }))
    }

    pub(super) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The first header with this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
