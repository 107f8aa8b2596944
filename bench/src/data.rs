//! Records, inputs and input files that look like those of a shop, always the same ones.

use std::fmt::Write;

/// Different inputs of one collection; they repeat in a dataset that is longer.
pub(crate) const INPUTS: usize = 1_000;
/// One row in so many is an error row.
const ERROR_EVERY: usize = 20;
/// One in twenty is not ASCII, one in forty has an escape.
const WORDS: [&str; 40] = [
    "lamp",
    "oak",
    "table",
    "with",
    "drawer",
    "solid",
    "handmade",
    "cm",
    "for",
    "and",
    "white",
    "chair",
    "größer",
    "cotton",
    "round",
    "the",
    "a",
    "of",
    "green",
    "outdoor",
    "set",
    "two",
    "pieces",
    "natural",
    "finish",
    "modern",
    "shelf",
    "kitchen",
    "naïve",
    "light",
    "weight",
    "easy",
    "to",
    "clean",
    "storage",
    "box",
    "from",
    "recycled",
    "material",
    "\\\"classic\\\"",
];

/// Numbers that look random (Knuth's MMIX generator); the same ones each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn words(&mut self, out: &mut String, count: u64) {
        for _ in 0..count {
            out.push_str(WORDS[self.roll(WORDS.len() as u64) as usize]);
            out.push(' ');
        }
    }
}

/// Input `n` as JSON text.
pub(crate) fn input(n: usize) -> String {
    format!(r#"{{"url":"https://shop.example/category/{}/item/{n}"}}"#, n % 17)
}

/// One row for each of [`INPUTS`] inputs, about a kilobyte each.
pub(crate) fn rows() -> Vec<String> {
    let mut dice = Dice(12_345);
    (0..INPUTS).map(|n| if n % ERROR_EVERY == 7 { error_row(n) } else { record(n, &mut dice) }).collect()
}

fn error_row(n: usize) -> String {
    let input = input(n);
    format!(
        r#"{{"input":{input},"error":"Error: the page did not load in time","error_code":"timeout","timestamp":"2026-11-20T10:00:00.000Z"}}"#
    )
}

fn record(n: usize, dice: &mut Dice) -> String {
    let mut out = format!(r#"{{"input":{},"timestamp":"2026-11-20T10:00:00.{:03}Z","title":""#, input(n), n % 1_000);
    dice.words(&mut out, 10);
    let (euros, cents, sale) = (dice.roll(1_000), dice.roll(100), dice.roll(2) == 0);
    let _ = write!(out, r#"","price":{{"value":{euros}.{cents:02},"currency":"EUR","on_sale":{sale}}},"#);
    let (sku, stars, reviews) = (dice.roll(1 << 40), dice.roll(50), dice.roll(10_000));
    let _ = write!(
        out,
        r#""sku":"{sku:012}","rating":{}.{},"reviews_count":{reviews},"availability":null,"#,
        stars / 10,
        stars % 10
    );
    out.push_str(r#""description":""#);
    dice.words(&mut out, 60);
    let images: Vec<String> =
        (0..4).map(|k| format!(r#""https://cdn.example/i/{}/{k}.jpg""#, dice.roll(1 << 30))).collect();
    let specs: Vec<String> = (0..4)
        .map(|_| format!(r#"{{"name":"{}","value":"{}"}}"#, WORDS[dice.roll(12) as usize], dice.roll(100)))
        .collect();
    let _ = write!(out, r#"","images":[{}],"specs":[{}],"#, images.join(","), specs.join(","));
    let _ =
        write!(out, r#""seller":{{"id":{},"name":"Seller {}","country":"DE"}}}}"#, dice.roll(100_000), dice.roll(100));
    out
}

/// The form of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One JSON array.
    Array,
    /// One record a line.
    Ndjson,
}

impl Shape {
    /// Reads its name.
    pub(crate) fn named(name: &str) -> anyhow::Result<Self> {
        match name {
            "array" => Ok(Self::Array),
            "ndjson" => Ok(Self::Ndjson),
            other => anyhow::bail!("{other:?} is no shape of a dataset"),
        }
    }
}

/// A dataset of this shape in pieces: what comes first, what is repeated `times` times, and what comes last.
pub(crate) struct Dataset {
    /// The beginning.
    pub(crate) head: Vec<u8>,
    /// About a megabyte of rows.
    pub(crate) block: Vec<u8>,
    /// How often the block comes.
    pub(crate) times: usize,
    /// The end.
    pub(crate) tail: Vec<u8>,
}

impl Dataset {
    /// Of at least so many bytes.
    pub(crate) fn of(shape: Shape, bytes: usize) -> Self {
        let rows = rows();
        let (block, head, tail) = match shape {
            // The last row stands in the tail, without a comma behind it.
            Shape::Array => (format!("{},\n", rows.join(",\n")), "[", format!("{}]", rows[0])),
            Shape::Ndjson => (format!("{}\n", rows.join("\n")), "", String::new()),
        };
        let times = bytes.div_ceil(block.len());
        Self { head: head.into(), block: block.into(), times, tail: tail.into() }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len() + self.block.len() * self.times + self.tail.len()
    }

    /// All of it.
    pub(crate) fn whole(&self) -> Vec<u8> {
        [self.head.clone(), self.block.repeat(self.times), self.tail.clone()].concat()
    }
}

/// An input file of so many rows: CSV with a few columns.
pub(crate) fn csv(rows: usize) -> String {
    let mut dice = Dice(777);
    let mut out = "url,sku,name,country,page\n".to_owned();
    for n in 0..rows {
        let (sku, page) = (dice.roll(1 << 40), dice.roll(20));
        let _ =
            writeln!(out, "https://shop.example/category/{}/item/{n},{sku:012},\"Table, oak {n}\",DE,{page}", n % 17);
    }
    out
}
