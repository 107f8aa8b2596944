//! `dropcollect doctor` on a deployed stack: the real template in a local AWS, with the real command beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout;
use dropcollect::doctor::{POLL_SECONDS, RETRY_SECONDS};
use dropcollect_tests::built::{self, Simulator};
use dropcollect_tests::cloud::{Cloud, SECRET, Stack, TOKEN};
use dropcollect_tests::template;
use jiff::{SignedDuration, Timestamp};
use pipeline::gate::{self, Cause, Refusal};
use pipeline::keys;
use serde_json::{Value, json};

#[test]
fn time_outs_are_those_of_the_template() -> Result<()> {
    let template = template::load()?;
    for (function, seconds) in [("PollFunction", POLL_SECONDS), ("RetryFunction", RETRY_SECONDS)] {
        assert_eq!(template["Resources"][function]["Properties"]["Timeout"], seconds, "{function}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stack_is_looked_at_and_left_as_it_is() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let simulator = Simulator::start("end_to_end.toml")?;
    simulator.change(|scenario| scenario.token = Some(TOKEN.to_owned()));
    let parameters = [("ApiTokenSecret", SECRET), ("ApiUrl", simulator.address())];
    let stack = cloud.deploy("doctored", &built::functions(&cloud)?, &parameters).await?;
    let doctor = Doctor { program: built::command()?, cloud: &cloud, stack: &stack, api: simulator.address() };
    looked_at(&doctor).await.inspect_err(|_| println!("{}", cloud.log()))?;
    assert!(simulator.jobs()?.is_empty(), "something was paid for");
    Ok(())
}

async fn looked_at(doctor: &Doctor<'_>) -> Result<()> {
    let place = format!("s3://{}", doctor.stack.output("DatasetBucket"));
    let new = doctor.looks(&place, &[], &[]).await?;
    new.expect(0, &["settings", "token", "clock", "bucket", "poll queue", "poll dead letters", "retry queue", "held"])?;
    new.says("token", "ok", "lets it in")?;
    new.says("bucket", "ok", "nothing has been run there")?;
    new.says("writes", "skipped", "--write")?;
    new.says("poll queue", "ok", "0 messages: 0 to be received, 0 in flight, 0 delayed; hidden for 5400 s")?;
    new.says("pauses", "ok", "none")?;

    doctor.trouble().await?;
    let before = doctor.stack.keys("").await?;
    let later = doctor.looks(&place, &[], &["--write"]).await?;
    later.expect(4, &["bucket", "writes", "poll queue"])?;
    later.says("writes", "ok", "refused, as it must be")?;
    later.says("poll queue", "ok", "1 message: 0 to be received, 0 in flight, 1 delayed")?;
    later.says("poll dead letters", "problem", "1 message in ")?;
    later.says("poll dead letters", "problem", "infra/runbook.md, PollDeadLetterAlarm")?;
    later.says("retry dead letters", "ok", "none")?;
    later.says("retry queue", "warning", "hidden for 30 s")?;
    later.says("pauses", "warning", "c_abc123: until 2")?;
    later.says("pauses", "warning", "the API asked to wait")?;
    ensure!(doctor.stack.keys("").await? == before, "the bucket has changed");

    let wrong =
        doctor.looks("s3://of-nobody", &[("POLL_QUEUE_URL", "http://127.0.0.1/000000000000/none")], &[]).await?;
    wrong.expect(2, &[])?;
    wrong.says("bucket", "problem", "output DatasetBucket")?;
    wrong.says("poll queue", "problem", "output of the stack")?;
    let nobody = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_EC2_METADATA_DISABLED", "true")];
    let nobody = doctor.looks(&place, &nobody, &[]).await?;
    nobody.expect(2, &[])?;
    nobody.says("bucket", "problem", "log in to AWS")?;
    nobody.says("token", "problem", "check BRIGHT_DATA_API_TOKEN_SECRET")?;
    versions_go(doctor).await
}

/// In a bucket that keeps versions, and is none of a stack.
async fn versions_go(doctor: &Doctor<'_>) -> Result<()> {
    let (s3, bucket) = (doctor.cloud.s3(), "versions");
    s3.create_bucket().bucket(bucket).send().await?;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    s3.put_bucket_versioning().bucket(bucket).versioning_configuration(enabled).send().await?;
    s3.put_object().bucket(bucket).key("mine").body(b"mine".to_vec().into()).send().await?;
    let others = doctor.looks("s3://versions", &[], &["--write"]).await?;
    others.expect(4, &["clock"])?;
    others.says("bucket", "warning", "none of dropcollect's")?;
    others.says("writes", "ok", "refused, as it must be")?;
    let versions = s3.list_object_versions().bucket(bucket).send().await?;
    let left = (versions.versions().len(), versions.delete_markers().len());
    ensure!(left == (1, 0), "something is left behind: {versions:#?}");
    Ok(())
}

/// The command, and what it looks at.
struct Doctor<'a> {
    program: PathBuf,
    cloud: &'a Cloud,
    stack: &'a Stack,
    api: &'a str,
}

/// What it said.
struct Said {
    status: Option<i32>,
    checks: BTreeMap<String, Value>,
}

impl Doctor<'_> {
    async fn looks(&self, place: &str, variables: &[(&str, &str)], more: &[&str]) -> Result<Said> {
        let mut command = Command::new(&self.program);
        command.args(["doctor", "--json", "--data", place]).args(more).stdin(Stdio::null());
        command.env_clear().envs(self.cloud.variables()).env("BRIGHT_DATA_API_URL", self.api);
        command.env("BRIGHT_DATA_API_TOKEN_SECRET", SECRET);
        for (variable, output) in [("POLL_QUEUE_URL", "PollQueueUrl"), ("RETRY_QUEUE_URL", "RetryQueueUrl")] {
            command.env(variable, self.stack.output(output));
        }
        command.envs(variables.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        ensure!(!out.contains(TOKEN) && err.is_empty(), "{out}\n{err}");
        let check = |line: &str| {
            let check: Value = serde_json::from_str(line)?;
            Ok((check["name"].as_str().context("no name")?.to_owned(), check))
        };
        Ok(Said { status: output.status.code(), checks: out.lines().map(check).collect::<Result<_>>()? })
    }

    /// What a person would want to know of: a letter that could not be acted on, a collector that waits, a queue of short patience. And a
    /// reminder on its way, which is nothing to know of.
    async fn trouble(&self) -> Result<()> {
        let (sqs, stack) = (self.cloud.sqs(), self.stack);
        stack.send("PollDeadLetterQueueUrl", "{}").await?;
        let send = sqs.send_message().queue_url(stack.output("PollQueueUrl")).message_body("{}");
        send.delay_seconds(900).send().await?;
        let queue = sqs.set_queue_attributes().queue_url(stack.output("RetryQueueUrl"));
        queue.attributes(VisibilityTimeout, "30").send().await?;
        let store = adapters::s3::S3Store::new(self.cloud.s3(), stack.output("DatasetBucket"));
        let refusal = Refusal { cause: Cause::Limit, retry_after: Some(900), reason: "the API asked to wait: full" };
        gate::close(&store, &keys::collector_gate("c_abc123"), Timestamp::now(), refusal).await?;
        let over = Timestamp::now() - SignedDuration::from_hours(1);
        stack.put("control/left.json", &json!({"v": 1, "by": "another release", "at": over})).await
    }
}

impl Said {
    /// The exit status, and checks that are ok.
    fn expect(&self, status: i32, fine: &[&str]) -> Result<()> {
        ensure!(self.status == Some(status), "{:?}: {:#?}", self.status, self.checks);
        for name in fine {
            ensure!(self.checks.get(*name).is_some_and(|check| check["state"] == "ok"), "{name}: {:#?}", self.checks);
        }
        Ok(())
    }

    fn says(&self, name: &str, state: &str, words: &str) -> Result<()> {
        let check = self.checks.get(name).with_context(|| format!("no {name}: {:#?}", self.checks))?;
        ensure!(check["state"] == state, "{check:#}");
        ensure!(check["seen"].to_string().contains(words) || check["fix"].to_string().contains(words), "{check:#}");
        ensure!(check["fix"].is_null() == (state == "ok"), "{check:#}");
        Ok(())
    }
}
