use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::{Aws, http_client};
use super::*;

#[test]
fn exactly_amazons_five_roots_are_compiled_in() {
    // SHA-256 of the certificates, as crt.sh and Mozilla's CA list show them.
    let golden = [
        ("Amazon Root CA 1", "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e"),
        ("Amazon Root CA 2", "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4"),
        ("Amazon Root CA 3", "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4"),
        ("Amazon Root CA 4", "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092"),
        ("Starfield Services", "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5"),
    ];
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(AMAZON).collect::<Result<_, _>>().unwrap();
    let hashes: Vec<String> = certificates
        .iter()
        .map(|certificate| Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    assert_eq!(hashes, golden.map(|(_, hash)| hash));

    // Mozilla trusts them, too, and there are no more of Amazon's.
    let mut ours = parsed(AMAZON).unwrap().roots;
    let amazons = |subject: &[u8]| {
        let subject = String::from_utf8_lossy(subject).into_owned();
        golden.iter().any(|(name, _)| subject.contains(name)) || subject.contains("Amazon")
    };
    let mut mozillas = webpki_roots::TLS_SERVER_ROOTS.to_vec();
    mozillas.retain(|anchor| amazons(&anchor.subject));
    ours.sort_by_key(|anchor| anchor.subject.to_vec());
    mozillas.sort_by_key(|anchor| anchor.subject.to_vec());
    assert_eq!(ours, mozillas);
}

#[test]
fn the_environment_decides_who_is_trusted() {
    let region = ("AWS_REGION", "us-east-1");
    let table: [(&[(&str, &str)], Trust); 14] = [
        (&[region], Trust::Amazon),
        (&[("AWS_DEFAULT_REGION", "us-gov-west-1")], Trust::Amazon),
        (&[region, ("AWS_CA_BUNDLE", ""), ("SSL_CERT_FILE", " ")], Trust::Amazon),
        (&[region, ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")], Trust::Amazon),
        (&[], Trust::System),
        (&[("AWS_REGION", "cn-north-1")], Trust::System),
        (&[("AWS_REGION", "eusc-de-east-1")], Trust::System),
        (&[("AWS_REGION", "us-isob-east-1")], Trust::System),
        (&[region, ("AWS_ENDPOINT_URL", "https://cloud.example")], Trust::System),
        (&[region, ("AWS_ENDPOINT_URL_S3", "https://s3.example")], Trust::System),
        (&[region, ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "https://vault.example")], Trust::System),
        (&[region, ("SSL_CERT_FILE", "/opt/ca.pem")], Trust::System),
        (&[region, ("SSL_CERT_DIR", "/opt/ca")], Trust::System),
        (&[region, ("SSL_CERT_DIR", "/opt/ca"), ("AWS_CA_BUNDLE", "/a.pem")], Trust::Bundle("/a.pem".to_owned())),
    ];
    for (variables, trust) in table {
        let lookup = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        assert_eq!(Trust::by(lookup), trust, "{variables:?}");
    }
}

#[test]
fn a_bundle_that_cannot_be_used_is_told_by_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let bundle = Trust::Bundle(path.to_str().unwrap().to_owned());
    let problem = || bundle.context().unwrap_err().to_string();
    assert!(problem().starts_with("AWS_CA_BUNDLE is "), "{}", problem());
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for content in ["", "no certificate", broken, "-----BEGIN CERTIFICATE-----\n!"] {
        std::fs::write(&path, content).unwrap();
        assert!(problem().contains("which cannot be used"), "{content:?}");
    }
}

/// A peer that shows a certificate of an authority of its own, and that authority's certificate as PEM.
async fn peer() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let shown = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![shown.der().clone()], key).unwrap()));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") && stream.read_buf(&mut heard).await.unwrap() > 0 {}
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 25\r\n\r\n<ListAllMyBucketsResult/>";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.ok();
        }
    });
    (address, root)
}

async fn asked(endpoint: &str, trust: Trust) -> Result<(), String> {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let sdk = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client(trust.context().unwrap()));
    let asked = Aws::new(sdk.build(), true).s3().list_buckets().send().await;
    asked.map(|_| ()).map_err(|error| text_of(&error))
}

#[tokio::test]
async fn a_bundle_is_all_that_is_trusted() {
    let (endpoint, root) = peer().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, root).unwrap();
    assert_eq!(asked(&endpoint, Trust::Bundle(path.to_str().unwrap().to_owned())).await, Ok(()));

    std::fs::write(&path, AMAZON).unwrap();
    for trust in [Trust::Amazon, Trust::System, Trust::Bundle(path.to_str().unwrap().to_owned())] {
        let why = asked(&endpoint, trust).await.unwrap_err();
        assert!(why.contains("UnknownIssuer"), "{why}");
    }
}
