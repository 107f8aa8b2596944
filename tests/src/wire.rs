//! A proxy between the functions and the simulator that loses what a network loses, and kills functions while they wait for an answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::processes::Processes;

const TRIGGER: &[u8] = b"POST /dca/trigger?";
/// Connections at the same time; more are refused.
const CONNECTIONS_MAX: usize = 256;
/// Bytes of a request or an answer that is looked into.
const BYTES_MAX: usize = 1024 * 1024;
/// Longest time that one of them takes.
const LIMIT: Duration = Duration::from_secs(50);

/// What becomes of one `POST /dca/trigger`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is answered.
    Pass,
    /// The connection is reset before the API has seen it.
    Lost,
    /// The API has seen it, and no byte of the answer comes back.
    NoAnswer,
    /// The answer is reset in its head.
    HalfAHead,
    /// The answer is reset in its body.
    HalfABody,
    /// Whoever sends it dies before the API has seen it.
    DiesBefore,
    /// Whoever sends it dies when the API has seen it.
    DiesAfter,
}

/// A `POST /dca/trigger` that came by.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `name` of its query: one attempt of one batch.
    pub name: String,
    /// Its collector.
    pub collector: String,
    /// How many of this name came before it.
    pub before: usize,
    /// What became of it.
    pub fate: Fate,
    /// The function that was killed for it.
    pub killed: Option<String>,
}

type Decide = dyn Fn(&Seen) -> Fate + Send + Sync;

/// The proxy; it ends when it goes out of scope.
pub struct Proxy {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// Starts it on a free port of 127.0.0.1, before the simulator at `upstream`. Whom it kills is one of `processes`.
    pub async fn start(
        upstream: &str,
        processes: Processes,
        decide: impl Fn(&Seen) -> Fate + Send + Sync + 'static,
    ) -> Result<Self> {
        let upstream: SocketAddr = upstream.trim_start_matches("http://").parse().context("the upstream's address")?;
        ensure!(upstream.ip().is_loopback(), "{upstream} is not on this machine");
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let line = Line { upstream, processes, seen: Arc::clone(&seen), decide: Arc::new(decide) };
        let accepting = tokio::spawn(async move {
            // They end with this task.
            let mut connections = JoinSet::new();
            while let Ok((client, peer)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                if connections.len() < CONNECTIONS_MAX {
                    let line = line.clone();
                    // A connection that broke is what a proxy has to show, not a failure of its own.
                    connections.spawn(async move { drop(line.carry(client, peer.port()).await) });
                }
            }
        });
        Ok(Self { address, seen, accepting })
    }

    /// Its base address, for `BRIGHT_DATA_API_URL`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What has come by so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often each fate has struck.
    pub fn fates(&self) -> BTreeMap<Fate, usize> {
        let mut fates = BTreeMap::new();
        for seen in self.seen() {
            *fates.entry(seen.fate).or_insert(0) += 1;
        }
        fates
    }
}

#[derive(Clone)]
struct Line {
    upstream: SocketAddr,
    processes: Processes,
    seen: Arc<Mutex<Vec<Seen>>>,
    decide: Arc<Decide>,
}

impl Line {
    async fn carry(self, mut client: TcpStream, port: u16) -> Result<()> {
        let mut first = [0; TRIGGER.len()];
        loop {
            match client.peek(&mut first).await? {
                0 => return Ok(()),
                whole if whole == first.len() => break,
                _ => sleep(Duration::from_millis(1)).await,
            }
        }
        if first == *TRIGGER {
            // A trigger has a connection of its own, with one request.
            return timeout(LIMIT, self.trigger(client, port)).await?;
        }
        let mut api = TcpStream::connect(self.upstream).await?;
        tokio::io::copy_bidirectional(&mut client, &mut api).await?;
        Ok(())
    }

    async fn trigger(self, mut client: TcpStream, port: u16) -> Result<()> {
        let request = message(&mut client).await?;
        let (index, fate) = self.note(&request)?;
        if fate == Fate::Lost {
            return Ok(client.set_zero_linger()?);
        }
        if fate == Fate::DiesBefore {
            return self.kill(index, port).await;
        }
        let mut api = TcpStream::connect(self.upstream).await?;
        api.write_all(&request).await?;
        let answer = message(&mut api).await?;
        let head = head_of(&answer).context("an answer without a head")?;
        let passed = match fate {
            Fate::HalfAHead => head / 2,
            Fate::HalfABody => head + (answer.len() - head) / 2,
            Fate::Pass => answer.len(),
            _ => 0,
        };
        if fate == Fate::DiesAfter {
            return self.kill(index, port).await;
        }
        client.write_all(&answer[..passed]).await?;
        if fate == Fate::Pass {
            return Ok(client.shutdown().await?);
        }
        // What was written shall arrive; the reset overtakes what has not.
        sleep(Duration::from_millis(50)).await;
        Ok(client.set_zero_linger()?)
    }

    fn note(&self, request: &[u8]) -> Result<(usize, Fate)> {
        let line = String::from_utf8_lossy(request).lines().next().unwrap_or_default().to_owned();
        let query = line.split(['?', ' ']).nth(2).context("no query")?;
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(known, _)| *known == name).map(|(_, value)| value.replace('+', " ").replace("%20", " "))
        };
        let (name, collector) = (value("name").context("no name")?, value("collector").context("no collector")?);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.iter().filter(|other| other.name == name).count();
        let mut this = Seen { name, collector, before, fate: Fate::Pass, killed: None };
        this.fate = (self.decide)(&this);
        let fate = this.fate;
        seen.push(this);
        Ok((seen.len() - 1, fate))
    }

    /// Kills whoever has this port; its connection is its own to lose.
    async fn kill(&self, index: usize, port: u16) -> Result<()> {
        let processes = self.processes;
        let killed = tokio::task::spawn_blocking(move || processes.kill_owner(port)).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen[index].killed = killed.map(|process| process.function);
        Ok(())
    }
}

/// One message of HTTP/1.1 whose body has a length.
async fn message(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = head_of(&bytes)
            && bytes.len() >= head + body_of(&bytes[..head])
        {
            return Ok(bytes);
        }
        ensure!(bytes.len() < BYTES_MAX, "longer than {BYTES_MAX} bytes");
        if stream.read_buf(&mut bytes).await? == 0 {
            bail!("it ended within a message");
        }
    }
}

/// Where the head ends.
fn head_of(message: &[u8]) -> Option<usize> {
    message.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4)
}

fn body_of(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.unwrap_or(0)
}
