//! How a world is made: everything follows from its seed.

use std::collections::{BTreeMap, BTreeSet};

use dropcollect::memory::MemoryInputs;
use dropcollect::simulator::{
    EndedDataset, Endpoint, ErrorList, ErrorRows, Format, Gone, OverCap, QueueNext, Regular, RetryAfter, Scenario,
};
use jiff::Timestamp;
use pipeline::decisions;
use pipeline::policy::{OnInDoubt, OutputCompression, OutputFormat, Policy};
use pipeline::schedule::later;
use pipeline::spending::Limits;
use pipeline::webhook::{Secret, Webhook};

use super::cuts::Aim;
use super::dice::Dice;
use super::files;
use super::outside::{ADDRESS, SECRET, Weather};
use super::points;

/// How a world is made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Seed.
    pub seed: u64,
    /// How many effects may be cut.
    pub faults: usize,
    /// What follows a lost answer.
    pub on_in_doubt: OnInDoubt,
    /// Whether the API too is in good health, and nobody interferes.
    pub calm: bool,
}

/// Many batches, and little room.
#[derive(Debug, Clone)]
pub struct Crowd {
    /// Batches, each of one input.
    pub batches: usize,
    /// Jobs of the collector that may run at the same time.
    pub jobs_max: usize,
    /// How long a job takes, in seconds.
    pub job_seconds: f64,
    /// Share of requests of any kind that are answered with 429, without `Retry-After`.
    pub too_many: f64,
}

/// What many handlers race for in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Race {
    /// Batches of one file, for the last page loads of a day.
    Limit,
    /// Small files, for the end of their runs.
    Ends,
}

impl Race {
    /// Handlers at the same time.
    pub(super) const HANDLERS: usize = 50;

    pub(super) fn files(self, inputs: &MemoryInputs, began: Timestamp) -> Vec<files::Dropped> {
        match self {
            Self::Limit => vec![files::drop_rows(inputs, "crowd.ndjson", 60, began)],
            Self::Ends => (0..12).map(|file| files::drop_rows(inputs, &format!("{file}.ndjson"), 1, began)).collect(),
        }
    }
}

impl Crowd {
    pub(super) fn press(&self, scenario: &mut Scenario) {
        (scenario.api.jobs_max, scenario.api.over_cap) = (self.jobs_max, OverCap::Error);
        let jobs = &mut scenario.jobs;
        (jobs.base_seconds, jobs.longest_seconds) = (self.job_seconds, self.job_seconds * 2.0);
        scenario.faults.retry_after = RetryAfter::Absent;
        scenario.faults.trigger.too_many = self.too_many;
        scenario.faults.dataset.too_many = self.too_many;
    }
}

impl Plan {
    /// The plan of a seed: all policies and all levels of faults, none included.
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x706C_616E);
        let on_in_doubt = dice.pick(&[
            OnInDoubt::Reconcile,
            OnInDoubt::Reconcile,
            OnInDoubt::Reconcile,
            OnInDoubt::Reconcile,
            OnInDoubt::Hold,
            OnInDoubt::Retrigger,
        ]);
        let faults = dice.pick(&[0, 4, 12, 12, 30]);
        Self { seed, faults, on_in_doubt, calm: faults == 0 && dice.one_in(2) }
    }

    /// Which effects are cut. Half of the worlds cut anything, the others a few kinds only, and those often.
    pub(super) fn aim(&self, dice: &mut Dice) -> Aim {
        let kinds: Vec<points::Point> = points::expected().collect();
        let mut only = BTreeSet::new();
        if !kinds.is_empty() && dice.one_in(2) {
            only.extend((0..4).map(|_| dice.pick(&kinds)));
            if dice.one_in(4) {
                only = points::RARE.iter().copied().collect();
            }
        }
        let mut rarity = if only.is_empty() { dice.pick(&[8, 20, 60]) } else { dice.pick(&[1, 2, 3]) };
        if self.race() == Some(Race::Ends) {
            // What the last of them writes stays.
            (only, rarity) = ([points::Point::new("put", "accounts")].into(), dice.pick(&[1, 2]));
        }
        Aim { budget: self.faults, rarity, pause_ms: 40, only }
    }

    pub(super) fn policy(&self, dice: &mut Dice) -> Policy {
        let collector = if self.calm || !dice.one_in(12) { "c_world1" } else { dice.pick(COLLECTORS) };
        Policy {
            default_collector: Some(collector.to_owned()),
            batch_inputs_max: dice.pick(&[1, 3, 7, 20, 40]),
            batch_bytes_max: dice.pick(&[300, 2_000, 5_000_000]),
            attempts_max: dice.pick(&[1, 2, 3, 3]),
            collection_deadline_seconds: dice.pick(&[3_600, 86_400]),
            retry_unattributed: !dice.one_in(4),
            retry_codes: self.retry_codes(),
            output_format: dice.pick(&[OutputFormat::Ndjson, OutputFormat::Ndjson, OutputFormat::Json]),
            output_compression: dice.pick(&[OutputCompression::None, OutputCompression::None, OutputCompression::Gzip]),
            on_in_doubt: self.on_in_doubt,
            in_doubt_window_seconds: 600,
            trigger_defaults: BTreeMap::new(),
        }
    }

    /// Whether many handlers race for the last page loads of a day.
    pub fn races_for_a_limit(&self) -> bool {
        self.race() == Some(Race::Limit)
    }

    /// In one world of fifteen, many handlers race for something.
    pub(super) fn race(&self) -> Option<Race> {
        let mut dice = Dice::new(self.seed ^ 0x7261_6365);
        (!self.calm && dice.one_in(15)).then(|| dice.pick(&[Race::Limit, Race::Ends]))
    }

    /// In one world of five, little may be spent.
    pub(super) fn limits(&self) -> Limits {
        let mut dice = Dice::new(self.seed ^ 0x6C69_6D69);
        match self.race() {
            Some(Race::Limit) => return dice.pick(&["day=10", "day=25"]).parse().expect("they are limits"),
            Some(Race::Ends) => return Limits::default(),
            None => {}
        }
        if self.calm || !dice.one_in(5) {
            return Limits::default();
        }
        let most = dice.pick(&[10, 25, 60]);
        let limits = dice.pick(&["day=N", "c_world1.day=N day=N", "file=N", "file=N day=N", "c_world1.file=N"]);
        limits.replace('N', &most.to_string()).parse().expect("they are limits")
    }

    /// In one world of three, the API is asked for notices.
    pub(super) fn webhook(&self) -> Option<Webhook> {
        let mut dice = Dice::new(self.seed ^ 0x6E6F_7465);
        let secret = Secret::new(&format!("{SECRET} of the notices")).expect("it is long enough");
        (!self.calm && dice.one_in(3)).then(|| Webhook { address: ADDRESS.to_owned(), secret })
    }

    /// In one world of nine, decisions that nobody would take.
    fn retry_codes(&self) -> decisions::Overrides {
        let text = if self.seed % 9 == 4 { "dead_page=30x1 timeout=never collection_failed=900x2 *=15" } else { "" };
        decisions::overrides(text).expect("they are decisions")
    }

    pub(super) fn weather(&self, dice: &mut Dice, began: Timestamp) -> Weather {
        if self.calm {
            return Weather::default();
        }
        let from = later(began, dice.below(900) as i64);
        let refused = dice.one_in(6);
        let longest = dice.pick(&[120, 3_600, 9 * 86_400]);
        Weather {
            strangers: dice.pick(&[0, 0, 1, 4]),
            refused_from: refused.then_some(from),
            refused_until: refused.then_some(later(from, dice.below(longest) as i64)),
            rotated: dice.one_in(2),
            late_in: dice.pick(&[0, 0, 3]),
            late_for_long: dice.one_in(8),
            repeats_token: dice.one_in(3),
        }
    }

    /// The service: of its quirks, some in each world.
    pub(super) fn scenario(&self, dice: &mut Dice, collectors: &BTreeSet<String>) -> Scenario {
        let stuck = collectors.contains("c_stuck000");
        let names: &[&str] = if self.calm { &["calm", "default"] } else { &["calm", "default", "rough", "rough"] };
        let mut scenario = Scenario::named(dice.pick(names)).expect("a scenario");
        // TOML has no larger numbers.
        scenario.seed = dice.roll() >> 1;
        scenario.inputs.transient = dice.pick(&[0.0, 0.1, 0.4]);
        scenario.inputs.permanent = dice.pick(&[0.0, 0.05, 0.3]);
        scenario.inputs.nothing = dice.pick(&[0.0, 0.05]);
        if !self.calm {
            triggers(dice, &mut scenario);
            jobs(dice, &mut scenario);
            datasets(dice, &mut scenario);
            trouble(dice, &mut scenario);
            if collectors.contains("c_crowded0") {
                scenario.jobs.stuck = 0.0;
            }
            // What never ends, when a lost answer leaves nobody to cancel it, must not keep others from starting for ever.
            if scenario.jobs.stuck > 0.0 || stuck {
                (scenario.api.jobs_max, scenario.api.queue_next) = (100, QueueNext::Ignored);
            }
        }
        scenario.check().expect("shares");
        scenario
    }
}

/// Collectors with one problem each. Those that refuse the token for ever are left out: their worlds would never rest.
pub(super) const COLLECTORS: &[&str] = &[
    "c_unknown0",
    "c_trial00",
    "c_schema00",
    "c_changed0",
    "c_changed1",
    "c_realtime",
    "c_template",
    "c_crowded0",
    "c_jsonlines",
    "c_csvfile0",
    "c_single00",
    "c_wrapped0",
    "c_silent00",
    "c_hidden00",
    "c_empty000",
    "c_rejects0",
    "c_flaky000",
    "c_partial0",
    "c_shuffled",
    "c_noecho00",
    "c_foreign0",
    "c_failed00",
    "c_stuck000",
    "c_expired0",
    "c_hidelist",
];

/// A share for one world in `n`, 0 in the others.
fn some(dice: &mut Dice, n: usize, shares: &[f64]) -> f64 {
    let share = dice.pick(shares);
    if dice.one_in(n) { share } else { 0.0 }
}

fn triggers(dice: &mut Dice, scenario: &mut Scenario) {
    scenario.trigger_answer_lost = dice.pick(&[0.0, 0.1, 0.1, 0.5]);
    scenario.trigger_error_accepted = dice.pick(&[0.0, 0.5, 1.0]);
    scenario.trigger_without_id = some(dice, 5, &[0.05, 0.5]);
    scenario.answer_lost = some(dice, 3, &[0.02, 0.2]);
    let api = &mut scenario.api;
    api.queue_next = dice.pick(&[QueueNext::Now, QueueNext::Now, QueueNext::Behind, QueueNext::Ignored]);
    api.regular =
        dice.pick(&[Regular::Accept, Regular::Accept, Regular::Accept, Regular::Conflict, Regular::BadRequest]);
    api.jobs_max = dice.pick(&[100, 100, 100, 1, 2, 5]);
    api.over_cap = dice.pick(&[OverCap::Queue, OverCap::Error]);
    api.start_eta = dice.one_in(2);
    api.schema_error_json = dice.one_in(2);
}

fn jobs(dice: &mut Dice, scenario: &mut Scenario) {
    let jobs = &mut scenario.jobs;
    if dice.one_in(6) {
        // Jobs of hours, some beyond the deadline.
        jobs.base_seconds = dice.pick(&[600.0, 3_000.0, 20_000.0]);
        jobs.spread_seconds = dice.pick(&[0.0, 3_000.0]);
        jobs.longest_seconds = 30_000.0;
    }
    jobs.building_seconds = dice.pick(&[0.3, 3.0, 3.0, 120.0]);
    jobs.hint_seconds = dice.pick(&[3, 30]);
    jobs.failed = some(dice, 4, &[0.05, 0.3]);
    jobs.stuck = some(dice, 8, &[0.1, 0.5]);
    jobs.collapse_duplicates = !dice.one_in(4);
    jobs.count_before_collapse = !dice.one_in(4);
    jobs.invisible_seconds = dice.pick(&[0.0, 0.0, 2.0, 50.0, 300.0]);
    jobs.early_status = dice.pick(&[404, 404, 400]);
    jobs.unlisted_seconds = dice.pick(&[0.0, 0.0, 20.0, 300.0, 599.0]);
    if dice.one_in(12) {
        jobs.unlisted_seconds = dice.pick(&[700.0, 1_500.0, 20_000.0]);
    }
    jobs.expires_seconds = dice.one_in(15).then(|| dice.pick(&[60.0, 3_000.0, 86_400.0]));
    jobs.expired = dice.pick(&[Gone::Missing, Gone::Empty]);
    let ends = [EndedDataset::Partial, EndedDataset::Status, EndedDataset::Empty, EndedDataset::Missing];
    (jobs.canceled, jobs.failed_dataset) = (dice.pick(&ends), dice.pick(&ends));
    jobs.status_with_200 = some(dice, 3, &[0.2, 1.0]);
    jobs.cancelled_with_ll = dice.one_in(2);
    jobs.log_without_status = some(dice, 4, &[0.2, 1.0]);
    jobs.log_building = dice.one_in(3);
    jobs.log_title_case = dice.one_in(4);
    jobs.log_broken = some(dice, 3, &[0.05, 0.4]);
    jobs.error_list = dice.pick(&[ErrorList::Works, ErrorList::Works, ErrorList::Empty, ErrorList::Missing]);
    jobs.error_list_without_scheme = dice.one_in(2);
}

fn datasets(dice: &mut Dice, scenario: &mut Scenario) {
    let inputs = &mut scenario.inputs;
    inputs.many = dice.pick(&[0.0, 0.05, 0.5]);
    inputs.partial = some(dice, 4, &[0.02, 0.3]);
    inputs.uncoded = dice.pick(&[0.0, 0.2]);
    let dataset = &mut scenario.dataset;
    dataset.format = dice.pick(&[Format::Json, Format::Json, Format::Jsonl, Format::Csv]);
    dataset.heed_format = !dice.one_in(3);
    dataset.bare_single = dice.one_in(3);
    dataset.errors = dice.pick(&[ErrorRows::Combined, ErrorRows::Combined, ErrorRows::Absent]);
    dataset.shuffled = dice.one_in(2);
    dataset.foreign = some(dice, 8, &[0.1, 1.0]);
    dataset.wrapped = dice.one_in(8).then(|| "entries".to_owned());
    dataset.echo_defaulted = some(dice, 4, &[0.1, 1.0]);
    dataset.echo_reordered = some(dice, 4, &[0.3, 1.0]);
    dataset.echo_respelled = some(dice, 4, &[0.1, 1.0]);
    dataset.echo_absent = some(dice, 10, &[0.1, 1.0]);
    dataset.echo_rewritten = some(dice, 12, &[0.1, 1.0]);
    dataset.gzip = false;
}

fn trouble(dice: &mut Dice, scenario: &mut Scenario) {
    let faults = &mut scenario.faults;
    faults.retry_after = dice.pick(&[RetryAfter::Seconds, RetryAfter::Date, RetryAfter::Absent]);
    faults.retry_after_seconds = dice.pick(&[2, 60, 900]);
    faults.gateway_html = dice.one_in(2);
    faults.brd_error_with_body = dice.one_in(2);
    for endpoint in [&mut faults.trigger, &mut faults.dataset, &mut faults.log, &mut faults.list, &mut faults.control] {
        if dice.one_in(3) {
            *endpoint = Endpoint {
                not_connected: some(dice, 3, &[0.03, 0.3]),
                answer_cut: some(dice, 3, &[0.02, 0.3]),
                server_error: some(dice, 3, &[0.06, 0.3]),
                too_many: some(dice, 3, &[0.06, 0.3]),
                brd_error: some(dice, 5, &[0.02]),
                ..Endpoint::default()
            };
        }
    }
}
