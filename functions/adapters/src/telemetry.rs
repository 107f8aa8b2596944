//! Logs: JSON lines in Lambda, readable ones on a terminal. `RUST_LOG` says what is written, else `AWS_LAMBDA_LOG_LEVEL` does, which
//! Lambda sets from the function's application log level.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use self::line::Line;

mod line;

/// Starts logging for a function. Where there is another subscriber already, it stays.
pub fn init() {
    let lookup = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let filter = directives(lookup);
    let in_lambda = lookup("AWS_LAMBDA_FUNCTION_NAME").is_some();
    // `ok`: a subscriber that is there already was set on purpose.
    if in_lambda && !std::io::stdout().is_terminal() {
        json_lines(&filter, std::io::stdout).try_init().ok();
    } else {
        registry().with(fmt::layer().with_writer(std::io::stderr)).with(targets(&filter)).try_init().ok();
    }
}

/// What a function in Lambda writes to its log: one JSON object a line.
pub fn json_lines<W>(filter: &str, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().fmt_fields(JsonFields::new()).event_format(Line).with_writer(writer);
    registry().with(lines).with(targets(filter))
}

/// Starts logging for a person at a terminal, who sees progress and results already: only errors, unless `RUST_LOG` asks for more. Each line
/// is one write to what `writer` gives.
pub fn terminal<W: io::Write + 'static>(writer: impl Fn() -> W + Send + Sync + 'static, colours: bool) {
    let asked = std::env::var("RUST_LOG").ok().filter(|value| !value.is_empty());
    let filter = directives(|name| if name == "RUST_LOG" { asked.clone() } else { Some("ERROR".to_owned()) });
    let lines = fmt::layer().with_target(false).without_time();
    let lines = lines.with_writer(writer).with_ansi(colours);
    // A subscriber that is there already was set on purpose.
    registry().with(lines).with(targets(&filter)).try_init().ok();
}

/// The filter that these directives say. One by target and level alone: one that also looks into spans brings regular expressions with it.
fn targets(directives: &str) -> Targets {
    directives.parse().or_else(|_| ours("").parse()).unwrap_or_default()
}

/// The filter. Our own crates speak at the level asked for; HTTP and AWS ones print headers at `debug`, so they only warn unless
/// `RUST_LOG` asks for them by name.
pub fn directives(lookup: impl Fn(&str) -> Option<String>) -> String {
    if let Some(asked) = lookup("RUST_LOG") {
        return if asked.contains([',', '=']) { asked } else { ours(&asked) };
    }
    ours(&lookup("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default())
}

fn ours(level: &str) -> String {
    let level = match level.to_ascii_lowercase().as_str() {
        "fatal" => "error",
        known @ ("trace" | "debug" | "warn" | "error" | "off") => known,
        _ => "info",
    }
    .to_owned();
    // Lambda's runtime makes the span with the request's id.
    let crates =
        ["lambda_runtime", "pipeline", "adapters", "trigger", "poll", "retry", "sweep", "webhook", "dropcollect"];
    let rest = if matches!(level.as_str(), "error" | "off") { level.as_str() } else { "warn" };
    let directives = crates.iter().map(|name| format!("{name}={level}"));
    std::iter::once(rest.to_owned()).chain(directives).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> String {
        directives(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn our_crates_speak_and_others_warn() {
        let info = "warn,lambda_runtime=info,pipeline=info,adapters=info,trigger=info,poll=info,retry=info,sweep=info,webhook=info,\
                    dropcollect=info";
        assert_eq!(with(&[]), info);
        assert_eq!(with(&[("AWS_LAMBDA_LOG_LEVEL", "INFO")]), info);
        assert_eq!(with(&[("RUST_LOG", "nonsense")]), info);
        let debug = info.replace("info", "debug");
        assert_eq!(with(&[("AWS_LAMBDA_LOG_LEVEL", "DEBUG")]), debug);
        assert_eq!(with(&[("RUST_LOG", "debug"), ("AWS_LAMBDA_LOG_LEVEL", "ERROR")]), debug);
        assert_eq!(with(&[("AWS_LAMBDA_LOG_LEVEL", "FATAL")]), info.replace("info", "error").replace("warn", "error"));
        assert_eq!(with(&[("RUST_LOG", "warn,hyper=debug")]), "warn,hyper=debug");
        assert_eq!(targets("hyper=loud"), info.parse().unwrap());
        assert_eq!(targets("warn,hyper=debug").default_level(), Some(tracing::level_filters::LevelFilter::WARN));
    }
}
