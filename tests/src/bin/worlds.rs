//! Runs many simulated worlds and says what they came to: `worlds [--worlds N] [--first SEED] [--stop] [--story]`.
//!
//! Exit status 1 when a property broke, 2 for wrong usage.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dropcollect_tests::world::checks::{Tally, story};
use dropcollect_tests::world::{Plan, explore, quietly};

/// What was asked for.
struct Asked {
    worlds: u64,
    first: u64,
    stop: bool,
    story: bool,
}

/// Threads that run worlds.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let asked = match parse(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(wrong) => {
            eprintln!("{wrong}\nusage: worlds [--worlds N] [--first SEED] [--stop] [--story]");
            return ExitCode::from(2);
        }
    };
    quietly();
    let began = Instant::now();
    let next = AtomicU64::new(asked.first);
    let stop = AtomicBool::new(false);
    let total = Mutex::new((Tally::default(), 0_u64, (Duration::ZERO, 0)));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - asked.first >= asked.worlds {
                        return;
                    }
                    let began = Instant::now();
                    let (tally, broken) = one(seed, asked.story);
                    let took = began.elapsed();
                    let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    total.0.add(&tally);
                    total.1 += u64::from(broken);
                    total.2 = total.2.max((took, seed));
                    if broken && asked.stop {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (tally, broken, (longest, slowest)) = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    print!("{tally}");
    println!("the slowest world, {slowest}, took {:.1} s", longest.as_secs_f32());
    println!("{broken} worlds broke a property; {:.0} s", began.elapsed().as_secs_f32());
    if broken > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs the world of a seed, and tells when it is broken.
fn one(seed: u64, tell: bool) -> (Tally, bool) {
    let plan = Plan::of(seed);
    let (world, result) = explore(&plan);
    if tell {
        println!("{}", story(&world));
    }
    match result {
        Ok(tally) => (tally, false),
        Err(broken) => {
            println!("BROKEN {}: {plan:?}: {}", broken.property, broken.what);
            println!(
                "       replay: cargo run -q -p dropcollect-tests --bin worlds -- --first {seed} --worlds 1 --story"
            );
            (Tally::of(&world), true)
        }
    }
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked { worlds: 20_000, first: 0, stop: false, story: false };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().and_then(|value| value.parse().ok());
            value.ok_or_else(|| format!("{argument} needs a number"))
        };
        match argument.as_str() {
            "--worlds" => asked.worlds = number()?,
            "--first" => asked.first = number()?,
            "--stop" => asked.stop = true,
            "--story" => asked.story = true,
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(asked)
}
