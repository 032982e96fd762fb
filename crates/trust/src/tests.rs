//! Who is believed: asked as a handshake asks.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{
    CertificateError, Error,
    client::danger::ServerCertVerifier,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{CaAsServer, Roots, Verifier, refusal};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Certificates are good in the years 2026 and 2027.
fn params(name: &str, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2028, 1, 1));
    params
}

fn self_made(name: &str, is_ca: bool) -> Issuer {
    CertifiedIssuer::self_signed(params(name, is_ca), KeyPair::generate().unwrap()).unwrap()
}

fn signed(params: &CertificateParams, issuer: &Issuer) -> CertificateDer<'static> {
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
}

fn in_year(year: i32) -> UnixTime {
    let seconds = date_time_ymd(year, 6, 1).unix_timestamp();
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap()))
}

/// Asks about the certificate of `name` in this year.
fn ask(roots: Roots, shown: &CertificateDer<'_>, name: &str, year: i32) -> Result<(), Error> {
    let roots = Arc::new(roots);
    let verifier = Verifier::new(move || Arc::clone(&roots));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(shown, &[], &name, &[], in_year(year)).map(drop)
}

type Reader = fn(Vec<CertificateDer<'static>>) -> Result<Roots, String>;

/// The two ways to read certificates that somebody named.
const NAMED: [Reader; 2] = [Roots::of_file, Roots::of_bundle];

fn is_unknown(answer: &Result<(), Error>) -> bool {
    matches!(answer, Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)))
}

#[test]
fn a_certificate_of_a_named_ca_is_believed_and_others_are_not() {
    let (ours, theirs) = (self_made("ours", true), self_made("theirs", true));
    let leaf = signed(&params("cp", false), &ours);
    for named in NAMED {
        assert_eq!(ask(named(vec![ours.der().clone()]).unwrap(), &leaf, "cp", 2026), Ok(()));
        assert!(is_unknown(&ask(named(vec![theirs.der().clone()]).unwrap(), &leaf, "cp", 2026)));
    }
}

#[test]
fn a_named_certificate_is_believed_itself_while_name_and_dates_count() {
    for is_ca in [true, false] {
        let made = self_made("cp", is_ca);
        for named in NAMED {
            let ask = |name, year| ask(named(vec![made.der().clone()]).unwrap(), made.der(), name, year);
            assert_eq!(ask("cp", 2027), Ok(()));
            let Err(Error::InvalidCertificate(wrong)) = ask("other", 2027) else { panic!("the name counts") };
            assert!(matches!(wrong, CertificateError::NotValidForNameContext { .. }), "{wrong:?}");
            let Err(Error::InvalidCertificate(early)) = ask("cp", 2025) else { panic!("the first day counts") };
            assert!(matches!(early, CertificateError::NotValidYetContext { .. }), "{early:?}");
            let Err(Error::InvalidCertificate(late)) = ask("cp", 2028) else { panic!("the last day counts") };
            assert!(matches!(late, CertificateError::ExpiredContext { .. }), "{late:?}");
        }
    }
}

#[test]
fn a_servers_certificate_becomes_no_ca_by_being_named() {
    let server = self_made("cp", false);
    let forged = signed(&params("cp", false), &server);
    let next_to_a_ca = vec![server.der().clone(), self_made("ours", true).der().clone()];
    for named in NAMED {
        assert!(is_unknown(&ask(named(vec![server.der().clone()]).unwrap(), &forged, "cp", 2026)));
        assert!(is_unknown(&ask(named(next_to_a_ca.clone()).unwrap(), &forged, "cp", 2026)));
    }
}

#[test]
fn a_ca_as_a_server_is_called_unknown_if_it_made_itself_and_a_ca_otherwise() {
    let ours = self_made("ours", true);
    let roots = || Roots::of_file(vec![ours.der().clone()]).unwrap();
    assert!(is_unknown(&ask(roots(), self_made("cp", true).der(), "cp", 2026)));
    let below = signed(&params("cp", true), &ours);
    let refused = ask(roots(), &below, "cp", 2026).unwrap_err();
    let Some(Error::InvalidCertificate(CertificateError::Other(other))) = refusal(&refused) else { panic!() };
    assert!(other.0.downcast_ref::<CaAsServer>().is_some());
}

#[test]
fn what_cannot_be_read_is_left_out_of_a_bundle() {
    let ours = self_made("ours", true);
    let broken = CertificateDer::from(vec![0x30, 0x00]);
    let roots = Roots::of_bundle(vec![broken.clone(), ours.der().clone()]).unwrap();
    assert_eq!(ask(roots, &signed(&params("cp", false), &ours), "cp", 2026), Ok(()));
    assert!(Roots::of_bundle(vec![broken]).unwrap().is_empty(), "nobody is believed then");
}

#[test]
fn the_roots_of_the_moment_count() {
    let made = self_made("cp", true);
    let roots = |file| Arc::new(Roots::of_file(file).unwrap());
    let current = Arc::new(Mutex::new(roots(vec![made.der().clone()])));
    let shared = Arc::clone(&current);
    let verifier = Verifier::new(move || Arc::clone(&shared.lock().unwrap()));
    let name = ServerName::try_from("cp").unwrap();
    let ask = || verifier.verify_server_cert(made.der(), &[], &name, &[], in_year(2026));
    ask().unwrap();
    *current.lock().unwrap() = roots(vec![self_made("cp", true).der().clone()]);
    ask().unwrap_err();
}
