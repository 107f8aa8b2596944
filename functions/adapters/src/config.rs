//! Everything that is configured, from the environment, read once at start. A problem is told with the variable's name, and all
//! of them are told at once.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use pipeline::decisions::{self, NotADecision};
use pipeline::policy::limits::COLLECTION_DEADLINE_SECONDS_MAX;
use pipeline::policy::{OnInDoubt, OutputCompression, OutputFormat, Policy};
use pipeline::settings::{OPTIONS, SettingProblem, settle};
use pipeline::spending::{Limits, NotALimit};
use pipeline::webhook::{SECRET_BYTES_MIN, Secret, Webhook};
use secrecy::SecretString;

/// Which binary is started: they need different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The function that cuts a file and triggers its batches.
    Trigger,
    /// The function that polls and delivers.
    Poll,
    /// The function that triggers what failed.
    Retry,
    /// The function that looks for what stands still.
    Sweep,
    /// The function that takes notices of the API: it has no token.
    Webhook,
    /// The command on one machine: no bucket and no queue of AWS.
    Local,
}

/// Where the API token is.
#[derive(Debug, Clone)]
pub enum TokenFrom {
    /// `BRIGHT_DATA_API_TOKEN`.
    Given(SecretString),
    /// `BRIGHT_DATA_API_TOKEN_SECRET`: id or ARN of a secret in Secrets Manager.
    Secret(String),
}

/// Stands for the name of a stack where there is none.
pub const STACK: &str = "dropcollect";

/// The API's public address.
pub const API_URL: &str = "https://api.brightdata.com";

/// The typed configuration of one binary. Its `Debug` does not show the token.
#[derive(Debug, Clone)]
pub struct Config {
    /// `DATASET_BUCKET`; empty for [`Role::Local`] when it is not set.
    pub dataset_bucket: String,
    /// `POLL_QUEUE_URL`; as above.
    pub poll_queue_url: String,
    /// `RETRY_QUEUE_URL`; as above.
    pub retry_queue_url: String,
    /// `EVENT_BUS_NAME`: name or ARN of the event bus that is told when a run is over; `None` for nobody.
    pub event_bus: Option<String>,
    /// `STACK_NAME`: what metrics and events name as their origin.
    pub stack: String,
    /// Where the token is; `None` only for [`Role::Local`], which may run against the simulator.
    pub token: Option<TokenFrom>,
    /// `BRIGHT_DATA_API_URL`.
    pub api_url: String,
    /// `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`: S3 is not Amazon's, and is addressed by path.
    pub s3_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SQS`, else `AWS_ENDPOINT_URL`.
    pub sqs_endpoint: Option<String>,
    /// What steers the pipeline's decisions.
    pub policy: Policy,
    /// `SPENDING_LIMITS`: what may be paid for.
    pub limits: Limits,
    /// `WEBHOOK_URL` and `WEBHOOK_SECRET`: where the API is to send notices. [`Role::Webhook`] has the secret only, and cannot do without.
    pub webhook: Option<Webhook>,
}

/// Everything that is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the process's environment.
    pub fn from_env(role: Role) -> Result<Self, ConfigError> {
        Self::from(role, |name| std::env::var(name).ok())
    }

    /// Reads variables; one that is empty counts as not set.
    pub fn from(role: Role, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut read = Reader { lookup: &lookup, problems: Vec::new() };
        let cloud = role != Role::Local;
        let token = cloud && role != Role::Webhook;
        let endpoint = read.url("AWS_ENDPOINT_URL");
        let config = Self {
            dataset_bucket: read.text("DATASET_BUCKET", cloud),
            poll_queue_url: read.queue("POLL_QUEUE_URL", cloud),
            retry_queue_url: read.queue("RETRY_QUEUE_URL", cloud),
            event_bus: read.get("EVENT_BUS_NAME"),
            stack: read.get("STACK_NAME").unwrap_or_else(|| STACK.to_owned()),
            token: read.token(token),
            api_url: read.url("BRIGHT_DATA_API_URL").unwrap_or_else(|| API_URL.to_owned()),
            s3_endpoint: read.url("AWS_ENDPOINT_URL_S3").or_else(|| endpoint.clone()),
            sqs_endpoint: read.url("AWS_ENDPOINT_URL_SQS").or(endpoint),
            policy: read.policy(),
            limits: read.limits(),
            webhook: read.webhook(role),
        };
        if read.problems.is_empty() { Ok(config) } else { Err(ConfigError(read.problems)) }
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Hands over what is set, if `read` accepts it; otherwise says what `accepted` is.
    fn value<T>(&mut self, name: &str, accepted: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.get(name)?;
        let value = read(&text);
        if value.is_none() {
            self.problems.push(format!("{name} is {text:?}, but must be {accepted}"));
        }
        value
    }

    fn required(&mut self, name: &str, required: bool) {
        if required && self.get(name).is_none() {
            self.problems.push(format!("{name} is not set"));
        }
    }

    fn text(&mut self, name: &str, required: bool) -> String {
        self.required(name, required);
        self.get(name).unwrap_or_default()
    }

    fn queue(&mut self, name: &str, required: bool) -> String {
        self.required(name, required);
        self.url(name).unwrap_or_default()
    }

    fn url(&mut self, name: &str) -> Option<String> {
        self.value(name, "an address with http:// or https://, without user and query", |text| {
            let url = reqwest::Url::parse(text).ok()?;
            let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
            // The parser forgives tabs and line ends inside an address; what is used is the text.
            let fine = plain
                && text.bytes().all(|byte| byte.is_ascii_graphic())
                && url.password().is_none()
                && url.has_host()
                && matches!(url.scheme(), "http" | "https");
            fine.then(|| text.to_owned())
        })
    }

    fn number<N>(&mut self, name: &str, least: N, most: N, default: N) -> N
    where
        N: FromStr + PartialOrd + fmt::Display + Copy,
    {
        let accepted = format!("a whole number from {least} to {most}");
        let read = |text: &str| text.parse().ok().filter(|number| (least..=most).contains(number));
        self.value(name, &accepted, read).unwrap_or(default)
    }

    fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)], default: T) -> T {
        let accepted = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        let read = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        self.value(name, &accepted, read).unwrap_or(default)
    }

    /// The value of `BRIGHT_DATA_API_TOKEN` is never told, whatever is wrong with it.
    fn token(&mut self, required: bool) -> Option<TokenFrom> {
        const GIVEN: &str = "BRIGHT_DATA_API_TOKEN";
        const SECRET: &str = "BRIGHT_DATA_API_TOKEN_SECRET";
        match (self.get(GIVEN), self.get(SECRET)) {
            (Some(_), Some(_)) => self.problems.push(format!("{GIVEN} and {SECRET} are both set: give one of them")),
            (Some(token), None) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                return Some(TokenFrom::Given(token.into()));
            }
            (Some(_), None) => self.problems.push(format!("{GIVEN} has spaces or other characters that no token has")),
            (None, Some(secret)) => return Some(TokenFrom::Secret(secret)),
            (None, None) if required => self.problems.push(format!("neither {GIVEN} nor {SECRET} is set")),
            (None, None) => {}
        }
        None
    }

    /// The secret's value is never told either. A laptop cannot be reached, so [`Role::Local`] asks for no notices.
    fn webhook(&mut self, role: Role) -> Option<Webhook> {
        const SECRET: &str = "WEBHOOK_SECRET";
        let takes = role == Role::Webhook;
        let address = if takes { Some(String::new()) } else { self.url("WEBHOOK_URL") };
        let address = address.filter(|_| role != Role::Local)?;
        self.required(SECRET, true);
        let text = self.get(SECRET)?;
        let secret = Secret::new(&text);
        if secret.is_none() {
            self.problems.push(format!("{SECRET} is too short: it needs {SECRET_BYTES_MIN} characters"));
        }
        Some(Webhook { address, secret: secret? })
    }

    fn limits(&mut self) -> Limits {
        let accepted = format!("limits, such as day=10000,month=200000,file=5000 ({NotALimit})");
        self.value("SPENDING_LIMITS", &accepted, |text| text.parse().ok()).unwrap_or_default()
    }

    fn policy(&mut self) -> Policy {
        let default = Policy::default();
        let on_in_doubt =
            [("reconcile", OnInDoubt::Reconcile), ("hold", OnInDoubt::Hold), ("retrigger", OnInDoubt::Retrigger)];
        Policy {
            default_collector: self.collector(),
            batch_inputs_max: self.number("BATCH_INPUTS_MAX", 1, 1_000_000, default.batch_inputs_max),
            batch_bytes_max: self.number("BATCH_BYTES_MAX", 1_000, 100_000_000, default.batch_bytes_max),
            attempts_max: self.number("ATTEMPTS_MAX", 1, 100, default.attempts_max),
            collection_deadline_seconds: self.number(
                "COLLECTION_DEADLINE_SECONDS",
                60,
                COLLECTION_DEADLINE_SECONDS_MAX,
                default.collection_deadline_seconds,
            ),
            retry_unattributed: self.word(
                "RETRY_UNATTRIBUTED",
                &[("true", true), ("false", false)],
                default.retry_unattributed,
            ),
            retry_codes: self
                .value(
                    "RETRY_CODES",
                    &format!("codes and what follows, such as dead_page=never,blocked=60x2 ({NotADecision})"),
                    |text| decisions::overrides(text).ok(),
                )
                .unwrap_or_default(),
            output_format: self.word(
                "OUTPUT_FORMAT",
                &[("ndjson", OutputFormat::Ndjson), ("json", OutputFormat::Json)],
                default.output_format,
            ),
            output_compression: self.word(
                "OUTPUT_COMPRESSION",
                &[("none", OutputCompression::None), ("gzip", OutputCompression::Gzip)],
                default.output_compression,
            ),
            on_in_doubt: self.word("ON_IN_DOUBT", &on_in_doubt, default.on_in_doubt),
            in_doubt_window_seconds: self.number("IN_DOUBT_WINDOW_SECONDS", 1, 86_400, default.in_doubt_window_seconds),
            trigger_defaults: self.trigger_defaults(),
        }
    }

    /// `TRIGGER_QUEUE_NEXT` and so on, under the names that they have in an object's user metadata. `confirm-cancel` is none of
    /// them: it replaces a running job, so only a file can ask for it. Nor is `name`, which tells runs and batches apart.
    fn trigger_defaults(&mut self) -> BTreeMap<String, String> {
        let mut defaults = BTreeMap::new();
        for option in OPTIONS.into_iter().filter(|option| !["confirm-cancel", "name"].contains(option)) {
            let name = format!("TRIGGER_{}", option.to_ascii_uppercase().replace('-', "_"));
            let Some(value) = self.get(&name) else { continue };
            let default = BTreeMap::from([(option.to_owned(), value.clone())]);
            self.settles(&name, Policy { trigger_defaults: default.clone(), ..some_collector() });
            defaults.extend(default);
        }
        defaults
    }

    fn collector(&mut self) -> Option<String> {
        const NAME: &str = "BRIGHT_DATA_COLLECTOR_ID";
        let default_collector = self.get(NAME)?;
        self.settles(NAME, Policy { default_collector: Some(default_collector.clone()), ..Policy::default() });
        Some(default_collector)
    }

    /// A file that says nothing itself would be rejected for a bad default, so the pipeline's own rules are asked at start.
    fn settles(&mut self, variable: &str, policy: Policy) {
        match settle(&policy, "file.csv", &BTreeMap::new()) {
            Ok(_) => {}
            Err(SettingProblem::BadValue { value, expected, .. }) => {
                self.problems.push(format!("{variable} is {value:?}, but must be {expected}"));
            }
            Err(problem) => self.problems.push(format!("{variable}: {problem}")),
        }
    }
}

fn some_collector() -> Policy {
    Policy { default_collector: Some("c_collector".to_owned()), ..Policy::default() }
}

#[cfg(test)]
mod tests;
