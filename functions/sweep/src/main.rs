//! The `sweep` function: once in a while, sets going again what stands still, and counts what waits for a person.

use adapters::config::Role;
use adapters::world::World;
use adapters::{lambda, telemetry};
use pipeline::messages::Turn;

// One sweep at a time, so one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    telemetry::init();
    let world = &World::from_env(Role::Sweep).await?;
    let handler = |turn: Turn| async move { world.pipeline.sweep(&world.inputs, &turn).await };
    lambda::serve_schedule(&*world.pipeline.clock, &world.metrics, handler).await.map_err(anyhow::Error::from_boxed)
}
