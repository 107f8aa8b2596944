//! What must hold in every world at rest. Each property has a name, and says what broke it.

mod costs;
mod files;
mod money;
mod page;
mod paid;
pub(super) mod secrets;
mod watched;

use dropcollect::queue::DeadLetter;

pub(super) use files::was_cut_short;
pub(super) use paid::orphans;

pub use super::tally::Tally;
use super::{FOR_GOOD, IN_A_ROW, STRAYS, TOO_OFTEN, World};

/// A property that does not hold in a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its name, one of [`PROPERTIES`].
    pub property: &'static str,
    /// What broke it.
    pub what: String,
}

impl Broken {
    /// A broken property.
    pub fn new(property: &'static str, what: impl Into<String>) -> Self {
        Self { property, what: what.into() }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.property, self.what)
    }
}

/// Every property: its name, and what it says.
pub const PROPERTIES: &[(&str, &str)] = &[
    ("no_panic", "No handler panics."),
    ("comes_to_rest", "A world whose faults have ended comes to rest."),
    ("status_is_conserved", "Every status that anybody may read accounts for every row."),
    ("no_secret_is_told", "The API token is in no stored object, no message and no line of the log."),
    ("no_message_is_left", "No message is left over, dead or expired."),
    ("run_is_conserved", "Every row of every file is accounted for once, in a manifest or as held."),
    ("outputs_hold_the_records", "Output objects hold exactly the records that the manifest counts."),
    (
        "failures_are_listed",
        "The failed file holds the failed inputs, and the error list has one line for each and for each rejected row.",
    ),
    (
        "accepted_once",
        "No slice of a batch attempt is accepted twice, but where the policy or a documented limit says so.",
    ),
    ("resends_are_counted", "The manifest counts every send that was made again after one in doubt."),
    (
        "nothing_is_orphaned",
        "Every collection that the API accepted is in a manifest, or belongs to held work, or to a send that was counted as made again.",
    ),
    ("strangers_are_told_apart", "A collection of somebody else is only believed where its dataset names no input."),
    ("datasets_are_whole", "A manifest counts as many records of a collection as its dataset has."),
    (
        "records_are_not_failures",
        "An input with a record in a dataset of ours is counted as such, and is not in the failed file.",
    ),
    (
        "a_cancelled_run_stops",
        "Of a run that somebody stopped nothing is triggered once the last send has had its time.",
    ),
    (
        "a_pause_stops_everything",
        "While everything is paused nothing is triggered once the last send has had its time.",
    ),
    ("a_notice_starts_nothing", "Nothing is triggered because of a notice of the API."),
    ("limits_hold", "No more is triggered than the spending limits allow, however many send at the same time."),
    ("nothing_stays_reserved", "What is over holds nothing of a spending limit, and waits for none."),
    ("accounts_add_up", "What the manifests and the accounts say was paid for is what the API accepted."),
    ("looks_are_bounded", "A collection is looked at as often as the logarithm of its duration allows."),
    ("calls_are_bounded", "Calls to AWS are bounded by batches, attempts and deliveries."),
    (
        "runs_are_told",
        "Whoever wants to know is told of every run that is over, with what its manifest says, and of nothing else.",
    ),
    (
        "the_page_is_true",
        "The status page says of every run that is over what its manifest says, at the latest after the next sweep.",
    ),
    ("the_page_costs_little", "The status page is written when a run ends, by a sweep, and beyond that once a minute."),
    ("metrics_are_true", "Metrics never count more than there is, and all of it where no handler was disturbed."),
];

/// Checks a world at rest: the first broken property is the error.
pub fn check(world: &World) -> Result<Tally, Broken> {
    let broken = |property| move |what| Broken::new(property, what);
    no_message_is_left(world).map_err(broken("no_message_is_left"))?;
    for dropped in &world.dropped {
        files::run_is_conserved(world, dropped)
            .map_err(|broken| Broken { what: format!("{}: {}", dropped.object.key, broken.what), ..broken })?;
    }
    let paid = paid::Paid::of(world);
    paid.accepted_once().map_err(broken("accepted_once"))?;
    paid.resends_are_counted().map_err(broken("resends_are_counted"))?;
    paid.nothing_is_orphaned().map_err(broken("nothing_is_orphaned"))?;
    paid.strangers_are_told_apart().map_err(broken("strangers_are_told_apart"))?;
    paid.datasets_are_whole().map_err(broken("datasets_are_whole"))?;
    paid.records_are_not_failures().map_err(broken("records_are_not_failures"))?;
    paid.a_cancelled_run_stops().map_err(broken("a_cancelled_run_stops"))?;
    money::a_pause_stops_everything(world).map_err(broken("a_pause_stops_everything"))?;
    money::limits_hold(world).map_err(broken("limits_hold"))?;
    money::nothing_stays_reserved(world).map_err(broken("nothing_stays_reserved"))?;
    money::accounts_add_up(world).map_err(broken("accounts_add_up"))?;
    costs::looks_are_bounded(world).map_err(broken("looks_are_bounded"))?;
    costs::calls_are_bounded(world).map_err(broken("calls_are_bounded"))?;
    watched::runs_are_told(world).map_err(broken("runs_are_told"))?;
    page::the_page_is_true(world).map_err(broken("the_page_is_true"))?;
    page::the_page_costs_little(world).map_err(broken("the_page_costs_little"))?;
    watched::metrics_are_true(world).map_err(broken("metrics_are_true"))?;
    Ok(Tally::of(world))
}

/// Dead letters are messages of nobody, and those that the queue itself gave up for a while.
fn no_message_is_left(world: &World) -> Result<(), String> {
    for queue in world.all_queues() {
        if let Some(message) = queue.messages().first() {
            return Err(format!("message left: {}", message.body));
        }
        let moved_back =
            |dead: &DeadLetter| dead.why == TOO_OFTEN || (dead.why.contains(IN_A_ROW) && !dead.why.ends_with(FOR_GOOD));
        let expected = |dead: &DeadLetter| moved_back(dead) || STRAYS.contains(&dead.message.body.as_str());
        if let Some(dead) = queue.dead().iter().find(|dead| !expected(dead)) {
            return Err(format!("dead letter: {} because {}", dead.message.body, dead.why));
        }
        if let Some(expired) = queue.expired().first() {
            return Err(format!("expired message: {}", expired.body));
        }
    }
    Ok(())
}

/// What the ledger says, for whoever looks into a broken world.
pub fn story(world: &World) -> String {
    let mut story = format!("policy {:?}\n", world.policy);
    for (key, object) in world.store.snapshot() {
        let told = key.contains("/attempts/") || key.contains("ledger/collections/") || key.contains("/held/");
        if told && !key.contains("poller") {
            let body = String::from_utf8_lossy(&object.body).chars().take(400).collect::<String>();
            story.push_str(&format!("{key}\n    {body}\n"));
        }
    }
    let service = world.outside.service();
    for job in service.jobs() {
        let inputs = job.texts().len();
        story.push_str(&format!(
            "job {} at {} inputs {inputs} status {} {:?}\n",
            job.id(),
            job.at(),
            job.status(),
            job.query()
        ));
    }
    story
}
