//! A deployed stack whose functions stand still until Lambda ends them, or die in the middle of an upload, and whose queues get messages that
//! can never succeed.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::operation::list_parts::ListPartsOutput;
use aws_sdk_s3::types::Part;
use dropcollect_tests::account;
use dropcollect_tests::built::{self, Simulator};
use dropcollect_tests::cloud::{Cloud, SECRET, Stack, wait_for};
use dropcollect_tests::processes::{self, Process};
use dropcollect_tests::stack::{DEAD_LETTER_QUEUES, Dropped};
use pipeline::keys;
use pipeline::words::AttemptId;
use serde_json::{Value, json};
use tokio::time::Instant;

const NAME: &str = "sudden";
/// As short as a turn can be: a send needs 90 s.
const TURN_SECONDS: u32 = 100;
/// Until everything has come to its end, on a busy machine.
const LIMIT: Duration = Duration::from_secs(420);
/// Inputs of the file whose dataset is large; each gives 6,000 records of 10 kB.
const LARGE: usize = 3;
const LARGE_BYTES: usize = LARGE * 6_000 * 10_000;
const LARGE_OUTPUT: &str = "output/c_large01/";

struct Test<'a> {
    cloud: &'a Cloud,
    stack: &'a Stack,
    simulator: &'a Simulator,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_still_dies_or_is_poison_is_finished_all_the_same() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let simulator = Simulator::start("sudden_ends.toml")?;
    let functions = built::functions(&cloud)?;
    let parameters = [
        ("ApiTokenSecret", SECRET),
        ("ApiUrl", simulator.address()),
        ("BatchInputsMax", "10"),
        ("AttemptsMax", "2"),
        ("InDoubtWindowSeconds", "5"),
        ("LogLevel", "DEBUG"),
    ];
    let stack = cloud.deploy_hurried(NAME, &functions, TURN_SECONDS, &parameters).await?;
    let told = Test { cloud: &cloud, stack: &stack, simulator: &simulator }.run().await;
    // What was said, for whoever has to find out.
    if told.is_err() {
        println!("{}\n{}", cloud.log(), cloud.function_logs(NAME).unwrap_or_default());
        println!("{:#?}\n{:#?}", simulator.calls(), stack.keys("").await.unwrap_or_default().keys());
    }
    told
}

impl Test<'_> {
    async fn run(&self) -> Result<()> {
        let (frozen, trigger) = self.a_trigger_stands_still().await?;
        let (large, started) = self.a_poll_dies_while_it_uploads().await?;
        // The frozen ones wait for Lambda meanwhile.
        let poll = self.a_poll_stands_still(started).await?;
        let poisoned = self.poison_is_set_aside_and_redriven().await?;

        self.the_upload_was_taken_up(&large).await?;
        let own = BTreeSet::from([&frozen, &large, &poisoned].map(|dropped| dropped.object.run().to_string()));
        let all = async || Ok(Some(self.stack.manifests().await?).filter(|manifests| manifests.len() == own.len()));
        let manifests: Vec<Value> =
            wait_for("every manifest", LIMIT, all).await?.into_iter().map(|(_, it)| it).collect();
        for manifest in &manifests {
            let inputs = &manifest["inputs"];
            ensure!(manifest["state"] == "complete" && inputs["read"] == inputs["with_records"], "{manifest:#}");
            ensure!(own.contains(manifest["run"].as_str().unwrap_or_default()), "{manifest:#}");
        }
        for process in [trigger, poll] {
            self.lambda_has_ended(&process).await?;
        }
        let empty = async || Ok((self.stack.all_waiting().await? == 0).then_some(()));
        wait_for("the queues to become empty", LIMIT, empty).await?;
        account::paid_once(self.simulator, &manifests)?;
        let aside = self.stack.set_aside("PollDeadLetterQueueUrl").await?;
        ensure!(aside.len() == 1 && aside[0].0 == "no reminder", "{aside:?}");
        for (queue, left) in DEAD_LETTER_QUEUES.into_iter().zip([0, 1, 0]) {
            ensure!(self.stack.waiting(queue).await? == left, "{queue}");
        }
        Ok(())
    }

    /// `trigger` stands still between two batches, or in the middle of a paid request.
    async fn a_trigger_stands_still(&self) -> Result<(Dropped, Process)> {
        let batches = 8;
        let dropped = self.stack.drop_file("c_frozen1/frozen.txt", rows("good", "frozen", batches * 10)).await?;
        let begun = async || Ok((self.simulator.jobs()?.len() >= 2).then_some(()));
        wait_for("the first triggers", LIMIT, begun).await?;
        let trigger = self.cloud.processes().of("TriggerFunction").pop().context("no trigger runs")?;
        ensure!(trigger.freeze(), "trigger has ended by itself");
        ensure!(self.simulator.jobs()?.len() < batches, "trigger had done all of its work");
        Ok((dropped, trigger))
    }

    /// `poll` dies when some parts of a dataset are in S3, and others are not. Also returns how many of it had started by then.
    async fn a_poll_dies_while_it_uploads(&self) -> Result<(Dropped, usize)> {
        let dropped = self.stack.drop_file("c_large01/large.txt", rows("good", "large", LARGE)).await?;
        // They stand still while they are looked at, and go on for a moment: however fast one is, it is met long before its last part,
        // and what is seen is what is there when it dies. All of them: which one uploads cannot be seen.
        let deadline = Instant::now() + LIMIT;
        let polls = loop {
            let polls = self.cloud.processes().of("PollFunction");
            let frozen = polls.iter().filter(|poll| poll.freeze()).count();
            let bytes = self.bytes_uploaded().await?;
            if bytes > 0 {
                ensure!(frozen > 0, "no poll runs");
                ensure!(bytes < LARGE_BYTES / 2, "the upload was nearly over, {bytes} bytes: nothing can be cut off");
                break polls;
            }
            ensure!(Instant::now() < deadline, "waited {LIMIT:?} in vain for a part of the dataset");
            processes::thaw_for(&polls, Duration::from_millis(20));
        };
        let started = self.polls_started();
        let unfinished = self.uploads().await?;
        let visible = self.stack.keys(LARGE_OUTPUT).await?;
        for poll in &polls {
            poll.kill();
        }
        ensure!(unfinished.len() == 1 && visible.is_empty(), "nothing was cut off: {unfinished:?}, {visible:?}");
        Ok((dropped, started))
    }

    /// Nobody saw half an object, and the dataset is there once. The parts that were left behind are for the bucket's
    /// lifecycle to remove, which the template's own tests assert.
    async fn the_upload_was_taken_up(&self, large: &Dropped) -> Result<()> {
        let folder = format!("output/{}/{}/", large.object.key, large.object.run());
        let mut seen = BTreeSet::new();
        let over = async || {
            let listed = self.stack.keys(&folder).await?;
            seen.extend(listed.clone().into_iter().filter(|(key, _)| !key.ends_with("manifest.json")));
            Ok(listed.into_keys().find(|key| key.ends_with("manifest.json")))
        };
        let manifest = wait_for("the large dataset", LIMIT, over).await?;
        let manifest: Value = serde_json::from_str(&self.stack.text(&manifest).await?)?;
        ensure!(seen.len() == 1, "more than one object, or another content: {seen:#?}");
        ensure!(manifest["records"] == LARGE * 6_000, "{manifest:#}");
        let output = &manifest["outputs"][0];
        let body = self.stack.text(output["key"].as_str().context("no output")?).await?;
        ensure!(output["bytes"] == body.len() && output["records"] == body.lines().count(), "{manifest:#}");

        // Of the one that died, and perhaps of the one that stands still.
        let left = self.uploads().await?;
        ensure!((1..=2).contains(&left.len()), "{left:?}");
        Ok(())
    }

    /// `poll` stands still, whatever it is doing. Not before it has started: Lambda gives that a time of its own, and then starts it again.
    async fn a_poll_stands_still(&self, started: usize) -> Result<Process> {
        let begun = async || {
            let polls = self.cloud.processes().of("PollFunction");
            Ok(polls.last().cloned().filter(|_| polls.len() + started <= self.polls_started()))
        };
        let poll = wait_for("poll to start again", LIMIT, begun).await?;
        ensure!(poll.freeze(), "poll has ended by itself");
        // Where it had nothing to do, what comes next finds it so.
        self.stack.send("PollQueueUrl", "no reminder").await?;
        Ok(poll)
    }

    /// A record is missing that one message of three needs. The message is set aside with the reason, and does its work when it is moved
    /// back after the record has come back.
    async fn poison_is_set_aside_and_redriven(&self) -> Result<Dropped> {
        let dropped = self.stack.drop_file("c_poison1/poison.txt", rows("flaky", "poison", 30)).await?;
        let run = dropped.object.run();
        let end = keys::attempt_end(&AttemptId { run: run.clone(), batch: 2, attempt: 1 });
        // The order to try again comes at least five seconds after this record.
        let taken = wait_for("the first attempt to end", LIMIT, async || Ok(self.stack.take(&end).await.ok())).await?;
        let aside = async || Ok(self.stack.set_aside("RetryDeadLetterQueueUrl").await?.pop());
        let (order, reason) = wait_for("the order to be set aside", LIMIT, aside).await?;
        ensure!(
            serde_json::from_str::<Value>(&order)? == json!({"v": 1, "run": run, "batch": 2, "attempt": 2}),
            "{order}"
        );
        ensure!(reason.starts_with("no record says that inputs of"), "{reason}");

        let folder = format!("output/{}/{run}/", dropped.object.key);
        let neighbours = async || {
            let second = self.stack.keys(&folder).await?.into_keys().filter(|key| key.ends_with(".2.ndjson"));
            Ok((second.count() == 2).then_some(()))
        };
        wait_for("the neighbours' second attempts", LIMIT, neighbours).await?;
        ensure!(
            !self.stack.keys(&folder).await?.contains_key(&format!("{folder}manifest.json")),
            "it is over without batch 2"
        );

        self.stack.put(&end, &taken).await?;
        self.stack.redrive("RetryDeadLetterQueueUrl", "RetryQueueUrl").await?;
        let over =
            async || Ok(self.stack.keys(&folder).await?.contains_key(&format!("{folder}manifest.json")).then_some(()));
        wait_for("the run with the poison", LIMIT, over).await?;
        Ok(dropped)
    }

    fn polls_started(&self) -> usize {
        self.cloud.log().matches(&format!("environment spawned for {NAME}-PollFunction")).count()
    }

    async fn lambda_has_ended(&self, process: &Process) -> Result<()> {
        let gone = async || Ok((!process.is_there()).then_some(()));
        wait_for("Lambda to end what stands still", LIMIT, gone).await?;
        let said = format!("{}: Task timed out after {TURN_SECONDS}.00 seconds", process.function);
        ensure!(self.cloud.log().contains(&said), "{} did not end by its time", process.function);
        Ok(())
    }

    /// Bytes of the large dataset that are in S3, in uploads that are not over.
    async fn bytes_uploaded(&self) -> Result<usize> {
        let mut bytes = 0;
        for (key, upload) in self.uploads().await? {
            let parts = self.cloud.s3().list_parts().bucket(self.bucket()).key(key).upload_id(upload).send().await;
            bytes += parts.iter().flat_map(ListPartsOutput::parts).filter_map(Part::size).sum::<i64>();
        }
        Ok(usize::try_from(bytes)?)
    }

    /// Keys and ids of unfinished uploads of the large dataset.
    async fn uploads(&self) -> Result<Vec<(String, String)>> {
        let listed = self.cloud.s3().list_multipart_uploads().bucket(self.bucket()).prefix(LARGE_OUTPUT).send().await?;
        let pair = |upload: &aws_sdk_s3::types::MultipartUpload| Some((upload.key.clone()?, upload.upload_id.clone()?));
        Ok(listed.uploads().iter().filter_map(pair).collect())
    }

    fn bucket(&self) -> &str {
        self.stack.output("DatasetBucket")
    }
}

fn rows(kind: &str, word: &str, count: usize) -> String {
    (0..count).map(|n| format!("https://shop.example/{kind}/{word}/{n}\n")).collect()
}
