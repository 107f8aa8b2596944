//! The page. It has no script, asks for nothing outside itself, and says so in its policy, so that a text of somebody else could do
//! nothing even if it were not escaped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::shown::Shown;
use super::text::{counted, figure, foreign, grouped, moment, percent};
use super::{Beside, Page, RUNS_MAX, charts, details};
use crate::failures::Failures;
use crate::manifest::RunState;
use crate::pause::Switch;
use crate::spending::Book;

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(super) fn page(page: &Page, beside: &Beside) -> String {
    let title = title(page, beside);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                // The address of a page may be a key to it.
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "dropcollect" }
                    p { "As of " (moment(page.updated_at)) " UTC" }
                }
                main {
                    @if let Some(switch) = &beside.switch { (paused(switch)) }
                    (overview(page))
                    @if let Some(book) = &beside.book { (limits(book)) }
                    (runs(page))
                    (failures(page))
                }
                footer {
                    p {
                        "Times are UTC. The " (RUNS_MAX) " newest runs are shown. Links lead to the objects beside this page; behind an address that opens "
                        "only this page, copy the key and read it from the bucket."
                    }
                }
            }
        }
    }
    .into_string()
}

/// Nothing but the style sheet of the page.
fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

fn title(page: &Page, beside: &Beside) -> String {
    let open = page.shown.iter().filter(|shown| !shown.is_over()).count();
    let state = match (&beside.switch, open) {
        (Some(_), _) => "paused".to_owned(),
        (None, 0) => "all runs are over".to_owned(),
        (None, open) => format!("{} under way", counted(open as u64, "run")),
    };
    format!("dropcollect: {state}")
}

fn paused(switch: &Switch) -> Markup {
    html! {
        section.banner aria-labelledby="paused" {
            h2 #paused { "Paused" }
            p {
                "Nothing is triggered since " (moment(switch.at)) ". "
                @if !switch.reason.is_empty() { q { (foreign(&switch.reason)) } " " }
                "What runs is delivered all the same; " code { "dropcollect resume" } " goes on."
            }
        }
    }
}

fn overview(page: &Page) -> Markup {
    let sum = |count: fn(&Shown) -> u64| page.shown.iter().map(count).sum::<u64>();
    let tiles = [
        ("Runs under way", "open", sum(|shown| u64::from(!shown.is_over()))),
        ("Inputs with records", "with_records", sum(|shown| shown.status.inputs.with_records)),
        ("Failed inputs", "failed", sum(|shown| shown.status.inputs.failed)),
        ("Records", "records", sum(|shown| shown.status.records)),
        ("Page loads", "page_loads", sum(|shown| shown.status.spent.page_loads)),
        ("Paid for nothing", "for_nothing", sum(|shown| shown.status.spent.for_nothing)),
    ];
    html! {
        section aria-labelledby="overview" {
            h2 #overview.quiet { "At a glance" }
            dl.tiles data-of="all" {
                @for (name, key, count) in tiles { div { dt { (name) } dd { (figure(key, count)) } } }
            }
        }
    }
}

fn limits(book: &Book) -> Markup {
    let bars = book.bars();
    html! {
        @if !bars.is_empty() {
            section aria-labelledby="limits" {
                h2 #limits { "Spending limits" }
                p.note { "Page loads, as counted on " (foreign(&book.day)) "." }
                div.scroll role="region" aria-label="Limits, spent and reserved" tabindex="0" {
                    table.limits {
                        thead {
                            tr { th scope="col" { "Limit" } th scope="col" { span.unseen { "Share" } } th.number scope="col" { "Spent" }
                                th.number scope="col" { "Reserved" } th.number scope="col" { "Allowed" } th.number scope="col" { "Used" } }
                        }
                        tbody {
                            @for bar in &bars {
                                @let used = bar.spent.saturating_add(bar.reserved);
                                tr data-limit=(bar.name) {
                                    th scope="row" { (foreign(&bar.name)) }
                                    td.chart { (charts::spending(bar.spent, bar.reserved, bar.limit)) }
                                    td.number { (figure("spent", bar.spent)) }
                                    td.number { (figure("reserved", bar.reserved)) }
                                    td.number { (figure("limit", bar.limit)) }
                                    td.number { (percent(used, bar.limit)) " %" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn runs(page: &Page) -> Markup {
    html! {
        section aria-labelledby="runs" {
            h2 #runs { "Runs" }
            @if page.shown.is_empty() { p.note { "Nothing has been run yet." } }
            ol.runs {
                @for (at, shown) in page.shown.iter().enumerate() { li { (run(shown, at == 0)) } }
            }
        }
    }
}

/// One run: a line that opens.
fn run(shown: &Shown, open: bool) -> Markup {
    let status = &shown.status;
    let counts = &status.inputs;
    let done = counts.read.saturating_sub(counts.pending + counts.held);
    let (state, kind) = state(status.state);
    html! {
        details.run open[open] data-run=(status.run) data-state=(kind) {
            summary {
                span.state.(kind) { (state) }
                span.key { (foreign(&status.input.key)) }
                span.when { (moment(status.started_at)) }
                (charts::progress(counts))
                span.sum {
                    span { (grouped(done)) " of " (counted(counts.read, "row")) @if !status.file_read { " so far" } }
                    span { (figure("records", status.records)) @if status.records == 1 { " record" } @else { " records" } }
                    @if counts.failed > 0 { span.bad { (grouped(counts.failed)) " failed" } }
                    @if counts.held > 0 { span.wait { (grouped(counts.held)) " held" } }
                }
            }
            div.inside { (details::run(shown)) }
        }
    }
}

/// In words, and as a class.
pub(super) fn state(state: RunState) -> (&'static str, &'static str) {
    match state {
        RunState::Running => ("Running", "running"),
        RunState::Held => ("Held", "held"),
        RunState::Complete => ("Complete", "complete"),
        RunState::CompleteWithFailures => ("With failures", "failures"),
        RunState::Rejected => ("Rejected", "rejected"),
    }
}

/// Failures of all runs on the page.
fn failures(page: &Page) -> Markup {
    let mut all = Failures::default();
    for failures in page.shown.iter().map(|shown| &shown.failures) {
        for (code, count) in &failures.codes {
            *all.codes.entry(code.clone()).or_default() += count;
        }
        for (host, count) in &failures.hosts {
            *all.hosts.entry(host.clone()).or_default() += count;
        }
        all.other_codes += failures.other_codes;
        all.other_hosts += failures.other_hosts;
    }
    html! {
        @if !all.is_empty() {
            section aria-labelledby="failures" {
                h2 #failures { "Failures in these runs" }
                div.pair data-of="all" { (details::failures(&all)) }
            }
        }
    }
}
