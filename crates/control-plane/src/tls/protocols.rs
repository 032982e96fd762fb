//! Which TLS versions and cipher suites a listener speaks, in the words of the configuration.

use std::sync::Arc;

use rustls::{
    ALL_VERSIONS, CipherSuite, ProtocolVersion, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    version::{TLS12, TLS13},
};

use super::TlsError;

/// TLS versions and cipher suites.
#[derive(Clone, Debug)]
pub(crate) struct Protocols {
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Suites of TLS 1.2 that are left; all when absent. Suites of TLS 1.3 are not configurable, as with Go's TLS.
    suites: Option<Vec<CipherSuite>>,
}

impl Default for Protocols {
    fn default() -> Self {
        Self { versions: ALL_VERSIONS.to_vec(), suites: None }
    }
}

impl Protocols {
    /// Parses version names (`TLSv1_2`, `TLSv1_3`; empty means no limit) and suite names (none means all).
    pub(crate) fn parse(min: &str, max: &str, suites: &[String]) -> Result<Self, TlsError> {
        let lowest = if min.is_empty() { &TLS12 } else { version(min)? };
        let highest = if max.is_empty() { &TLS13 } else { version(max)? };
        let mut versions: Vec<_> = [&TLS12, &TLS13]
            .into_iter()
            .filter(|one| rank(lowest) <= rank(one) && rank(one) <= rank(highest))
            .collect();
        if versions.is_empty() {
            return Err(TlsError::VersionOrder { min: min.to_owned(), max: max.to_owned() });
        }
        if suites.is_empty() {
            return Ok(Self { versions, suites: None });
        }
        let suites: Vec<CipherSuite> = suites.iter().map(|name| suite(name)).collect::<Result<_, _>>()?;
        if !known_suites().iter().any(|one| one.tls13().is_none() && suites.contains(&one.suite())) {
            // Nothing of TLS 1.2 is left to speak.
            versions.retain(|one| one.version != ProtocolVersion::TLSv1_2);
        }
        Ok(Self { versions, suites: Some(suites) })
    }

    pub(super) fn versions(&self) -> &[&'static SupportedProtocolVersion] {
        &self.versions
    }

    /// Returns the provider with the suites that are left.
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(suites) = &self.suites {
            provider.cipher_suites.retain(|one| one.tls13().is_some() || suites.contains(&one.suite()));
        }
        Arc::new(provider)
    }
}

fn version(name: &str) -> Result<&'static SupportedProtocolVersion, TlsError> {
    match name {
        "TLSv1_2" => Ok(&TLS12),
        "TLSv1_3" => Ok(&TLS13),
        _ => Err(TlsError::Version { name: name.to_owned() }),
    }
}

fn rank(version: &SupportedProtocolVersion) -> u16 {
    u16::from(version.version)
}

fn known_suites() -> &'static [SupportedCipherSuite] {
    aws_lc_rs::ALL_CIPHER_SUITES
}

/// The registered name: our TLS library writes `TLS13_` where the registry has `TLS_`.
fn name_of(suite: CipherSuite) -> String {
    suite.as_str().unwrap_or_default().replacen("TLS13_", "TLS_", 1)
}

fn suite(name: &str) -> Result<CipherSuite, TlsError> {
    let name = name.trim();
    // Go has older names for two suites.
    let asked = if name.ends_with("_WITH_CHACHA20_POLY1305") { format!("{name}_SHA256") } else { name.to_owned() };
    known_suites().iter().map(SupportedCipherSuite::suite).find(|one| name_of(*one) == asked).ok_or_else(|| {
        let supported: Vec<String> = known_suites().iter().map(|one| name_of(one.suite())).collect();
        TlsError::CipherSuite { name: name.to_owned(), supported: supported.join(", ") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(min: &str, max: &str, suites: &[&str], expected: Result<&[ProtocolVersion], &str>) {
        let suites: Vec<String> = suites.iter().map(|name| (*name).to_owned()).collect();
        let found = Protocols::parse(min, max, &suites)
            .map(|protocols| protocols.versions.iter().map(|one| one.version).collect::<Vec<_>>())
            .map_err(|error| error.to_string());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{min} {max} {suites:?}"),
            (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{found}"),
            (found, expected) => panic!("{min} {max} {suites:?}: {found:?} for {expected:?}"),
        }
    }

    #[test]
    fn versions_lie_between_minimum_and_maximum() {
        use ProtocolVersion::{TLSv1_2, TLSv1_3};
        check("", "", &[], Ok(&[TLSv1_2, TLSv1_3]));
        check("TLSv1_2", "", &[], Ok(&[TLSv1_2, TLSv1_3]));
        check("TLSv1_3", "", &[], Ok(&[TLSv1_3]));
        check("TLSv1_2", "TLSv1_2", &[], Ok(&[TLSv1_2]));
        check("TLSv1_3", "TLSv1_2", &[], Err("the minimum TLS version `TLSv1_3` is newer than the maximum `TLSv1_2`"));
        for unknown in ["TLSv1_1", "tlsv1_2", "1.2", "TLSv1_4"] {
            check(unknown, "", &[], Err("unknown TLS version"));
            check("", unknown, &[], Err("unknown TLS version"));
        }
    }

    #[test]
    fn suites_have_their_registered_names() {
        use ProtocolVersion::{TLSv1_2, TLSv1_3};
        check("", "", &["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"], Ok(&[TLSv1_2, TLSv1_3]));
        check("", "", &["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"], Ok(&[TLSv1_2, TLSv1_3]));
        check("", "", &["TLS_AES_128_GCM_SHA256"], Ok(&[TLSv1_3]));
        check("", "", &["TLS_RSA_WITH_RC4_128_SHA"], Err("unknown TLS cipher suite `TLS_RSA_WITH_RC4_128_SHA`"));
    }

    #[test]
    fn only_named_suites_of_tls_1_2_are_left() {
        let one = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384".to_owned();
        let left = Protocols::parse("", "", &[one]).unwrap().provider();
        let old: Vec<_> = left.cipher_suites.iter().filter(|suite| suite.tls13().is_none()).collect();
        assert_eq!(old.len(), 1);
        assert_eq!(old[0].suite(), CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384);
    }
}
