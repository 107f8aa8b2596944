//! The server over a real socket, spoken to byte by byte: what a client sees of each fault.

use std::sync::{Arc, Mutex};

use dropcollect::simulator::{Service, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::world::calm;

struct Server {
    address: std::net::SocketAddr,
    service: Arc<Mutex<Service>>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(differences: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let service = Arc::new(Mutex::new(Service::new(calm(differences))));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, Arc::clone(&service), stopped));
        Self { address, service, stop, task }
    }

    /// Sends one request and reads until the connection ends.
    async fn exchange(&self, method: &str, target: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\n{headers}content-length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // A reset after some bytes is an end like any other here.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).expect("text")
    }

    async fn trigger(&self, headers: &str, inputs: usize) -> String {
        let body = crate::world::urls(inputs).to_string();
        self.exchange("POST", "/dca/trigger?collector=c_any&queue_next=1&name=a%20b", headers, &body).await
    }

    async fn ready(&self, inputs: usize) -> String {
        self.trigger("connection: close\r\n", inputs).await;
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let id = self.service.lock().expect("whole").jobs().last().expect("a job").id().to_owned();
        format!("/dca/dataset?id={id}")
    }

    fn jobs(&self) -> usize {
        self.service.lock().expect("whole").jobs().count()
    }
}

/// The body and the announced length.
fn split(answer: &str) -> (&str, Option<usize>) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    (body, length.map(|length| length.parse().expect("a number")))
}

#[tokio::test]
async fn an_answer_comes_and_a_shutdown_ends_the_server() {
    let server = Server::start("").await;
    let answer = server.trigger("connection: close\r\n", 2).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (body, length) = split(&answer);
    assert!(body.contains("\"collection_id\":\"j_") && length == Some(body.len()), "{answer}");
    let jobs = server.exchange("GET", "/_simulator/jobs", "connection: close\r\n", "").await;
    assert!(jobs.contains("\"name\":\"a b\""), "{jobs}");
    let address = server.address;
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_lost_answer_closes_the_connection_without_a_byte() {
    for (differences, accepted) in [("trigger_answer_lost = 1.0", 1), ("faults.trigger.not_connected = 1.0", 0)] {
        let server = Server::start(differences).await;
        assert_eq!(server.trigger("", 1).await, "");
        assert_eq!(server.jobs(), accepted, "{differences}");
    }
}

#[tokio::test]
async fn a_cut_answer_is_shorter_than_announced() {
    let server = Server::start("faults.trigger.answer_cut = 1.0").await;
    let answer = server.trigger("", 1).await;
    let (body, length) = split(&answer);
    assert!(body.len() < length.unwrap(), "{answer}");
    assert_eq!(server.jobs(), 1);
}

#[tokio::test]
async fn a_large_dataset_is_chunked_and_its_cut_has_no_end() {
    for (cut, ended) in [("0.0", true), ("1.0", false)] {
        let server = Server::start(&format!("faults.dataset.answer_cut = {cut}\ninputs.records = 3000")).await;
        let target = server.ready(1).await;
        let answer = server.exchange("GET", &target, "connection: close\r\n", "").await;
        assert!(answer.contains("transfer-encoding: chunked"), "{} bytes", answer.len());
        assert_eq!(answer.ends_with("\r\n0\r\n\r\n"), ended);
        assert_eq!(answer.contains("\"position\":2999"), ended);
    }
}

/// Takes one request and answers it; gives what was sent.
async fn one_request(listener: TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.expect("a request");
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut request).await.expect("a request"), 0);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("a request");
    String::from_utf8(request).expect("a request")
}

#[tokio::test]
async fn a_job_that_has_ended_is_told_where_its_trigger_says() {
    for host in [None, Some("abc.lambda-url.us-east-1.on.aws")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let instead = host.map_or_else(String::new, |_| format!("api.notices_to = \"{here}\""));
        let server = Server::start(&instead).await;
        let host = host.map_or(format!("http://{here}"), |host| format!("https://{host}"));
        let notify = format!("%7B%22type%22:%22webhook%22,%22endpoint%22:%22{host}/a/b%22%7D");
        let target = format!("/dca/trigger?collector=c_any&notify={notify}");
        let body = crate::world::urls(1).to_string();
        server.exchange("POST", &target, "connection: close\r\n", &body).await;
        let told = one_request(listener).await;
        let id = server.service.lock().unwrap().jobs().next().unwrap().id().to_owned();
        assert!(told.starts_with("POST /a/b HTTP/1.1\r\n"), "{told}");
        assert!(told.contains(&format!("host: {}\r\n", host.rsplit('/').next().unwrap())), "{told}");
        assert!(told.ends_with(&format!(r#"{{"id":"{id}","success":true}}"#)), "{told}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_between_requests() {
    let server = Server::start("").await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        let request = "GET /dca/log/j_none HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"Job not found") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        assert!(answer.starts_with(b"HTTP/1.1 404"));
    }
}
