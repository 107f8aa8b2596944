//! The end of a run as an event, on the wire of a local AWS: it arrives where a rule sends it, with what the documentation says is in it.

use std::time::Duration;

use adapters::aws::Aws;
use adapters::notices::{EventBus, RUN_ENDED, SOURCE};
use anyhow::{Context, Result};
use aws_sdk_eventbridge::types::Target;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use dropcollect_tests::cloud::{Cloud, wait_for};
use dropcollect_tests::template;
use pipeline::notice::RunEnded;
use pipeline::ports::Notices;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

fn golden() -> Result<RunEnded> {
    let path = template::workspace().join("functions/pipeline/tests/golden/notice.run-ended.json");
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

#[tokio::test]
async fn the_end_of_a_run_reaches_whoever_has_a_rule_for_it() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let (events, sqs) = (cloud.aws().events(), cloud.sqs());
    let queue = sqs.create_queue().queue_name("told").send().await?;
    let queue = queue.queue_url().context("no queue")?;
    // As in infra/README.md.
    let pattern = json!({"source": [SOURCE], "detail-type": [RUN_ENDED], "detail": {"stack": ["shop"]}});
    events.put_rule().name("told").event_pattern(pattern.to_string()).send().await?;
    let target = Target::builder().id("queue").arn("arn:aws:sqs:us-east-1:000000000000:told").build()?;
    events.put_targets().rule("told").targets(target).send().await?;

    let ended = golden()?;
    EventBus::new(cloud.aws(), "default", "other", "datasets").run_ended(&ended).await?;
    EventBus::new(cloud.aws(), "default", "shop", "datasets").run_ended(&ended).await?;

    let received = async || {
        let received =
            sqs.receive_message().queue_url(queue).wait_time_seconds(1).max_number_of_messages(10).send().await?;
        Ok(Some(received.messages().to_vec()).filter(|messages| !messages.is_empty()))
    };
    let messages = wait_for("the event", LIMIT, received).await?;
    assert_eq!(messages.len(), 1, "of the other stack nothing is told: {messages:?}");
    let event: Value = serde_json::from_str(messages[0].body().context("no body")?)?;
    assert_eq!((&event["source"], &event["detail-type"]), (&json!(SOURCE), &json!(RUN_ENDED)));
    let mut expected = serde_json::to_value(&ended)?;
    expected["stack"] = json!("shop");
    expected["dataset_bucket"] = json!("datasets");
    assert_eq!(event["detail"], expected);
    documented(&expected)
}

/// Every field of the event stands in the documentation, and the other way round.
fn documented(detail: &Value) -> Result<()> {
    let readme = std::fs::read_to_string(template::workspace().join("infra/README.md"))?;
    let table =
        readme.split("| field of `detail` | |\n|---|---|\n").nth(1).context("no table of the event's fields")?;
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let names = rows.filter_map(|row| row.split('|').nth(1)).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let mut fields: Vec<_> = detail.as_object().context("no object")?.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(names, fields);
    Ok(())
}

/// MiniStack takes events for any bus; here nobody listens.
#[tokio::test]
async fn an_event_that_cannot_be_told_is_an_error_with_its_run() -> Result<()> {
    let sdk = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url("http://127.0.0.1:1")
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    let told = EventBus::new(Aws::new(sdk.build(), true), "runs", "shop", "datasets").run_ended(&golden()?).await;
    let error = told.expect_err("nobody was told");
    assert_eq!(error.what, "tell the event bus runs that run 0123456789abcdef is over");
    Ok(())
}
