//! A proxy before a local AWS that counts the requests that pass.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

/// The proxy, on a thread of its own until the process ends.
pub(crate) struct Proxy {
    /// Its base address.
    pub(crate) address: String,
    counts: Counts,
}

impl Proxy {
    /// Starts on a free port of 127.0.0.1, before the AWS at `upstream`.
    pub(crate) fn start(upstream: &str) -> Result<Self> {
        let upstream: SocketAddr = upstream.trim_start_matches("http://").parse().context("the address of AWS")?;
        ensure!(upstream.ip().is_loopback(), "{upstream} is not on this machine");
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = format!("http://{}", listener.local_addr()?);
        let counts = Counts::default();
        let seen = counts.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || runtime.block_on(serve(listener, upstream, seen)));
        Ok(Self { address, counts })
    }

    /// Requests so far, by service and class.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: std::net::TcpListener, upstream: SocketAddr, counts: Counts) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        let counts = counts.clone();
        let service = service_fn(move |request| {
            *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(class(&request)).or_default() += 1;
            forward(upstream, request)
        });
        // A connection that breaks fails a request, and the run with it.
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service));
    }
}

async fn forward(upstream: SocketAddr, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.remove(CONNECTION);
    let body = Full::new(body.collect().await?.to_bytes());
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (mut parts, body) = sender.send_request(Request::from_parts(parts, body)).await?.into_parts();
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.remove(CONNECTION);
    Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
}

/// What AWS charges it as.
fn class(request: &Request<Incoming>) -> String {
    if let Some(target) = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()) {
        return target.replace("AmazonSQS.", "sqs ");
    }
    let listing = request.uri().query().is_some_and(|query| query.contains("list-type="));
    match request.method() {
        &Method::GET if listing => "s3 LIST".to_owned(),
        method => format!("s3 {method}"),
    }
}
