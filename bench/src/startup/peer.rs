//! Stands in for what a function talks to over TLS: says the same to every request, which both the API's client and that of Secrets
//! Manager take for an answer.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::authority;
use crate::peers::read_head;

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
    while let Some(request) = read_head(&mut stream)? {
        stream.read_exact(&mut vec![0; request.bytes])?;
        let body = json!({"SecretString": "token", "collection_id": "j_bench"}).to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all((head + &body).as_bytes())?;
    }
    Ok(())
}
