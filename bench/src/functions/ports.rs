//! Ports that count, and that take as long as AWS and the API do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapters::dca;
use adapters::lambda::{Deliveries, Delivery};
use async_trait::async_trait;
use bytes::Bytes;
use dropcollect::simulator::{Fault, Service};
use jiff::{SignedDuration, Timestamp};
use pipeline::ports::*;
use pipeline::words::InputObject;
use tokio::time::{Instant, sleep};

use super::meter::Meter;

/// A port with a counter before it. One that stands in for AWS takes `latency` for each call, and its work is not the handler's.
pub(crate) struct Counted<P> {
    pub(crate) port: P,
    pub(crate) meter: Meter,
    /// `None` where the real thing is called.
    pub(crate) latency: Option<Duration>,
}

impl<P> Counted<P> {
    async fn call<T>(&self, call: &'static str, about: &str, work: impl Future<Output = T>) -> T {
        self.meter.count(call, about);
        match self.latency {
            None => work.await,
            Some(latency) => {
                sleep(latency).await;
                self.meter.outside(work).await
            }
        }
    }
}

#[async_trait]
impl Store for Counted<Arc<dyn Store>> {
    async fn get(&self, key: &str) -> Result<Option<Stored>, PortError> {
        self.call("s3 get", key, self.port.get(key)).await
    }
    async fn create(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<Written, PortError> {
        self.call("s3 create", key, self.port.create(key, body, info)).await
    }
    async fn replace(&self, key: &str, body: Bytes, expected: Option<&Tag>) -> Result<Written, PortError> {
        self.call("s3 replace", key, self.port.replace(key, body, expected)).await
    }
    async fn put(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<(), PortError> {
        self.call("s3 put", key, self.port.put(key, body, info)).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Listing, PortError> {
        self.call("s3 list", prefix, self.port.list(prefix, after)).await
    }
    async fn begin_upload(&self, key: &str, info: &ObjectInfo) -> Result<UploadId, PortError> {
        self.call("s3 begin upload", key, self.port.begin_upload(key, info)).await
    }
    async fn upload_part(&self, key: &str, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, PortError> {
        self.call("s3 upload part", key, self.port.upload_part(key, upload, number, body)).await
    }
    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<Completed, PortError> {
        self.call("s3 complete upload", key, self.port.complete_upload(key, upload, parts)).await
    }
    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), PortError> {
        self.call("s3 abort upload", key, self.port.abort_upload(key, upload)).await
    }
}

#[async_trait]
impl Inputs for Counted<Arc<dyn Inputs>> {
    async fn open(&self, object: &InputObject) -> Result<Option<OpenInput>, PortError> {
        self.call("s3 open", "input", self.port.open(object)).await
    }
}

#[async_trait]
impl Queues for Counted<Arc<dyn Queues>> {
    async fn send(&self, queue: QueueName, bodies: &[String], delay_seconds: u32) -> Result<(), PortError> {
        let about = if queue == QueueName::Poll { "poll" } else { "retry" };
        self.call("sqs send", about, self.port.send(queue, bodies, delay_seconds)).await
    }
}

#[async_trait]
impl Deliveries for Counted<Arc<dyn Deliveries>> {
    async fn again_after(&self, delivery: &Delivery, seconds: u32) -> Result<(), PortError> {
        self.call("sqs change visibility", "", self.port.again_after(delivery, seconds)).await
    }
    async fn set_aside(&self, delivery: &Delivery, why: &str) -> Result<(), PortError> {
        self.call("sqs set aside", "", self.port.set_aside(delivery, why)).await
    }
}

/// Time that passes as tokio's does: on a paused clock, at once.
pub(crate) struct TokioClock {
    began: Timestamp,
    since: Instant,
}

impl TokioClock {
    /// A clock that shows `now`.
    pub(crate) fn at(now: Timestamp) -> Self {
        Self { began: now, since: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).unwrap_or(SignedDuration::MAX);
        self.began.checked_add(passed).unwrap_or(Timestamp::MAX)
    }
}

/// Carries requests to the simulated API in this process.
pub(crate) struct Wire {
    pub(crate) service: Arc<Mutex<Service>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meter: Meter,
    /// There and back.
    pub(crate) latency: Duration,
}

#[async_trait]
impl dca::Transport for Wire {
    async fn call(&self, request: dca::Request, _: dca::Kind) -> Result<dca::Response, dca::TransportError> {
        self.meter.count("api", &format!("{} {}", request.method.as_str(), request.path));
        sleep(self.latency / 2).await;
        let reply = self.meter.outside(async { self.reply(request) }).await;
        sleep(self.latency / 2).await;
        reply
    }
}

impl Wire {
    fn reply(&self, request: dca::Request) -> Result<dca::Response, dca::TransportError> {
        let reply =
            self.service.lock().unwrap_or_else(PoisonError::into_inner).handle(self.clock.now(), &request.into());
        if reply.fault != Fault::None {
            return Err(dca::TransportError::Broken { why: "these scenarios have no faults".to_owned() });
        }
        // As a socket gives it: never one piece for a whole dataset.
        let chunks: Vec<Bytes> = reply.body.into_chunks().collect();
        let body = Box::new(Pieces(chunks.into_iter()));
        Ok(dca::Response { status: reply.status, headers: reply.headers, body })
    }
}

struct Pieces(std::vec::IntoIter<Bytes>);

#[async_trait]
impl Chunks for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        Ok(self.0.find(|piece| !piece.is_empty()))
    }
}
