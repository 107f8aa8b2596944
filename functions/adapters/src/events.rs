//! S3 events. Only what is needed is read, with types of our own: those of `aws_lambda_events` demand fields that some services
//! which speak S3 leave out, and form-decoding is done here anyway.

use percent_encoding::percent_decode_str;
use pipeline::words::InputObject;
use serde::Deserialize;
use serde_json::Value;

/// What a message says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Objects that were created.
    pub objects: Vec<InputObject>,
    /// What could not be read, each with the reason. It does not keep the others from being worked on.
    pub malformed: Vec<String>,
}

/// Reads an S3 event, as it stands in a message's body or comes by itself. S3's test event drops nothing.
pub fn dropped(body: &str) -> Dropped {
    match serde_json::from_str(body) {
        Ok(event) => dropped_value(event),
        Err(error) => Dropped::nothing_but(format!("it is no JSON: {error}")),
    }
}

/// Reads an S3 event.
pub fn dropped_value(event: Value) -> Dropped {
    let is_test = event.get("Event").and_then(Value::as_str) == Some("s3:TestEvent");
    let Some(records) = event.get("Records").and_then(Value::as_array) else {
        return if is_test { Dropped::default() } else { Dropped::nothing_but("it has no Records".to_owned()) };
    };
    let mut dropped = Dropped::default();
    for (number, record) in (1..).zip(records) {
        match object(record) {
            Ok(object) => dropped.objects.extend(object),
            Err(why) => dropped.malformed.push(format!("record {number}: {why}")),
        }
    }
    dropped
}

impl Dropped {
    fn nothing_but(why: String) -> Self {
        Self { objects: Vec::new(), malformed: vec![why] }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_name: String,
    event_time: Option<String>,
    s3: Entity,
}

#[derive(Deserialize)]
struct Entity {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    key: String,
    size: Option<u64>,
    e_tag: Option<String>,
    version_id: Option<String>,
    sequencer: Option<String>,
}

/// The object that a record says was created; `None` for anything else that happened to it.
fn object(record: &Value) -> Result<Option<InputObject>, String> {
    let Record { event_name, event_time, s3 } = Record::deserialize(record).map_err(|error| error.to_string())?;
    // `s3:` stands before it in bucket configurations only, but not every service keeps to that.
    if !event_name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let Entity { bucket, object } = s3;
    if bucket.name.is_empty() || object.key.is_empty() {
        return Err("the bucket or the key is empty".to_owned());
    }
    let set = |text: Option<String>| text.filter(|text| !text.is_empty());
    let etag = set(object.e_tag.map(|etag| etag.trim_matches('"').to_owned()));
    let version_id = set(object.version_id);
    if etag.is_none() && version_id.is_none() {
        return Err("neither a version nor an ETag says which object it is".to_owned());
    }
    Ok(Some(InputObject {
        bucket: bucket.name,
        key: key(&object.key)?,
        version_id,
        etag,
        sequencer: set(object.sequencer),
        bytes: object.size,
        dropped_at: event_time.and_then(|time| time.parse().ok()),
    }))
}

/// Keys are form-encoded: `+` is a space, and a plus sign is `%2B`.
fn key(encoded: &str) -> Result<String, String> {
    let spaces = encoded.replace('+', " ");
    let decoded = percent_decode_str(&spaces).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| format!("the key {encoded:?} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1",
        "eventTime":"2026-11-01T12:00:00.000Z","eventName":"ObjectCreated:Put","userIdentity":{"principalId":"EXAMPLE"},
        "requestParameters":{"sourceIPAddress":"127.0.0.1"},"responseElements":{"x-amz-request-id":"EXAMPLE"},
        "s3":{"s3SchemaVersion":"1.0","configurationId":"example",
        "bucket":{"name":"in","ownerIdentity":{"principalId":"EXAMPLE"},"arn":"arn:aws:s3:::in"},
        "object":{"key":"a+folder/inputs+%C3%BC+1%2B1.csv","size":66,"eTag":"0123456789abcdef0123456789abcdef",
        "versionId":"v1","sequencer":"0065A1B2C3D4E5F607"}}}]}"#;

    fn golden() -> InputObject {
        InputObject {
            bucket: "in".into(),
            key: "a folder/inputs ü 1+1.csv".into(),
            version_id: Some("v1".into()),
            etag: Some("0123456789abcdef0123456789abcdef".into()),
            sequencer: Some("0065A1B2C3D4E5F607".into()),
            bytes: Some(66),
            dropped_at: Some("2026-11-01T12:00:00Z".parse().unwrap()),
        }
    }

    #[test]
    fn events_are_golden() {
        assert_eq!(dropped(GOLDEN), Dropped { objects: vec![golden()], malformed: Vec::new() });
        let multipart = GOLDEN.replace("ObjectCreated:Put", "ObjectCreated:CompleteMultipartUpload");
        assert_eq!(dropped(&multipart).objects, [golden()]);
    }

    #[test]
    fn keys_are_form_encoded() {
        let table = [
            ("plain.csv", "plain.csv"),
            ("a+b", "a b"),
            ("a%2Bb", "a+b"),
            ("a%20b", "a b"),
            ("%E6%97%A5%E6%9C%AC/%F0%9F%8E%89.txt", "日本/🎉.txt"),
            ("100%25", "100%"),
            ("%2E%2E/x", "../x"),
            ("a%0Ab", "a\nb"),
            ("100%", "100%"),
        ];
        for (encoded, decoded) in table {
            assert_eq!(key(encoded).unwrap(), decoded, "{encoded}");
        }
        assert!(key("%FF").is_err());
    }

    #[test]
    fn what_drops_nothing() {
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-01T12:00:00.000Z","Bucket":"in"}"#;
        assert_eq!(dropped(test), Dropped::default());
        assert_eq!(dropped(r#"{"Records":[]}"#), Dropped::default());
        assert_eq!(dropped(&GOLDEN.replace("ObjectCreated:Put", "ObjectRemoved:Delete")), Dropped::default());
    }

    #[test]
    fn the_least_that_an_event_needs() {
        let least = r#"{"Records":[{"eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"in"},"object":{"key":"k","eTag":"\"e\""}}}]}"#;
        let object = InputObject {
            bucket: "in".into(),
            key: "k".into(),
            version_id: None,
            etag: Some("e".into()),
            sequencer: None,
            bytes: None,
            dropped_at: None,
        };
        assert_eq!(dropped(least).objects, [object]);
    }

    #[test]
    fn one_bad_record_does_not_hide_the_others() {
        let good = serde_json::from_str::<Value>(GOLDEN).unwrap()["Records"][0].clone();
        let mut nameless = good.clone();
        nameless["s3"]["object"]["key"] = "".into();
        let mut anonymous = good.clone();
        anonymous["s3"]["object"] = serde_json::json!({"key": "k"});
        let event =
            serde_json::json!({"Records": [{"eventName": "ObjectCreated:Put"}, good, nameless, good, anonymous]});
        let dropped = dropped_value(event);
        assert_eq!(dropped.objects, [golden(), golden()]);
        let golden = [
            "record 1: missing field `s3`",
            "record 3: the bucket or the key is empty",
            "record 5: neither a version nor an ETag says which object it is",
        ];
        assert_eq!(dropped.malformed, golden);
        assert_eq!(super::dropped("{").malformed.len(), 1);
        assert_eq!(super::dropped("{}").malformed, ["it has no Records"]);
    }
}
