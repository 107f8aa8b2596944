//! The `retry` function: triggers a new collection with the inputs that failed.

use adapters::config::Role;
use adapters::world::World;
use adapters::{lambda, telemetry};
use pipeline::messages::Turn;

// One message at a time, so one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    telemetry::init();
    let world = &World::from_env(Role::Retry).await?;
    let handler = |body: String, turn: Turn| async move { world.pipeline.retry(&body, &turn).await };
    lambda::serve_queue(&world.worker, &world.metrics, handler).await.map_err(anyhow::Error::from_boxed)
}
