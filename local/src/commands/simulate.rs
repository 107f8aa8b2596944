//! `dropcollect simulate`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::Args;
use dropcollect::simulator::{Scenario, Service, serve};
use tokio::net::TcpListener;

use super::{Failure, exit};

#[derive(Args)]
pub(crate) struct SimulateArgs {
    /// Address to serve on, such as 127.0.0.1:8080; port 0 picks a free one
    #[arg(long)]
    listen: std::net::SocketAddr,
    /// Scenario: a name or a TOML file
    #[arg(long, default_value = "default")]
    scenario: String,
    /// Seed, instead of the scenario's
    #[arg(long)]
    seed: Option<u64>,
    /// Folder that keeps the accepted jobs, so that they survive the process
    #[arg(long)]
    data: Option<PathBuf>,
}

pub(super) async fn simulate(args: SimulateArgs) -> Result<u8, Failure> {
    let mut scenario = Scenario::find(&args.scenario).map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(seed) = args.seed {
        scenario.seed = seed;
    }
    let service = match &args.data {
        Some(dir) => {
            Service::open(scenario, dir).map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))?
        }
        None => Service::new(scenario),
    };
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|error| {
        Failure::usage(format!("cannot listen on {}: {error}; port 0 picks a free one", args.listen))
    })?;
    let address = listener.local_addr().map_err(|error| Failure::ours(error.to_string()))?;
    println!("http://{address}");
    eprintln!(
        "The simulator serves. Use it with BRIGHT_DATA_API_URL=http://{address} and any BRIGHT_DATA_API_TOKEN; Ctrl-C ends it."
    );
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    serve(listener, Arc::new(Mutex::new(service)), interrupted).await;
    Ok(exit::FINE)
}
