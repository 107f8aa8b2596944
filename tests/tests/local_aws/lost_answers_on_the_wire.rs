//! The guarantees on a real wire: the deployed functions, between them and the API a proxy that loses requests and answers, and functions
//! that die at any moment. The simulator's own account says what was paid for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dropcollect_tests::account;
use dropcollect_tests::built::{self, Simulator};
use dropcollect_tests::cloud::{Cloud, SECRET, Stack, wait_for};
use dropcollect_tests::stack::{DEAD_LETTER_QUEUES, Dropped};
use dropcollect_tests::wire::{Fate, Proxy, Seen};
use dropcollect_tests::world::dice::Dice;
use jiff::{SignedDuration, Timestamp};
use pipeline::keys;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const NAME: &str = "wire";
/// Chance of the whole test, unless `DROPCOLLECT_SEED` says another.
const SEED: u64 = 1;
/// A turn: just above the 90 s that a send needs, because a send is in doubt until the turn of its sender is over.
const TURN_SECONDS: u32 = 100;
/// Deaths, and faults of second attempts, end so long after the first trigger, so that what they leave behind is over soon.
const TROUBLE: Duration = Duration::from_secs(20);
/// Likewise of first attempts. Whoever is sent again has been in doubt for longer.
const TROUBLE_OF_FIRST_ATTEMPTS: Duration = Duration::from_secs(60);
const FUNCTIONS: [&str; 4] = ["TriggerFunction", "PollFunction", "RetryFunction", "SweepFunction"];
const WORKERS: [&str; 3] = ["TriggerFunction", "PollFunction", "RetryFunction"];
/// Until everything has come to its end, on a busy machine.
const LIMIT: Duration = Duration::from_secs(420);
/// Two files share a collector, so that their lost answers can be taken for each other's.
const FILES: [(&str, &str); 3] =
    [("c_wire01/one.txt", "one"), ("c_wire01/two.txt", "two"), ("c_wire02/three.txt", "three")];
const BATCHES: usize = 10;
/// What becomes of the first triggers of the batches of a file, in an order that the seed decides.
const FATES: [Fate; BATCHES] = [
    Fate::Pass,
    Fate::Pass,
    Fate::Pass,
    Fate::Pass,
    Fate::Lost,
    Fate::NoAnswer,
    Fate::HalfAHead,
    Fate::HalfABody,
    Fate::DiesBefore,
    Fate::DiesAfter,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_and_sudden_deaths_cost_nothing_twice_and_lose_nothing() -> Result<()> {
    let seed = std::env::var("DROPCOLLECT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let simulator = Simulator::start("wire.toml")?;
    let proxy = Proxy::start(simulator.address(), cloud.processes(), fates(seed)).await?;
    let functions = built::functions(&cloud)?;
    let parameters = [
        ("ApiTokenSecret", SECRET),
        ("ApiUrl", proxy.address()),
        ("BatchInputsMax", "20"),
        ("AttemptsMax", "2"),
        ("InDoubtWindowSeconds", "5"),
        ("LogLevel", "DEBUG"),
    ];
    let stack = cloud.deploy_hurried(NAME, &functions, TURN_SECONDS, &parameters).await?;
    let test = Test { cloud: &cloud, stack: &stack, simulator: &simulator, proxy: &proxy };
    let told = test.run(seed).await;
    // What was said, for whoever has to find out.
    if told.is_err() {
        println!("seed {seed}\n{}\n{}", cloud.log(), cloud.function_logs(NAME).unwrap_or_default());
        println!("{:#?}\n{:#?}", proxy.seen(), stack.keys("ledger/").await.unwrap_or_default().keys());
    }
    told
}

/// Decides about each trigger by its collector, batch and attempt, so that a seed means the same whatever comes first.
fn fates(seed: u64) -> impl Fn(&Seen) -> Fate + Send + Sync + 'static {
    let began = OnceLock::new();
    move |seen| {
        let place = seen.name.rsplit(' ').next().and_then(|place| place.split_once('.'));
        let Some((Ok(batch), Ok(attempt))) = place.map(|(batch, attempt)| (batch.parse(), attempt.parse())) else {
            return Fate::Pass;
        };
        let (batch, attempt): (usize, u64) = (batch, attempt);
        let trouble = if attempt == 1 { TROUBLE_OF_FIRST_ATTEMPTS } else { TROUBLE };
        if began.get_or_init(Instant::now).elapsed() > trouble || seen.before > 0 {
            return Fate::Pass;
        }
        let salt = seen.collector.bytes().fold(seed, |salt, byte| salt.wrapping_mul(31).wrapping_add(byte.into()));
        let mut dice = Dice::new(salt.wrapping_mul(31).wrapping_add(attempt));
        let mut deck = FATES;
        for last in (1..deck.len()).rev() {
            deck.swap(last, dice.below(last + 1));
        }
        deck[batch.wrapping_sub(1) % deck.len()]
    }
}

struct Test<'a> {
    cloud: &'a Cloud,
    stack: &'a Stack,
    simulator: &'a Simulator,
    proxy: &'a Proxy,
}

impl Test<'_> {
    async fn run(&self, seed: u64) -> Result<()> {
        let mut dropped = Vec::new();
        for (key, word) in FILES {
            dropped.push(self.stack.drop_file(key, rows(word).join("\n")).await?);
        }
        let started = Instant::now();
        let (reminded, killed) = tokio::try_join!(self.sweep(&dropped[0]), self.trouble(&dropped, seed))?;

        let manifests = wait_for("every manifest", LIMIT, async || {
            let manifests = self.stack.manifests().await?;
            Ok((manifests.len() == FILES.len()).then_some(manifests))
        });
        let manifests: Vec<Value> = manifests.await?.into_iter().map(|(_, manifest)| manifest).collect();
        let all_over = started.elapsed();
        let empty = async || Ok((self.stack.all_waiting().await? == 0).then_some(()));
        wait_for("the queues to become empty", LIMIT, empty).await?;
        let fates = self.proxy.fates();
        let resent: u64 = manifests.iter().map(|manifest| manifest["resent"].as_u64().unwrap_or(0)).sum();
        println!(
            "seed {seed}: {fates:?}; killed {killed:?}; reminded {reminded}; resent {resent}; over after {all_over:?}, queues empty after {:?}",
            started.elapsed()
        );

        for fate in FATES {
            ensure!(fates.contains_key(&fate), "{fate:?} never happened");
        }
        let swept = self.stack.keys(&keys::sweeps(&dropped[0].object.run())).await?;
        ensure!(!swept.is_empty(), "no sweep cared for the run that looks old");
        self.every_row_is_accounted_for(&manifests)?;
        account::paid_once(self.simulator, &manifests)?;
        self.resent_counts(resent, killed.values().sum())?;
        ensure!(self.proxy.seen().iter().any(|seen| seen.killed.is_some()), "nobody died while sending");
        for queue in DEAD_LETTER_QUEUES {
            ensure!(self.stack.waiting(queue).await? == 0, "{queue} is not empty");
        }
        ensure!(self.stack.keys("late/").await?.is_empty(), "something came too late");
        // The page and the accounts stay; a gate would be one that closed.
        let control = self.stack.keys("control/").await?;
        let gates: Vec<_> =
            control.keys().filter(|key| *key != keys::PAGE_STATE && !key.starts_with("control/accounts/")).collect();
        ensure!(gates.is_empty(), "{gates:?}");
        let swept = self.cloud.invoke(NAME, "SweepFunction", &json!({})).await?;
        ensure!(swept["open_runs"] == 0 && swept["held_inputs"] == 0, "{swept:#}");
        Ok(())
    }

    /// Makes a run look three hours old, so that sweeps care for it, and sweeps twice at once, then a few times more. A sweep may die
    /// like any function. How many batches were reminded by those that did not.
    async fn sweep(&self, dropped: &Dropped) -> Result<u64> {
        let id = dropped.object.run();
        let key = keys::run(&id);
        let begun = async || Ok(self.stack.text(&key).await.ok());
        let mut run: Value = serde_json::from_str(&wait_for("the first run to begin", LIMIT, begun).await?)?;
        let long_ago = Timestamp::now() - SignedDuration::from_hours(3);
        run["started_at"] = json!(long_ago);
        self.stack.put(&key, &run).await?;
        self.stack.put(&keys::run_mark(keys::BEGUN, &id, long_ago), &json!({"v": 1})).await?;
        let mut reminded = 0;
        let sweep = || self.cloud.invoke(NAME, "SweepFunction", &Value::Null);
        for _ in 0..4 {
            let (one, two) = tokio::join!(sweep(), sweep());
            for swept in [one, two].into_iter().flatten() {
                println!("swept: {swept}");
                reminded += swept["reminded"].as_u64().context("no count")?;
            }
            sleep(Duration::from_secs(5)).await;
        }
        Ok(reminded)
    }

    /// Functions die at any moment, each of those with a queue at least once, and events come again. How often each function has died.
    async fn trouble(&self, dropped: &[Dropped], seed: u64) -> Result<BTreeMap<&'static str, usize>> {
        let mut dice = Dice::new(seed);
        let mut killed = BTreeMap::new();
        let first = async || Ok((!self.proxy.seen().is_empty()).then_some(()));
        wait_for("the first trigger", LIMIT, first).await?;
        let began = Instant::now();
        while began.elapsed() < TROUBLE || WORKERS.iter().any(|function| !killed.contains_key(function)) {
            ensure!(began.elapsed() < LIMIT, "not every function could be killed: {killed:?}");
            sleep(Duration::from_millis(300 + dice.below(1_200) as u64)).await;
            // Whoever has died least often is next, as far as it runs.
            let mut next =
                FUNCTIONS.map(|function| (killed.get(function).copied().unwrap_or(0), dice.roll(), function));
            next.sort_unstable();
            for (_, _, function) in next {
                let processes = self.cloud.processes().of(function);
                if !processes.is_empty() && processes[dice.below(processes.len())].kill() {
                    *killed.entry(function).or_insert(0) += 1;
                    break;
                }
            }
            self.stack.send("InputQueueUrl", &dropped[dice.below(dropped.len())].event).await?;
        }
        Ok(killed)
    }

    fn every_row_is_accounted_for(&self, manifests: &[Value]) -> Result<()> {
        for manifest in manifests {
            let key = manifest["input"]["key"].as_str().context("no key")?;
            let (_, word) = FILES.into_iter().find(|(known, _)| *known == key).context("a run of no file")?;
            let rows = rows(word);
            let count = |kind: &str| rows.iter().filter(|row| row.contains(kind)).count();
            let expected = json!({
                "read": rows.len(), "rejected": 0, "duplicates": 1, "with_records": count("/good/") - 1 + count("/flaky/"),
                "no_record": count("/quiet/"), "failed": count("/dead/"),
            });
            ensure!(manifest["inputs"] == expected, "{expected:#}\n{manifest:#}");
            ensure!(manifest["records"] == expected["with_records"], "{manifest:#}");
            ensure!(manifest["unmatched_records"] == 0, "{manifest:#}");
        }
        Ok(())
    }

    /// A trigger that came by again had come by in vain before, and the manifests say so. Who died between its intent and its request
    /// did not come by at all.
    fn resent_counts(&self, resent: u64, deaths: usize) -> Result<()> {
        let seen = self.proxy.seen();
        let names: BTreeSet<&str> = seen.iter().map(|seen| seen.name.as_str()).collect();
        let again = (seen.len() - names.len()) as u64;
        let deaths = deaths + seen.iter().filter(|seen| seen.killed.is_some()).count();
        ensure!((again..=again + deaths as u64).contains(&resent), "{again} came by again, {resent} were made again");
        Ok(())
    }
}

/// Rows of a file that makes [`BATCHES`] batches of 19 or 20 inputs: of each, some fail at first, and more in one than in the next. Some never
/// work, some give nothing, and one is there twice.
fn rows(word: &str) -> Vec<String> {
    let mut rows: Vec<_> = (0..BATCHES * 39 / 2 - 4)
        .map(|n| {
            let kind = match (n % 20, n / 20) {
                (place, batch) if place <= batch % 4 => "flaky",
                (7, batch) if batch % 2 == 0 => "dead",
                (9, batch) if batch % 3 == 0 => "quiet",
                _ => "good",
            };
            format!("https://shop.example/{kind}/{word}/{n}")
        })
        .collect();
    let twice = rows.iter().find(|row| row.contains("/good/")).cloned();
    rows.extend(twice);
    rows
}
