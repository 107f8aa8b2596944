//! The first send of a process, over TLS, and the CPU that it takes until its answer is there. What comes after the request has left
//! is the reading of a short answer, so this is a little more than what it takes until then.

use std::sync::Arc;
use std::time::Duration;

use adapters::clock::WallClock;
use adapters::dca::{Client, FixedToken, HttpTransport, Times};
use anyhow::ensure;
use jiff::{SignedDuration, Timestamp};
use pipeline::ports::{Api, SendAnswer, TriggerRequest};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use crate::clocks::process_cpu;

/// Prints milliseconds of CPU: for the client with its roots, for the first send, and for the second.
pub(super) async fn part(port: &str, certificate: &str) -> anyhow::Result<()> {
    let root = CertificateDer::from_pem_file(certificate)?;
    let request = TriggerRequest {
        collector: "c_bench".to_owned(),
        query: vec![("queue_next".to_owned(), "1".to_owned())],
        body: br#"[{"url":"https://example.com/"}]"#.as_slice().into(),
    };

    let began = process_cpu();
    // The public roots too: the functions have them all.
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add(root)?;
    let clock = Arc::new(WallClock);
    let base = format!("https://127.0.0.1:{port}");
    let transport = HttpTransport::with_roots(&base, roots, Times::default(), clock.clone())?;
    let client = Client::new(transport, Arc::new(FixedToken("token".into())), clock);
    let made = process_cpu();
    send(&client, &request).await?;
    let first = process_cpu();
    send(&client, &request).await?;
    let second = process_cpu();
    println!("{}", json!({"client": ms(made - began), "first": ms(first - made), "second": ms(second - first)}));
    Ok(())
}

async fn send(client: &dyn Api, request: &TriggerRequest) -> anyhow::Result<()> {
    let answer = client.trigger(request, Timestamp::now() + SignedDuration::from_secs(60)).await;
    ensure!(matches!(answer, SendAnswer::Accepted { .. }), "{answer:?}");
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
