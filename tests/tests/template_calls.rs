//! What the code can call, and what the roles allow, compared both ways: nothing is missing, and nothing is allowed that nobody needs.
//!
//! The calls are read from the source of the adapters: every operation of an AWS client, in the file of its port. Which function reaches a
//! port follows from what its `main.rs` uses.
#![expect(clippy::unwrap_used, reason = "everything here is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use dropcollect_tests::template::{self, FUNCTIONS};
use serde_json::{Value, json};

/// An action on a resource of the template.
type Allowed = BTreeSet<(String, String)>;

/// Operations of the SDK, and the permissions that each asks for (service authorization reference of S3, SQS, Secrets Manager, EventBridge).
const OPERATIONS: &[(&str, &[&str])] = &[
    ("get_object", &["s3:GetObject"]),
    ("put_object", &["s3:PutObject"]),
    ("list_objects_v2", &["s3:ListBucket"]),
    ("create_multipart_upload", &["s3:PutObject"]),
    ("upload_part", &["s3:PutObject"]),
    ("complete_multipart_upload", &["s3:PutObject"]),
    ("abort_multipart_upload", &["s3:AbortMultipartUpload"]),
    ("send_message", &["sqs:SendMessage"]),
    ("send_message_batch", &["sqs:SendMessage"]),
    ("change_message_visibility", &["sqs:ChangeMessageVisibility"]),
    ("get_queue_attributes", &["sqs:GetQueueAttributes"]),
    ("get_secret_value", &["secretsmanager:GetSecretValue"]),
    ("put_events", &["events:PutEvents"]),
];

/// Methods of a client that are no operations.
const NO_OPERATIONS: &[&str] = &["clone", "config"];

/// Functions that messages of a queue of their own come to.
const WORKERS: [(&str, &str); 3] = [("trigger", "Input"), ("poll", "Poll"), ("retry", "Retry")];

fn source(path: &str) -> String {
    let path = template::workspace().join("functions").join(path);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // Unit tests call nothing.
    text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned()
}

/// Operations that a piece of source calls: what is called of a client.
fn operations(source: &str) -> BTreeSet<String> {
    let source: String = source.split_whitespace().collect();
    let mut found = BTreeSet::new();
    for client in ["client.", ".events()."] {
        for (at, _) in source.match_indices(client) {
            let name: String = source[at + client.len()..]
                .chars()
                .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
                .collect();
            if !NO_OPERATIONS.contains(&name.as_str()) {
                found.insert(name);
            }
        }
    }
    found
}

fn actions(source: &str) -> BTreeSet<String> {
    let permissions = |operation: &String| {
        let known = OPERATIONS.iter().find(|(name, _)| name == operation);
        known.unwrap_or_else(|| panic!("{operation}: say in OPERATIONS what it asks for")).1
    };
    operations(source).iter().flat_map(permissions).map(|action| (*action).to_owned()).collect()
}

/// What a function can call, by the adapters that it uses.
fn called(function: &str) -> Allowed {
    let mut called = Allowed::new();
    let mut add = |actions: BTreeSet<String>, resource: &str| {
        called.extend(actions.into_iter().map(|action| (action, resource.to_owned())));
    };
    let main = source(&format!("{function}/src/main.rs"));
    let sqs = source("adapters/src/sqs.rs");
    let (queues, deliveries) = sqs.split_once("pub struct SqsDeliveries").unwrap();
    if main.contains("webhook::") {
        // It knows one queue, by the one call that it makes.
        assert!(source("pipeline/src/webhook.rs").contains("queues.send(QueueName::Poll,") && !main.contains("world."));
        add(actions(queues), "PollQueue");
    } else {
        // The pipeline is one: whoever runs it may come to any of its ports.
        assert!(main.contains("world.pipeline"), "{function}");
        add(actions(&source("adapters/src/s3/store.rs")), "DatasetBucket");
        for queue in ["PollQueue", "RetryQueue"] {
            add(actions(queues), queue);
        }
        add(actions(&source("adapters/src/secrets.rs")), "the secret");
        add(actions(&source("adapters/src/notices.rs")), "the event bus");
    }
    if main.contains("world.inputs") {
        add(actions(&source("adapters/src/s3/inputs.rs")), "InputBucket");
        // With a version, S3 asks for another permission; and without those to list, it says 403 of what is gone.
        let gone = ["s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions"];
        add(gone.map(str::to_owned).into(), "InputBucket");
    }
    if main.contains("world.worker")
        && let Some((_, queue)) = WORKERS.iter().find(|(worker, _)| *worker == function)
    {
        for action in actions(deliveries) {
            // A message is set aside in the queue's dead-letter queue; everything else is about the queue itself.
            let of = if action == "sqs:SendMessage" { "DeadLetterQueue" } else { "Queue" };
            add(BTreeSet::from([action]), &format!("{queue}{of}"));
        }
        // What Lambda's poller does with the role of the function (Lambda page "Using Lambda with Amazon SQS").
        let poller = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];
        add(poller.map(str::to_owned).into(), &format!("{queue}Queue"));
    }
    // Lambda writes the log with the role of the function; the group is the template's.
    let logs = ["logs:CreateLogStream", "logs:PutLogEvents"];
    add(logs.map(str::to_owned).into(), &format!("{}Logs", title(function)));
    called
}

fn title(function: &str) -> String {
    let (first, rest) = function.split_at(1);
    format!("{}{rest}", first.to_ascii_uppercase())
}

fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    }
}

/// What a statement is about, in the words of [`called`].
fn resource(value: &Value) -> String {
    let text = value.to_string();
    if let Some(name) = value["Fn::GetAtt"][0].as_str() {
        return name.to_owned();
    }
    match value["Fn::Sub"].as_str() {
        Some(arn) if arn.ends_with(".Arn}/*") => arn.replace("${", "").replace(".Arn}/*", ""),
        Some(arn) if arn.contains(":event-bus/${EventBusName}") => "the event bus".to_owned(),
        _ if text.contains("${ApiTokenSecret}") => "the secret".to_owned(),
        _ => text,
    }
}

/// What the role of a function allows by itself; what parameters add is in `template_options.rs`.
fn allowed(template: &Value, function: &str) -> Allowed {
    let role = &template["Resources"][format!("{}Role", title(function))]["Properties"];
    let mut allowed = Allowed::new();
    for policy in role["Policies"].as_array().unwrap() {
        for statement in policy["PolicyDocument"]["Statement"].as_array().unwrap() {
            if statement["Effect"] != "Allow" {
                continue;
            }
            for action in list(&statement["Action"]) {
                for about in list(&statement["Resource"]) {
                    allowed.insert((action.as_str().unwrap().to_owned(), resource(&about)));
                }
            }
        }
    }
    allowed
}

/// What is missing, and what is allowed although nothing calls it.
fn differences(template: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    for function in FUNCTIONS {
        let (called, allowed) = (called(function), allowed(template, function));
        let told = |what: &str, (action, about): &(String, String)| format!("{function}: {action} on {about} {what}");
        differences.extend(called.difference(&allowed).map(|one| told("is missing", one)));
        differences.extend(allowed.difference(&called).map(|one| told("is not needed", one)));
    }
    differences
}

#[test]
fn roles_allow_what_the_code_calls_and_nothing_else() {
    assert_eq!(differences(&template::load().unwrap()), [] as [String; 0]);
}

#[test]
fn one_permission_less_or_more_is_seen() {
    let template = template::load().unwrap();
    let mut mutations = 0;
    for function in FUNCTIONS {
        let role = format!("{}Role", title(function));
        let path = format!("/Resources/{role}/Properties/Policies/0/PolicyDocument/Statement");
        let statements = template.pointer(&path).unwrap().as_array().unwrap();
        for (index, statement) in statements.iter().enumerate().filter(|(_, statement)| statement["Effect"] == "Allow")
        {
            let actions = list(&statement["Action"]);
            for action in &actions {
                let rest: Vec<_> = actions.iter().filter(|other| *other != action).cloned().collect();
                let mutant = with(&template, &format!("{path}/{index}/Action"), json!(rest));
                assert!(
                    differences(&mutant).iter().any(|told| told.ends_with("is missing")),
                    "{function} without {action}"
                );
                mutations += 1;
            }
            let more: Vec<_> = actions.into_iter().chain([json!("s3:DeleteObject")]).collect();
            let mutant = with(&template, &format!("{path}/{index}/Action"), json!(more));
            assert!(differences(&mutant).iter().any(|told| told.contains("s3:DeleteObject")), "{function} may delete");
            mutations += 1;
        }
    }
    println!("{mutations} mutations of the roles are seen");
    assert!(mutations > 60);
}

fn with(template: &Value, path: &str, value: Value) -> Value {
    let mut mutant = template.clone();
    *mutant.pointer_mut(path).unwrap() = value;
    mutant
}

/// Adapters of the commands of `dropcollect`, with what names them: they run with a person's permissions, and no function comes to them.
const OF_COMMANDS: [(&str, &str); 2] = [("s3/drops.rs", "InputBucket"), ("s3/conditions.rs", "try_conditions")];

/// A call that stands elsewhere would be overlooked.
#[test]
fn only_the_adapters_of_ports_call_aws() {
    let of_commands = OF_COMMANDS.map(|(file, _)| file);
    let known = ["s3/store.rs", "s3/inputs.rs", "sqs.rs", "secrets.rs", "notices.rs"];
    let mut callers = BTreeMap::new();
    visit(&template::workspace().join("functions"), &mut |path, text| {
        let calls: Vec<_> =
            operations(text).into_iter().filter(|name| OPERATIONS.iter().any(|(known, _)| known == name)).collect();
        let sdk = text.contains("aws_sdk_") && text.contains(".send()") && !path.ends_with("tests.rs");
        if sdk || !calls.is_empty() {
            callers.insert(path.to_owned(), calls);
        }
    });
    assert_eq!(callers.len(), known.len() + of_commands.len(), "{callers:#?}");
    for file in known.into_iter().chain(of_commands) {
        assert!(callers.keys().any(|path| path.ends_with(&format!("adapters/src/{file}"))), "{file}: {callers:#?}");
    }
}

#[test]
fn no_function_comes_to_the_adapters_of_the_commands() {
    let mut named = BTreeMap::new();
    visit(&template::workspace().join("functions"), &mut |path, text| {
        for (file, name) in OF_COMMANDS {
            // The file itself, its tests, and the module that passes it on.
            let own = path.ends_with(file) || path.ends_with("adapters/src/s3.rs") || path.contains("/tests");
            if !own && text.contains(name) {
                named.insert(path.to_owned(), name);
            }
        }
    });
    assert!(named.is_empty(), "{named:#?}");
    let passed_on = source("adapters/src/s3.rs");
    assert!(OF_COMMANDS.iter().all(|(_, name)| passed_on.contains(name)), "{OF_COMMANDS:?}");
}

fn visit(folder: &Path, seen: &mut dyn FnMut(&str, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, seen);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            seen(&path.to_string_lossy(), &fs::read_to_string(&path).unwrap());
        }
    }
}
