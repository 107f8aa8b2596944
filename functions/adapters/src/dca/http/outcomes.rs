//! The table of what is said of a send, cell by cell, against a peer on a real socket: `cargo test -p adapters outcomes -- --nocapture`
//! prints it. In every cell:
//!
//! - the class is the one that is expected, or one of two where it hangs on which of two packets is first;
//! - the peer sees one connection and one request at most: nothing below the pipeline repeats a send;
//! - "not sent" is never said when the peer has seen even one byte of a request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::StreamExt;
use pipeline::ports::{Api, SendAnswer, TriggerRequest};

use super::*;
use crate::clock::WallClock;
use crate::dca::{Client, FixedToken};
use peer::{End, Greeting, Heard, Peer, Reads, Script};
use tls::Authority;

mod cells;
mod handshakes;
mod peer;
mod tls;

/// Long enough for a busy machine; no cell waits for it.
const LONG: Duration = Duration::from_secs(30);
/// What stalls is given up after this.
const SHORT: Duration = Duration::from_millis(300);
/// Cells at the same time.
const AT_ONCE: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    NotSent,
    Accepted,
    RefusedOption,
    Refused,
    Credentials,
    Wait,
    InDoubt,
}

impl Class {
    fn of(answer: &SendAnswer) -> Self {
        match answer {
            SendAnswer::NotSent { .. } => Self::NotSent,
            SendAnswer::Accepted { .. } => Self::Accepted,
            SendAnswer::RefusedOption { .. } => Self::RefusedOption,
            SendAnswer::Refused { .. } => Self::Refused,
            SendAnswer::Credentials { .. } => Self::Credentials,
            SendAnswer::Wait { .. } => Self::Wait,
            SendAnswer::InDoubt { .. } => Self::InDoubt,
        }
    }

    /// As in the table of `ARCHITECTURE.md`.
    fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not sent",
            Self::Accepted => "accepted",
            Self::RefusedOption => "refused option",
            Self::Refused => "refused",
            Self::Credentials => "credentials",
            Self::Wait => "wait",
            Self::InDoubt => "in doubt",
        }
    }

    fn alone(self) -> &'static [Self] {
        match self {
            Self::NotSent => &[Self::NotSent],
            Self::Accepted => &[Self::Accepted],
            Self::RefusedOption => &[Self::RefusedOption],
            Self::Refused => &[Self::Refused],
            Self::Credentials => &[Self::Credentials],
            Self::Wait => &[Self::Wait],
            Self::InDoubt => &[Self::InDoubt],
        }
    }
}

/// One thing that a peer does, and what may be said of it.
struct Cell {
    /// What the peer does before it ends the connection.
    what: String,
    wire: &'static str,
    script: Script,
    classes: &'static [Class],
    /// What is to be agreed on by ALPN, if that is looked at.
    protocol: Option<Option<&'static str>>,
    body_bytes: usize,
    times: Times,
}

impl Cell {
    fn new(what: &str, wire: &'static str, script: Script, classes: &'static [Class]) -> Self {
        let handshake = matches!(script.greeting, Greeting::Part(..)) && classes == [Class::NotSent];
        let (connect, send) = match script.end {
            End::Stall if handshake => (SHORT, LONG),
            End::Stall if classes == [Class::InDoubt] => (LONG, SHORT),
            // What is accepted although the client waits for more in vain must have arrived by then.
            End::Stall => (LONG, SHORT * 5),
            _ => (LONG, LONG),
        };
        let times = Times { connect, send, ask: LONG, read: LONG };
        Self { what: what.to_owned(), wire, script, classes, protocol: None, body_bytes: 13, times }
    }
}

fn order(body_bytes: usize) -> TriggerRequest {
    let query = vec![("queue_next".to_owned(), "1".to_owned())];
    let body = format!("[{{\"url\":\"{}\"}}]", "a".repeat(body_bytes - 12));
    TriggerRequest { collector: "c_abc123".into(), query, body: body.into() }
}

fn client(
    peer: &Peer,
    script: &Script,
    authority: &Authority,
    times: Times,
    clock: Arc<dyn Clock>,
) -> Client<HttpTransport> {
    let scheme = if matches!(script.greeting, Greeting::Plain) { "http" } else { "https" };
    let base = format!("{scheme}://{}", peer.address);
    let transport = HttpTransport::with_tls(&base, authority.client(), times, clock.clone()).unwrap();
    Client::new(transport, Arc::new(FixedToken("secret-token".into())), clock)
}

/// On a busy machine, what stalls may be given up before what it had to say was read: then it has more time.
async fn send(cell: &Cell, authority: &Authority) -> (SendAnswer, Heard) {
    let mut times = cell.times.clone();
    loop {
        let (answer, heard) = send_once(cell, authority, times.clone()).await;
        let expected = cell.classes.contains(&Class::of(&answer));
        if expected || heard.posts() > 1 || cell.script.end != End::Stall || times.send >= LONG {
            return (answer, heard);
        }
        times.send *= 4;
    }
}

async fn send_once(cell: &Cell, authority: &Authority, times: Times) -> (SendAnswer, Heard) {
    let peer = Peer::start(cell.script.clone()).await;
    let client = client(&peer, &cell.script, authority, times, Arc::new(WallClock));
    let send_by = Timestamp::now() + Duration::from_secs(600);
    let answer = client.trigger(&order(cell.body_bytes), send_by).await;
    drop(client);
    (answer, peer.stop().await)
}

/// What was seen of the cells of one row.
#[derive(Default)]
struct Row {
    /// Where it stands among the others.
    order: usize,
    wires: BTreeSet<&'static str>,
    ends: BTreeSet<&'static str>,
    posts: Vec<usize>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_of_the_table() {
    let authority = Authority::new();
    let (length, head) = measure(&authority).await;
    let groups = [
        cells::requests(&authority, length, head),
        cells::answers(&authority),
        cells::statuses(&authority),
        cells::oddities(&authority),
        handshakes::handshakes(&authority),
        handshakes::protocols(&authority),
        handshakes::early(&authority),
    ];
    let cells: Vec<Cell> = groups.into_iter().flatten().collect();
    let authority = &authority;
    let sent = futures_util::stream::iter(cells.iter().enumerate())
        .map(|(at, cell)| async move { (at, cell, send(cell, authority).await) });
    let mut sent = std::pin::pin!(sent.buffer_unordered(AT_ONCE));
    let (mut rows, mut wrong) = (BTreeMap::<(&str, Class), Row>::new(), Vec::new());
    while let Some((at, cell, (answer, heard))) = sent.next().await {
        let class = Class::of(&answer);
        if let Err(why) = check(cell, class, &heard) {
            let (posts, bytes) = (heard.posts(), heard.bytes.len());
            let Cell { what, wire, script, .. } = cell;
            let end = script.end;
            wrong.push(format!("{wire}, {what}, {end:?}: {why}: {answer:?}, {posts} requests, {bytes} bytes"));
        }
        let row = rows.entry((&cell.what, class)).or_insert_with(|| Row { order: at, ..Row::default() });
        row.order = row.order.min(at);
        row.wires.insert(cell.wire);
        row.ends.insert(cell.script.end.told());
        row.posts.push(heard.posts());
    }
    print(rows, cells.len());
    assert!(wrong.is_empty(), "{} of {} cells are wrong:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
}

fn check(cell: &Cell, class: Class, heard: &Heard) -> Result<(), String> {
    if !cell.classes.contains(&class) {
        return Err(format!("is not {:?}", cell.classes));
    }
    if heard.connections > 1 || heard.posts() > 1 {
        return Err(format!("{} connections", heard.connections));
    }
    if class == Class::NotSent && !heard.bytes.is_empty() {
        return Err("the peer has seen a request".into());
    }
    if class != Class::NotSent && cell.script.reads == Reads::Whole && !heard.bytes.is_empty() && !heard.is_whole() {
        return Err("the request was cut".into());
    }
    match cell.protocol {
        Some(agreed) if agreed.map(|name| name.as_bytes().to_vec()) != heard.protocol => {
            Err(format!("agreed on {:?}", heard.protocol))
        }
        _ => Ok(()),
    }
}

fn print(rows: BTreeMap<(&str, Class), Row>, cells: usize) {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(_, row)| row.order);
    eprintln!("\n| the peer | over | and then | sends | class | requests it saw |\n|---|---|---|---|---|---|");
    for ((what, class), row) in rows {
        let words = |words: &BTreeSet<&str>| words.iter().copied().collect::<Vec<_>>().join(", ");
        let (wires, ends, sends) = (words(&row.wires), words(&row.ends), row.posts.len());
        let (least, most) = (row.posts.iter().min().unwrap_or(&0), row.posts.iter().max().unwrap_or(&0));
        let posts = if least == most { most.to_string() } else { format!("{least} or {most}") };
        eprintln!("| {what} | {wires} | {ends} | {sends} | {} | {posts} |", class.name());
    }
    eprintln!("\n{cells} sends");
}

/// Bytes of the request, and of its head.
async fn measure(authority: &Authority) -> (usize, usize) {
    let (script, classes) = (
        Script { greeting: Greeting::Plain, reads: Reads::Whole, says: Vec::new(), end: End::Close },
        Class::InDoubt.alone(),
    );
    let (_, heard) = send(&Cell::new("", "HTTP", script, classes), authority).await;
    assert!(heard.is_whole());
    (heard.bytes.len(), heard.bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4)
}

#[tokio::test]
async fn a_refused_connection_has_sent_nothing() {
    let authority = Authority::new();
    for greeting in cells::wires(&authority).map(|(_, greeting)| greeting) {
        let script = Script { greeting, reads: Reads::Whole, says: Vec::new(), end: End::Close };
        let peer = Peer::start(script.clone()).await;
        let client = client(&peer, &script, &authority, Times::default(), Arc::new(WallClock));
        assert_eq!(peer.stop().await.connections, 0);
        let answer = client.trigger(&order(13), Timestamp::now() + Duration::from_secs(600)).await;
        assert_eq!(Class::of(&answer), Class::NotSent, "{answer:?}");
    }
}

/// At its third look (the transport's, the client's, the connection's) waits until the peer has ended the connection.
struct Gate {
    looks: AtomicU32,
    ended: Arc<AtomicBool>,
}

impl Clock for Gate {
    fn now(&self) -> Timestamp {
        if self.looks.fetch_add(1, Ordering::SeqCst) == 2 {
            for _ in 0..5_000 {
                if self.ended.load(Ordering::SeqCst) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Timestamp::now()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn gone_before_the_request() {
    let authority = Authority::new();
    for (wire, greeting) in cells::wires(&authority) {
        for end in [End::Close, End::Cut, End::Reset] {
            let script = Script { greeting: greeting.clone(), reads: Reads::Bytes(0), says: Vec::new(), end };
            let peer = Peer::start(script.clone()).await;
            let clock = Arc::new(Gate { looks: AtomicU32::new(0), ended: peer.ended.clone() });
            let client = client(&peer, &script, &authority, Times::default(), clock);
            let answer = client.trigger(&order(13), Timestamp::now() + Duration::from_secs(600)).await;
            assert_eq!(Class::of(&answer), Class::NotSent, "{wire} {end:?}: {answer:?}");
            assert_eq!(peer.stop().await.connections, 1);
        }
    }
}
