//! Two stacks of one template in one account, each with an API and a token of its own, get the same file. The token of one is changed while its
//! collections run; the other is updated while its collections run, and deleted in the end. Neither notices the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dropcollect_tests::account;
use dropcollect_tests::built::{self, Simulator};
use dropcollect_tests::cloud::{Cloud, FUNCTIONS, Stack, wait_for, write_executable};
use dropcollect_tests::stack::{DEAD_LETTER_QUEUES, Dropped, QUEUES};
use pipeline::keys;
use serde_json::Value;

/// Until everything has come to its end, on a busy machine.
const LIMIT: Duration = Duration::from_secs(420);
/// The same file for both.
const KEY: &str = "c_abc123/inputs.txt";
/// What the updated programs end with; nothing of it is loaded.
const MARK: &[u8] = b"the next release";

struct Side<'a> {
    cloud: &'a Cloud,
    name: &'static str,
    stack: Stack,
    simulator: Simulator,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_token_and_an_update_under_way_and_a_deletion_cost_nothing_and_the_neighbour_sees_nothing()
-> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let functions = built::functions(&cloud)?;
    let (north, south) = tokio::try_join!(
        Side::deploy(&cloud, "north", "token-of-north", &functions),
        Side::deploy(&cloud, "south", "token-of-south", &functions)
    )?;
    let told = stories(&north, &south, &functions).await;
    // What was said, for whoever has to find out.
    told.inspect_err(|_| {
        println!("{}", cloud.log());
        for side in [&north, &south] {
            println!("{}\n{:#?}", cloud.function_logs(side.name).unwrap_or_default(), side.simulator.calls());
        }
    })
}

async fn stories(north: &Side<'_>, south: &Side<'_>, functions: &Path) -> Result<()> {
    let (northern, southern) = tokio::try_join!(north.token_is_changed(), south.is_updated(functions))?;
    north.knows_only(&northern).await?;
    south.knows_only(&southern).await?;
    let refused = |side: &Side| side.simulator.calls().keys().filter(|call| call.ends_with(" 401")).count();
    ensure!(refused(north) > 0, "the changed token was refused to nobody");
    ensure!(refused(south) == 0, "a token was refused where none had changed: {:#?}", south.simulator.calls());
    south.is_deleted_and_leaves_its_buckets(&southern).await
}

impl<'a> Side<'a> {
    async fn deploy(cloud: &'a Cloud, name: &'static str, token: &str, functions: &Path) -> Result<Self> {
        let simulator = Simulator::start("sides.toml")?;
        simulator.change(|scenario| scenario.token = Some(token.to_owned()));
        let secret = format!("{name}/token");
        cloud.aws().secrets().create_secret().name(&secret).secret_string(token).send().await?;
        let stack = cloud.deploy(name, functions, &parameters(&secret, simulator.address())).await?;
        Ok(Self { cloud, name, stack, simulator })
    }

    /// The API takes another token from one moment on. Work waits for it, no longer than until the secret is changed.
    async fn token_is_changed(&self) -> Result<Vec<Dropped>> {
        let first = self.stack.drop_file(KEY, rows("first", 50)).await?;
        self.accepted(3).await?;
        self.simulator.change(|scenario| scenario.token = Some("token-of-tomorrow".to_owned()));
        self.gate_closed(1).await?;
        // While nobody may call, a second file is read, and waits.
        let second = self.stack.drop_file("c_abc123/second.txt", rows("second", 40)).await?;
        let read = async || Ok(self.stack.text(&keys::end(&second.object.run())).await.ok());
        wait_for("the second file to be read", LIMIT, read).await?;
        self.gate_closed(2).await?;
        let held = (self.simulator.jobs()?.len(), self.stack.manifests().await?.len());
        ensure!(held == (3, 0), "collections and manifests while the token was refused: {held:?}");

        let secret = format!("{}/token", self.name);
        self.cloud
            .aws()
            .secrets()
            .put_secret_value()
            .secret_id(secret)
            .secret_string("token-of-tomorrow")
            .send()
            .await?;
        self.manifests(2).await?;
        Ok(vec![first, second])
    }

    /// Waits until the API has refused the token so many times in a row.
    async fn gate_closed(&self, times: u64) -> Result<()> {
        let closed = async || {
            let Ok(gate) = self.stack.text(keys::TOKEN_GATE).await else { return Ok(None) };
            let gate: Value = serde_json::from_str(&gate)?;
            Ok((gate["failures"].as_u64() >= Some(times) && gate["cause"] == "credentials").then_some(()))
        };
        wait_for("the token's gate to close", LIMIT, closed).await
    }

    /// Programs and settings are replaced while collections run, messages wait and the ledger is half-written.
    async fn is_updated(&self, functions: &Path) -> Result<Vec<Dropped>> {
        // They last longer than an update takes.
        self.simulator.change(|scenario| (scenario.jobs.base_seconds, scenario.jobs.longest_seconds) = (60.0, 60.0));
        let first = self.stack.drop_file(KEY, rows("first", 50)).await?;
        self.accepted(3).await?;
        ensure!(self.stack.all_waiting().await? >= 3, "no message is on its way");
        self.simulator.change(|scenario| (scenario.jobs.base_seconds, scenario.jobs.longest_seconds) = (10.0, 10.0));

        let next = self.cloud.folder("next")?;
        for function in FUNCTIONS {
            let program = [&fs::read(functions.join(function).join("bootstrap"))?, MARK].concat();
            write_executable(&next.join(function).join("bootstrap"), &program)?;
        }
        let secret = format!("{}/token", self.name);
        let mut parameters = parameters(&secret, self.simulator.address());
        parameters.push(("OutputFormat", "json"));
        let updated = self.cloud.deploy(self.name, &next, &parameters).await?;
        for same in ["InputBucket", "DatasetBucket"].iter().chain(&QUEUES).chain(&DEAD_LETTER_QUEUES) {
            ensure!(updated.output(same) == self.stack.output(same), "{same} is another one after the update");
        }
        ensure!(self.stack.manifests().await?.is_empty(), "all was over before the update was");

        let second = self.stack.drop_file("c_abc123/second.txt", rows("second", 40)).await?;
        let manifests = self.manifests(2).await?;
        for (dropped, kind) in [(&first, ".ndjson"), (&second, ".json")] {
            // A run keeps the settings that it began with.
            let manifest = manifests.get(&dropped.object.run().to_string()).context("a run without a manifest")?;
            let outputs = manifest["outputs"].as_array().context("no outputs")?;
            let fits = |output: &Value| output["key"].as_str().is_some_and(|key| key.ends_with(kind));
            ensure!(!outputs.is_empty() && outputs.iter().all(fits), "not all are {kind}: {outputs:#?}");
        }
        let processes = self.cloud.processes().of(self.name);
        ensure!(!processes.is_empty(), "no function of {} runs", self.name);
        for process in processes {
            ensure!(process.program()?.ends_with(MARK), "{process:?} runs the program of before");
        }
        Ok(vec![first, second])
    }

    /// Waits until the API has accepted so many triggers.
    async fn accepted(&self, triggers: usize) -> Result<()> {
        let accepted = async || Ok((self.simulator.jobs()?.len() == triggers).then_some(()));
        wait_for("the triggers to be accepted", LIMIT, accepted).await
    }

    /// Waits for so many manifests; gives them by their runs.
    async fn manifests(&self, count: usize) -> Result<BTreeMap<String, Value>> {
        let all = async || Ok(Some(self.stack.manifests().await?).filter(|manifests| manifests.len() == count));
        let manifests = wait_for("the manifests", LIMIT, all).await?.into_iter();
        manifests.map(|(_, it)| Ok((it["run"].as_str().context("no run")?.to_owned(), it))).collect()
    }

    /// Its buckets, its manifests and its API know of its own files only, and every row of these is accounted for.
    async fn knows_only(&self, dropped: &[Dropped]) -> Result<()> {
        let manifests = self.manifests(dropped.len()).await?;
        let own: BTreeSet<_> = dropped.iter().map(|dropped| dropped.object.run().to_string()).collect();
        ensure!(manifests.keys().eq(&own), "{manifests:#?}\nown: {own:#?}");
        for manifest in manifests.values() {
            let inputs = &manifest["inputs"];
            let count = |name: &str| inputs[name].as_u64().unwrap_or_default();
            let (failed, without) = (count("failed"), count("no_record"));
            ensure!(count("read") == count("with_records") + failed + without, "{manifest:#}");
            ensure!((failed, without) == (count("read") / 10, count("read") / 10), "{manifest:#}");
            ensure!(manifest["records"] == count("with_records"), "{manifest:#}");
        }
        for key in self.stack.keys("ledger/runs/").await?.into_keys() {
            ensure!(own.iter().any(|run| key.contains(run.as_str())), "{key} is of no run of {}", self.name);
        }
        let empty = async || Ok((self.stack.all_waiting().await? == 0).then_some(()));
        wait_for("the queues to become empty", LIMIT, empty).await?;
        for queue in DEAD_LETTER_QUEUES {
            ensure!(self.stack.waiting(queue).await? == 0, "{queue} is not empty");
        }
        account::paid_once(&self.simulator, &manifests.into_values().collect::<Vec<_>>())
    }

    /// The stack goes, what was paid for stays.
    async fn is_deleted_and_leaves_its_buckets(&self, dropped: &[Dropped]) -> Result<()> {
        let before = self.stack.keys("").await?;
        ensure!(before.keys().any(|key| key.starts_with("output/")), "nothing to lose: {before:#?}");
        self.cloud.delete(self.name).await?;
        for queue in QUEUES.iter().chain(&DEAD_LETTER_QUEUES) {
            ensure!(self.stack.waiting(queue).await.is_err(), "{queue} is still there");
        }
        ensure!(self.stack.keys("").await? == before, "the dataset bucket has changed");
        for Dropped { object, .. } in dropped {
            let head = self.cloud.s3().head_object().bucket(self.stack.output("InputBucket")).key(&object.key);
            head.send().await.with_context(|| object.key.clone())?;
        }
        Ok(())
    }
}

fn parameters<'a>(secret: &'a str, api: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("ApiTokenSecret", secret),
        ("ApiUrl", api),
        ("BatchInputsMax", "20"),
        ("AttemptsMax", "2"),
        ("LogLevel", "DEBUG"),
    ]
}

/// Fifty rows are three batches: their sizes differ by design. Of ten rows, one never works, one gives nothing, and one works the second time.
fn rows(word: &str, count: usize) -> String {
    let kind = |n: usize| ["dead", "quiet", "flaky"].get(n % 10).unwrap_or(&"good");
    (0..count).map(|n| format!("https://shop.example/{}/{word}/{n}\n", kind(n))).collect()
}
