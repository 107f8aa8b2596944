//! `dropcollect run --output`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::csv::{assert_rows, table};
use crate::support::{Done, Place, Simulator};

const URLS: &str = "https://shop.example/1\nhttps://shop.example/2\nhttps://shop.example/3\n";

impl Place {
    /// A calm run of a file.
    fn calm(&self, arguments: &[&str]) -> Done {
        self.finish(self.run(&[arguments, &["--simulate", "--scenario", "calm"]].concat()))
    }

    /// The file beside the only run of a key.
    fn beside(&self, key: &str, extension: &str) -> PathBuf {
        self.path(&format!("{key}.{}.{extension}", self.manifest(key)["run"].as_str().unwrap()))
    }

    fn outputs_end(&self, key: &str, extension: &str) {
        let manifest = self.manifest(key);
        let outputs = manifest["outputs"].as_array().unwrap();
        let end = format!(".{extension}");
        assert!(!outputs.is_empty() && outputs.iter().all(|one| one["key"].as_str().unwrap().ends_with(&end)));
    }

    /// Files of exports, whole or not.
    fn exported(&self) -> Vec<String> {
        let names = self.files(".").into_iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
        names.filter(|name| [".csv", ".parquet", ".tmp"].iter().any(|end| name.ends_with(end))).collect()
    }
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn outputs_have_the_format_that_is_asked_for() {
    let place = Place::new();
    let cases = [
        ("l.txt", "ndjson", "json", "ndjson"),
        ("j.txt", "json", "ndjson", "json"),
        // A file beside leaves the outputs as they are set.
        ("c.txt", "csv", "json", "json"),
        ("p.txt", "parquet", "ndjson", "ndjson"),
    ];
    for (key, asked, set, outputs) in cases {
        place.file(key, URLS);
        let mut command = place.run(&[key, "--simulate", "--scenario", "calm", "--output", asked]);
        command.env("OUTPUT_FORMAT", set);
        let done = place.finish(command);
        done.expect(0, &["complete", "output ", "manifest "]);
        place.outputs_end(key, outputs);
        let line = format!("  {asked:<12}{key}.");
        assert_eq!(done.out.contains(&line), ["csv", "parquet"].contains(&asked), "{done:?}");
    }
    assert_eq!(place.exported().len(), 2);
    assert_eq!(table(&place.beside("c.txt", "csv")).1.len(), 3);
    place.calm(&["p.txt", "--output", "xml"]).expect(2, &["ndjson, json, csv, parquet"]);
}

#[test]
fn the_file_is_what_the_command_of_its_name_writes() {
    let place = Place::new();
    place.file("urls.txt", URLS);
    let plain = place.calm(&["urls.txt"]);
    plain.expect(0, &["complete"]);
    assert_eq!(place.exported(), [] as [&str; 0]);
    for kind in ["csv", "parquet"] {
        let done = place.calm(&["urls.txt", "--output", kind]);
        let path = place.beside("urls.txt", kind);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(done.out, format!("{}  {kind:<12}{} ({} bytes)\n", plain.out, name(&path), bytes.len()), "{kind}");
        fs::remove_file(&path).unwrap();
        assert_eq!(place.calm(&["urls.txt", "--output", kind]).expect(0, &[]).out, done.out);
        // Equal files make equal runs, also in another folder: what lies there may be of a trial.
        fs::write(&path, "of another folder").unwrap();
        assert_eq!(place.calm(&["urls.txt", "--output", kind]).expect(0, &[]).out, done.out);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        place.finish(place.command(&[kind, "data", "urls.txt", "--output", "other"])).expect(0, &[]);
        assert_eq!(fs::read(place.path("other")).unwrap(), bytes);
    }
    assert_rows(&place.beside("urls.txt", "csv"), &place.records(&place.manifest("urls.txt")));
    assert_eq!(place.accepted().len(), 1);
}

#[test]
fn a_run_keeps_the_format_that_it_began_with() {
    let place = Place::new();
    place.file("urls.txt", URLS);
    place.calm(&["urls.txt"]).expect(0, &[]);
    let words = ["urls.txt has been run with ndjson outputs", "leave --output json out", "--again", "pay"];
    place.calm(&["urls.txt", "--output", "json"]).expect(2, &words);
    place.calm(&["urls.txt", "--output", "ndjson"]).expect(0, &["complete"]);
    // Not asked for: a variable holds for what begins.
    let mut command = place.run(&["urls.txt", "--simulate"]);
    command.env("OUTPUT_FORMAT", "json");
    place.finish(command).expect(0, &["complete"]);
    assert_eq!(place.accepted().len(), 1);
    place.calm(&["urls.txt", "--output", "json", "--again"]).expect(0, &["complete", "batch-00001.1.json"]);
    assert_eq!(place.accepted().len(), 2);
}

#[test]
fn what_becomes_of_the_file_hides_no_result() {
    let place = Place::new();
    place.file("a.txt", URLS);
    place.file("b.txt", URLS);
    place.file("bad.csv", "url,url\nx,y\n");
    let done = place.calm(&["a.txt", "b.txt", "bad.csv", "--output", "csv"]);
    done.expect(2, &["a.txt: complete", "b.txt: complete", "bad.csv: rejected"]);
    let (first, second) = (place.beside("a.txt", "csv"), place.beside("b.txt", "csv"));
    let mut expected = ["bad.csv", name(&first), name(&second)];
    expected.sort_unstable();
    let mut exported = place.exported();
    exported.sort_unstable();
    assert_eq!(exported, expected, "nothing for what was rejected");

    // A folder is in the way.
    fs::remove_file(&first).unwrap();
    fs::remove_file(&second).unwrap();
    fs::create_dir_all(first.join("x")).unwrap();
    let again = || place.calm(&["a.txt", "b.txt", "--output", "csv"]);
    let done = again();
    done.expect(
        70,
        &["a.txt: the run is over, but its csv file could not be written", "The same command tries that again"],
    );
    assert!(done.out.contains("a.txt: complete") && done.out.contains("b.txt: complete"), "{done:?}");
    assert!(second.exists());
    fs::remove_dir_all(&first).unwrap();
    again().expect(0, &[name(&first), name(&second)]);
    assert_eq!(table(&first).1.len(), 3);
}

#[test]
fn interrupted_while_it_writes_it_shows_all_results_and_leaves_no_half_file() {
    let place = Place::new();
    place.file("a.txt", URLS);
    place.file("b.txt", URLS);
    place.calm(&["a.txt", "b.txt"]).expect(0, &[]);
    place.replace_records(&place.manifest("a.txt"), &vec![r#"{"a":"b","c":[1,2,3],"d":{"e":"f"}}"#; 400_000]);
    let command = || place.run(&["a.txt", "b.txt", "--simulate", "--output", "csv"]);
    let begun = |running: &mut crate::support::Running| {
        running.until("a file", |running| {
            assert!(running.exited().is_none(), "{}", running.err());
            place.exported().pop()
        })
    };

    let mut running = place.start(command());
    assert!(begun(&mut running).ends_with(".tmp"));
    running.interrupt();
    let done = running.finish();
    done.expect(130, &["a.txt: complete", "b.txt: complete", "Interrupted: nothing is left"]);
    assert_eq!(place.exported(), [] as [&str; 0]);

    let mut running = place.start(command());
    assert!(begun(&mut running).ends_with(".tmp"));
    assert!(running.kill());
    assert!(place.exported().iter().all(|name| name.ends_with(".tmp")), "no name without the whole file");
    place.finish(command()).expect(0, &[]);
    assert_eq!(table(&place.beside("a.txt", "csv")).1.len(), 400_000);
}

#[test]
fn a_run_that_goes_on_writes_it_at_its_end() {
    let place = Place::new();
    place.file("urls.txt", URLS);
    let simulator = Simulator::start(&place, "");
    let command = || place.run_against(&simulator, &["urls.txt", "--output", "parquet"]);
    let mut running = place.start(command());
    running.until("an accepted trigger", |_| (simulator.accepted() > 0).then_some(()));
    running.interrupt();
    running.finish().expect(130, &["interrupted. Collections that were started go on"]);
    assert_eq!(place.exported(), [] as [&str; 0]);
    place.finish(command()).expect(0, &["urls.txt: complete", "parquet     urls.txt."]);
    assert!(place.beside("urls.txt", "parquet").exists());
    assert_eq!(simulator.accepted(), 1);
}
