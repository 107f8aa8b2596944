//! How fast a dataset in memory is cut into rows and told apart, beside parsers that only say whether it is valid.

use std::hint::black_box;
use std::time::Instant;

use anyhow::bail;
use serde::de::IgnoredAny;

use crate::data::{Dataset, Shape};

/// Bytes of a piece: what the client reads from a fast connection at a time.
const CHUNK: usize = 408 * 1024;
const TIMES: usize = 7;

/// Takes the bytes to itself, because one of the parsers writes into its input.
type Pass = fn(&mut [u8]) -> anyhow::Result<()>;

/// `cutting MEGABYTES`: one line of JSON with the median seconds of each.
pub(crate) fn main(arguments: &[String]) -> anyhow::Result<()> {
    let [megabytes] = arguments else { bail!("cutting MEGABYTES") };
    let body = Dataset::of(Shape::Array, megabytes.parse::<usize>()? * 1_000_000).whole();
    let mut scratch = body.clone();
    let passes = PASSES;
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); passes.len()];
    // The first round only warms up.
    for round in 0..=TIMES {
        for ((_, pass), seconds) in passes.iter().zip(&mut seconds) {
            scratch.copy_from_slice(&body);
            let began = Instant::now();
            pass(&mut scratch)?;
            if round > 0 {
                seconds.push(began.elapsed().as_secs_f64());
            }
        }
    }
    let figures: Vec<String> = passes
        .iter()
        .zip(&mut seconds)
        .map(|((name, _), seconds)| {
            seconds.sort_by(f64::total_cmp);
            format!(r#""{name}":{}"#, seconds.get(TIMES / 2).copied().unwrap_or_default())
        })
        .collect();
    println!(r#"{{"bytes":{},"seconds":{{{}}}}}"#, body.len(), figures.join(","));
    Ok(())
}

const PASSES: [(&str, Pass); 6] = [
    ("memchr, counting line feeds", |body| {
        black_box(memchr::memchr_iter(b'\n', body).count());
        Ok(())
    }),
    ("serde_json, IgnoredAny", |body| {
        black_box(serde_json::from_slice::<IgnoredAny>(body)?);
        Ok(())
    }),
    ("sonic-rs, IgnoredAny", |body| {
        black_box(sonic_rs::from_slice::<IgnoredAny>(body)?);
        Ok(())
    }),
    ("simd-json, to_tape", |body| {
        black_box(simd_json::to_tape(body)?.0.len());
        Ok(())
    }),
    ("jiter, next_skip", |body| {
        let mut parser = jiter::Jiter::new(body);
        parser.next_skip()?;
        Ok(parser.finish()?)
    }),
    ("dropcollect, cut and told apart", told_apart),
];

fn told_apart(body: &mut [u8]) -> anyhow::Result<()> {
    let mut reader = pipeline::dataset::Reader::new("application/json");
    let mut rows = 0_u64;
    for chunk in body.chunks(CHUNK) {
        reader.push(chunk, &mut |row| {
            black_box(row);
            rows += 1;
        })?;
    }
    reader.finish(&mut |_| rows += 1)?;
    black_box(rows);
    Ok(())
}
