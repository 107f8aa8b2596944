//! The deployment as the README tells it: `sam build`, and then what `tests/account.py` does in a real account, here in a local AWS and against
//! the simulator. The difference is what `template::for_ministack` changes, and that the build is one for tests.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use dropcollect_tests::built::Simulator;
use dropcollect_tests::cloud::{Cloud, FUNCTIONS, SECRET};
use dropcollect_tests::template::{self, resource, workspace};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn built_deployed_used_and_deleted_as_the_readme_says() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else { return Ok(()) };
    let simulator = Simulator::start("end_to_end.toml")?;
    let scratch = cloud.folder("as-told")?;

    let build = workspace().canonicalize()?.join("target/sam-build");
    let mut sam = cloud.sam();
    sam.arg("build").current_dir(workspace()).arg("--build-dir").arg(&build);
    sam.args(["--parameter-overrides", "Architecture=x86_64"]);
    // The build of a release takes five times as long; debug information would be most of what is deployed.
    sam.envs([("SAM_BUILD_MODE", "debug"), ("CARGO_PROFILE_DEV_DEBUG", "0"), ("CARGO_INCREMENTAL", "0")]);
    let kept = ["CARGO_HOME", "RUSTUP_HOME", "HOME", "CARGO_TARGET_DIR"];
    sam.envs(kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    let path = std::env::var("PATH").unwrap_or_default();
    sam.env("PATH", format!("{}:{path}", cloud.tool("cargo-lambda/bin").display()));
    let built = tokio::task::spawn_blocking(move || sam.output()).await??;
    ensure!(built.status.success(), "sam build: {}", String::from_utf8_lossy(&built.stderr));

    let functions = scratch.join("functions");
    for function in FUNCTIONS {
        let bootstrap = build.join(resource(function)).join("bootstrap");
        fs::create_dir_all(functions.join(function))?;
        fs::copy(&bootstrap, functions.join(function).join("bootstrap"))
            .with_context(|| bootstrap.display().to_string())?;
    }
    let deployed = scratch.join("template.json");
    fs::write(&deployed, template::for_ministack(&functions)?.to_string())?;
    let inputs = scratch.join("inputs.txt");
    let rows: String =
        (0..40).map(|n| format!("https://shop.example/{}/{n}\n", ["good", "flaky", "quiet", "dead"][n % 4])).collect();
    fs::write(&inputs, rows)?;

    let mut account = Command::new(cloud.python());
    account.env_clear().envs(cloud.variables()).env("DROPCOLLECT_ACCOUNT", "1").stdin(Stdio::null());
    account.arg(workspace().join("tests/account.py")).args(["--secret", SECRET, "--collector", "c_abc123"]);
    account.args(["--architecture", "x86_64", "--seconds", "240", "--api-url", simulator.address()]);
    account.arg("--file").arg(&inputs).arg("--template").arg(&deployed);
    let said = tokio::task::spawn_blocking(move || account.output()).await??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(said.status.success(), "{}\n{}\n{}", text(&said.stdout), text(&said.stderr), cloud.log());
    let told: Vec<_> =
        text(&said.stdout).lines().filter(|line| !line.starts_with([' ', '\t', '-'])).map(str::to_owned).collect();
    println!("{}", told.join("\n"));
    ensure!(
        told.iter().any(|line| line == "complete_with_failures: 40 rows = 0 rejected + 0 duplicates + 20 with_records + 10 no_record + 10 failed"),
        "{told:#?}"
    );
    ensure!(simulator.summary()?["inputs_paid_again_after_success"] == 0);
    Ok(())
}
