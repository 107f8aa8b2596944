//! What opens below the line of a run.

use maud::{Markup, html};

use super::charts;
use super::shown::{Shown, Span};
use super::text::{clock, counted, duration, figure, foreign, grouped, moment, object};
use crate::failures::Failures;
use crate::manifest::{InputCounts, Spent};
use crate::schedule::{later, seconds_between};

/// Rows of a table of failures.
const FAILURES_MAX: usize = 12;

pub(super) fn run(shown: &Shown) -> Markup {
    let status = &shown.status;
    html! {
        @if let Some(problem) = &status.problem {
            p.notice { strong { (foreign(&problem.code)) } " " (foreign(&problem.message)) }
        }
        @if let Some(notice) = &status.notice { p.notice { (foreign(notice)) } }
        (facts(shown))
        div.pair {
            (rows(&status.inputs))
            (spent(&status.spent))
        }
        @if shown.pace.total() > 0 {
            h3 { "Records a minute" }
            (charts::pace(&shown.pace))
        }
        @if !shown.collections.is_empty() { (time_line(shown)) }
        @if !shown.failures.is_empty() || !status.spent.again.is_empty() {
            h3 { "Failures" }
            div.pair {
                (failures(&shown.failures))
                (counts("Triggered again after", "again", &status.spent.again, 0, ""))
            }
        }
        (files(shown))
    }
}

fn facts(shown: &Shown) -> Markup {
    let status = &shown.status;
    html! {
        dl.facts {
            div { dt { "Run" } dd { code { (status.run) } } }
            @if let Some(collector) = &status.collector { div { dt { "Collector" } dd { code { (foreign(collector)) } } } }
            div { dt { "Began" } dd { (moment(status.started_at)) } }
            @match status.finished_at {
                Some(at) => {
                    div { dt { "Ended" } dd { (moment(at)) } }
                    div { dt { "Took" } dd { (duration(u64::try_from(seconds_between(status.started_at, at)).unwrap_or(0))) } }
                }
                None => div { dt { "Last seen" } dd { (moment(status.updated_at)) } }
            }
        }
    }
}

/// What became of every row.
fn rows(counts: &InputCounts) -> Markup {
    let rows = [
        ("With records", "with_records", counts.with_records, "good"),
        ("Without a record", "no_record", counts.no_record, "none"),
        ("Failed", "failed", counts.failed, "bad"),
        ("Rejected rows", "rejected", counts.rejected, "none"),
        ("Duplicates", "duplicates", counts.duplicates, "none"),
        ("Under way", "pending", counts.pending, "accent"),
        ("Held for a person", "held", counts.held, "wait"),
    ];
    html! {
        table.shares {
            caption { "What became of " (figure("read", counts.read)) " rows" }
            tbody {
                @for (name, key, count, kind) in rows {
                    // What is nothing in a finished run is left out, but never what the file is about.
                    @if count > 0 || matches!(key, "with_records" | "failed") {
                        tr { th scope="row" { (name) } td.chart { (charts::bar(count, counts.read, kind)) } td.number { (figure(key, count)) } }
                    }
                }
            }
        }
    }
}

/// What was paid for.
fn spent(spent: &Spent) -> Markup {
    let most = spent.page_loads.max(spent.inputs);
    html! {
        table.shares {
            caption { "What was paid for, in " (figure("collections", spent.collections)) " collections" }
            tbody {
                tr { th scope="row" { "Page loads" } td.chart { (charts::bar(spent.page_loads, most, "accent")) } td.number { (figure("page_loads", spent.page_loads)) } }
                tr { th scope="row" { "Inputs triggered" } td.chart { (charts::bar(spent.inputs, most, "accent")) } td.number { (figure("triggered", spent.inputs)) } }
                tr { th scope="row" { "For nothing" } td.chart { (charts::bar(spent.for_nothing, most, "bad")) } td.number { (figure("for_nothing", spent.for_nothing)) } }
            }
        }
    }
}

/// When each collection was triggered and delivered.
fn time_line(shown: &Shown) -> Markup {
    let began = shown.status.started_at;
    let last = shown.collections.iter().map(|span| span.to).max().unwrap_or(began);
    let seconds = seconds_between(began, last);
    let total = shown.status.spent.collections;
    let kind = |span: &Span| match span {
        Span { abandoned: true, .. } => "none",
        Span { records: 0, .. } => "bad",
        Span { failed: 0, .. } => "good",
        _ => "wait",
    };
    html! {
        h3 { "Collections" }
        @if total > shown.collections.len() as u64 {
            p.note { "The " (shown.collections.len()) " that took longest, of " (grouped(total)) "." }
        }
        div.scroll role="region" aria-label={ "Collections of run " (shown.status.run) } tabindex="0" {
            table.line {
                thead {
                    tr {
                        th scope="col" { "Collection" }
                        th.chart scope="col" { span.ends { span { (clock(began)) } span { (clock(later(began, seconds))) } } }
                        th.number scope="col" { "Took" } th.number scope="col" { "Inputs" } th.number scope="col" { "Records" } th.number scope="col" { "Failed" }
                    }
                }
                tbody {
                    @for span in &shown.collections {
                        tr {
                            th scope="row" {
                                code { (foreign(&span.id)) }
                                span.batch { "batch " (span.batch) @if span.attempt > 1 { ", attempt " (span.attempt) } @if span.abandoned { ", abandoned" } }
                            }
                            td.chart { (charts::span(seconds_between(began, span.from), seconds_between(began, span.to), seconds, kind(span))) }
                            td.number { (duration(span.seconds())) }
                            td.number { (grouped(u64::from(span.inputs))) }
                            td.number { (grouped(span.records)) }
                            td.number { (grouped(u64::from(span.failed))) }
                        }
                    }
                }
            }
        }
    }
}

/// By code, and by host.
pub(super) fn failures(failures: &Failures) -> Markup {
    html! {
        (counts("By code", "code", &failures.codes, failures.other_codes, "other codes"))
        (counts("By host", "host", &failures.hosts, failures.other_hosts, "other hosts, or none told"))
    }
}

fn counts(
    caption: &str,
    name: &str,
    counts: &std::collections::BTreeMap<String, u64>,
    mut other: u64,
    others: &str,
) -> Markup {
    let whole = counts.values().sum::<u64>() + other;
    let kind = if name == "again" { "wait" } else { "bad" };
    let mut sorted: Vec<(&String, &u64)> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let rest = sorted.split_off(FAILURES_MAX.min(sorted.len()));
    other += rest.iter().map(|(_, count)| **count).sum::<u64>();
    html! {
        @if whole > 0 { table.shares {
            caption { (caption) }
            tbody {
                @for (text, count) in sorted {
                    tr {
                        th scope="row" { code { (foreign(text)) } }
                        td.chart { (charts::bar(*count, whole, kind)) }
                        td.number data-name=(text) { (figure(name, *count)) }
                    }
                }
                @if other > 0 {
                    tr { th scope="row" { (others) } td.chart { (charts::bar(other, whole, "none")) } td.number { (figure(&format!("other_{name}s"), other)) } }
                }
            }
        } }
    }
}

/// Where the results are.
fn files(shown: &Shown) -> Markup {
    let manifest = shown.status.manifest.as_deref();
    let failed = shown.failed.as_ref();
    let unnamed = shown.outputs_count.saturating_sub(shown.outputs.len() as u64);
    html! {
        @if let Some(manifest) = manifest {
            h3 { "Files" }
            ul.files {
                li { span { "Manifest" } (object(manifest)) }
                @if let Some(key) = failed.and_then(|failed| failed.key.as_deref()) { li { span { "Failed inputs" } (object(key)) } }
                @if let Some(failed) = failed { li { span { "Errors" } (object(&failed.errors)) } }
                @for output in &shown.outputs {
                    li { span { (counted(output.records, "record")) } (object(&output.key)) }
                }
                @if unnamed > 0 { li { span {} (counted(unnamed, "more output")) " in the manifest" } }
            }
        }
    }
}
