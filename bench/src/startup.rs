//! How long a function takes to ask for its first event, what it holds while it waits, and what its first HTTPS call takes.

use anyhow::{Context, bail};

mod authority;
mod first_send;
mod peer;
mod starts;

/// `startup starts PLAN.json`, `startup peer CA.pem` or `startup send PORT CA.pem`.
pub(crate) async fn part(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let which = arguments.next().unwrap_or_default();
    let mut next = |what: &'static str| arguments.next().context(what);
    match which.as_str() {
        "starts" => starts::part(&next("a plan")?).await,
        "peer" => peer::part(&next("where to write the certificate")?),
        "send" => first_send::part(&next("a port")?, &next("a certificate")?).await,
        _ => bail!("there is no part {which:?} of startup"),
    }
}
