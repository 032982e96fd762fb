//! The certificate that a control plane makes for itself when it is given none (contract: kds 1.3).

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use model::duration::TEN_YEARS;
use rand::RngCore as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber, date_time_ymd,
};
use tracing::info;
use zeroize::Zeroizing;

use super::{TlsError, machine};

/// The files of the certificate that a control plane makes for itself, in its work folder.
pub(crate) const SELF_SIGNED_FILES: [&str; 2] = [CERT_FILE, KEY_FILE];
/// The file that zones and clients are given as their root file.
pub(crate) const CERT_FILE: &str = "kuma-cp.crt";
const COMMON_NAME: &str = "kuma-cp";
const KEY_FILE: &str = "kuma-cp.key";
/// Clocks of two machines differ a little.
const BEFORE_NOW: u64 = 5 * 60;

/// Where a certificate and its key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PairFiles {
    /// The certificate, PEM, with what signed it below.
    pub(crate) cert: PathBuf,
    /// Its private key, PEM.
    pub(crate) key: PathBuf,
}

impl PairFiles {
    /// The pair that a control plane made for itself in this folder, whole or not.
    pub(crate) fn own(dir: &Path) -> Self {
        Self { cert: dir.join(CERT_FILE), key: dir.join(KEY_FILE) }
    }

    /// Whether there is something in both.
    pub(crate) fn are_filled(&self) -> Result<bool, TlsError> {
        Ok(is_filled(&self.cert)? && is_filled(&self.key)?)
    }
}

/// Returns the pair `kuma-cp.crt` and `kuma-cp.key` of the work directory; makes it if one of the two is missing or empty.
///
/// The certificate names this machine, `localhost`, all addresses and `also`.
pub(crate) fn self_signed(dir: &Path, also: &[String], now: Timestamp) -> Result<PairFiles, TlsError> {
    crate::files::check_folder(dir).map_err(|source| TlsError::Read { path: dir.to_path_buf(), source })?;
    let files = PairFiles::own(dir);
    if files.are_filled()? {
        return Ok(files);
    }
    let names = machine::names_and(also);
    let (cert, key) = make(&names, now).map_err(|source| TlsError::Generate { source })?;
    make_folder(dir).map_err(|source| TlsError::Write { path: dir.to_path_buf(), source })?;
    write_pair(&files, cert.as_bytes(), key.as_bytes())?;
    info!(cert = %files.cert.display(), names = %names.join(", "), "made a certificate for this control plane");
    Ok(files)
}

fn is_filled(path: &Path) -> Result<bool, TlsError> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.is_file() && found.len() > 0),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(TlsError::Read { path: path.to_path_buf(), source }),
    }
}

fn make(names: &[String], now: Timestamp) -> Result<(String, Zeroizing<String>), rcgen::Error> {
    let start = u64::try_from(now.as_second()).unwrap_or_default().saturating_sub(BEFORE_NOW);
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::new(names)?;
    params.serial_number = Some(serial());
    // The peer leaves the subject empty; curl refuses a certificate whose issuer has no name.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    params.not_before = epoch + Duration::from_secs(start);
    params.not_after = epoch + Duration::from_secs(start) + TEN_YEARS;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let cert = params.self_signed(&key)?;
    Ok((cert.pem(), Zeroizing::new(key.serialize_pem())))
}

/// 127 random bits: positive, and never twice.
pub(super) fn serial() -> SerialNumber {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    if let Some(first) = bytes.first_mut() {
        *first &= 0x7f;
    }
    SerialNumber::from_slice(&bytes)
}

/// Makes the folder for us alone; leaves the mode of one that is there to whoever made it.
fn make_folder(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Writes both files so that a crash leaves the old state, no pair, or the new pair; never two halves of different pairs.
fn write_pair(files: &PairFiles, cert: &[u8], key: &[u8]) -> Result<(), TlsError> {
    let new_key = write_beside(&files.key, key)?;
    let new_cert = write_beside(&files.cert, cert)?;
    // The certificate goes first and comes last: without it there is no pair, whatever lies in the key file.
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| TlsError::Write { path, source }
    };
    match fs::remove_file(&files.cert) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(&files.cert)(cause)),
        Ok(()) | Err(_) => sync_folder(&files.cert).map_err(failed(&files.cert))?,
    }
    fs::rename(&new_key, &files.key).map_err(failed(&files.key))?;
    sync_folder(&files.key).map_err(failed(&files.key))?;
    fs::rename(&new_cert, &files.cert).map_err(failed(&files.cert))?;
    sync_folder(&files.cert).map_err(failed(&files.cert))
}

/// Writes `<path>.new`, readable by us alone, and makes it durable.
fn write_beside(path: &Path, content: &[u8]) -> Result<PathBuf, TlsError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    let write = || {
        // What a crash left there may have another mode.
        match fs::remove_file(&beside) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|source| TlsError::Write { path: beside.clone(), source })?;
    Ok(beside)
}

fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;
    use crate::tls::{ServerIdentity, pem};

    fn now() -> Timestamp {
        "2026-10-02T10:00:00Z".parse().unwrap()
    }

    fn made(dir: &Path) -> (PairFiles, Vec<u8>) {
        let files = self_signed(dir, &["cp.example.com".to_owned()], now()).unwrap();
        let cert = pem::certificates(&files.cert, &pem::read(&files.cert).unwrap()).unwrap().remove(0);
        (files, cert.to_vec())
    }

    #[test]
    fn the_certificate_has_the_shape_of_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        let (_, der) = made(&dir.path().join("work"));
        let (_, cert) = X509Certificate::from_der(&der).unwrap();
        assert!(cert.is_ca());
        assert_eq!(cert.issuer().to_string(), "CN=kuma-cp", "curl needs an issuer with a name");
        assert_eq!(cert.validity().not_before.timestamp(), now().as_second() - 300);
        assert_eq!(cert.validity().not_after.timestamp() - cert.validity().not_before.timestamp(), 315_360_000);
        let usage = cert.key_usage().unwrap().unwrap().value;
        assert!(usage.key_cert_sign() && usage.digital_signature());
        assert!(cert.extended_key_usage().unwrap().unwrap().value.server_auth);
        let names = format!("{:?}", cert.subject_alternative_name().unwrap().unwrap().value);
        for name in ["localhost", "cp.example.com", "127, 0, 0, 1"] {
            assert!(names.contains(name), "{name} in {names}");
        }
    }

    #[test]
    fn a_pair_that_is_there_is_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let (_, first) = made(dir.path());
        let (_, second) = made(dir.path());
        assert_eq!(first, second);
    }

    #[test]
    fn half_a_pair_is_made_anew_as_a_whole() {
        for half in [CERT_FILE, KEY_FILE] {
            let dir = tempfile::tempdir().unwrap();
            let (files, first) = made(dir.path());
            fs::write(dir.path().join(half), "").unwrap();
            let (_, second) = made(dir.path());
            assert_ne!(first, second, "{half}");
            ServerIdentity::load(&files).expect("certificate and key belong together");
        }
    }

    #[test]
    fn a_crash_between_the_two_renames_leaves_no_pair() {
        let dir = tempfile::tempdir().unwrap();
        let (files, _) = made(dir.path());
        // What the disk holds after the second rename did not happen: the new key and no certificate.
        fs::remove_file(&files.cert).unwrap();
        let (files, _) = made(dir.path());
        ServerIdentity::load(&files).expect("certificate and key belong together");
    }

    #[cfg(unix)]
    #[test]
    fn folder_and_files_are_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("a/work");
        let (files, _) = made(&work);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&work), mode(&files.cert), mode(&files.key)), (0o700, 0o600, 0o600));
        assert_eq!(fs::read_dir(&work).unwrap().count(), 2, "nothing else is left behind");
    }
}
