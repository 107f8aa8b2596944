//! How long a function takes to ask for its first event, what it holds while it waits, and what its first HTTPS call takes.

use anyhow::{Context, bail};

mod authority;
mod first_send;
mod peer;
mod starts;

/// `startup starts PLAN.json`, `startup peer CA.pem` or `startup send PORT CA.pem`.
pub(crate) fn part(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let which = arguments.next().unwrap_or_default();
    let mut next = |what: &'static str| arguments.next().context(what);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match which.as_str() {
        "starts" => runtime.block_on(starts::part(&next("a plan")?)),
        "peer" => peer::part(&next("where to write the certificate")?),
        "send" => runtime.block_on(first_send::part(&next("a port")?, &next("a certificate")?)),
        _ => bail!("there is no part {which:?} of startup"),
    }
}
