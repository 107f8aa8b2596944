//! Connections that do not come to stand, protocols, and answers that do not wait for the request.

use rustls::version::{TLS12, TLS13};

use super::cells::{ID, JSON, says, wires};
use super::peer::{End, Greeting, Reads, Script};
use super::tls::{Authority, Shows};
use super::{Cell, Class, LONG};
use Class::*;

/// TLS that fails. The peer cannot have seen a request.
pub(super) fn handshakes(authority: &Authority) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut push = |what: &str, greeting: Greeting, end: End, classes: &'static [Class]| {
        let script = Script { greeting, reads: Reads::Whole, says: says("200 OK", JSON, ID.as_bytes()), end };
        cells.push(Cell::new(what, "HTTPS", script, classes));
    };
    let nonsense: [(&str, &[u8]); 5] = [
        ("says nothing after ClientHello", b""),
        ("garbage instead of ServerHello", b"\x16\x03\x03\x00\x05abcde and so on"),
        ("alert handshake_failure", b"\x15\x03\x03\x00\x02\x02\x28"),
        ("alert close_notify", b"\x15\x03\x03\x00\x02\x01\x00"),
        ("plain HTTP instead of TLS", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
    ];
    for (what, bytes) in nonsense {
        for end in [End::Close, End::Reset] {
            push(what, Greeting::Says(bytes.to_vec()), end, &[NotSent]);
        }
    }
    for (name, version) in [("TLS 1.2", &TLS12), ("TLS 1.3", &TLS13)] {
        let shows = [
            ("a certificate for another name", Shows::OtherName),
            ("an expired certificate", Shows::Expired),
            ("a certificate of a strange authority", Shows::Strange),
        ];
        for (what, shows) in shows {
            let config = authority.server(shows, version, &[], false);
            push(&format!("{name}: shows {what}"), Greeting::Tls(config), End::Close, &[NotSent]);
        }
        let config = authority.server(Shows::Its, version, &["http/1.1"], false);
        let all = authority.handshake_bytes(&config);
        for end in [End::Close, End::Reset, End::Stall] {
            for bytes in (0..all).step_by(9).chain([all - 1]) {
                push(
                    &format!("{name}: says a part of its handshake"),
                    Greeting::Part(config.clone(), bytes),
                    end,
                    &[NotSent],
                );
            }
            // The client's handshake is over; whether it sees the end before it begins to write is a race.
            let classes: &[Class] = if end == End::Stall { &[InDoubt] } else { &[NotSent, InDoubt] };
            push(
                &format!("{name}: says all of its handshake, reads no request"),
                Greeting::Part(config.clone(), all),
                end,
                classes,
            );
        }
        let strict = authority.server(Shows::Its, version, &["http/1.1"], true);
        // In TLS 1.3 the client's last flight and the request leave together, and the alert comes after both.
        let classes: &[Class] = if name == "TLS 1.2" { &[NotSent] } else { &[NotSent, InDoubt] };
        push(&format!("{name}: wants a certificate of the client"), Greeting::Tls(strict), End::Close, classes);
    }
    cells
}

/// What is agreed on by ALPN: HTTP/1.1 or nothing.
pub(super) fn protocols(authority: &Authority) -> Vec<Cell> {
    let mut cells = Vec::new();
    let table: [(&str, &[&str], Option<&str>, Class); 4] = [
        ("h2 and http/1.1", &["h2", "http/1.1"], Some("http/1.1"), Accepted),
        ("http/1.1", &["http/1.1"], Some("http/1.1"), Accepted),
        ("h2 alone", &["h2"], None, NotSent),
        ("no protocol", &[], None, Accepted),
    ];
    for (name, version) in [("TLS 1.2", &TLS12), ("TLS 1.3", &TLS13)] {
        for (offers, protocols, agreed, class) in table {
            let greeting = Greeting::Tls(authority.server(Shows::Its, version, protocols, false));
            let says = says("200 OK", JSON, ID.as_bytes());
            let script = Script { greeting, reads: Reads::Whole, says, end: End::Close };
            let mut cell = Cell::new(&format!("{name}: speaks {offers}"), "HTTPS", script, class.alone());
            cell.protocol = Some(agreed);
            cells.push(cell);
        }
    }
    cells
}

/// Answers that come when the peer has read only the head of a request whose body does not fit into the buffers between.
pub(super) fn early(authority: &Authority) -> Vec<Cell> {
    let mut cells = Vec::new();
    let table: [(&str, Vec<u8>, Class); 4] = [
        ("413", says("413 Content Too Large", "connection: close\r\n", b"too large"), Refused),
        ("429", says("429 Too Many Requests", "connection: close\r\n", b"slow down"), Wait),
        ("503", says("503 Service Unavailable", "connection: close\r\n", b"later"), InDoubt),
        ("200 with an id", says("200 OK", JSON, ID.as_bytes()), Accepted),
    ];
    for (wire, greeting) in wires(authority) {
        for (status, body) in [("408 Request Timeout", "idle"), ("503 Service Unavailable", "busy"), ("200 OK", ID)] {
            // An answer to nothing: whether it is there before the request is begun is a race.
            let classes: &[Class] = if body == ID { &[NotSent, InDoubt, Accepted] } else { &[NotSent, InDoubt] };
            let says = says(status, "connection: close\r\n", body.as_bytes());
            let script = Script { greeting: greeting.clone(), reads: Reads::Bytes(0), says, end: End::Close };
            cells.push(Cell::new(&format!("{status} before any request"), wire, script, classes));
        }
        for (name, answer, class) in &table {
            for end in [End::Drain, End::Stall, End::Close, End::Reset] {
                // Unread bytes make the end a reset, which may overtake the answer.
                let classes: &[Class] = match (end, class) {
                    (End::Drain | End::Stall, class) => class.alone(),
                    (_, Refused) => &[Refused, InDoubt],
                    (_, Wait) => &[Wait, InDoubt],
                    (_, Accepted) => &[Accepted, InDoubt],
                    _ => &[InDoubt],
                };
                let script = Script { greeting: greeting.clone(), reads: Reads::Head, says: answer.clone(), end };
                let mut cell = Cell::new(&format!("{name} before the body was read"), wire, script, classes);
                cell.body_bytes = 8 << 20;
                // The answer is all there; encrypting the request takes its time.
                cell.times.send = LONG;
                cells.push(cell);
            }
        }
    }
    cells
}
