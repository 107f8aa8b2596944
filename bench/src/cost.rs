//! What a run asks of AWS: counted at the ports for large runs, and at the ports and on the wire for a small one.

use std::sync::Arc;
use std::time::Instant;

use adapters::aws::Aws;
use adapters::s3::{S3Inputs, S3Store};
use adapters::sqs::{SqsDeliveries, SqsQueues};
use anyhow::{Context, Result};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use pipeline::keys;
use pipeline::ledger::CollectionEntry;
use pipeline::ports::Store;
use pipeline::words::InputObject;
use serde_json::{Value, json};

use crate::clocks::thread_cpu;
use crate::functions::meter::Meter;
use crate::functions::ports::TokioClock;
use crate::functions::proxy::Proxy;
use crate::functions::source::SqsSource;
use crate::functions::{Functions, InMemory, Parts, Queue, jobs, lines, on_paused_time, policy};

/// One run over memory: inputs, inputs of a batch, seconds of a job, the share of inputs that fail at first, and how many messages of a queue
/// are worked on at a time.
pub(crate) fn in_memory(arguments: &[String]) -> Result<Value> {
    let [inputs, batch, seconds, failing, concurrency, limits @ ..] = arguments else {
        anyhow::bail!("INPUTS BATCH SECONDS FAILING CONCURRENCY [SPENDING_LIMITS]")
    };
    let (inputs, batch, seconds) = (inputs.parse()?, batch.parse()?, seconds.parse()?);
    let (scenario, concurrency) = (jobs(seconds, 0.0, failing.parse()?)?, concurrency.parse()?);
    let began = Instant::now();
    on_paused_time(async {
        let mut world = InMemory::new(scenario, policy(batch))?.with_concurrency(concurrency);
        if let Some(limits) = limits.first() {
            world.functions.pipeline.limits = limits.parse()?;
        }
        let object = world.drop_file(inputs)?;
        let started = tokio::time::Instant::now();
        let manifest = world.run(&object).await?;
        let took = started.elapsed();
        let mut said = counted(&world.functions.meter);
        said["inputs"] = json!(manifest.inputs.read);
        said["collections"] = json!(manifest.collections.len());
        said["records"] = json!(manifest.records);
        said["lasts"] = json!(took.as_secs_f64());
        let late = |one: &CollectionEntry| one.ready_at.duration_since(one.triggered_at).as_secs_f64() - seconds;
        said["late"] = json!(manifest.collections.iter().map(late).sum::<f64>() / manifest.collections.len() as f64);
        said["seconds"] = json!(began.elapsed().as_secs_f64());
        // A stack that has nothing to do still sweeps.
        *world.functions.meter.tally() = Default::default();
        world.functions.sweep().await?;
        said["sweep"] = counted(&world.functions.meter);
        Ok(said)
    })
}

/// The same small run over memory and over the AWS at an address.
pub(crate) fn on_the_wire(arguments: &[String]) -> Result<Value> {
    let [address] = arguments else { anyhow::bail!("ADDRESS") };
    let proxy = Proxy::start(address)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let direct = aws(address);
        let functions = deploy(&direct, &aws(&proxy.address)).await?;
        let object = drop_file(&direct, 100).await?;
        let manifest = keys::manifest(&keys::input_path(&object.key), &object.run());
        let store = S3Store::new(direct.s3(), DATASETS);
        let before = thread_cpu();
        let over = async || match store.get(&manifest).await {
            Ok(found) => Ok(found.is_some()),
            Err(error) => Err(anyhow::anyhow!("{error}: {}", error.source)),
        };
        functions.run(over).await?;
        let spent = thread_cpu().saturating_sub(before);
        let found = store.get(&manifest).await?.context("the manifest")?;
        let mut said = counted(&functions.meter);
        said["manifest"] = serde_json::from_slice(&found.body)?;
        said["wire"] = json!(proxy.counts());
        said["cpu"] = json!(spent.saturating_sub(functions.meter.tally().outside).as_secs_f64());
        Ok(said)
    })
}

const INPUTS: &str = "bench-inputs";
const DATASETS: &str = "bench-datasets";

/// Buckets, queues, and the functions with clients that go through the proxy.
async fn deploy(direct: &Aws, counted: &Aws) -> Result<Functions> {
    for bucket in [INPUTS, DATASETS] {
        direct.s3().create_bucket().bucket(bucket).send().await?;
    }
    let source = Arc::new(SqsSource::make(&direct.sqs(), counted.sqs()).await?);
    let (poll, retry) = (source.url(Queue::Poll), source.url(Queue::Retry));
    let parts = Parts {
        store: Arc::new(S3Store::new(counted.s3(), DATASETS)),
        inputs: Arc::new(S3Inputs::new(counted.s3())),
        queues: Arc::new(SqsQueues::new(counted.sqs(), poll, retry)),
        deliveries: Arc::new(SqsDeliveries::new(counted.sqs())),
        source: source.clone(),
        latency: None,
    };
    // Some inputs fail at first, so that the retry queue is used too.
    let clock = Arc::new(TokioClock::at(jiff::Timestamp::now()));
    Ok(Functions::new(parts, jobs(2.0, 0.0, 0.1)?, policy(10), clock))
}

async fn drop_file(direct: &Aws, inputs: u64) -> Result<InputObject> {
    let put = direct.s3().put_object().bucket(INPUTS).key("inputs.txt").body(lines(inputs).into_bytes().into());
    let etag = put.send().await?.e_tag.context("no ETag")?;
    let object = json!({"bucket": INPUTS, "key": "inputs.txt", "etag": etag.trim_matches('"'), "sequencer": "00"});
    let url = direct.sqs().get_queue_url().queue_name(Queue::Input.name()).send().await?;
    let send = direct.sqs().send_message().queue_url(url.queue_url().context("no address")?);
    send.message_body(object.to_string()).send().await?;
    Ok(serde_json::from_value(object)?)
}

fn aws(endpoint: &str) -> Aws {
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Aws::new(sdk.build(), true)
}

fn counted(meter: &Meter) -> Value {
    let tally = meter.tally();
    let turns = tally.turns.iter().map(|(function, turns)| {
        let (cpu, wall) = (turns.cpu.as_secs_f64(), turns.wall.as_secs_f64());
        ((*function).to_owned(), json!({"number": turns.number, "cpu": cpu, "wall": wall}))
    });
    json!({"calls": tally.calls, "kinds": tally.kinds, "turns": turns.collect::<serde_json::Map<_, _>>()})
}
