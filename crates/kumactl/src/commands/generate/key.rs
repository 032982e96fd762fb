//! Keys and certificates, made here.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    cli::verbs::TlsCertificate,
    csv::List,
    failure::Failure,
    files,
    keys::{self, Algorithm, Use},
    session::Session,
};

/// Prints a new signing key; in base64 it is, unchanged, the data of a GlobalSecret.
pub(super) fn signing_key(session: &Session<'_>, format: &str) -> Result<(), Failure> {
    let printer = session.printer();
    match format {
        "pem" => printer.data(tokens::generate_signing_key().reveal()),
        "pem-base64" => printer.data(&STANDARD.encode(tokens::generate_signing_key().reveal())),
        _ => Err(Failure::refused("invalid format")),
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
