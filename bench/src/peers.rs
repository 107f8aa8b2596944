//! What stands in for the API and for S3: they make and throw away bytes as cheaply as a socket allows, so that they are not what is
//! measured. Blocking threads, one for each connection.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};

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

/// The head of a request. Its body is not read.
pub(crate) struct Request {
    method: String,
    target: String,
    /// Of the body.
    pub(crate) bytes: usize,
    /// `If-None-Match: *`
    creates: bool,
    /// The client asks before it sends the body.
    waits: bool,
}

fn converse(stream: TcpStream, answer: fn(&Request, &mut Connection) -> std::io::Result<()>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection { from: BufReader::with_capacity(64 * 1024, stream.try_clone()?), to: stream };
    while let Some(request) = read_head(&mut connection.from)? {
        if request.waits {
            connection.to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        answer(&request, &mut connection)?;
    }
    Ok(())
}

/// Reads the head of the next request, if there is one.
pub(crate) fn read_head(from: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request { method, target, bytes: 0, creates: false, waits: false };
    loop {
        let mut header = String::new();
        from.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        match header.split_once(':') {
            Some(("content-length", value)) => request.bytes = value.trim().parse().map_err(std::io::Error::other)?,
            Some(("expect", _)) => request.waits = true,
            Some(("if-none-match", _)) => request.creates = true,
            None if header.is_empty() => return Ok(Some(request)),
            _ => {}
        }
    }
}

/// `GET /dca/dataset?id=<shape>-<bytes>`
fn dataset(request: &Request, connection: &mut Connection) -> std::io::Result<()> {
    let id = request.target.split_once("id=").map_or("", |(_, id)| id).split('&').next().unwrap_or_default();
    let (shape, bytes) = id.split_once('-').unwrap_or(("ndjson", "0"));
    let shape = Shape::named(shape).map_err(std::io::Error::other)?;
    let dataset = Dataset::of(shape, bytes.parse().unwrap_or(0));
    let kind = if shape == Shape::Array { "application/json" } else { "application/jsonl" };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", dataset.bytes());
    connection.to.write_all(head.as_bytes())?;
    connection.to.write_all(&dataset.head)?;
    for _ in 0..dataset.times {
        connection.to.write_all(&dataset.block)?;
    }
    connection.to.write_all(&dataset.tail)
}

/// What was put whole: the records of the pipeline. Parts of large objects are thrown away.
static OBJECTS: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// An S3 of one bucket.
fn object(request: &Request, connection: &mut Connection) -> std::io::Result<()> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let whole = request.method == "PUT" && !query.contains("partNumber");
    let mut body = Vec::new();
    let mut bytes = (&mut connection.from).take(request.bytes as u64);
    if whole {
        bytes.read_to_end(&mut body)?;
    } else {
        std::io::copy(&mut bytes, &mut std::io::sink())?;
    }
    let mut objects = OBJECTS.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, body): (&str, Vec<u8>) = match (request.method.as_str(), query) {
        ("POST", query) if query.contains("uploads") => {
            ("200 OK", b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>".into())
        }
        ("POST", _) => {
            ("200 OK", b"<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>".into())
        }
        ("GET", query) if query.contains("list-type=2") => ("200 OK", listing(&objects, path, query).into()),
        ("GET", _) => match objects.get(path) {
            Some(object) => ("200 OK", object.clone()),
            None => ("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>".into()),
        },
        ("PUT", _) if whole && request.creates && objects.contains_key(path) => {
            ("412 Precondition Failed", b"<Error><Code>PreconditionFailed</Code></Error>".into())
        }
        ("PUT", _) if whole => {
            objects.insert(path.to_owned(), body);
            ("200 OK", Vec::new())
        }
        ("DELETE", _) => ("204 No Content", Vec::new()),
        _ => ("200 OK", Vec::new()),
    };
    drop(objects);
    let length = if status.starts_with("204") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("HTTP/1.1 {status}\r\nETag: \"e\"\r\n{length}\r\n");
    connection.to.write_all(&[head.as_bytes(), &body].concat())
}

/// A page of keys; those of the pipeline need no escapes in XML.
fn listing(objects: &BTreeMap<String, Vec<u8>>, path: &str, query: &str) -> String {
    let given = |name: &str| {
        let pair = query.split('&').find_map(|pair| pair.strip_prefix(name));
        pair.unwrap_or_default().replace("%2F", "/")
    };
    let bucket = path.trim_end_matches('/');
    let key = |path: &str| path.strip_prefix(bucket).map(|key| key.trim_start_matches('/').to_owned());
    let (prefix, after) = (given("prefix="), given("start-after="));
    let mut keys = objects.keys().filter_map(|path| key(path));
    let keys: Vec<String> =
        keys.by_ref().filter(|key| key.starts_with(&prefix) && **key > *after).take(1_000).collect();
    let contents: String = keys.iter().map(|key| format!("<Contents><Key>{key}</Key></Contents>")).collect();
    let more = keys.len() == 1_000;
    format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>{contents}</ListBucketResult>")
}
