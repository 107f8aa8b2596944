//! The `poll` function: looks whether a collection is ready, and delivers its dataset.

use adapters::config::Role;
use adapters::world::World;
use adapters::{lambda, telemetry};
use pipeline::messages::Turn;

// One message at a time, so one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    telemetry::init();
    let world = &World::from_env(Role::Poll).await?;
    let handler = |body: String, turn: Turn| async move { world.pipeline.poll(&body, &turn).await };
    lambda::serve_queue(&world.worker, &world.metrics, handler).await.map_err(anyhow::Error::from_boxed)
}
