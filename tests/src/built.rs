//! What this workspace builds, as tests run it: the functions as MiniStack takes them, and the simulator of the API.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use dropcollect::simulator::{Request, Scenario, Service, serve};
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::cloud::{Cloud, FUNCTIONS, write_executable};
use crate::template::workspace;

/// Builds the binaries of the workspace (nothing to do where `cargo test --workspace` was preceded by it) and says where they are.
fn binaries() -> Result<PathBuf> {
    // What `cargo test --workspace` builds, because for a part of it cargo would choose other features and build the dependencies again.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace", "--all-targets"])
        .current_dir(workspace())
        .status()
        .context("cargo build")?;
    ensure!(built.success(), "cargo build: {built}");
    let test = std::env::current_exe()?;
    let profile = test.parent().and_then(Path::parent).context("a test lies in <target>/<profile>/deps")?;
    Ok(profile.to_owned())
}

/// Builds the command `dropcollect` and says where it is.
pub fn command() -> Result<PathBuf> {
    Ok(binaries()?.join("dropcollect"))
}

/// Builds the functions and lays them out as [`Cloud::deploy`] takes them: a folder with `<function>/bootstrap`.
pub fn functions(cloud: &Cloud) -> Result<PathBuf> {
    let (binaries, folder) = (binaries()?, cloud.folder("functions")?);
    for function in FUNCTIONS {
        let bootstrap = folder.join(function).join("bootstrap");
        write_executable(&bootstrap, &fs::read(binaries.join(function))?)?;
        // A test build is ten times as large as a release. Without `strip` it is deployed as it is.
        let _ = Command::new("strip").arg(&bootstrap).status();
    }
    Ok(folder)
}

/// A simulator of the API, which serves on a port of 127.0.0.1 until this goes out of scope.
pub struct Simulator {
    service: Arc<Mutex<Service>>,
    address: String,
    // Serving ends with it.
    _serving: oneshot::Sender<()>,
}

impl Simulator {
    /// Starts it with a scenario of `tests/scenarios`, in a thread of its own: a test may be busy with other things.
    pub fn start(scenario: &str) -> Result<Self> {
        let path = workspace().join("tests/scenarios").join(scenario);
        let service = Arc::new(Mutex::new(Service::new(Scenario::find(&path.to_string_lossy())?)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = format!("http://{}", listener.local_addr()?);
        let (serving, over) = oneshot::channel();
        let served = Arc::clone(&service);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        std::thread::spawn(move || runtime.block_on(serve(listener, served, over)));
        Ok(Self { service, address, _serving: serving })
    }

    /// Its base address, for `BRIGHT_DATA_API_URL`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Changes the scenario from now on.
    pub fn change(&self, change: impl FnOnce(&mut Scenario)) {
        self.service().change(change);
    }

    /// How often each endpoint gave each status, as `GET /dca/dataset 401`.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.service().calls().clone()
    }

    /// What was accepted so far, in figures.
    pub fn summary(&self) -> Result<Value> {
        self.known("summary")
    }

    /// Every trigger that it has accepted, with its query and its inputs.
    pub fn jobs(&self) -> Result<Vec<Value>> {
        Ok(serde_json::from_value(self.known("jobs")?)?)
    }

    fn known(&self, what: &str) -> Result<Value> {
        let request = Request::new("GET", &format!("/_simulator/{what}"), "");
        let reply = self.service().handle(Timestamp::now(), &request);
        Ok(serde_json::from_slice(&reply.body.into_bytes())?)
    }

    fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
