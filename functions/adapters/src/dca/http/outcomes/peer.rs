//! A peer that follows a script, on the other side of a real socket, and tells what it heard.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How a connection begins.
#[derive(Clone)]
pub(super) enum Greeting {
    /// Plain HTTP.
    Plain,
    /// TLS.
    Tls(Arc<ServerConfig>),
    /// Reads the beginning of the client's handshake and says this instead of its own.
    Says(Vec<u8>),
    /// TLS, of which only so many bytes are said.
    Part(Arc<ServerConfig>, usize),
}

/// What the peer reads of a request before it goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reads {
    /// So many bytes.
    Bytes(usize),
    /// Nothing, but waits until something is there. Not over TLS.
    Arrival,
    /// The head.
    Head,
    /// All of it.
    Whole,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// Orderly: over TLS with `close_notify`.
    Close,
    /// TCP ends orderly, TLS does not.
    Cut,
    /// RST.
    Reset,
    /// Nothing more, but the connection stands.
    Stall,
    /// Orderly, after what is still to come from the client was read.
    Drain,
}

impl End {
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Close => "closes",
            Self::Cut => "cuts TLS short",
            Self::Reset => "resets",
            Self::Stall => "stalls",
            Self::Drain => "closes and reads on",
        }
    }
}

/// What a peer does on every connection.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) greeting: Greeting,
    pub(super) reads: Reads,
    pub(super) says: Vec<u8>,
    pub(super) end: End,
}

/// What a peer heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) connections: usize,
    /// The protocol that was agreed on by ALPN.
    pub(super) protocol: Option<Vec<u8>>,
    /// What was read of the request, of all connections.
    pub(super) bytes: Vec<u8>,
}

impl Heard {
    /// How many requests arrived, whole or in part.
    pub(super) fn posts(&self) -> usize {
        let starts = self.bytes.windows(5).filter(|window| window == b"POST ").count();
        starts.max(usize::from(!self.bytes.is_empty()))
    }

    pub(super) fn is_whole(&self) -> bool {
        whole(&self.bytes)
    }
}

fn head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn whole(bytes: &[u8]) -> bool {
    let Some(at) = head(bytes) else { return false };
    let text = String::from_utf8_lossy(&bytes[..at]);
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    bytes.len() - at >= length.parse::<usize>().unwrap()
}

/// A peer that listens.
pub(super) struct Peer {
    pub(super) address: String,
    /// Whether a connection was ended.
    pub(super) ended: Arc<AtomicBool>,
    heard: Arc<Mutex<Heard>>,
    over: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Peer {
    pub(super) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (over, watched) = watch::channel(false);
        let (heard, ended) = (Arc::new(Mutex::new(Heard::default())), Arc::new(AtomicBool::new(false)));
        let visit = Visit { script, heard: heard.clone(), ended: ended.clone(), over: watched };
        let task = tokio::spawn(async move {
            let mut over = visit.over.clone();
            loop {
                tokio::select! {
                    _ = over.wait_for(|over| *over) => return,
                    socket = listener.accept() => {
                        visit.heard.lock().unwrap().connections += 1;
                        tokio::spawn(visit.clone().take(socket.unwrap().0));
                    }
                }
            }
        });
        Self { address, ended, heard, over, task }
    }

    /// Ends the peer; the client has its answer.
    pub(super) async fn stop(self) -> Heard {
        // What waits to be accepted counts, too.
        tokio::task::yield_now().await;
        self.over.send(true).unwrap();
        self.task.await.unwrap();
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

#[derive(Clone)]
struct Visit {
    script: Script,
    heard: Arc<Mutex<Heard>>,
    ended: Arc<AtomicBool>,
    over: watch::Receiver<bool>,
}

impl Visit {
    async fn take(self, socket: TcpStream) {
        socket.set_nodelay(true).unwrap();
        // The client may be gone at any time; what it heard is asked of it.
        match self.script.greeting.clone() {
            Greeting::Plain => drop(self.talk(socket).await),
            Greeting::Tls(config) => {
                if let Ok(stream) = TlsAcceptor::from(config).accept(socket).await {
                    self.heard.lock().unwrap().protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                    drop(self.talk(stream).await);
                }
            }
            Greeting::Says(bytes) => drop(self.say_instead(socket, &bytes).await),
            Greeting::Part(config, bytes) => drop(self.greet_in_part(socket, config, bytes).await),
        }
        self.ended.store(true, Ordering::SeqCst);
    }

    async fn talk<S: Stream>(&self, mut stream: S) -> std::io::Result<()> {
        let reads = self.script.reads;
        match reads {
            Reads::Bytes(count) => self.read(&mut stream, |bytes| count.saturating_sub(bytes.len())).await?,
            Reads::Arrival => drop(stream.tcp().peek(&mut [0]).await?),
            // Byte by byte: nothing behind the head is taken out of the socket.
            Reads::Head => self.read(&mut stream, |bytes| usize::from(head(bytes).is_none())).await?,
            Reads::Whole => self.read(&mut stream, |bytes| if whole(bytes) { 0 } else { 1 << 16 }).await?,
        }
        stream.write_all(&self.script.says).await?;
        stream.flush().await?;
        match self.script.end {
            End::Close => drop(stream.shutdown().await),
            End::Cut => {}
            End::Reset => stream.tcp().set_zero_linger()?,
            End::Stall => self.stall(stream, reads == Reads::Whole).await,
            End::Drain => {
                stream.shutdown().await?;
                self.stall(stream, true).await;
            }
        }
        Ok(())
    }

    /// Reads as many bytes at once as `most` says of what was read so far; 0 is enough.
    async fn read<S: Stream>(&self, stream: &mut S, most: impl Fn(&[u8]) -> usize) -> std::io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let most = most(&self.heard.lock().unwrap().bytes);
            if most == 0 {
                return Ok(());
            }
            let count = stream.read(&mut buffer[..most]).await?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.heard.lock().unwrap().bytes.extend_from_slice(&buffer[..count]);
        }
    }

    /// Until the client has its answer; what comes meanwhile is read and written down if it is to be.
    async fn stall<S: Stream>(&self, mut stream: S, reading: bool) {
        let mut buffer = vec![0; 1 << 16];
        let mut over = self.over.clone();
        let mut reading = reading;
        loop {
            tokio::select! {
                _ = over.wait_for(|over| *over) => return,
                read = stream.read(&mut buffer), if reading => match read {
                    Ok(count) if count > 0 => self.heard.lock().unwrap().bytes.extend_from_slice(&buffer[..count]),
                    _ => reading = false,
                },
            }
        }
    }

    async fn say_instead(&self, mut socket: TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        socket.peek(&mut [0]).await?;
        socket.write_all(bytes).await?;
        self.end(socket).await
    }

    async fn greet_in_part(
        &self,
        mut socket: TcpStream,
        config: Arc<ServerConfig>,
        most: usize,
    ) -> std::io::Result<()> {
        let mut tls = ServerConnection::new(config).unwrap();
        let (mut left, mut buffer) = (most, vec![0; 1 << 14]);
        while left > 0 {
            let count = socket.read(&mut buffer).await?;
            tls.read_tls(&mut &buffer[..count])?;
            if count == 0 || tls.process_new_packets().is_err() {
                break;
            }
            let mut flight = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut flight)?;
            }
            flight.truncate(left);
            left -= flight.len();
            socket.write_all(&flight).await?;
        }
        self.end(socket).await
    }

    async fn end(&self, mut socket: TcpStream) -> std::io::Result<()> {
        match self.script.end {
            End::Reset => socket.set_zero_linger()?,
            End::Stall => self.stall(socket, false).await,
            End::Close | End::Cut | End::Drain => socket.shutdown().await?,
        }
        Ok(())
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}
