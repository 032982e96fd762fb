//! Keys and certificates, made here.

use std::path::Path;

use crate::{
    cli::verbs::{SigningKey, TlsCertificate},
    csv::List,
    failure::Failure,
    files,
    keys::{self, Algorithm, Use},
    session::Session,
};

const BYTES_ARE_NO_PEM: &str = "an HS256 key is random bytes and has no PEM form; --format=pem-base64 prints what goes into \
                                the data of a secret control-plane-signing-key-<serial>";
const BYTES_HINT: &str = "Hint: an HS256 key signs control plane tokens only: it belongs into a secret \
                          control-plane-signing-key-<serial>";

/// Prints a new signing key; in base64 it is, unchanged, the data of a GlobalSecret.
pub(super) fn signing_key(session: &Session<'_>, flags: &SigningKey) -> Result<(), Failure> {
    let algorithm: tokens::Algorithm =
        flags.algorithm.parse().map_err(|error| Failure::Refused(format!("invalid algorithm: {error}")))?;
    if !["pem", "pem-base64"].contains(&flags.format.as_str()) {
        return Err(Failure::refused("invalid format"));
    }
    let is_secret_bytes = algorithm == tokens::Algorithm::Hs256;
    if is_secret_bytes && flags.format == "pem" {
        return Err(Failure::refused(BYTES_ARE_NO_PEM));
    }
    if is_secret_bytes {
        session.printer().note(BYTES_HINT);
    }
    let key = tokens::generate_key(algorithm);
    match key.pem().filter(|_| flags.format == "pem") {
        Some(pem) => session.printer().data(pem),
        None => session.printer().data(&key.base64()),
    }
}

/// Prints the public half of a signing key.
pub(super) fn public_key(session: &Session<'_>, path: &str) -> Result<(), Failure> {
    let key = keys::read_signing_key(path)?;
    match tokens::public_half(&key) {
        Ok(pem) => session.printer().data(&pem),
        Err(problem) => Err(keys::no_signing_key(&problem)),
    }
}

/// Writes a key and a certificate.
pub(super) fn tls_certificate(session: &Session<'_>, flags: &TlsCertificate) -> Result<(), Failure> {
    let hosts: Vec<String> = List::joined(&flags.hostname).into_iter().filter(|host| !host.is_empty()).collect();
    if hosts.is_empty() {
        return Err(Failure::refused("at least one hostname must be given"));
    }
    let usage = match flags.usage.as_str() {
        "server" => Use::Server,
        "client" => Use::Client,
        other => return Err(Failure::Refused(format!("invalid certificate type {other:?}"))),
    };
    let algorithm = match flags.key_type.as_str() {
        "" | "rsa" => Algorithm::Rsa,
        "ecdsa" => Algorithm::Ecdsa,
        other => return Err(Failure::Refused(format!("invalid key type {other:?}"))),
    };
    let pair = keys::self_signed(usage, algorithm, &hosts, session.now())
        .map_err(|error| Failure::Refused(error.to_string()))?;
    let (key_file, certificate_file) = (&flags.key_file, &flags.cert_file);
    put(session, "key", key_file, &pair.key, 0o400)?;
    put(session, "cert", certificate_file, &pair.certificate, 0o600)?;
    if key_file != "-" && certificate_file != "-" {
        let text = format!("Private key saved in {key_file}\nCertificate saved in {certificate_file}\n");
        session.printer().data(&text)?;
    }
    Ok(())
}

fn put(session: &Session<'_>, what: &str, path: &str, text: &str, mode: u32) -> Result<(), Failure> {
    if path == "-" {
        return session.printer().data(text);
    }
    files::write_private(Path::new(path), text.as_bytes(), mode).map_err(|error| {
        Failure::Refused(format!("could not write the {what} file: open {path}: {}", files::reason(&error)))
    })
}
