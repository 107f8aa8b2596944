//! Notices of the API on the wire: the template with a secret, the real functions, a simulator that calls the function's address when a
//! collection is over. It prints how late that was noticed, with notices and without.

use std::time::Duration;

use anyhow::{Context, Result};
use dropcollect_tests::built::{self, Simulator};
use dropcollect_tests::cloud::{Cloud, SECRET, Stack, wait_for};
use jiff::Timestamp;
use pipeline::webhook::Secret;
use pipeline::words::AttemptId;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NAME: &str = "told";
const NOTICES: &str = "notices-of-a-test-stack";
/// A collection and its looks, on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);
/// How long a job runs, in seconds.
const JOB: f64 = 20.0;

#[tokio::test]
async fn a_notice_makes_somebody_look_and_nothing_depends_on_it() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let simulator = Simulator::start("end_to_end.toml")?;
    simulator.change(|scenario| {
        (scenario.jobs.base_seconds, scenario.jobs.longest_seconds, scenario.jobs.spread_seconds) = (JOB, JOB, 0.0);
        scenario.jobs.building_seconds = 0.0;
    });
    let functions = built::functions(&cloud)?;
    let parameters = [
        ("ApiTokenSecret", SECRET),
        ("ApiUrl", simulator.address()),
        ("CollectorId", "c_abc123"),
        ("WebhookSecret", NOTICES),
    ];
    let stack = cloud.deploy(NAME, &functions, &parameters).await?;
    let told = tried(&cloud, &stack, &simulator).await;
    told.inspect_err(|_| println!("{}\n{}", cloud.log(), cloud.function_logs(NAME).unwrap_or_default()))
}

async fn tried(cloud: &Cloud, stack: &Stack, simulator: &Simulator) -> Result<()> {
    // The name of an address leads nowhere here: MiniStack goes by the header.
    let without = collected(stack, simulator, "without.txt").await?;
    simulator.change(|scenario| scenario.api.notices_to = Some(cloud.host()));
    let with = collected(stack, simulator, "with.txt").await?;
    println!("noticed {without:.1} s after the end without notices, {with:.1} s with them; the job took {JOB:.0} s");

    let logs = cloud.function_logs(NAME)?;
    assert!(logs.contains("the API says that a collection is over"), "no notice has arrived: {logs}");
    let notify = notify(simulator)?;
    let endpoint = notify["endpoint"].as_str().context("no endpoint")?;
    let address = stack.output("WebhookUrl");
    let path = endpoint.strip_prefix(address).with_context(|| format!("{endpoint} is not at {address}"))?;
    let secret = Secret::new(NOTICES).context("the secret is too short")?;
    let attempt: AttemptId = secret.attempt(path).with_context(|| format!("{path} is not a path of ours"))?;
    assert_eq!((attempt.batch, attempt.attempt), (1, 1));
    let code = path.rsplit('/').next().context("no code")?;
    assert!(!logs.contains(code), "a log tells how to call the address");

    let before = (stack.keys("").await?, simulator.summary()?);
    for (path, expected) in [("", 404), ("favicon.ico", 404), (&path[..path.len() - 1], 404), (path, 200)] {
        assert_eq!(called(cloud, address, path).await?, expected, "{path:?}");
    }
    let empty = async || Ok((stack.all_waiting().await? == 0).then_some(()));
    wait_for("the queues to become empty", LIMIT, empty).await?;
    assert_eq!(before, (stack.keys("").await?, simulator.summary()?), "a late notice has changed something");
    assert_eq!(stack.waiting("PollDeadLetterQueueUrl").await?, 0);
    Ok(())
}

/// Drops a file of five inputs and waits for its manifest; gives how many seconds after its job's end it was fetched.
async fn collected(stack: &Stack, simulator: &Simulator, key: &str) -> Result<f64> {
    let rows: String = (1..=5).map(|n| format!("https://shop.example/{key}/good/{n}\n")).collect();
    let run = stack.drop_file(key, rows).await?.object.run();
    let ended = async || {
        let manifests = stack.manifests().await?;
        Ok(manifests.into_iter().find(|(folder, _)| folder.contains(run.as_str())).map(|(_, manifest)| manifest))
    };
    let manifest = wait_for("the manifest", LIMIT, ended).await?;
    assert_eq!(manifest["inputs"]["with_records"], 5, "{manifest:#}");
    let [collection] = manifest["collections"].as_array().context("no collections")?.as_slice() else {
        anyhow::bail!("not one collection: {manifest:#}");
    };
    assert_eq!(simulator.summary()?["inputs_paid_again_after_success"], 0);
    let at = |field: &str| -> Result<Timestamp> { Ok(serde_json::from_value(collection[field].clone())?) };
    Ok(at("ready_at")?.duration_since(at("triggered_at")?).as_secs_f64() - JOB)
}

/// What the last trigger has asked for.
fn notify(simulator: &Simulator) -> Result<Value> {
    let jobs = simulator.jobs()?;
    let job = jobs.last().context("no job")?;
    let notify = job["query"]["notify"].as_str().with_context(|| format!("no notify in {job:#}"))?;
    let notify: Value = serde_json::from_str(notify)?;
    assert_eq!(notify["type"], json!("webhook"));
    Ok(notify)
}

/// Calls the address, as anybody may; gives the status.
async fn called(cloud: &Cloud, address: &str, path: &str) -> Result<u16> {
    let host = address.trim_start_matches("https://").trim_end_matches('/');
    let request =
        format!("POST /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
    let mut stream = TcpStream::connect(cloud.host()).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).with_context(|| format!("no status: {answer}"))?;
    Ok(status.parse()?)
}
