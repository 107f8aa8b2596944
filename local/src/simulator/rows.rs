//! The rows of a dataset, made one after another from the job's inputs, so that nothing grows with their number.

use std::{borrow::Cow, fmt::Write, sync::Arc};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    dice::{Dice, Permutation},
    job::{End, Job, Page, Sheet},
    outcome::{ErrorRow, outcome},
    scenario::{Dataset, ErrorRows, Format},
    text,
};

/// All rows of one dataset, addressed by number.
#[derive(Debug)]
pub(super) struct Rows {
    sheet: Arc<Sheet>,
    stop: Option<(f64, End)>,
    /// For each page, how many rows there are up to and including its own.
    ends: Vec<u64>,
    foreign: u64,
    order: Option<Permutation>,
    filler: String,
}

/// The columns of a CSV dataset.
const COLUMNS: &str = "url,title,price,position,text,input,error,error_code,status_code,warning,warning_code\n";

impl Rows {
    pub(super) fn new(job: &Job) -> Self {
        let sheet = Arc::clone(&job.sheet);
        let (stop, dataset) = (job.stop(), &sheet.rules.dataset);
        let mut total = 0;
        let count = |page| {
            total += rows_of(&sheet, page, stop);
            total
        };
        let ends: Vec<u64> = sheet.pages.iter().map(count).collect();
        let foreign = if sheet.dice("foreign").chance(dataset.foreign) { dataset.foreign_rows } else { 0 };
        let order = dataset.shuffled.then(|| Permutation::new((total + foreign).max(1), sheet.dice("order")));
        let filler = "A record of a simulated dataset. ".repeat(dataset.record_bytes / 32 + 1);
        Self { stop, ends, foreign, order, filler, sheet: Arc::clone(&sheet) }
    }

    pub(super) fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0) + self.foreign
    }

    /// A rough size, to choose between one piece and a stream.
    pub(super) fn estimated_bytes(&self) -> u64 {
        self.total() * (self.sheet.rules.dataset.record_bytes as u64).max(250)
    }

    pub(super) fn header(format: Format) -> &'static str {
        match format {
            Format::Json => "[",
            Format::Jsonl => "",
            Format::Csv => COLUMNS,
        }
    }

    pub(super) fn footer(format: Format) -> &'static str {
        match format {
            Format::Json => "]",
            Format::Jsonl | Format::Csv => "",
        }
    }

    /// Writes one row, with what separates it from the one before.
    pub(super) fn write(&self, format: Format, number: u64, out: &mut String) {
        if format == Format::Json && number > 0 {
            out.push_str(",\n");
        }
        self.write_bare(format == Format::Csv, number, out);
        if format != Format::Json {
            out.push('\n');
        }
    }

    pub(super) fn write_bare(&self, csv: bool, number: u64, out: &mut String) {
        let place = self.order.map_or(number, |order| order.at(number));
        let index = self.ends.partition_point(|end| *end <= place);
        let Some(page) = self.sheet.pages.get(index) else {
            return self.write_foreign(csv, place, out);
        };
        let before = if index == 0 { 0 } else { self.ends[index - 1] };
        let source = Source { sheet: &self.sheet, page, stop: self.stop, filler: &self.filler };
        source.write_row(csv, place - before, out);
    }

    /// A row of another run (observed on a trial collector): of the collector's job before, or else invented.
    fn write_foreign(&self, csv: bool, place: u64, out: &mut String) {
        let filler = "";
        if let Some(neighbour) = &self.sheet.neighbour
            && let Some(page) = neighbour
                .pages
                .get(self.sheet.dice("neighbour").number(place).below(neighbour.pages.len() as u64) as usize)
        {
            let source = Source { sheet: neighbour, page, stop: None, filler };
            return Row::record(&source, source.url(), 0, None).write(csv, filler, 0, out);
        }
        let url = format!("https://elsewhere.example/{}", self.sheet.dice("foreign").number(place).name(8));
        let input = format!("{{\"url\":{}}}", text::quote(&url));
        let title = "A row of another run".to_owned();
        let row = Row { url: Some(url), title, price: Some(1.0), input: Some(input.into()), ..Row::default() };
        row.write(csv, filler, 0, out);
    }
}

fn rows_of(sheet: &Sheet, page: &Page, stop: Option<(f64, End)>) -> u64 {
    let outcome = outcome(sheet, page, stop);
    let records = if sheet.rules.dataset.wrapped.is_some() { outcome.records.min(1) } else { outcome.records };
    let errors = outcome.error.is_some() && sheet.rules.dataset.errors == ErrorRows::Combined;
    records + u64::from(errors)
}

impl Job {
    /// What its dataset says about each distinct input, once it has ended: for whoever checks what a client made of it.
    pub fn produced(&self) -> impl Iterator<Item = Produced<'_>> {
        self.sheet.pages.iter().map(|page| {
            let source = Source { sheet: &self.sheet, page, stop: self.stop(), filler: "" };
            let (outcome, rows) = (outcome(&self.sheet, page, self.stop()), rows_of(&self.sheet, page, self.stop()));
            let shown = self.sheet.rules.dataset.errors == ErrorRows::Combined;
            let error = outcome.error.is_some() && shown;
            let echo = source.echo().map(Cow::into_owned);
            Produced { input: self.sheet.text(page), records: rows - u64::from(error), error, echo }
        })
    }

    /// How many rows of other runs are in its dataset.
    pub fn foreign_rows(&self) -> u64 {
        Rows::new(self).foreign
    }
}

/// What a dataset says about one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produced<'a> {
    /// The input as it was sent.
    pub input: &'a str,
    /// Rows that are records.
    pub records: u64,
    /// Whether it has an error row.
    pub error: bool,
    /// How its rows echo it.
    pub echo: Option<String>,
}

/// What a row is made from.
struct Source<'a> {
    sheet: &'a Sheet,
    page: &'a Page,
    stop: Option<(f64, End)>,
    filler: &'a str,
}

impl Source<'_> {
    fn write_row(&self, csv: bool, position: u64, out: &mut String) {
        let outcome = outcome(self.sheet, self.page, self.stop);
        let dataset = &self.sheet.rules.dataset;
        let records = if dataset.wrapped.is_some() { outcome.records.min(1) } else { outcome.records };
        let size = dataset.record_bytes;
        match (&dataset.wrapped, outcome.error) {
            (_, Some(error)) if position >= records => Row::error(self, error).write(csv, "", 0, out),
            (Some(key), _) if !csv => {
                let _ = write!(out, "{{{}:[", text::quote(key));
                for entry in 0..outcome.records {
                    out.push_str(if entry > 0 { "," } else { "" });
                    let row = Row { input: None, ..Row::record(self, self.url(), entry, None) };
                    row.write(false, self.filler, size, out);
                }
                out.push(']');
                if let Some(input) = self.echo() {
                    let _ = write!(out, ",\"input\":{input}");
                }
                out.push('}');
            }
            _ => Row::record(self, self.url(), position, outcome.warning).write(csv, self.filler, size, out),
        }
    }

    fn url(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Address {
            url: Option<String>,
        }
        serde_json::from_str::<Address>(self.sheet.text(self.page)).ok().and_then(|address| address.url)
    }

    /// The echoed input: as it was sent, or as a collector with defaults and a schema of its own gives it back.
    fn echo(&self) -> Option<Cow<'_, str>> {
        let (dataset, input): (&Dataset, _) = (&self.sheet.rules.dataset, self.sheet.text(self.page));
        let chance = |purpose, rate| Dice::new(self.sheet.rules.seed, purpose).number(self.page.key).chance(rate);
        if chance("absent", dataset.echo_absent) {
            return None;
        }
        let reordered = chance("reordered", dataset.echo_reordered);
        let respelled = chance("respelled", dataset.echo_respelled);
        let defaulted = chance("defaulted", dataset.echo_defaulted);
        let rewritten = chance("rewritten", dataset.echo_rewritten);
        if !(reordered || respelled || defaulted || rewritten) {
            return Some(input.into());
        }
        let map: Map<String, Value> = serde_json::from_str(input).unwrap_or_default();
        let mut fields: Vec<(String, Value)> = map.into_iter().collect();
        if respelled {
            fields.iter_mut().for_each(|(_, value)| respell(value));
        }
        if defaulted && !fields.iter().any(|(key, _)| key == "country") {
            fields.push(("country".to_owned(), Value::from("us")));
        }
        if rewritten && let Some((_, Value::String(url))) = fields.iter_mut().find(|(key, _)| key == "url") {
            url.push('/');
        }
        if reordered {
            fields.reverse();
        }
        let mut echo = String::from("{");
        for (index, (key, value)) in fields.iter().enumerate() {
            echo.push_str(if index > 0 { "," } else { "" });
            text::write_field(&mut echo, key, value);
        }
        echo.push('}');
        Some(echo.into())
    }
}

/// `5` becomes `"5"` and the other way round.
fn respell(value: &mut Value) {
    match value {
        Value::Number(number) => *value = Value::from(number.to_string()),
        Value::String(string) => {
            if let Ok(number) = string.parse::<i64>()
                && number.to_string() == *string
            {
                *value = Value::from(number);
            }
        }
        _ => {}
    }
}

/// One row; absent fields are left out of JSON and empty in CSV.
#[derive(Default)]
struct Row<'a> {
    url: Option<String>,
    title: String,
    price: Option<f64>,
    position: u64,
    input: Option<Cow<'a, str>>,
    error: Option<ErrorRow<'a>>,
    warning: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn record(source: &'a Source<'a>, url: Option<String>, position: u64, warning: Option<&'a str>) -> Self {
        let dice = Dice::new(source.sheet.rules.seed, "record").number(source.page.key).number(position);
        let price = Some((100 + dice.below(99_900)) as f64 / 100.0);
        Self {
            url,
            title: format!("Item {}", dice.name(6)),
            price,
            position,
            input: source.echo(),
            error: None,
            warning,
        }
    }

    fn error(source: &'a Source<'a>, error: ErrorRow<'a>) -> Self {
        Self { input: source.echo(), error: Some(error), ..Self::default() }
    }

    fn write(&self, csv: bool, filler: &str, size: usize, out: &mut String) {
        if csv { self.write_csv(filler, size, out) } else { self.write_json(filler, size, out) }
    }

    /// System fields as on the error-codes page: `input`, `error`, `error_code`, `status_code`, `warning`, `warning_code`.
    fn write_json(&self, filler: &str, size: usize, out: &mut String) {
        let start = out.len();
        out.push('{');
        let mut field = |name: &str, value: &dyn std::fmt::Display| {
            let comma = if out.ends_with('{') { "" } else { "," };
            let _ = write!(out, "{comma}\"{name}\":{value}");
        };
        if let Some(error) = &self.error {
            if let Some(input) = &self.input {
                field("input", input);
            }
            field("error", &text::quote(error.text));
            if let Some(code) = error.code {
                field("error_code", &text::quote(code));
            }
            if let Some(status) = error.status {
                field("status_code", &status);
            }
            out.push('}');
            return;
        }
        if let Some(url) = &self.url {
            field("url", &text::quote(url));
        }
        field("title", &text::quote(&self.title));
        field("price", &self.price.unwrap_or_default());
        field("position", &self.position);
        if let Some(input) = &self.input {
            field("input", input);
        }
        if let Some(code) = self.warning {
            field("warning", &"\"Dead page detected\"");
            field("warning_code", &text::quote(code));
            field("status_code", &404);
        }
        // `,"text":""}` are 11 bytes.
        if let Some(missing) = size.checked_sub(out.len() - start + 11) {
            let _ = write!(out, ",\"text\":\"{}\"", &filler[..missing.min(filler.len())]);
        }
        out.push('}');
    }

    fn write_csv(&self, filler: &str, size: usize, out: &mut String) {
        let error = self.error.as_ref();
        let record = error.is_none();
        let status = error.map_or(self.warning.map(|_| 404), |error| error.status);
        let cells = [
            self.url.clone().unwrap_or_default(),
            self.title.clone(),
            self.price.map(|price| price.to_string()).unwrap_or_default(),
            if record { self.position.to_string() } else { String::new() },
            if record { filler[..size.min(filler.len())].to_owned() } else { String::new() },
            self.input.as_deref().unwrap_or_default().to_owned(),
            error.map(|error| error.text).unwrap_or_default().to_owned(),
            error.and_then(|error| error.code).unwrap_or_default().to_owned(),
            status.map(|status| status.to_string()).unwrap_or_default(),
            self.warning.map(|_| "Dead page detected").unwrap_or_default().to_owned(),
            self.warning.unwrap_or_default().to_owned(),
        ];
        for (index, cell) in cells.iter().enumerate() {
            out.push_str(if index > 0 { "," } else { "" });
            if cell.contains(['"', ',', '\n', '\r']) {
                let _ = write!(out, "\"{}\"", cell.replace('"', "\"\""));
            } else {
                out.push_str(cell);
            }
        }
    }
}
