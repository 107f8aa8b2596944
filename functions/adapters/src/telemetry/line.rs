//! One line of the log of a function: a JSON object in which the fields of the event and of all spans around it stand side by side, so that
//! every line of work on an attempt has `run`, `batch`, `attempt` and `collection_id` where CloudWatch finds them without a path.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats events so. Lambda's own fields are `timestamp`, `level` and `requestId` (Lambda page "JSON structured logs").
pub(super) struct Line;

impl<S> FormatEvent<S, JsonFields> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        let spans = ctx.event_scope().into_iter().flat_map(|scope| scope.from_root());
        for span in spans {
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                line.extend(object(&fields.fields));
            }
        }
        let mut fields = String::new();
        JsonFields::new().format_fields(Writer::new(&mut fields), event)?;
        // The nearest one counts.
        line.extend(object(&fields));
        line.insert("timestamp".to_owned(), json!(Timestamp::now()));
        line.insert("level".to_owned(), json!(event.metadata().level().as_str()));
        line.insert("target".to_owned(), json!(event.metadata().target()));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The fields that [`JsonFields`] has written: an object, or nothing.
fn object(fields: &str) -> Map<String, Value> {
    serde_json::from_str(fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::{info, info_span};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn fields_of_spans_stand_beside_those_of_the_event() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = crate::telemetry::json_lines("info", move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let _request = info_span!("invoke", requestId = "r-1").entered();
            let attempt =
                info_span!("attempt", run = "0123", batch = 7, collection_id = tracing::field::Empty).entered();
            info!(inputs = 3, batch = 8, why = "a \"quoted\"\nword", "said");
            attempt.record("collection_id", "j_1");
            info!("said again");
        });
        let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let mut said = written.lines().map(|line| serde_json::from_str::<Map<String, Value>>(line).unwrap());
        let (mut first, second) = (said.next().unwrap(), said.next().unwrap());
        assert!(first.remove("timestamp").unwrap().as_str().unwrap().parse::<Timestamp>().is_ok());
        let golden = json!({
            "level": "INFO", "target": module_path!(), "message": "said", "requestId": "r-1", "run": "0123", "batch": 8, "inputs": 3,
            "why": "a \"quoted\"\nword",
        });
        assert_eq!(Value::Object(first), golden);
        assert_eq!((&second["collection_id"], &second["batch"]), (&json!("j_1"), &json!(7)));
        assert!(said.next().is_none());
    }
}
