//! Touches the world for the pipeline. Each port of `pipeline::ports` has its adapter here: [`s3`], [`sqs`], [`dca`], [`notices`], [`emf`] and
//! [`clock`]. [`config`] and [`secrets`] say with what, [`events`] and [`lambda`] bring the work in, [`telemetry`] writes the log, and [`world`]
//! puts it all together for one function; [`webhook`] is one that needs little of it.

pub mod aws;
pub mod clock;
pub mod config;
pub mod dca;
pub mod emf;
pub mod events;
pub mod lambda;
pub mod notices;
pub mod s3;
pub mod secrets;
pub mod sqs;
pub mod telemetry;
pub mod webhook;
pub mod world;

/// An error and its causes in one line, without repetitions.
fn text_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
