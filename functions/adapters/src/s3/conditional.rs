//! Conditional writes, with resends that know what they are doing.
//!
//! The SDK's own resends would spoil them: when the answer to a successful create is lost, the resend finds the object and is told
//! 412, and whoever wrote the object would believe that somebody else did. So the SDK resends nothing here. This loop does, because
//! a function that was frozen finds its connections dead, and it remembers whether an earlier try may have succeeded: a 412 after
//! such a try is an error, as the port's contract has it ("unless its answer is lost: then it gets an error").

use std::future::Future;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::{PutObjectError, PutObjectOutput};
use pipeline::ports::{PortError, Written};
use tracing::debug;

use super::failed;
use crate::aws::{self, status};

type Tried = Result<PutObjectOutput, SdkError<PutObjectError>>;

/// Waits between tries. Racing creators meet as 409, and one wait is mostly enough for the winner to be done.
const WAITS: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(800), Duration::from_secs(2)];

/// What one failed try says about the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Try {
    /// The condition did not hold.
    Refused,
    /// Nothing was written; try again.
    NotDone,
    /// It may have been written; try again.
    InDoubt,
    /// Trying again is no use.
    Failed,
}

/// Makes a conditional put until it is clear what became of it.
pub(super) async fn put<F, T>(call: &str, key: &str, once: F) -> Result<Written, PortError>
where
    F: Fn() -> T,
    T: Future<Output = Tried>,
{
    put_with(call, key, once, &WAITS).await
}

async fn put_with<F, T>(call: &str, key: &str, once: F, waits: &[Duration]) -> Result<Written, PortError>
where
    F: Fn() -> T,
    T: Future<Output = Tried>,
{
    let mut waits = waits.iter();
    let mut in_doubt = false;
    loop {
        let error = match once().await {
            Ok(_) => return Ok(Written::New),
            Err(error) => error,
        };
        match classify(&error) {
            Try::Refused if !in_doubt => return Ok(Written::Kept),
            Try::Refused => {
                let what = format!("{call} {key}: it is there, but it may be our own: an earlier answer was lost");
                return Err(aws::failed(what, &error));
            }
            Try::Failed => return Err(failed(call, key, &error)),
            Try::NotDone => {}
            Try::InDoubt => in_doubt = true,
        }
        let Some(wait) = waits.next() else { return Err(failed(call, key, &error)) };
        debug!(call, key, ?wait, "trying again");
        tokio::time::sleep(*wait).await;
    }
}

fn classify(error: &SdkError<PutObjectError>) -> Try {
    match error {
        SdkError::ConstructionFailure(_) => Try::Failed,
        SdkError::ServiceError(_) => match (status(error), error.code()) {
            // Slow down: refused at the door. Request time-out: S3 got only part of the body.
            (_, Some("SlowDown" | "RequestTimeout")) => Try::NotDone,
            // `ConditionalRequestConflict`: another write of this key was under way.
            (Some(409), _) => Try::NotDone,
            // 404: the object to be replaced has gone.
            (Some(412 | 404), code) if code != Some("NoSuchBucket") => Try::Refused,
            (Some(500..), _) => Try::InDoubt,
            _ => Try::Failed,
        },
        _ => Try::InDoubt,
    }
}

#[cfg(test)]
#[expect(clippy::result_large_err, reason = "it is the SDK's own error, as the loop gets it")]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use aws_sdk_s3::config::http::HttpResponse;
    use aws_sdk_s3::error::ErrorMetadata;
    use aws_sdk_s3::primitives::SdkBody;

    use super::*;

    fn said(status: u16, code: &str) -> Tried {
        let error = PutObjectError::generic(ErrorMetadata::builder().code(code).build());
        let status = status.try_into().unwrap();
        Err(SdkError::service_error(error, HttpResponse::new(status, SdkBody::empty())))
    }

    fn lost() -> Tried {
        Err(SdkError::timeout_error("lost"))
    }

    async fn told(tries: Vec<Tried>) -> Option<Written> {
        let tries = RefCell::new(VecDeque::from(tries));
        let once = || {
            let next = tries.borrow_mut().pop_front().expect("one try too many");
            async { next }
        };
        let told = put_with("create", "k", once, &[Duration::ZERO; 2]).await;
        assert!(tries.borrow().is_empty(), "tries are left");
        told.ok()
    }

    #[tokio::test]
    async fn a_condition_is_told_only_when_it_is_certain() {
        let done = || Ok(PutObjectOutput::builder().build());
        let refused = || said(412, "PreconditionFailed");
        let table = [
            (vec![done()], Some(Written::New)),
            (vec![refused()], Some(Written::Kept)),
            (vec![said(404, "NoSuchKey")], Some(Written::Kept)),
            // Conflicts and refusals at the door leave no doubt.
            (vec![said(409, "ConditionalRequestConflict"), done()], Some(Written::New)),
            (vec![said(409, "ConditionalRequestConflict"), refused()], Some(Written::Kept)),
            (vec![said(503, "SlowDown"), refused()], Some(Written::Kept)),
            // A lost answer does: the object may be our own.
            (vec![lost(), done()], Some(Written::New)),
            (vec![lost(), refused()], None),
            (vec![said(500, "InternalError"), said(409, "ConditionalRequestConflict"), refused()], None),
            // No more tries, or no use.
            (vec![lost(), lost(), lost()], None),
            (vec![said(403, "AccessDenied")], None),
            (vec![said(404, "NoSuchBucket")], None),
        ];
        for (index, (tries, written)) in table.into_iter().enumerate() {
            assert_eq!(told(tries).await, written, "{index}");
        }
    }
}
