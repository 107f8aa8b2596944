//! The API over the network, with reqwest on rustls with ring.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use pipeline::policy::limits::TRIGGER_TIMEOUT_SECONDS;
use pipeline::ports::{Chunks, Clock, PortError};
use reqwest::redirect;
use rustls::{ClientConfig, RootCertStore};
use tower::util::MapResultLayer;

use crate::text_of;

use super::wire::{Kind, Method, Request, Response, Transport, TransportError};

/// Time-outs.
#[derive(Debug, Clone)]
pub struct Times {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// A send, from connecting to the last byte of the answer.
    pub send: Duration,
    /// A question with a short answer, likewise.
    pub ask: Duration,
    /// The head of a dataset, and each read of it.
    pub read: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            send: Duration::from_secs(TRIGGER_TIMEOUT_SECONDS.into()),
            ask: Duration::from_secs(30),
            read: Duration::from_secs(60),
        }
    }
}

/// An idle connection older than this may have been dropped by the other side while Lambda had frozen the function. The pool's own
/// time-out does not help: the monotonic clock was frozen, too.
const IDLE_MAX: SignedDuration = SignedDuration::from_secs(15);

/// Why a transport could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the API's address {base:?} cannot be used: {why}")]
pub struct BadBase {
    /// What was given.
    pub base: String,
    /// What is wrong with it.
    pub why: String,
}

/// Carries requests over HTTP/1.1.
pub struct HttpTransport {
    base: String,
    tls: ClientConfig,
    times: Times,
    clock: Arc<dyn Clock>,
    questions: Mutex<Pooled>,
}

struct Pooled {
    client: reqwest::Client,
    used_at: Timestamp,
}

impl HttpTransport {
    /// A transport to `base`, such as `https://api.brightdata.com`.
    pub fn new(base: &str, times: Times, clock: Arc<dyn Clock>) -> Result<Self, BadBase> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self::with_roots(base, roots, times, clock)
    }

    /// The same, trusting these authorities instead of the public ones.
    pub fn with_roots(base: &str, roots: RootCertStore, times: Times, clock: Arc<dyn Clock>) -> Result<Self, BadBase> {
        let tls = tls(roots).map_err(|error| BadBase { base: base.to_owned(), why: error.to_string() })?;
        Self::with_tls(base, tls, times, clock)
    }

    fn with_tls(base: &str, tls: ClientConfig, times: Times, clock: Arc<dyn Clock>) -> Result<Self, BadBase> {
        let bad = |why: String| BadBase { base: base.to_owned(), why };
        let url = reqwest::Url::parse(base).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || !url.username().is_empty() {
            return Err(bad("it must be http:// or https://, without user and query".to_owned()));
        }
        let client = questions(&tls, &times).map_err(|error| bad(error.to_string()))?;
        let questions = Mutex::new(Pooled { client, used_at: clock.now() });
        Ok(Self { base: base.trim_end_matches('/').to_owned(), tls, times, clock, questions })
    }

    /// The client for questions; a new one, with new connections, when the last question was long ago.
    fn questions(&self) -> Result<reqwest::Client, reqwest::Error> {
        let now = self.clock.now();
        let mut pooled = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(pooled.used_at) > IDLE_MAX {
            pooled.client = questions(&self.tls, &self.times)?;
        }
        pooled.used_at = now;
        Ok(pooled.client.clone())
    }

    /// A client for one send. It has no connection yet and keeps none; it looks at the clock when the connection stands.
    fn sender(&self, send_by: Timestamp) -> Result<reqwest::Client, reqwest::Error> {
        plain(&self.tls, &self.times)
            .pool_max_idle_per_host(0)
            .gzip(false)
            .timeout(self.times.send)
            .connector_layer(MapResultLayer::new(in_time(Arc::clone(&self.clock), send_by)))
            .build()
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn call(&self, request: Request, kind: Kind) -> Result<Response, TransportError> {
        let not_sent = |error: reqwest::Error| TransportError::NotSent { why: text_of(&error.without_url()) };
        let client = match kind {
            Kind::Send { send_by } => self.sender(send_by),
            Kind::Ask | Kind::Fetch => self.questions(),
        };
        let address = format!("{}{}", self.base, request.target());
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let mut builder = client.map_err(not_sent)?.request(method, address).body(request.body);
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if kind == Kind::Ask {
            builder = builder.timeout(self.times.ask);
        }
        let response = builder.send().await.map_err(|error| {
            if error.is_builder() || was_never_begun(&error) {
                return not_sent(error);
            }
            TransportError::Broken { why: text_of(&error.without_url()) }
        })?;
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let (status, headers) = (response.status().as_u16(), headers.collect());
        Ok(Response { status, headers, body: Box::new(Body(Some(response))) })
    }
}

/// A body on its way; `None` once it has ended, well or not.
struct Body(Option<reqwest::Response>);

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        while let Some(response) = &mut self.0 {
            match response.chunk().await {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(Some(chunk)) => return Ok(Some(chunk)),
                Ok(None) => self.0 = None,
                Err(error) => {
                    self.0 = None;
                    return Err(PortError::new("the answer broke off", error.without_url()));
                }
            }
        }
        Ok(None)
    }
}

/// Whether no byte of the request can have left. Two errors say so, and nothing else is that certain: one that names no connection
/// on which it occurred, since none came to stand, and one that hyper calls "canceled", with which it gives back a request that it has
/// not begun to write.
fn was_never_begun(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    causes.into_iter().any(|error| {
        let client = error.downcast_ref::<hyper_util::client::legacy::Error>();
        client.is_some_and(|error| error.connect_info().is_none())
            || error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
    })
}

/// Roots are compiled in ([`HttpTransport::new`]): reading the system's costs 5 ms of every cold start.
///
/// Only HTTP/1.1 is offered. Over HTTP/2, clients send a request again by themselves when the peer says that it did not process the
/// stream, and whether a paid request is sent again is for the ledger alone to say. With no offer at all, a peer that speaks only
/// HTTP/2 would be found out after the request was written; like this it ends the handshake. (Leaving out reqwest's `http2` would not do:
/// the AWS SDK brings HTTP/2 into the same stack.)
fn tls(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

/// No redirects (one could carry the token elsewhere, or a paid request twice) and no resends but our own.
fn plain(tls: &ClientConfig, times: &Times) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .http1_only()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(times.connect)
}

fn questions(tls: &ClientConfig, times: &Times) -> Result<reqwest::Client, reqwest::Error> {
    plain(tls, times).read_timeout(times.read).pool_max_idle_per_host(2).build()
}

/// Lets a new connection pass while the clock is not past `send_by`.
fn in_time<C>(
    clock: Arc<dyn Clock>,
    send_by: Timestamp,
) -> impl Fn(Result<C, BoxError>) -> Result<C, BoxError> + Clone + Send + Sync {
    move |connected| {
        let connection = connected?;
        let now = clock.now();
        if now > send_by { Err(Box::new(TooLate { now, send_by })) } else { Ok(connection) }
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

#[derive(Debug)]
struct TooLate {
    now: Timestamp,
    send_by: Timestamp,
}

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connected at {}, too late for a send that was due by {}", self.now, self.send_by)
    }
}

impl Error for TooLate {}

#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod tests;
