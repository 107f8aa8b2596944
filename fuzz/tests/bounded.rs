//! Every target, for a bounded time, with any compiler: its corpus as it is, and a fixed number of mutated cases.
//!
//! `FUZZ_FACTOR` multiplies the number of cases, and `FUZZ_SEED` makes other ones.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use dropcollect_fuzz::mutate::{Random, least, mutated};
use dropcollect_fuzz::{TARGETS, Target};

/// Corpora are read by people, and replayed at every change.
const CORPUS_BYTES_MAX: u64 = 300_000;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder("corpus").join(target.name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().expect("a number"))
}

fn bounded(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let corpus = corpus(target);
    let fails = |case: &[u8]| catch_unwind(AssertUnwindSafe(|| (target.run)(case))).is_err();
    let check = |case: &[u8], what: &str| {
        if fails(case) {
            let least = least(case, &fails);
            panic!("{name} fails on {what}; the least case that does: b\"{}\"", least.escape_ascii());
        }
    };
    for (path, case) in &corpus {
        check(case, &path.display().to_string());
    }
    let entries: Vec<Vec<u8>> = corpus.into_iter().map(|(_, case)| case).collect();
    let (seed, cases) = (number("FUZZ_SEED", 1), u64::from(target.cases) * number("FUZZ_FACTOR", 1));
    let started = Instant::now();
    for case in 0..cases {
        // Each case has a seed of its own, so that a failing one is found again whatever ran before it.
        let mut random = Random::new(seed.wrapping_mul(0x1_0000_0001).wrapping_add(case));
        check(&mutated(&mut random, &entries, target.words), &format!("case {case} of seed {seed}"));
    }
    println!("{name}: {} entries, {cases} cases in {:?}", entries.len(), started.elapsed());
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                bounded(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_run_everywhere() {
            let here = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|target| target.name), here);
            let manifest = std::fs::read_to_string(folder("Cargo.toml")).unwrap();
            for name in here {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
                assert!(folder("fuzz_targets").join(format!("{name}.rs")).exists(), "{name}");
            }
        }
    };
}

targets! {
    input_file csv_table dataset delivery json_cut canonical matching settings input_path api_answer s3_event sqs_event secret config
    ledger attempt_state message notice_path
}

#[test]
fn corpora_are_small() {
    let sizes = TARGETS.iter().flat_map(corpus).map(|(_, case)| case.len() as u64);
    let total: u64 = sizes.sum();
    assert!(total < CORPUS_BYTES_MAX, "{total} bytes");
}

#[test]
fn a_failing_case_is_made_small() {
    let fails = |case: &[u8]| case.contains(&b'x') && case.contains(&b'y');
    assert_eq!(least(b"aaaaxbbbbbbybb", &fails), b"xy");
}
