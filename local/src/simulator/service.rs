//! The service as a whole: who may ask, what goes wrong on the way, and which endpoint answers.

use std::{collections::BTreeMap, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    builtin::Rules,
    dice::Dice,
    job::{Accepted, End, Job, Kind, Sheet, after},
    journal::{Action, Event, Journal},
    message::{Body, Fault, Reply, Request},
    route::Route,
    scenario::{Endpoint, RetryAfter, Scenario},
    schedule::Schedule,
    trigger::parse_deadline,
};

/// A check's result, or the reply that refuses the request.
pub(super) type Checked<T> = Result<T, Reply>;

/// The whole simulated service.
#[derive(Debug)]
pub struct Service {
    pub(super) scenario: Scenario,
    pub(super) schedule: Schedule,
    /// What holds for each collector, made when it is first asked for.
    rules: BTreeMap<String, Arc<Rules>>,
    /// How many jobs have had an input, by [`Page::key`](super::job::Page).
    seen: BTreeMap<u64, u32>,
    /// How often equal work was accepted, so that ids differ.
    accepted: BTreeMap<u64, u32>,
    /// How often equal requests were made, so that their luck differs.
    turns: BTreeMap<u64, u64>,
    calls: BTreeMap<String, u64>,
    /// The latest time that was seen; a request from before it is answered as of then.
    clock: Timestamp,
    journal: Option<Journal>,
}

impl Service {
    /// A service that forgets everything when it is dropped.
    pub fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            schedule: Schedule::default(),
            rules: BTreeMap::new(),
            seen: BTreeMap::new(),
            accepted: BTreeMap::new(),
            turns: BTreeMap::new(),
            calls: BTreeMap::new(),
            clock: Timestamp::MIN,
            journal: None,
        }
    }

    /// A service that keeps its accepted jobs in `dir`: each is written before it is answered, so that it survives
    /// SIGKILL. A torn last line is ignored. Open it with the scenario that it was made with.
    pub fn open(scenario: Scenario, dir: &Path) -> io::Result<Self> {
        let mut service = Self::new(scenario);
        let (journal, events) = Journal::open(dir)?;
        for event in events {
            service.tick(event.at());
            service.apply(event);
        }
        service.journal = Some(journal);
        Ok(service)
    }

    /// Answers one request. A request that looks at the service from the outside (`/_simulator/…`) is neither counted
    /// nor disturbed.
    pub fn handle(&mut self, now: Timestamp, request: &Request) -> Reply {
        self.tick(now);
        let route = Route::of(&request.method, &request.path);
        if let Route::Introspect(what) = route {
            return self.introspect(what);
        }
        let throw = self.throw(&route, request);
        let reply = self.disturbed(&route, request, throw);
        let fault = match reply.fault {
            Fault::None => format!("{} {}", route.label(), reply.status),
            Fault::NotConnected => format!("{} not connected", route.label()),
            Fault::AnswerLost => format!("{} {} lost", route.label(), reply.status),
            Fault::AnswerCut { .. } => format!("{} {} cut", route.label(), reply.status),
        };
        *self.calls.entry(fault).or_insert(0) += 1;
        reply
    }

    /// The accepted triggers and reruns in their order; real-time requests are left out.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.schedule.jobs.iter().filter(|job| job.kind() != Kind::Realtime)
    }

    /// How often each endpoint gave each status, as `POST /dca/trigger 200`; followed by ` lost` or ` cut` if the answer
    /// was, and ` not connected` instead of a status.
    pub fn calls(&self) -> &BTreeMap<String, u64> {
        &self.calls
    }

    /// The scenario.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Changes the scenario from now on: an outage begins or ends, a token is replaced. Accepted jobs keep the rules
    /// that they were accepted with.
    pub fn change(&mut self, change: impl FnOnce(&mut Scenario)) {
        change(&mut self.scenario);
        self.rules.clear();
    }

    pub(super) fn clock(&self) -> Timestamp {
        self.clock
    }

    pub(super) fn tick(&mut self, now: Timestamp) {
        self.clock = self.clock.max(now);
        self.schedule.settle(self.clock);
    }

    /// What is left to chance in a request: the same for the n-th equal request, whatever else is asked in between.
    fn throw(&mut self, route: &Route<'_>, request: &Request) -> Dice {
        let mut dice = Dice::new(self.scenario.seed, "request").text(route.label()).text(&request.path);
        for (name, value) in &request.query {
            dice = dice.text(name).text(value);
        }
        dice = dice.text(&String::from_utf8_lossy(&request.body));
        let turn = self.turns.entry(dice.value()).or_insert(0);
        *turn += 1;
        dice.number(*turn)
    }

    fn disturbed(&mut self, route: &Route<'_>, request: &Request, throw: Dice) -> Reply {
        let faults = self.faults(route);
        let chance = |purpose: &str, rate| throw.text(purpose).chance(rate);
        let latency = faults.latency_ms + throw.text("latency").below(faults.latency_spread_ms + 1);
        let mut reply = if chance("not connected", faults.not_connected) {
            Reply { fault: Fault::NotConnected, ..Reply::text(503, "") }
        } else if let Err(reply) = self.authorise(request) {
            reply
        } else if chance("429", faults.too_many) {
            self.with_retry_after(Reply::text(429, "Too many requests"))
        } else if chance("5xx", faults.server_error) {
            if matches!(route, Route::Trigger) && chance("accepted", self.scenario.trigger_error_accepted) {
                self.answer(route, request, throw);
            }
            self.server_error(throw.text("which"))
        } else if chance("brd", faults.brd_error) {
            let mut reply = Reply::text(200, "");
            if self.scenario.faults.brd_error_with_body {
                reply = self.answer(route, request, throw);
            }
            reply.with_header("x-brd-error", "Request failed, please try again")
        } else {
            self.answer(route, request, throw)
        };
        if reply.status < 300 && reply.fault == Fault::None {
            let lost = if matches!(route, Route::Trigger) {
                self.scenario.trigger_answer_lost
            } else {
                self.scenario.answer_lost
            };
            if chance("lost", lost) {
                reply.fault = Fault::AnswerLost;
            } else if chance("cut", faults.answer_cut) {
                let most = match &reply.body {
                    Body::Full(bytes) => bytes.len() as u64,
                    // A stream is not measured before it is made; these are large.
                    Body::Stream(_) => self.scenario.dataset.stream_above_bytes.max(2),
                };
                reply.fault = Fault::AnswerCut { after: throw.text("after").below(most) as usize };
            }
        }
        reply.delay += Duration::from_millis(latency);
        reply
    }

    fn faults(&self, route: &Route<'_>) -> Endpoint {
        let faults = &self.scenario.faults;
        match route {
            Route::Trigger => faults.trigger.clone(),
            Route::Dataset => faults.dataset.clone(),
            Route::Log(_) | Route::Errors(_) => faults.log.clone(),
            Route::Jobs | Route::Collectors => faults.list.clone(),
            Route::Control(..) => faults.control.clone(),
            Route::TriggerImmediate | Route::GetResult | Route::Crawl => faults.realtime.clone(),
            Route::Introspect(_) | Route::Unknown => Endpoint::default(),
        }
    }

    fn answer(&mut self, route: &Route<'_>, request: &Request, throw: Dice) -> Reply {
        let now = self.clock;
        match *route {
            Route::Trigger => self.trigger(now, request, throw.text("without id")),
            Route::Dataset => self.dataset(now, request, throw),
            Route::Log(id) => self.log(now, id, throw),
            Route::Errors(id) => self.errors(now, id, request),
            Route::Jobs => self.list(now, request, throw),
            Route::Collectors => self.collectors(request),
            Route::Control(id, action) => self.control(now, id, action, request),
            Route::TriggerImmediate => self.trigger_immediate(now, request),
            Route::GetResult => self.get_result(now, request),
            Route::Crawl => self.crawl(now, request),
            Route::Introspect(_) | Route::Unknown => Reply::text(404, "Not found"),
        }
    }

    /// 401 answers are plain text (observed by an official client's authors).
    fn authorise(&self, request: &Request) -> Checked<()> {
        let Some(header) = request.header("authorization").filter(|header| !header.trim().is_empty()) else {
            return Err(Reply::text(401, "User authentication is required"));
        };
        let key = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some(key) = key.map(|(_, key)| key.trim()).filter(|key| !key.is_empty()) else {
            return Err(Reply::text(401, "Auth method is not supported"));
        };
        match &self.scenario.token {
            Some(token) if token != key => Err(Reply::text(401, "Invalid credentials")),
            _ => Ok(()),
        }
    }

    fn server_error(&self, throw: Dice) -> Reply {
        let (status, title) = match throw.below(4) {
            0 => return Reply::text(500, "Internal server error"),
            1 => (502, "502 Bad Gateway"),
            2 => (503, "503 Service Temporarily Unavailable"),
            _ => (504, "504 Gateway Time-out"),
        };
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
        );
        let reply = if self.scenario.faults.gateway_html {
            Reply::new(status, "text/html", Body::Full(Bytes::from(page)))
        } else {
            Reply::text(status, title)
        };
        if status == 503 { self.with_retry_after(reply) } else { reply }
    }

    fn with_retry_after(&self, reply: Reply) -> Reply {
        let faults = &self.scenario.faults;
        let seconds = faults.retry_after_seconds;
        match faults.retry_after {
            RetryAfter::Seconds => reply.with_header("retry-after", seconds.to_string()),
            RetryAfter::Date => {
                let date = after(self.clock, i64::from(seconds) * 1000).to_zoned_datetime(TimeZone::UTC);
                reply.with_header("retry-after", date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
            }
            RetryAfter::Absent => reply,
        }
    }

    /// What holds for a collector. Exceptions that contradict themselves are found when a scenario is made; one that is
    /// put together in code and never checked counts as no exception.
    pub(super) fn rules(&mut self, collector: &str) -> Arc<Rules> {
        if let Some(rules) = self.rules.get(collector) {
            return Arc::clone(rules);
        }
        let rules = Rules::new(&self.scenario, collector).unwrap_or_else(|error| {
            tracing::warn!(collector, %error, "exceptions of the collector ignored");
            let plain = Scenario { collectors: BTreeMap::new(), ..self.scenario.clone() };
            Rules::new(&plain, collector).unwrap_or_default()
        });
        let rules = Arc::new(rules);
        self.rules.insert(collector.to_owned(), Arc::clone(&rules));
        rules
    }

    /// An id that no job has: from what it is to do, and how often that was accepted before.
    pub(super) fn fresh_id(&self, prefix: &str, collector: &str, inputs: &[String]) -> String {
        let work = work(self.scenario.seed, collector, inputs);
        let before = self.accepted.get(&work.value()).copied().unwrap_or(0);
        format!("{prefix}{}", work.text(prefix).number(u64::from(before)).name(18))
    }

    /// Writes the job down, then starts it. A job that cannot be written does not exist.
    pub(super) fn accept(&mut self, accepted: Accepted) -> Checked<usize> {
        self.record(Event::Accepted(accepted))?;
        Ok(self.schedule.jobs.len() - 1)
    }

    pub(super) fn record(&mut self, event: Event) -> Checked<()> {
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.append(&event)
        {
            tracing::error!(%error, "the simulator's journal cannot be written");
            return Err(Reply::text(500, "Internal server error"));
        }
        self.apply(event);
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Accepted(accepted) => self.start(accepted),
            Event::Control { at, id, action } => {
                let Some(index) = self.schedule.index(&id) else { return };
                match action {
                    Action::Cancel => self.schedule.finish(index, at, End::Canceled),
                    Action::Pause => self.schedule.pause(index, at),
                    Action::Resume => self.schedule.resume(index, at),
                }
            }
        }
    }

    fn start(&mut self, accepted: Accepted) {
        let rules = self.rules(&accepted.collector);
        let work = work(self.scenario.seed, &accepted.collector, &accepted.inputs);
        *self.accepted.entry(work.value()).or_insert(0) += 1;
        let param = |name| accepted.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let deadline = param("deadline").and_then(parse_deadline);
        if param("confirm_cancel") == Some("1") {
            // "Replace request" of the control panel.
            for index in self.schedule.running(&accepted.collector) {
                self.schedule.finish(index, accepted.at, End::Canceled);
            }
        }
        let same = |job: &&Job| job.collector() == accepted.collector && job.kind() != Kind::Realtime;
        let neighbour = self.schedule.jobs.iter().rev().find(same).map(|job| Arc::clone(&job.sheet));
        let neighbour = neighbour.filter(|_| rules.dataset.foreign > 0.0);
        let sheet = Sheet::new(accepted, rules, neighbour, &mut self.seen);
        self.schedule.add(Job::new(sheet, deadline));
    }
}

fn work(seed: u64, collector: &str, inputs: &[String]) -> Dice {
    inputs.iter().fold(Dice::new(seed, "work").text(collector), |dice, input| dice.text(input))
}
