//! The dashboard shows what is there, and all of it.
#![expect(clippy::unwrap_used, reason = "everything here is a test")]

use std::collections::BTreeSet;

use dropcollect_tests::{dashboard, template};
use pipeline::metrics::{self, Statistic};
use serde_json::Value;

#[test]
fn the_drawing_is_of_this_dashboard() {
    let drawn = std::fs::read_to_string(template::workspace().join("infra/dashboard.txt")).unwrap();
    let again = "cargo run -p dropcollect-tests --bin dashboard > infra/dashboard.txt";
    assert!(drawn == dashboard::drawing().unwrap(), "draw it again: {again}");
}

#[test]
fn widgets_do_not_cover_each_other() {
    let mut taken = BTreeSet::new();
    for widget in dashboard::widgets().unwrap() {
        let number = |field: &str| widget[field].as_u64().unwrap();
        for x in number("x")..number("x") + number("width") {
            for y in number("y")..number("y") + number("height") {
                assert!(x < 24 && taken.insert((x, y)), "{}", widget["properties"]["title"]);
            }
        }
    }
}

/// The metrics of ours that the dashboard shows, with the value of their own dimension.
fn shown() -> BTreeSet<(String, Option<String>)> {
    let mut shown = BTreeSet::new();
    for widget in dashboard::widgets().unwrap() {
        for row in dashboard::metrics(&widget) {
            if let Some(expression) = row[0]["expression"].as_str() {
                let searched =
                    metrics::TABLE.iter().find(|known| expression.contains(&format!("MetricName=\"{}\"", known.name)));
                let known = searched.unwrap_or_else(|| panic!("{expression}"));
                let schema = format!("{{dropcollect,Stack,{}}}", known.by.unwrap());
                assert!(
                    expression.contains(&schema) && expression.contains("Stack=\"${AWS::StackName}\""),
                    "{expression}"
                );
                shown.insert((known.name.to_owned(), None));
                continue;
            }
            let text = |index: usize| row[index].as_str().unwrap();
            let options = row.last().unwrap();
            match text(0) {
                "dropcollect" => {
                    let known = metrics::TABLE.iter().find(|known| known.name == text(1));
                    let known = known.unwrap_or_else(|| panic!("there is no metric {}", text(1)));
                    assert_eq!((text(2), text(3)), ("Stack", "${AWS::StackName}"));
                    assert_eq!(row.get(4).and_then(Value::as_str), known.by);
                    let stat = options["stat"].as_str().unwrap();
                    let typical = known.statistic == Statistic::Maximum && stat == "p50";
                    assert!(stat == known.statistic.name() || typical, "{}: {stat}", known.name);
                    shown.insert((known.name.to_owned(), known.by.map(|_| text(5).to_owned())));
                }
                "AWS/SQS" => assert_eq!(text(2), "QueueName"),
                "AWS/Lambda" => assert_eq!(text(2), "FunctionName"),
                other => panic!("{other}"),
            }
        }
    }
    shown
}

#[test]
fn every_metric_is_shown() {
    let shown = shown();
    for metric in metrics::TABLE {
        assert!(shown.iter().any(|(name, _)| name == metric.name), "{} is not on the dashboard", metric.name);
    }
}

#[test]
fn every_outcome_and_every_end_is_shown() {
    use pipeline::manifest::RunState;
    use pipeline::ports::SendAnswer;
    let shown = shown();
    let text = || "text".to_owned();
    let answers = [
        SendAnswer::NotSent { why: text() },
        SendAnswer::Accepted { collection: text(), start_eta: None },
        SendAnswer::RefusedOption { text: text() },
        SendAnswer::Refused { status: 404, text: text() },
        SendAnswer::Credentials { status: 401, text: text() },
        SendAnswer::Wait { retry_after: None, text: text() },
        SendAnswer::InDoubt { why: text() },
    ];
    for answer in &answers {
        let outcome = metrics::outcome(answer).to_owned();
        assert!(shown.contains(&("triggers".to_owned(), Some(outcome))), "{answer:?}");
    }
    for state in [RunState::Complete, RunState::CompleteWithFailures, RunState::Rejected] {
        assert!(shown.contains(&("runs".to_owned(), Some(metrics::state(state).to_owned()))), "{state:?}");
    }
}

#[test]
fn all_alarms_are_on_it() {
    let template = template::load().unwrap();
    let resources = template["Resources"].as_object().unwrap().iter();
    let alarms = resources.filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
    let alarms: BTreeSet<String> = alarms.map(|(name, _)| format!("${{{name}.Arn}}")).collect();
    let widgets = dashboard::widgets().unwrap();
    let shown = widgets.iter().filter_map(|widget| widget["properties"]["alarms"].as_array()).flatten();
    assert_eq!(shown.map(|arn| arn.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(), alarms);
}
