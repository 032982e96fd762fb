//! Handshakes in memory: who is believed, who is not, and what is said about it. Longer than usual because one set of
//! certificates serves all of them.

use std::{fs, path::Path, sync::Arc, time::Duration};

use jiff::{Timestamp, ToSpan as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::{ProtocolVersion, pki_types::ServerName};
use tempfile::TempDir;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{
    Alpn, ClientCerts, ClientTrust, InsecureTrust, PairFiles, Protocols, ServerIdentity, explain::HandshakeProblem,
    reloaded::Reload, self_signed,
};
use crate::clock::Clock;

fn now() -> Timestamp {
    "2026-10-02T10:00:00Z".parse().unwrap()
}

fn seconds(time: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(time.as_second()).unwrap())
}

/// A CA with a name.
fn ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A folder with certificates.
struct Certs {
    dir: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Certs {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), ca: ca("ours") }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the CA's certificate and returns its path.
    fn root(&self) -> std::path::PathBuf {
        let path = self.path("ca.pem");
        fs::write(&path, self.ca.pem()).unwrap();
        path
    }

    fn leaf_from(&self, from: Timestamp, to: Timestamp, names: &[&str]) -> PairFiles {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = date_time_ymd(1970, 1, 1) + seconds(from);
        params.not_after = date_time_ymd(1970, 1, 1) + seconds(to);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.ca).unwrap();
        self.write(&cert.pem(), &key.serialize_pem())
    }

    fn leaf(&self, names: &[&str]) -> PairFiles {
        self.leaf_from(now() - 1.hour(), now() + 1.hour(), names)
    }

    fn write(&self, cert: &str, key: &str) -> PairFiles {
        let files = PairFiles { cert: self.path("tls.crt"), key: self.path("tls.key") };
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key).unwrap();
        files
    }

    fn self_made(&self) -> PairFiles {
        self_signed(self.dir.path(), &[], now()).unwrap()
    }
}

fn trust(file: &Path) -> Arc<ClientTrust> {
    ClientTrust::from_file(file, Clock::starting_at(now())).unwrap()
}

fn server(files: &PairFiles) -> Arc<ServerIdentity> {
    ServerIdentity::load(files).unwrap()
}

/// What both sides agreed on.
#[derive(Debug, PartialEq)]
struct Agreed {
    version: Option<ProtocolVersion>,
    alpn: Option<Vec<u8>>,
    /// What the server showed.
    cert: Vec<u8>,
}

async fn shake(
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
    host: &str,
) -> Result<Agreed, std::io::Error> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let (dialled, accepted) =
        tokio::join!(TlsConnector::from(client).connect(name, near), TlsAcceptor::from(server).accept(far));
    let dialled = dialled?;
    accepted?;
    let (_, connection) = dialled.get_ref();
    Ok(Agreed {
        version: connection.protocol_version(),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        cert: connection.peer_certificates().unwrap()[0].to_vec(),
    })
}

/// Dials `host`; the server shows `files`, the client believes `trust`.
async fn dial(files: &PairFiles, trust: &ClientTrust, host: &str) -> Result<Agreed, HandshakeProblem> {
    let server = server(files).server_config(Alpn::H2, &Protocols::default(), &ClientCerts::Ignore).unwrap();
    shake(server, trust.client_config(Alpn::H2).unwrap(), host).await.map_err(|error| trust.explain(host, &error))
}

#[tokio::test]
async fn a_certificate_of_the_right_ca_is_believed() {
    let certs = Certs::new();
    let agreed = dial(&certs.leaf(&["cp.example.com"]), &trust(&certs.root()), "cp.example.com").await.unwrap();
    assert_eq!(agreed.version, Some(ProtocolVersion::TLSv1_3));
    assert_eq!(agreed.alpn.as_deref(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let certs = Certs::new();
    let leaf = certs.leaf(&["cp.example.com"]);
    let other = certs.path("other.pem");
    fs::write(&other, ca("other").pem()).unwrap();
    let problem = dial(&leaf, &trust(&other), "cp.example.com").await.unwrap_err();
    assert!(matches!(problem, HandshakeProblem::UnknownCa { .. }), "{problem:?}");
    assert!(problem.to_string().contains(&other.display().to_string()), "{problem}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let certs = Certs::new();
    let problem = dial(&certs.leaf(&["cp.example.com"]), &trust(&certs.root()), "evil.example.com").await.unwrap_err();
    assert!(matches!(problem, HandshakeProblem::WrongName { .. }), "{problem:?}");
    assert!(problem.to_string().contains("not valid for `evil.example.com`, but for `cp.example.com`:"), "{problem}");
}

#[tokio::test]
async fn a_certificate_is_refused_outside_its_time() {
    let certs = Certs::new();
    let root = trust(&certs.root());
    let old = certs.leaf_from(now() - 2.hours(), now() - 1.hour(), &["cp"]);
    let problem = dial(&old, &root, "cp").await.unwrap_err();
    assert_eq!(problem, HandshakeProblem::Expired { host: "cp".into(), since: "2026-10-02T09:00:00Z".into() });
    let early = certs.leaf_from(now() + 1.hour(), now() + 2.hours(), &["cp"]);
    let problem = dial(&early, &root, "cp").await.unwrap_err();
    assert_eq!(problem, HandshakeProblem::NotYetValid { host: "cp".into(), from: "2026-10-02T11:00:00Z".into() });
}

#[tokio::test]
async fn addresses_are_names_too() {
    let certs = Certs::new();
    let leaf = certs.leaf(&["10.1.2.3", "fd00::1"]);
    let root = trust(&certs.root());
    dial(&leaf, &root, "10.1.2.3").await.unwrap();
    dial(&leaf, &root, "fd00::1").await.unwrap();
    let problem = dial(&leaf, &root, "10.1.2.4").await.unwrap_err();
    assert!(matches!(problem, HandshakeProblem::WrongName { .. }), "{problem:?}");
    assert!(problem.to_string().contains("but for `10.1.2.3`, `fd00::1`:"), "{problem}");
}

#[tokio::test]
async fn a_self_made_certificate_is_believed_as_its_own_root() {
    let certs = Certs::new();
    let files = certs.self_made();
    let root = trust(&files.cert);
    for host in ["localhost", "127.0.0.1", "::1"] {
        dial(&files, &root, host).await.unwrap_or_else(|problem| panic!("{host}: {problem}"));
    }
    let problem = dial(&files, &root, "cp.example.com").await.unwrap_err();
    assert!(matches!(problem, HandshakeProblem::WrongName { .. }), "{problem:?}");
}

#[tokio::test]
async fn a_self_made_certificate_is_refused_outside_its_time() {
    let certs = Certs::new();
    let files = certs.self_made();
    for (at, expected) in [("2037-01-01T00:00:00Z", "expired"), ("2026-10-02T09:54:00Z", "not valid before")] {
        let root = ClientTrust::from_file(&files.cert, Clock::starting_at(at.parse().unwrap())).unwrap();
        let problem = dial(&files, &root, "localhost").await.unwrap_err();
        assert!(problem.to_string().contains(expected), "{problem}");
    }
}

#[tokio::test]
async fn another_self_made_certificate_is_refused() {
    let (ours, theirs) = (Certs::new(), Certs::new());
    let problem = dial(&theirs.self_made(), &trust(&ours.self_made().cert), "localhost").await.unwrap_err();
    assert!(matches!(problem, HandshakeProblem::UnknownCa { .. }), "{problem:?}");
}

#[tokio::test]
async fn a_copied_certificate_without_its_key_is_refused() {
    let certs = Certs::new();
    let files = certs.self_made();
    let root = trust(&files.cert);
    // Somebody shows our certificate, and signs with a key of his own.
    let chain = super::pem::certificates(&files.cert, &fs::read(&files.cert).unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let key = super::provider()
        .key_provider
        .load_private_key(rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let thief = Arc::new(Fixed(Arc::new(rustls::sign::CertifiedKey::new(chain, key))));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = rustls::ServerConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Fixed>::clone(&thief));
        let refused = shake(Arc::new(server), root.client_config(Alpn::None).unwrap(), "localhost").await.unwrap_err();
        let problem = root.explain("localhost", &refused);
        assert!(problem.to_string().to_lowercase().contains("signature"), "{problem}");
    }
}

#[derive(Debug)]
struct Fixed(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Fixed {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn a_server_certificate_in_the_root_file_is_believed_but_signs_nothing() {
    let certs = Certs::new();
    let files = certs.leaf(&["cp"]);
    let root = trust(&files.cert);
    dial(&files, &root, "cp").await.expect("it is the very certificate");
    let next = certs.leaf(&["cp"]);
    let problem = dial(&next, &root, "cp").await.unwrap_err();
    assert!(matches!(problem, HandshakeProblem::UnknownCa { .. }), "{problem:?}");
}

#[tokio::test]
async fn a_ca_signed_by_a_trusted_ca_is_no_server() {
    let certs = Certs::new();
    let mut params = CertificateParams::new(vec!["cp".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "below");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let files = certs.write(&params.signed_by(&key, &certs.ca).unwrap().pem(), &key.serialize_pem());
    let problem = dial(&files, &trust(&certs.root()), "cp").await.unwrap_err();
    assert!(matches!(problem, HandshakeProblem::CaAsServer { .. }), "{problem:?}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_by_a_configuration_in_use() {
    let certs = Certs::new();
    let identity = server(&certs.leaf(&["cp"]));
    let config = identity.server_config(Alpn::H2, &Protocols::default(), &ClientCerts::Ignore).unwrap();
    let client = trust(&certs.root()).client_config(Alpn::H2).unwrap();
    let first = shake(Arc::clone(&config), Arc::clone(&client), "cp").await.unwrap();
    assert!(matches!(identity.reload(), Reload::Same));
    certs.leaf(&["cp"]);
    assert!(matches!(identity.reload(), Reload::Replaced));
    let second = shake(config, client, "cp").await.unwrap();
    assert_ne!(first.cert, second.cert);
}

#[tokio::test]
async fn a_bad_new_file_keeps_the_old_certificate_and_is_told_once() {
    let certs = Certs::new();
    let files = certs.leaf(&["cp"]);
    let identity = server(&files);
    let config = identity.server_config(Alpn::H2, &Protocols::default(), &ClientCerts::Ignore).unwrap();
    let client = trust(&certs.root()).client_config(Alpn::H2).unwrap();
    let first = shake(Arc::clone(&config), Arc::clone(&client), "cp").await.unwrap();
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    for (file, content) in [
        (&files.key, other_key.as_str()),
        (&files.key, ""),
        (&files.cert, "-----BEGIN CERTIFICATE-----\n"),
        (&files.cert, "no PEM"),
    ] {
        fs::write(file, content).unwrap();
        assert!(matches!(identity.reload(), Reload::Kept), "{content:?}");
        assert!(matches!(identity.reload(), Reload::Same), "{content:?}");
        assert_eq!(shake(Arc::clone(&config), Arc::clone(&client), "cp").await.unwrap(), first);
    }
    fs::remove_file(&files.cert).unwrap();
    assert!(matches!(identity.reload(), Reload::Kept));
    assert!(matches!(identity.reload(), Reload::Same));
    certs.leaf(&["cp"]);
    assert!(matches!(identity.reload(), Reload::Replaced), "a good file ends it");
}

#[tokio::test]
async fn a_new_root_file_counts_for_a_configuration_in_use() {
    let (old, new) = (Certs::new(), Certs::new());
    let root = old.root();
    let trust = trust(&root);
    let client = trust.client_config(Alpn::H2).unwrap();
    let serve = |certs: &Certs| {
        server(&certs.leaf(&["cp"])).server_config(Alpn::H2, &Protocols::default(), &ClientCerts::Ignore).unwrap()
    };
    shake(serve(&old), Arc::clone(&client), "cp").await.unwrap();
    fs::write(&root, new.ca.pem()).unwrap();
    assert!(matches!(trust.reload(), Reload::Replaced));
    shake(serve(&new), Arc::clone(&client), "cp").await.unwrap();
    shake(serve(&old), Arc::clone(&client), "cp").await.unwrap_err();
    fs::write(&root, "no PEM").unwrap();
    assert!(matches!(trust.reload(), Reload::Kept));
    shake(serve(&new), client, "cp").await.expect("the last good root file counts");
}

#[tokio::test(start_paused = true)]
async fn watched_files_are_read_without_being_asked() {
    let certs = Certs::new();
    let files = certs.leaf(&["cp"]);
    let identity = server(&files);
    let before = identity.expires_at();
    let tasks = crate::tasks::Tasks::new();
    identity.watch(&tasks);
    certs.leaf_from(now() - 1.hour(), now() + 3.hours(), &["cp"]);
    let changed = async {
        while identity.expires_at() == before {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), changed).await.expect("the new certificate is read");
    tasks.stop();
    assert!(tasks.finished(Duration::from_secs(30)).await);
}

#[tokio::test]
async fn the_insecure_client_believes_anybody() {
    let certs = Certs::new();
    let server =
        server(&certs.self_made()).server_config(Alpn::H2, &Protocols::default(), &ClientCerts::Ignore).unwrap();
    let client = InsecureTrust.client_config(Alpn::H2, Clock::starting_at(now())).unwrap();
    shake(server, client, "anything.example.com").await.unwrap();
}

/// Writes a key that was unwrapped from PKCS#8: PKCS#1 or SEC1.
fn bare(key: &KeyPair, label: &str, from: usize) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(&key.serialized_der()[from..]))
}

#[tokio::test]
async fn keys_of_all_three_forms_serve() {
    let certs = Certs::new();
    let root = trust(&certs.root());
    // The header of PKCS#8 is 26 bytes before an RSA key of 2048 bits and 29 before a P-256 key.
    for (kind, label, header) in
        [(&rcgen::PKCS_RSA_SHA256, "RSA PRIVATE KEY", 26), (&rcgen::PKCS_ECDSA_P256_SHA256, "EC PRIVATE KEY", 29)]
    {
        let key = KeyPair::generate_for(kind).unwrap();
        let cert = CertificateParams::new(vec!["cp".to_owned()]).unwrap().signed_by(&key, &certs.ca).unwrap().pem();
        dial(&certs.write(&cert, &key.serialize_pem()), &root, "cp").await.unwrap();
        let files = certs.write(&cert, &bare(&key, label, header));
        dial(&files, &root, "cp").await.unwrap_or_else(|problem| panic!("{label}: {problem}"));
    }
}

#[tokio::test]
async fn a_listener_keeps_to_its_versions() {
    let certs = Certs::new();
    let identity = server(&certs.leaf(&["cp"]));
    let client = trust(&certs.root()).client_config(Alpn::None).unwrap();
    let old = Protocols::parse("TLSv1_2", "TLSv1_2", &[]).unwrap();
    let config = identity.server_config(Alpn::None, &old, &ClientCerts::Ignore).unwrap();
    let agreed = shake(config, client, "cp").await.unwrap();
    assert_eq!((agreed.version, agreed.alpn), (Some(ProtocolVersion::TLSv1_2), None));
}

#[tokio::test]
async fn a_listener_that_demands_certificates_refuses_clients_without_one() {
    let certs = Certs::new();
    let tasks = crate::tasks::Tasks::new();
    let clients = ClientCerts::require(certs.root(), &tasks).unwrap();
    let config = server(&certs.leaf(&["cp"])).server_config(Alpn::None, &Protocols::default(), &clients).unwrap();
    shake(config, trust(&certs.root()).client_config(Alpn::None).unwrap(), "cp").await.unwrap_err();
    tasks.stop();
}

#[tokio::test]
async fn plain_text_on_the_other_side_is_named() {
    let certs = Certs::new();
    let trust = trust(&certs.root());
    let (near, mut far) = tokio::io::duplex(1024);
    tokio::io::AsyncWriteExt::write_all(&mut far, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let name = ServerName::try_from("cp").unwrap();
    let error = TlsConnector::from(trust.client_config(Alpn::H2).unwrap()).connect(name, near).await.unwrap_err();
    assert_eq!(trust.explain("cp", &error), HandshakeProblem::NotTls { host: "cp".into() });
}

#[test]
fn a_pair_that_does_not_match_does_not_start() {
    let certs = Certs::new();
    let files = certs.leaf(&["cp"]);
    fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = ServerIdentity::load(&files).unwrap_err().chain();
    assert!(error.contains("cannot be used together"), "{error}");
}
