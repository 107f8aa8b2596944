//! The service behind an HTTP/1.1 listener. Times are real here, and faults happen to the socket.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Sleep, interval, sleep},
};

use super::{
    message::{Body, Chunks, Fault, Reply, Request, decode_query},
    notices,
    service::Service,
};

/// How often is looked whether a job has ended.
const NOTICES_EVERY: Duration = Duration::from_millis(200);

/// Serves until `shutdown` is ready; then open connections are cut. A refused connection ([`Fault::NotConnected`]) is one
/// that is closed without an answer, because a listener cannot refuse a single request.
pub async fn serve(listener: TcpListener, service: Arc<Mutex<Service>>, shutdown: impl Future) {
    let mut connections = JoinSet::new();
    let mut ended = interval(NOTICES_EVERY);
    tokio::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            _ = &mut shutdown => return,
            Some(_) = connections.join_next() => continue,
            _ = ended.tick() => {
                let mut service = service.lock().unwrap_or_else(PoisonError::into_inner);
                let instead = service.scenario().api.notices_to.clone();
                for notice in service.notices(Timestamp::now()) {
                    connections.spawn(notices::send(notice, instead.clone()));
                }
                continue;
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Too many open files, mostly: give others time to end.
                    tracing::warn!(%error, "connection not accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        // Answers are small and polled for; they must not wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let service = Arc::clone(&service);
        connections.spawn(async move {
            let answer = service_fn(move |request| answer(Arc::clone(&service), request));
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

/// An answer that never comes: `hyper` closes the connection.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut by the scenario")
    }
}

impl std::error::Error for Cut {}

async fn answer(
    service: Arc<Mutex<Service>>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Payload>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: decode_query(head.uri.query().unwrap_or_default()),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body,
    };
    // A panic in another request must not end the service; its state is changed in whole steps.
    let reply = service.lock().unwrap_or_else(PoisonError::into_inner).handle(Timestamp::now(), &request);
    tracing::debug!(method = request.method, path = request.path, status = reply.status, fault = ?reply.fault, "answered");
    sleep(reply.delay).await;
    match reply.fault {
        Fault::NotConnected | Fault::AnswerLost => Err(Cut),
        Fault::None | Fault::AnswerCut { .. } => respond(reply),
    }
}

fn respond(reply: Reply) -> Result<hyper::Response<Payload>, Cut> {
    let length = match &reply.body {
        Body::Full(bytes) => Some(bytes.len() as u64),
        Body::Stream(_) => None,
    };
    let left = match reply.fault {
        Fault::AnswerCut { after } => Some(after),
        _ => None,
    };
    let payload = Payload { chunks: reply.body.into_chunks(), length, left, flush: None };
    let mut response = hyper::Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(payload).map_err(|_| Cut)
}

/// A body that can break off: with an announced length or in the middle of chunked encoding.
struct Payload {
    chunks: Chunks,
    length: Option<u64>,
    /// Bytes until the cut, if there is to be one.
    left: Option<usize>,
    /// The time before the cut in which what was written leaves for the client: an error discards what is buffered.
    flush: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Payload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(flush) = &mut self.flush {
            return flush.as_mut().poll(context).map(|()| Some(Err(Cut)));
        }
        let chunk = self.chunks.next();
        let Some(left) = self.left else {
            return Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))));
        };
        let chunk = chunk.map(|chunk| chunk.slice(..left.min(chunk.len()))).filter(|chunk| !chunk.is_empty());
        let Some(chunk) = chunk else {
            self.flush = Some(Box::pin(sleep(Duration::from_millis(50))));
            return self.poll_frame(context);
        };
        self.left = Some(left - chunk.len());
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
