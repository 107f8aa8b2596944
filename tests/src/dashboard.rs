//! The dashboard of the template, as its widgets and as a drawing for people who have no console at hand.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::template;

/// Characters of a drawing for one of the 24 columns of the grid, and lines for two of its rows.
const COLUMN: usize = 5;

/// The widgets, with the names of resources where the deployed dashboard has theirs.
pub fn widgets() -> Result<Vec<Value>> {
    let template = template::load()?;
    let body = &template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"];
    let body: Value = serde_json::from_str(body.as_str().context("no body")?)?;
    body["widgets"].as_array().cloned().context("no widgets")
}

/// The metrics of a widget in full: CloudWatch lets a row leave out what it has in common with the one before it, which ours do not.
pub fn metrics(widget: &Value) -> impl Iterator<Item = &Vec<Value>> {
    widget["properties"]["metrics"].as_array().into_iter().flatten().filter_map(Value::as_array)
}

/// What a row of a widget is called.
fn label(row: &[Value]) -> String {
    let named = row.last().and_then(|options| options["label"].as_str());
    let searched = row.first().and_then(|first| first["expression"].as_str()).map(|_| "each code");
    named.or(searched).or_else(|| row.get(1)?.as_str()).unwrap_or_default().to_owned()
}

/// Draws the dashboard: every widget at its place, with its title and what it shows.
pub fn drawing() -> Result<String> {
    let widgets = widgets()?;
    let number = |widget: &Value, field: &str| {
        widget[field].as_u64().and_then(|number| usize::try_from(number).ok()).context("a place that is no number")
    };
    let mut canvas: Vec<Vec<char>> = Vec::new();
    for widget in &widgets {
        let (x, y) = (number(widget, "x")? * COLUMN, number(widget, "y")?);
        let (width, height) = (number(widget, "width")? * COLUMN, number(widget, "height")?);
        if x + width > 24 * COLUMN {
            bail!("{} is wider than the dashboard", widget["properties"]["title"]);
        }
        while canvas.len() <= y + height {
            canvas.push(vec![' '; 24 * COLUMN + 1]);
        }
        for (line, row) in canvas.iter_mut().enumerate().skip(y).take(height + 1) {
            for (column, place) in row.iter_mut().enumerate().skip(x).take(width + 1) {
                let edge = (line == y || line == y + height, column == x || column == x + width);
                let drawn = match edge {
                    (true, true) => '+',
                    (true, false) => '-',
                    (false, true) => '|',
                    (false, false) => continue,
                };
                if *place != '+' {
                    *place = drawn;
                }
            }
        }
        for (line, text) in words(widget, width - 4).into_iter().enumerate().take(height - 1) {
            for (column, letter) in text.chars().enumerate() {
                canvas[y + 1 + line][x + 2 + column] = letter;
            }
        }
    }
    let lines = canvas.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned() + "\n");
    Ok(lines.collect())
}

/// Title and contents of a widget, in lines of this width.
fn words(widget: &Value, width: usize) -> Vec<String> {
    let properties = &widget["properties"];
    let mut lines = vec![properties["title"].as_str().unwrap_or_default().to_uppercase()];
    let rows: Vec<String> = match properties["alarms"].as_array() {
        Some(alarms) => {
            alarms.iter().filter_map(Value::as_str).map(|arn| arn.replace(".Arn}", "").replace("${", "")).collect()
        }
        None => metrics(widget).map(|row| label(row)).collect(),
    };
    let query = properties["query"].as_str().and_then(|query| query.split(" | fields ").nth(1));
    let mut line = String::new();
    for word in rows.iter().map(String::as_str).chain(query) {
        if !line.is_empty() && line.len() + 3 + word.len() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push_str(" · ");
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.into_iter().map(|line| line.chars().take(width).collect()).collect()
}
