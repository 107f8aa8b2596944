//! Serves the simulator: address, scenario, folder.
use dropcollect::simulator::{Scenario, Service, serve};
use std::{
    error::Error,
    path::Path,
    sync::{Arc, Mutex},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:0".into());
    let scenario = Scenario::find(&args.next().unwrap_or("default".into()))?;
    let service = match args.next() {
        Some(dir) => Service::open(scenario, Path::new(&dir))?,
        None => Service::new(scenario),
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    serve(listener, Arc::new(Mutex::new(service)), std::future::pending::<()>()).await;
    Ok(())
}
