//! What each function may do, read from the policies in `template.yaml`. That these policies are enough, and that a write to the input bucket is
//! refused, is tried out in `deployment.rs`.
#![expect(clippy::unwrap_used, reason = "everything here is a test")]

use std::sync::LazyLock;

use dropcollect_tests::template;
use serde_json::{Value, json};

const ROLES: [&str; 5] = ["TriggerRole", "PollRole", "RetryRole", "SweepRole", "WebhookRole"];
/// Those that run the pipeline; the other one passes on notices.
const RUNNERS: [&str; 4] = ["TriggerRole", "PollRole", "RetryRole", "SweepRole"];
/// Those that read files.
const READERS: [&str; 2] = ["TriggerRole", "SweepRole"];

static TEMPLATE: LazyLock<Value> = LazyLock::new(|| template::load().unwrap());

fn resource(name: &str) -> Value {
    TEMPLATE["Resources"][name].clone()
}

/// All statements of a role's policies.
fn statements(role: &str) -> Vec<Value> {
    let policies = resource(role)["Properties"]["Policies"].clone();
    let policies = policies.as_array().unwrap().iter();
    policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap().clone()).collect()
}

fn with_effect(role: &str, effect: &str) -> Vec<Value> {
    statements(role).into_iter().filter(|statement| statement["Effect"] == effect).collect()
}

/// A value that may be a list or stand alone.
fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    }
}

/// What a role is allowed to do to the resource whose logical name occurs in the statement's `Resource`.
fn allowed_on(role: &str, name: &str) -> Vec<String> {
    let on = with_effect(role, "Allow");
    let on = on.iter().filter(|statement| {
        list(&statement["Resource"]).iter().any(|resource| {
            let text = resource.to_string();
            text.contains(&format!("\"{name}\"")) || text.contains(&format!("${{{name}."))
        })
    });
    let mut actions: Vec<_> =
        on.flat_map(|statement| list(&statement["Action"])).map(|action| action.as_str().unwrap().to_owned()).collect();
    actions.sort();
    actions
}

/// What roles have only if a parameter asks for it.
const OPTIONS: [(&str, &str); 3] = [("OwnKey", "KeyPolicy"), ("InVpc", "NetworkPolicy"), ("Traced", "TracingPolicy")];

#[test]
fn a_role_has_more_only_if_a_parameter_asks_for_it() {
    let options =
        OPTIONS.map(|(condition, policy)| json!({"Fn::If": [condition, {"Ref": policy}, {"Ref": "AWS::NoValue"}]}));
    for role in ROLES {
        assert_eq!(resource(role)["Properties"]["ManagedPolicyArns"], json!(options), "{role}");
    }
    for (condition, policy) in OPTIONS {
        assert_eq!(resource(policy)["Condition"], condition);
    }
}

#[test]
fn what_a_parameter_adds_is_no_more_than_it_needs() {
    let statements = |policy: &str| resource(policy)["Properties"]["PolicyDocument"]["Statement"].clone();
    let key = json!([{
        "Sid": "UseKey", "Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": {"Ref": "KmsKeyArn"},
    }]);
    assert_eq!(statements("KeyPolicy"), key);
    // X-Ray has no resources for these; EC2 has none before an interface is made, and our own code may do none of it.
    let trace = json!(["xray:PutTraceSegments", "xray:PutTelemetryRecords"]);
    assert_eq!(
        statements("TracingPolicy"),
        json!([{"Sid": "Trace", "Effect": "Allow", "Action": trace, "Resource": "*"}])
    );
    let network = statements("NetworkPolicy");
    let [allowed, denied] = network.as_array().unwrap().as_slice() else { panic!("two statements expected") };
    for action in list(&allowed["Action"]) {
        assert!(action.as_str().unwrap().starts_with("ec2:") && !action.as_str().unwrap().contains('*'), "{action}");
    }
    assert_eq!(
        (&denied["Effect"], &denied["Action"], &denied["Resource"]),
        (&json!("Deny"), &json!("ec2:*"), &json!("*"))
    );
    assert_eq!(denied["Condition"], json!({"Null": {"lambda:SourceFunctionArn": false}}));
}

#[test]
fn a_function_has_its_own_role_and_nothing_beside() {
    for role in ROLES {
        let function = role.replace("Role", "Function");
        let properties = resource(&function)["Properties"].clone();
        assert_eq!(properties["Role"], json!({"Fn::GetAtt": [role, "Arn"]}));
        assert!(properties["Policies"].is_null(), "{function}: SAM would add a policy with wildcards");
    }
}

#[test]
fn only_lambda_takes_the_roles() {
    for role in ROLES {
        let trust = resource(role)["Properties"]["AssumeRolePolicyDocument"]["Statement"].clone();
        assert_eq!(
            trust,
            json!([{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}])
        );
    }
}

#[test]
fn no_action_has_a_wildcard() {
    for role in ROLES {
        for statement in with_effect(role, "Allow") {
            assert!(statement["NotAction"].is_null(), "{role}");
            for action in list(&statement["Action"]) {
                assert!(!action.as_str().unwrap().contains('*'), "{role}: {action}");
            }
        }
    }
}

#[test]
fn no_resource_is_everything() {
    for role in ROLES {
        for statement in with_effect(role, "Allow") {
            assert!(statement["NotResource"].is_null(), "{role}");
            assert!(!list(&statement["Resource"]).is_empty(), "{role}");
            for resource in list(&statement["Resource"]) {
                assert!(resource.is_object(), "{role}: {resource} names no resource of this stack");
            }
        }
    }
}

#[test]
fn only_trigger_and_sweep_read_the_input_bucket() {
    let reads = ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions"];
    for role in ROLES {
        let expected: &[&str] = if READERS.contains(&role) { &reads } else { &[] };
        assert_eq!(allowed_on(role, "InputBucket"), expected, "{role}");
    }
}

#[test]
fn every_write_to_the_input_bucket_is_denied() {
    for role in ROLES {
        let denied = with_effect(role, "Deny");
        let [deny] = denied.as_slice() else { panic!("{role} has {} denials", denied.len()) };
        let everything = json!([{"Fn::GetAtt": ["InputBucket", "Arn"]}, {"Fn::Sub": "${InputBucket.Arn}/*"}]);
        assert_eq!(deny["Resource"], everything, "{role}");
        assert!(deny["Condition"].is_null(), "{role}");
        if READERS.contains(&role) {
            assert!(deny["Action"].is_null());
            for spared in list(&deny["NotAction"]) {
                let spared = spared.as_str().unwrap();
                assert!(spared.starts_with("s3:Get") || spared.starts_with("s3:List"), "{spared}");
                assert!(!spared.contains('*'), "{spared}");
            }
        } else {
            assert_eq!((&deny["Action"], &deny["NotAction"]), (&json!("s3:*"), &Value::Null));
        }
    }
}

#[test]
fn everyone_but_the_webhook_reads_writes_and_lists_datasets_and_nobody_deletes() {
    assert!(allowed_on("WebhookRole", "DatasetBucket").is_empty());
    for role in RUNNERS {
        let actions = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListBucket", "s3:PutObject"];
        assert_eq!(allowed_on(role, "DatasetBucket"), actions, "{role}");
    }
}

#[test]
fn a_missing_key_is_seen_as_missing() {
    // S3 answers 403 in place of 404 to whoever may not list, also when the permission is narrowed to a prefix.
    let inputs = READERS.map(|role| (role, "InputBucket"));
    for (role, bucket) in RUNNERS.map(|role| (role, "DatasetBucket")).into_iter().chain(inputs) {
        let arn = json!({"Fn::GetAtt": [bucket, "Arn"]});
        let lists = |statement: &Value| {
            list(&statement["Action"]).contains(&json!("s3:ListBucket"))
                && statement["Resource"] == arn
                && statement["Condition"].is_null()
        };
        assert!(with_effect(role, "Allow").iter().any(lists), "{role} {bucket}");
    }
}

#[test]
fn messages_go_only_where_the_design_sends_them() {
    let queues = ["InputQueue", "PollQueue", "RetryQueue"];
    let dead = ["InputDeadLetterQueue", "PollDeadLetterQueue", "RetryDeadLetterQueue"];
    for (role, receives, sends) in [
        ("TriggerRole", Some("InputQueue"), vec!["PollQueue", "RetryQueue", "InputDeadLetterQueue"]),
        ("PollRole", Some("PollQueue"), vec!["PollQueue", "RetryQueue", "PollDeadLetterQueue"]),
        ("RetryRole", Some("RetryQueue"), vec!["PollQueue", "RetryQueue", "RetryDeadLetterQueue"]),
        ("SweepRole", None, vec!["PollQueue", "RetryQueue"]),
        ("WebhookRole", None, vec!["PollQueue"]),
    ] {
        for queue in queues.into_iter().chain(dead) {
            let allowed = allowed_on(role, queue);
            let may = |action: &str| allowed.iter().any(|allowed| allowed == action);
            assert_eq!(may("sqs:SendMessage"), sends.contains(&queue), "{role} sends to {queue}");
            for action in
                ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
            {
                assert_eq!(may(action), Some(queue) == receives, "{role} {action} {queue}");
            }
        }
    }
}

#[test]
fn everyone_but_the_webhook_reads_the_one_secret() {
    let webhook = json!(statements("WebhookRole")).to_string();
    assert!(!webhook.contains("secretsmanager") && !webhook.contains("events:"), "{webhook}");
    for role in RUNNERS {
        let allowed = with_effect(role, "Allow");
        let reads: Vec<_> = allowed
            .iter()
            .filter(|statement| list(&statement["Action"]).contains(&json!("secretsmanager:GetSecretValue")))
            .collect();
        let [read] = reads.as_slice() else { panic!("{role}") };
        assert_eq!(read["Action"], "secretsmanager:GetSecretValue");
        let [condition, made, named] = read["Resource"]["Fn::If"].as_array().unwrap().as_slice() else { panic!() };
        assert_eq!((condition, made), (&json!("MakeSecret"), &json!({"Ref": "Secret"})));
        assert!(named["Fn::Sub"].as_str().unwrap().ends_with(":secret:${ApiTokenSecret}-??????"), "{role}");
    }
}

#[test]
fn everyone_logs_to_its_own_group() {
    for role in ROLES {
        let own = role.replace("Role", "Logs");
        assert_eq!(allowed_on(role, &own), ["logs:CreateLogStream", "logs:PutLogEvents"]);
    }
}

#[test]
fn only_the_input_bucket_sends_to_the_input_queue() {
    let statements = resource("InputQueuePolicy")["Properties"]["PolicyDocument"]["Statement"].clone();
    let allowed: Vec<_> = statements.as_array().unwrap().iter().filter(|one| one["Effect"] == "Allow").collect();
    let [statement] = allowed.as_slice() else { panic!("one statement expected") };
    assert_eq!(statement["Principal"], json!({"Service": "s3.amazonaws.com"}));
    assert_eq!(statement["Action"], "sqs:SendMessage");
    assert_eq!(statement["Condition"]["StringEquals"], json!({"aws:SourceAccount": {"Ref": "AWS::AccountId"}}));
    // The name is written down twice, because bucket and policy cannot refer to each other.
    let name = resource("InputBucket")["Properties"]["BucketName"]["Fn::If"][1]["Fn::Sub"][0].clone();
    let arn = statement["Condition"]["ArnEquals"]["aws:SourceArn"]["Fn::If"][1]["Fn::Sub"][0].clone();
    assert_eq!(arn.as_str().unwrap().rsplit(':').next(), name.as_str());
    assert_eq!(resource("InputBucket")["DependsOn"], "InputQueuePolicy");
}
