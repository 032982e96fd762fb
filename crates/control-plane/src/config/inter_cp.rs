//! The settings of what instances on one database are for each other.

use std::{net::IpAddr, time::Duration};

use rustls_pki_types::DnsName;

use super::{Tls, build::Builder};

const ADDRESS: &str = "interCp.catalog.instanceAddress";
const HEARTBEAT: &str = "interCp.catalog.heartbeatInterval";

/// How instances on one database reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterCp {
    /// Where the others reach this machine: an IP address or a name, without a port. The program looks for an address
    /// itself if there is none.
    pub instance_address: Option<String>,
    /// How often an instance says that it is there.
    pub heartbeat: Duration,
    /// The port that it serves the others on; 0 lets the system choose.
    pub port: u16,
    /// What is spoken there; the certificates are made from the authority in the store.
    pub tls: Tls,
}

impl Builder<'_> {
    pub(super) fn inter_cp(&mut self) -> InterCp {
        let heartbeat = self.values.duration(HEARTBEAT);
        if heartbeat.is_zero() {
            self.bad(HEARTBEAT, "it must be greater than zero");
        }
        InterCp {
            instance_address: self.instance_address(),
            heartbeat,
            port: self.port("interCp.server.port"),
            tls: self.tls_versions("interCp.server"),
        }
    }

    fn instance_address(&mut self) -> Option<String> {
        let text = self.values.text(ADDRESS).to_owned();
        if text.is_empty() {
            return None;
        }
        let host = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&text);
        let is_reachable = match host.parse::<IpAddr>() {
            Ok(address) => !address.is_unspecified() && !address.is_multicast(),
            Err(_no_address) => DnsName::try_from(host).is_ok(),
        };
        if !is_reachable {
            self.bad(
                ADDRESS,
                "it must be the IP address or the name by which the other instances reach this one, without a port (that is \
                 interCp.server.port); leave it empty to have an address of this machine taken",
            );
        }
        Some(host.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, good};

    const VARIABLE: &str = "KUMA_INTER_CP_CATALOG_INSTANCE_ADDRESS";

    #[test]
    fn what_is_set_is_read_and_shown() {
        let (config, remarks) = good(
            "interCp:\n  catalog:\n    instanceAddress: cp-1.internal\n    heartbeatInterval: 1s\n  server:\n    port: 6000\n    \
             tlsMinVersion: TLSv1_3\n    tlsMaxVersion: TLSv1_3\n    tlsCipherSuites: [TLS_AES_128_GCM_SHA256]\n",
            &[],
        );
        let found = &config.inter_cp;
        assert_eq!(found.instance_address.as_deref(), Some("cp-1.internal"));
        assert_eq!((found.heartbeat.as_secs(), found.port), (1, 6000));
        let tls = (found.tls.min_version.as_str(), found.tls.max_version.as_str(), found.tls.cipher_suites.len());
        assert_eq!(tls, ("TLSv1_3", "TLSv1_3", 1));
        assert!(!remarks.iter().any(|remark| remark.0.contains("interCp")), "{remarks:?}");
        let shown: serde_json::Value = serde_json::from_str(config.display_json()).unwrap();
        assert_eq!(shown["interCp"]["catalog"]["instanceAddress"], "cp-1.internal");
        assert_eq!(shown["interCp"]["server"]["port"], 6000);
    }

    #[test]
    fn without_settings_the_usual_port_and_an_address_of_the_machine() {
        let (config, _) = good("", &[]);
        assert_eq!((config.inter_cp.instance_address, config.inter_cp.port), (None, 5683));
        assert_eq!(config.inter_cp.heartbeat.as_secs(), 5);
    }

    #[test]
    fn an_address_is_one_that_others_can_dial() {
        let address = |text| good("", &[(VARIABLE, text)]).0.inter_cp.instance_address;
        for (text, expected) in [("10.0.0.1", "10.0.0.1"), ("fd00::1", "fd00::1"), ("[fd00::1]", "fd00::1"), ("a", "a")]
        {
            assert_eq!(address(text).as_deref(), Some(expected));
        }
        for wrong in ["10.0.0.1:5683", "https://cp-1", "0.0.0.0", "::", "cp 1", "224.0.0.1"] {
            bad("", &[(VARIABLE, wrong)], &["interCp.catalog.instanceAddress", "without a port"]);
        }
    }

    #[test]
    fn bad_times_and_versions_are_refused() {
        bad("", &[("KUMA_INTER_CP_CATALOG_HEARTBEAT_INTERVAL", "0s")], &["heartbeatInterval", "greater than zero"]);
        bad("", &[("KUMA_INTER_CP_SERVER_TLS_MIN_VERSION", "TLSv1_0")], &["interCp.server.tlsMinVersion", "TLSv1_2"]);
        bad("", &[("KUMA_INTER_CP_SERVER_PORT", "70000")], &["interCp.server.port", "65535"]);
    }
}
