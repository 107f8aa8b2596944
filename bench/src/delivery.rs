//! One dataset from the API into S3, delivered or only copied.

use std::sync::Arc;

use adapters::aws::Aws;
use adapters::clock::WallClock;
use adapters::config::{Config, Role};
use adapters::dca::{Client, FixedToken, HttpTransport, Times};
use adapters::s3::S3Store;
use anyhow::{Context, bail};
use pipeline::delivery::{Fetched, Output, Sent, Time, fetch};
use pipeline::ledger::{DeliveredObject, InputRow};
use pipeline::policy::{OutputCompression, OutputFormat};
use pipeline::ports::{Api, Chunks, Clock, Dataset, Looked, ObjectInfo, PortError, Store};
use pipeline::upload::Upload;

use crate::data;

const KEY: &str = "output/bench.csv/0011223344556677/batch-00001.1.ndjson";

/// `deliver|copy API S3 SHAPE-BYTES`
pub(crate) async fn main(how: &str, arguments: &[String]) -> anyhow::Result<()> {
    let [api, s3, id] = arguments else { bail!("{how} API S3 SHAPE-BYTES") };
    let store = store(s3).await?;
    let transport = HttpTransport::new(api, Times::default(), Arc::new(WallClock))?;
    let client = Client::new(transport, Arc::new(FixedToken("t".into())), Arc::new(WallClock));
    let Looked::Found(Dataset::Ready { content_type, body }) = client.dataset(id).await else {
        bail!("the peer has no dataset")
    };
    let (object, records) = match how {
        "deliver" => deliver(&store, &content_type, body).await?,
        _ => (copy(&store, body).await?, 0),
    };
    store.complete_upload(&object.key, &object.upload, &object.parts).await?;
    println!(r#"{{"bytes":{},"records":{records},"parts":{}}}"#, object.bytes, object.parts.len());
    Ok(())
}

/// The bucket of a function whose environment names this address; region and credentials come from it too.
pub(crate) async fn store(endpoint: &str) -> anyhow::Result<S3Store> {
    let given = [
        ("DATASET_BUCKET", "bench"),
        ("POLL_QUEUE_URL", endpoint),
        ("RETRY_QUEUE_URL", endpoint),
        ("BRIGHT_DATA_API_TOKEN", "t"),
        ("AWS_ENDPOINT_URL_S3", endpoint),
    ];
    let value = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let config = Config::from(Role::Poll, value)?;
    Ok(S3Store::new(Aws::of_function(&config)?.s3(), "bench"))
}

async fn deliver(
    store: &dyn Store,
    content_type: &str,
    body: Box<dyn Chunks>,
) -> anyhow::Result<(DeliveredObject, u64)> {
    let inputs: Vec<InputRow> =
        (1..).zip(0..data::INPUTS).map(|(line, n)| InputRow { line, json: data::input(n), source: None }).collect();
    let sent = Sent { inputs: inputs.iter().collect(), positions: (0..).take(inputs.len()).collect(), attempt: 1 };
    let output = Output { format: OutputFormat::Ndjson, compression: OutputCompression::None };
    let time = Time::unlimited(&WallClock);
    let fetched = fetch(store, KEY.to_owned(), output, &sent, content_type, body, time).await?;
    let Fetched::Whole(mut whole) = fetched else { bail!("the dataset could not be read") };
    let delivery = whole.describe(&sent, "j_bench", WallClock.now(), None).await?;
    if delivery.unmatched_records > 0 || delivery.unmatched_errors > 0 {
        bail!("rows are unmatched");
    }
    Ok((delivery.object.context("no records")?, delivery.records))
}

/// The same client and the same uploader, without a look at the bytes.
async fn copy(store: &dyn Store, mut body: Box<dyn Chunks>) -> Result<DeliveredObject, PortError> {
    let mut upload =
        Upload::new(store, KEY.to_owned(), ObjectInfo::of("application/x-ndjson"), OutputCompression::None);
    while let Some(chunk) = upload.beside(body.next()).await?? {
        upload.take(&chunk);
        upload.flush().await?;
    }
    upload.finish().await
}
