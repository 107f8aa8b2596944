//! A stack as the place of runs: its dataset bucket and its queues.

use adapters::aws::Aws;
use adapters::config::Config;
use adapters::s3::{S3Store, try_conditions};
use adapters::sqs::{self, QueueLook};
use pipeline::ports::{Clock, PortError, Store};

use super::{Asked, Blame, Check, Lookup, State, counted, fix_for, only, work};

/// Time-out of the function `poll`, in seconds, as the template has it.
pub const POLL_SECONDS: u64 = 900;
/// Time-out of the function `retry`.
pub const RETRY_SECONDS: u64 = 300;

/// What to do about an error of AWS, by words of it.
const FIXES: [(&str, &str); 13] = [
    ("NoSuchBucket", "check the name: it is the stack's output DatasetBucket"),
    ("NonExistentQueue", "check the address: it is an output of the stack (PollQueueUrl, RetryQueueUrl)"),
    ("QueueDoesNotExist", "check the address: it is an output of the stack (PollQueueUrl, RetryQueueUrl)"),
    ("RequestTimeTooSkewed", "set this machine's clock (timedatectl set-ntp true)"),
    ("ExpiredToken", "log in again: the credentials of AWS have expired"),
    ("InvalidAccessKeyId", "check the credentials of AWS (AWS_ACCESS_KEY_ID or AWS_PROFILE)"),
    ("SignatureDoesNotMatch", "check the credentials of AWS (AWS_SECRET_ACCESS_KEY or AWS_PROFILE)"),
    ("PermanentRedirect", "set AWS_REGION to the stack's region"),
    ("AuthorizationHeaderMalformed", "set AWS_REGION to the stack's region"),
    (
        "Access",
        "allow these credentials s3:ListBucket and s3:GetObject on the bucket, and sqs:GetQueueAttributes on the queues",
    ),
    ("credentials", "log in to AWS: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ("egion", "set AWS_REGION to the stack's region"),
    ("dispatch failure", "check the network, AWS_REGION and AWS_ENDPOINT_URL"),
];

/// What to do about an error of AWS, if its words tell.
pub fn advice(said: &str) -> Option<&'static str> {
    FIXES.iter().find(|(needle, _)| said.contains(needle)).map(|(_, fix)| *fix)
}

/// The bucket, what is in it, and the queues.
pub(super) async fn checks(asked: &Asked, bucket: &str, lookup: Lookup<'_>, clock: &dyn Clock) -> Vec<Check> {
    let Ok(config) = only(lookup, &["AWS_", "POLL_QUEUE_URL", "RETRY_QUEUE_URL"]) else {
        return vec![Check::skipped("bucket", "the settings are in the way", "see settings")];
    };
    if bucket.is_empty() {
        let fix = "give --data s3:// and the stack's output DatasetBucket";
        return vec![Check::problem("bucket", Blame::Setting, "none is named", fix)];
    }
    let aws = Aws::from_env(&config).await;
    let store = S3Store::new(aws.s3(), bucket);
    let found = found(&store, bucket).await;
    let reachable = !matches!(found.state, State::Problem(_));
    let mut checks = vec![found];
    if reachable {
        checks.push(writes(asked, &aws, bucket, clock).await);
    }
    checks.extend(queues(&config, &aws).await);
    if reachable {
        checks.extend(work::checks(&store, &asked.place, clock).await);
    }
    checks
}

fn failed(name: &'static str, error: &PortError) -> Check {
    let said = error.source.to_string();
    let fix = fix_for(&said, &FIXES, "mend what it says");
    Check::problem(name, Blame::Setting, format!("{error}: {said}"), fix)
}

/// Lists the bucket, and reads one object of each kind that the other commands read.
async fn found(store: &S3Store, bucket: &str) -> Check {
    let looked = async {
        let mut own = 0;
        for prefix in ["ledger/", "control/", "status/"] {
            let keys = store.list(prefix, None).await?.keys;
            own += keys.len();
            if let Some(key) = keys.first() {
                store.get(key).await?;
            }
        }
        let any = own > 0 || !store.list("", None).await?.keys.is_empty();
        Ok::<_, PortError>((own > 0, any))
    };
    match looked.await {
        Ok((true, _)) => Check::ok("bucket", format!("{bucket} can be listed and read")),
        Ok((false, false)) => Check::ok("bucket", format!("{bucket} can be listed; nothing has been run there")),
        Ok((false, true)) => Check::warning(
            "bucket",
            format!("{bucket} has objects, and none of dropcollect's"),
            "check the name: it is the stack's output DatasetBucket, not InputBucket",
        ),
        Err(error) => failed("bucket", &error),
    }
}

/// Whether a record can be written once only.
async fn writes(asked: &Asked, aws: &Aws, bucket: &str, clock: &dyn Clock) -> Check {
    if !asked.write {
        let fix = "add --write to write one object and delete it; only other services than Amazon's need to be tried";
        return Check::skipped("writes", "conditional writes were not tried", fix);
    }
    let key = format!("control/doctor-{}-{}", clock.now().as_millisecond(), std::process::id());
    let tried = match try_conditions(&aws.s3(), bucket, &key).await {
        Ok(tried) => tried,
        Err(error) => return failed("writes", &error),
    };
    let left = tried.left.map(|error| format!("; {key} is left behind: {error}: {}", error.source));
    let seen = |said: &str| format!("{said}{}", left.as_deref().unwrap_or_default());
    if !tried.honoured {
        let fix = "use Amazon S3, or a service that refuses If-None-Match: * where there is an object: else work may be paid for twice";
        return Check::problem("writes", Blame::Setting, seen("a second write of the same key is not refused"), fix);
    }
    let seen = seen("a second write of the same key is refused, as it must be");
    match left {
        Some(_) => Check::warning("writes", seen, "delete that object, or leave it: nobody reads it"),
        None => Check::ok("writes", seen),
    }
}

/// A queue of the stack: where its address stands, names of its checks, the output, time-out of its function, and a section of the runbook.
struct Known<'a> {
    variable: &'static str,
    url: &'a str,
    queue: &'static str,
    letters: &'static str,
    output: &'static str,
    seconds: u64,
    alarm: &'static str,
}

async fn queues(config: &Config, aws: &Aws) -> Vec<Check> {
    let known = [
        Known {
            variable: "POLL_QUEUE_URL",
            url: &config.poll_queue_url,
            queue: "poll queue",
            letters: "poll dead letters",
            output: "PollQueueUrl",
            seconds: POLL_SECONDS,
            alarm: "PollDeadLetterAlarm",
        },
        Known {
            variable: "RETRY_QUEUE_URL",
            url: &config.retry_queue_url,
            queue: "retry queue",
            letters: "retry dead letters",
            output: "RetryQueueUrl",
            seconds: RETRY_SECONDS,
            alarm: "RetryDeadLetterAlarm",
        },
    ];
    let mut checks = Vec::new();
    for known in known {
        checks.extend(queue(&known, aws).await);
    }
    checks
}

async fn queue(known: &Known<'_>, aws: &Aws) -> Vec<Check> {
    if known.url.is_empty() {
        let fix = format!("set it to the stack's output {}", known.output);
        return vec![Check::skipped(known.queue, format!("{} is not set", known.variable), fix)];
    }
    let looked = match sqs::look(&aws.sqs(), known.url).await {
        Ok(looked) => looked,
        Err(error) => return vec![failed(known.queue, &error)],
    };
    vec![visibility(known, &looked), letters(known, aws, looked.dead_letter_queue.as_deref()).await]
}

fn visibility(known: &Known<'_>, looked: &QueueLook) -> Check {
    let messages = counted(looked.messages(), "message", "messages");
    let hidden = looked.visibility_seconds;
    let seen = format!(
        "{messages}: {} to be received, {} in flight, {} delayed; hidden for {hidden} s",
        looked.visible, looked.in_flight, looked.delayed
    );
    if hidden >= known.seconds {
        return Check::ok(known.queue, seen);
    }
    let fix = format!(
        "set its VisibilityTimeout to six times the function's time-out ({} s), as the template does",
        known.seconds
    );
    Check::warning(known.queue, seen, fix)
}

/// What could not be acted on waits for a person.
async fn letters(known: &Known<'_>, aws: &Aws, url: Option<&str>) -> Check {
    let Some(url) = url else {
        let fix = "give it a RedrivePolicy, as the template does";
        return Check::warning(known.letters, "the queue has no dead-letter queue", fix);
    };
    match sqs::look(&aws.sqs(), url).await {
        Ok(looked) if looked.messages() == 0 => Check::ok(known.letters, "none"),
        Ok(looked) => {
            let messages = counted(looked.messages(), "message", "messages");
            let fix = format!("infra/runbook.md, {}, says how to read them and to move them back", known.alarm);
            Check::problem(known.letters, Blame::Person, format!("{messages} in {url}"), fix)
        }
        Err(error) => failed(known.letters, &error),
    }
}
