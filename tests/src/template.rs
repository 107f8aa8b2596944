//! `template.yaml` as plain JSON, with CloudFormation's short tags written out (`!Ref x` is `{"Ref": "x"}`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads the template of the workspace.
pub fn load() -> Result<Value> {
    let path = workspace().join("template.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let documents = Yaml::load_from_str(&text)?;
    match documents.as_slice() {
        [template] => to_json(template),
        other => bail!("one document expected, {} found", other.len()),
    }
}

fn to_json(node: &Yaml) -> Result<Value> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(items) => items.iter().map(to_json).collect::<Result<_>>()?,
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                map.insert(key.as_str().context("a key that is no string")?.to_owned(), to_json(value)?);
            }
            Value::Object(map)
        }
        Yaml::Tagged(tag, inner) => written_out(&tag.suffix, to_json(inner)?),
        // CloudFormation knows no aliases either.
        other => bail!("not expected in a template: {other:?}"),
    })
}

fn written_out(tag: &str, inner: Value) -> Value {
    match (tag, inner.as_str().and_then(|text| text.split_once('.'))) {
        ("Ref" | "Condition", _) => json!({ tag: inner }),
        ("GetAtt", Some((resource, attribute))) => json!({ "Fn::GetAtt": [resource, attribute] }),
        _ => json!({ format!("Fn::{tag}"): inner }),
    }
}

/// The functions, by the names of their binaries.
pub const FUNCTIONS: [&str; 5] = ["trigger", "poll", "retry", "sweep", "webhook"];

/// The resource of a function.
pub fn resource(function: &str) -> String {
    let (first, rest) = function.split_at(1);
    format!("{}{rest}Function", first.to_ascii_uppercase())
}

/// The template as the local AWS takes it: the same but for a few things, each for a reason.
pub fn for_ministack(functions: &Path) -> Result<Value> {
    let mut template = load()?;
    // The copy that is deployed lies in another folder than the files that it names.
    let application = &mut template["Metadata"]["AWS::ServerlessRepo::Application"];
    for file in ["LicenseUrl", "ReadmeUrl"] {
        application[file] = json!(workspace().join(application[file].as_str().context("a file")?).canonicalize()?);
    }
    // It knows no Fn::Join in conditions.
    template["Conditions"]["InVpc"] = json!({"Fn::Not": [{"Fn::Equals": [{"Ref": "SubnetIds"}, ""]}]});
    let resources = template["Resources"].as_object_mut().context("no resources")?;
    allow_plain_http(resources);
    // It knows no alarms over more than one metric.
    resources.retain(|_, resource| {
        resource["Type"] != "AWS::CloudWatch::Alarm" || resource["Properties"]["Metrics"].is_null()
    });
    for function in FUNCTIONS {
        let properties = resources[&resource(function)]["Properties"].as_object_mut().context("no properties")?;
        // What was built by cargo is deployed, not what cargo-lambda would build.
        properties.insert("CodeUri".to_owned(), json!(functions.join(function)));
        let events = properties.get_mut("Events").and_then(Value::as_object_mut);
        for event in events.into_iter().flat_map(Map::values_mut).filter(|event| event["Type"] == "SQS") {
            // It keeps a parameter of type Number as text, and its poller then compares text with a number.
            event["Properties"]["ScalingConfig"]["MaximumConcurrency"] = json!(10);
        }
    }
    allow_batches(&mut template["Resources"]);
    Ok(template)
}

/// The policy of a bucket or a queue that lets in nothing but TLS: whether this statement is it.
pub fn is_only_tls(statement: &Value) -> bool {
    statement["Effect"] == "Deny" && statement["Condition"] == json!({"Bool": {"aws:SecureTransport": false}})
}

/// Requests to MiniStack are plain http, and it does enforce the policies of buckets.
fn allow_plain_http(resources: &mut Map<String, Value>) {
    resources.retain(|_, resource| {
        if resource["Type"] != "AWS::S3::BucketPolicy" && resource["Type"] != "AWS::SQS::QueuePolicy" {
            return true;
        }
        let statements = resource["Properties"]["PolicyDocument"]["Statement"].as_array_mut();
        statements.is_some_and(|statements| {
            statements.retain(|statement| !is_only_tls(statement));
            !statements.is_empty()
        })
    });
}

/// Makes waits short that a test would have to sit out: a function's turn, which a send may stay in doubt for; the time until a message
/// comes back whose function died before it had taken it up; and how little the job list may be said to lag.
pub fn hurry(template: &mut Value, turn_seconds: u32, hidden_seconds: u32) -> Result<()> {
    template["Parameters"]["InDoubtWindowSeconds"]["MinValue"] = json!(1);
    let resources = template["Resources"].as_object_mut().context("no resources")?;
    for function in FUNCTIONS {
        resources[&resource(function)]["Properties"]["Timeout"] = json!(turn_seconds);
    }
    for queue in ["InputQueue", "PollQueue", "RetryQueue"] {
        resources[queue]["Properties"]["VisibilityTimeout"] = json!(hidden_seconds);
    }
    Ok(())
}

/// AWS asks for `sqs:SendMessage` for `SendMessageBatch`; MiniStack asks for a permission that AWS does not have.
fn allow_batches(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "Action" && *field == "sqs:SendMessage" {
                    *field = json!([field.clone()]);
                }
                allow_batches(field);
            }
        }
        Value::Array(values) => {
            if values.iter().any(|value| value == "sqs:SendMessage") {
                values.push(json!("sqs:SendMessageBatch"));
            }
            values.iter_mut().for_each(allow_batches);
        }
        _ => {}
    }
}
