//! The simulated world, thousands of times. The command `worlds` runs more of them, and says more about them.

use std::io::Write;
use std::ops::Range;
use std::time::Instant;

use dropcollect_tests::world::checks::{Broken, Tally};
use dropcollect_tests::world::{Plan, explore};
use pipeline::policy::OnInDoubt;

fn run(plan: &Plan) -> (Result<Tally, Broken>, u64) {
    let (world, result) = explore(plan);
    (result, world.cuts.trace())
}

fn run_all(name: &str, plans: impl Iterator<Item = Plan>) -> Tally {
    let began = Instant::now();
    let mut tally = Tally::default();
    for plan in plans {
        match run(&plan).0 {
            Ok(world) => tally.add(&world),
            Err(broken) => panic!("{plan:?}: {broken}"),
        }
    }
    let seconds = began.elapsed().as_secs_f32();
    // Written past the test harness, which keeps what passing tests print to itself.
    let told = writeln!(
        std::io::stderr(),
        "simulated world, {name}: {} worlds, {} faults, {} accepted, {} again, {} held in {seconds:.0} s",
        tally.worlds,
        tally.faults.values().sum::<u64>(),
        tally.accepted,
        tally.accepted_again,
        tally.held
    );
    told.expect("standard error");
    tally
}

/// Seeds of which the plan has this policy.
fn with(policy: OnInDoubt, seeds: Range<u64>) -> impl Iterator<Item = Plan> {
    seeds.map(Plan::of).filter(move |plan| plan.on_in_doubt == policy)
}

#[test]
fn one_seed_gives_one_trace() {
    let traces: std::collections::BTreeSet<u64> = (0..40).map(|seed| run(&Plan::of(seed)).1).collect();
    assert_eq!(traces.len(), 40, "seeds differ");
    for seed in 0..40 {
        assert_eq!(run(&Plan::of(seed)), run(&Plan::of(seed)), "seed {seed}");
    }
}

#[test]
fn without_trouble_everything_ends_in_a_manifest() {
    let calm = |seed| Plan { seed, faults: 0, on_in_doubt: OnInDoubt::Reconcile, calm: true };
    let tally = run_all("no trouble", (50_000..50_150).map(calm));
    assert_eq!((tally.held, tally.accepted_again, tally.lost_inputs, tally.orphaned), (0, 0, 0, 0));
}

#[test]
fn nothing_is_paid_twice_and_nothing_is_lost() {
    let tally = run_all("reconcile", with(OnInDoubt::Reconcile, 0..2_200));
    assert!(tally.adopted > 0, "the worlds never lost an answer");
    assert_eq!(tally.undeclared(), Vec::<String>::new(), "every crash point is declared");
}

#[test]
fn hold_leaves_doubt_to_a_person() {
    let tally = run_all("hold", with(OnInDoubt::Hold, 0..2_200));
    assert!(tally.held > 0, "nothing was ever in doubt");
}

#[test]
fn retrigger_may_pay_twice_but_loses_nothing() {
    let tally = run_all("retrigger", with(OnInDoubt::Retrigger, 0..2_200));
    assert!(tally.accepted_again > 0, "nothing was ever in doubt");
}
