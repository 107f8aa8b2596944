//! A local AWS (MiniStack) for one test: started on a free port of 127.0.0.1, with IAM enforced, and stopped when it goes out of scope.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use adapters::aws::Aws;
use anyhow::{Context, Result, ensure};
use aws_config::SdkConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::processes::Processes;
pub use crate::stack::Stack;
use crate::template;
pub use crate::template::FUNCTIONS;

/// Region of everything.
pub const REGION: &str = "us-east-1";
/// Name of the secret that is there when a stack is deployed.
pub const SECRET: &str = "dropcollect/token";
/// What is in it.
pub const TOKEN: &str = "token-of-the-test";
/// Bucket of what `sam deploy` uploads.
const ARTIFACTS: &str = "dropcollect-artifacts";

/// Where the tools are, or `None` when they were not set up: then the test is skipped, with a word, unless `DROPCOLLECT_REQUIRE_E2E=1`.
pub fn tools() -> Result<Option<PathBuf>> {
    let tools = template::workspace().join("target/tools");
    if ["ministack/.installed", "sam/.installed"].iter().all(|tool| tools.join(tool).is_file()) {
        return Ok(Some(tools.canonicalize()?));
    }
    ensure!(!required(), "no local AWS in {}: run tests/tools first", tools.display());
    println!("skipped: no local AWS in target/tools (set it up with tests/tools)");
    Ok(None)
}

/// Whether a skipped test is a failed one.
pub fn required() -> bool {
    std::env::var("DROPCOLLECT_REQUIRE_E2E").is_ok_and(|value| value == "1")
}

/// A process that is stopped, with everything that it started, when this goes out of scope.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it in a process group of its own.
    pub fn start(command: &mut Command) -> Result<Self> {
        let what = format!("{command:?}");
        Ok(Self { child: command.process_group(0).spawn().with_context(|| format!("starting {what}"))? })
    }

    /// Its process, for its output.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    fn signal(&self, signal: &str, to: String) {
        // The group may be gone already, which is what is wanted.
        let _ = Command::new("kill").args([signal, "--", &to]).stderr(Stdio::null()).status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let id = self.child.id();
        self.signal("-TERM", id.to_string());
        for _ in 0..30 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        // What is left of its group: the functions that it ran.
        self.signal("-KILL", format!("-{id}"));
        let _ = self.child.wait();
    }
}

/// A running MiniStack.
pub struct Cloud {
    // Stopped before its folder is removed: fields are dropped in this order.
    process: Running,
    folder: TempDir,
    tools: PathBuf,
    endpoint: String,
}

impl Cloud {
    /// Starts it and makes the secret with the API token; `None` when the test is to be skipped.
    pub async fn start() -> Result<Option<Self>> {
        let Some(tools) = tools()? else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        // Free now, and taken again in a moment; a clash would end the start with an error.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let endpoint = format!("http://127.0.0.1:{port}");
        let log = fs::File::create(folder.path().join("ministack.log"))?;
        let mut command = Command::new(tools.join("ministack/bin/ministack"));
        command
            // Functions inherit its environment, and must not see that of the person who runs the test.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs([("HOME", folder.path()), ("TMPDIR", folder.path())])
            .envs([("BIND_HOST", "127.0.0.1"), ("MINISTACK_HOST", "127.0.0.1"), ("MINISTACK_REGION", REGION)])
            .envs([("GATEWAY_PORT", port.to_string()), ("AWS_ENDPOINT_URL", endpoint.clone())])
            // Roles and policies are enforced; nothing else listens.
            .envs([("AUTH", "true"), ("IOT_MTLS_ENABLED", "0"), ("SFTP_ENABLED", "0")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let cloud = Self { process: Running::start(&mut command)?, folder, tools, endpoint };
        cloud.ready().await?;
        cloud.aws().secrets().create_secret().name(SECRET).secret_string(TOKEN).send().await?;
        cloud.s3().create_bucket().bucket(ARTIFACTS).send().await?;
        Ok(Some(cloud))
    }

    async fn ready(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(120);
        while let Err(error) = self.s3().list_buckets().send().await {
            ensure!(Instant::now() < deadline, "MiniStack did not start: {error:?}\n{}", self.log());
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// What it has written so far, for a failed test to show.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("ministack.log")).unwrap_or_default()
    }

    /// An empty folder that goes with this.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Host and port of everything.
    pub fn host(&self) -> String {
        self.endpoint.trim_start_matches("http://").to_owned()
    }

    /// Its clients, made as the functions make them.
    pub fn aws(&self) -> Aws {
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials()))
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        Aws::new(sdk.build(), true)
    }

    /// S3.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        self.aws().s3()
    }

    /// SQS.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        self.aws().sqs()
    }

    /// Deploys the template as a user would, with `sam deploy`. `functions` has a folder with an executable `bootstrap` for each function.
    pub async fn deploy(&self, name: &str, functions: &Path, parameters: &[(&str, &str)]) -> Result<Stack> {
        self.deploy_template(name, &template::for_ministack(functions)?, parameters).await
    }

    /// Deploys the template with short waits: turns of so many seconds, and queues that hide a message for thirty.
    pub async fn deploy_hurried(
        &self,
        name: &str,
        functions: &Path,
        turn_seconds: u32,
        parameters: &[(&str, &str)],
    ) -> Result<Stack> {
        let mut template = template::for_ministack(functions)?;
        template::hurry(&mut template, turn_seconds, 30)?;
        self.deploy_template(name, &template, parameters).await
    }

    async fn deploy_template(&self, name: &str, content: &Value, parameters: &[(&str, &str)]) -> Result<Stack> {
        let template = self.folder.path().join(format!("{name}.json"));
        fs::write(&template, content.to_string())?;
        let mut deploy = self.sam();
        deploy.arg("deploy").arg("--template-file").arg(&template);
        deploy.args(["--stack-name", name, "--s3-bucket", ARTIFACTS, "--capabilities", "CAPABILITY_IAM"]);
        deploy.args(["--no-confirm-changeset", "--parameter-overrides"]);
        deploy.arg("Architecture=x86_64");
        deploy.args(parameters.iter().map(|(name, value)| format!("{name}={value}")));
        said("sam deploy", deploy).await.inspect_err(|_| println!("{}", self.log()))?;
        self.stack(name).await
    }

    /// A stack that was deployed, by its name.
    async fn stack(&self, name: &str) -> Result<Stack> {
        let mut list = self.sam();
        list.args(["list", "stack-outputs", "--stack-name", name, "--output", "json"]);
        let listed = said("sam list", list).await?;
        let outputs: Vec<BTreeMap<String, String>> = serde_json::from_str(&listed)?;
        let pair = |mut output: BTreeMap<_, _>| Some((output.remove("OutputKey")?, output.remove("OutputValue")?));
        Ok(Stack::new(outputs.into_iter().filter_map(pair).collect(), self.s3(), self.sqs()))
    }

    /// Deletes a stack as a user would, with `sam delete`.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let mut delete = self.sam();
        delete.args(["delete", "--stack-name", name, "--region", REGION, "--no-prompts"]);
        said("sam delete", delete).await.map(drop)
    }

    /// The processes that it runs functions in.
    pub fn processes(&self) -> Processes {
        Processes::below(self.process.child.id())
    }

    /// Calls a function of a stack, by the name of its resource, and gives its answer; an error if it has failed.
    pub async fn invoke(&self, stack: &str, function: &str, event: &Value) -> Result<Value> {
        let mut command = self.sam();
        command.args(["remote", "invoke", function, "--stack-name", stack, "--output", "json"]);
        command.arg("--event").arg(event.to_string());
        let answer: Value = serde_json::from_str(&said("sam remote invoke", command).await?)?;
        ensure!(answer["FunctionError"].is_null(), "{function} has failed: {answer:#}");
        Ok(serde_json::from_str(answer["Payload"].as_str().context("no payload")?)?)
    }

    /// What the functions of a stack have written to their logs.
    pub fn function_logs(&self, stack: &str) -> Result<String> {
        let said = self.sam().args(["logs", "--stack-name", stack]).output()?;
        ensure!(said.status.success(), "sam logs failed: {}", String::from_utf8_lossy(&said.stderr));
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// `sam`, for this AWS.
    pub fn sam(&self) -> Command {
        let mut command = Command::new(self.tool("sam/bin/sam"));
        command.env_clear().current_dir(self.folder.path()).envs(self.variables());
        command
    }

    /// The variables of a command line whose AWS this is.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        let folder = self.folder.path().as_os_str();
        vec![
            ("PATH", std::env::var_os("PATH").unwrap_or_default()),
            ("HOME", folder.to_owned()),
            ("TMPDIR", folder.to_owned()),
            ("SAM_CLI_TELEMETRY", "0".into()),
            ("AWS_ENDPOINT_URL", (&self.endpoint).into()),
            ("AWS_DEFAULT_REGION", REGION.into()),
            ("AWS_ACCESS_KEY_ID", "test".into()),
            ("AWS_SECRET_ACCESS_KEY", "test".into()),
        ]
    }

    /// A file of the tools.
    pub fn tool(&self, path: &str) -> PathBuf {
        self.tools.join(path)
    }

    /// The Python that has boto3.
    pub fn python(&self) -> PathBuf {
        self.tool("ministack/bin/python")
    }
}

/// Runs a command while the test goes on, and gives its output; an error if it has failed.
async fn said(what: &str, mut command: Command) -> Result<String> {
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{what} failed\n{}{}", text(&output.stdout), text(&output.stderr));
    Ok(text(&output.stdout))
}

/// The account's root.
fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "test")
}

/// Writes an executable file.
pub fn write_executable(path: &Path, body: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, body)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// Asks again and again until there is an answer; after `limit` it is an error that says what was waited for.
pub async fn wait_for<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        sleep(Duration::from_millis(250)).await;
    }
}
