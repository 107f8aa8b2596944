//! The `trigger` function: cuts an input file into batches and triggers a collection for each.

use adapters::config::Role;
use adapters::world::World;
use adapters::{lambda, telemetry};
use pipeline::messages::Turn;
use pipeline::words::InputObject;

// One message at a time, so one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    telemetry::init();
    let world = &World::from_env(Role::Trigger).await?;
    let handler =
        |object: InputObject, turn: Turn| async move { world.pipeline.trigger(&world.inputs, &object, &turn).await };
    lambda::serve_drops(&world.worker, &world.metrics, handler).await.map_err(anyhow::Error::from_boxed)
}
