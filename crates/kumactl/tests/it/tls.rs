//! Certificates of control planes: named ones are believed, others are not.

use std::{fs, io::Write as _, net::TcpListener, path::Path, process::Command, sync::Arc, thread};

use rustls::{ServerConfig, ServerConnection, Stream};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Runs the program and returns exit code and standard error.
fn run(home: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kumactl"));
    let output = command.args(args).env_clear().env("HOME", home).current_dir(home).output().expect("run kumactl");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Starts a server that shows the certificate in this folder and answers every request as our control plane would.
pub(crate) fn serve(folder: &Path) -> u16 {
    let pem = |name: &str| fs::read(folder.join(name)).expect("a PEM file");
    let certificate = CertificateDer::from_pem_slice(&pem("cert.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&pem("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("key and certificate belong together");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a port");
    let port = listener.local_addr().expect("a bound port").port();
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = Stream::new(&mut connection, &mut socket);
            let mut request = [0; 4096];
            // A client that does not believe the certificate leaves; that is its answer.
            if std::io::Read::read(&mut stream, &mut request).is_ok() {
                let body = r#"{"product":"Arctos","version":"1"}"#;
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                drop(stream.write_all((head + body).as_bytes()));
                stream.conn.send_close_notify();
                drop(stream.flush());
            }
        }
    });
    port
}

pub(crate) fn folder_with_certificate(host: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let host = format!("--hostname={host}");
    let args = ["--no-config", "generate", "tls-certificate", "--type=server", "--key-type=ecdsa", &host];
    assert_eq!(run(folder.path(), &args).0, Some(0));
    folder
}

fn add(folder: &Path, port: u16, flag: &str) -> (Option<i32>, String) {
    let address = format!("--address=https://127.0.0.1:{port}");
    run(folder, &["config", "control-planes", "add", "--name=g", "--overwrite", &address, flag])
}

#[test]
fn own_certificate_is_believed_if_it_is_named() {
    let folder = folder_with_certificate("127.0.0.1");
    let port = serve(folder.path());
    assert_eq!(add(folder.path(), port, "--ca-cert-file=cert.pem"), (Some(0), String::new()));
    let (code, text) = add(folder.path(), port, "--ca-cert-file=");
    assert_eq!(code, Some(1));
    assert!(text.contains("x509: "), "{text}");
    let other = folder_with_certificate("127.0.0.1");
    let flag = format!("--ca-cert-file={}", other.path().join("cert.pem").display());
    let (code, text) = add(folder.path(), port, &flag);
    assert_eq!(code, Some(1));
    assert!(text.contains("x509: certificate signed by unknown authority"), "{text}");
}

#[test]
fn certificate_files_are_found_from_another_folder() {
    let folder = folder_with_certificate("127.0.0.1");
    let port = serve(folder.path());
    assert_eq!(add(folder.path(), port, "--ca-cert-file=cert.pem"), (Some(0), String::new()));
    let elsewhere = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kumactl"));
    command.args(["version"]).env_clear().env("HOME", folder.path()).current_dir(elsewhere.path());
    let shown = command.output().expect("run kumactl");
    assert_eq!(String::from_utf8_lossy(&shown.stderr), "");
}

#[test]
fn named_certificate_must_have_the_name_of_the_server() {
    let folder = folder_with_certificate("elsewhere");
    let (code, text) = add(folder.path(), serve(folder.path()), "--ca-cert-file=cert.pem");
    assert_eq!(code, Some(1));
    assert!(text.contains("x509: "), "{text}");
}

#[test]
fn unverified_certificate_is_taken_with_a_warning() {
    let folder = folder_with_certificate("elsewhere");
    let (code, text) = add(folder.path(), serve(folder.path()), "--skip-verify");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("WARNING: insecure: "), "{text}");
}

#[test]
fn missing_certificate_file_is_named() {
    let folder = folder_with_certificate("127.0.0.1");
    let (code, text) = add(folder.path(), serve(folder.path()), "--ca-cert-file=nope.pem");
    assert_eq!(code, Some(1));
    assert!(text.contains("could not read ") && text.contains("nope.pem\": no such file or directory"), "{text}");
}
