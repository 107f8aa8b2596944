//! The `webhook` function: passes on the API's notices that a collection is over, so that `poll` looks at once.

use adapters::telemetry;
use adapters::webhook::{Receiver, serve};

// One notice at a time, so one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    telemetry::init();
    serve(&Receiver::from_env()?).await.map_err(anyhow::Error::from_boxed)
}
