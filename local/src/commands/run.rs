//! `dropcollect run`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adapters::aws::Aws;
use adapters::clock::WallClock;
use adapters::config::{Config, Role, TokenFrom};
use adapters::dca::{Client, FixedToken, HttpTransport, RereadToken, Times, Token};
use adapters::secrets::TokenSecret;
use dropcollect::engine::{Engine, EngineError, Stopped};
use dropcollect::lock::{FolderLock, LockError};
use dropcollect::report;
use dropcollect::simulator::{Scenario, Service, serve};
use pipeline::keys;
use pipeline::ledger::RunRecord;
use pipeline::manifest::RunState;
use pipeline::policy::OutputCompression;
use pipeline::ports::Api;
use pipeline::words::InputObject;
use tokio::net::TcpListener;

use super::export::{self, Output};
use super::{Failure, RunArgs, What, exit, say};

/// How often a file gets a line of progress where standard error is no terminal.
const LOG_INTERVAL: Duration = Duration::from_secs(5);
/// Progress is looked at again after so many times as long as it took: with a thousand files it must not keep them from being run.
const SHOW_REST: u32 = 50;
/// Collector of simulated runs that name none.
const SIMULATED_COLLECTOR: &str = "c_simulated";

pub(super) async fn run(args: &RunArgs) -> Result<u8, Failure> {
    let named = named_files(&args.what)?;
    let lock = FolderLock::take(args.folder()).map_err(|error| match error {
        LockError::Taken { .. } => {
            Failure::usage(format!("{error}: one process per folder (--data chooses another one)"))
        }
        LockError::Unusable { .. } => Failure::usage(error.to_string()),
    })?;
    check_kind(args, lock.root())?;
    // What is simulated need not survive a loss of power.
    let lock = if args.simulate { lock.without_sync() } else { lock };
    let address = match args.simulate {
        true => Some(simulator(args, lock.root()).await?),
        false => None,
    };
    let config = config(args, address.as_deref())?;
    let engine = Engine::open(&lock, api(&config).await?, config.policy.clone()).await.map_err(ours)?;
    let objects = objects(args, &engine, &named).await?;
    let others = engine.others(&objects).await.map_err(ours)?;
    if !others.is_empty() {
        let others = others.into_iter().collect::<Vec<_>>().join(", ");
        eprintln!(
            "{} also holds unfinished work of {others}: it goes on too, as long as this runs.",
            args.folder().display()
        );
    }
    let progress = Progress {
        engine: &engine,
        rewritten: objects.len() == 1 && std::io::stderr().is_terminal(),
        unfinished: RefCell::new(objects.iter().collect()),
        shown: RefCell::default(),
        not_before: Cell::new(Instant::now()),
    };
    let stopped = tokio::select! {
        stopped = engine.run(&objects, async || progress.show().await) => stopped.map_err(ours)?,
        _ = tokio::signal::ctrl_c() => {
            progress.clear();
            eprintln!("Interrupted. Collections that were started go on and are paid for; run the same command again to go on where this was.");
            return Ok(exit::INTERRUPTED);
        }
    };
    progress.clear();
    conclude(args, &engine, &objects, &stopped).await
}

/// Files and their keys; two files under one key are wrong usage.
pub(super) fn named_files(what: &What) -> Result<Vec<(&Path, String)>, Failure> {
    if what.key.is_some() && what.files.len() > 1 {
        return Err(Failure::usage("--key names one file: run several files one by one, or without it"));
    }
    let mut seen = BTreeSet::new();
    let mut named = Vec::new();
    for path in &what.files {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(key) = what.key.clone().or(name) else {
            return Err(Failure::usage(format!("{} is no file", path.display())));
        };
        if path.is_dir() {
            return Err(Failure::usage(format!("{} is a folder: name the files in it", path.display())));
        }
        if !path.is_file() {
            return Err(Failure::usage(format!("{}: there is no such file", path.display())));
        }
        if !seen.insert(key.clone()) {
            return Err(Failure::usage(format!("two files have the key {key}: run them one by one, with --key")));
        }
        named.push((path.as_path(), key));
    }
    Ok(named)
}

/// Where the simulator of this process keeps its state, below the folder.
const SIMULATOR: &str = ".dropcollect/simulator";

/// A folder is for simulated runs or for real ones: otherwise the result of a trial would stand for a paid one, and work that was begun
/// against the simulator would go on against the API.
fn check_kind(args: &RunArgs, root: &Path) -> Result<(), Failure> {
    let simulated = root.join(SIMULATOR).exists();
    let used = simulated || root.join(".dropcollect/queue").exists();
    let (root, choose) = (root.display(), "choose another folder with --data");
    match (used, simulated, args.simulate) {
        (true, true, false) => Err(Failure::usage(format!("{root} holds simulated runs: {choose} for real ones"))),
        (true, false, true) => Err(Failure::usage(format!("{root} holds real runs: {choose} for simulated ones"))),
        _ => Ok(()),
    }
}

/// Serves the simulator from this process; its state lies in the folder too.
async fn simulator(args: &RunArgs, root: &Path) -> Result<String, Failure> {
    let scenario = Scenario::find(args.scenario.as_deref().unwrap_or("default"));
    let scenario = scenario.map_err(|error| Failure::usage(error.to_string()))?;
    let service = Service::open(scenario, &root.join(SIMULATOR));
    let service = service.map_err(|error| Failure::ours(format!("the simulator cannot keep its state: {error}")))?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| Failure::ours(error.to_string()))?;
    let address = listener.local_addr().map_err(|error| Failure::ours(error.to_string()))?;
    tokio::spawn(serve(listener, Arc::new(Mutex::new(service)), std::future::pending::<()>()));
    Ok(format!("http://{address}"))
}

/// The same variables as the functions read; flags and the simulator win.
fn config(args: &RunArgs, simulator: Option<&str>) -> Result<Config, Failure> {
    let lookup = |name: &str| {
        let set = std::env::var(name).ok();
        match (name, simulator) {
            ("BRIGHT_DATA_API_URL", Some(address)) => Some(address.to_owned()),
            ("BRIGHT_DATA_API_TOKEN", Some(_)) => Some("simulated".to_owned()),
            ("BRIGHT_DATA_API_TOKEN_SECRET", Some(_)) => None,
            ("BRIGHT_DATA_COLLECTOR_ID", Some(_)) => set.or(Some(SIMULATED_COLLECTOR.to_owned())),
            _ => set,
        }
    };
    let mut config = Config::from(Role::Local, lookup).map_err(|problem| Failure::usage(problem.to_string()))?;
    if simulator.is_some() && std::env::var_os("IN_DOUBT_WINDOW_SECONDS").is_none() {
        // The simulator lists a job at once, so nobody has to wait for it.
        config.policy.in_doubt_window_seconds = 5;
    }
    if let Some(collector) = &args.what.collector {
        config.policy.default_collector = Some(collector.clone());
    }
    if let Some(format) = args.output.and_then(Output::format) {
        config.policy.output_format = format;
    }
    Ok(config)
}

/// The client of the API, with the token wherever it is.
async fn api(config: &Config) -> Result<Arc<dyn Api>, Failure> {
    let clock = Arc::new(WallClock);
    let transport = HttpTransport::new(&config.api_url, Times::default(), clock.clone());
    let transport = transport.map_err(|error| Failure::usage(format!("BRIGHT_DATA_API_URL: {error}")))?;
    let token: Arc<dyn Token> =
        match &config.token {
            Some(TokenFrom::Given(token)) => Arc::new(FixedToken(token.clone())),
            Some(TokenFrom::Secret(id)) => {
                let secret = TokenSecret::new(Aws::from_env(config).await.secrets(), id);
                let token = RereadToken::read(secret, clock.clone()).await;
                Arc::new(token.map_err(|error| {
                    Failure::usage(format!("BRIGHT_DATA_API_TOKEN_SECRET: {error}: {}", error.source))
                })?)
            }
            None => {
                let hint = "set BRIGHT_DATA_API_TOKEN to an API key, or add --simulate to try it without an account";
                return Err(Failure::usage(format!("there is no API token: {hint}")));
            }
        };
    Ok(Arc::new(Client::new(transport, token, clock)))
}

async fn objects(args: &RunArgs, engine: &Engine, named: &[(&Path, String)]) -> Result<Vec<InputObject>, Failure> {
    let metadata = args.what.metadata();
    let mut objects = Vec::new();
    for (path, key) in named {
        let object = engine.object(path, key, metadata.clone(), args.again).await.map_err(ours)?;
        if let Some(began) = engine.record(&object).await.map_err(ours)? {
            check_kept(args, path, &began)?;
        }
        objects.push(object);
    }
    Ok(objects)
}

/// A run keeps the settings that it began with, so other ones are not asked for without a word.
fn check_kept(args: &RunArgs, path: &Path, began: &RunRecord) -> Result<(), Failure> {
    let (path, known) = (path.display(), &began.settings.collector);
    if let Some(asked) = args.what.collector.as_ref().filter(|asked| *asked != known) {
        return Err(Failure::usage(format!(
            "{path} has been run with {known}, and a run keeps its settings: add --again to run it with {asked} (and pay for it)"
        )));
    }
    let known = began.policy.output_format;
    if let Some(asked) = args.output.and_then(Output::format).filter(|asked| *asked != known) {
        let name = |format| keys::extension(format, OutputCompression::None);
        let (known, asked) = (name(known), name(asked));
        return Err(Failure::usage(format!(
            "{path} has been run with {known} outputs, and a run keeps its settings: leave --output {asked} out to go on with it, or, when it is over, add --again to run it anew (and pay for it)"
        )));
    }
    Ok(())
}

/// Progress on standard error: a line that is rewritten on a terminal, a line for each change elsewhere.
struct Progress<'a> {
    engine: &'a Engine,
    /// Whether one line is rewritten.
    rewritten: bool,
    /// Files whose end has not been shown.
    unfinished: RefCell<Vec<&'a InputObject>>,
    /// The last line of each file, and when it was printed.
    shown: RefCell<BTreeMap<String, (String, Instant)>>,
    not_before: Cell<Instant>,
}

impl Progress<'_> {
    async fn show(&self) {
        let began = Instant::now();
        if began < self.not_before.get() {
            return;
        }
        let waiting = self.engine.waiting();
        let mut unfinished = Vec::new();
        for object in self.unfinished.take() {
            // What cannot be read now is shown at the next tick.
            let status = self.engine.status(object).await.ok().flatten();
            let over = status.as_ref().is_some_and(|status| status.manifest.is_some());
            if let Some(status) = status {
                let waiting = waiting.get(&object.run()).filter(|_| !over);
                self.print(&object.key, report::progress(&status, waiting));
            }
            if !over {
                unfinished.push(object);
            }
        }
        self.unfinished.replace(unfinished);
        self.not_before.set(Instant::now() + began.elapsed() * SHOW_REST);
    }

    /// A terminal shows every change in one line that is rewritten; a log gets a line every few seconds.
    fn print(&self, key: &str, line: String) {
        let mut shown = self.shown.borrow_mut();
        if let Some((known, at)) = shown.get(key)
            && (*known == line || (!self.rewritten && at.elapsed() < LOG_INTERVAL))
        {
            return;
        }
        if self.rewritten {
            eprint!("\r\x1b[2K{line}");
            drop(std::io::stderr().flush());
        } else {
            eprintln!("{line}");
        }
        shown.insert(key.to_owned(), (line, Instant::now()));
    }

    fn clear(&self) {
        if self.rewritten {
            eprint!("\r\x1b[2K");
        }
    }
}

async fn conclude(args: &RunArgs, engine: &Engine, objects: &[InputObject], stopped: &Stopped) -> Result<u8, Failure> {
    let mut worst = exit::FINE;
    for object in objects {
        let Some(manifest) = engine.manifest(object).await.map_err(ours)? else {
            worst = worst.max(unfinished(engine, object, stopped).await?);
            continue;
        };
        let key = keys::manifest(&keys::input_path(&object.key), &manifest.run);
        let errors = manifest.failed.as_ref().and_then(|failed| File::open(engine.path(&failed.errors)).ok());
        // The summary is worth having without them.
        let reasons = errors.and_then(|file| report::reasons(BufReader::new(file)).ok()).unwrap_or_default();
        say(&report::summary(&manifest, &key, &reasons, &|key| engine.path(key)));
        worst = worst.max(match manifest.state {
            RunState::Complete | RunState::Running => exit::FINE,
            RunState::CompleteWithFailures => exit::FAILURES,
            RunState::Rejected => exit::USAGE,
            RunState::Held => exit::HELD,
        });
        // Who has interrupted one file wants no other, but the results.
        if let Some(kind) = args.output.and_then(Output::file).filter(|_| worst != exit::INTERRUPTED) {
            worst = worst.max(export::beside(&engine.store, &manifest, kind).await);
        }
    }
    Ok(worst)
}

async fn unfinished(engine: &Engine, object: &InputObject, stopped: &Stopped) -> Result<u8, Failure> {
    engine.refresh_status(object).await.map_err(ours)?;
    let status = engine.status(object).await.map_err(ours)?;
    if let Some(status) = &status {
        say(&report::progress(status, None));
    }
    let key = &object.key;
    match stopped {
        Stopped::Credentials(reason) => {
            eprintln!(
                "{key}: {reason}\nNothing is lost, and what was started goes on: set BRIGHT_DATA_API_TOKEN to a key that is accepted and may run collectors, then run the same command again."
            );
            Ok(exit::CREDENTIALS)
        }
        Stopped::Rest => {
            eprintln!(
                "{key}: the rest waits for a person. What has been collected lies in {}; --again runs the whole file anew, and pays for it again.",
                engine.path(&format!("output/{}", keys::input_path(key)))
            );
            Ok(exit::HELD)
        }
    }
}

fn ours(error: EngineError) -> Failure {
    Failure::ours(error.to_string())
}
