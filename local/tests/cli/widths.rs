//! Prose on terminals: no line is wider than its terminal, and what was broken goes on below its value.

use console::measure_text_width;

use crate::support::{Done, Place, Simulator, side_by_side};

/// Commands that print prose, and words that must be in one line of it at 140 columns.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["status", "data", "--run", "products.csv"], "rows        3 read = 1 rejected + 0 duplicates + "),
    (&["why", "products.csv", "3", "--data", "data"], "because "),
    (&["doctor", "--data", "data"], "-> set it to an API key of your account, or try everything without one"),
    (&["retry", "products.csv", "--data", "data"], "choose, and pay for them: dropcollect retry products.csv"),
    (&["plan", "products.csv", "--collector", "c_shop00"], "page loads  2, at most 6 if every input fails 3 times"),
    (&["run", "url.txt", "--simulate"], "url.txt: there is no such file"),
    (&["why", "products.csv", "4711", "--data", "data"], "line 4711 holds no input of its own"),
    (&["status", "elsewhere"], "elsewhere is no folder: nothing has been run there"),
];

fn begun(place: &Place, simulator: &Simulator) -> std::process::Command {
    place.file(
        "products.csv",
        "url,name\nhttps://shop.example/dead/1,one\nhttps://shop.example/2\nhttps://shop.example/3,three\n",
    );
    place.run_against(simulator, &["products.csv"])
}

/// What a terminal shows, without colours.
fn plain(done: &Done) -> String {
    console::strip_ansi_codes(&done.out).replace('\r', "")
}

/// A line may be too wide for one word that is.
fn fits(line: &str, columns: usize) -> bool {
    let words = line.trim().trim_end_matches(" \\").split_whitespace().count();
    measure_text_width(line) < columns
        || words <= 1
        || (words == 2 && line.starts_with("  ") && !line.starts_with("   "))
}

#[test]
fn what_does_not_fit_goes_on_below_its_value() {
    side_by_side(&[40_u16, 80, 140], |columns| {
        let place = Place::new();
        let simulator = Simulator::start(&place, "[inputs.marked]\n\"/dead/\" = \"permanent\"\n");
        let run = begun(&place, &simulator);
        let result = plain(&place.on_terminal(&run, (24, *columns), "").done);
        let summary: Vec<&str> =
            result.lines().skip_while(|line| !line.starts_with("products.csv: complete")).collect();
        assert!(summary.len() > 5, "{result}");
        for line in &summary {
            assert!(fits(line, (*columns).into()), "{columns}: {line:?} in\n{result}");
        }
        let rows = summary.iter().position(|line| line.starts_with("  rows        3 read = 1 rejected")).unwrap();
        let broken = summary[rows + 1].starts_with("              ");
        assert_eq!(broken, *columns < 100, "{columns}\n{result}");
        for (arguments, words) in COMMANDS {
            let shown = plain(&place.on_terminal(&place.command(arguments), (24, *columns), "").done);
            for line in shown.lines() {
                assert!(fits(line, (*columns).into()), "{columns}: {line:?} of {arguments:?} in\n{shown}");
            }
            let piped = place.finish(place.command(arguments));
            let piped = format!("{}{}", piped.out, piped.err);
            assert!(piped.contains(words), "{arguments:?}: {words:?} is not in\n{piped}");
            assert!(*columns < 140 || shown.contains(words), "{arguments:?}: {words:?} is not in\n{shown}");
            // Nothing but line ends has changed.
            let words =
                |text: &str| text.replace(" \\\n", " ").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&shown), words(&piped), "{columns}: {arguments:?}");
        }
    });
}

#[test]
fn what_is_piped_has_no_width() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "[inputs.marked]\n\"/dead/\" = \"permanent\"\n");
    let done = place.finish(begun(&place, &simulator));
    done.expect(
        1,
        &["  rows        3 read = 1 rejected + 0 duplicates + 1 with records + 0 without a record + 1 failed\n"],
    );
    let told = place.finish(place.command(&["status", "data", "--run", "products.csv"]));
    let rows = "  rows        3 read = 1 rejected + 0 duplicates + 1 with records + 0 without a record + 1 failed\n";
    told.expect(0, &[rows, "    (says what failed, and what may succeed)\n"]);
    // Nothing for a program is broken anywhere.
    let json = place.on_terminal(&place.command(&["status", "data", "--run", "products.csv", "--json"]), (24, 40), "");
    let manifest: serde_json::Value = serde_json::from_str(json.done.out.trim()).unwrap();
    assert_eq!(manifest, place.manifest("products.csv"));
}
