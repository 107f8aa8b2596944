//! The token, and what asking with it brought.

use std::sync::{Arc, Mutex, PoisonError};

use adapters::aws::Aws;
use adapters::config::{Config, ConfigError, TokenFrom};
use adapters::dca::{Backoff, Client, FixedToken, HttpTransport, ReadToken, Times};
use adapters::secrets::TokenSecret;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use pipeline::policy::limits::RESULTS_KEPT_SECONDS;
use pipeline::ports::{Api, Clock, JobPage, Looked};

use super::watching::{Seen, Watching};
use super::{Asked, Blame, Check, Lookup, TOKEN, fix_for, get, only};

/// Name of the check.
const NAME: &str = "token";
/// Where the vendor's command line and libraries look for the same key.
const OTHER_NAMES: [&str; 2] = ["BRIGHTDATA_API_KEY", "BRIGHTDATA_API_TOKEN"];

/// What to do where the API cannot be reached, by words of the error.
const UNREACHABLE: [(&str, &str); 4] = [
    ("dns error", "check the host name in BRIGHT_DATA_API_URL (unset it for the API's own), and this machine's DNS"),
    (
        "ertificate",
        "a proxy that opens TLS is in the way, or another host's certificate: only public authorities are trusted",
    ),
    ("refused", "nothing listens there: check BRIGHT_DATA_API_URL (unset it for the API's own), and the firewall"),
    ("timed out", "nothing answers: check BRIGHT_DATA_API_URL, and whether a firewall or a proxy is in the way"),
];
const NETWORK: &str = "check BRIGHT_DATA_API_URL (unset it for the API's own), and the network";
const ADDRESS: &str = "correct BRIGHT_DATA_API_URL, or unset it for the API's own address";
const LATER: &str = "ask again later: runs wait for the API by themselves";

/// The API's own client, and what its transport saw.
pub(super) struct Asking {
    client: Client<Watching>,
    seen: Arc<Mutex<Seen>>,
    config: Config,
    now: Timestamp,
}

impl Asking {
    /// A client with the token, wherever it is; the check that failed where there is none to ask with.
    pub(super) async fn new(asked: &Asked, lookup: Lookup<'_>, clock: &Arc<dyn Clock>) -> Result<Self, Check> {
        malformed(lookup)?;
        let config = only(lookup, &[TOKEN, "BRIGHT_DATA_API_URL", "AWS_"]);
        let config = config.map_err(|_| Check::skipped(NAME, "the settings are in the way", "see settings"))?;
        let token = match &config.token {
            Some(TokenFrom::Given(token)) => token.clone(),
            Some(TokenFrom::Secret(id)) => {
                let secret = TokenSecret::new(Aws::from_env(&config).await.secrets(), id);
                secret.read().await.map_err(|error| {
                    let fix = "check BRIGHT_DATA_API_TOKEN_SECRET, the credentials and region of AWS, and the permission \
                               secretsmanager:GetSecretValue";
                    Check::problem(NAME, Blame::Setting, format!("{error}: {}", error.source), fix)
                })?
            }
            None => return Err(none(asked, lookup)),
        };
        let transport = HttpTransport::new(&config.api_url, Times::default(), Arc::clone(clock));
        let transport = transport.map_err(|error| Check::problem(NAME, Blame::Setting, error.to_string(), ADDRESS))?;
        let seen = Arc::default();
        let watching = Watching::new(transport, Arc::clone(clock), Arc::clone(&seen));
        let client = Client::new(watching, Arc::new(FixedToken(token)), Arc::clone(clock));
        Ok(Self { client: client.with_backoff(Backoff::none()), seen, config, now: clock.now() })
    }

    /// Asks for the jobs of a collector, as far back as results are kept. Days are the API's, and our clock may be off, so the next one is
    /// in it, too.
    pub(super) async fn jobs(&self, collector: &str) -> Looked<JobPage> {
        let day = |seconds| {
            let at = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(self.now);
            at.to_zoned_datetime(TimeZone::UTC).date()
        };
        let kept = i64::try_from(RESULTS_KEPT_SECONDS).unwrap_or_default();
        self.client.jobs(collector, day(-kept), day(86_400), 0).await
    }

    /// What was seen of the last question.
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the answer to the last question says about the token.
    pub(super) fn token(&self, answer: &Looked<JobPage>) -> Check {
        let url = &self.config.api_url;
        let setting = |seen: String, fix: &str| Check::problem(NAME, Blame::Setting, seen, fix);
        match answer {
            Looked::Found(_) => Check::ok(NAME, format!("{url} accepts it")),
            Looked::Credentials { status, text } => {
                let seen = format!("{url} refuses it ({status}): {text}");
                Check::problem(NAME, Blame::Credentials, seen, self.another_key(*status))
            }
            Looked::Wait { .. } => Check::warning(NAME, format!("{url} has been asked too often (429)"), LATER),
            Looked::Trouble { why } => match self.seen().failed {
                Some(_) => setting(format!("{url} cannot be reached: {why}"), fix_for(why, &UNREACHABLE, NETWORK)),
                None => Check::warning(NAME, format!("{url} is in trouble ({why})"), LATER),
            },
            Looked::Absent => setting(format!("{url} has no job list (404)"), ADDRESS),
            // The list is documented without a collector, and was observed to want one: who is told so has been let in.
            Looked::Refused { status: 400, text } if text.to_ascii_lowercase().contains("collector") => {
                Check::ok(NAME, format!("{url} lets it in (and says, asked without a collector: {text})"))
            }
            Looked::Refused { status: status @ 200..=399, text } => {
                setting(format!("{url} does not answer as the API does ({status}): {text}"), ADDRESS)
            }
            Looked::Refused { status, text } => {
                let seen = format!("{url} says {status}: {text}, and nothing about the token");
                Check::warning(NAME, seen, "name a collector with --collector, or ask again later")
            }
        }
    }

    fn another_key(&self, status: u16) -> String {
        let place = match self.config.token {
            Some(TokenFrom::Secret(_)) => "the secret",
            _ => TOKEN,
        };
        let allowed = if status == 403 { " that may run collectors" } else { "" };
        format!(
            "put an API key{allowed} into {place}; the account's settings (brightdata.com/cp/setting/users) show keys and their permissions"
        )
    }
}

/// What no token looks like. Its value is never told.
fn malformed(lookup: Lookup<'_>) -> Result<(), Check> {
    let given = get(lookup, TOKEN).unwrap_or_default();
    let quoted = |end: Option<char>| end.is_some_and(|end| matches!(end, '"' | '\'' | '`' | '“' | '”'));
    let (first, last) = (given.trim().chars().next(), given.trim().chars().next_back());
    let seen = if quoted(first) || quoted(last) {
        format!("{TOKEN} has quotation marks in it")
    } else if given.trim().to_ascii_lowercase().starts_with("bearer") {
        format!("{TOKEN} begins with \"Bearer\", which is the header's")
    } else if let Err(ConfigError(problems)) = only(lookup, &[TOKEN]) {
        problems.join("; ")
    } else {
        return Ok(());
    };
    let fix = "give the key alone, once, without quotation marks, white space and \"Bearer\"";
    Err(Check::problem(NAME, Blame::Setting, seen, fix))
}

/// There is no token: on one machine nothing goes without it, and a stack has its own.
fn none(asked: &Asked, lookup: Lookup<'_>) -> Check {
    if asked.place.starts_with("s3://") {
        let fix = "set BRIGHT_DATA_API_TOKEN_SECRET to the stack's secret to have it looked at";
        return Check::skipped(NAME, "none is set here; the functions have their own", fix);
    }
    let other = OTHER_NAMES.iter().find(|name| get(lookup, name).is_some());
    let seen = match other {
        Some(other) => format!("{TOKEN} is not set ({other} is, which is another program's)"),
        None => format!("{TOKEN} is not set"),
    };
    let fix = "set it to an API key of your account, or try everything without one: dropcollect run --simulate";
    Check::problem(NAME, Blame::Setting, seen, fix)
}
