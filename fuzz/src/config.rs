//! The environment.

use std::collections::BTreeMap;

use adapters::config::{Config, ConfigError, Role, TokenFrom};
use pipeline::policy::Policy;
use secrecy::ExposeSecret;

use crate::answers::TOKEN;
use crate::bytes::text;

const GIVEN: &str = "BRIGHT_DATA_API_TOKEN";

/// One `NAME=value` a line. The token is always the same, so that it is recognised wherever it should not be.
pub fn config(bytes: &[u8]) {
    let text = text(bytes).replace(TOKEN, "");
    let mut variables: BTreeMap<&str, &str> = text.split('\n').filter_map(|line| line.split_once('=')).collect();
    if let Some(token) = variables.get_mut(GIVEN) {
        // A bad one is never told, either.
        *token = if token.contains(' ') { "tok-0123456789abcdef !" } else { TOKEN };
    }
    let read = |role| Config::from(role, |name| variables.get(name).map(|value| (*value).to_owned()));
    let poll = read(Role::Poll);
    for role in [Role::Trigger, Role::Poll, Role::Retry, Role::Local] {
        let found = read(role);
        assert!(poll.is_err() || found.is_ok(), "what is enough for poll is enough for {role:?}");
        assert!(!format!("{found:?}").contains(TOKEN), "the token is told");
        match found {
            Ok(config) => check_config(&config, role, &variables),
            Err(error) => check_problems(&error),
        }
    }
}

fn check_problems(error: &ConfigError) {
    assert!(!error.0.is_empty() && !error.to_string().contains(TOKEN));
    for problem in &error.0 {
        let names_a_variable = [
            "DATASET_",
            "POLL_",
            "RETRY_",
            "BRIGHT_",
            "BATCH_",
            "ATTEMPTS_",
            "COLLECTION_",
            "OUTPUT_",
            "ON_",
            "IN_",
            "AWS_",
            "TRIGGER_",
            "SPENDING_",
            "WEBHOOK_",
        ];
        assert!(names_a_variable.into_iter().any(|name| problem.contains(name)), "{problem}");
    }
}

fn check_config(config: &Config, role: Role, variables: &BTreeMap<&str, &str>) {
    let cloud = role != Role::Local;
    assert!(!cloud || !config.dataset_bucket.is_empty() && config.token.is_some());
    if let Some(TokenFrom::Given(token)) = &config.token {
        assert_eq!(token.expose_secret(), variables[GIVEN]);
    }
    let urls = [Some(&config.api_url), config.s3_endpoint.as_ref(), config.sqs_endpoint.as_ref()];
    for url in urls.into_iter().flatten().chain([&config.poll_queue_url, &config.retry_queue_url]) {
        assert!(url.is_empty() || url.to_ascii_lowercase().starts_with("http"), "{url}");
        assert!(!url.contains(['?', '#']), "{url}");
    }
    let Policy { batch_inputs_max, batch_bytes_max, attempts_max, collection_deadline_seconds, .. } = config.policy;
    assert!((1..=1_000_000).contains(&batch_inputs_max) && (1_000..=100_000_000).contains(&batch_bytes_max));
    assert!((1..=100).contains(&attempts_max) && (60..=12 * 86_400).contains(&collection_deadline_seconds));
    assert!((1..=86_400).contains(&config.policy.in_doubt_window_seconds));
    assert!(!config.policy.trigger_defaults.contains_key("confirm-cancel"));
    assert!(config.webhook.is_none() || variables.contains_key("WEBHOOK_SECRET") && cloud);
    let encoded = serde_json::to_string(&config.policy).expect("a policy is JSON");
    assert_eq!(serde_json::from_str::<Policy>(&encoded).ok().as_ref(), Some(&config.policy));
}
