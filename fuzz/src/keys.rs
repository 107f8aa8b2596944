//! Input keys as parts of other keys, and the settings that a key and its metadata make.

use std::collections::BTreeMap;

use pipeline::inputs::FileFormat;
use pipeline::keys;
use pipeline::policy::{OutputCompression, OutputFormat, Policy};
use pipeline::settings::{OPTIONS, SettingProblem, Settings, settle};
use pipeline::words::{AttemptId, RunId, Slice};

use crate::bytes::Case;

/// S3 allows so many bytes.
const KEY_BYTES_MAX: usize = 1_024;
/// What file systems allow.
const NAME_BYTES_MAX: usize = 255;

/// Two input keys, one a line.
pub fn input_path(bytes: &[u8]) {
    let mut case = Case(bytes);
    let (one, two) = (case.text_until("\n"), case.text());
    let (first, second) = (check_path(&one), check_path(&two));
    assert_eq!(one == two, first == second, "different keys have different paths: {first}");
    if let Ok(format) = FileFormat::from_key(&one) {
        assert!(one.ends_with(&format.extension), "{one} ends with {}", format.extension);
        assert!(!format.extension.contains('/') && format.extension.is_ascii(), "{}", format.extension);
    }
}

fn check_path(key: &str) -> String {
    let path = keys::input_path(key);
    for segment in path.split('/') {
        assert!(!matches!(segment, "" | "." | ".."), "{path}");
        assert!(segment.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{path}");
        assert!(segment.len() <= NAME_BYTES_MAX - 20, "{path}");
    }
    if !path.contains("%-") {
        assert_eq!(decoded(&path).as_deref(), Some(key.as_bytes()), "{path}");
    }
    let run = RunId::parse("0123456789abcdef").expect("a run id");
    let attempt = AttemptId { run: run.clone(), batch: u32::MAX, attempt: 100 };
    let slice = Slice { start: u32::MAX, end: u32::MAX };
    let output = keys::output(&path, &attempt, slice, false, OutputFormat::Ndjson, OutputCompression::Gzip);
    for whole in [output, keys::manifest(&path, &run), keys::errors(&path, &run), keys::status(&path)] {
        assert!(whole.len() <= KEY_BYTES_MAX, "{whole}");
    }
    path
}

fn decoded(path: &str) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    for (place, segment) in path.split('/').enumerate() {
        key.extend((place > 0).then_some(b'/'));
        let mut rest = if segment == "%" { "" } else { segment };
        while let Some(first) = rest.chars().next() {
            let (byte, length) = match first {
                '%' => (u8::from_str_radix(rest.get(1..3)?, 16).ok()?, 3),
                _ => (first as u8, 1),
            };
            key.push(byte);
            rest = rest.get(length..)?;
        }
    }
    Some(key)
}

/// The key of an object, the collector of the deployment, then one `name=value` a line: defaults of the deployment where `@` stands
/// before the name, and otherwise metadata of the object.
pub fn settings(bytes: &[u8]) {
    let mut case = Case(bytes);
    let (key, default_collector) = (case.text_until("\n"), case.text_until("\n"));
    let mut policy = Policy {
        default_collector: Some(default_collector).filter(|collector| !collector.is_empty()),
        ..Policy::default()
    };
    let mut metadata = BTreeMap::new();
    for (name, value) in case.text().split('\n').filter_map(|line| line.split_once('=')) {
        match name.strip_prefix('@') {
            Some(name) => policy.trigger_defaults.insert(name.to_owned(), value.to_owned()),
            None => metadata.insert(name.to_owned(), value.to_owned()),
        };
    }
    match settle(&policy, &key, &metadata) {
        Ok(settings) => check_settings(&settings, &policy, &key, &metadata),
        Err(SettingProblem::NoCollector) => assert!(!metadata.contains_key("collector")),
        Err(SettingProblem::BadValue { name, value, expected }) => {
            let given =
                metadata.get(&name).or(policy.trigger_defaults.get(&name)).or(policy.default_collector.as_ref());
            assert_eq!(given.map(|given| given.trim()), Some(value.trim()), "{name} must be {expected}");
        }
        Err(problem) => panic!("{problem} is not known before the file is read"),
    }
}

fn check_settings(settings: &Settings, policy: &Policy, key: &str, metadata: &BTreeMap<String, String>) {
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let id = settings.collector.strip_prefix("c_").expect("an id");
    assert!((1..=100).contains(&id.len()) && is_word(id), "{}", settings.collector);
    let folder = key.rsplit_once('/').is_some_and(|(folders, _)| folders.split('/').any(|f| f == settings.collector));
    let given = [metadata.get("collector").map(|c| c.trim()), policy.default_collector.as_deref()];
    assert!(folder || given.contains(&Some(&settings.collector)), "somebody named {}", settings.collector);
    assert!(settings.queue_next <= 1);
    assert!(!settings.confirm_cancel || metadata.contains_key("confirm-cancel"), "only a file can ask for it");
    for (name, value) in &settings.query {
        assert!(OPTIONS.contains(&name.replace('_', "-").as_str()), "{name}");
        assert!((1..=100).contains(&value.len()) && value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{value}");
        let seconds = value.get(..value.len() - 1).and_then(|number| number.parse::<u32>().ok());
        assert!(name != "deadline" || seconds.is_some_and(|number| (1..1_000_000).contains(&number)), "{value}");
    }
    let encoded = serde_json::to_string(settings).expect("settings are JSON");
    assert_eq!(serde_json::from_str::<Settings>(&encoded).ok().as_ref(), Some(settings));
}
