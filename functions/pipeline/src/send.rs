//! One paid send: intent, request, outcome.

use bytes::Bytes;
use jiff::Timestamp;

use crate::gate::{self, Cause, Gate, Refusal};
use crate::keys;
use crate::ledger::{self, CollectionRecord, Intent, Outcome, SendResult, VERSION};
use crate::metrics;
use crate::pause;
use crate::policy::limits;
use crate::ports::{PortError, SendAnswer, TriggerRequest, Written};
use crate::schedule::later;
use crate::spending::{self, Reserved, Wanted};
use crate::words::Slice;
use crate::work::{Step, Work};

impl Work<'_> {
    /// Sends a slice, as its `send`-th send. Whoever writes the intent is the only one who sends it.
    pub(crate) async fn send(&mut self, slice: Slice, send: u32) -> Result<Step, PortError> {
        let gate_key = keys::collector_gate(&self.run.settings.collector);
        let gates = [keys::TOKEN_GATE, gate_key.as_str()];
        let mut probes = Vec::new();
        // What is called off need not wait until it may be sent.
        for key in gates.into_iter().filter(|_| !self.cancelled) {
            match gate::ask(&*self.pipeline.store, key, self.pipeline.clock.now()).await? {
                Gate::Open => {}
                Gate::Probe => probes.push(key.to_owned()),
                Gate::Closed { after, reason } => {
                    self.give_back(&probes).await?;
                    return Ok(Step::wait(after, reason));
                }
            }
        }
        let request = self.request(slice).await?;
        let at = self.pipeline.clock.now();
        let send_by = later(at, limits::SEND_BY_SECONDS);
        let answered_by = later(send_by, i64::from(limits::TRIGGER_TIMEOUT_SECONDS));
        // A process that is alone knows that its own sends are over when their time is; elsewhere a turn has to end first.
        let alone = self.pipeline.alone_since.is_some();
        let doubt_at = if alone { answered_by } else { answered_by.max(self.turn.ends_at) };
        // Asked when the time of the send runs: whoever cancels the run knows when the last send has left.
        let called_off = self.ask_whether_cancelled().await?;
        if !called_off && let Some((after, why)) = self.may_not_pay(slice, send).await? {
            self.give_back(&probes).await?;
            return Ok(Step::stopped(after, why));
        }
        let intent = Intent { v: VERSION, at, send_by, doubt_at, inputs: slice.len(), called_off };
        let store = &*self.pipeline.store;
        if ledger::write_once(store, &keys::intent(&self.id, slice, send), &intent).await? == Written::Kept {
            self.give_back(&probes).await?;
            return Ok(Step::Next);
        }
        if called_off {
            self.give_back(&probes).await?;
            tracing::info!(inputs = slice.len(), "not sent: the run was cancelled");
            return Ok(Step::Next);
        }
        let answer = refused_twice(&request, self.pipeline.api.trigger(&request, send_by).await);
        self.pipeline.count_by(&metrics::TRIGGERS, metrics::outcome(&answer), 1);
        if matches!(answer, SendAnswer::InDoubt { .. }) {
            // At once: whoever searches later may be too late to be seen as a rival.
            self.doubt(slice, send, &intent).await?;
        }
        self.answered(slice, send, answer, &probes).await
    }

    /// Why nothing may be paid for now, and after how many seconds to ask again.
    async fn may_not_pay(&self, slice: Slice, send: u32) -> Result<Option<(u32, String)>, PortError> {
        if let Some(switch) = pause::standing(&*self.pipeline.store).await? {
            return Ok(Some((pause::ASK_AGAIN_SECONDS, switch.words())));
        }
        if self.pipeline.limits.is_empty() {
            return Ok(None);
        }
        let store = &*self.pipeline.store;
        let mut abandoned = Vec::new();
        for earlier in 1..send {
            let outcome: Option<Outcome> = ledger::read(store, &keys::outcome(&self.id, slice, earlier)).await?;
            if outcome.is_some_and(|outcome| outcome.result == SendResult::Abandoned) {
                abandoned.push(self.sent_at(slice, earlier).await?);
            }
        }
        let (attempt, collector) = (&self.id, &*self.run.settings.collector);
        let wanted = Wanted { attempt, slice, collector, inputs: slice.len(), abandoned };
        Ok(match spending::reserve(self.pipeline, &wanted).await? {
            Reserved::Yes => None,
            Reserved::No { after, why } => Some((after, why)),
        })
    }

    /// When a send was made that has an outcome.
    pub(crate) async fn sent_at(&self, slice: Slice, send: u32) -> Result<Timestamp, PortError> {
        let intent: Intent = ledger::read_known(&*self.pipeline.store, &keys::intent(&self.id, slice, send)).await?;
        Ok(intent.at)
    }

    async fn give_back(&self, probes: &[String]) -> Result<(), PortError> {
        for probed in probes {
            gate::give_back(&*self.pipeline.store, probed, self.pipeline.clock.now()).await?;
        }
        Ok(())
    }

    async fn request(&mut self, slice: Slice) -> Result<TriggerRequest, PortError> {
        let refuses_queueing = self.pipeline.store.get(&keys::no_queue_next(&self.id.run)).await?.is_some();
        let settings = self.run.settings.clone();
        let mut query = Vec::new();
        if !refuses_queueing {
            query.push(("queue_next".to_owned(), settings.queue_next.to_string()));
        }
        // Of the halves of a refused batch, the second would cancel the first.
        if settings.confirm_cancel && self.id.attempt == 1 && self.whole().await? == slice {
            query.push(("confirm_cancel".to_owned(), "1".to_owned()));
        }
        if !settings.query.contains_key("name") {
            // Nothing echoes the name, but a person sees it in the control panel.
            query.push((
                "name".to_owned(),
                format!("dropcollect {} {}.{}", self.id.run, self.id.batch, self.id.attempt),
            ));
        }
        if let Some(webhook) = &self.pipeline.webhook {
            query.push(("notify".to_owned(), webhook.notify(&self.id)));
        }
        query.extend(settings.query);
        let sent = self.sent(slice).await?;
        let mut body = Vec::with_capacity(sent.inputs.iter().map(|input| input.json.len() + 1).sum::<usize>() + 2);
        for (position, input) in sent.inputs.iter().enumerate() {
            body.push(if position == 0 { b'[' } else { b',' });
            body.extend_from_slice(input.json.as_bytes());
        }
        body.push(b']');
        Ok(TriggerRequest { collector: settings.collector, query, body: Bytes::from(body) })
    }

    /// Writes down what a send came to.
    async fn answered(
        &self,
        slice: Slice,
        send: u32,
        answer: SendAnswer,
        probes: &[String],
    ) -> Result<Step, PortError> {
        let store = &*self.pipeline.store;
        let now = self.pipeline.clock.now();
        let collector_gate = keys::collector_gate(&self.run.settings.collector);
        let refused_by = match &answer {
            SendAnswer::Credentials { .. } => Some(keys::TOKEN_GATE),
            SendAnswer::Wait { .. } => Some(collector_gate.as_str()),
            _ => None,
        };
        let result = match answer {
            SendAnswer::Accepted { collection, start_eta } => {
                // Before anything else: this key belongs to this id alone, so nothing can keep the id from being known.
                let record = CollectionRecord { v: VERSION, at: now, send: self.send_id(slice, send) };
                let standing = ledger::settle(store, &keys::collection(&collection), record.clone()).await?;
                if standing.send != record.send {
                    // Another send has been given its records by now, which is only possible where both sent the same inputs: this
                    // one looks for the other's collection.
                    tracing::warn!(collection_id = collection, "the collection was taken for another send's");
                    return Ok(Step::Next);
                }
                self.pipeline.count(&metrics::INPUTS_TRIGGERED, u64::from(slice.len()));
                tracing::info!(collection_id = collection, inputs = slice.len(), "triggered");
                SendResult::Accepted { collection, start_eta, adopted: false }
            }
            SendAnswer::NotSent { why } => {
                tracing::warn!(why, "not sent");
                SendResult::NotSent { why }
            }
            SendAnswer::RefusedOption { text } => {
                tracing::info!(text, "the collector refuses queue_next: sending without it");
                let refusal = serde_json::json!({"v": VERSION, "text": text});
                ledger::write_once(store, &keys::no_queue_next(&self.id.run), &refusal).await?;
                SendResult::RefusedOption
            }
            SendAnswer::Refused { status, text } => {
                tracing::warn!(status, text, inputs = slice.len(), "refused");
                SendResult::Refused { status, text }
            }
            SendAnswer::Credentials { status, text } => {
                self.pipeline.count(&metrics::CREDENTIALS_REFUSED, 1);
                tracing::error!(status, text, "the API refused the token");
                let reason = format!("the API refused the token ({status}): {text}");
                let refusal = Refusal { cause: Cause::Credentials, retry_after: None, reason: &reason };
                gate::close(store, keys::TOKEN_GATE, now, refusal).await?;
                SendResult::Credentials { status, text }
            }
            SendAnswer::Wait { retry_after, text } => {
                tracing::info!(text, "told to wait");
                let reason = format!("the API asked to wait: {text}");
                let refusal = Refusal { cause: Cause::Limit, retry_after, reason: &reason };
                gate::close(store, &collector_gate, now, refusal).await?;
                SendResult::Wait { text }
            }
            SendAnswer::InDoubt { why } => {
                // No outcome: what became of it is found out when nobody can be working on it any more.
                tracing::warn!(why, "in doubt: a collection may or may not have been started");
                self.give_back(probes).await?;
                return Ok(Step::Next);
            }
        };
        // Any other answer came through a token that is accepted, from a collector that takes calls.
        let heard = !matches!(result, SendResult::NotSent { .. });
        for probed in probes.iter().filter(|probed| heard && Some(probed.as_str()) != refused_by) {
            gate::open(store, probed, now).await?;
        }
        let unsent = matches!(result, SendResult::NotSent { .. });
        let outcome = Outcome { v: VERSION, at: now, result };
        let standing = ledger::settle(store, &keys::outcome(&self.id, slice, send), outcome.clone()).await?;
        if standing != outcome {
            tracing::error!(?standing, ?outcome, "a send had an outcome before its answer came");
        }
        // Nothing left this machine, so the network is in the way: not at once again.
        Ok(if unsent {
            Step::wait(crate::schedule::backoff(send).min(300), "the API cannot be reached")
        } else {
            Step::Next
        })
    }
}

/// A refusal of `queue_next` in answer to a send without it cannot be helped by leaving it out: it is about another option, such as
/// `queue`, and sending again would be refused for ever.
fn refused_twice(request: &TriggerRequest, answer: SendAnswer) -> SendAnswer {
    match answer {
        SendAnswer::RefusedOption { text } if request.query.iter().all(|(name, _)| name != "queue_next") => {
            SendAnswer::Refused { status: 400, text }
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_option_that_was_sent_can_be_left_out() {
        let text = || "Trial collectors don't support queuing jobs".to_owned();
        for (query, answer) in [
            (vec!["queue", "queue_next"], SendAnswer::RefusedOption { text: text() }),
            (vec!["queue"], SendAnswer::Refused { status: 400, text: text() }),
        ] {
            let query = query.into_iter().map(|name| (name.to_owned(), "1".to_owned())).collect();
            let request = TriggerRequest { collector: "c_abc123".into(), query, body: Bytes::new() };
            assert_eq!(refused_twice(&request, SendAnswer::RefusedOption { text: text() }), answer);
        }
    }
}
