//! The ports of a world: real adapters in memory and the simulated API, with a cut possible around every effect.

use adapters::dca;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;
use pipeline::keys;
use pipeline::messages::Hint;
use pipeline::notice::RunEnded;
use pipeline::pause::Switch;
use pipeline::ports::*;
use pipeline::words::InputObject;

use super::checks::{Broken, secrets};
use super::cuts::{Cut, Cuts};
use super::outside::Outside;
use super::points::Point;
use dropcollect::clock::VirtualClock;
use dropcollect::simulator::Fault;

/// A store with cuts.
pub(super) struct CutStore<S>(pub(super) S, pub(super) Cuts);

#[async_trait]
impl<S: Store> Store for CutStore<S> {
    async fn get(&self, key: &str) -> Result<Option<Stored>, PortError> {
        self.1.around(Point::of_key("get", key), key, self.0.get(key)).await
    }
    async fn create(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<Written, PortError> {
        secrets::listen(&self.1, key, &body);
        self.1.around(Point::of_key("create", key), key, self.0.create(key, body, info)).await
    }
    async fn replace(&self, key: &str, body: Bytes, expected: Option<&Tag>) -> Result<Written, PortError> {
        secrets::listen(&self.1, key, &body);
        if key.starts_with("status/") {
            // Conservation holds in every status that anybody may read, not only at rest.
            let status: pipeline::status::Status = serde_json::from_slice(&body).expect("a status");
            if !status.inputs.conserved() {
                self.1.broken(Broken::new("status_is_conserved", format!("{status:?}")));
            }
        }
        let paused = (key == keys::PAUSE).then(|| serde_json::from_slice::<Switch>(&body).expect("a switch").paused);
        let replace = async {
            let written = self.0.replace(key, body, expected).await;
            if let (Some(paused), Ok(Written::New)) = (paused, &written) {
                self.1.switched(paused);
            }
            written
        };
        self.1.around(Point::of_key("replace", key), key, replace).await
    }
    async fn put(&self, key: &str, body: Bytes, info: &ObjectInfo) -> Result<(), PortError> {
        secrets::listen(&self.1, key, &body);
        self.1.around(Point::of_key("put", key), key, self.0.put(key, body, info)).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Listing, PortError> {
        self.1.around(Point::of_key("list", prefix), prefix, self.0.list(prefix, after)).await
    }
    async fn begin_upload(&self, key: &str, info: &ObjectInfo) -> Result<UploadId, PortError> {
        self.1.around(Point::of_key("begin_upload", key), key, self.0.begin_upload(key, info)).await
    }
    async fn upload_part(&self, key: &str, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, PortError> {
        secrets::listen(&self.1, key, &body);
        self.1.around(Point::of_key("upload_part", key), key, self.0.upload_part(key, upload, number, body)).await
    }
    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<Completed, PortError> {
        self.1.around(Point::of_key("complete_upload", key), key, self.0.complete_upload(key, upload, parts)).await
    }
    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), PortError> {
        self.1.around(Point::of_key("abort_upload", key), key, self.0.abort_upload(key, upload)).await
    }
}

/// Inputs with cuts.
pub(super) struct CutInputs<I>(pub(super) I, pub(super) Cuts);

#[async_trait]
impl<I: Inputs> Inputs for CutInputs<I> {
    async fn open(&self, object: &InputObject) -> Result<Option<OpenInput>, PortError> {
        let opened = self.1.around(Point::new("open", "input"), &object.key, self.0.open(object)).await?;
        let cut = |body| Box::new(CutChunks { body, cuts: self.1.clone(), about: "input" }) as Box<dyn Chunks>;
        Ok(opened.map(|open| OpenInput { body: cut(open.body), ..open }))
    }
}

/// A body with cuts.
struct CutChunks {
    body: Box<dyn Chunks>,
    cuts: Cuts,
    about: &'static str,
}

#[async_trait]
impl Chunks for CutChunks {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        self.cuts.around(Point::new("read", self.about), "", self.body.next()).await
    }
}

/// Queues with cuts.
pub(super) struct CutQueues<Q>(pub(super) Q, pub(super) Cuts);

#[async_trait]
impl<Q: Queues> Queues for CutQueues<Q> {
    async fn send(&self, queue: QueueName, bodies: &[String], delay_seconds: u32) -> Result<(), PortError> {
        let about = match (queue, bodies) {
            (QueueName::Retry, _) => "retry-order",
            (QueueName::Poll, [body]) if Hint::decode(body).is_ok() => "hint",
            (QueueName::Poll, [body]) if body.contains("\"generation\":1,") => "reminder",
            (QueueName::Poll, [_]) => "hand-over",
            (QueueName::Poll, _) => "reminders",
        };
        bodies.iter().for_each(|body| secrets::listen(&self.1, about, body.as_bytes()));
        self.1.around(Point::new("send", about), &bodies.concat(), self.0.send(queue, bodies, delay_seconds)).await
    }
}

/// Whoever is told of runs, with cuts.
pub(super) struct CutNotices<N>(pub(super) N, pub(super) Cuts);

#[async_trait]
impl<N: Notices> Notices for CutNotices<N> {
    async fn run_ended(&self, ended: &RunEnded) -> Result<(), PortError> {
        secrets::listen(&self.1, "notice", &serde_json::to_vec(ended).expect("a notice"));
        self.1.around(Point::new("notify", "run-ended"), &ended.manifest, self.0.run_ended(ended)).await
    }
}

/// The client of the API with cuts: an answer may be lost after the API has worked.
pub(super) struct CutApi<A>(pub(super) A, pub(super) Cuts);

#[async_trait]
impl<A: Api> Api for CutApi<A> {
    async fn trigger(&self, request: &TriggerRequest, send_by: Timestamp) -> SendAnswer {
        self.1.triggered();
        let detail = format!("{:?}", request.query);
        let cut = self.1.decide(Point::new("api", "trigger"), &detail).await;
        if cut == Some(Cut::FailBefore) {
            return SendAnswer::NotSent { why: "injected".into() };
        }
        let answer = self.0.trigger(request, send_by).await;
        self.1.note(&format!("{answer:?}"));
        self.1.after(cut).await;
        match cut {
            Some(Cut::FailAfter) => SendAnswer::InDoubt { why: "injected".into() },
            _ => answer,
        }
    }
    async fn dataset(&self, collection: &str) -> Looked<Dataset> {
        self.1.looked(collection);
        let cut = self.1.decide(Point::new("api", "dataset"), collection).await;
        match look(&self.1, cut, self.0.dataset(collection)).await {
            Looked::Found(Dataset::Ready { content_type, body }) => {
                let body = Box::new(CutChunks { body, cuts: self.1.clone(), about: "dataset" });
                Looked::Found(Dataset::Ready { content_type, body })
            }
            other => other,
        }
    }
    async fn log(&self, collection: &str) -> Looked<JobLog> {
        let cut = self.1.decide(Point::new("api", "log"), collection).await;
        look(&self.1, cut, self.0.log(collection)).await
    }
    async fn errors(&self, collection: &str) -> Looked<Vec<JobError>> {
        let cut = self.1.decide(Point::new("api", "errors"), collection).await;
        look(&self.1, cut, self.0.errors(collection)).await
    }
    async fn jobs(&self, collector: &str, from: Date, to: Date, offset: u64) -> Looked<JobPage> {
        let cut = self.1.decide(Point::new("api", "jobs"), collector).await;
        look(&self.1, cut, self.0.jobs(collector, from, to, offset)).await
    }
    async fn cancel(&self, collection: &str) -> Looked<()> {
        let cut = self.1.decide(Point::new("api", "cancel"), collection).await;
        look(&self.1, cut, self.0.cancel(collection)).await
    }
}

async fn look<T>(cuts: &Cuts, cut: Option<Cut>, asked: impl Future<Output = Looked<T>>) -> Looked<T> {
    if cut == Some(Cut::FailBefore) {
        return Looked::Trouble { why: "injected".into() };
    }
    let answer = asked.await;
    cuts.after(cut).await;
    match cut {
        Some(Cut::FailAfter) => Looked::Trouble { why: "injected".into() },
        _ => answer,
    }
}

/// Carries requests to the simulated service in this process, on the world's clock.
pub(super) struct Wire {
    /// The service, and who else speaks to it.
    pub(super) outside: Outside,
    /// The world's clock.
    pub(super) clock: VirtualClock,
    /// A request may stand still too.
    pub(super) cuts: Cuts,
}

#[async_trait]
impl dca::Transport for Wire {
    async fn call(&self, request: dca::Request, kind: dca::Kind) -> Result<dca::Response, dca::TransportError> {
        let send_by = if let dca::Kind::Send { send_by } = kind { Some(send_by) } else { None };
        if let Some(send_by) = send_by {
            if self.clock.now() > send_by {
                return Err(dca::TransportError::NotSent { why: "too late".into() });
            }
            self.outside.on_the_way(&self.cuts);
            // What is frozen beyond its time is dead, and has sent nothing.
            self.cuts.survive().await;
        }
        let reply = self.outside.ask(self.clock.now(), &request.into(), send_by);
        let broken = |why: &str| dca::TransportError::Broken { why: why.to_owned() };
        let chunks: Vec<Bytes> = match reply.fault {
            Fault::NotConnected => return Err(dca::TransportError::NotSent { why: "refused".into() }),
            Fault::AnswerLost => return Err(broken("reset")),
            Fault::AnswerCut { after } => {
                let whole = reply.body.into_bytes();
                vec![whole.slice(..after.min(whole.len()))]
            }
            Fault::None => reply.body.into_chunks().collect(),
        };
        let cut = matches!(reply.fault, Fault::AnswerCut { .. });
        Ok(dca::Response { status: reply.status, headers: reply.headers, body: Box::new(Pieces { chunks, cut }) })
    }
}

struct Pieces {
    chunks: Vec<Bytes>,
    cut: bool,
}

#[async_trait]
impl Chunks for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        while !self.chunks.is_empty() {
            let chunk = self.chunks.remove(0);
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        if self.cut { Err(PortError::new("dataset", "cut")) } else { Ok(None) }
    }
}
