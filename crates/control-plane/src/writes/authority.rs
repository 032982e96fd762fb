//! The certificate authorities of meshes with a `builtin` mTLS backend.
//!
//! Zones of 2.x sign the certificates of their proxies with an authority that they find in two Secrets of the mesh, and a
//! global makes these two when the backend appears (contract: rest 1.9). A proxy of such a mesh gets no configuration
//! without them. 3.0 has no such backends. Certificate and key have the form of those that 2.14 makes, but for the serial
//! number, which is 0 there.
#![expect(clippy::disallowed_methods, reason = "work that blocks, and whoever asked for it waits for it")]

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource, document::Violation, duration::TEN_YEARS, proto, secret};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    RsaKeySize, SanType, date_time_ymd,
};
use serde_json::{Map, Value};
use store::{Precondition, ResourceStore, Stored, Write};
use tracing::error;
use x509_parser::asn1_rs::{FromDer as _, Integer, OctetString, Sequence};
use zeroize::Zeroizing;

use super::{Operation, Side, WriteError, Writes};

/// A key takes up to a second; a document may not ask for any number of them.
const MOST_BACKENDS: usize = 8;
/// Clocks of two machines differ a little.
const BEFORE_NOW: Duration = Duration::from_secs(10);
const DAY: u64 = 24 * 60 * 60;

/// An authority that a mesh asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    mesh: String,
    backend: String,
    size: KeySize,
    valid: Duration,
}

/// How many bits the key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeySize {
    Bits2048,
    Bits3072,
    Bits4096,
}

impl Authority {
    fn cert_name(&self) -> String {
        format!("{}.ca-builtin-cert-{}", self.mesh, self.backend)
    }

    fn key_name(&self) -> String {
        format!("{}.ca-builtin-key-{}", self.mesh, self.backend)
    }

    /// Makes certificate and key, PEM, as specs of Secrets. Takes up to seconds; not for async code.
    fn make(&self, now: Timestamp) -> Result<(Bytes, Bytes), WriteError> {
        let size = match self.size {
            KeySize::Bits2048 => RsaKeySize::_2048,
            KeySize::Bits3072 => RsaKeySize::_3072,
            KeySize::Bits4096 => RsaKeySize::_4096,
        };
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).map_err(|cause| not_made(&cause))?;
        let certificate = self.certificate(&key, now).map_err(|cause| not_made(&cause))?;
        let key_pem = pkcs1_pem(&Zeroizing::new(key.serialize_der())).ok_or(WriteError::NoKey)?;
        Ok((secret::encode(certificate.as_bytes()), secret::encode(key_pem.as_bytes())))
    }

    fn certificate(&self, key: &KeyPair, now: Timestamp) -> Result<String, rcgen::Error> {
        let mut params = authority_certificate(&self.mesh, now, BEFORE_NOW, self.valid);
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{}", self.mesh).try_into()?)];
        Ok(params.self_signed(key)?.pem())
    }
}

/// What the certificate of an authority says: of a mesh, or of a control plane.
pub(crate) fn authority_certificate(
    name: &str,
    now: Timestamp,
    before_now: Duration,
    valid: Duration,
) -> CertificateParams {
    let start = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Kuma");
    params.distinguished_name.push(DnType::OrganizationalUnitName, "Mesh");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = epoch + start.saturating_sub(before_now);
    params.not_after = epoch + start + valid;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Writes {
    /// Returns what is to be written with a mesh, so that each authority it asks for is there.
    pub(super) async fn authorities(&self, mesh: &Resource) -> Result<Vec<Write>, WriteError> {
        // A zone of ours has them from its global.
        if self.rules.side != Side::Global || mesh.key.kind != Kind::MESH {
            return Ok(Vec::new());
        }
        missing_authorities(&*self.store, mesh, mesh.modified).await
    }
}

/// Returns the Secrets that a mesh on global lacks, so that each authority it asks for is there; makes none anew.
///
/// A backend that is gone keeps its authority: proxies may still trust it. The mesh owns them all.
pub async fn missing_authorities(
    store: &dyn ResourceStore,
    mesh: &Resource,
    now: Timestamp,
) -> Result<Vec<Write>, WriteError> {
    let wanted = wanted(&mesh.key.name, &mesh.spec)
        .map_err(|violations| WriteError::Invalid { operation: Operation::Check, violations })?;
    let find = async |name: String| {
        let failed = |source| WriteError::Store { operation: Operation::Find, source };
        store.get(&Key::in_mesh(Kind::SECRET, &mesh.key.name, name)).await.map_err(failed)
    };
    let mut writes = Vec::new();
    for authority in wanted {
        let (cert_name, key_name) = (authority.cert_name(), authority.key_name());
        let (cert, key) = (find(cert_name.clone()).await?, find(key_name.clone()).await?);
        if cert.is_some() && key.is_some() {
            continue;
        }
        let made = tokio::task::spawn_blocking(move || authority.make(now)).await;
        let (cert_spec, key_spec) = made.unwrap_or(Err(WriteError::NoKey))?;
        // One half without the other is of no use to anybody, and is replaced.
        writes.push(secret(&mesh.key, (cert_name, cert_spec), cert.as_ref(), now));
        writes.push(secret(&mesh.key, (key_name, key_spec), key.as_ref(), now));
    }
    Ok(writes)
}

fn secret(mesh: &Key, (name, spec): (String, Bytes), stored: Option<&Stored>, now: Timestamp) -> Write {
    Write::Put {
        resource: Resource {
            key: Key::in_mesh(Kind::SECRET, &mesh.name, name),
            labels: Labels::new(),
            spec,
            status: None,
            owner: Some(mesh.clone()),
            created: stored.map_or(now, |stored| stored.resource.created),
            modified: now,
        },
        expect: stored.map_or(Precondition::Absent, |stored| Precondition::Version(stored.version)),
    }
}

/// Returns the authorities that a mesh asks for, or why they cannot be made.
fn wanted(mesh: &str, spec: &[u8]) -> Result<Vec<Authority>, Vec<Violation>> {
    // What describes the messages takes 5 MiB: a control plane whose meshes are plain starts without.
    if spec.is_empty() {
        return Ok(Vec::new());
    }
    let fields = proto::spec_to_json(Kind::MESH, spec).unwrap_or_default();
    let backends = fields.get("mtls").and_then(|mtls| mtls.get("backends")).and_then(Value::as_array);
    let mut wanted: Vec<Authority> = Vec::new();
    let mut violations = Vec::new();
    for (index, backend) in backends.into_iter().flatten().enumerate() {
        let text = |name: &str| backend.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("type") != "builtin" {
            continue;
        }
        let path = format!("mtls.backends[{index}]");
        let empty = Map::new();
        let conf = backend.get("conf").and_then(|conf| conf.get("caCert")).and_then(Value::as_object).unwrap_or(&empty);
        let authority = Authority {
            mesh: mesh.to_owned(),
            backend: text("name").to_owned(),
            size: key_size(conf.get("RSAbits"), &format!("{path}.conf.caCert.RSAbits"), &mut violations),
            valid: validity(conf.get("expiration"), &format!("{path}.conf.caCert.expiration"), &mut violations),
        };
        if text("name").is_empty() || !model::validate::name(&authority.key_name()).is_empty() {
            let reason = "must be lower case alphanumeric characters, '-' or '.': the secrets of the authority are \
                          named after it";
            violations.push(Violation::new(format!("{path}.name"), reason));
        }
        if wanted.iter().any(|other| other.backend == authority.backend) {
            violations.push(Violation::new(format!("{path}.name"), "is the name of another backend"));
        }
        wanted.push(authority);
    }
    if wanted.len() > MOST_BACKENDS {
        let reason = format!("a mesh may have at most {MOST_BACKENDS} backends of the type builtin");
        violations.push(Violation::new("mtls.backends", reason));
    }
    if violations.is_empty() { Ok(wanted) } else { Err(violations) }
}

fn key_size(given: Option<&Value>, field: &str, violations: &mut Vec<Violation>) -> KeySize {
    match given.map(|given| given.as_u64().unwrap_or_default()) {
        None | Some(2048) => KeySize::Bits2048,
        Some(3072) => KeySize::Bits3072,
        Some(4096) => KeySize::Bits4096,
        Some(_) => {
            violations.push(Violation::new(field, "must be 2048, 3072 or 4096"));
            KeySize::Bits2048
        }
    }
}

/// Reads how long a certificate is valid: `10y`, `30d`, `1h30m`; ten years where nothing is said.
fn validity(given: Option<&Value>, field: &str, violations: &mut Vec<Violation>) -> Duration {
    let Some(given) = given.filter(|given| given.as_str() != Some("")) else { return TEN_YEARS };
    let seconds = given.as_str().and_then(seconds).filter(|seconds| (1..=10 * TEN_YEARS.as_secs()).contains(seconds));
    if seconds.is_none() {
        let reason = "must be a duration of at most 100 years with the units y, w, d, h, m and s, such as 10y or 720h";
        violations.push(Violation::new(field, reason));
    }
    seconds.map_or(TEN_YEARS, Duration::from_secs)
}

fn seconds(text: &str) -> Option<u64> {
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let (digits, unit) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let mut units = unit.chars();
        let seconds = match units.next()? {
            'y' => 365 * DAY,
            'w' => 7 * DAY,
            'd' => DAY,
            'h' => 60 * 60,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(seconds)?)?;
        rest = units.as_str();
    }
    Some(total)
}

fn not_made(cause: &rcgen::Error) -> WriteError {
    error!(%cause, "the certificate authority of a mesh was not made");
    WriteError::NoKey
}

/// Writes an RSA key in PKCS#8 as the PEM of the PKCS#1 in it, the form that zones are used to.
fn pkcs1_pem(pkcs8: &[u8]) -> Option<Zeroizing<String>> {
    let (_, whole) = Sequence::from_der(pkcs8).ok()?;
    let (rest, _version) = Integer::from_der(&whole.content).ok()?;
    let (rest, _algorithm) = Sequence::from_der(rest).ok()?;
    let (_, pkcs1) = OctetString::from_der(rest).ok()?;
    let encoded = Zeroizing::new(STANDARD.encode(pkcs1.as_ref()));
    let mut pem = Zeroizing::new("-----BEGIN RSA PRIVATE KEY-----\n".to_owned());
    for line in encoded.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).ok()?);
        pem.push('\n');
    }
    pem.push_str("-----END RSA PRIVATE KEY-----\n");
    Some(pem)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use x509_parser::{
        extensions::GeneralName,
        pem::parse_x509_pem,
        prelude::{FromDer, X509Certificate},
    };

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the cases read better")]
    fn spec(backends: Value) -> Bytes {
        let fields = json!({"mtls": {"backends": backends}});
        proto::spec_from_json(Kind::MESH, fields.as_object().expect("object")).expect("mesh")
    }

    fn data(spec: &[u8]) -> String {
        let fields = proto::spec_to_json(Kind::SECRET, spec).expect("secret");
        let data = STANDARD.decode(fields["data"].as_str().expect("data")).expect("base64");
        String::from_utf8(data).expect("text")
    }

    #[test]
    fn an_authority_has_the_form_of_those_of_2_14() {
        let now: Timestamp = "2026-11-23T23:03:59Z".parse().unwrap();
        let authority = wanted("tls", &spec(json!([{"name": "ca-1", "type": "builtin"}]))).unwrap().remove(0);
        assert_eq!(authority.cert_name(), "tls.ca-builtin-cert-ca-1");
        assert_eq!(authority.key_name(), "tls.ca-builtin-key-ca-1");
        let (cert, key) = authority.make(now).unwrap();
        assert!(data(&key).starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        let (_, pem) = parse_x509_pem(data(&cert).as_bytes()).unwrap();
        let (_, cert) = X509Certificate::from_der(&pem.contents).unwrap();
        assert_eq!(cert.subject().to_string(), "O=Kuma, OU=Mesh, CN=tls");
        assert_eq!(cert.issuer(), cert.subject());
        assert!(cert.is_ca());
        let usage = cert.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
        let names = &cert.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(*names, [GeneralName::URI("spiffe://tls")]);
        let validity = cert.validity();
        assert_eq!(validity.not_before.timestamp(), now.as_second() - 10);
        assert_eq!(validity.not_after.to_string(), "Nov 20 23:03:59 2036 +00:00");
        assert_eq!(cert.signature_algorithm.algorithm.to_id_string(), "1.2.840.113549.1.1.11", "SHA-256 with RSA");
        let public = tokens::public_half(data(&key).as_bytes()).unwrap();
        let public: String = public.lines().filter(|line| !line.starts_with('-')).collect();
        assert_eq!(*cert.public_key().subject_public_key.data, *STANDARD.decode(public).unwrap(), "one pair");
    }

    #[test]
    fn every_builtin_backend_wants_one() {
        let names = |backends: Value| -> Vec<String> {
            wanted("m", &spec(backends)).unwrap().into_iter().map(|authority| authority.backend).collect()
        };
        assert_eq!(names(json!([])), Vec::<String>::new());
        let backends = json!([{"name": "a", "type": "builtin"}, {"name": "b", "type": "provided"},
            {"name": "c", "type": "builtin", "conf": {"caCert": {"RSAbits": 4096, "expiration": "1y"}}}]);
        assert_eq!(names(backends), ["a", "c"]);
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let check = |backends: Value, expected: &[&str]| {
            let found = wanted("m", &spec(backends)).unwrap_err();
            let fields: Vec<&str> = found.iter().map(|found| found.field.as_str()).collect();
            assert_eq!(fields, expected);
        };
        let conf = |conf: Value| json!([{"name": "a", "type": "builtin", "conf": {"caCert": conf}}]);
        check(conf(json!({"RSAbits": 1024})), &["mtls.backends[0].conf.caCert.RSAbits"]);
        for bad in ["soon", "10", "0s", "101y", "1ms"] {
            check(conf(json!({"expiration": bad})), &["mtls.backends[0].conf.caCert.expiration"]);
        }
        check(json!([{"name": "A b", "type": "builtin"}]), &["mtls.backends[0].name"]);
        check(json!([{"name": "a", "type": "builtin"}, {"name": "a", "type": "builtin"}]), &["mtls.backends[1].name"]);
        let many: Vec<Value> = (0..9).map(|n| json!({"name": format!("a{n}"), "type": "builtin"})).collect();
        check(json!(many), &["mtls.backends"]);
    }

    #[test]
    fn durations_have_days_and_years() {
        assert_eq!(seconds("1y2d3h4m5s"), Some(365 * DAY + 2 * DAY + 3 * 3600 + 4 * 60 + 5));
        assert_eq!(seconds("99999999999999999y"), None);
        assert_eq!(seconds("h"), None);
    }
}
