//! Completions and manual pages: nothing that the command knows is left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Place;

impl Place {
    fn printed(&self, arguments: &[&str]) -> String {
        let done = self.finish(self.command(arguments));
        done.expect(0, &[]);
        assert_eq!(done.err, "");
        done.out
    }

    /// The subcommands, as the help lists them.
    fn subcommands(&self) -> Vec<String> {
        let help = self.printed(&["--help"]);
        let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let names = list.lines().map(|line| line.split_whitespace().next().unwrap().to_owned());
        let names: Vec<String> = names.filter(|name| name != "help").collect();
        assert!(names.len() > 8 && names.ends_with(&["completions".to_owned(), "man".to_owned()]), "{names:?}");
        names
    }

    /// The flags and arguments of a subcommand, as its help lists them.
    fn words(&self, subcommand: &str) -> BTreeSet<String> {
        let help = self.printed(&[subcommand, "--help"]);
        let lines = help.lines().filter(|line| line.starts_with("  "));
        let words = lines.flat_map(str::split_whitespace).filter(|word| word.starts_with("--"));
        let words: BTreeSet<String> = words.map(|word| word.trim_end_matches([',', ')', ';']).to_owned()).collect();
        assert!(words.contains("--help"), "{words:?}");
        words
    }
}

#[test]
fn every_shell_is_told_every_subcommand_and_flag() {
    let place = Place::new();
    let subcommands = place.subcommands();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.printed(&["completions", shell]);
        for subcommand in &subcommands {
            assert!(script.contains(subcommand), "{shell}: {subcommand}");
            for flag in place.words(subcommand) {
                // fish has the names without the dashes.
                let flag = if shell == "fish" { format!("-l {}", &flag[2..]) } else { flag };
                assert!(script.contains(&flag), "{shell}: {subcommand} {flag}");
            }
        }
    }
    place.finish(place.command(&["completions", "sh"])).expect(2, &["bash, elvish, fish, powershell, zsh"]);
}

#[test]
fn bash_completes() {
    let place = Place::new();
    fs::write(place.path("script"), place.printed(&["completions", "bash"])).unwrap();
    let bash = |arguments: &[&str]| {
        let done = Command::new("bash").args(arguments).current_dir(place.path(".")).output().unwrap();
        assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    bash(&["-n", "script"]);
    let completed = |words: &[&str]| {
        let (last, before) = words.split_last().unwrap();
        let ask = format!(
            "source ./script; complete -p dropcollect; COMP_WORDS=({words}); COMP_CWORD={at}; \
             _dropcollect dropcollect '{last}' '{previous}'; echo \"${{COMPREPLY[@]}}\"",
            words = words.join(" "),
            at = before.len(),
            previous = before.last().unwrap(),
        );
        let said = bash(&["--norc", "-c", &ask]);
        let (registered, replies) = said.split_once('\n').unwrap();
        assert!(registered.contains(" -F _dropcollect ") && registered.ends_with(" dropcollect"), "{registered}");
        let mut replies: Vec<&str> = replies.split_whitespace().collect();
        replies.sort_unstable();
        replies.join(" ")
    };
    assert_eq!(completed(&["dropcollect", "ru"]), "run");
    assert_eq!(completed(&["dropcollect", "c"]), "cancel completions csv");
    assert_eq!(completed(&["dropcollect", "run", "--ou"]), "--output");
    assert_eq!(completed(&["dropcollect", "run", "--output", "p"]), "parquet");
    assert_eq!(
        completed(&["dropcollect", "completions", ""]).split(' ').filter(|word| !word.starts_with('-')).count(),
        5
    );
}

#[test]
fn every_subcommand_has_a_page_with_every_flag() {
    let place = Place::new();
    place.file("file", "");
    place.finish(place.command(&["man", "file/x"])).expect(2, &["file/x: "]);
    assert_eq!(place.printed(&["man", "pages/man1"]), "");
    let subcommands = place.subcommands();
    let pages: BTreeSet<_> = place.files("pages/man1").into_iter().collect();
    let page = |name: &str| place.path(&format!("pages/man1/{name}.1"));
    let mut expected: BTreeSet<_> = subcommands.iter().map(|name| page(&format!("dropcollect-{name}"))).collect();
    expected.insert(page("dropcollect"));
    assert_eq!(pages, expected);

    let printed = place.printed(&["man"]);
    assert_eq!(printed.trim_end(), fs::read_to_string(page("dropcollect")).unwrap().trim_end());
    let main = rendered(&page("dropcollect"));
    for subcommand in &subcommands {
        assert!(main.contains(&format!("dropcollect-{subcommand}(1)")), "{subcommand}: {main}");
        let text = rendered(&page(&format!("dropcollect-{subcommand}")));
        for flag in place.words(subcommand) {
            assert!(text.split([' ', ',', '\n']).any(|word| word == flag), "{subcommand} {flag}: {text}");
        }
    }
}

/// The page as a person reads it; without any program for that, its source without the marks around its words.
fn rendered(page: &Path) -> String {
    let programs: [(&str, &[&str]); 3] = [
        ("groff", &["-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbou", "-rLL=200n"]),
        ("mandoc", &["-Tascii"]),
        ("man", &["-l"]),
    ];
    for (program, arguments) in programs {
        let mut command = Command::new(program);
        let Ok(done) = command.args(arguments).arg(page).env("MANWIDTH", "200").stdin(Stdio::null()).output() else {
            continue;
        };
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && complaint.is_empty(), "{program} {}: {complaint}", page.display());
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(text.contains("SYNOPSIS") && !text.contains(".SH"), "{text}");
        // What is bold is printed twice, with a backspace between.
        return text
            .split_inclusive('\u{8}')
            .map(|part| {
                part.strip_suffix('\u{8}')
                    .map_or(part, |part| part.char_indices().next_back().map_or("", |(at, _)| &part[..at]))
            })
            .collect();
    }
    eprintln!("neither groff nor mandoc nor man is here: {} is not rendered", page.display());
    let source = fs::read_to_string(page).unwrap();
    source.replace("\\fB", "").replace("\\fI", "").replace("\\fR", "").replace('\\', "")
}
