use super::*;

fn read(role: Role, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Config::from(role, |name| variables.get(name).map(|value| (*value).to_owned()))
}

const LEAST: [(&str, &str); 4] = [
    ("DATASET_BUCKET", "datasets"),
    ("POLL_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/000000000000/poll"),
    ("RETRY_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/000000000000/retry"),
    ("BRIGHT_DATA_API_TOKEN", "secret-token"),
];

fn with(more: &[(&'static str, &'static str)]) -> Result<Config, ConfigError> {
    read(Role::Poll, &[&LEAST, more].concat())
}

#[test]
fn the_least_gives_the_defaults() {
    let config = with(&[]).unwrap();
    assert_eq!(config.policy, Policy::default());
    assert_eq!(config.api_url, API_URL);
    assert_eq!((config.s3_endpoint, config.sqs_endpoint), (None, None));
    // As a template passes on parameters that were left empty.
    assert_eq!(with(&[("BATCH_INPUTS_MAX", ""), ("TRIGGER_QUEUE", " ")]).unwrap().policy, Policy::default());
}

#[test]
fn everything_can_be_set() {
    let config = with(&[
        ("BRIGHT_DATA_API_URL", "http://127.0.0.1:8080"),
        ("BRIGHT_DATA_COLLECTOR_ID", "c_mp3tuab31lswoxvpws"),
        ("BATCH_INPUTS_MAX", "10"),
        ("BATCH_BYTES_MAX", "2000"),
        ("ATTEMPTS_MAX", "1"),
        ("COLLECTION_DEADLINE_SECONDS", "1036800"),
        ("RETRY_UNATTRIBUTED", "false"),
        ("RETRY_CODES", "dead_page=60x1,net_err_*=never"),
        ("OUTPUT_FORMAT", "json"),
        ("OUTPUT_COMPRESSION", "gzip"),
        ("ON_IN_DOUBT", "hold"),
        ("IN_DOUBT_WINDOW_SECONDS", "900"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
        ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:4567"),
        ("TRIGGER_VERSION", "dev"),
        ("TRIGGER_QUEUE", "my queue"),
        ("TRIGGER_QUEUE_NEXT", "0"),
        ("TRIGGER_DEADLINE", "30m"),
        ("TRIGGER_NO_DOWNLOADS", "1"),
        ("TRIGGER_OVERRIDE_INCOMPATIBLE_SCHEMA", "1"),
        ("TRIGGER_OVERRIDE_INCOMPATIBLE_INPUT_SCHEMA", "1"),
    ])
    .unwrap();
    let defaults = [
        ("deadline", "30m"),
        ("no-downloads", "1"),
        ("override-incompatible-input-schema", "1"),
        ("override-incompatible-schema", "1"),
        ("queue", "my queue"),
        ("queue-next", "0"),
        ("version", "dev"),
    ];
    let expected = Policy {
        default_collector: Some("c_mp3tuab31lswoxvpws".into()),
        batch_inputs_max: 10,
        batch_bytes_max: 2_000,
        attempts_max: 1,
        collection_deadline_seconds: 1_036_800,
        retry_unattributed: false,
        retry_codes: pipeline::decisions::overrides("net_err_*=never dead_page=60x1").unwrap(),
        output_format: OutputFormat::Json,
        output_compression: OutputCompression::Gzip,
        on_in_doubt: OnInDoubt::Hold,
        in_doubt_window_seconds: 900,
        trigger_defaults: defaults.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    assert_eq!(config.policy, expected);
    assert_eq!(config.api_url, "http://127.0.0.1:8080");
    assert_eq!(config.s3_endpoint.as_deref(), Some("http://127.0.0.1:4566"));
    assert_eq!(config.sqs_endpoint.as_deref(), Some("http://127.0.0.1:4567"));
}

#[test]
fn all_problems_are_told_with_their_variables() {
    let ConfigError(problems) = read(
        Role::Poll,
        &[
            ("POLL_QUEUE_URL", "poll"),
            ("BATCH_INPUTS_MAX", "0"),
            ("BATCH_BYTES_MAX", "5 MB"),
            ("ATTEMPTS_MAX", "-1"),
            ("COLLECTION_DEADLINE_SECONDS", "1036801"),
            ("RETRY_UNATTRIBUTED", "yes"),
            ("RETRY_CODES", "dead_page"),
            ("OUTPUT_FORMAT", "csv"),
            ("OUTPUT_COMPRESSION", "zstd"),
            ("ON_IN_DOUBT", "ask"),
            ("BRIGHT_DATA_COLLECTOR_ID", "abc"),
            ("BRIGHT_DATA_API_URL", "https://user:pass@api.example"),
            ("AWS_ENDPOINT_URL_S3", "localhost:4566"),
            ("TRIGGER_DEADLINE", "1 day"),
            ("TRIGGER_QUEUE_NEXT", "yes"),
        ],
    )
    .unwrap_err();
    let golden = [
        "DATASET_BUCKET is not set",
        r#"POLL_QUEUE_URL is "poll", but must be an address with http:// or https://, without user and query"#,
        "RETRY_QUEUE_URL is not set",
        "neither BRIGHT_DATA_API_TOKEN nor BRIGHT_DATA_API_TOKEN_SECRET is set",
        r#"BRIGHT_DATA_API_URL is "https://user:pass@api.example", but must be an address with http:// or https://, without user and query"#,
        r#"AWS_ENDPOINT_URL_S3 is "localhost:4566", but must be an address with http:// or https://, without user and query"#,
        r#"BRIGHT_DATA_COLLECTOR_ID is "abc", but must be a collector id: c_ and lower-case letters and digits"#,
        r#"BATCH_INPUTS_MAX is "0", but must be a whole number from 1 to 1000000"#,
        r#"BATCH_BYTES_MAX is "5 MB", but must be a whole number from 1000 to 100000000"#,
        r#"ATTEMPTS_MAX is "-1", but must be a whole number from 1 to 100"#,
        r#"COLLECTION_DEADLINE_SECONDS is "1036801", but must be a whole number from 60 to 1036800"#,
        r#"RETRY_UNATTRIBUTED is "yes", but must be true or false"#,
        r#"RETRY_CODES is "dead_page", but must be codes and what follows, such as dead_page=never,blocked=60x2 (`never`, seconds from 0 to 900, or seconds and how often, such as `60x1`)"#,
        r#"OUTPUT_FORMAT is "csv", but must be ndjson or json"#,
        r#"OUTPUT_COMPRESSION is "zstd", but must be none or gzip"#,
        r#"ON_IN_DOUBT is "ask", but must be reconcile or hold or retrigger"#,
        r#"TRIGGER_QUEUE_NEXT is "yes", but must be 1 or 0"#,
        r#"TRIGGER_DEADLINE is "1 day", but must be a number and h, m or s, such as 1h, 30m, 45s"#,
    ];
    assert_eq!(problems, golden);
}

#[test]
fn roles_need_different_things() {
    let without = |name: &str| LEAST.into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    for role in [Role::Trigger, Role::Poll, Role::Retry, Role::Sweep] {
        assert!(read(role, &without("RETRY_QUEUE_URL")).is_err());
    }
    assert!(read(Role::Trigger, &without("POLL_QUEUE_URL")).is_err());
    assert!(read(Role::Local, &[]).unwrap().token.is_none());
}

#[test]
fn the_token_is_never_told() {
    let config = with(&[]).unwrap();
    assert!(!format!("{config:?}").contains("secret-token"));
    let both = with(&[("BRIGHT_DATA_API_TOKEN_SECRET", "name")]).unwrap_err().to_string();
    assert!(both.contains("both set") && !both.contains("secret-token"), "{both}");
    let spaces = [&LEAST[..3], &[("BRIGHT_DATA_API_TOKEN", "secret token")]].concat();
    let spaces = read(Role::Poll, &spaces).unwrap_err().to_string();
    assert!(spaces.contains("BRIGHT_DATA_API_TOKEN") && !spaces.contains("secret token"), "{spaces}");
    let secret = [&LEAST[..3], &[("BRIGHT_DATA_API_TOKEN_SECRET", "name")]].concat();
    assert!(matches!(read(Role::Poll, &secret).unwrap().token, Some(TokenFrom::Secret(name)) if name == "name"));
}

#[test]
fn notices_need_an_address_and_a_secret_that_is_never_told() {
    const URL: (&str, &str) = ("WEBHOOK_URL", "https://abc.lambda-url.us-east-1.on.aws/");
    const SECRET: (&str, &str) = ("WEBHOOK_SECRET", "0123456789abcdef0123");
    let webhook = with(&[URL, SECRET]).unwrap().webhook.unwrap();
    assert_eq!(webhook.address, URL.1);
    assert!(!format!("{:?}", with(&[URL, SECRET]).unwrap()).contains(SECRET.1));
    // As a template without notices passes them on.
    for none in [vec![], vec![("WEBHOOK_URL", ""), ("WEBHOOK_SECRET", "")], vec![SECRET]] {
        assert_eq!(with(&none).unwrap().webhook, None, "{none:?}");
    }
    let short = ("WEBHOOK_SECRET", "0123456789abcdef012");
    for (variables, problem) in [
        (vec![URL], "WEBHOOK_SECRET is not set"),
        (vec![URL, short], "WEBHOOK_SECRET is too short: it needs 20 characters"),
        (vec![("WEBHOOK_URL", "nowhere"), SECRET], "WEBHOOK_URL is \"nowhere\", but must be an address"),
    ] {
        let error = with(&variables).unwrap_err().to_string();
        assert!(error.contains(problem) && !error.contains(short.1), "{error}");
    }
    // A laptop cannot be reached.
    assert_eq!(read(Role::Local, &[URL, SECRET]).unwrap().webhook, None);
    // Who takes notices has no token, and asks for no notices itself.
    let bare = &LEAST[..3];
    let takes = read(Role::Webhook, &[bare, &[SECRET]].concat()).unwrap();
    assert!(takes.token.is_none() && takes.webhook.is_some());
    let error = read(Role::Webhook, bare).unwrap_err().to_string();
    assert!(error.contains("WEBHOOK_SECRET is not set"), "{error}");
}
