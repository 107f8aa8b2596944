//! A large file: memory does not grow with it.

use std::fs;
use std::io::Write;
use std::time::Instant;

use crate::support::Place;

const ROWS: usize = 100_000;
/// Of the process with pipeline, folder and simulator in it, in a test build.
const MEMORY_KIB_MAX: u64 = 200 * 1024;

#[test]
fn a_hundred_thousand_rows_fit_into_little_memory() {
    let place = Place::new();
    let mut file = std::io::BufWriter::new(fs::File::create(place.path("large.csv")).unwrap());
    writeln!(file, "url,keyword,price").unwrap();
    for row in 0..ROWS {
        writeln!(file, "https://shop.example/products/{row},\"thing, number {row}\",{}", row % 997).unwrap();
    }
    file.into_inner().unwrap();

    let began = Instant::now();
    let mut running = place.start(place.run(&["large.csv", "--simulate", "--scenario", "calm"]));
    let memory = format!("/proc/{}/status", running.id());
    let mut peak = 0;
    running.until("the end", |running| {
        let status = fs::read_to_string(&memory).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = now.unwrap_or(peak);
        running.exited()
    });
    let done = running.finish();
    println!("{ROWS} rows: {:.1} s, {} MiB at most", began.elapsed().as_secs_f32(), peak / 1024);
    done.expect(0, &["large.csv: complete\n", "100000 with records"]);
    // Where there is no /proc, only the result is looked at.
    assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
    let manifest = place.manifest("large.csv");
    assert_eq!((manifest["records"].as_u64(), place.records(&manifest).len()), (Some(100_000), ROWS));
}
