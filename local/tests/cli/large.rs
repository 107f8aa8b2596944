//! A large file, and many files: what is held does not grow with them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
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

#[test]
fn many_files_are_not_open_at_once() {
    let place = Place::new();
    let names: Vec<String> = (0..150).map(|number| format!("shop-{number}.txt")).collect();
    for name in &names {
        place.file(name, format!("https://shop.example/{name}\n"));
    }
    let arguments: Vec<&str> = names.iter().map(String::as_str).chain(["--simulate", "--scenario", "calm"]).collect();
    let run = place.run(&arguments);
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", "ulimit -n 96 && exec \"$0\" \"$@\""]).arg(run.get_program()).args(run.get_args());
    limited.current_dir(place.path("")).env_clear().stdin(Stdio::null());
    place.finish(limited).expect(0, &["shop-0.txt: complete\n", "shop-149.txt: complete\n"]);
}
