//! Touches the world for the pipeline: configuration, the Scraper Studio API, S3, SQS, events and telemetry.

pub mod clock;
pub mod config;
pub mod dca;
