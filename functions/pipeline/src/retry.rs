//! The `retry` function: begins an attempt after the first, with only the inputs that failed.

use tracing::Instrument;

use crate::Pipeline;
use crate::attempt::AttemptKeys;
use crate::keys;
use crate::ledger::{self, AttemptEnd};
use crate::messages::{Reminder, RetryOrder, Turn, Verdict};
use crate::ports::{PortError, QueueName};
use crate::schedule::first_look;
use crate::words::AttemptId;
use crate::work::Work;

impl Pipeline {
    /// Works on one message of the retry queue.
    pub async fn retry(&self, body: &str, turn: &Turn) -> Result<Verdict, PortError> {
        let id = match RetryOrder::decode(body) {
            Ok(order) => order.attempt,
            Err(problem) => return Ok(Verdict::SetAside { why: problem.to_string() }),
        };
        let span = id.span();
        self.retry_attempt(id, turn).instrument(span).await
    }

    async fn retry_attempt(&self, id: AttemptId, turn: &Turn) -> Result<Verdict, PortError> {
        let found = AttemptKeys::load(&*self.store, &id).await?;
        if found.begun() || found.ended {
            // Its reminder was sent before its first record.
            return Ok(Verdict::Done);
        }
        let Some(attempt) = id.attempt.checked_sub(1).filter(|attempt| *attempt > 0) else {
            return Ok(Verdict::SetAside { why: format!("{id} is no retry") });
        };
        let before = AttemptId { attempt, ..id.clone() };
        let end: Option<AttemptEnd> = ledger::read(&*self.store, &keys::attempt_end(&before)).await?;
        if end.is_none_or(|end| end.fates.again.is_empty()) {
            return Ok(Verdict::SetAside {
                why: format!("no record says that inputs of {before} are to be triggered again"),
            });
        }
        let reminder = Reminder::new(id.clone(), 1, turn.ends_at);
        let delay = first_look(self.clock.now(), None);
        self.queues.send(QueueName::Poll, &[reminder.encode()], delay).await?;
        // Whatever does not go out now goes out from the reminder.
        Work::begin(self, turn, &id).await?.drive().await?;
        Ok(Verdict::Done)
    }
}
