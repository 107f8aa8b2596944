//! Charts: rectangles in inline SVG, sized by attributes, because the page's policy allows no inline styles.
//!
//! Own ones, because charting crates draw with fonts or with scripts: the page needs neither, and its figures stand beside the bars as text
//! that a screen reader reads.

use maud::{Markup, html};

use super::shown::Pace;
use super::text::{clock, counted, grouped, percent};
use crate::manifest::InputCounts;

/// Width of every drawing, in its own units.
const WIDTH: f64 = 1_000.0;
/// Least width of what is there at all.
const LEAST: f64 = 4.0;

/// A share of a whole; the figure stands beside it.
pub(super) fn bar(part: u64, whole: u64, kind: &str) -> Markup {
    let width = share(part, whole);
    drawing(
        10,
        html! { rect class="track" width="1000" height="10" {} rect class=(kind) width=(units(width)) height="10" {} },
    )
}

/// Spent, then reserved, of a limit.
pub(super) fn spending(spent: u64, reserved: u64, limit: u64) -> Markup {
    let first = share(spent, limit);
    let second = share(reserved, limit).min(WIDTH - first);
    let kind = if spent.saturating_add(reserved) >= limit { "bad" } else { "accent" };
    drawing(
        10,
        html! {
            rect class="track" width="1000" height="10" {}
            rect class=(kind) width=(units(first)) height="10" {}
            rect class="wait" x=(units(first)) width=(units(second)) height="10" {}
        },
    )
}

/// From when to when, on an axis of so many seconds.
pub(super) fn span(from: i64, to: i64, seconds: i64, kind: &str) -> Markup {
    let scale = |at: i64| at.max(0) as f64 / seconds.max(1) as f64 * WIDTH;
    let begin = scale(from).min(WIDTH - LEAST);
    let width = (scale(to) - begin).clamp(LEAST, WIDTH - begin);
    drawing(
        10,
        html! {
            rect class="track" width="1000" height="10" {}
            rect class=(kind) x=(units(begin)) width=(units(width)) height="10" {}
        },
    )
}

/// What became of the rows of a file, as one bar that fills up.
pub(super) fn progress(counts: &InputCounts) -> Markup {
    let parts = [
        ("good", counts.with_records),
        ("none", counts.no_record + counts.rejected + counts.duplicates),
        ("bad", counts.failed),
        ("wait", counts.held),
    ];
    let widths = parts.map(|(_, count)| share(count, counts.read));
    let begin = |at: usize| widths.iter().take(at).sum::<f64>().min(WIDTH - LEAST);
    html! {
        svg.progress viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=(told(counts)) focusable="false" {
            rect class="track" width="1000" height="10" {}
            @for (at, ((kind, count), width)) in parts.into_iter().zip(widths).enumerate() {
                @if count > 0 { rect class=(kind) x=(units(begin(at))) width=(units(width.min(WIDTH - begin(at)))) height="10" {} }
            }
        }
    }
}

fn told(counts: &InputCounts) -> String {
    let open = counts.pending + counts.held;
    let done = counts.read.saturating_sub(open);
    format!(
        "{} % of {} accounted for, {} failed",
        percent(done, counts.read),
        counted(counts.read, "row"),
        grouped(counts.failed)
    )
}

/// Records a minute over the time of a run.
pub(super) fn pace(pace: &Pace) -> Markup {
    let peak = pace.records.iter().copied().max().unwrap_or(0);
    let step = WIDTH / pace.records.len().max(1) as f64;
    let gap = if pace.records.len() > 1 { step * 0.12 } else { 0.0 };
    let height = |records: u64| records as f64 / peak.max(1) as f64 * 100.0;
    let peak_a_minute = pace.a_minute(peak);
    let words = format!(
        "Records a minute from {} to {}: {} at most, {} in all",
        clock(pace.from),
        clock(pace.end()),
        grouped(peak_a_minute),
        counted(pace.total(), "record")
    );
    html! {
        figure.pace {
            div.peak aria-hidden="true" { (grouped(peak_a_minute)) " a minute" }
            svg.columns viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label=(words) focusable="false" {
                rect class="grid" width="1000" height="1" {}
                rect class="grid" y="50" width="1000" height="1" {}
                @for (at, records) in pace.records.iter().enumerate() {
                    @let top = height(*records);
                    rect class="accent" x=(units(at as f64 * step + gap / 2.0)) y=(units(100.0 - top)) width=(units(step - gap)) height=(units(top)) {}
                }
                rect class="axis" y="99" width="1000" height="1" {}
            }
            div.ends aria-hidden="true" { span { (clock(pace.from)) } span { (clock(pace.end())) } }
        }
    }
}

fn drawing(height: u32, inside: Markup) -> Markup {
    html! {
        svg.bar viewBox={ "0 0 1000 " (height) } preserveAspectRatio="none" aria-hidden="true" focusable="false" { (inside) }
    }
}

/// Its length; what is there at all can be seen.
fn share(part: u64, whole: u64) -> f64 {
    if part == 0 || whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64 * WIDTH).clamp(LEAST, WIDTH)
}

/// A length with a digit behind the point.
fn units(length: f64) -> String {
    let text = format!("{length:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}
