//! What takes notices of the API: a function with an address that anybody may call. Only the path of a call is looked at.

use std::sync::Arc;

use aws_lambda_events::lambda_function_urls::{LambdaFunctionUrlRequest, LambdaFunctionUrlResponse};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use pipeline::ports::{Clock, Queues};
use pipeline::webhook::{Secret, take};
use tracing::{Instrument, debug, info, warn};

use crate::aws::Aws;
use crate::clock::WallClock;
use crate::config::{Config, Role};
use crate::sqs::SqsQueues;
use crate::text_of;
use crate::world::StartError;

/// The function: it knows the secret, and may send to the poll queue.
pub struct Receiver {
    secret: Secret,
    queues: Arc<dyn Queues>,
    clock: Arc<dyn Clock>,
}

impl Receiver {
    /// Reads the environment.
    pub fn from_env() -> Result<Self, StartError> {
        let config = Config::from_env(Role::Webhook)?;
        let aws = Aws::of_function(&config)?;
        let queues = SqsQueues::new(aws.sqs(), &config.poll_queue_url, &config.retry_queue_url);
        let webhook = config.webhook.unwrap_or_else(|| unreachable!("a configuration without the secret is refused"));
        Ok(Self::new(webhook.secret, Arc::new(queues), Arc::new(WallClock)))
    }

    /// A receiver of these.
    pub fn new(secret: Secret, queues: Arc<dyn Queues>, clock: Arc<dyn Clock>) -> Self {
        Self { secret, queues, clock }
    }

    /// Answers a call of this path: 200 when it was passed on, 404 when it is none of ours, 503 when it could not be passed on, which does
    /// no harm. Paths are not logged, because they end with what gives them their right.
    pub async fn answer(&self, path: &str) -> i64 {
        let Some(attempt) = self.secret.attempt(path) else {
            debug!("a call that is no notice");
            return 404;
        };
        let passed_on = async {
            match take(&*self.queues, self.clock.now(), &attempt).await {
                Ok(()) => {
                    info!("the API says that a collection is over");
                    200
                }
                Err(error) => {
                    warn!(error = %text_of(&error), "a notice could not be passed on");
                    503
                }
            }
        };
        passed_on.instrument(attempt.span()).await
    }
}

/// Takes notices until Lambda ends the process.
pub async fn serve(receiver: &Receiver) -> Result<(), Error> {
    let called = |event: LambdaEvent<LambdaFunctionUrlRequest>| async move {
        let path = event.payload.raw_path.unwrap_or_default();
        let mut response = LambdaFunctionUrlResponse::default();
        response.status_code = receiver.answer(&path).await;
        Ok::<_, Error>(response)
    };
    run(service_fn(called)).await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use pipeline::messages::Hint;
    use pipeline::ports::{PortError, QueueName};
    use pipeline::words::{AttemptId, RunId};

    use super::*;

    /// Keeps what is sent, or fails.
    #[derive(Default)]
    struct Sent {
        hints: Mutex<Vec<(QueueName, String, u32)>>,
        fails: bool,
    }

    #[async_trait]
    impl Queues for Sent {
        async fn send(&self, queue: QueueName, bodies: &[String], delay_seconds: u32) -> Result<(), PortError> {
            if self.fails {
                return Err(PortError::new("send", "no"));
            }
            self.hints.lock().unwrap().push((queue, bodies.concat(), delay_seconds));
            Ok(())
        }
    }

    fn receiver(queues: &Arc<Sent>) -> Receiver {
        let secret = Secret::new("a secret of 26 characters.").unwrap();
        Receiver::new(secret, queues.clone(), Arc::new(WallClock))
    }

    #[tokio::test]
    async fn a_notice_becomes_a_hint_and_nothing_else_does() {
        let attempt = AttemptId { run: RunId::parse("00112233aabbccdd").unwrap(), batch: 7, attempt: 2 };
        let sent = Arc::new(Sent::default());
        let receiver = receiver(&sent);
        assert_eq!(receiver.answer("/00112233aabbccdd/7/2/339481baf172a09641ae45c98b717e83").await, 200);
        for path in ["/", "", "/favicon.ico", "/00112233aabbccdd/7/3/339481baf172a09641ae45c98b717e83"] {
            assert_eq!(receiver.answer(path).await, 404, "{path}");
        }
        let sent = sent.hints.lock().unwrap();
        let [(QueueName::Poll, body, 0)] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!(Hint::decode(body).unwrap().attempt, attempt);
    }

    #[tokio::test]
    async fn a_notice_that_cannot_be_passed_on_is_answered_so() {
        let sent = Arc::new(Sent { fails: true, ..Sent::default() });
        let answer = receiver(&sent).answer("/00112233aabbccdd/7/2/339481baf172a09641ae45c98b717e83").await;
        assert_eq!(answer, 503);
    }
}
