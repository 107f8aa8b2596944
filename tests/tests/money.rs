//! What may be paid for, with many handlers: a limit that fifty of them race for while some die, and a pause in the middle of a long run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use dropcollect_tests::world::checks::check;
use dropcollect_tests::world::cuts::Cut;
use dropcollect_tests::world::{Crowd, Plan, World, explore};
use pipeline::keys;
use pipeline::manifest::Manifest;
use pipeline::policy::limits::SEND_BY_SECONDS;
use pipeline::schedule::{later, seconds_between};

fn tell(what: &str) {
    writeln!(std::io::stderr(), "{what}").expect("standard error");
}

/// The property `limits_hold` is checked in each of the worlds; this says how hard they were.
#[test]
fn fifty_handlers_race_for_a_limit_and_some_die() {
    let (mut worlds, mut killed, mut accepted, mut full) = (0, 0, 0, 0);
    for plan in (100_000..101_000).map(Plan::of).filter(Plan::races_for_a_limit) {
        let (world, result) = explore(&plan);
        if let Err(broken) = result {
            panic!("{plan:?}: {broken}");
        }
        let dead = world.cuts.injected().into_iter().filter(|((_, cut), _)| {
            matches!(cut, Cut::KillBefore | Cut::KillAfter | Cut::FreezeBefore | Cut::FreezeAfter)
        });
        killed += dead.map(|(_, times)| times).sum::<u64>();
        let limit = world.limits.of("c_world1").map(|limit| limit.page_loads).min().expect("a limit");
        let mut days: BTreeMap<String, u64> = BTreeMap::new();
        for job in world.outside.service().jobs() {
            *days.entry(job.at().to_string().chars().take(10).collect()).or_default() += job.texts().len() as u64;
        }
        accepted += days.values().sum::<u64>();
        full += days.values().filter(|inputs| **inputs == limit).count() as u64;
        worlds += 1;
    }
    tell(&format!(
        "{worlds} races of 50 handlers for a limit of a day: {killed} killed or frozen, {accepted} inputs accepted, {full} days used up exactly"
    ));
    assert!(worlds > 20 && killed > worlds && full > worlds, "{worlds} worlds, {killed} killed, {full} days");
}

#[test]
fn a_pause_in_the_middle_of_two_hundred_batches() {
    let mut world = World::crowded(&Crowd { batches: 200, jobs_max: 20, job_seconds: 60.0, too_many: 0.0 });
    let (off, on) = (300, 20_000);
    world.people.pause(world.began, off, on);
    world.run().expect("a world that comes to rest");
    check(&world).expect("all properties hold");

    let file = &world.dropped[0].object;
    let body = world.store.object(&keys::manifest(&keys::input_path(&file.key), &file.run())).expect("a manifest").body;
    let manifest: Manifest = serde_json::from_slice(&body).expect("a manifest");
    let (paused, resumed) = {
        let switches = world.cuts.switches();
        (switches[0].0, switches[1].0)
    };
    let after = |at| seconds_between(paused, at);
    let triggered = |from: i64, to: i64| {
        let service = world.outside.service();
        service.jobs().filter(|job| (from..to).contains(&after(job.at()))).count()
    };
    let goes_on = after(resumed);
    let (before, within) = (triggered(i64::MIN, 0), triggered(0, SEND_BY_SECONDS + 1));
    let still = manifest.collections.iter().map(|entry| after(entry.ready_at)).filter(|ready| *ready < goes_on).max();
    let still = still.expect("some were delivered before it went on");
    tell(&format!(
        "200 batches, paused after {off} s: {before} triggered before, {within} within {SEND_BY_SECONDS} s, {} until it went on, {} after; \
         the last dataset was fetched {still} s after the switch",
        triggered(SEND_BY_SECONDS + 1, goes_on),
        triggered(goes_on, i64::MAX),
    ));
    assert!(before > 20 && before < 180, "the pause falls into the run: {before}");
    assert_eq!(triggered(SEND_BY_SECONDS + 1, goes_on), 0);
    // Jobs of a minute, and a look that comes up to a minute after the end of one.
    assert!((0..600).contains(&still), "{still} s");
    let delivered: BTreeSet<_> = manifest.collections.iter().map(|entry| entry.id.clone()).collect();
    let accepted: BTreeSet<_> = world.outside.service().jobs().map(|job| job.id().to_owned()).collect();
    assert_eq!(delivered, accepted, "everything that was paid for is delivered");
    assert_eq!(manifest.inputs.read, 200);
    assert!(manifest.finished_at < later(resumed, 7_200), "what waited goes on at once");
}
