//! Everything that a function needs, built once at start: Lambda gives a function its full processor time only then.

use std::sync::Arc;

use pipeline::Pipeline;
use pipeline::ports::{Clock, Notices, PortError};

use crate::aws::{Aws, BadBundle};
use crate::clock::WallClock;
use crate::config::{Config, ConfigError, Role, TokenFrom};
use crate::dca::{BadBase, Client, FixedToken, HttpTransport, RereadToken, Times, Token};
use crate::emf::Emf;
use crate::lambda::Worker;
use crate::notices::EventBus;
use crate::s3::{S3Inputs, S3Store};
use crate::secrets::TokenSecret;
use crate::sqs::{SqsDeliveries, SqsQueues};

/// One function: the pipeline over its adapters, and what brings it its work.
pub struct World {
    /// The pipeline on S3, SQS and the API.
    pub pipeline: Pipeline,
    /// The input bucket; only `trigger` and `sweep` may read it.
    pub inputs: S3Inputs,
    /// Works on the messages of the function's own queue.
    pub worker: Worker<SqsDeliveries>,
    /// What the pipeline and the worker tell of themselves.
    pub metrics: Arc<Emf>,
}

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The environment.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The API's address.
    #[error(transparent)]
    Base(#[from] BadBase),
    /// Whom the clients of AWS are to trust.
    #[error(transparent)]
    Trust(#[from] BadBundle),
    /// The secret.
    #[error(transparent)]
    Token(#[from] PortError),
}

/// How often a message is delivered before it is poison. A file that takes several turns is delivered once for each; `poll`, whose
/// messages are delivered as often as a collection is looked at, counts its failures in the ledger.
fn failures_max(role: Role) -> Option<u32> {
    match role {
        Role::Trigger => Some(25),
        Role::Retry => Some(10),
        Role::Poll | Role::Sweep | Role::Webhook | Role::Local => None,
    }
}

impl World {
    /// Reads the environment and builds everything.
    pub async fn from_env(role: Role) -> Result<Self, StartError> {
        let config = Config::from_env(role)?;
        let aws = Aws::of_function(&config)?;
        let world = Self::new(&config, &aws, Arc::new(WallClock)).await?;
        Ok(match failures_max(role) {
            Some(max) => Self { worker: world.worker.with_failures_max(max), ..world },
            None => world,
        })
    }

    /// Builds everything from these.
    pub async fn new(config: &Config, aws: &Aws, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let transport = HttpTransport::new(&config.api_url, Times::default(), Arc::clone(&clock))?;
        let token: Arc<dyn Token> = match &config.token {
            Some(TokenFrom::Given(token)) => Arc::new(FixedToken(token.clone())),
            Some(TokenFrom::Secret(id)) => {
                let secret = TokenSecret::new(aws.secrets(), id);
                Arc::new(RereadToken::read(secret, Arc::clone(&clock)).await?)
            }
            None => Arc::new(FixedToken("".into())),
        };
        // Making a client takes longer than everything else here; clones share it.
        let (s3, sqs) = (aws.s3(), aws.sqs());
        let metrics = Arc::new(Emf::new(&config.stack));
        let notices: Arc<dyn Notices> = match &config.event_bus {
            Some(bus) => Arc::new(EventBus::new(aws.clone(), bus, &config.stack, &config.dataset_bucket)),
            None => Arc::new(()),
        };
        let pipeline = Pipeline {
            store: Arc::new(S3Store::new(s3.clone(), &config.dataset_bucket)),
            queues: Arc::new(SqsQueues::new(sqs.clone(), &config.poll_queue_url, &config.retry_queue_url)),
            api: Arc::new(Client::new(transport, token, Arc::clone(&clock))),
            notices,
            metrics: metrics.clone(),
            clock: Arc::clone(&clock),
            policy: config.policy.clone(),
            limits: config.limits.clone(),
            webhook: config.webhook.clone(),
            alone_since: None,
        };
        let worker = Worker::new(SqsDeliveries::new(sqs), clock).watched_by(metrics.clone());
        Ok(Self { pipeline, inputs: S3Inputs::new(s3), worker, metrics })
    }
}
