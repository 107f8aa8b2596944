//! Files for a world, and what should become of their rows.

use std::collections::BTreeMap;

use dropcollect::memory::MemoryInputs;
use jiff::Timestamp;
use pipeline::words::InputObject;

use super::dice::Dice;
use super::plan::COLLECTORS;

/// A dropped file and what is in it.
pub struct Dropped {
    /// The object.
    pub object: InputObject,
    /// The collector that it names.
    pub collector: Option<String>,
    /// Rows of the file.
    pub read: u64,
    /// Rows that are no valid input.
    pub rejected: u64,
    /// Rows that repeat an earlier one.
    pub duplicates: u64,
    /// The inputs that must be sent, as canonical JSON.
    pub inputs: Vec<String>,
}

/// Drops one to three files of a few rows.
pub(super) fn drop_some(dice: &mut Dice, inputs: &MemoryInputs, now: Timestamp, calm: bool) -> Vec<Dropped> {
    (0..1 + dice.below(3)).map(|number| drop_one(dice, inputs, number, now, calm)).collect()
}

/// Drops one file of so many good rows.
pub(super) fn drop_rows(inputs: &MemoryInputs, key: &str, rows: usize, now: Timestamp) -> Dropped {
    let lines: Vec<String> = (0..rows).map(|row| format!(r#"{{"url":"https://shop.example/{key}/{row}"}}"#)).collect();
    let object = inputs.put("in", key, lines.join("\n"), &BTreeMap::new(), now);
    Dropped { object, collector: None, read: rows as u64, rejected: 0, duplicates: 0, inputs: lines }
}

fn drop_one(dice: &mut Dice, inputs: &MemoryInputs, number: usize, now: Timestamp, calm: bool) -> Dropped {
    let rows = dice.pick(&[1, 2, 5, 12, 30]);
    let mut unique = Vec::new();
    let (mut rejected, mut duplicates) = (0, 0);
    let mut body = String::new();
    let plain = dice.one_in(4);
    for row in 0..rows {
        let kind = dice.below(12);
        if kind == 0 {
            rejected += 1;
            body.push_str("{\"url\": }\n");
        } else if kind == 1 && !unique.is_empty() {
            duplicates += 1;
            let repeated: &String = &unique[dice.below(unique.len())];
            body.push_str(repeated);
            body.push('\n');
        } else {
            // A collector with a closed schema refuses some of the inputs.
            let url = format!("https://shop.example/{number}/{row}");
            let line = match plain || dice.one_in(3) {
                true => format!(r#"{{"url":"{url}"}}"#),
                false => format!(r#"{{"n":{row},"url":"{url}"}}"#),
            };
            body.push_str(&line);
            body.push('\n');
            unique.push(line);
        }
    }
    let key = format!("in/file-{number}.ndjson");
    let collector = (!calm && dice.one_in(8)).then(|| dice.pick(COLLECTORS).to_owned());
    let metadata: BTreeMap<String, String> =
        collector.iter().map(|collector| ("collector".to_owned(), collector.clone())).collect();
    let object = inputs.put("in", &key, body, &metadata, now);
    Dropped { object, collector, read: rows as u64, rejected, duplicates, inputs: unique }
}
