//! A file is dropped into a deployed stack: the real template, the real functions, a local AWS that enforces IAM, and the simulator as the API.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sqs::types::QueueAttributeName::{
    ApproximateNumberOfMessages, ApproximateNumberOfMessagesDelayed, ApproximateNumberOfMessagesNotVisible,
    VisibilityTimeout,
};
use dropcollect_tests::built::{self, Simulator};
use dropcollect_tests::cloud::{Cloud, SECRET, Stack, TOKEN, wait_for};
use dropcollect_tests::template;
use jiff::Timestamp;
use pipeline::words::InputObject;
use serde_json::{Value, json};

/// Three attempts with their first looks, on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);
const NAME: &str = "end-to-end";
const KEY: &str = "a folder/inputs ü.csv";

#[tokio::test]
async fn a_dropped_file_is_collected_once_and_every_input_is_accounted_for() -> Result<()> {
    deployed("end_to_end.toml", collected).await
}

#[tokio::test]
async fn a_killed_function_and_copies_of_its_reminders_cost_nothing() -> Result<()> {
    deployed("slow_dataset.toml", collected_in_spite_of_a_kill).await
}

/// Deploys the stack over the simulator and does `test` with it.
async fn deployed(scenario: &str, test: impl AsyncFnOnce(&Cloud, &Stack, &Simulator) -> Result<()>) -> Result<()> {
    let binaries = built::binaries()?;
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let simulator = Simulator::start(&binaries, &template::workspace().join("tests/scenarios").join(scenario))?;
    let functions = cloud.folder("functions")?;
    built::stage_functions(&binaries, &functions)?;
    let parameters = [
        ("ApiTokenSecret", SECRET),
        ("ApiUrl", simulator.address()),
        ("CollectorId", "c_abc123"),
        ("BatchInputsMax", "10"),
        ("LogLevel", "DEBUG"),
    ];
    let stack = cloud.deploy(NAME, &functions, &parameters).await?;
    let told = test(&cloud, &stack, &simulator).await;
    // What was said, for whoever has to find out.
    told.inspect_err(|_| println!("{}\n{}", cloud.log(), cloud.function_logs(NAME).unwrap_or_default()))
}

/// `poll` dies while it waits for an answer, and every batch has three reminders more than it needs.
async fn collected_in_spite_of_a_kill(cloud: &Cloud, stack: &Stack, simulator: &Simulator) -> Result<()> {
    // On a busy machine it may die before it has taken up its message, which then comes back after the queue's own 90 minutes.
    let queue = cloud.sqs().set_queue_attributes().queue_url(stack.output("PollQueueUrl"));
    queue.attributes(VisibilityTimeout, "30").send().await?;
    let event: Value = serde_json::from_str(&drop_file(cloud, stack).await?)?;
    let found = &event["Records"][0]["s3"];
    let object: InputObject = serde_json::from_value(json!({
        "bucket": found["bucket"]["name"], "key": KEY, "version_id": found["object"]["versionId"],
    }))?;
    let started = async || Ok(cloud.processes_of("PollFunction").first().copied());
    let poll = wait_for("poll to start", LIMIT, started).await?;
    // By then it has taken up its message and asks for the dataset, which takes twice as long.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(Command::new("kill").args(["-KILL", &poll.to_string()]).status()?.success(), "poll has ended by itself");
    for batch in [1, 2].repeat(3) {
        let now = Timestamp::now();
        let id =
            json!({"v": 1, "run": object.run(), "batch": batch, "attempt": 1, "generation": 1, "sender_gone_at": now});
        let send = cloud.sqs().send_message().queue_url(stack.output("PollQueueUrl"));
        send.message_body(id.to_string()).send().await?;
    }

    let (_, manifest) = manifest(cloud, stack).await?;
    assert_eq!(
        manifest["inputs"],
        json!({"read": 20, "rejected": 1, "duplicates": 1, "with_records": 14, "no_record": 2, "failed": 2})
    );
    let collections = manifest["collections"].as_array().context("no collections")?;
    let attempts: BTreeSet<_> =
        collections.iter().map(|one| (one["batch"].as_u64(), one["attempt"].as_u64())).collect();
    assert_eq!(attempts.len(), collections.len(), "one collection for each attempt: {manifest:#}");
    let paid = simulator.summary().await?;
    assert_eq!(paid["accepted_triggers"], collections.len(), "{paid:#}\n{manifest:#}");
    assert_eq!(paid["inputs_paid_again_after_success"], 0, "{paid:#}");
    assert_eq!(waiting(cloud, stack.output("PollDeadLetterQueueUrl")).await?, 0);
    Ok(())
}

async fn collected(cloud: &Cloud, stack: &Stack, simulator: &Simulator) -> Result<()> {
    let event = drop_file(cloud, stack).await?;
    let (prefix, manifest) = manifest(cloud, stack).await?;

    assert_eq!(manifest["state"], "complete_with_failures", "{manifest:#}");
    assert_eq!(manifest["collector"], "c_abc123");
    // Every row of the file is in exactly one of these.
    let inputs = &manifest["inputs"];
    let count = |name: &str| inputs[name].as_u64().unwrap_or_else(|| panic!("no count {name} in {manifest:#}"));
    let accounted = ["rejected", "duplicates", "with_records", "no_record", "failed"].map(count);
    assert_eq!(count("read"), accounted.iter().sum::<u64>(), "{manifest:#}");
    assert_eq!(
        *inputs,
        json!({"read": 20, "rejected": 1, "duplicates": 1, "with_records": 14, "no_record": 2, "failed": 2})
    );

    let run = prefix.trim_start_matches("output/");
    records_are_there(cloud, stack, &manifest).await?;
    failures_are_there(cloud, stack, run).await?;

    let paid = simulator.summary().await?;
    assert_eq!(paid["inputs_paid_again_after_success"], 0, "{paid:#}");
    let collections = manifest["collections"].as_array().map_or(0, Vec::len);
    assert_eq!(paid["accepted_triggers"], collections, "{paid:#}\n{manifest:#}");

    a_second_copy_of_the_event_changes_nothing(cloud, stack, simulator, &event).await?;
    for queue in ["InputDeadLetterQueueUrl", "PollDeadLetterQueueUrl", "RetryDeadLetterQueueUrl"] {
        assert_eq!(waiting(cloud, stack.output(queue)).await?, 0, "{queue}");
    }
    let logs = cloud.function_logs(NAME)?;
    assert!(logs.contains("trigger"), "no logs: {logs}");
    assert!(!logs.contains(TOKEN), "the token is in a log");
    Ok(())
}

/// 20 rows: 12 that work, two that work the second time, two that never do, two that give nothing, a duplicate, and one with a column too many.
fn rows() -> Vec<String> {
    let mut rows: Vec<_> = (1..=12).map(|n| format!("https://shop.example/good/{n},note {n}")).collect();
    for kind in ["flaky", "dead", "quiet"] {
        rows.extend((1..=2).map(|n| format!("https://shop.example/{kind}/{n},\"a, b\"")));
    }
    rows.insert(5, rows[2].clone());
    rows.insert(9, "https://shop.example/bad,one,too many".to_owned());
    rows
}

/// Drops the file and gives the S3 event that was sent for it, to be sent again.
async fn drop_file(cloud: &Cloud, stack: &Stack) -> Result<String> {
    let body = format!("url,note\n{}\n", rows().join("\n"));
    let (bucket, bytes) = (stack.output("InputBucket"), body.len());
    let put = cloud.s3().put_object().bucket(bucket).key(KEY).body(body.into_bytes().into()).send().await?;
    Ok(json!({"Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": "ObjectCreated:Put",
        "eventTime": Timestamp::now().to_string(),
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": bucket, "arn": format!("arn:aws:s3:::{bucket}")},
            "object": {
                "key": "a+folder/inputs+%C3%BC.csv", "size": bytes, "sequencer": "00",
                "eTag": put.e_tag().context("no ETag")?.trim_matches('"'),
                "versionId": put.version_id().context("no version")?,
            },
        },
    }]})
    .to_string())
}

/// Waits for the manifest; gives the folder of the run and what the manifest says.
async fn manifest(cloud: &Cloud, stack: &Stack) -> Result<(String, Value)> {
    wait_for("the manifest", LIMIT, async || {
        let keys = keys(cloud, stack, "output/").await?;
        let Some(key) = keys.into_keys().find(|key| key.ends_with("/manifest.json")) else { return Ok(None) };
        let manifest = serde_json::from_str(&text(cloud, stack, &key).await?)?;
        Ok(Some((key.trim_end_matches("manifest.json").to_owned(), manifest)))
    })
    .await
}

async fn records_are_there(cloud: &Cloud, stack: &Stack, manifest: &Value) -> Result<()> {
    let mut records = 0;
    let mut urls = BTreeSet::new();
    for output in manifest["outputs"].as_array().context("no outputs")? {
        let key = output["key"].as_str().context("no key")?;
        let body = text(cloud, stack, key).await?;
        assert_eq!(output["bytes"], body.len(), "{key}");
        assert_eq!(output["records"], body.lines().count(), "{key}");
        for line in body.lines() {
            let record: Value = serde_json::from_str(line)?;
            urls.insert(record["input"]["url"].as_str().with_context(|| format!("no input in {line}"))?.to_owned());
            records += 1;
        }
    }
    assert_eq!(manifest["records"], records, "{manifest:#}");
    assert_eq!(urls.len(), 14, "{urls:#?}");
    assert!(urls.contains("https://shop.example/flaky/2"), "what failed at first was triggered again");
    Ok(())
}

async fn failures_are_there(cloud: &Cloud, stack: &Stack, run: &str) -> Result<()> {
    let failed = text(cloud, stack, &format!("failed/{run}failed.csv")).await?;
    let expected: Vec<_> = rows().into_iter().filter(|row| row.contains("/dead/")).collect();
    let mut lines = failed.lines();
    assert_eq!(lines.next(), Some("url,note"));
    assert_eq!(lines.collect::<Vec<_>>(), expected, "rows are given back as they were written");

    let errors = text(cloud, stack, &format!("failed/{run}errors.ndjson")).await?;
    let errors = errors.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    assert_eq!(errors.len(), 3, "{errors:#?}");
    for error in errors {
        for field in ["line", "code", "message"] {
            assert!(!error[field].is_null(), "no {field} in {error:#}");
        }
    }
    Ok(())
}

async fn a_second_copy_of_the_event_changes_nothing(
    cloud: &Cloud,
    stack: &Stack,
    simulator: &Simulator,
    event: &str,
) -> Result<()> {
    let queues = ["InputQueueUrl", "PollQueueUrl", "RetryQueueUrl"];
    wait_for("the queues to become empty", LIMIT, async || {
        let mut messages = 0;
        for queue in queues {
            messages += waiting(cloud, stack.output(queue)).await?;
        }
        Ok((messages == 0).then_some(()))
    })
    .await?;
    let before = (keys(cloud, stack, "").await?, simulator.summary().await?);

    let queue = stack.output("InputQueueUrl");
    cloud.sqs().send_message().queue_url(queue).message_body(event).send().await?;
    wait_for("the second copy to be done", LIMIT, async || Ok((waiting(cloud, queue).await? == 0).then_some(())))
        .await?;

    let after = (keys(cloud, stack, "").await?, simulator.summary().await?);
    assert_eq!(before, after);
    Ok(())
}

/// All keys of the dataset bucket that begin with `prefix`, with their versions.
async fn keys(cloud: &Cloud, stack: &Stack, prefix: &str) -> Result<BTreeMap<String, String>> {
    let listed = cloud.s3().list_objects_v2().bucket(stack.output("DatasetBucket")).prefix(prefix).send().await?;
    let versions = listed.contents().iter().filter_map(|object| Some((object.key()?.into(), object.e_tag()?.into())));
    Ok(versions.collect())
}

async fn text(cloud: &Cloud, stack: &Stack, key: &str) -> Result<String> {
    let found = cloud.s3().get_object().bucket(stack.output("DatasetBucket")).key(key).send().await;
    let bytes = found.with_context(|| key.to_owned())?.body.collect().await?.into_bytes();
    Ok(String::from_utf8(bytes.into())?)
}

/// Messages of a queue, in whatever state.
async fn waiting(cloud: &Cloud, queue: &str) -> Result<u64> {
    let names =
        [ApproximateNumberOfMessages, ApproximateNumberOfMessagesDelayed, ApproximateNumberOfMessagesNotVisible];
    let asked = cloud.sqs().get_queue_attributes().queue_url(queue).set_attribute_names(Some(names.into()));
    let answer = asked.send().await?;
    let counts = answer.attributes().into_iter().flatten().filter_map(|(_, count)| count.parse::<u64>().ok());
    Ok(counts.sum())
}
