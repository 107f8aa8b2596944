//! What happens at the API besides our own requests: somebody else triggers the same collector, the token is not accepted for a while
//! or is replaced, a request stays on the way, a gateway repeats what it was told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapters::dca::ReadToken;
use async_trait::async_trait;
use bytes::Bytes;
use dropcollect::clock::VirtualClock;
use dropcollect::memory::MemoryQueue;
use dropcollect::simulator::{Body, Fault, Reply, Request, Service};
use jiff::{SignedDuration, Timestamp};
use pipeline::policy::limits;
use pipeline::ports::{Clock, PortError};
use pipeline::schedule::later;
use secrecy::SecretString;

use super::cuts::Cuts;
use super::dice::Dice;

/// What every token has in it, so that it is recognised wherever it is told.
pub(super) const SECRET: &str = "s3cr3t";
const TOKENS: [&str; 2] = ["api-s3cr3t-one", "api-s3cr3t-two"];

/// Address of the function that takes notices.
pub(super) const ADDRESS: &str = "https://notices.example/";

/// What strangers call their runs.
const STRANGER: &str = "stranger";

/// What may happen outside of a world's pipeline.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// Others who trigger the same collector, at the times and with the sizes that are hardest to tell from ours.
    pub strangers: usize,
    /// From when the first token is refused.
    pub refused_from: Option<Timestamp>,
    /// From when a token is accepted again.
    pub refused_until: Option<Timestamp>,
    /// Whether that is another token, which the secret holds from then on.
    pub rotated: bool,
    /// One trigger in so many is late on its way; 0 for none.
    pub late_in: usize,
    /// Whether it may be later than the request's time-out: a machine that was suspended in between.
    pub late_for_long: bool,
    /// Whether error pages repeat the request's token.
    pub repeats_token: bool,
}

impl Weather {
    fn longest_way(&self) -> usize {
        if self.late_for_long { 280 } else { limits::TRIGGER_TIMEOUT_SECONDS as usize }
    }
}

/// The service as the world meets it.
#[derive(Clone)]
pub struct Outside {
    /// The service.
    pub service: Arc<Mutex<Service>>,
    weather: Weather,
    /// Where notices of the API go.
    notices: MemoryQueue,
    state: Arc<Mutex<State>>,
}

struct State {
    dice: Dice,
    /// Of when a notice comes, if it does.
    luck: Dice,
    strangers: usize,
    strange_inputs: u64,
    /// Triggers that were accepted later than their requests may take.
    late_jobs: BTreeSet<String>,
    /// When a request was turned away for want of room.
    turned_away: Vec<Timestamp>,
}

impl Outside {
    /// A service in this weather.
    pub fn new(service: Service, weather: Weather, notices: MemoryQueue, dice: Dice) -> Self {
        let strangers = weather.strangers;
        let luck = Dice::new(service.scenario().seed ^ 0x6E6F_7469);
        let state =
            State { dice, luck, strangers, strange_inputs: 0, late_jobs: BTreeSet::new(), turned_away: Vec::new() };
        Self { service: Arc::new(Mutex::new(service)), weather, notices, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service.
    pub fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Collections that were accepted after the time in which their request should have been answered.
    pub fn accepted_late(&self) -> BTreeSet<String> {
        self.lock().late_jobs.clone()
    }

    /// The most seconds that a request takes to the API after it has left.
    pub fn longest_way(&self) -> i64 {
        if self.weather.late_in == 0 { 0 } else { self.weather.longest_way() as i64 }
    }

    /// When requests were answered with 429, or that there are too many jobs.
    pub fn turned_away(&self) -> Vec<Timestamp> {
        self.lock().turned_away.clone()
    }

    /// Which token is accepted now.
    fn token(&self, now: Timestamp) -> &'static str {
        let (from, until) = (self.weather.refused_from, self.weather.refused_until);
        let (refused, over) = (from.is_some_and(|from| now >= from), until.is_some_and(|until| now >= until));
        match (refused, over, self.weather.rotated) {
            (true, true, true) => TOKENS[1],
            (true, false, _) => "none",
            _ => TOKENS[0],
        }
    }

    /// The secret that holds the token.
    pub fn secret(&self, clock: VirtualClock) -> Secret {
        Secret { outside: self.clone(), clock }
    }

    /// Between the last look at the clock and the first byte that the API sees.
    pub(super) fn on_the_way(&self, cuts: &Cuts) {
        let seconds = {
            let mut state = self.lock();
            if self.weather.late_in == 0 || !state.dice.one_in(self.weather.late_in) {
                return;
            }
            state.dice.below(self.weather.longest_way())
        };
        cuts.pass(SignedDuration::from_secs(seconds as i64));
    }

    /// Hands a request of ours to the service, and perhaps one of a stranger before or after it.
    pub(super) fn ask(&self, now: Timestamp, request: &Request, send_by: Option<Timestamp>) -> Reply {
        let token = self.token(now).to_owned();
        let mut service = self.service();
        if service.scenario().token.as_ref() != Some(&token) {
            service.change(|scenario| scenario.token = Some(token));
        }
        let trigger = request.path == "/dca/trigger";
        let order = if trigger { self.stranger(request) } else { None };
        if let Some((theirs, true)) = &order {
            service.handle(now, theirs);
        }
        let known = service.jobs().count();
        let mut reply = service.handle(now, request);
        if reply.status == 429 || (trigger && reply.status == 400) {
            self.lock().turned_away.push(now);
        }
        if send_by.is_some_and(|by| now > later(by, i64::from(limits::TRIGGER_TIMEOUT_SECONDS))) {
            let ours: Vec<String> = service.jobs().skip(known).map(|job| job.id().to_owned()).collect();
            self.lock().late_jobs.extend(ours);
        }
        if trigger {
            self.notify(now, request);
        }
        if let Some((theirs, false)) = &order {
            service.handle(later(now, 1), theirs);
        }
        let text = !reply.headers.iter().any(|(_, value)| value.contains("json"));
        if self.weather.repeats_token && reply.status >= 400 && text && reply.fault == Fault::None {
            let said = request.header("authorization").unwrap_or_default();
            let whole = [&reply.body.into_bytes()[..], b" ", said.as_bytes()].concat();
            reply.body = Body::Full(Bytes::from(whole));
        }
        reply
    }

    /// Notices of a trigger come when they like, whether it is accepted or not: early, late, twice or never.
    fn notify(&self, now: Timestamp, request: &Request) {
        let Some(notify) = request.param("notify") else { return };
        let notify: serde_json::Value = serde_json::from_str(notify).expect("JSON");
        let path =
            notify["endpoint"].as_str().and_then(|endpoint| endpoint.strip_prefix(ADDRESS)).expect("our address");
        let mut state = self.lock();
        for _ in 0..state.luck.pick(&[0, 1, 1, 2]) {
            let longest = state.luck.pick(&[10, 60, 600, 20_000]);
            let delay = state.luck.below(longest);
            self.notices.send(now, path, delay as u32);
        }
        if state.luck.one_in(20) {
            // Somebody else has found the address.
            self.notices.send(now, "/0123456789abcdef/1/1/00112233445566778899aabbccddeeff", 0);
        }
    }

    /// A stranger's trigger like this one of ours, and whether it comes first.
    fn stranger(&self, ours: &Request) -> Option<(Request, bool)> {
        let mut state = self.lock();
        if state.strangers == 0 || !state.dice.one_in(3) {
            return None;
        }
        state.strangers -= 1;
        let inputs: Vec<serde_json::Value> = serde_json::from_slice(&ours.body).unwrap_or_default();
        let mut input = || {
            state.strange_inputs += 1;
            format!(r#"{{"url":"https://stranger.example/{}"}}"#, state.strange_inputs)
        };
        let body = format!("[{}]", inputs.iter().map(|_| input()).collect::<Vec<_>>().join(","));
        let mut query: Vec<_> = ours.query.iter().filter(|(name, _)| name == "collector").cloned().collect();
        query.push(("name".to_owned(), STRANGER.to_owned()));
        Some((Request { query, body: body.into(), ..ours.clone() }, state.dice.one_in(2)))
    }
}

/// Whether the run of this name is a stranger's.
pub(super) fn is_strange(query: &[(String, String)]) -> bool {
    query.iter().any(|(name, value)| name == "name" && value == STRANGER)
}

/// The secret that holds the API token.
pub struct Secret {
    outside: Outside,
    clock: VirtualClock,
}

#[async_trait]
impl ReadToken for Secret {
    async fn read(&self) -> Result<SecretString, PortError> {
        let now = self.clock.now();
        let over = self.outside.weather.refused_until.is_some_and(|until| now >= until);
        let number = usize::from(self.outside.weather.rotated && over);
        Ok(TOKENS[number].to_owned().into())
    }
}
