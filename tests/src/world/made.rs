//! How a world is put together, from its seed or for a crowd.

use std::sync::Arc;

use adapters::dca;
use dropcollect::clock::VirtualClock;
use dropcollect::memory::{MemoryInputs, MemoryQueue, MemoryQueues, MemoryStore};
use dropcollect::queue::QueueSettings;
use dropcollect::simulator::Service;
use futures_util::FutureExt;
use jiff::Timestamp;
use pipeline::Pipeline;
use pipeline::policy::OnInDoubt;
use pipeline::spending::Limits;

use super::cuts::Cuts;
use super::dice::Dice;
use super::outside::Outside;
use super::people::People;
use super::plan::Race;
use crate::watched::Watched;

use super::{Crowd, Plan, Repeats, STRAYS, World, files, ports};

impl World {
    /// Makes a world.
    pub fn new(plan: &Plan) -> Self {
        Self::of(plan, None)
    }

    /// A world in good health in which many batches want to be sent at once.
    pub fn crowded(crowd: &Crowd) -> Self {
        Self::of(&Plan { seed: 1, faults: 0, on_in_doubt: OnInDoubt::Reconcile, calm: true }, Some(crowd))
    }

    fn of(plan: &Plan, crowd: Option<&Crowd>) -> Self {
        let mut dice = Dice::new(plan.seed);
        let began: Timestamp = "2026-03-01T23:50:00Z".parse().expect("a time");
        let clock = VirtualClock::at(began);
        let mut aim = plan.aim(&mut dice);
        let race = plan.race();
        let handlers_max = match (crowd, race) {
            (Some(_), _) => 20,
            (_, Some(_)) => Race::HANDLERS,
            _ => 4,
        };
        if handlers_max > 4 {
            // They share the one clock of a world.
            aim.pause_ms = 3;
        }
        let cuts = Cuts::new(clock.clone(), Dice::new(dice.roll()), aim);
        let mut policy = plan.policy(&mut dice);
        let limits = if crowd.is_some() { Limits::default() } else { plan.limits() };
        let weather = plan.weather(&mut dice, began);
        let inputs = MemoryInputs::versioned().with_piece_bytes(dice.pick(&[1, 17, 4_096]));
        let mut dropped = files::drop_some(&mut dice, &inputs, began, plan.calm);
        if let Some(crowd) = crowd {
            dropped = vec![files::drop_rows(&inputs, "crowd.ndjson", crowd.batches, began)];
        } else if let Some(race) = race {
            dropped = race.files(&inputs, began);
        }
        if crowd.is_some() || race.is_some() {
            policy.batch_inputs_max = 1;
        }
        let collectors = dropped.iter().filter_map(|file| file.collector.clone());
        let collectors = collectors.chain(policy.default_collector.clone()).collect();
        let mut scenario = plan.scenario(&mut dice, &collectors);
        if let Some(crowd) = crowd {
            crowd.press(&mut scenario);
        }
        let service = Service::new(scenario);
        let notices = MemoryQueue::new("notices", QueueSettings::default());
        let outside = Outside::new(service, weather, notices.clone(), Dice::new(dice.roll()));
        let store = MemoryStore::new();
        let settings = QueueSettings { receives_max: Some(1_000), retention_seconds: Some(14 * 86_400) };
        let queues = MemoryQueues::new(Arc::new(clock.clone()), settings);
        let wire = ports::Wire { outside: outside.clone(), clock: clock.clone(), cuts: cuts.clone() };
        let secret = outside.secret(clock.clone());
        let token = dca::RereadToken::read(secret, Arc::new(clock.clone())).now_or_never();
        let token = token.expect("the secret is there").expect("a token");
        let client =
            dca::Client::new(wire, Arc::new(token), Arc::new(clock.clone())).with_backoff(dca::Backoff::none());
        let watched = Watched::default();
        let pipeline = Pipeline {
            store: Arc::new(ports::CutStore(store.clone(), cuts.clone())),
            queues: Arc::new(ports::CutQueues(queues.clone(), cuts.clone())),
            api: Arc::new(ports::CutApi(client, cuts.clone())),
            clock: Arc::new(clock.clone()),
            policy: policy.clone(),
            limits: limits.clone(),
            notices: Arc::new(ports::CutNotices(watched.clone(), cuts.clone())),
            metrics: Arc::new(watched.clone()),
            webhook: if crowd.is_some() { None } else { plan.webhook() },
            alone_since: None,
        };
        let events = MemoryQueue::new("events", settings);
        for file in &dropped {
            let body = serde_json::to_string(&file.object).expect("an object");
            events.send(began, &body, dice.below(30) as u32);
            if dice.one_in(3) {
                // S3 sends some events twice, as messages of their own, and the second one late.
                let longest = dice.pick(&[600, 600, 86_400, 900_000]);
                events.send(began, &body, dice.below(longest) as u32);
            }
        }
        if plan.faults > 0 && dice.one_in(6) {
            let queue = dice.pick(&[&queues.poll, &queues.retry]);
            queue.send(began, dice.pick(&STRAYS), dice.below(3_600) as u32);
        }
        let inputs = Arc::new(ports::CutInputs(inputs, cuts.clone()));
        let people = People::new(&mut dice, began, plan.calm);
        if !plan.calm {
            let runs = dropped.iter().map(|file| file.object.run());
            people.cancel_some(&mut Dice::new(plan.seed ^ 0x7374_6F70), began, runs.clone());
            if race.is_none() {
                people.let_some_over(&mut Dice::new(plan.seed ^ 0x6F76_6572), began, runs, &limits);
            }
            people.switch_some(&mut Dice::new(plan.seed ^ 0x7061_7573), began);
        }
        let may = if plan.faults > 0 {
            Repeats { duplicates: 3, redrives: dice.pick(&[0, 0, 2]), ..Repeats::default() }
        } else {
            Repeats { duplicates: 3, ..Repeats::default() }
        };
        Self {
            plan: plan.clone(),
            policy,
            limits,
            store,
            outside,
            queues,
            events,
            notices,
            dropped,
            watched,
            cuts,
            began,
            clock,
            deliveries: 0,
            repeats: Repeats::default(),
            pipeline: Arc::new(pipeline),
            inputs,
            dice,
            moves: Vec::new(),
            people,
            handlers_max,
            may,
        }
    }
}
