//! Notices of runs that are over, as events of EventBridge. Their form is described in `infra/README.md`.

use async_trait::async_trait;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use pipeline::notice::RunEnded;
use pipeline::ports::{Notices, PortError};
use serde_json::{Value, json};

use crate::aws::{Aws, failed};

/// `source` of every event.
pub const SOURCE: &str = "dropcollect";
/// `detail-type` of the event that tells the end of a run.
pub const RUN_ENDED: &str = "Run Ended";

/// An event bus.
pub struct EventBus {
    aws: Aws,
    bus: String,
    stack: String,
    dataset_bucket: String,
}

impl EventBus {
    /// The bus with this name, for a stack that writes to this bucket.
    pub fn new(aws: Aws, bus: &str, stack: &str, dataset_bucket: &str) -> Self {
        Self { aws, bus: bus.to_owned(), stack: stack.to_owned(), dataset_bucket: dataset_bucket.to_owned() }
    }
}

#[async_trait]
impl Notices for EventBus {
    async fn run_ended(&self, ended: &RunEnded) -> Result<(), PortError> {
        let what = || format!("tell the event bus {} that run {} is over", self.bus, ended.run);
        let detail = detail(ended, &self.stack, &self.dataset_bucket).map_err(|error| PortError::new(what(), error))?;
        let entry = PutEventsRequestEntry::builder().event_bus_name(&self.bus).source(SOURCE);
        let entry = entry.detail_type(RUN_ENDED).detail(detail.to_string()).build();
        // Made here: a run ends once, and a client costs every start of a function.
        let put = self.aws.events().put_events().entries(entry).send().await;
        let put = put.map_err(|error| failed(what(), &error))?;
        // One entry was put, so it is this one that failed.
        match put.entries().first().filter(|entry| entry.error_code().is_some()) {
            Some(entry) => {
                let (code, message) =
                    (entry.error_code().unwrap_or_default(), entry.error_message().unwrap_or_default());
                Err(PortError::new(what(), format!("{code}: {message}")))
            }
            None => Ok(()),
        }
    }
}

/// The event's `detail`: the notice, and where its keys are to be found.
fn detail(ended: &RunEnded, stack: &str, dataset_bucket: &str) -> Result<Value, serde_json::Error> {
    let mut detail = serde_json::to_value(ended)?;
    detail["stack"] = json!(stack);
    detail["dataset_bucket"] = json!(dataset_bucket);
    Ok(detail)
}
