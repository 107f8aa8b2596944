//! `dropcollect run`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use adapters::aws::Aws;
use adapters::clock::WallClock;
use adapters::config::{Config, Role, TokenFrom};
use adapters::dca::{Client, FixedToken, HttpTransport, RereadToken, Times, Token};
use adapters::secrets::TokenSecret;
use clap::Args;
use console::Term;
use dropcollect::engine::{Engine, EngineError, Stopped};
use dropcollect::folder::kind::{Kind, SIMULATOR};
use dropcollect::lock::{FolderLock, LockError};
use dropcollect::nearest::nearest;
use dropcollect::simulator::{Scenario, Service, serve};
use dropcollect::{report, text};
use pipeline::keys;
use pipeline::ledger::RunRecord;
use pipeline::manifest::Manifest;
use pipeline::policy::{OutputCompression, OutputFormat};
use pipeline::ports::Api;
use pipeline::words::InputObject;
use tokio::net::TcpListener;

use super::events::{Event, Places};
use super::export::{self, Output};
use super::progress::Progress;
use super::screen::{self, Log};
use super::what::What;
use super::{Failure, SIMULATED, Told, complain, exit, follow, say};

/// Collector of simulated runs that name none.
const SIMULATED_COLLECTOR: &str = "c_simulated";

#[derive(Args)]
#[command(disable_version_flag = true)]
pub(crate) struct RunArgs {
    /// Folder that stands for the buckets and keeps all state; with --to the stack's dataset bucket, s3://…
    /// [default: dropcollect-data, with --simulate dropcollect-simulated]
    #[arg(long)]
    pub(super) data: Option<PathBuf>,
    /// Drop the files into the input bucket of a deployed stack (s3://…) and follow them there, instead of running them here
    #[arg(long, value_name = "BUCKET", conflicts_with_all = ["simulate", "scenario", "output"])]
    to: Option<String>,
    /// Use the built-in simulator instead of the API: costs nothing, needs no token
    #[arg(long)]
    simulate: bool,
    /// Scenario of the simulator: a name or a TOML file
    #[arg(long, requires = "simulate")]
    scenario: Option<String>,
    /// Run files again that have been run before
    #[arg(long)]
    pub(super) again: bool,
    /// Print events for programs instead of text: a JSON object a line
    #[arg(long)]
    pub(super) json: bool,
    /// Format of the outputs (ndjson, json; default: OUTPUT_FORMAT), or a file of all records of a run, FILE.RUN.csv or FILE.RUN.parquet,
    /// besides them
    #[arg(long, value_name = "FORMAT")]
    output: Option<export::Output>,
    // Last: the heading of its last options would be that of all that follow.
    #[command(flatten)]
    pub(super) what: What,
}

impl RunArgs {
    /// The folder. A trial has its own: its results must not stand for paid ones.
    fn folder(&self) -> &Path {
        let default = if self.simulate { SIMULATED } else { "dropcollect-data" };
        self.data.as_deref().unwrap_or(Path::new(default))
    }
}

pub(super) async fn run(args: &RunArgs) -> Result<u8, Failure> {
    let named = named_files(&args.what)?;
    if let Some(bucket) = &args.to {
        return follow::drop_files(bucket, args, &named).await;
    }
    let lock = take(args.folder())?;
    check_kind(args, lock.root())?;
    let simulated = args.simulate.then_some(args.scenario.as_deref());
    let (lock, engine) =
        open(lock, simulated, args.what.collector.as_deref(), args.output.and_then(Output::format)).await?;
    let objects = objects(args, &engine, &named).await?;
    if args.json {
        started(&engine, &objects, args).await?;
    }
    let told = if args.json { Told::Events } else { Told::Text };
    let telling = Telling { told, file: args.output.and_then(Output::file) };
    to_the_end(&lock, &engine, &objects, telling).await
}

/// Takes the folder for this process.
pub(super) fn take(root: &Path) -> Result<FolderLock, Failure> {
    FolderLock::take(root).map_err(|error| match error {
        LockError::Taken { .. } => {
            Failure::usage(format!(
                "{error}, and there is one process per folder: wait for it, or end it (Ctrl-C; nothing is lost, and the same command goes on), or choose another folder with --data"
            ))
        }
        LockError::Unusable { .. } if root.is_file() => {
            Failure::usage(format!("{} is a file: --data names a folder, which is made if there is none", root.display()))
        }
        LockError::Unusable { .. } => Failure::usage(format!("{error}: --data chooses another folder")),
    })
}

/// Whether the runs of a folder were simulated.
pub(super) fn is_simulated(root: &Path) -> bool {
    Kind::of(root) == Kind::Simulated
}

/// The pipeline over a folder that this process holds; `simulated` with the scenario that was asked for.
pub(super) async fn open(
    lock: FolderLock,
    simulated: Option<Option<&str>>,
    collector: Option<&str>,
    format: Option<OutputFormat>,
) -> Result<(FolderLock, Engine), Failure> {
    // What is simulated need not survive a loss of power.
    let lock = if simulated.is_some() { lock.without_sync() } else { lock };
    let address = match simulated {
        Some(scenario) => Some(simulator(scenario, lock.root()).await?),
        None => None,
    };
    let config = config(collector, format, address.as_deref())?;
    let engine =
        Engine::open(&lock, api(&config).await?, config.policy.clone(), config.limits.clone()).await.map_err(ours)?;
    Ok((lock, engine))
}

/// How results are told.
#[derive(Clone, Copy, Default)]
pub(super) struct Telling {
    /// For whom.
    pub(super) told: Told,
    /// As one file of all records too.
    pub(super) file: Option<export::Kind>,
}

/// Works until every object's run is over, or nothing goes on without a person; says what became of each.
pub(super) async fn to_the_end(
    lock: &FolderLock,
    engine: &Engine,
    objects: &[InputObject],
    Telling { told, file }: Telling,
) -> Result<u8, Failure> {
    let events = told == Told::Events;
    let others = engine.others(objects).await.map_err(ours)?;
    if !others.is_empty() {
        let others = others.into_iter().collect::<Vec<_>>().join(", ");
        let folder = lock.root().display();
        tell(
            events,
            &format!("{folder} also holds unfinished work of {others}: it goes on too, as long as this runs."),
        );
    }
    let progress = Progress::new(objects.iter().map(|object| object.key.as_str()), events);
    let stopped = tokio::select! {
        stopped = engine.run(objects, async || progress.show(engine, objects).await) => stopped.map_err(ours)?,
        _ = tokio::signal::ctrl_c() => {
            return Err(Failure::interrupted(
                "Collections that were started go on and are paid for; run the same command again to go on where this was.",
            ));
        }
    };
    progress.last(engine, objects).await;
    // Nothing of it stays on the screen.
    drop(progress);
    let mut worst = exit::FINE;
    for object in objects {
        let (status, manifest) = conclude(lock, engine, object, &stopped, told).await?;
        worst = worst.max(status);
        // Who has interrupted one file wants no other, but the results.
        if let Some((kind, manifest)) = file.zip(manifest).filter(|_| worst != exit::INTERRUPTED) {
            worst = worst.max(export::beside(&engine.store, &manifest, kind, events).await);
        }
    }
    Ok(worst)
}

/// Tells a person, or a program, something beside the results.
pub(super) fn tell(events: bool, message: &str) {
    match events {
        true => Event::Note { message }.say(),
        // Progress may stand on the terminal: it goes below.
        false => drop(writeln!(Log, "{}", text::wrapped(message, screen::width(&Term::stderr())))),
    }
}

/// The first events. The collector is what the run began with, or is about to begin with.
async fn started(engine: &Engine, objects: &[InputObject], args: &RunArgs) -> Result<(), Failure> {
    for object in objects {
        let known = engine.record(object).await.map_err(ours)?.map(|record| record.settings.collector);
        let known = known.or_else(|| engine.would_use(object, &args.what.metadata()));
        Event::Started { run: &object.run(), key: &object.key, collector: known.as_deref() }.say();
    }
    Ok(())
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
            return Err(Failure::usage(format!(
                "{} is no file: name files of inputs, such as urls.txt",
                path.display()
            )));
        };
        if path.is_dir() {
            return Err(Failure::usage(format!("{} is a folder: name the files in it", path.display())));
        }
        if !path.is_file() {
            return Err(Failure::usage(format!("{}: there is no such file{}", path.display(), near(path))));
        }
        if !seen.insert(key.clone()) {
            return Err(Failure::usage(format!("two files have the key {key}: run them one by one, with --key")));
        }
        named.push((path.as_path(), key));
    }
    Ok(named)
}

/// What may be meant by a file that is not there.
fn near(path: &Path) -> String {
    let folder = path.parent().unwrap_or(Path::new(""));
    let there = std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let there = there.into_iter().flatten().flatten().filter(|entry| entry.path().is_file());
    let names = there.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match nearest(&name, names) {
        Some(near) => format!("; did you mean {}?", folder.join(near).display()),
        None => " (paths are taken from the current folder)".to_owned(),
    }
}

/// A folder keeps to one kind of runs.
fn check_kind(args: &RunArgs, root: &Path) -> Result<(), Failure> {
    let (kind, root, choose) = (Kind::of(root), root.display(), "choose another folder with --data");
    match (kind, args.simulate) {
        (Kind::Simulated, false) => Err(Failure::usage(format!("{root} holds simulated runs: {choose} for real ones"))),
        (Kind::Real, true) => Err(Failure::usage(format!("{root} holds real runs: {choose} for simulated ones"))),
        _ => Ok(()),
    }
}

/// Serves the simulator from this process; its state lies in the folder too.
async fn simulator(scenario: Option<&str>, root: &Path) -> Result<String, Failure> {
    let scenario = Scenario::find(scenario.unwrap_or("default"));
    let scenario = scenario.map_err(|error| Failure::usage(error.to_string()))?;
    let service = Service::open(scenario, &root.join(SIMULATOR));
    let service = service.map_err(|error| {
        Failure::ours(format!("the simulator cannot keep its state: {error}; choose another folder with --data"))
    })?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| Failure::ours(error.to_string()))?;
    let address = listener.local_addr().map_err(|error| Failure::ours(error.to_string()))?;
    tokio::spawn(serve(listener, Arc::new(Mutex::new(service)), std::future::pending::<()>()));
    Ok(format!("http://{address}"))
}

/// The same variables as the functions read; flags and the simulator win.
fn config(collector: Option<&str>, format: Option<OutputFormat>, simulator: Option<&str>) -> Result<Config, Failure> {
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
    if let Some(collector) = collector {
        config.policy.default_collector = Some(collector.to_owned());
    }
    if let Some(format) = format {
        config.policy.output_format = format;
    }
    Ok(config)
}

/// The client of the API, with the token wherever it is.
async fn api(config: &Config) -> Result<Arc<dyn Api>, Failure> {
    let clock = Arc::new(WallClock);
    let transport = HttpTransport::new(&config.api_url, Times::default(), clock.clone());
    let transport = transport.map_err(|error| Failure::usage(format!("BRIGHT_DATA_API_URL: {error}")))?;
    let token: Arc<dyn Token> = match &config.token {
        Some(TokenFrom::Given(token)) => Arc::new(FixedToken(token.clone())),
        Some(TokenFrom::Secret(id)) => {
            let secret = TokenSecret::new(Aws::from_env(config).await.secrets(), id);
            let token = RereadToken::read(secret, clock.clone()).await;
            Arc::new(
                token.map_err(|error| {
                    Failure::usage(format!("BRIGHT_DATA_API_TOKEN_SECRET: {error}: {}", error.source))
                })?,
            )
        }
        None => {
            let hint = "set BRIGHT_DATA_API_TOKEN to an API key (here, or in the file .env), or add --simulate to try it without an account";
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

async fn conclude(
    lock: &FolderLock,
    engine: &Engine,
    object: &InputObject,
    stopped: &Stopped,
    told: Told,
) -> Result<(u8, Option<Manifest>), Failure> {
    let Some(manifest) = engine.manifest(object).await.map_err(ours)? else {
        return Ok((unfinished(lock, engine, object, stopped, told).await?, None));
    };
    let key = keys::manifest(&keys::input_path(&object.key), &manifest.run);
    if told == Told::Events {
        let places = Places::of(&manifest, &key, |key| engine.path(key));
        Event::Finished { run: &manifest.run, key: &object.key, manifest: &manifest, places }.say();
    } else if told == Told::Text {
        let errors = manifest.failed.as_ref().and_then(|failed| File::open(engine.path(&failed.errors)).ok());
        // The summary is worth having without them.
        let reasons = errors.and_then(|file| report::reasons(BufReader::new(file)).ok()).unwrap_or_default();
        say(&report::summary(&manifest, &key, &reasons, &|key| engine.path(key)));
    }
    Ok((exit::of(manifest.state), Some(manifest)))
}

async fn unfinished(
    lock: &FolderLock,
    engine: &Engine,
    object: &InputObject,
    stopped: &Stopped,
    told: Told,
) -> Result<u8, Failure> {
    engine.refresh_status(object).await.map_err(ours)?;
    let (key, run) = (&object.key, object.run());
    let (status, message) = match stopped {
        Stopped::Credentials(reason) => (
            exit::CREDENTIALS,
            format!(
                "{reason}\nNothing is lost, and what was started goes on: set BRIGHT_DATA_API_TOKEN to a key that is accepted and may run collectors, then run the same command again."
            ),
        ),
        Stopped::Stopped(why) => (
            exit::HELD,
            format!("{why}. Nothing is lost: the same command goes on with the rest, and pays for nothing twice."),
        ),
        Stopped::Rest => (
            exit::HELD,
            format!(
                "the rest waits for a person: `dropcollect release {run} --data {}` says what for, and how to decide. What has been collected lies in {}; --again runs the whole file anew, and pays for it again.",
                lock.root().display(),
                engine.path(&format!("output/{}", keys::input_path(key)))
            ),
        ),
    };
    if told == Told::Events {
        Event::Unfinished { run: &run, key, message: &message }.say();
    } else {
        if told == Told::Text
            && let Some(status) = engine.status(object).await.map_err(ours)?
        {
            say(&report::progress(&status, None));
        }
        complain(&format!("{key}: {message}"));
    }
    Ok(status)
}

pub(super) fn ours(error: EngineError) -> Failure {
    Failure::ours(error.to_string())
}
