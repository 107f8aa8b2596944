//! A thousand batches want to be sent, and there is room for a hundred: how often the API has to say no, and what that costs in time.

use std::io::Write;

use dropcollect_tests::world::checks::check;
use dropcollect_tests::world::{Crowd, World};
use pipeline::ports::Clock;
use pipeline::schedule::seconds_between;

/// An address that gets so many answers of 429 within five minutes is blocked (API sheet, rule of a sibling product).
const BLOCKED_AT: usize = 25;
const MINUTES: i64 = 300;

/// Runs it to its end; the most refusals within five minutes, and how long it took beside the least that it could.
fn press(crowd: &Crowd) -> (usize, f64) {
    let mut world = World::crowded(crowd);
    world.run().expect("a world that comes to rest");
    check(&world).expect("all properties hold");
    let refusals = world.outside.turned_away();
    let refusals = &refusals;
    let within =
        |from: usize| refusals[from..].iter().take_while(move |at| seconds_between(refusals[from], **at) < MINUTES);
    let most = (0..refusals.len()).map(|from| within(from).count()).max().unwrap_or(0);
    let took = seconds_between(world.began, world.clock.now()) as f64;
    let least = (crowd.batches as f64 / crowd.jobs_max as f64).ceil() * crowd.job_seconds;
    let told = writeln!(
        std::io::stderr(),
        "{crowd:?}: {} refusals, at most {most} within five minutes; {took:.0} s, {:.1} times the least",
        refusals.len(),
        took / least
    );
    told.expect("standard error");
    (most, took / least)
}

#[test]
fn a_thousand_batches_wait_for_a_hundred_places() {
    let (most, times) = press(&Crowd { batches: 1_000, jobs_max: 100, job_seconds: 300.0, too_many: 0.0 });
    // The gate may be open when the places run out, and then every function hears of it once; there are twenty.
    assert!(most < BLOCKED_AT, "{most}");
    assert!(times < 3.0, "{times}");
}

#[test]
fn an_api_that_often_says_too_many_is_asked_seldom() {
    let (most, _) = press(&Crowd { batches: 100, jobs_max: 100, job_seconds: 60.0, too_many: 0.5 });
    assert!(most < BLOCKED_AT, "{most}");
}
