//! Stands in for Lambda's Runtime API: starts functions one after the other, and measures each when it has asked for its first event.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// What to start, and how often. Functions take turns.
#[derive(Deserialize)]
struct Plan {
    times: usize,
    functions: Vec<Function>,
}

#[derive(Deserialize)]
struct Function {
    path: String,
    env: BTreeMap<String, String>,
}

/// One start of one function.
#[derive(Serialize)]
struct Start {
    /// Milliseconds from before the process was made until its request for an event was read.
    next: f64,
    /// Milliseconds of CPU until it waited.
    cpu: f64,
    /// Resident memory while it waits, in KiB, and the part of it that is not pages of files.
    rss: u64,
    anonymous: u64,
}

/// A function that does not ask by then is broken.
const PATIENCE: Duration = Duration::from_secs(10);
/// Until whatever a function does beside asking is done, too.
const SETTLED: Duration = Duration::from_millis(20);

/// Prints the starts of each function, in the order of the plan, by turn.
pub(super) async fn part(plan: &str) -> anyhow::Result<()> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(plan)?)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut starts: Vec<Vec<Start>> = plan.functions.iter().map(|_| Vec::new()).collect();
    for turn in 0..=plan.times {
        for (function, starts) in plan.functions.iter().zip(&mut starts) {
            let start = start(&listener, function).await.with_context(|| function.path.clone())?;
            // The first turn brings the binaries into the page cache.
            if turn > 0 {
                starts.push(start);
            }
        }
    }
    println!("{}", serde_json::json!({ "starts": starts }));
    Ok(())
}

async fn start(listener: &TcpListener, function: &Function) -> anyhow::Result<Start> {
    let mut command = Command::new(&function.path);
    command.env_clear().envs(&function.env).env("AWS_LAMBDA_RUNTIME_API", listener.local_addr()?.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn()?;
    let asked = asked(listener, began, &child).await;
    // Whatever became of it, it is not left behind; and its connection stands until then, because it would complain.
    child.kill()?;
    child.wait()?;
    asked.map(|(start, _)| start)
}

async fn asked(listener: &TcpListener, began: Instant, child: &Child) -> anyhow::Result<(Start, TcpStream)> {
    let connection = timeout(PATIENCE, listener.accept()).await.context("it did not ask for an event")?;
    let (mut socket, _) = connection?;
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        let read = timeout(PATIENCE, socket.read_buf(&mut heard)).await.context("its request has no end")?;
        ensure!(read? > 0, "it went away");
    }
    let next = began.elapsed();
    ensure!(heard.starts_with(b"GET /2018-06-01/runtime/invocation/next "), "it asked for something else");
    sleep(SETTLED).await;
    let process = format!("/proc/{}", child.id());
    let memory = std::fs::read_to_string(format!("{process}/smaps_rollup"))?;
    let start = Start {
        next: next.as_secs_f64() * 1e3,
        cpu: cpu_ms(&process)?,
        rss: kib(&memory, "Rss:")?,
        anonymous: kib(&memory, "Anonymous:")?,
    };
    Ok((start, socket))
}

/// CPU of all threads: the first number of `schedstat`, nanoseconds.
fn cpu_ms(process: &str) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for thread in std::fs::read_dir(format!("{process}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += text.split(' ').next().context("a number")?.parse::<f64>()?;
    }
    Ok(sum / 1e6)
}

fn kib(memory: &str, field: &str) -> anyhow::Result<u64> {
    let line = memory.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
