//! What stands in for the API and for S3: they make and throw away bytes as cheaply as a socket allows, so that they are not what is
//! measured. Blocking threads, one for each connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use crate::data::{Dataset, Shape};

/// Serves datasets and swallows objects until it is ended: `peers`. Says in one line where.
pub(crate) fn main() -> anyhow::Result<()> {
    let api = TcpListener::bind("127.0.0.1:0")?;
    let s3 = TcpListener::bind("127.0.0.1:0")?;
    println!(r#"{{"api":"http://{}","s3":"http://{}"}}"#, api.local_addr()?, s3.local_addr()?);
    std::io::stdout().flush()?;
    std::thread::spawn(move || serve(&api, dataset));
    serve(&s3, object);
    Ok(())
}

fn serve(listener: &TcpListener, answer: fn(&Request, &mut Connection) -> std::io::Result<()>) {
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            // A peer that goes away is no matter.
            drop(converse(stream, answer));
        });
    }
}

struct Connection {
    from: BufReader<TcpStream>,
    to: TcpStream,
}

struct Request {
    method: String,
    target: String,
    bytes: usize,
}

fn converse(stream: TcpStream, answer: fn(&Request, &mut Connection) -> std::io::Result<()>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection { from: BufReader::with_capacity(64 * 1024, stream.try_clone()?), to: stream };
    while let Some(request) = read_head(&mut connection)? {
        answer(&request, &mut connection)?;
    }
    Ok(())
}

fn read_head(connection: &mut Connection) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if connection.from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut bytes, mut waits) = (0, false);
    loop {
        let mut header = String::new();
        connection.from.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        match header.split_once(':') {
            Some(("content-length", value)) => bytes = value.trim().parse().unwrap_or(0),
            Some(("expect", _)) => waits = true,
            None if header.is_empty() => break,
            _ => {}
        }
    }
    if waits {
        connection.to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    Ok(Some(Request { method, target, bytes }))
}

/// `GET /dca/dataset?id=<shape>-<bytes>`
fn dataset(request: &Request, connection: &mut Connection) -> std::io::Result<()> {
    let id = request.target.split_once("id=").map_or("", |(_, id)| id).split('&').next().unwrap_or_default();
    let (shape, bytes) = id.split_once('-').unwrap_or(("ndjson", "0"));
    let shape = Shape::named(shape).map_err(std::io::Error::other)?;
    let dataset = Arc::new(Dataset::of(shape, bytes.parse().unwrap_or(0)));
    let kind = if shape == Shape::Array { "application/json" } else { "application/jsonl" };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", dataset.bytes());
    connection.to.write_all(head.as_bytes())?;
    connection.to.write_all(&dataset.head)?;
    for _ in 0..dataset.times {
        connection.to.write_all(&dataset.block)?;
    }
    connection.to.write_all(&dataset.tail)
}

/// An S3 that has nothing and takes everything.
fn object(request: &Request, connection: &mut Connection) -> std::io::Result<()> {
    std::io::copy(&mut (&mut connection.from).take(request.bytes as u64), &mut std::io::sink())?;
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let (status, body) = match (request.method.as_str(), query) {
        ("POST", query) if query.contains("uploads") => {
            ("200 OK", "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
        }
        ("POST", _) => ("200 OK", "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>"),
        ("GET", query) if query.contains("list-type=2") => {
            ("200 OK", "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        }
        ("GET", _) => ("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>"),
        ("DELETE", _) => ("204 No Content", ""),
        _ => ("200 OK", ""),
    };
    let length = if status.starts_with("204") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let answer = format!("HTTP/1.1 {status}\r\nETag: \"e\"\r\n{length}\r\n{body}");
    connection.to.write_all(answer.as_bytes())
}
