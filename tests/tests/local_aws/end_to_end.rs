//! A file is dropped into a deployed stack: the real template, the real functions, a local AWS that enforces IAM, and the simulator as the API.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout;
use dropcollect_tests::built::{self, Simulator};
use dropcollect_tests::cloud::{Cloud, SECRET, Stack, TOKEN, wait_for};
use dropcollect_tests::stack::{DEAD_LETTER_QUEUES, Dropped};
use jiff::Timestamp;
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
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let simulator = Simulator::start(scenario)?;
    let functions = built::functions(&cloud)?;
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
    let Dropped { object, .. } = drop_file(stack).await?;
    let started = async || Ok(cloud.processes().of("PollFunction").pop());
    let poll = wait_for("poll to start", LIMIT, started).await?;
    // By then it has taken up its message and asks for the dataset, which takes twice as long.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(poll.kill(), "poll has ended by itself");
    for batch in [1, 2].repeat(3) {
        let now = Timestamp::now();
        let id =
            json!({"v": 1, "run": object.run(), "batch": batch, "attempt": 1, "generation": 1, "sender_gone_at": now});
        stack.send("PollQueueUrl", &id.to_string()).await?;
    }

    let (_, manifest) = manifest(stack).await?;
    assert_eq!(
        manifest["inputs"],
        json!({"read": 20, "rejected": 1, "duplicates": 1, "with_records": 14, "no_record": 2, "failed": 2})
    );
    let collections = manifest["collections"].as_array().context("no collections")?;
    let attempts: BTreeSet<_> =
        collections.iter().map(|one| (one["batch"].as_u64(), one["attempt"].as_u64())).collect();
    assert_eq!(attempts.len(), collections.len(), "one collection for each attempt: {manifest:#}");
    let paid = simulator.summary()?;
    assert_eq!(paid["accepted_triggers"], collections.len(), "{paid:#}\n{manifest:#}");
    assert_eq!(paid["inputs_paid_again_after_success"], 0, "{paid:#}");
    assert_eq!(stack.waiting("PollDeadLetterQueueUrl").await?, 0);
    Ok(())
}

async fn collected(cloud: &Cloud, stack: &Stack, simulator: &Simulator) -> Result<()> {
    let dropped = drop_file(stack).await?;
    let (prefix, manifest) = manifest(stack).await?;

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
    records_are_there(stack, &manifest).await?;
    failures_are_there(stack, run).await?;

    let paid = simulator.summary()?;
    assert_eq!(paid["inputs_paid_again_after_success"], 0, "{paid:#}");
    let collections = manifest["collections"].as_array().map_or(0, Vec::len);
    assert_eq!(paid["accepted_triggers"], collections, "{paid:#}\n{manifest:#}");

    copies_of_messages_change_nothing(stack, simulator, &dropped, &manifest).await?;
    for queue in DEAD_LETTER_QUEUES {
        assert_eq!(stack.waiting(queue).await?, 0, "{queue}");
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

async fn drop_file(stack: &Stack) -> Result<Dropped> {
    stack.drop_file(KEY, format!("url,note\n{}\n", rows().join("\n"))).await
}

/// Waits for the manifest; gives the folder of the run and what the manifest says.
async fn manifest(stack: &Stack) -> Result<(String, Value)> {
    wait_for("the manifest", LIMIT, async || Ok(stack.manifests().await?.pop())).await
}

async fn records_are_there(stack: &Stack, manifest: &Value) -> Result<()> {
    let mut records = 0;
    let mut urls = BTreeSet::new();
    for output in manifest["outputs"].as_array().context("no outputs")? {
        let key = output["key"].as_str().context("no key")?;
        let body = stack.text(key).await?;
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

async fn failures_are_there(stack: &Stack, run: &str) -> Result<()> {
    let failed = stack.text(&format!("failed/{run}failed.csv")).await?;
    let expected: Vec<_> = rows().into_iter().filter(|row| row.contains("/dead/")).collect();
    let mut lines = failed.lines();
    assert_eq!(lines.next(), Some("url,note"));
    assert_eq!(lines.collect::<Vec<_>>(), expected, "rows are given back as they were written");

    let errors = stack.text(&format!("failed/{run}errors.ndjson")).await?;
    let errors = errors.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    assert_eq!(errors.len(), 3, "{errors:#?}");
    for error in errors {
        for field in ["line", "code", "message"] {
            assert!(!error[field].is_null(), "no {field} in {error:#}");
        }
    }
    Ok(())
}

/// The event comes three times in all, and every message of the other queues twice more.
async fn copies_of_messages_change_nothing(
    stack: &Stack,
    simulator: &Simulator,
    Dropped { object, event }: &Dropped,
    manifest: &Value,
) -> Result<()> {
    let empty = async || Ok((stack.all_waiting().await? == 0).then_some(()));
    wait_for("the queues to become empty", LIMIT, empty).await?;
    let before = (stack.keys("").await?, simulator.summary()?);

    for _ in 0..2 {
        stack.send("InputQueueUrl", event).await?;
        for collection in manifest["collections"].as_array().context("no collections")? {
            let (batch, attempt) = (&collection["batch"], &collection["attempt"]);
            let order = json!({"v": 1, "run": object.run(), "batch": batch, "attempt": attempt});
            if *attempt != 1 {
                stack.send("RetryQueueUrl", &order.to_string()).await?;
            }
            let mut reminder = order;
            reminder["generation"] = json!(1);
            reminder["sender_gone_at"] = json!(Timestamp::now());
            stack.send("PollQueueUrl", &reminder.to_string()).await?;
        }
    }
    wait_for("the copies to be done", LIMIT, empty).await?;

    let after = (stack.keys("").await?, simulator.summary()?);
    assert_eq!(before, after);
    Ok(())
}
