//! A service on a virtual clock.

use dropcollect::simulator::{Fault, Reply, Request, Scenario, Service};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// A service and the time.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) now: Timestamp,
}

/// When virtual worlds begin.
pub(crate) fn dawn() -> Timestamp {
    "2026-07-02T12:21:04.121Z".parse().expect("a time")
}

/// The scenario `calm` with differences in TOML.
pub(crate) fn calm(differences: &str) -> Scenario {
    Scenario::parse(&format!("based_on = \"calm\"\n{differences}")).expect("a scenario")
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self { service: Service::new(scenario), now: dawn() }
    }

    pub(crate) fn calm(differences: &str) -> Self {
        Self::new(calm(differences))
    }

    pub(crate) fn wait(&mut self, seconds: f64) {
        self.now += SignedDuration::from_millis((seconds * 1000.0) as i64);
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Reply {
        self.service.handle(self.now, request)
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        Answer::of(self.ask(&Request::new("GET", target, "")))
    }

    pub(crate) fn post(&mut self, target: &str, body: &str) -> Answer {
        Answer::of(self.ask(&Request::new("POST", target, body.to_owned())))
    }

    /// Triggers with `queue_next=1` and gives the id.
    pub(crate) fn trigger(&mut self, collector: &str, inputs: &Value) -> String {
        self.trigger_with(&format!("collector={collector}&queue_next=1"), inputs)
    }

    pub(crate) fn trigger_with(&mut self, query: &str, inputs: &Value) -> String {
        let answer = self.post(&format!("/dca/trigger?{query}"), &inputs.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["collection_id"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn dataset(&mut self, id: &str) -> Answer {
        self.get(&format!("/dca/dataset?id={id}"))
    }

    pub(crate) fn log(&mut self, id: &str) -> Value {
        self.get(&format!("/dca/log/{id}")).json()
    }

    /// Triggers, waits until everything is over, and gives the id and the rows.
    pub(crate) fn collect(&mut self, collector: &str, inputs: &Value) -> (String, Vec<Value>) {
        let id = self.trigger(collector, inputs);
        self.wait(60.0);
        let rows = self.dataset(&id).json().as_array().expect("an array").clone();
        (id, rows)
    }
}

/// A reply whose body has been read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) fault: Fault,
}

impl Answer {
    pub(crate) fn of(reply: Reply) -> Self {
        let (status, headers, fault) = (reply.status, reply.headers, reply.fault);
        let text = String::from_utf8(reply.body.into_bytes().to_vec()).expect("text");
        Self { status, text, headers, fault }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn json_or_text(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| Value::from(self.text.as_str()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// `n` inputs with different URLs.
pub(crate) fn urls(n: usize) -> Value {
    (0..n).map(|i| json!({"url": format!("https://shop.example/{i}")})).collect()
}
