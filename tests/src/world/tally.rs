//! What worlds came to, for totals over many of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pipeline::keys;
use pipeline::manifest::{InputCounts, Manifest};
use pipeline::policy::OnInDoubt;

use super::checks::was_cut_short;
use super::cuts::Cut;
use super::outside::is_strange;
use super::points::{self, Point};
use super::{World, read};

/// What a world came to, for totals over many worlds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Worlds.
    pub worlds: u64,
    /// Effects that handlers made, by kind.
    pub effects: BTreeMap<Point, u64>,
    /// Effects that were cut, by kind and cut.
    pub faults: BTreeMap<(Point, Cut), u64>,
    /// Messages delivered.
    pub deliveries: u64,
    /// Triggers that the API accepted.
    pub accepted: u64,
    /// Of them, those beyond the first of the same slice of a batch attempt.
    pub accepted_again: u64,
    /// The same, by policy.
    pub accepted_again_by: BTreeMap<&'static str, u64>,
    /// Runs that ended with a manifest.
    pub manifests: u64,
    /// Inputs that wait for a person.
    pub held: u64,
    /// Rows of all files.
    pub rows: u64,
    /// Inputs that no manifest accounts for, although nothing is held.
    pub lost_inputs: u64,
    /// Collections that are in no manifest, although nothing is held.
    pub orphaned: u64,
    /// Collections of lost answers that were found in the job list.
    pub adopted: u64,
    /// Messages that were delivered again after they were deleted.
    pub duplicates: u64,
    /// Messages that went to the dead letters and came back.
    pub redrives: u64,
    /// Messages that were delivered while a handler worked on them.
    pub overlaps: u64,
    /// Messages that got lost.
    pub losses: u64,
    /// Sweeps.
    pub sweeps: u64,
    /// Runs that somebody stopped.
    pub cancelled: u64,
    /// Decisions that people took about held work.
    pub decisions: u64,
    /// Collections that came to light after their send had been given up.
    pub late: u64,
    /// Triggers of others.
    pub strangers: u64,
}

impl Tally {
    /// What a world came to, whether or not its properties hold.
    pub fn of(world: &World) -> Self {
        let count = |prefix, end| world.store.keys(prefix).iter().filter(|key| key.ends_with(end)).count() as u64;
        let mut tally = Self {
            worlds: 1,
            deliveries: world.deliveries,
            effects: world.cuts.effects(),
            faults: world.cuts.injected(),
            duplicates: world.repeats.duplicates,
            redrives: world.repeats.redrives,
            overlaps: world.repeats.overlaps,
            losses: world.repeats.losses,
            sweeps: world.repeats.sweeps,
            cancelled: count("ledger/runs/", "/cancel.json"),
            decisions: count("ledger/runs/", ".released.json"),
            late: count("late/", ".note.json"),
            strangers: world.outside.service().jobs().filter(|job| is_strange(job.query())).count() as u64,
            ..Self::default()
        };
        for dropped in &world.dropped {
            tally.rows += dropped.read;
            let run = dropped.object.run();
            let held = world.held_inputs(&run);
            tally.held += held;
            let accounted = match read::<Manifest>(world, &keys::manifest(&keys::input_path(&dropped.object.key), &run))
            {
                Some(manifest) => {
                    tally.manifests += 1;
                    tally.adopted += manifest.collections.iter().filter(|collection| collection.adopted).count() as u64;
                    let InputCounts { with_records, no_record, failed, .. } = manifest.inputs;
                    match was_cut_short(&manifest) {
                        true => dropped.inputs.len() as u64,
                        false => with_records + no_record + failed,
                    }
                }
                None if held > 0 => dropped.inputs.len() as u64,
                None => 0,
            };
            tally.lost_inputs += (dropped.inputs.len() as u64).saturating_sub(accounted);
        }
        let sends = world.accepted_sends();
        tally.accepted = sends.values().map(|ids| ids.len() as u64).sum();
        tally.accepted_again = sends.values().map(|ids| ids.len() as u64 - 1).sum();
        tally.accepted_again_by.insert(name_of(world.policy.on_in_doubt), tally.accepted_again);
        tally.orphaned = super::checks::orphans(world).len() as u64;
        tally
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        add(&mut self.effects, &other.effects);
        add(&mut self.faults, &other.faults);
        self.deliveries += other.deliveries;
        self.accepted += other.accepted;
        self.accepted_again += other.accepted_again;
        add(&mut self.accepted_again_by, &other.accepted_again_by);
        self.manifests += other.manifests;
        self.held += other.held;
        self.rows += other.rows;
        self.lost_inputs += other.lost_inputs;
        self.orphaned += other.orphaned;
        self.adopted += other.adopted;
        self.duplicates += other.duplicates;
        self.redrives += other.redrives;
        self.overlaps += other.overlaps;
        self.losses += other.losses;
        self.sweeps += other.sweeps;
        self.decisions += other.decisions;
        self.cancelled += other.cancelled;
        self.late += other.late;
        self.strangers += other.strangers;
    }

    /// How often this effect was cut before (or after) it took place, in any way.
    pub fn visits(&self, point: Point, after: bool) -> u64 {
        let here = |(effect, cut): &(Point, Cut)| *effect == point && cut.is_after() == after;
        self.faults.iter().filter(|(cut, _)| here(cut)).map(|(_, count)| count).sum()
    }

    /// The crash points that were declared and not visited: the effect, and whether before or after it.
    pub fn unvisited(&self) -> Vec<String> {
        let sides = points::expected().flat_map(|point| [(point, false), (point, true)]);
        let missing = sides.filter(|(point, after)| self.visits(*point, *after) == 0);
        missing.map(|(point, after)| format!("{} {point}", if after { "after" } else { "before" })).collect()
    }

    /// Kinds of effects that were made and that nobody declared.
    pub fn undeclared(&self) -> Vec<String> {
        let declared: BTreeSet<Point> = points::expected().collect();
        self.effects.keys().filter(|point| !declared.contains(point)).map(Point::to_string).collect()
    }
}

fn add<K: Copy + Ord>(sums: &mut BTreeMap<K, u64>, others: &BTreeMap<K, u64>) {
    for (key, count) in others {
        *sums.entry(*key).or_default() += count;
    }
}

fn name_of(policy: OnInDoubt) -> &'static str {
    match policy {
        OnInDoubt::Reconcile => "reconcile",
        OnInDoubt::Hold => "hold",
        OnInDoubt::Retrigger => "retrigger",
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.values().sum();
        writeln!(f, "worlds {}, rows {}, manifests {}", self.worlds, self.rows, self.manifests)?;
        writeln!(f, "effects {}, deliveries {}, faults {faults}", self.effects.values().sum::<u64>(), self.deliveries)?;
        let mut kinds: BTreeMap<Cut, u64> = BTreeMap::new();
        for ((_, cut), count) in &self.faults {
            *kinds.entry(*cut).or_default() += count;
        }
        for (cut, count) in kinds {
            writeln!(f, "  {count:>8} {cut:?}")?;
        }
        writeln!(f, "crash points               {:>11} {:>8} {:>8}", "made", "before", "after")?;
        let listed: BTreeSet<Point> = points::expected().chain(self.effects.keys().copied()).collect();
        for point in listed {
            let made = self.effects.get(&point).copied().unwrap_or(0);
            let (before, after) = (self.visits(point, false), self.visits(point, true));
            writeln!(f, "  {point:<26} {made:>10} {before:>8} {after:>8}")?;
        }
        let undeclared = self.undeclared();
        if !undeclared.is_empty() {
            writeln!(f, "crash points that nobody declared: {}", undeclared.join(", "))?;
        }
        match self.unvisited() {
            missing if missing.is_empty() => writeln!(f, "crash points visited: complete")?,
            missing if missing.len() > 40 => writeln!(f, "crash points not visited: {}", missing.len())?,
            missing => writeln!(f, "crash points not visited: {}", missing.join(", "))?,
        }
        let (duplicates, overlaps, redrives) = (self.duplicates, self.overlaps, self.redrives);
        writeln!(
            f,
            "delivered after deletion {duplicates}, while worked on {overlaps}, from the dead letters {redrives}"
        )?;
        writeln!(f, "accepted triggers {}, of strangers {}", self.accepted, self.strangers)?;
        writeln!(f, "accepted again: {:?}", self.accepted_again_by)?;
        writeln!(f, "lost inputs {}, orphaned collections {}", self.lost_inputs, self.orphaned)?;
        let (losses, sweeps, decisions, late) = (self.losses, self.sweeps, self.decisions, self.late);
        let cancelled = self.cancelled;
        writeln!(
            f,
            "messages lost {losses}, sweeps {sweeps}, decisions of people {decisions}, runs cancelled {cancelled}, collections found late {late}"
        )?;
        writeln!(f, "adopted {}, held inputs {}", self.adopted, self.held)
    }
}
