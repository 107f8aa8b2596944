//! A place to run the command in. Every process is started here, bounded in time, and ended by its own handle.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// No command of a test takes longer, on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A temporary folder with input files, scenarios and the data folder `data`.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    logs: AtomicU32,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), logs: AtomicU32::new(0) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The command, in this folder and without any variable of the machine.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dropcollect"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// `dropcollect run … --data data`
    pub(crate) fn run(&self, arguments: &[&str]) -> Command {
        self.command(&[&["run", "--data", "data"], arguments].concat())
    }

    /// `dropcollect run … --data data` against this simulator.
    pub(crate) fn run_against(&self, simulator: &Simulator, arguments: &[&str]) -> Command {
        let mut command = self.run(arguments);
        command.env("BRIGHT_DATA_API_URL", &simulator.address).env("BRIGHT_DATA_API_TOKEN", "right");
        command.env("BRIGHT_DATA_COLLECTOR_ID", "c_shop00").env("IN_DOUBT_WINDOW_SECONDS", "1");
        command
    }

    pub(crate) fn start(&self, mut command: Command) -> Running {
        let log = self.logs.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (self.path(&format!("{log}.out")), self.path(&format!("{log}.err")));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Running { child: command.spawn().unwrap(), out, err }
    }

    pub(crate) fn finish(&self, command: Command) -> Done {
        self.start(command).finish()
    }

    /// The ledger's, the output's, … file of the only run of a key, below `data`.
    pub(crate) fn result(&self, kind: &str, key: &str, name: &str) -> Option<PathBuf> {
        let folder = self.path("data").join(kind).join(key);
        let runs = fs::read_dir(&folder).ok()?.map(|entry| entry.unwrap().path().join(name));
        let mut found: Vec<PathBuf> = runs.filter(|path| path.exists()).collect();
        assert!(found.len() < 2, "several runs: {found:?}");
        found.pop()
    }

    /// The manifest of the only run of a key; every row is accounted for.
    pub(crate) fn manifest(&self, key: &str) -> Value {
        let path = self.result("output", key, "manifest.json").unwrap_or_else(|| panic!("{key} has no manifest"));
        let manifest: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_conserved(&manifest);
        manifest
    }

    /// All records that the manifest names.
    pub(crate) fn records(&self, manifest: &Value) -> Vec<Value> {
        let outputs = manifest["outputs"].as_array().unwrap().iter();
        outputs.flat_map(|output| lines(&self.path("data").join(output["key"].as_str().unwrap()))).collect()
    }

    /// A run over so many pages in batches of forty, and its manifest.
    pub(crate) fn simulated(&self, name: &str, pages: usize, variables: &[(&str, &str)]) -> Value {
        let urls: Vec<String> = (0..pages).map(|number| format!("https://shop.example/{number}")).collect();
        self.file(name, urls.join("\n"));
        let mut command = self.run(&[name, "--simulate", "--scenario", "calm"]);
        command.env("BATCH_INPUTS_MAX", "40").envs(variables.iter().copied());
        self.finish(command).expect(0, &["complete"]);
        self.manifest(name)
    }

    /// The files of a folder.
    pub(crate) fn files(&self, folder: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(folder));
        entries.map_or(Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect())
    }

    /// Puts other records in place of those of the run's only output, and into its manifest how many there are.
    pub(crate) fn replace_records(&self, manifest: &Value, records: &[impl AsRef<str>]) {
        let mut manifest = manifest.clone();
        let text: String = records.iter().map(|record| format!("{}\n", record.as_ref())).collect();
        fs::write(self.path("data").join(manifest["outputs"][0]["key"].as_str().unwrap()), text).unwrap();
        manifest["records"] = records.len().into();
        manifest["outputs"][0]["records"] = records.len().into();
        let key = manifest["input"]["key"].as_str().unwrap();
        fs::write(self.result("output", key, "manifest.json").unwrap(), manifest.to_string()).unwrap();
    }

    /// The lines of `errors.ndjson`, as (line, code).
    pub(crate) fn errors(&self, key: &str) -> Vec<(u64, String)> {
        let Some(path) = self.result("failed", key, "errors.ndjson") else { return Vec::new() };
        let pair = |line: Value| (line["line"].as_u64().unwrap(), line["code"].as_str().unwrap().to_owned());
        lines(&path).into_iter().map(pair).collect()
    }

    /// What the simulator of `--simulate` has accepted.
    pub(crate) fn accepted(&self) -> Vec<Value> {
        let journal = lines(&self.path("data/.dropcollect/simulator/journal.ndjson"));
        journal.into_iter().filter(|event| event["event"] == "accepted").collect()
    }
}

pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `read = rejected + duplicates + with_records + no_record + failed + pending + held`
pub(crate) fn assert_conserved(status: &Value) {
    let count = |name: &str| status["inputs"][name].as_u64().unwrap_or(0);
    let parts = ["rejected", "duplicates", "with_records", "no_record", "failed", "pending", "held"];
    assert_eq!(count("read"), parts.map(count).iter().sum::<u64>(), "{status:#}");
}

/// A process of this test. It is killed when the test ends before it does.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// What became of a process.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn out_path(&self) -> &Path {
        &self.out
    }

    pub(crate) fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until `there` is something.
    pub(crate) fn until<T>(&mut self, what: &str, mut there: impl FnMut(&mut Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = there(self) {
                return found;
            }
            assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}\n{}\n{}", self.out(), self.err());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn finish(mut self) -> Done {
        let status = self.until("the end", Self::exited);
        Done { status: status.code(), out: self.out(), err: self.err() }
    }

    /// SIGKILL. `false` when it had ended by itself.
    pub(crate) fn kill(mut self) -> bool {
        if self.exited().is_some() {
            return false;
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        true
    }

    /// SIGINT, as Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Done {
    /// The exit status, and words that standard output and standard error have.
    pub(crate) fn expect(&self, status: i32, words: &[&str]) -> &Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "{word:?} is missing: {self:#?}");
        }
        self
    }
}

/// `dropcollect simulate` in a process of its own.
pub(crate) struct Simulator {
    _process: Running,
    pub(crate) address: String,
}

impl Simulator {
    /// With a scenario that differs so from `calm`.
    pub(crate) fn start(place: &Place, differences: &str) -> Self {
        place.file("scenario.toml", format!("based_on = \"calm\"\n{differences}"));
        let mut process =
            place.start(place.command(&["simulate", "--listen", "127.0.0.1:0", "--scenario", "scenario.toml"]));
        let address = process.until("the simulator's address", |process| {
            assert!(process.exited().is_none(), "{}", process.err());
            process.out().lines().find(|line| line.starts_with("http://")).map(str::to_owned)
        });
        Self { _process: process, address }
    }

    /// What it has seen: `jobs`, `calls` or `summary`.
    pub(crate) fn seen(&self, what: &str) -> Value {
        let host = self.address.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // HTTP/1.0: the connection ends with the body.
        write!(stream, "GET /_simulator/{what} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        while answer.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        let mut body = String::new();
        answer.read_to_string(&mut body).unwrap();
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.seen("summary")["accepted_triggers"].as_u64().unwrap()
    }
}

/// Runs cases side by side: they mostly wait for their jobs.
pub(crate) fn side_by_side<C: Sync>(cases: &[C], run: impl Fn(&C) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| run(case));
        }
    });
}
