//! What `template.yaml` promises beyond what the linters look at: neither of them notices a misspelt `ReportBatchItemFailures`, a
//! visibility time-out that is too short, or a bucket that the functions could write to. Permissions: `template_permissions.rs`; what a
//! parameter adds to every resource, and what a person sees of the stack: `template_options.rs`.
#![expect(clippy::unwrap_used, reason = "everything here is a test")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use adapters::config::{Config, Role};
use adapters::telemetry;
use dropcollect_tests::template;
use pipeline::policy::{Policy, limits};
use serde_json::{Value, json};

/// Function, and its binary.
const FUNCTIONS: [(&str, &str); 5] = [
    ("TriggerFunction", "trigger"),
    ("PollFunction", "poll"),
    ("RetryFunction", "retry"),
    ("SweepFunction", "sweep"),
    ("WebhookFunction", "webhook"),
];
/// Function that works on messages, its queue, and the event of the function that names the queue.
const WORKERS: [(&str, &str, &str); 3] = [
    ("TriggerFunction", "InputQueue", "Input"),
    ("PollFunction", "PollQueue", "Poll"),
    ("RetryFunction", "RetryQueue", "Retry"),
];
const DEAD_LETTER_QUEUES: [&str; 3] = ["InputDeadLetterQueue", "PollDeadLetterQueue", "RetryDeadLetterQueue"];
const BUCKETS: [&str; 2] = ["InputBucket", "DatasetBucket"];
const FOURTEEN_DAYS: i64 = 14 * 86_400;

static TEMPLATE: LazyLock<Value> = LazyLock::new(|| template::load().unwrap());

fn at(pointer: &str) -> Value {
    TEMPLATE.pointer(pointer).cloned().unwrap_or(Value::Null)
}

fn property(resource: &str, path: &str) -> Value {
    at(&format!("/Resources/{resource}/Properties/{path}"))
}

fn number(resource: &str, path: &str) -> i64 {
    property(resource, path).as_i64().unwrap_or_else(|| panic!("{resource} has no number {path}"))
}

fn event(function: &str, event: &str, path: &str) -> Value {
    property(function, &format!("Events/{event}/Properties/{path}"))
}

fn resources_of(kind: &str) -> Vec<String> {
    let resources = at("/Resources");
    let found = resources.as_object().unwrap().iter().filter(|(_, resource)| resource["Type"] == kind);
    found.map(|(name, _)| name.clone()).collect()
}

fn sorted<const N: usize>(names: [&str; N]) -> Vec<String> {
    let mut names: Vec<_> = names.into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

// ---- functions ----

#[test]
fn there_are_exactly_five_functions() {
    assert_eq!(resources_of("AWS::Serverless::Function"), sorted(FUNCTIONS.map(|(function, _)| function)));
}

#[test]
fn functions_are_built_by_cargo_lambda_for_the_chosen_processor() {
    assert_eq!(at("/Globals/Function/Runtime"), "provided.al2023");
    assert_eq!(at("/Globals/Function/Architectures"), json!([{"Ref": "Architecture"}]));
    for (function, binary) in FUNCTIONS {
        let metadata = at(&format!("/Resources/{function}/Metadata"));
        assert_eq!(metadata, json!({"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": binary}}));
        let package = format!("functions/{binary}");
        assert_eq!(property(function, "CodeUri"), package);
        assert!(template::workspace().join(package).join("src/main.rs").is_file());
    }
}

#[test]
fn a_function_ends_within_lambdas_limit() {
    for (function, ..) in FUNCTIONS {
        assert!((1..=900).contains(&number(function, "Timeout")), "{function}");
    }
}

#[test]
fn one_message_at_a_time() {
    for (function, _, name) in WORKERS {
        assert_eq!(event(function, name, "BatchSize"), 1, "{function}");
    }
}

#[test]
fn each_function_is_fed_by_its_own_queue() {
    for (function, queue, name) in WORKERS {
        let events = property(function, "Events");
        assert_eq!(events.as_object().map(|events| events.len()), Some(1), "{function}");
        assert_eq!(event(function, name, "Queue"), json!({"Fn::GetAtt": [queue, "Arn"]}));
        assert_eq!(events[name]["Type"], "SQS");
    }
}

#[test]
fn the_sweep_runs_by_the_clock_and_only_then() {
    let hourly = json!({"Hourly": {"Type": "Schedule", "Properties": {"Schedule": "rate(1 hour)"}}});
    assert_eq!(property("SweepFunction", "Events"), hourly);
}

#[test]
fn a_sweep_that_failed_is_not_repeated() {
    // Lambda repeats an asynchronous call twice unless it is told not to, and whatever made it fail is still there.
    assert_eq!(property("SweepFunction", "EventInvokeConfig"), json!({"MaximumRetryAttempts": 0}));
    for (function, ..) in WORKERS {
        assert!(property(function, "EventInvokeConfig").is_null(), "{function}: a queue does not call asynchronously");
    }
}

#[test]
fn the_sweep_ends_before_the_next_one_begins() {
    assert!(number("SweepFunction", "Timeout") <= 3_600);
}

/// Everything about it is only there if notices are asked for.
#[test]
fn notices_come_to_an_address_of_one_function_only_if_they_are_asked_for() {
    assert_eq!(property("WebhookFunction", "FunctionUrlConfig"), json!({"AuthType": "NONE"}));
    assert!(property("WebhookFunction", "Events").is_null());
    let resources = at("/Resources");
    let conditional = resources.as_object().unwrap().iter().filter(|(_, one)| one["Condition"] == "TakesNotices");
    let conditional: Vec<_> = conditional.map(|(name, _)| name.clone()).collect();
    assert_eq!(conditional, ["WebhookFunction", "WebhookLogs", "WebhookRole"]);
    for (name, output) in at("/Outputs").as_object().unwrap() {
        let expected = if name.starts_with("Webhook") { json!("TakesNotices") } else { Value::Null };
        assert_eq!(output["Condition"], expected, "{name}");
    }
    // The API is asked to wait for 30 s by its sibling's documentation.
    assert!(number("WebhookFunction", "Timeout") < 30);
    let pattern = at("/Parameters/WebhookSecret/AllowedPattern");
    let shortest = format!("{{{},", pipeline::webhook::SECRET_BYTES_MIN);
    assert!(pattern.as_str().unwrap().contains(&shortest), "{pattern}");
}

#[test]
fn a_message_that_waits_is_reported_as_a_batch_item_failure() {
    for (function, _, name) in WORKERS {
        assert_eq!(event(function, name, "FunctionResponseTypes"), json!(["ReportBatchItemFailures"]), "{function}");
    }
}

#[test]
fn concurrency_is_bounded_at_the_queue() {
    for (function, _, name) in WORKERS {
        let bound = event(function, name, "ScalingConfig/MaximumConcurrency");
        assert_eq!(bound, json!({"Ref": "MaxConcurrency"}), "{function}");
        assert!(property(function, "ReservedConcurrentExecutions").is_null(), "{function}");
    }
    assert_eq!(at("/Parameters/MaxConcurrency/MinValue"), 2);
}

#[test]
fn lambdas_loop_guard_is_off_for_the_legitimate_loop_only() {
    assert!(at("/Globals/Function/RecursiveLoop").is_null());
    assert!(property("TriggerFunction", "RecursiveLoop").is_null());
    assert_eq!(property("PollFunction", "RecursiveLoop"), "Allow");
    assert_eq!(property("RetryFunction", "RecursiveLoop"), "Allow");
    // It sends to the poll queue, but no message leads back to it.
    assert!(property("SweepFunction", "RecursiveLoop").is_null());
}

#[test]
fn logs_are_json_and_do_not_stay_for_ever() {
    for (function, binary) in FUNCTIONS {
        let logs = function.replace("Function", "Logs");
        // CloudWatch reads the sweep's metrics from its log.
        assert_eq!(property(&logs, "LogGroupName/Fn::Sub"), format!("/aws/lambda/${{AWS::StackName}}-{binary}"));
        assert_eq!(property(function, "LoggingConfig/LogFormat"), "JSON");
        assert_eq!(property(function, "LoggingConfig/LogGroup"), json!({"Ref": logs}));
        assert_eq!(property(&logs, "RetentionInDays"), json!({"Ref": "LogRetentionDays"}));
    }
}

// ---- settings ----

/// The variables that a function of this role asks for.
fn asked(role: Role) -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    // Nothing is set, so it asks for all of them, and cannot start.
    let config = Config::from(role, |name| {
        asked.borrow_mut().insert(name.to_owned());
        None
    });
    assert!(config.is_err());
    asked.into_inner()
}

#[test]
fn every_variable_that_the_code_reads_is_set_and_every_one_that_is_set_is_read() {
    let variables = at("/Globals/Function/Environment/Variables");
    let set: BTreeSet<_> = variables.as_object().unwrap().keys().cloned().collect();
    let roles = [Role::Trigger, Role::Poll, Role::Retry, Role::Sweep, Role::Webhook];
    let mut read: BTreeSet<_> = roles.into_iter().flat_map(asked).collect();
    // Not for a stack: the token itself, and another AWS.
    for other in ["BRIGHT_DATA_API_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS"] {
        assert!(read.remove(other), "{other} is not read");
    }
    // The one that is read outside of `config`, by `telemetry`.
    read.insert("RUST_LOG".to_owned());
    // The address of notices is a function's, which cannot refer to itself: the others have it each.
    assert!(read.remove("WEBHOOK_URL"));
    assert_eq!(set, read);
    let address = json!({"Fn::GetAtt": ["WebhookFunctionUrl", "FunctionUrl"]});
    let own = json!({"Variables": {"WEBHOOK_URL": {"Fn::If": ["TakesNotices", address, ""]}}});
    for (function, ..) in FUNCTIONS {
        let expected = if function == "WebhookFunction" { &Value::Null } else { &own };
        assert_eq!(property(function, "Environment"), *expected, "{function}");
    }
}

#[test]
fn the_log_is_filtered_by_the_code_so_that_metrics_are_never_dropped() {
    // Lambda takes a line without a level for INFO.
    for (function, ..) in FUNCTIONS {
        assert_eq!(property(function, "LoggingConfig/ApplicationLogLevel"), "TRACE", "{function}");
    }
    assert_eq!(at("/Globals/Function/Environment/Variables/RUST_LOG"), json!({"Ref": "LogLevel"}));
    for level in at("/Parameters/LogLevel/AllowedValues").as_array().unwrap() {
        let directives = telemetry::directives(|name| (name == "RUST_LOG").then(|| level.as_str().unwrap().to_owned()));
        let level = level.as_str().unwrap().to_lowercase();
        assert!(directives.contains(&format!("pipeline={level}")), "{level}: {directives}");
    }
}

#[test]
fn a_running_job_is_never_replaced_by_default() {
    assert!(at("/Globals/Function/Environment/Variables/TRIGGER_CONFIRM_CANCEL").is_null());
}

#[test]
fn defaults_are_those_of_the_code() {
    let policy = serde_json::to_value(Policy::default()).unwrap();
    for (parameter, field) in [
        ("BatchInputsMax", "batch_inputs_max"),
        ("BatchBytesMax", "batch_bytes_max"),
        ("AttemptsMax", "attempts_max"),
        ("CollectionDeadlineSeconds", "collection_deadline_seconds"),
        ("RetryUnattributed", "retry_unattributed"),
        ("OutputFormat", "output_format"),
        ("OutputCompression", "output_compression"),
        ("OnInDoubt", "on_in_doubt"),
        ("InDoubtWindowSeconds", "in_doubt_window_seconds"),
    ] {
        let template = at(&format!("/Parameters/{parameter}/Default"));
        let plain = |value: &Value| value.to_string().trim_matches('"').to_owned();
        assert_eq!(plain(&template), plain(&policy[field]), "{parameter}");
    }
    assert_eq!(at("/Parameters/ApiUrl/Default"), "https://api.brightdata.com");
}

#[test]
fn the_deadline_is_never_longer_than_results_are_kept() {
    let longest = at("/Parameters/CollectionDeadlineSeconds/MaxValue");
    assert_eq!(longest.as_u64(), Some(u64::from(limits::COLLECTION_DEADLINE_SECONDS_MAX)));
}

#[test]
fn every_parameter_says_what_it_is_for() {
    for (name, parameter) in at("/Parameters").as_object().unwrap() {
        assert!(parameter["Description"].as_str().is_some_and(|text| text.len() > 20), "{name}");
    }
}

#[test]
fn the_token_is_never_shown() {
    assert_eq!(at("/Parameters/ApiToken/NoEcho"), true);
    assert!(at("/Globals/Function/Environment/Variables/BRIGHT_DATA_API_TOKEN").is_null());
    assert!(!at("/Outputs").to_string().contains("ApiToken\""));
}

// ---- queues ----

#[test]
fn a_message_stays_hidden_six_times_as_long_as_its_function_may_run() {
    for (function, queue, _) in WORKERS {
        let hidden = number(queue, "VisibilityTimeout");
        assert!(hidden >= 6 * number(function, "Timeout"), "{queue}");
        assert!(hidden <= 43_200, "{queue}: SQS allows 12 hours");
    }
}

#[test]
fn every_queue_has_a_dead_letter_queue_of_its_own() {
    for ((_, queue, _), dead) in WORKERS.into_iter().zip(DEAD_LETTER_QUEUES) {
        let target = property(queue, "RedrivePolicy/deadLetterTargetArn");
        assert_eq!(target, json!({"Fn::GetAtt": [dead, "Arn"]}));
    }
}

#[test]
fn a_dead_letter_queue_takes_from_its_own_queue_only() {
    for ((_, queue, _), dead) in WORKERS.into_iter().zip(DEAD_LETTER_QUEUES) {
        let allowed = property(dead, "RedriveAllowPolicy");
        assert_eq!(allowed["redrivePermission"], "byQueue", "{dead}");
        // The name is written down twice, because the two queues cannot refer to each other.
        let name = property(queue, "QueueName/Fn::Sub/0");
        let arn = allowed["sourceQueueArns"][0]["Fn::Sub"][0].clone();
        assert_eq!(arn.as_str().unwrap().rsplit(':').next(), name.as_str(), "{dead}");
        assert_eq!(allowed["sourceQueueArns"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn messages_live_as_long_as_sqs_keeps_them() {
    for queue in resources_of("AWS::SQS::Queue") {
        assert_eq!(number(&queue, "MessageRetentionPeriod"), FOURTEEN_DAYS, "{queue}");
    }
}

#[test]
fn a_message_may_come_back_as_often_as_waiting_needs() {
    // 1000 is the greatest count that SQS takes.
    assert_eq!(number("PollQueue", "RedrivePolicy/maxReceiveCount"), 1000);
    // Nothing waits in the retry queue. The function sets a message aside, with the reason, at its tenth failure: well before the queue
    // does it without one.
    assert_eq!(number("RetryQueue", "RedrivePolicy/maxReceiveCount"), 20);
    assert!((10..=100).contains(&number("InputQueue", "RedrivePolicy/maxReceiveCount")));
}

#[test]
fn queues_take_the_largest_message_and_encrypt_it() {
    let queues = resources_of("AWS::SQS::Queue");
    assert_eq!(queues.len(), 6);
    for queue in queues {
        assert_eq!(number(&queue, "MaximumMessageSize"), 1_048_576, "{queue}");
        let sse = json!({"Fn::If": ["OwnKey", false, true]});
        assert_eq!(property(&queue, "SqsManagedSseEnabled"), sse, "{queue}");
    }
}

#[test]
fn queues_are_reached_by_tls_only() {
    for queue in resources_of("AWS::SQS::Queue") {
        let policy = format!("{queue}Policy");
        // SQS keeps one policy of a queue: a second resource would overwrite the first.
        assert_eq!(property(&policy, "Queues"), json!([{"Ref": queue}]));
        let statements = property(&policy, "PolicyDocument/Statement");
        let only_tls: Vec<_> = statements.as_array().unwrap().iter().filter(|one| template::is_only_tls(one)).collect();
        let [statement] = only_tls.as_slice() else { panic!("{policy} has {} such statements", only_tls.len()) };
        assert_eq!((&statement["Principal"], &statement["Action"]), (&json!("*"), &json!("sqs:*")));
        assert_eq!(statement["Resource"], json!({"Fn::GetAtt": [queue, "Arn"]}));
    }
    assert_eq!(resources_of("AWS::SQS::QueuePolicy").len(), 6);
}

#[test]
fn no_change_of_a_parameter_replaces_a_queue() {
    // Messages in flight would go with it. A name is all that replaces a standard queue.
    let id = json!({"Id": {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}});
    for queue in resources_of("AWS::SQS::Queue") {
        assert!(property(&queue, "FifoQueue").is_null(), "{queue}");
        let name = property(&queue, "QueueName");
        assert!(name.is_null() || name["Fn::Sub"][1] == id, "{queue}");
    }
}

// ---- buckets ----

#[test]
fn there_are_exactly_two_buckets() {
    assert_eq!(resources_of("AWS::S3::Bucket"), sorted(BUCKETS));
}

#[test]
fn only_the_input_bucket_starts_runs() {
    let configured = property("InputBucket", "NotificationConfiguration/QueueConfigurations");
    assert_eq!(configured, json!([{"Event": "s3:ObjectCreated:*", "Queue": {"Fn::GetAtt": ["InputQueue", "Arn"]}}]));
    assert!(property("DatasetBucket", "NotificationConfiguration").is_null());
}

#[test]
fn buckets_are_private_encrypted_and_outlive_the_stack() {
    for bucket in BUCKETS {
        let block = property(bucket, "PublicAccessBlockConfiguration");
        for setting in ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"] {
            assert_eq!(block[setting], true, "{bucket} {setting}");
        }
        let encryption =
            "BucketEncryption/ServerSideEncryptionConfiguration/0/ServerSideEncryptionByDefault/SSEAlgorithm";
        assert_eq!(property(bucket, encryption), json!({"Fn::If": ["OwnKey", "aws:kms", "AES256"]}));
        assert_eq!(at(&format!("/Resources/{bucket}/DeletionPolicy")), "RetainExceptOnCreate");
        assert_eq!(at(&format!("/Resources/{bucket}/UpdateReplacePolicy")), "Retain");
    }
}

#[test]
fn buckets_are_reached_by_tls_only() {
    for bucket in BUCKETS {
        let policy = format!("{bucket}Policy");
        assert_eq!(property(&policy, "Bucket"), json!({"Ref": bucket}));
        let statement = property(&policy, "PolicyDocument/Statement/0");
        assert_eq!(statement["Effect"], "Deny");
        assert_eq!((&statement["Principal"], &statement["Action"]), (&json!("*"), &json!("s3:*")));
        assert_eq!(statement["Condition"], json!({"Bool": {"aws:SecureTransport": false}}));
    }
}

#[test]
fn uploads_that_nobody_completes_are_swept_away() {
    for bucket in BUCKETS {
        let rules = property(bucket, "LifecycleConfiguration/Rules");
        let days = |rule: &Value| rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"].as_i64();
        assert_eq!(rules.as_array().unwrap().iter().find_map(days), Some(2), "{bucket}");
    }
}

#[test]
fn of_the_dataset_bucket_only_the_ledger_and_status_expire() {
    let rules = property("DatasetBucket", "LifecycleConfiguration/Rules");
    let expiring = rules.as_array().unwrap().iter().filter(|rule| rule.to_string().contains("Expiration"));
    let expiring: Vec<_> = expiring.map(|rule| (rule["Prefix"].clone(), rule["ExpirationInDays"].clone())).collect();
    // A run is known, and shown, as long as its records are there; what was paid for stays.
    let days = json!({"Ref": "LedgerRetentionDays"});
    assert_eq!(expiring, [(json!("ledger/"), days.clone()), (json!("status/"), days)]);
}

#[test]
fn the_ledger_outlives_every_event_that_is_still_acted_on() {
    let shortest = at("/Parameters/LedgerRetentionDays/MinValue").as_i64().unwrap();
    assert!(shortest >= 60);
    assert!(shortest * 86_400 > limits::EVENT_AGE_MAX_SECONDS);
}

#[test]
fn replaced_input_outlives_every_event_that_is_still_acted_on() {
    assert_eq!(property("InputBucket", "VersioningConfiguration/Status"), "Enabled");
    let rules = property("InputBucket", "LifecycleConfiguration/Rules");
    let days = |rule: &Value| rule["NoncurrentVersionExpiration"]["NoncurrentDays"].as_i64();
    let days = rules.as_array().unwrap().iter().find_map(days).unwrap();
    assert!(days * 86_400 > limits::EVENT_AGE_MAX_SECONDS);
}

#[test]
fn names_that_people_need_are_outputs() {
    let outputs = at("/Outputs");
    for (function, _) in FUNCTIONS {
        assert_eq!(outputs[function]["Value"], json!({"Ref": function}));
    }
    for (_, queue, _) in WORKERS {
        assert_eq!(outputs[format!("{queue}Url")]["Value"], json!({"Ref": queue}));
    }
    for dead in DEAD_LETTER_QUEUES {
        assert_eq!(outputs[format!("{dead}Url")]["Value"], json!({"Ref": dead}));
    }
    for bucket in BUCKETS {
        assert_eq!(outputs[bucket]["Value"], json!({"Ref": bucket}));
    }
}
