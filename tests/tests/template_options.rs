//! What parameters of `template.yaml` add only if they are given (a key, a VPC, traces), what every resource has (tags), and what a person
//! sees of the stack: its outputs and its description as an application.
#![expect(clippy::unwrap_used, reason = "everything here is a test")]

use std::sync::LazyLock;

use dropcollect_tests::template;
use serde_json::{Value, json};

static TEMPLATE: LazyLock<Value> = LazyLock::new(|| template::load().unwrap());

fn at(pointer: &str) -> Value {
    TEMPLATE.pointer(pointer).cloned().unwrap_or(Value::Null)
}

/// Names and properties of all resources of a type.
fn properties_of(kind: &str) -> Vec<(String, Value)> {
    let resources = at("/Resources");
    let found = resources.as_object().unwrap().iter().filter(|(_, resource)| resource["Type"] == kind);
    found.map(|(name, resource)| (name.clone(), resource["Properties"].clone())).collect()
}

/// The value if the condition holds, and nothing otherwise.
fn only_if(condition: &str, value: &Value) -> Value {
    json!({"Fn::If": [condition, value, {"Ref": "AWS::NoValue"}]})
}

// ---- a key of one's own ----

#[test]
fn with_a_key_of_ones_own_everything_at_rest_is_encrypted_with_it() {
    assert_eq!(at("/Parameters/KmsKeyArn/Default"), "");
    assert_eq!(at("/Conditions/OwnKey"), json!({"Fn::Not": [{"Fn::Equals": [{"Ref": "KmsKeyArn"}, ""]}]}));
    let key = only_if("OwnKey", &json!({"Ref": "KmsKeyArn"}));
    for (name, bucket) in properties_of("AWS::S3::Bucket") {
        let rules = &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"];
        let expected = json!([{
            "ServerSideEncryptionByDefault": {
                "SSEAlgorithm": {"Fn::If": ["OwnKey", "aws:kms", "AES256"]},
                "KMSMasterKeyID": key,
            },
            "BucketKeyEnabled": only_if("OwnKey", &json!(true)),
        }]);
        assert_eq!(*rules, expected, "{name}");
    }
    for (kind, property) in [
        ("AWS::SQS::Queue", "KmsMasterKeyId"),
        ("AWS::Logs::LogGroup", "KmsKeyId"),
        ("AWS::SecretsManager::Secret", "KmsKeyId"),
        ("AWS::SNS::Topic", "KmsMasterKeyId"),
    ] {
        let found = properties_of(kind);
        assert!(!found.is_empty(), "{kind}");
        for (name, properties) in found {
            assert_eq!(properties[property], key, "{name}");
        }
    }
}

// ---- a VPC ----

#[test]
fn functions_are_in_a_vpc_only_if_subnets_are_given() {
    for parameter in ["SubnetIds", "SecurityGroupIds"] {
        assert_eq!(at(&format!("/Parameters/{parameter}/Type")), "CommaDelimitedList");
        assert_eq!(at(&format!("/Parameters/{parameter}/Default")), "");
    }
    let network = json!({"SubnetIds": {"Ref": "SubnetIds"}, "SecurityGroupIds": {"Ref": "SecurityGroupIds"}});
    assert_eq!(at("/Globals/Function/VpcConfig"), only_if("InVpc", &network));
    for (name, function) in properties_of("AWS::Serverless::Function") {
        assert!(function["VpcConfig"].is_null(), "{name} has a network of its own");
    }
}

// ---- traces ----

#[test]
fn nothing_is_traced_unless_it_is_asked_for() {
    assert_eq!(at("/Parameters/Tracing/Default"), "PassThrough");
    assert_eq!(at("/Parameters/Tracing/AllowedValues"), json!(["PassThrough", "Active"]));
    assert_eq!(at("/Globals/Function/Tracing"), json!({"Ref": "Tracing"}));
    assert_eq!(at("/Conditions/Traced"), json!({"Fn::Equals": [{"Ref": "Tracing"}, "Active"]}));
}

// ---- tags ----

/// Types of resources that have tags as a list of keys and values.
const TAGGED: [&str; 7] = [
    "AWS::CloudWatch::Alarm",
    "AWS::SNS::Topic",
    "AWS::IAM::Role",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
];
/// Types that cannot be tagged.
const UNTAGGED: [&str; 7] = [
    "AWS::CloudWatch::Dashboard",
    // It has tags since 2025, but not every linter knows them.
    "AWS::Events::Rule",
    "AWS::IAM::ManagedPolicy",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
];

#[test]
fn every_resource_says_which_application_and_which_stack_it_belongs_to() {
    let name = json!({"Ref": "AWS::StackName"});
    let tags = json!([{"Key": "application", "Value": "dropcollect"}, {"Key": "stack", "Value": name}]);
    for (resource, content) in at("/Resources").as_object().unwrap() {
        let kind = content["Type"].as_str().unwrap();
        if TAGGED.contains(&kind) {
            assert_eq!(content["Properties"]["Tags"], tags, "{resource}");
        } else if kind != "AWS::Serverless::Function" {
            assert!(UNTAGGED.contains(&kind), "{resource}: say here whether a resource of type {kind} has tags");
        }
    }
    assert_eq!(at("/Globals/Function/Tags"), json!({"application": "dropcollect", "stack": name}));
    // Event source mappings and the schedule, which SAM makes.
    assert_eq!(at("/Globals/Function/PropagateTags"), true);
}

// ---- what a person sees ----

#[test]
fn every_parameter_has_its_place_in_the_form() {
    let groups = at("/Metadata/AWS::CloudFormation::Interface/ParameterGroups");
    let groups = groups.as_array().unwrap().iter();
    let mut shown: Vec<_> = groups.flat_map(|group| group["Parameters"].as_array().unwrap().clone()).collect();
    let mut all: Vec<_> = at("/Parameters").as_object().unwrap().keys().map(|name| json!(name)).collect();
    shown.sort_by_key(Value::to_string);
    all.sort_by_key(Value::to_string);
    assert_eq!(shown, all);
}

#[test]
fn a_pattern_that_does_not_speak_for_itself_is_explained() {
    for (name, parameter) in at("/Parameters").as_object().unwrap() {
        // "Any printable text" is what the console says of the pattern itself.
        let plain = parameter["AllowedPattern"].as_str().is_none_or(|pattern| pattern.starts_with("^[ -~]"));
        assert!(plain || parameter["ConstraintDescription"].is_string(), "{name}");
    }
}

#[test]
fn every_output_says_what_it_is_and_none_keeps_a_second_stack_away() {
    let outputs = at("/Outputs");
    for (name, output) in outputs.as_object().unwrap() {
        assert!(output["Description"].as_str().is_some_and(|text| text.len() > 10), "{name}");
        // A name that is exported exists once in an account and region.
        assert!(output["Export"].is_null(), "{name}");
    }
    for (name, value) in [
        ("InputBucketArn", json!({"Fn::GetAtt": ["InputBucket", "Arn"]})),
        ("DatasetBucketArn", json!({"Fn::GetAtt": ["DatasetBucket", "Arn"]})),
    ] {
        assert_eq!(outputs[name]["Value"], value);
    }
    for function in ["Trigger", "Poll", "Retry", "Sweep", "Webhook"] {
        let role = json!({"Fn::GetAtt": [format!("{function}Role"), "Arn"]});
        assert_eq!(outputs[format!("{function}RoleArn")]["Value"], role);
        assert_eq!(outputs[format!("{function}Logs")]["Value"], json!({"Ref": format!("{function}Logs")}));
    }
    for queue in ["InputDeadLetterQueue", "PollDeadLetterQueue", "RetryDeadLetterQueue"] {
        assert_eq!(outputs[format!("{queue}Arn")]["Value"], json!({"Fn::GetAtt": [queue, "Arn"]}));
    }
}

#[test]
fn the_application_is_described_as_it_is() {
    let application = at("/Metadata/AWS::ServerlessRepo::Application");
    // All packages of the workspace have the one version, and the one licence.
    assert_eq!(application["SemanticVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(application["SpdxLicenseId"], env!("CARGO_PKG_LICENSE"));
    for file in ["LicenseUrl", "ReadmeUrl"] {
        assert!(template::workspace().join(application[file].as_str().unwrap()).is_file(), "{file}");
    }
    // Limits of the AWS Serverless Application Repository.
    let word = |text: &Value| text.as_str().unwrap().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    assert!(word(&application["Name"]));
    assert!(word(&application["Author"]));
    assert!(application["Description"].as_str().unwrap().len() <= 256);
    let labels = application["Labels"].as_array().unwrap();
    assert!(labels.len() <= 10 && labels.iter().all(word));
    // Addresses that nobody has decided on are not made up.
    assert!(application["HomePageUrl"].is_null() && application["SourceCodeUrl"].is_null());
}
