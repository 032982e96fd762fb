//! TLS on the way to the database: whom each mode believes.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use store::postgres::{Settings, TlsMode};
use testkit::postgres::{Database, Server};

use super::{open, settings};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

fn file(folder: &Path, name: &str, content: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path
}

/// Opens a store on the server by name and mode, and tells whether its connections are encrypted.
fn opened(database: &Database, host: &str, mode: TlsMode, ca: Option<&Path>) -> Result<bool, String> {
    const ENCRYPTED: &str = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE ssl AND application_name = 'kuma-cp' AND datname = current_database()";
    let mut settings = Settings { host: host.to_owned(), ..settings(database.place()) };
    settings.tls.mode = mode;
    settings.tls.ca_file = ca.map(Path::to_owned);
    open(settings).map(|_store| database.ask(ENCRYPTED) != "0").map_err(|problem| problem.to_string())
}

type Case<'a> = (&'a str, TlsMode, Option<&'a Path>, Result<bool, &'a str>);

fn check(database: &Database, cases: &[Case<'_>]) {
    for (host, mode, ca, expected) in cases {
        match (opened(database, host, *mode, *ca), expected) {
            (Ok(encrypted), Ok(expected)) => assert_eq!(encrypted, *expected, "{host} {mode:?}"),
            (Err(said), Err(words)) => assert!(said.contains(words), "{host} {mode:?}: {said}"),
            (outcome, expected) => panic!("{host} {mode:?}: {outcome:?} instead of {expected:?}"),
        }
    }
}

const WRONG_NAME: Result<bool, &str> = Err("certificate not valid for name \"127.0.0.1\"");

#[test]
fn each_mode_believes_whom_it_says() {
    let (ours, other) = (authority("ours"), authority("other"));
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    let Some(server) = Server::with_tls(&leaf.pem(), &key.serialize_pem()) else { return };
    let database = Database::on(&server.place());
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (file(folder.path(), "ours.pem", &ours.pem()), file(folder.path(), "other.pem", &other.pem()));
    check(
        &database,
        &[
            ("127.0.0.1", TlsMode::Disable, None, Ok(false)),
            ("127.0.0.1", TlsMode::VerifyNone, None, Ok(true)),
            ("127.0.0.1", TlsMode::VerifyCa, Some(&ours), Ok(true)),
            ("127.0.0.1", TlsMode::VerifyCa, Some(&other), Err("UnknownIssuer")),
            ("localhost", TlsMode::VerifyFull, Some(&ours), Ok(true)),
            ("localhost", TlsMode::VerifyFull, Some(&other), Err("UnknownIssuer")),
            ("127.0.0.1", TlsMode::VerifyFull, Some(&ours), WRONG_NAME),
        ],
    );
    drop(database);
}

/// As the manual of PostgreSQL makes one: self-signed, and a CA by what OpenSSL adds.
#[test]
fn a_certificate_that_the_server_signed_itself_is_believed_when_the_file_has_it() {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = parameters.self_signed(&key).unwrap();
    let Some(server) = Server::with_tls(&own.pem(), &key.serialize_pem()) else { return };
    let database = Database::on(&server.place());
    let folder = tempfile::tempdir().unwrap();
    let own = file(folder.path(), "own.pem", &own.pem());
    let other = file(folder.path(), "other.pem", &authority("other").pem());
    check(
        &database,
        &[
            ("localhost", TlsMode::VerifyFull, Some(&own), Ok(true)),
            ("127.0.0.1", TlsMode::VerifyFull, Some(&own), WRONG_NAME),
            ("127.0.0.1", TlsMode::VerifyCa, Some(&own), Ok(true)),
            ("localhost", TlsMode::VerifyFull, Some(&other), Err("UnknownIssuer")),
        ],
    );
    drop(database);
}

#[test]
fn a_file_that_is_no_use_is_named() {
    let place = testkit::postgres::Place {
        host: "127.0.0.1".to_owned(),
        port: 1,
        user: "u".to_owned(),
        password: "p".to_owned(),
        database: "d".to_owned(),
    };
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = settings(&place);
    wrong.tls.mode = TlsMode::VerifyFull;
    wrong.tls.ca_file = Some(file(folder.path(), "empty.pem", ""));
    let said = open(wrong).unwrap_err().to_string();
    assert!(said.contains("empty.pem") && said.contains("no certificate"), "{said}");
}
