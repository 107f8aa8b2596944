//! A peer that follows a script, byte by byte, on the other side of a real socket.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::clock::WallClock;
use crate::dca::{Client, FixedToken};
use pipeline::ports::{Api, Dataset, Looked, SendAnswer, TriggerRequest};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

#[derive(Clone)]
enum Step {
    /// Closes at once.
    Close,
    /// Reads the request, then closes.
    ReadAndClose,
    /// Reads the request, says this and closes.
    Say(Vec<u8>),
    /// Reads the request, says this and then nothing more.
    Stall(Vec<u8>),
}

fn say(text: impl Into<String>) -> Step {
    Step::Say(text.into().into_bytes())
}

/// One step a connection; gives what was read on each of them.
async fn peer(steps: Vec<Step>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut heard = Vec::new();
        let mut held = Vec::new();
        for step in steps {
            let (mut socket, _) = listener.accept().await.unwrap();
            if matches!(step, Step::Close) {
                heard.push(String::new());
                continue;
            }
            heard.push(read_request(&mut socket).await);
            match step {
                Step::Say(bytes) => socket.write_all(&bytes).await.unwrap(),
                Step::Stall(bytes) => {
                    socket.write_all(&bytes).await.unwrap();
                    held.push(socket);
                }
                Step::Close | Step::ReadAndClose => {}
            }
        }
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            drop(held);
        });
        heard
    });
    (base, task)
}

async fn read_request(socket: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().unwrap() {
                return text;
            }
        }
        let count = socket.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the request was cut: {text}");
        read.extend_from_slice(&buffer[..count]);
    }
}

fn client(base: &str) -> Client<HttpTransport> {
    let short = Duration::from_millis(300);
    let times = Times { connect: Duration::from_secs(2), send: short, ask: short, read: short };
    let clock = Arc::new(WallClock);
    let transport = HttpTransport::new(base, times, clock.clone()).unwrap();
    let backoff = crate::dca::Backoff { waits: vec![Duration::from_millis(1)], ..Default::default() };
    Client::new(transport, Arc::new(FixedToken("secret-token".into())), clock).with_backoff(backoff)
}

fn order() -> TriggerRequest {
    let query = vec![("queue_next".to_owned(), "1".to_owned())];
    TriggerRequest { collector: "c_abc123".into(), query, body: Bytes::from_static(b"[{\"url\":\"a\"}]") }
}

async fn send(base: &str) -> SendAnswer {
    client(base).trigger(&order(), Timestamp::now() + Duration::from_secs(30)).await
}

async fn send_to(step: Step) -> SendAnswer {
    let (base, task) = peer(vec![step]).await;
    let answer = send(&base).await;
    assert_eq!(task.await.unwrap().len(), 1);
    answer
}

#[tokio::test]
async fn a_connection_that_never_stood_has_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for base in [base.as_str(), "http://no-such-host.invalid"] {
        let answer = send(base).await;
        assert!(matches!(answer, SendAnswer::NotSent { .. }), "{answer:?}");
    }
    // No TLS on the other side: the handshake fails before the request is written.
    let (base, task) = peer(vec![Step::Close]).await;
    let answer = send(&base.replace("http:", "https:")).await;
    assert!(matches!(answer, SendAnswer::NotSent { .. }), "{answer:?}");
    task.await.unwrap();
}

#[tokio::test]
async fn a_send_goes_out_as_it_should() {
    let body = r#"{"collection_id":"j_1","start_eta":"2026-05-22T13:26:22.702Z"}"#;
    let (base, task) = peer(vec![say(format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len()))]).await;
    let answer = send(&base).await;
    assert!(matches!(&answer, SendAnswer::Accepted { collection, .. } if collection == "j_1"), "{answer:?}");
    let heard = task.await.unwrap().remove(0);
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, r#"[{"url":"a"}]"#);
    let mut lines: Vec<_> = head.lines().filter(|line| !line.starts_with("host: ")).collect();
    lines[1..].sort_unstable();
    let agent = format!("user-agent: {}", crate::dca::encode::USER_AGENT);
    let expected = [
        "POST /dca/trigger?collector=c_abc123&queue_next=1 HTTP/1.1",
        "accept: application/json",
        "authorization: Bearer secret-token",
        "content-length: 13",
        "content-type: application/json",
        agent.as_str(),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_lost_answer_to_a_send_is_in_doubt() {
    let half = format!("{HEAD}content-length: 99\r\n\r\n{{\"collection_id\":\"j_1");
    let steps = [
        Step::ReadAndClose,
        say("HTTP/1.1 200 O"),
        say("what is this\r\n\r\n"),
        say(half.clone()),
        Step::Stall(Vec::new()),
        Step::Stall(half.into_bytes()),
        say(format!("{HEAD}transfer-encoding: chunked\r\n\r\n17\r\n{{\"collection_id\":\"j_1")),
        say("HTTP/1.1 503 Unavailable\r\ncontent-length: 2\r\n\r\nno"),
    ];
    for (index, step) in steps.into_iter().enumerate() {
        let answer = send_to(step).await;
        assert!(matches!(answer, SendAnswer::InDoubt { .. }), "{index}: {answer:?}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let answer = send_to(say("HTTP/1.1 307 Moved\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")).await;
    assert_eq!(answer, SendAnswer::Refused { status: 307, text: "no text".into() });
}

/// Says a time that is past `send_by` from the second look on: the first is the client's, the second the connection's.
struct Late(Mutex<u32>);

impl Clock for Late {
    fn now(&self) -> Timestamp {
        let mut looks = self.0.lock().unwrap();
        *looks += 1;
        Timestamp::constant(if *looks > 2 { 1_000 } else { 0 }, 0)
    }
}

#[tokio::test]
async fn a_connection_that_stands_too_late_carries_nothing() {
    let (base, task) = peer(vec![Step::ReadAndClose]).await;
    let clock = Arc::new(Late(Mutex::new(0)));
    let transport = HttpTransport::new(&base, Times::default(), clock.clone()).unwrap();
    let client = Client::new(transport, Arc::new(FixedToken("t".into())), clock);
    let answer = client.trigger(&order(), Timestamp::constant(30, 0)).await;
    let SendAnswer::NotSent { why } = answer else { panic!("{answer:?}") };
    assert!(why.contains("too late for a send that was due by 1970-01-01T00:00:30Z"), "{why}");
    // The peer saw a connection and its end, and not one byte.
    let error = task.await.unwrap_err();
    assert!(error.is_panic(), "the peer read a request");
}

async fn fetch(steps: Vec<Step>) -> Result<Vec<u8>, String> {
    let (base, task) = peer(steps).await;
    let client = client(&base);
    let dataset = match client.dataset("j_1").await {
        Looked::Found(Dataset::Ready { mut body, content_type }) => {
            assert_eq!(content_type, "application/json");
            let mut all = Vec::new();
            loop {
                match body.next().await {
                    Ok(Some(chunk)) => all.extend_from_slice(&chunk),
                    Ok(None) => break Ok(all),
                    Err(error) => break Err(text_of(&error)),
                }
            }
        }
        Looked::Trouble { why } => Err(why),
        _ => Err("something else".into()),
    };
    task.abort();
    dataset
}

fn with_head(head: &str, body: &[u8]) -> Vec<u8> {
    [HEAD.as_bytes(), head.as_bytes(), b"\r\n\r\n", body].concat()
}

pub(super) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn datasets_come_whole_or_with_an_error() {
    let text = (0..5_000).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>();
    let full = with_head(&format!("content-length: {}", text.len()), text.as_bytes());
    assert_eq!(fetch(vec![Step::Say(full.clone())]).await.unwrap(), text.as_bytes());
    // The first connection breaks before there is an answer: asked again.
    assert_eq!(fetch(vec![Step::ReadAndClose, Step::Say(full.clone())]).await.unwrap(), text.as_bytes());

    let cut = full[..full.len() - 1].to_vec();
    assert!(fetch(vec![Step::Say(cut.clone())]).await.is_err());
    let why = fetch(vec![Step::Stall(cut)]).await.unwrap_err();
    assert!(why.contains("timed out"), "{why}");
    // Silence before the head, twice.
    let why = fetch(vec![Step::Stall(Vec::new()), Step::Stall(Vec::new())]).await.unwrap_err();
    assert!(why.contains("timed out"), "{why}");

    let chunked = with_head("transfer-encoding: chunked", b"3\r\n[1]\r\n0\r\n\r\n");
    assert_eq!(fetch(vec![Step::Say(chunked.clone())]).await.unwrap(), b"[1]");
    for missing in [2, 5, 7] {
        assert!(fetch(vec![Step::Say(chunked[..chunked.len() - missing].to_vec())]).await.is_err(), "{missing}");
    }
}

#[tokio::test]
async fn compressed_datasets_come_whole_or_with_an_error() {
    let text = (0..5_000).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>();
    let packed = gzip(&text);
    let sized = |body: &[u8]| with_head(&format!("content-encoding: gzip\r\ncontent-length: {}", body.len()), body);
    let chunked = |body: &[u8]| {
        let framed = [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat();
        with_head("content-encoding: gzip\r\ntransfer-encoding: chunked", &framed)
    };
    assert_eq!(fetch(vec![Step::Say(sized(&packed))]).await.unwrap(), text.as_bytes());
    assert_eq!(fetch(vec![Step::Say(chunked(&packed))]).await.unwrap(), text.as_bytes());
    // Proper HTTP around a gzip stream that ends early: anywhere in the data, and in its trailer.
    for missing in [1, 4, 8, 9, packed.len() / 2, packed.len() - 5] {
        let part = &packed[..packed.len() - missing];
        assert!(fetch(vec![Step::Say(sized(part))]).await.is_err(), "{missing} bytes of the gzip stream are missing");
        assert!(fetch(vec![Step::Say(chunked(part))]).await.is_err(), "{missing} bytes of the gzip stream are missing");
    }
    // And HTTP that ends early around a whole gzip stream.
    let whole = sized(&packed);
    assert!(fetch(vec![Step::Say(whole[..whole.len() - 3].to_vec())]).await.is_err());
}

#[tokio::test]
async fn every_send_has_a_connection_of_its_own() {
    // The peer would go on with each of them.
    let answer = format!("{HEAD}content-length: 2\r\n\r\n{{}}").into_bytes();
    let (base, task) = peer(vec![Step::Stall(answer); 2]).await;
    let client = client(&base);
    for _ in 0..2 {
        let by = Timestamp::now() + Duration::from_secs(30);
        assert!(matches!(client.trigger(&order(), by).await, SendAnswer::InDoubt { .. }));
    }
    assert_eq!(task.await.unwrap().len(), 2);
}

#[test]
fn bad_addresses_are_told() {
    for base in ["", "api.brightdata.com", "ftp://a", "https://user:pass@a", "https://a/?b=c"] {
        assert!(HttpTransport::new(base, Times::default(), Arc::new(WallClock)).is_err(), "{base}");
    }
}
