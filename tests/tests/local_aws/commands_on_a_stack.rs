//! The command line on a deployed stack: files are dropped once and followed, failed inputs run again, a run is stopped.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use dropcollect_tests::built::{self, Simulator};
use dropcollect_tests::cloud::{Cloud, Running, SECRET, Stack, wait_for};

const NAME: &str = "commands";
/// For everything that one command waits for, on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);
const BATCHES: usize = 6;

struct Test<'a> {
    cloud: &'a Cloud,
    stack: &'a Stack,
    simulator: &'a Simulator,
    command: PathBuf,
    folder: PathBuf,
    /// Commands that were started.
    started: Cell<u32>,
}

/// A command, and where what it says goes.
struct Started {
    process: Running,
    said: PathBuf,
}

/// What a command said.
struct Said {
    status: Option<i32>,
    text: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_dropped_once_followed_run_again_and_stopped() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let simulator = Simulator::start("commands.toml")?;
    let functions = built::functions(&cloud)?;
    let parameters = [
        ("ApiTokenSecret", SECRET),
        ("ApiUrl", simulator.address()),
        ("BatchInputsMax", "10"),
        ("AttemptsMax", "1"),
        ("LogLevel", "DEBUG"),
    ];
    let stack = cloud.deploy(NAME, &functions, &parameters).await?;
    let (command, folder) = (built::command()?, cloud.folder("commands")?);
    let test = Test { cloud: &cloud, stack: &stack, simulator: &simulator, command, folder, started: Cell::new(0) };
    let told = test.all().await;
    // What was said, for whoever has to find out.
    told.inspect_err(|_| println!("{}\n{}", cloud.log(), cloud.function_logs(NAME).unwrap_or_default()))
}

impl Test<'_> {
    async fn all(&self) -> Result<()> {
        self.a_file_is_dropped_once_and_followed().await?;
        self.the_page_is_there_and_opens().await?;
        self.failed_inputs_are_run_again_once().await?;
        self.a_run_is_stopped().await
    }

    async fn a_file_is_dropped_once_and_followed(&self) -> Result<()> {
        let kinds = ["good", "good", "flaky", "dead"];
        let rows: String = (0..8).map(|n| format!("https://shop.example/{}/{n},{n}\n", kinds[n % 4])).collect();
        fs::write(self.folder.join("list.csv"), format!("url,number\n{rows}"))?;
        let run = ["run", "list.csv", "--to", &self.input_bucket(), "--collector", "c_abc123"];
        let first = self.said(&run).await?;
        first
            .expect(1, &["list.csv: complete, with failures", "8 read", "4 with records", "4 failed", &self.place()])?;
        ensure!(self.simulator.jobs()?.len() == 1, "{:#?}", self.simulator.jobs()?);

        let second = self.said(&run).await?;
        second.expect(1, &["list.csv was dropped before: following that run", "4 with records"])?;
        let other = ["run", "list.csv", "--to", &self.input_bucket(), "--collector", "c_abc124"];
        self.said(&other).await?.expect(2, &["was dropped before with other options"])?;
        ensure!(self.simulator.jobs()?.len() == 1, "{:#?}", self.simulator.jobs()?);

        self.said(&["status", &self.place()]).await?.expect(0, &["complete_with_failures", "list.csv"])?;
        let why = ["why", "list.csv", "/dead/3", "--data", &self.place()];
        self.said(&why).await?.expect(0, &["failed for good", "https://shop.example/dead/3,3"])?;
        let nowhere = ["run", "list.csv", "--to", "s3://another-bucket"];
        self.said(&nowhere).await?.expect(2, &["where are the results? --data s3://"])
    }

    /// The functions write the page by themselves; the command makes it anew, and gives an address that opens it without credentials.
    async fn the_page_is_there_and_opens(&self) -> Result<()> {
        let bucket = self.stack.output("DatasetBucket");
        let written = async || {
            let get = self.cloud.s3().get_object().bucket(bucket).key("status/index.html").send().await;
            let Ok(object) = get else { return Ok(None) };
            let html = String::from_utf8(object.body.collect().await?.to_vec())?;
            Ok((html.contains("list.csv") && html.contains("data-state=\"failures\"")).then_some(()))
        };
        wait_for("the status page", LIMIT, written).await?;
        let said = self.said(&["status", "--web", &self.place()]).await?;
        said.expect(0, &[&format!("{}/status/index.html\n", self.place()), "X-Amz-Expires=3600"])?;
        let address = said.text.lines().find(|line| line.starts_with("http")).unwrap_or_default();
        let open = "import sys, urllib.request as ask; page = ask.urlopen(sys.argv[1]); \
                    print(page.headers['content-type'], page.headers['cache-control'], page.read().decode())";
        let opened = Command::new(self.cloud.python()).args(["-c", open, address]).output()?;
        let text = String::from_utf8_lossy(&opened.stdout);
        ensure!(text.starts_with("text/html; charset=utf-8 no-cache <!DOCTYPE html>"), "{opened:?}");
        ensure!(text.contains("list.csv"), "{text}");
        Ok(())
    }

    async fn failed_inputs_are_run_again_once(&self) -> Result<()> {
        let place = self.place();
        let retry = ["retry", "list.csv", "--data", &place];
        let all = ["retry", "list.csv", "--data", &place, "--all"];
        self.said(&retry).await?.expect(0, &["list.csv: 4 failed inputs", "--code CODE, or --all"])?;
        let again = self.said(&all).await?;
        again.expect(
            1,
            &["4 inputs of list.csv are run again as list.retry-", "4 read", "2 with records", "2 failed"],
        )?;
        ensure!(self.simulator.jobs()?.len() == 2, "{:#?}", self.simulator.jobs()?);
        self.said(&all).await?.expect(1, &["was dropped before", "2 with records"])?;
        ensure!(self.simulator.jobs()?.len() == 2, "{:#?}", self.simulator.jobs()?);
        Ok(())
    }

    async fn a_run_is_stopped(&self) -> Result<()> {
        let rows: String = (0..BATCHES * 10).map(|n| format!("https://shop.example/good/{n}\n")).collect();
        fs::write(self.folder.join("slow.txt"), rows)?;
        let key = "c_slow01/slow.txt";
        let run = ["run", "slow.txt", "--to", &self.input_bucket(), "--key", key];
        let followed = self.start(&run, &[])?;
        let triggered = async || Ok((self.simulator.jobs()?.len() == 2 + BATCHES).then_some(()));
        wait_for("the triggers", LIMIT, triggered).await?;
        let cancel = ["cancel", key, "--data", &self.place()];
        self.said(&cancel).await?.expect(2, &["POLL_QUEUE_URL is not set"])?;
        let queue = self.stack.output("PollQueueUrl");
        let cancelled = self.start(&cancel, &[("POLL_QUEUE_URL", queue)])?;
        cancelled.end().await?.expect(0, &["told to stop", "dropcollect status s3://"])?;
        followed.end().await?.expect(1, &["slow.txt: complete, with failures", "60 read", "60 failed"])?;
        let jobs = self.simulator.jobs()?;
        ensure!(jobs.len() == 2 + BATCHES, "{jobs:#?}");
        ensure!(jobs.iter().all(|job| job["status"] != "running"), "{jobs:#?}");
        Ok(())
    }

    fn input_bucket(&self) -> String {
        format!("s3://{}", self.stack.output("InputBucket"))
    }

    fn place(&self) -> String {
        format!("s3://{}", self.stack.output("DatasetBucket"))
    }

    fn start(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Started> {
        self.started.set(self.started.get() + 1);
        let said = self.folder.join(format!("{}.said", self.started.get()));
        let file = File::create(&said)?;
        let mut command = Command::new(&self.command);
        command.args(arguments).current_dir(&self.folder).env_clear().envs(self.cloud.variables());
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Started { process: Running::start(&mut command)?, said })
    }

    async fn said(&self, arguments: &[&str]) -> Result<Said> {
        self.start(arguments, &[])?.end().await
    }
}

impl Started {
    async fn end(mut self) -> Result<Said> {
        let status = wait_for("a command to end", LIMIT, async || Ok(self.process.child().try_wait()?)).await?;
        Ok(Said { status: status.code(), text: fs::read_to_string(&self.said)? })
    }
}

impl Said {
    fn expect(&self, status: i32, words: &[&str]) -> Result<()> {
        ensure!(self.status == Some(status), "ended with {:?}, not {status}: {}", self.status, self.text);
        for word in words {
            ensure!(self.text.contains(word), "{word:?} is missing: {}", self.text);
        }
        Ok(())
    }
}
