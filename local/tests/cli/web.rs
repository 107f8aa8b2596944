//! `dropcollect status --web`: where the status page is.

use std::fs;

use crate::support::{Place, Simulator};

#[test]
fn the_page_of_a_folder_is_written_and_named() {
    let place = Place::new();
    let missing = place.finish(place.command(&["status", "--web", "data"]));
    missing.expect(2, &["data is no folder"]);
    place.finish(place.command(&["status", "--web", "--json", "data"])).expect(2, &["cannot be used with"]);

    let simulator = Simulator::start(&place, "");
    // A folder of the page's name among the statuses would be in its way.
    place.file("list.txt", "https://shop.example/1\nhttps://shop.example/2\n");
    place
        .finish(place.run_against(&simulator, &["list.txt", "--key", "index.html/a b.txt"]))
        .expect(0, &["index.html/a b.txt: complete"]);
    let page = place.path("data/status/index.html");
    assert!(fs::read_to_string(&page).unwrap().contains("index.html/a b.txt"), "a run writes it by itself");

    fs::remove_file(&page).unwrap();
    let named = place.finish(place.command(&["status", "--web", "data"]));
    named.expect(0, &[]);
    let file = page.canonicalize().unwrap();
    assert_eq!(named.out, format!("file://{}\n", file.display()), "one line, for `xdg-open`");
    assert!(fs::read_to_string(&page).unwrap().contains("data-state=\"complete\""));
    // It is no status of a run.
    place.finish(place.command(&["status", "data"])).expect(0, &["index.html/a b.txt"]);
    place.finish(place.command(&["csv", "data"])).expect(0, &["index.html/a b.txt: 2 records"]);
}
