//! The status page: it says what the manifests say, and costs a bounded number of requests.

use std::collections::BTreeMap;

use dropcollect::memory::MemoryStore;
use futures_util::FutureExt;
use pipeline::keys;
use pipeline::manifest::Manifest;
use pipeline::page::{INTERVAL_SECONDS, Page, RUNS_MAX, Shown, renew};
use pipeline::ports::{Clock, ObjectInfo, Store};
use pipeline::schedule::seconds_between;
use serde_json::Value;

use crate::world::points::Point;
use crate::world::{World, read};

/// What the page says of runs that are over is what their manifests say. Where no handler was disturbed it knows all of them; where one
/// was, at the latest after the next sweep.
pub(super) fn the_page_is_true(world: &World) -> Result<(), String> {
    let calm = world.plan.faults == 0 && world.repeats.losses == 0;
    compare(world, &world.store, calm)?;
    // The sweep does no more than this; the world itself is left as it is.
    let copy = MemoryStore::new();
    for (key, object) in world.store.snapshot() {
        let info = ObjectInfo::default();
        copy.put(&key, object.body, &info).now_or_never().expect("nothing waits").map_err(|error| error.to_string())?;
    }
    renew(&copy, world.clock.now()).now_or_never().expect("nothing waits").map_err(|error| error.to_string())?;
    compare(world, &copy, true).map_err(|what| format!("after a sweep: {what}"))
}

fn compare(world: &World, store: &MemoryStore, complete: bool) -> Result<(), String> {
    let object = |key: &str| store.object(key).map(|object| object.body);
    let page: Option<Page> = object(keys::PAGE_STATE)
        .map(|body| serde_json::from_slice(&body).map_err(|error| error.to_string()))
        .transpose()?;
    let html = object(keys::PAGE).map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_or_default();
    let runs = page.map(|page| page.shown).unwrap_or_default();
    if runs.len() > RUNS_MAX {
        return Err(format!("{} runs are on the page", runs.len()));
    }
    for file in &world.dropped {
        let run = file.object.run();
        let key = keys::manifest(&keys::input_path(&file.object.key), &run);
        let manifest: Option<Manifest> = read(world, &key);
        let shown = runs.iter().find(|shown| shown.status.run == run);
        match (manifest, shown.filter(|shown| shown.is_over())) {
            (Some(manifest), Some(shown)) => {
                told(world, &manifest, shown).map_err(|what| format!("{run}: {what}"))?;
                if complete {
                    in_html(&html, &manifest).map_err(|what| format!("{run}: {what}"))?;
                }
            }
            (None, Some(_)) => return Err(format!("{run} is over on the page, and has no manifest")),
            (Some(_), None) if complete && runs.len() < RUNS_MAX => {
                return Err(format!("{run} is over, and the page does not know it: {shown:?}"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn told(world: &World, manifest: &Manifest, shown: &Shown) -> Result<(), String> {
    let status = &shown.status;
    if (status.state, status.inputs, status.records) != (manifest.state, manifest.inputs, manifest.records) {
        return Err(format!("the page says {status:?}, the manifest {:?}", manifest.inputs));
    }
    if shown.pace.total() != manifest.records {
        return Err(format!("{} records over time, of {}", shown.pace.total(), manifest.records));
    }
    let bars = shown.collections.len();
    if bars != manifest.collections.len().min(40) || shown.outputs_count != manifest.outputs.len() as u64 {
        return Err(format!("{bars} collections of {}, {} outputs", manifest.collections.len(), shown.outputs_count));
    }
    let failed = manifest.inputs.failed;
    let failures = &shown.failures;
    let hosts = failures.hosts.values().sum::<u64>() + failures.other_hosts;
    if *failures != manifest.failures || failures.count() != failed || hosts != failed {
        return Err(format!("{failed} inputs failed, told apart as {failures:?}"));
    }
    let listed = codes(world, manifest);
    if failures.other_codes == 0 && failures.codes != listed {
        return Err(format!("the error list has {listed:?}, the page {:?}", failures.codes));
    }
    Ok(())
}

/// The codes of the failed inputs in the list of errors.
fn codes(world: &World, manifest: &Manifest) -> BTreeMap<String, u64> {
    let mut codes = BTreeMap::new();
    let Some(failed) = &manifest.failed else { return codes };
    let Some(list) = world.store.object(&failed.errors) else { return codes };
    for line in list.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { continue };
        if line.get("row").is_none() {
            *codes.entry(line["code"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    codes
}

/// What a reader of the page sees of the run.
fn in_html(html: &str, manifest: &Manifest) -> Result<(), String> {
    let mark = format!("data-run=\"{}\"", manifest.run);
    let (_, rest) = html.split_once(&mark).ok_or("it is not on the page")?;
    let part = rest.split_once("data-run=").map_or(rest, |(part, _)| part);
    for (figure, count) in [
        ("records", manifest.records),
        ("read", manifest.inputs.read),
        ("with_records", manifest.inputs.with_records),
        ("failed", manifest.inputs.failed),
        ("collections", manifest.spent.collections),
        ("page_loads", manifest.spent.page_loads),
        ("for_nothing", manifest.spent.for_nothing),
    ] {
        if !part.contains(&format!("<data value=\"{count}\" data-figure=\"{figure}\">")) {
            return Err(format!("the page does not say {figure} {count}"));
        }
    }
    Ok(())
}

/// A run that ends and a sweep write the page; beyond that it is written once a minute, and a status within the minute costs one read. What
/// is delivered twice or cut off may write it once more.
pub(super) fn the_page_costs_little(world: &World) -> Result<(), String> {
    let effects = world.cuts.effects();
    let made = |call, about| effects.get(&Point::new(call, about)).copied().unwrap_or_default();
    let (reads, swaps, puts) = (made("get", "page-state"), made("replace", "page-state"), made("put", "page"));
    let (ends, statuses, sweeps) = (made("create", "over"), made("replace", "status"), world.repeats.sweeps);
    let minutes = u64::try_from(seconds_between(world.began, world.clock.now()) / INTERVAL_SECONDS).unwrap_or(0) + 1;
    let faults: u64 = world.cuts.injected().values().sum();
    // Of those who write at the same time one is first, and the others try again.
    let races = 2 + swaps / 2 + faults;
    let bounds = [
        ("swaps", swaps, ends + sweeps + minutes.min(statuses) + races),
        ("puts", puts, swaps + races),
        ("reads", reads, 2 * swaps + statuses + ends + 2 * sweeps + races),
    ];
    match bounds.into_iter().find(|(_, count, most)| count > most) {
        Some((what, count, most)) => Err(format!("{count} {what} of the page, {most} are enough")),
        None => Ok(()),
    }
}
