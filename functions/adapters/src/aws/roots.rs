//! Whom the clients of AWS trust.
//!
//! A function trusts the five roots of Amazon Trust Services, compiled in: reading and parsing what the system trusts costs 5 ms of every
//! cold start. Amazon recommends just these five for trust stores of one's own (amazontrust.com/repository), and only the private keys of
//! these roots, not those of some 140 others, can vouch for S3. They end in 2037 and later.
//!
//! What the system trusts is used all the same
//! - where an endpoint of AWS is replaced by another one with `https://`, or where `SSL_CERT_FILE` or `SSL_CERT_DIR` say what to trust;
//! - in China, the European Sovereign Cloud and the isolated regions. Their endpoints are other operators' or have roots of their own
//!   (that of the European one is not yet in public stores), and no page of AWS promises these five for them.
//!
//! `AWS_CA_BUNDLE` wins over all of this, as in the other SDKs; the one for Rust does not read it.

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::text_of;

/// Amazon Root CA 1 to 4 and Starfield Services Root Certificate Authority - G2, from Mozilla's list as Debian packages it
/// (`ca-certificates` 20230311). The hashes of their keys are those that amazontrust.com/repository gives.
const AMAZON: &[u8] = include_bytes!("amazon_roots.pem");

/// The addresses that a function calls; a replaced one may have a private authority.
const ENDPOINTS: [&str; 4] =
    ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_SECRETS_MANAGER"];

/// What is to be trusted cannot be.
#[derive(Debug, thiserror::Error)]
#[error("AWS_CA_BUNDLE is {path:?}, which cannot be used: {why}")]
pub struct BadBundle {
    /// What was given.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
}

/// Who is trusted.
#[derive(Debug, PartialEq, Eq)]
enum Trust {
    /// [`AMAZON`].
    Amazon,
    /// What the system trusts.
    System,
    /// The certificates in the file at this path.
    Bundle(String),
}

impl Trust {
    /// Decides by the environment; a variable that is empty counts as not set.
    fn by(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        if let Some(path) = get("AWS_CA_BUNDLE") {
            return Self::Bundle(path);
        }
        let replaced = ENDPOINTS.into_iter().filter_map(get).any(|url| !url.trim().starts_with("http://"));
        let told = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().any(|name| get(name).is_some());
        let region = get("AWS_REGION").or_else(|| get("AWS_DEFAULT_REGION"));
        let amazons = region.is_some_and(|region| is_amazons(&region));
        if amazons && !replaced && !told { Self::Amazon } else { Self::System }
    }

    fn context(&self) -> Result<TlsContext, BadBundle> {
        let store = match self {
            Self::Amazon => TrustStore::empty().with_pem_certificate(AMAZON),
            Self::System => TrustStore::default(),
            Self::Bundle(path) => {
                let bad = |why: String| BadBundle { path: path.clone(), why };
                let pem = std::fs::read(path).map_err(|error| bad(text_of(&error)))?;
                // The SDK would panic later.
                parsed(&pem).map_err(bad)?;
                TrustStore::empty().with_pem_certificate(pem)
            }
        };
        Ok(with(store))
    }
}

/// Whether the endpoints of a region are known to have certificates of Amazon's public roots.
fn is_amazons(region: &str) -> bool {
    !region.starts_with("cn-") && !region.starts_with("eusc-") && !region.contains("-iso")
}

/// For a function: what its environment asks for.
pub(super) fn of_function() -> Result<TlsContext, BadBundle> {
    Trust::by(|name| std::env::var(name).ok()).context()
}

fn with(store: TrustStore) -> TlsContext {
    // `build` has nothing that could fail, but may have one day; the default is what it was without this file.
    TlsContext::builder().with_trust_store(store).build().unwrap_or_default()
}

/// The certificates of a PEM file; at least one, and each of them good for an authority.
fn parsed(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|error| text_of(&error))?).map_err(|error| text_of(&error))?;
    }
    if roots.is_empty() { Err("it has no certificate in PEM".to_owned()) } else { Ok(roots) }
}

#[cfg(test)]
mod tests;
