//! A certificate authority of the test's own, and what peers show of it. Ed25519 signatures have one length, so that a handshake has
//! as many bytes every time.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ED25519, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

/// What peers need for TLS.
pub(super) struct Authority {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// Whose certificate a peer shows.
#[derive(Clone, Copy)]
pub(super) enum Shows {
    /// One for 127.0.0.1.
    Its,
    /// One for another name.
    OtherName,
    /// One that has expired.
    Expired,
    /// One of an authority that nobody knows.
    Strange,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { root, issuer: Issuer::new(params, key) }
    }

    /// The settings of the client under test, with this authority instead of the world's.
    pub(super) fn client(&self) -> ClientConfig {
        super::super::tls(self.roots()).unwrap()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        roots
    }

    /// A peer that offers these protocols by ALPN, the first one first.
    pub(super) fn server(
        &self,
        shows: Shows,
        version: &'static SupportedProtocolVersion,
        protocols: &[&str],
        asks_for_certificate: bool,
    ) -> Arc<ServerConfig> {
        let name = if matches!(shows, Shows::OtherName) { "elsewhere.example" } else { "127.0.0.1" };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if matches!(shows, Shows::Expired) {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let stranger = matches!(shows, Shows::Strange).then(Self::new);
        let issuer = &stranger.as_ref().unwrap_or(self).issuer;
        let certificate = params.signed_by(&key, issuer).unwrap().der().clone();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
        let verifier =
            || WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider).build().unwrap();
        let builder = match asks_for_certificate {
            true => builder.with_client_cert_verifier(verifier()),
            false => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// How many bytes a peer writes until the client's handshake is over.
    pub(super) fn handshake_bytes(&self, config: &Arc<ServerConfig>) -> usize {
        let name = "127.0.0.1".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(self.client()), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
        let mut written = 0;
        while client.is_handshaking() {
            let mut flight = Vec::new();
            client.write_tls(&mut flight).unwrap();
            server.read_tls(&mut flight.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut flight = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut flight).unwrap();
            }
            written += flight.len();
            client.read_tls(&mut flight.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        written
    }
}
