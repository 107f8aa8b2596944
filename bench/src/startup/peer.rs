//! Stands in for what a function talks to over TLS: says the same to every request, which both the API's client and that of Secrets
//! Manager take for an answer.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::Context;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::authority;

/// Writes the authority's certificate, says where it listens, and answers until it is ended.
pub(super) fn part(certificate: &str) -> anyhow::Result<()> {
    let (config, root) = authority::make()?;
    std::fs::write(certificate, root)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", json!({"port": listener.local_addr()?.port()}));
    for socket in listener.incoming() {
        let (socket, config) = (socket?, Arc::clone(&config));
        // A client that goes away is nobody's trouble.
        std::thread::spawn(move || answer(socket, config).ok());
    }
    Ok(())
}

fn answer(socket: TcpStream, config: Arc<ServerConfig>) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config)?, socket));
    loop {
        read_request(&mut stream)?;
        let body = json!({"SecretString": "token", "collection_id": "j_bench"}).to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all((head + &body).as_bytes())?;
    }
}

fn read_request(stream: &mut impl BufRead) -> anyhow::Result<()> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        anyhow::ensure!(stream.read_line(&mut line)? > 0, "the client went away");
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().context("a length")?;
        }
    }
    stream.read_exact(&mut vec![0; length])?;
    Ok(())
}
