//! The real template, deployed into a local AWS that enforces IAM, with stand-ins for the functions (`probe.py`) that try what the real
//! ones may do, and what they must not.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use dropcollect_tests::cloud::{self, Cloud, SECRET, Stack, TOKEN, wait_for};
use dropcollect_tests::template;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn the_template_deploys_and_every_function_may_do_its_work_and_no_more() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    // Upper-case letters are fine for a stack, and would not be for its buckets.
    let stack = cloud
        .deploy(
            "Drop-Collect",
            &probes(&cloud)?,
            &[("ApiTokenSecret", SECRET), ("WebhookSecret", "notices-of-a-test-stack")],
        )
        .await?;

    let told = said_by_all(&cloud, &stack).await.inspect_err(|_| println!("{}", cloud.log()))?;

    for (function, reads_inputs) in [("Trigger", true), ("Poll", false), ("Retry", false), ("Sweep", true)] {
        let called = function == "Sweep";
        let said = &told[function];
        let expect = |what: &str, answer: &str| {
            assert_eq!(said[what], answer, "{function}: {what}\n{said:#}");
        };
        let may = |allowed: bool, otherwise: &'static str| if allowed { "allowed" } else { otherwise };

        // A message that waits comes back, and is the same one.
        assert_eq!(said["deliveries"], if called { 1 } else { 2 }, "{function}");

        expect("input get", may(reads_inputs, "AccessDenied"));
        if reads_inputs {
            expect("input get version", "allowed");
        }
        expect("input get absent", if reads_inputs { "NoSuchKey" } else { "AccessDenied" });
        expect("input list", may(reads_inputs, "AccessDenied"));
        for write in ["put", "create", "delete", "copy", "tag", "upload", "policy"] {
            expect(&format!("input {write}"), "AccessDenied");
        }

        expect("dataset create", "allowed");
        expect("dataset create again", "PreconditionFailed");
        expect("dataset get", "allowed");
        expect("dataset get absent", "NoSuchKey");
        expect("dataset list", "allowed");
        expect("dataset upload", "allowed");
        expect("dataset delete", "AccessDenied");

        let refused = "AccessDenied";
        expect("send poll", "allowed");
        expect("send retry", "allowed");
        expect("send dead", may(!called, refused));
        expect("read dead", refused);
        expect("receive poll", may(function == "Poll", refused));
        expect("tell", "allowed");
        expect("tell another bus", "AccessDeniedException");
        expect("token", "allowed");
        expect("another secret", "AccessDeniedException");
    }

    // It takes notices, and may do nothing but pass them on.
    let denied = ["AccessDenied", "AccessDeniedException"].map(Value::from);
    for (what, answer) in told["Webhook"].as_object().into_iter().flatten().filter(|(what, _)| *what != "deliveries") {
        assert_eq!(!denied.contains(answer), what == "send poll", "Webhook: {what}: {answer}");
    }

    let logs = cloud.function_logs("Drop-Collect")?;
    for function in cloud::FUNCTIONS {
        assert!(
            logs.contains(&format!("{function} has answered")),
            "{function} logs into no group of the stack: {logs}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_second_stack_stands_beside_the_first() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let probes = probes(&cloud)?;
    let first = cloud.deploy("first", &probes, &[("ApiTokenSecret", SECRET)]).await?;
    // This one makes its secret itself.
    let second = cloud.deploy("second", &probes, &[("ApiToken", TOKEN)]).await?;
    for name in ["InputBucket", "DatasetBucket", "InputQueueUrl", "PollQueueUrl", "RetryQueueUrl", "TriggerFunction"] {
        assert_ne!(first.output(name), second.output(name), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stack_without_a_token_is_refused() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let Err(refused) = cloud.deploy("tokenless", &probes(&cloud)?, &[]).await else { panic!("it was deployed") };
    assert!(refused.to_string().contains("Give either ApiTokenSecret"), "{refused}");
    Ok(())
}

/// A folder with the stand-in as `bootstrap` of each function.
fn probes(cloud: &Cloud) -> Result<std::path::PathBuf> {
    let folder = cloud.folder("functions")?;
    let probe = template::workspace().join("tests/probe.py").canonicalize()?;
    let bootstrap = format!("#!/bin/sh\nexec '{}' '{}'\n", cloud.python().display(), probe.display());
    for function in cloud::FUNCTIONS {
        cloud::write_executable(&folder.join(function).join("bootstrap"), bootstrap.as_bytes())?;
    }
    Ok(folder)
}

/// Gives every stand-in something to do, and collects what they wrote down.
async fn said_by_all(cloud: &Cloud, stack: &Stack) -> Result<BTreeMap<&'static str, Value>> {
    let (s3, sqs) = (cloud.s3(), cloud.sqs());
    let (bucket, key) = (stack.output("InputBucket"), "inputs.csv");
    let put = s3.put_object().bucket(bucket).key(key).body(b"url\n".to_vec().into()).send().await?;
    let dead = stack.output("PollDeadLetterQueueUrl");
    let work = json!({ "bucket": bucket, "key": key, "version": put.version_id(), "dead": dead });
    for queue in ["PollQueueUrl", "RetryQueueUrl"] {
        sqs.send_message().queue_url(stack.output(queue)).message_body(work.to_string()).send().await?;
    }
    cloud.invoke("Drop-Collect", "SweepFunction", &work).await?;
    let notice = cloud.invoke("Drop-Collect", "WebhookFunction", &work).await?;
    let mut told = BTreeMap::from([("Webhook", notice)]);
    for function in ["Trigger", "Poll", "Retry", "Sweep"] {
        let what = format!("{function} to answer");
        let said = wait_for(&what, LIMIT, async || {
            let key = format!("probe/{function}.json");
            let Ok(found) = s3.get_object().bucket(stack.output("DatasetBucket")).key(key).send().await else {
                return Ok(None);
            };
            Ok(Some(serde_json::from_slice(&found.body.collect().await?.into_bytes())?))
        });
        told.insert(function, said.await?);
    }
    Ok(told)
}
