//! The simulated world, thousands of times.

use std::io::Write;
use std::time::Instant;

use dropcollect_tests::world::checks::{Broken, Tally};
use dropcollect_tests::world::{Plan, explore};
use pipeline::policy::OnInDoubt;

fn run(plan: &Plan) -> (Result<Tally, Broken>, u64) {
    let (world, result) = explore(plan);
    (result, world.cuts.trace())
}

fn run_many(name: &str, seeds: std::ops::Range<u64>, faults: usize, on_in_doubt: OnInDoubt) -> Tally {
    let began = Instant::now();
    let mut tally = Tally::default();
    for seed in seeds {
        let plan = Plan { seed, faults, on_in_doubt, calm: faults == 0 };
        match run(&plan).0 {
            Ok(world) => tally.add(&world),
            Err(broken) => panic!("{plan:?}: {broken}"),
        }
    }
    // Written past the test harness, which keeps what passing tests print to itself.
    let told =
        writeln!(std::io::stderr(), "simulated world, {name}: {tally:?} in {:.0} s", began.elapsed().as_secs_f32());
    told.expect("standard error");
    tally
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in 0..40 {
        let plan = Plan { seed, faults: 10, on_in_doubt: OnInDoubt::Reconcile, calm: false };
        assert_eq!(run(&plan), run(&plan), "seed {seed}");
    }
    let traces: std::collections::BTreeSet<u64> =
        (0..40).map(|seed| run(&Plan { seed, faults: 10, on_in_doubt: OnInDoubt::Reconcile, calm: false }).1).collect();
    assert_eq!(traces.len(), 40, "seeds differ");
}

/// Tells the story of one world: `DROPCOLLECT_WORLD=seed,faults cargo test -p dropcollect-tests --test world one_world -- --nocapture`.
#[test]
fn one_world() {
    let Ok(asked) = std::env::var("DROPCOLLECT_WORLD") else { return };
    let numbers: Vec<u64> = asked.split(',').filter_map(|number| number.parse().ok()).collect();
    let plan = Plan {
        seed: numbers[0],
        faults: numbers[1] as usize,
        on_in_doubt: OnInDoubt::Reconcile,
        calm: numbers[1] == 0,
    };
    let (world, result) = explore(&plan);
    println!("{}\n{:?}\n{result:?}", dropcollect_tests::world::checks::story(&world), world.cuts.injected());
}

#[test]
fn without_faults_everything_ends_in_a_manifest() {
    let tally = run_many("no faults", 10_000..10_300, 0, OnInDoubt::Reconcile);
    assert_eq!((tally.held, tally.accepted_again), (0, 0));
}

#[test]
fn with_faults_nothing_is_paid_twice_and_nothing_is_lost() {
    let tally = run_many("reconcile", 0..2_000, 12, OnInDoubt::Reconcile);
    assert_eq!(tally.accepted_again, 0);
    assert!(tally.adopted > 0, "the worlds never lost an answer");
}

#[test]
fn hold_leaves_doubt_to_a_person() {
    let tally = run_many("hold", 20_000..20_300, 12, OnInDoubt::Hold);
    assert_eq!(tally.accepted_again, 0);
}

#[test]
fn retrigger_may_pay_twice_but_loses_nothing() {
    run_many("retrigger", 30_000..30_300, 12, OnInDoubt::Retrigger);
}
