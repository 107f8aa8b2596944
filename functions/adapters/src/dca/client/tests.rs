use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use pipeline::ports::{Chunks, PortError};

use super::*;
use crate::dca::{FixedToken, ReadToken, RereadToken};

const TOKEN: &str = "tok-0123456789abcdef";

/// The status and the body's pieces, or no response.
type Step = Result<(u16, Vec<&'static str>), TransportError>;

struct Script(Mutex<VecDeque<Step>>, Mutex<Vec<Request>>);

impl Script {
    fn new(steps: Vec<Step>) -> Self {
        Self(Mutex::new(steps.into()), Mutex::default())
    }
}

/// Chunks of text; the text "cut" breaks the answer off.
struct Texts(VecDeque<&'static str>);

#[async_trait]
impl Chunks for Texts {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        match self.0.pop_front() {
            Some("cut") => Err(PortError::new("body", "reset")),
            other => Ok(other.map(|text| Bytes::from_static(text.as_bytes()))),
        }
    }
}

#[async_trait]
impl Transport for &Script {
    async fn call(&self, request: Request, _kind: Kind) -> Result<Response, TransportError> {
        self.1.lock().unwrap().push(request);
        let (status, texts) = self.0.lock().unwrap().pop_front().expect("one call too many")?;
        Ok(Response { status, headers: Vec::new(), body: Box::new(Texts(texts.into())) })
    }
}

struct At(Mutex<Timestamp>);

impl At {
    fn advance(&self, seconds: i64) {
        *self.0.lock().unwrap() += jiff::SignedDuration::from_secs(seconds);
    }
}

impl Clock for At {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn start() -> Timestamp {
    Timestamp::constant(1_782_864_000, 0)
}

fn clock() -> Arc<At> {
    Arc::new(At(Mutex::new(start())))
}

fn client(script: &Script) -> Client<&Script> {
    let waits = vec![Duration::ZERO, Duration::ZERO];
    Client::new(script, Arc::new(FixedToken(TOKEN.into())), clock())
        .with_backoff(Backoff { waits, retry_after_max: Duration::ZERO })
}

fn order() -> TriggerRequest {
    TriggerRequest { collector: "c_abc123".into(), query: Vec::new(), body: Bytes::from_static(b"[{}]") }
}

fn broken() -> Step {
    Err(TransportError::Broken { why: "reset".into() })
}

#[tokio::test]
async fn a_send_is_made_once_whatever_happens() {
    let not_sent = SendAnswer::NotSent { why: "refused".into() };
    let steps = [
        (Err(TransportError::NotSent { why: "refused".into() }), not_sent),
        (broken(), SendAnswer::InDoubt { why: "reset".into() }),
        (Ok((503, vec!["no"])), SendAnswer::InDoubt { why: "503: no".into() }),
        (
            Ok((200, vec!["{\"collection_id\":", "\"j_1\"}"])),
            SendAnswer::Accepted { collection: "j_1".into(), start_eta: None },
        ),
        (
            Ok((200, vec!["{\"collection_id\":\"j_1\"}", "cut"])),
            SendAnswer::Accepted { collection: "j_1".into(), start_eta: None },
        ),
        (
            Ok((200, vec!["{\"collection_id\":\"j_1\"", "cut"])),
            SendAnswer::InDoubt { why: "200, but the answer was cut: body: reset".into() },
        ),
        (Ok((401, vec!["no"])), SendAnswer::Credentials { status: 401, text: "no".into() }),
    ];
    for (step, expected) in steps {
        let script = Script::new(vec![step]);
        assert_eq!(client(&script).trigger(&order(), start()).await, expected);
    }
}

#[tokio::test]
async fn nothing_is_sent_too_late() {
    let script = Script::new(Vec::new());
    let answer = client(&script).trigger(&order(), start() - Duration::from_secs(1)).await;
    assert!(matches!(answer, SendAnswer::NotSent { .. }), "{answer:?}");
    assert!(script.1.lock().unwrap().is_empty());
}

#[tokio::test]
async fn questions_are_asked_three_times() {
    let script = Script::new(vec![broken(), Ok((502, vec!["no"])), Ok((200, vec!["{}"]))]);
    assert_eq!(client(&script).log("j_1").await, Looked::Found(JobLog::default()));

    let script = Script::new(vec![broken(), Ok((200, vec!["{", "cut"])), Ok((502, vec!["no"]))]);
    assert_eq!(client(&script).log("j_1").await, Looked::Trouble { why: "502: no".into() });

    let script = Script::new(vec![broken(), broken(), broken()]);
    assert_eq!(client(&script).cancel("j_1").await, Looked::Trouble { why: "reset".into() });
    assert_eq!(script.1.lock().unwrap().len(), 3);

    let script = Script::new(vec![Ok((404, vec!["Job not found"]))]);
    assert_eq!(client(&script).errors("j_1").await, Looked::Absent);
}

#[tokio::test]
async fn a_dataset_is_handed_on_unread() {
    let script = Script::new(vec![Ok((503, vec![])), Ok((200, vec!["[{}", ",{}]"]))]);
    let Looked::Found(Dataset::Ready { mut body, .. }) = client(&script).dataset("j_1").await else {
        panic!("no data")
    };
    assert_eq!(body.next().await.unwrap().unwrap(), "[{}");

    let script = Script::new(vec![Ok((202, vec![r#"{"message":"try again in 30s"}"#]))]);
    let Looked::Found(Dataset::Pending { hint }) = client(&script).dataset("j_1").await else { panic!("not pending") };
    assert_eq!(hint, Some(30));
}

/// Gives these tokens, one a reading.
struct Tokens(Mutex<VecDeque<&'static str>>);

#[async_trait]
impl ReadToken for Tokens {
    async fn read(&self) -> Result<SecretString, PortError> {
        self.0.lock().unwrap().pop_front().map(Into::into).ok_or_else(|| PortError::new("read", "gone"))
    }
}

fn bearers(script: &Script) -> Vec<String> {
    let requests = script.1.lock().unwrap();
    let bearer = |request: &Request| header(&request.headers, "authorization").unwrap_or_default().to_owned();
    requests.iter().map(bearer).collect()
}

#[tokio::test]
async fn a_rejected_token_is_read_again_once_a_minute() {
    let clock = clock();
    let tokens = Tokens(Mutex::new(["old", "old", "new"].into()));
    let token = Arc::new(RereadToken::read(tokens, clock.clone()).await.unwrap());
    let rejected = || Ok((401, vec!["no"]));
    let script = Script::new(vec![
        rejected(),
        rejected(),
        rejected(),
        rejected(),
        Ok((200, vec!["{}"])),
        Ok((200, vec!["{\"collection_id\":\"j_1\"}"])),
    ]);
    let client = Client::new(&script, token, clock.clone());
    let credentials = Looked::Credentials { status: 401, text: "no".into() };
    // Too soon, then the secret still holds the old token, then too soon again.
    assert_eq!(client.log("j_1").await, credentials);
    clock.advance(60);
    assert_eq!(client.log("j_1").await, credentials);
    assert_eq!(client.log("j_1").await, credentials);
    clock.advance(60);
    assert_eq!(client.log("j_1").await, Looked::Found(JobLog::default()));
    let answer = client.trigger(&order(), clock.now()).await;
    assert!(matches!(answer, SendAnswer::Accepted { .. }));
    let expected = ["old", "old", "old", "old", "new", "new"].map(|token| format!("Bearer {token}"));
    assert_eq!(bearers(&script), expected);
}

#[tokio::test]
async fn the_token_of_a_rejected_send_is_replaced_for_the_next() {
    let clock = clock();
    let tokens = Tokens(Mutex::new(["old", "new"].into()));
    let token = Arc::new(RereadToken::read(tokens, clock.clone()).await.unwrap());
    let script = Script::new(vec![Ok((401, vec!["no"])), Ok((200, vec!["{\"collection_id\":\"j_1\"}"]))]);
    let client = Client::new(&script, token, clock.clone());
    clock.advance(61);
    let answer = client.trigger(&order(), clock.now()).await;
    assert_eq!(answer, SendAnswer::Credentials { status: 401, text: "no".into() });
    assert!(matches!(client.trigger(&order(), clock.now()).await, SendAnswer::Accepted { .. }));
    assert_eq!(bearers(&script), ["Bearer old", "Bearer new"]);
}

#[tokio::test]
async fn the_token_is_in_no_text() {
    let echo = "<html>Authorization: Bearer tok-0123456789abcdef, what is that</html>";
    let script = Script::new(vec![
        Ok((403, vec![echo])),
        Ok((500, vec![echo])),
        Ok((200, vec![echo])),
        Ok((401, vec![echo])),
        Ok((418, vec![echo])),
    ]);
    let client = client(&script);
    let mut said = String::new();
    for _ in 0..3 {
        said += &format!("{:?}", client.trigger(&order(), start()).await);
    }
    said += &format!("{:?}{:?}", client.log("j_1").await, client.errors("j_1").await);
    said += &format!("{:?}", script.1.lock().unwrap());
    said += &format!("{:?}", SecretString::from(TOKEN));
    assert!(said.contains("Bearer …"), "{said}");
    assert!(!said.contains(TOKEN), "{said}");
    assert!(bearers(&script).iter().all(|bearer| bearer.ends_with(TOKEN)));
}

#[tokio::test]
async fn a_token_that_is_part_of_an_answer_does_not_spoil_it() {
    let script = Script::new(vec![Ok((200, vec!["{\"collection_id\":\"j_1\"}"]))]);
    let client = Client::new(&script, Arc::new(FixedToken("collection_id".into())), clock());
    let accepted = SendAnswer::Accepted { collection: "j_1".into(), start_eta: None };
    assert_eq!(client.trigger(&order(), start()).await, accepted);
}
