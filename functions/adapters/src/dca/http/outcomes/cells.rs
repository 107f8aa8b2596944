//! What a peer can do to a send, and what is to be said of it.

use rustls::version::TLS13;

use super::peer::{End, Greeting, Reads, Script};
use super::tls::{Authority, Shows};
use super::{Cell, Class};
use Class::*;

pub(super) const ID: &str = r#"{"collection_id":"j_1"}"#;
pub(super) const JSON: &str = "content-type: application/json\r\n";

/// Plain HTTP, and TLS 1.3 as peers usually speak it.
pub(super) fn wires(authority: &Authority) -> [(&'static str, Greeting); 2] {
    let tls = Greeting::Tls(authority.server(Shows::Its, &TLS13, &["http/1.1"], false));
    [("HTTP", Greeting::Plain), ("HTTPS", tls)]
}

fn ends(greeting: &Greeting) -> &'static [End] {
    match greeting {
        Greeting::Tls(_) => &[End::Close, End::Cut, End::Reset, End::Stall],
        _ => &[End::Close, End::Reset, End::Stall],
    }
}

pub(super) fn says(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The peer reads a part of the request, of `length` bytes with a head of `head`, and ends the connection.
pub(super) fn requests(authority: &Authority, length: usize, head: usize) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (wire, greeting) in wires(authority) {
        for &end in ends(&greeting) {
            let mut push = |what: &str, reads: Reads, classes: &'static [Class]| {
                let script = Script { greeting: greeting.clone(), reads, says: Vec::new(), end };
                cells.push(Cell::new(what, wire, script, classes));
            };
            // Whether the end is seen before the request is begun is a race; `gone_before_the_request` decides it.
            let at_once: &[Class] = if end == End::Stall { &[InDoubt] } else { &[NotSent, InDoubt] };
            push("accepts, reads nothing", Reads::Bytes(0), at_once);
            if wire == "HTTP" {
                push("waits for the request, reads nothing", Reads::Arrival, &[InDoubt]);
            }
            for bytes in 1..=length {
                let what = match bytes {
                    _ if bytes < head => "reads 1 byte … the head without its last byte",
                    _ if bytes == head => "reads the head",
                    _ if bytes < length => "reads the head and a part of the body",
                    _ => "reads the whole request",
                };
                push(what, Reads::Bytes(bytes), &[InDoubt]);
            }
        }
    }
    cells
}

/// The peer reads the whole request and cuts its answer at every byte.
pub(super) fn answers(authority: &Authority) -> Vec<Cell> {
    let framed =
        |body: &str, framing: &str, status: &str| format!("HTTP/1.1 {status}\r\n{JSON}{framing}\r\n\r\n{body}");
    let length = |body: &str| format!("content-length: {}", body.len());
    let chunked = format!("8\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", &ID[..8], ID.len() - 8, &ID[8..]);
    let error = r#"{"error":"Collector not found"}"#;
    // Name, the answer, how many bytes at its end say nothing new, and what the whole of it means.
    let table = [
        ("200 with Content-Length", framed(ID, &length(ID), "200 OK"), 0, Accepted),
        ("200 in chunks", framed(&chunked, "transfer-encoding: chunked", "200 OK"), "\r\n0\r\n\r\n".len(), Accepted),
        ("200 until the end of the connection", framed(ID, "connection: close", "200 OK"), 0, Accepted),
        ("404 with Content-Length", framed(error, &length(error), "404 Not Found"), 0, Refused),
    ];
    let mut cells = Vec::new();
    for (wire, greeting) in wires(authority) {
        for (name, answer, spare, class) in &table {
            for &end in ends(&greeting) {
                for bytes in 0..=answer.len() {
                    let whole = bytes >= answer.len() - spare;
                    let part = match answer.find("\r\n\r\n").unwrap() + 4 {
                        _ if bytes == answer.len() => "all of it",
                        _ if whole => "all but the end of the framing",
                        head if bytes < head => "a part of the head",
                        head if bytes == head => "the head",
                        _ => "the head and a part of the body",
                    };
                    let says = answer.as_bytes()[..bytes].to_vec();
                    let script = Script { greeting: greeting.clone(), reads: Reads::Whole, says, end };
                    cells.push(Cell::new(
                        &format!("{name}: says {part}"),
                        wire,
                        script,
                        if whole { class.alone() } else { &[InDoubt] },
                    ));
                }
            }
        }
    }
    cells
}

/// Whole answers of every kind, and each of them cut in its body.
pub(super) fn statuses(authority: &Authority) -> Vec<Cell> {
    let maximum = "Maximum limit of 100 jobs per scraper has been exceeded.";
    let trial = r#"{"error":"Trial collectors don't support queuing jobs"}"#;
    let html = "<html>Bad Gateway</html>";
    let template = r#"{"error":"Collector does not have a template"}"#;
    // Status and headers, body, class of the whole, class of what is cut in its body.
    let table: &[(&str, &str, &str, Class, Class)] = &[
        ("200 OK", JSON, "{}", InDoubt, InDoubt),
        ("200 OK", JSON, r#"{"collection_id":""}"#, InDoubt, InDoubt),
        ("200 OK", JSON, r#"{"collection_id":7}"#, InDoubt, InDoubt),
        ("200 OK", JSON, r#"{"collection_id":["j_1"]}"#, InDoubt, InDoubt),
        ("200 OK", JSON, r#"{"collection_id":"j_1""#, InDoubt, InDoubt),
        ("200 OK", JSON, r#"[{"collection_id":"j_1"}]"#, InDoubt, InDoubt),
        ("200 OK", JSON, r#"{"error":"No input provided"}"#, InDoubt, InDoubt),
        ("200 OK", "content-type: text/html\r\n", html, InDoubt, InDoubt),
        ("200 OK", "x-brd-error: something\r\n", "?", InDoubt, InDoubt),
        ("200 OK", "x-brd-error: something\r\n", ID, Accepted, InDoubt),
        ("201 Created", JSON, ID, Accepted, InDoubt),
        ("206 Partial Content", JSON, ID, Accepted, InDoubt),
        ("300 Multiple Choices", "location: /x\r\n", "elsewhere", InDoubt, InDoubt),
        ("301 Moved Permanently", "location: /x\r\n", "elsewhere", Refused, InDoubt),
        ("302 Found", "location: /x\r\n", "elsewhere", InDoubt, InDoubt),
        ("303 See Other", "location: /x\r\n", "elsewhere", InDoubt, InDoubt),
        ("307 Temporary Redirect", "location: /x\r\n", "elsewhere", Refused, InDoubt),
        ("308 Permanent Redirect", "location: /x\r\n", "elsewhere", Refused, InDoubt),
        ("400 Bad Request", JSON, r#"{"error":"No input provided"}"#, Refused, InDoubt),
        ("400 Bad Request", JSON, trial, RefusedOption, InDoubt),
        ("400 Bad Request", "", maximum, Wait, InDoubt),
        ("401 Unauthorized", "", "Invalid credentials", Credentials, Credentials),
        ("403 Forbidden", "", "This API key lacks the permission", Credentials, InDoubt),
        ("403 Forbidden", JSON, template, Refused, InDoubt),
        ("404 Not Found", "", "Collector not found", Refused, InDoubt),
        ("408 Request Timeout", "", "late", InDoubt, InDoubt),
        ("409 Conflict", "", "busy", Refused, InDoubt),
        ("413 Content Too Large", "", "too large", Refused, InDoubt),
        ("422 Unprocessable Content", JSON, r#"{"message":"url is required"}"#, Refused, InDoubt),
        ("425 Too Early", "", "too early", Refused, InDoubt),
        ("429 Too Many Requests", "", "slow down", Wait, Wait),
        ("429 Too Many Requests", "retry-after: 7\r\n", "slow down", Wait, Wait),
        ("500 Internal Server Error", "", "oh", InDoubt, InDoubt),
        ("502 Bad Gateway", "content-type: text/html\r\n", html, InDoubt, InDoubt),
        ("503 Service Unavailable", "retry-after: 7\r\n", "later", InDoubt, InDoubt),
        ("504 Gateway Timeout", JSON, ID, InDoubt, InDoubt),
    ];
    let mut cells = Vec::new();
    for (wire, greeting) in wires(authority) {
        for (status, headers, body, whole, cut) in table {
            let answer = says(status, headers, body.as_bytes());
            let about = format!("{status}, {}`{body}`", headers.replace("\r\n", ", "));
            for (part, class) in [(answer.len(), whole), (answer.len() - 1, cut)] {
                for &end in if part == answer.len() { &[End::Stall][..] } else { ends(&greeting) } {
                    let says = answer[..part].to_vec();
                    let script = Script { greeting: greeting.clone(), reads: Reads::Whole, says, end };
                    let about =
                        if part == answer.len() { about.clone() } else { format!("{about} without its last byte") };
                    cells.push(Cell::new(&about, wire, script, class.alone()));
                }
            }
        }
    }
    cells
}

/// Answers that HTTP/1.1 does not allow, or that surprise.
pub(super) fn oddities(authority: &Authority) -> Vec<Cell> {
    let ok = says("200 OK", JSON, ID.as_bytes());
    let with = |before: &[u8], after: &[u8]| [before, &ok, after].concat();
    let declared =
        |length: usize| format!("HTTP/1.1 200 OK\r\n{JSON}content-length: {length}\r\n\r\n{ID}").into_bytes();
    let gzip = super::super::tests::gzip(ID);
    let gzipped = |bytes: &[u8]| says("200 OK", "content-encoding: gzip\r\n", bytes);
    // SETTINGS, and a GOAWAY that says that no stream was processed.
    let frames = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let table: Vec<(&str, Vec<u8>, End, Class)> = vec![
        ("100 Continue, then 200", with(b"HTTP/1.1 100 Continue\r\n\r\n", b""), End::Close, Accepted),
        (
            "103 Early Hints, then 200",
            with(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", b""),
            End::Close,
            Accepted,
        ),
        ("102 twice, then 200", with(&b"HTTP/1.1 102 Processing\r\n\r\n".repeat(2), b""), End::Close, Accepted),
        ("100 Continue alone", b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), End::Close, InDoubt),
        ("100 Continue alone", b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), End::Stall, InDoubt),
        (
            "101 Switching Protocols",
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n".to_vec(),
            End::Close,
            InDoubt,
        ),
        ("Content-Length too long", declared(99), End::Close, Accepted),
        ("Content-Length too long", declared(99), End::Stall, Accepted),
        ("Content-Length too short", declared(ID.len() - 1), End::Close, InDoubt),
        ("Content-Length 0", declared(0), End::Close, InDoubt),
        (
            "two different Content-Lengths",
            [b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n", &ok[17..]].concat(),
            End::Close,
            InDoubt,
        ),
        ("extra bytes behind the answer", with(b"", b"and more"), End::Close, Accepted),
        ("a second answer behind the answer", with(b"", &says("500 Oh", "", b"oh")), End::Stall, Accepted),
        ("a gzip body, not asked for", gzipped(&gzip), End::Close, InDoubt),
        ("a gzip body, cut", gzipped(&gzip[..gzip.len() - 9]), End::Close, InDoubt),
        ("no HTTP", b"what is this\r\n\r\n".to_vec(), End::Close, InDoubt),
        ("HTTP/0.9", ID.as_bytes().to_vec(), End::Close, InDoubt),
        ("HTTP/1.0", [b"HTTP/1.0", &ok[8..]].concat(), End::Close, Accepted),
        ("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n".to_vec(), End::Close, InDoubt),
        ("an endless head", [b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(200)].concat(), End::Stall, InDoubt),
        (
            "a chunk without a length",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n".to_vec(),
            End::Close,
            InDoubt,
        ),
        ("HTTP/2 frames: SETTINGS, GOAWAY", frames.to_vec(), End::Close, InDoubt),
    ];
    let mut cells = Vec::new();
    for (wire, greeting) in wires(authority) {
        for (name, bytes, end, class) in &table {
            let script = Script { greeting: greeting.clone(), reads: Reads::Whole, says: bytes.clone(), end: *end };
            cells.push(Cell::new(name, wire, script, class.alone()));
        }
    }
    cells
}
