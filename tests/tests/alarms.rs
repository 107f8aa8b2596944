//! From a cause to the runbook: what goes wrong in a story makes a metric, the alarm of the template that watches exactly that metric rings,
//! and its description names the section of the runbook that says what to do. A story in which all is well rings none.
#![expect(clippy::unwrap_used, reason = "everything here is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bytes::Bytes;
use dropcollect_tests::story::{DAY, Script, Story, accepted, began, records};
use dropcollect_tests::template;
use futures_util::FutureExt;
use pipeline::keys;
use pipeline::ledger::{self, DoneRecord, Fates, RowCounts};
use pipeline::metrics;
use pipeline::pause;
use pipeline::policy::{OnInDoubt, Policy};
use pipeline::ports::*;
use pipeline::schedule::later;
use pipeline::spending::Limits;
use serde_json::{Value, json};

const HOUR: i64 = 3_600;

static TEMPLATE: LazyLock<Value> = LazyLock::new(|| template::load().unwrap());

/// One value of one metric.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    namespace: String,
    name: String,
    dimensions: BTreeMap<String, String>,
    value: f64,
}

/// What AWS itself measures, of a resource of the template.
fn aws(namespace: &str, name: &str, (dimension, resource): (&str, &str), value: f64) -> Vec<Point> {
    let dimensions = BTreeMap::from([(dimension.to_owned(), resource.to_owned())]);
    vec![Point { namespace: namespace.to_owned(), name: name.to_owned(), dimensions, value }]
}

/// What a story has told since the last time, as CloudWatch reads its lines.
fn told(story: &Story) -> Vec<Point> {
    let mut points = Vec::new();
    for line in story.emf.lines(story.clock.now()) {
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            for (dimensions, metric) in pairs(&directive["Dimensions"], &directive["Metrics"]) {
                let value = |name: &Value| (name.as_str().unwrap().to_owned(), line[name.as_str().unwrap()].clone());
                let dimensions = dimensions.as_array().unwrap().iter().map(value);
                let dimensions = dimensions.map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect();
                let (name, value) = value(&metric["Name"]);
                let (namespace, value) = (directive["Namespace"].as_str().unwrap().to_owned(), value.as_f64().unwrap());
                points.push(Point { namespace, name, dimensions, value });
            }
        }
    }
    points
}

fn pairs<'a>(one: &'a Value, other: &'a Value) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    let other = other.as_array().unwrap();
    one.as_array().unwrap().iter().flat_map(move |one| other.iter().map(move |other| (one, other)))
}

/// The alarms of the template.
fn alarms() -> BTreeMap<String, Value> {
    let resources = TEMPLATE["Resources"].as_object().unwrap().iter();
    let alarms = resources.filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
    alarms.map(|(name, resource)| (name.clone(), resource["Properties"].clone())).collect()
}

/// The metrics that an alarm looks at, with their statistics.
fn watched(alarm: &Value) -> Vec<(Value, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match alarm["Metrics"].as_array() {
        None => vec![(alarm.clone(), text(&alarm["Statistic"]), String::new())],
        Some(metrics) => metrics
            .iter()
            .filter(|metric| !metric["MetricStat"].is_null())
            .map(|metric| {
                let (stat, id) = (text(&metric["MetricStat"]["Stat"]), text(&metric["Id"]));
                (metric["MetricStat"]["Metric"].clone(), stat, id)
            })
            .collect(),
    }
}

/// Dimensions as the template means them; the stack of a story is called `story`.
fn dimensions(metric: &Value) -> BTreeMap<String, String> {
    let value = |value: &Value| match (&value["Ref"], &value["Fn::GetAtt"]) {
        (Value::String(name), _) if name == "AWS::StackName" => "story".to_owned(),
        (Value::String(name), _) => name.clone(),
        (_, Value::Array(path)) => path[0].as_str().unwrap().to_owned(),
        _ => value.as_str().unwrap().to_owned(),
    };
    let of = metric["Dimensions"].as_array().unwrap().iter();
    of.map(|dimension| (dimension["Name"].as_str().unwrap().to_owned(), value(&dimension["Value"]))).collect()
}

/// The statistic of what was measured of a metric, `None` where nothing was.
fn statistic(metric: &Value, statistic: &str, points: &[Point]) -> Option<f64> {
    let dimensions = dimensions(metric);
    let fits = |point: &&Point| {
        metric["Namespace"] == *point.namespace && metric["MetricName"] == *point.name && point.dimensions == dimensions
    };
    let values: Vec<f64> = points.iter().filter(fits).map(|point| point.value).collect();
    if values.is_empty() {
        return None;
    }
    Some(match statistic {
        "Sum" => values.iter().sum(),
        "Maximum" => values.iter().copied().fold(f64::MIN, f64::max),
        "Minimum" => values.iter().copied().fold(f64::MAX, f64::min),
        "SampleCount" => values.len() as f64,
        other => panic!("{other}"),
    })
}

/// The value that an alarm compares.
fn compared(alarm: &Value, points: &[Point]) -> Option<f64> {
    let measured: Vec<(String, Option<f64>)> =
        watched(alarm).into_iter().map(|(metric, wanted, id)| (id, statistic(&metric, &wanted, points))).collect();
    let Some(metrics) = alarm["Metrics"].as_array() else { return measured[0].1 };
    let returned = metrics.iter().find(|metric| metric["Expression"].is_string()).unwrap();
    let filled = |id: &str| measured.iter().find(|(known, _)| known == id).unwrap().1.unwrap_or(0.0);
    let expression = returned["Expression"].as_str().unwrap();
    if expression == "IF(FILL(sweeps, 0) < 1 AND FILL(polls, 0) > 0, 1, 0)" {
        return Some(f64::from(u8::from(filled("sweeps") < 1.0 && filled("polls") > 0.0)));
    }
    // Anything else is a sum of metrics, of which missing ones are 0.
    let ids = expression.split(" + ").map(|term| term.strip_prefix("FILL(").unwrap().strip_suffix(", 0)").unwrap());
    Some(ids.map(filled).sum())
}

/// Whether one period with these values is one in which the alarm rings.
fn rings(alarm: &Value, points: &[Point]) -> bool {
    let threshold = alarm["Threshold"].as_f64().unwrap();
    let Some(value) = compared(alarm, points) else { return alarm["TreatMissingData"] == "breaching" };
    match alarm["ComparisonOperator"].as_str().unwrap() {
        "GreaterThanThreshold" => value > threshold,
        "LessThanOrEqualToThreshold" => value <= threshold,
        other => panic!("{other}"),
    }
}

// ---- causes ----

fn in_doubt() -> SendAnswer {
    SendAnswer::InDoubt { why: "reset".into() }
}

fn held() -> Vec<Point> {
    let policy = Policy { on_in_doubt: OnInDoubt::Hold, ..Policy::default() };
    let mut story = Story::with(policy, |script| Script { trigger: Box::new(|_, _| in_doubt()), ..script }, &[]);
    story.run_until(DAY);
    story.sweep();
    told(&story)
}

/// A trigger got no answer, and the message that would look for it is lost.
fn doubt_is_not_settled() -> Vec<Point> {
    let story = Story::begin(|script| Script { trigger: Box::new(|_, _| in_doubt()), ..script }, &[]);
    let received = story.queues.poll.receive(later(began(), 60), 900).unwrap();
    story.queues.poll.delete(&received.receipt);
    story.clock.set(later(began(), 3 * HOUR));
    story.sweep();
    told(&story)
}

fn token_is_refused() -> Vec<Point> {
    let refused = || SendAnswer::Credentials { status: 401, text: "Invalid credentials".into() };
    let story = Story::begin(|script| Script { trigger: Box::new(move |_, _| refused()), ..script }, &[]);
    told(&story)
}

/// A job whose log cannot be had is waited for as long as its results are kept, but for two days.
fn results_expire() -> Vec<Point> {
    let lost = |script: Script| Script {
        dataset: Box::new(|_, _| None),
        log: Box::new(|_, ()| JobLog { status: Some("running".into()), ..JobLog::default() }),
        ..script
    };
    let mut story = Story::begin(lost, &[]);
    story.run_until(13 * DAY - HOUR);
    told(&story);
    story.run_until(13 * DAY + 3 * HOUR);
    told(&story)
}

/// A record says that a batch brought more than it has.
fn counts_do_not_add_up() -> Vec<Point> {
    let mut story = Story::begin(|script| script, &[]);
    let rows = RowCounts { read: 2, ..RowCounts::default() };
    let done = DoneRecord { v: ledger::VERSION, rows, fates: Fates { with_records: 3, ..Fates::default() } };
    let key = keys::done(&story.object.run(), 1);
    ledger::write_once(&story.store, &key, &done).now_or_never().unwrap().unwrap();
    story.run_until(HOUR);
    assert_eq!(story.manifest(), None);
    told(&story)
}

/// The first answer is lost, the job list lags by two hours, and the trigger is made again.
fn paid_twice() -> Vec<Point> {
    let sends = std::sync::atomic::AtomicUsize::new(0);
    let listed = |id: &str, queued| ListedJob {
        id: id.to_owned(),
        queued: Some(later(began(), queued)),
        inputs: Some(2),
        status: Some("done".into()),
    };
    let mut story = Story::begin(
        |script| Script {
            trigger: Box::new(move |_, _| match sends.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => in_doubt(),
                _ => accepted("j_again"),
            }),
            jobs: Box::new(move |now, ()| {
                if now < 2 * HOUR { Vec::new() } else { vec![listed("j_again", 1_500), listed("j_first", 1)] }
            }),
            ..script
        },
        &[],
    );
    story.run_until(3 * HOUR);
    story.sweep();
    told(&story)
}

/// The file has two inputs, and one page load may be paid for.
fn limit_is_reached() -> Vec<Point> {
    let limits = "day=1".parse().unwrap();
    let mut story = Story::before(Policy { batch_inputs_max: 1, ..Policy::default() }, limits, |script| script, &[]);
    story.trigger();
    story.run_until(HOUR);
    told(&story)
}

/// Nobody thinks of the kill switch any more.
fn pause_is_forgotten() -> Vec<Point> {
    let mut story = Story::before(Policy::default(), Limits::default(), |script| script, &[]);
    pause::pause(&story.store, began(), "too many failures").now_or_never().unwrap().unwrap();
    story.trigger();
    story.run_until(DAY);
    told(&story);
    story.sweep();
    told(&story)
}

/// Its message is lost, and so is every one that the sweep sends.
fn run_is_stuck() -> Vec<Point> {
    let story = Story::begin(|script| script, &[]);
    story.clock.set(later(began(), 8 * DAY));
    story.sweep();
    told(&story)
}

fn record_cannot_be_read() -> Vec<Point> {
    let story = Story::begin(|script| script, &[]);
    let key = keys::run(&story.object.run());
    let garbage = Bytes::from_static(b"no record");
    story.store.put(&key, garbage, &ObjectInfo::default()).now_or_never().unwrap().unwrap();
    story.clock.set(later(began(), 3 * HOUR));
    story.sweep();
    told(&story)
}

/// A message that never can succeed is set aside by code.
fn reminder_is_set_aside() -> Vec<Point> {
    let mut story = Story::begin(|script| script, &[]);
    story.queues.poll.send(story.clock.now(), "no reminder", 0);
    story.run_until(HOUR);
    dead_letters("PollDeadLetterQueue", story.queues.poll.dead().len())
}

fn order_is_set_aside() -> Vec<Point> {
    let mut story = Story::begin(|script| script, &[]);
    story.queues.retry.send(story.clock.now(), "no order", 0);
    story.run_until(HOUR);
    dead_letters("RetryDeadLetterQueue", story.queues.retry.dead().len())
}

fn dead_letters(queue: &str, letters: usize) -> Vec<Point> {
    aws("AWS/SQS", "ApproximateNumberOfMessagesVisible", ("QueueName", queue), letters as f64)
}

fn no_sweep_comes() -> Vec<Point> {
    aws("AWS/Lambda", "Invocations", ("FunctionName", "PollFunction"), 12.0)
}

type Cause = fn() -> Vec<Point>;

/// Every alarm, and what makes it ring.
const CAUSES: &[(&str, Cause)] = &[
    ("InputDeadLetterAlarm", || dead_letters("InputDeadLetterQueue", 1)),
    ("PollDeadLetterAlarm", reminder_is_set_aside),
    ("RetryDeadLetterAlarm", order_is_set_aside),
    ("CredentialsAlarm", token_is_refused),
    ("HeldAlarm", held),
    ("LimitAlarm", limit_is_reached),
    ("PausedAlarm", pause_is_forgotten),
    ("InDoubtAlarm", doubt_is_not_settled),
    ("ExpiryAlarm", results_expire),
    ("ConservationAlarm", counts_do_not_add_up),
    ("LateAlarm", paid_twice),
    ("StuckRunAlarm", run_is_stuck),
    ("WaitingFileAlarm", || aws("AWS/SQS", "ApproximateAgeOfOldestMessage", ("QueueName", "InputQueue"), 25_000.0)),
    ("SweepFailuresAlarm", record_cannot_be_read),
    ("UnsweptAlarm", no_sweep_comes),
    ("ErrorsAlarm", || aws("AWS/Lambda", "Errors", ("FunctionName", "RetryFunction"), 1.0)),
    ("ThrottlesAlarm", || aws("AWS/Lambda", "Throttles", ("FunctionName", "TriggerFunction"), 9.0)),
];

#[test]
fn every_alarm_rings_for_its_cause() {
    let alarms = alarms();
    let names: BTreeSet<&str> = alarms.keys().map(String::as_str).collect();
    assert_eq!(names, CAUSES.iter().map(|(name, _)| *name).collect(), "every alarm has a cause here");
    for (name, cause) in CAUSES {
        let points = cause();
        let ringing: Vec<_> = alarms.iter().filter(|(_, alarm)| rings(alarm, &points)).map(|(name, _)| name).collect();
        println!("{name}: {ringing:?}");
        assert!(ringing.contains(&&(*name).to_owned()), "{name} does not ring for {points:#?}");
    }
}

#[test]
fn none_rings_while_all_is_well() {
    // A third of a day: long enough to be swept, a failure that is made up for, and a sweep after the end.
    let failed =
        br#"[{"input":{"url":"https://a"},"error":"x","error_code":"timeout"},{"input":{"url":"https://b"},"t":2}]"#;
    let slow = |script: Script| Script {
        dataset: Box::new(move |now, id| {
            let rows = if id == "j_0" { vec![Ok(Bytes::from_static(failed))] } else { records() };
            (now > 5 * HOUR).then_some(rows)
        }),
        ..script
    };
    let mut story = Story::begin(slow, &[]);
    let mut points = told(&story);
    for hour in 1..=8 {
        story.run_until(hour * HOUR);
        story.sweep();
        points.extend(told(&story));
    }
    assert_eq!(story.manifest().unwrap().inputs.with_records, 2);
    assert_eq!(story.watched.told().len(), 1);
    points.extend(aws("AWS/Lambda", "Invocations", ("FunctionName", "PollFunction"), 100.0));
    for (name, alarm) in alarms() {
        assert!(!rings(&alarm, &points), "{name} rings: {points:#?}");
    }
}

// ---- what alarms name ----

#[test]
fn alarms_watch_metrics_that_exist_in_the_way_that_says_something() {
    for (name, alarm) in alarms() {
        for (metric, statistic, _) in watched(&alarm) {
            let named = metric["MetricName"].as_str().unwrap();
            let by: Vec<_> = dimensions(&metric).into_keys().collect();
            match metric["Namespace"].as_str().unwrap() {
                "dropcollect" => {
                    let known = metrics::TABLE.iter().find(|known| known.name == named);
                    let known = known.unwrap_or_else(|| panic!("{name}: there is no metric {named}"));
                    let own = known.by.into_iter().chain(["Stack"]).map(str::to_owned).collect::<BTreeSet<_>>();
                    assert_eq!(by.into_iter().collect::<BTreeSet<_>>(), own, "{name}");
                    assert!(statistic == known.statistic.name() || statistic == "SampleCount", "{name}: {statistic}");
                }
                // Names and dimensions: CloudWatch pages of SQS and Lambda.
                "AWS/SQS" => {
                    assert!(["ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"].contains(&named));
                    assert_eq!((by, statistic.as_str()), (vec!["QueueName".to_owned()], "Maximum"), "{name}");
                }
                "AWS/Lambda" => {
                    assert!(["Errors", "Throttles", "Invocations"].contains(&named), "{name}");
                    assert_eq!((by, statistic.as_str()), (vec!["FunctionName".to_owned()], "Sum"), "{name}");
                }
                other => panic!("{name}: {other}"),
            }
            for resource in dimensions(&metric).into_values().filter(|value| value != "story") {
                assert!(TEMPLATE["Resources"][&resource].is_object(), "{name}: there is no {resource}");
            }
        }
    }
}

#[test]
fn alarms_reach_somebody_and_say_when_they_are_over() {
    for (name, alarm) in alarms() {
        assert_eq!(alarm["AlarmActions"], json!([{"Ref": "AlarmTopic"}]), "{name}");
        assert_eq!(alarm["OKActions"], json!([{"Ref": "AlarmTopic"}]), "{name}");
        let (of, needed) = (alarm["EvaluationPeriods"].as_u64().unwrap(), alarm["DatapointsToAlarm"].as_u64().unwrap());
        assert!((1..=of).contains(&needed), "{name}");
        // What only the sweep measures has one value an hour.
        let swept = watched(&alarm).iter().all(|(metric, ..)| {
            metrics::TABLE
                .iter()
                .any(|known| metric["MetricName"] == known.name && known.statistic == metrics::Statistic::Maximum)
        });
        if swept {
            assert_eq!((&alarm["Period"], &alarm["TreatMissingData"]), (&json!(3_600), &json!("ignore")), "{name}");
        } else {
            assert_eq!(alarm["TreatMissingData"], "notBreaching", "{name}");
        }
    }
}

#[test]
fn every_alarm_has_its_section_in_the_runbook() {
    let runbook = std::fs::read_to_string(template::workspace().join("infra/runbook.md")).unwrap();
    let sections: BTreeMap<&str, &str> = runbook
        .split("\n## ")
        .skip(1)
        .map(|section| section.split_once('\n').unwrap())
        .filter(|(heading, _)| heading.ends_with("Alarm"))
        .collect();
    let alarms = alarms();
    assert_eq!(sections.keys().copied().collect::<Vec<_>>(), alarms.keys().map(String::as_str).collect::<Vec<_>>());
    for (name, alarm) in &alarms {
        let says = alarm["AlarmDescription"].as_str().unwrap();
        assert!(says.ends_with(&format!(". What to do: infra/runbook.md, {name}.")), "{name}: {says}");
        for part in ["**Why it rings.**", "**What to do.**", "**When it is over.**"] {
            assert!(sections[name.as_str()].contains(part), "{name} lacks {part}");
        }
        for (metric, ..) in watched(alarm) {
            let named = metric["MetricName"].as_str().unwrap();
            assert!(sections[name.as_str()].contains(&format!("`{named}`")), "{name} does not name {named}");
        }
    }
}

#[test]
fn the_table_of_metrics_is_the_codes() {
    let readme = std::fs::read_to_string(template::workspace().join("infra/README.md")).unwrap();
    let rows: Vec<String> = metrics::TABLE
        .iter()
        .map(|metric| {
            let by = metric.by.map_or_else(String::new, |by| format!(" by `{by}`"));
            let (name, unit, statistic) = (metric.name, metric.unit.name(), metric.statistic.name());
            format!("| `{name}`{by} | {unit} | {statistic} | {} |", metric.means)
        })
        .collect();
    assert!(readme.contains(&rows.join("\n")), "infra/README.md must have these rows:\n{}", rows.join("\n"));
}
