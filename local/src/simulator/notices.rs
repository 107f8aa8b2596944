//! Notices that a job has ended, as a trigger's `notify` asks for them (documented); what they say is observed in two tutorials.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Uri, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{
    job::{End, Job},
    service::Service,
};

/// One notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Where it goes.
    pub endpoint: String,
    /// What it says.
    pub body: String,
}

impl Service {
    /// The notices of jobs that have ended since this was asked last. Jobs of a service that was opened again are told once more.
    pub fn notices(&mut self, now: Timestamp) -> Vec<Notice> {
        self.tick(now);
        let ended = std::mem::take(&mut self.schedule.ended);
        ended.into_iter().filter_map(|index| notice(&self.schedule.jobs[index])).collect()
    }
}

fn notice(job: &Job) -> Option<Notice> {
    let endpoint = endpoint(job.query())?;
    let body = json!({"id": job.id(), "success": job.end() == Some(End::Done)}).to_string();
    Some(Notice { endpoint, body })
}

/// Where the notices of a trigger with this query go.
pub(super) fn endpoint(query: &[(String, String)]) -> Option<String> {
    let (_, notify) = query.iter().find(|(name, _)| name == "notify")?;
    let notify: Value = serde_json::from_str(notify).ok().filter(|notify: &Value| notify["type"] == "webhook")?;
    notify["endpoint"].as_str().map(str::to_owned)
}

/// Sends a notice, to `instead` in place of its own host if there is such an address. One for another machine is not sent.
pub(super) async fn send(notice: Notice, instead: Option<String>) {
    if let Err(why) = post(&notice, instead).await {
        tracing::warn!(endpoint = notice.endpoint, why, "notice not sent");
    }
}

async fn post(notice: &Notice, instead: Option<String>) -> Result<(), String> {
    let uri: Uri = notice.endpoint.parse().map_err(|error| format!("{error}"))?;
    let host = uri.authority().ok_or("it names no host")?;
    let to = match instead {
        Some(instead) => instead,
        None if uri.scheme_str() == Some("http") && matches!(host.host(), "127.0.0.1" | "localhost") => {
            format!("{}:{}", host.host(), host.port_u16().unwrap_or(80))
        }
        None => return Err("the simulator speaks to this machine only".to_owned()),
    };
    let stream = TcpStream::connect(&to).await.map_err(|error| format!("{to}: {error}"))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("{to}: {error}"))?;
    let request = hyper::Request::post(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, host.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(notice.body.clone())))
        .map_err(|error| error.to_string())?;
    let exchange = async move { sender.send_request(request).await };
    let (answer, _) = tokio::join!(exchange, connection);
    let answer: hyper::Response<Incoming> = answer.map_err(|error| format!("{to}: {error}"))?;
    tracing::debug!(status = answer.status().as_u16(), "notice sent");
    Ok(())
}
