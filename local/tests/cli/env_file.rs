//! Variables from `.env`.

use crate::support::{Place, Simulator};

#[test]
fn what_is_not_set_comes_from_the_file() {
    let place = Place::new();
    let simulator = Simulator::start(&place, "token = \"a secret\"");
    place.file("urls.txt", "https://shop.example/1\n");
    let file = |token: &str| {
        let address = &simulator.address;
        place.file(".env", format!("# of this project\nexport BRIGHT_DATA_API_TOKEN={token}\nBRIGHT_DATA_API_URL=\"{address}\"\nBRIGHT_DATA_COLLECTOR_ID=c_shop00\n"));
    };
    let run = |variables: &[(&str, &str)]| {
        let mut command = place.run(&["urls.txt"]);
        command.envs(variables.iter().copied());
        let done = place.finish(command);
        assert!(!done.out.contains("secret") && !done.err.contains("secret"), "{done:?}");
        done
    };
    file("'not a secret'");
    // A token has no spaces, and the file's is not the one that is used.
    run(&[]).expect(2, &["BRIGHT_DATA_API_TOKEN has spaces"]);
    file("wrong");
    run(&[]).expect(3, &["set BRIGHT_DATA_API_TOKEN"]);
    run(&[("BRIGHT_DATA_API_TOKEN", "")]).expect(2, &["there is no API token"]);
    let simulator = Simulator::start(&place, "token = \"right\"");
    run(&[("BRIGHT_DATA_API_TOKEN", "right"), ("BRIGHT_DATA_API_URL", &simulator.address)]).expect(0, &["complete"]);
}

#[test]
fn every_command_reads_it_here_and_only_here() {
    let place = Place::new();
    std::fs::create_dir(place.path("below")).unwrap();
    place.file(".env", "AWS_ENDPOINT_URL=http://127.0.0.1:1\nAWS_REGION=us-east-1\nAWS_ACCESS_KEY_ID=key\nAWS_SECRET_ACCESS_KEY=secret\nOUTPUT_FORMAT=xml\n");
    let done = place.finish(place.command(&["status", "s3://bucket"]));
    done.expect(2, &["OUTPUT_FORMAT is \"xml\""]);
    let mut below = place.command(&["plan", "../urls.txt", "--collector", "c_shop00"]);
    place.file("urls.txt", "https://shop.example/1\n");
    place.finish(place.command(&["plan", "urls.txt", "--collector", "c_shop00"])).expect(2, &["OUTPUT_FORMAT"]);
    below.current_dir(place.path("below"));
    place.finish(below).expect(0, &["1 to collect"]);
}

#[test]
fn what_cannot_be_read_is_told_without_its_content() {
    let place = Place::new();
    place.file("urls.txt", "https://shop.example/1\n");
    let fails = |word: &str| {
        for arguments in [&["run", "urls.txt", "--simulate"][..], &["status"], &["plan", "urls.txt"]] {
            let done = place.finish(place.command(arguments));
            done.expect(2, &[word]);
            assert!(!done.out.contains("secret") && !done.err.contains("secret"), "{done:?}");
        }
        assert!(!place.path("dropcollect-simulated").exists(), "nothing was begun");
        place.finish(place.command(&["--help"])).expect(0, &["Usage"]);
    };
    place.file(".env", "A=1\n\nBRIGHT_DATA_API_TOKEN=a secret\n");
    fails("line 3 of .env is not NAME=value");
    place.file(".env", "A=1\nBRIGHT_DATA_API_TOKEN=\"secret\nB=1\n");
    fails("line 2 of .env");
    place.file(".env", b"A=1\nTOKEN=secret\xff\n");
    fails("line 2 of .env");
    place.file(".env", b"A=1\nTOKEN=secret\0\n");
    fails("line 2 of .env");
    std::fs::remove_file(place.path(".env")).unwrap();
    std::fs::create_dir(place.path(".env")).unwrap();
    fails(".env is a folder");
    std::fs::remove_dir(place.path(".env")).unwrap();
    // It leads to itself.
    std::os::unix::fs::symlink(".env", place.path(".env")).unwrap();
    fails(".env cannot be read");
}
