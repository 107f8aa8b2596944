//! What this workspace builds, as tests run it: the functions as MiniStack takes them, and the simulator of the API.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cloud::{FUNCTIONS, Running, write_executable};
use crate::template::workspace;

/// Builds the binaries of the workspace (nothing to do where `cargo test --workspace` was preceded by it) and says where they are.
pub fn binaries() -> Result<PathBuf> {
    // The whole workspace, because with a part of it cargo would choose other features and build the dependencies again.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace", "--bins"])
        .current_dir(workspace())
        .status()
        .context("cargo build")?;
    ensure!(built.success(), "cargo build: {built}");
    let test = std::env::current_exe()?;
    let profile = test.parent().and_then(Path::parent).context("a test lies in <target>/<profile>/deps")?;
    Ok(profile.to_owned())
}

/// Lays the functions out in `folder` as `sam deploy` takes them: `<function>/bootstrap`.
pub fn stage_functions(binaries: &Path, folder: &Path) -> Result<()> {
    for function in FUNCTIONS {
        let bootstrap = folder.join(function).join("bootstrap");
        write_executable(&bootstrap, &fs::read(binaries.join(function))?)?;
        // A test build is ten times as large as a release. Without `strip` it is deployed as it is.
        let _ = Command::new("strip").arg(&bootstrap).status();
    }
    Ok(())
}

/// A running simulator of the API.
pub struct Simulator {
    _process: Running,
    address: String,
}

impl Simulator {
    /// Starts `dropcollect simulate` on a free port of 127.0.0.1.
    pub fn start(binaries: &Path, scenario: &Path) -> Result<Self> {
        let mut command = Command::new(binaries.join("dropcollect"));
        command.args(["simulate", "--listen", "127.0.0.1:0", "--scenario"]).arg(scenario);
        let mut process = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let mut lines = BufReader::new(process.child().stdout.take().context("no output")?).lines();
        let address = lines.by_ref().find_map(|line| Some(address(&line.ok()?)?.to_owned()));
        let address = address.context("the simulator ended and named no address")?;
        // Whatever it says later must not stop it when the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { _process: process, address })
    }

    /// Its base address, for `BRIGHT_DATA_API_URL`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What was accepted so far, in figures.
    pub async fn summary(&self) -> Result<Value> {
        self.known("summary").await
    }

    /// Every trigger that it has accepted, with its query and its inputs.
    pub async fn jobs(&self) -> Result<Vec<Value>> {
        Ok(serde_json::from_value(self.known("jobs").await?)?)
    }

    async fn known(&self, what: &str) -> Result<Value> {
        let host = self.address.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await?;
        // HTTP/1.0 ends the body with the connection: no client is needed to read it.
        stream.write_all(format!("GET /_simulator/{what} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.contains(" 200 "), "{head}");
        Ok(serde_json::from_str(body)?)
    }
}

/// The first address in a line of text.
fn address(line: &str) -> Option<&str> {
    let begin = line.find("http://")?;
    line[begin..].split(|end: char| end.is_whitespace() || "\"',)".contains(end)).next()
}
