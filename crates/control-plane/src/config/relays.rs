//! The settings of a connector and of a gateway.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    Connector, Gateway, GlobalAddress, Listen, Mode,
    build::{Builder, address},
};

const LISTEN: &str = "multizone.connector.listen";
const UPSTREAM: &str = "multizone.gateway.upstream";

impl Builder<'_> {
    /// What a connector has beside the settings of a zone; what it cannot do without is asked of connectors alone.
    pub(super) fn connector(&mut self, mode: Mode, has_global: bool) -> Option<Connector> {
        let files = ["multizone.connector.tlsCertFile", "multizone.connector.tlsKeyFile"].map(|path| self.file(path));
        let tls = match files {
            [Some(cert), Some(key)] => Some((cert, key)),
            [None, None] => None,
            [Some(_), None] | [None, Some(_)] => {
                self.problems.push("multizone.connector: tlsCertFile and tlsKeyFile must be set together".to_owned());
                None
            }
        };
        let listen = self.listen(tls.is_some());
        if mode == Mode::Connector {
            if !has_global {
                self.bad(
                    "multizone.zone.globalAddress",
                    "a connector must know where the global control plane is: `grpcs://<host>:5685`",
                );
            }
            let token = ["multizone.zone.kds.auth.tokenPath", "multizone.zone.kds.auth.tokenInline"];
            if token.iter().all(|path| self.values.text(path).is_empty()) {
                self.bad(
                    "multizone.zone.kds.auth.tokenPath",
                    "a connector adds the token of its zone to the calls of that: name the file that holds it",
                );
            }
        }
        Some(Connector { listen: listen?, tls })
    }

    fn listen(&mut self, has_tls: bool) -> Option<Listen> {
        let text = self.values.text(LISTEN).to_owned();
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                self.bad(LISTEN, "a UNIX socket is named by its whole path: `unix:///run/kuma/connector.sock`");
                return None;
            }
            if has_tls {
                self.bad(LISTEN, "a UNIX socket has no TLS: take multizone.connector.tlsCertFile and tlsKeyFile away");
            }
            return Some(Listen::Unix(PathBuf::from(path)));
        }
        let Ok(address) = text.parse::<SocketAddr>() else {
            self.bad(LISTEN, "it must be an IP address and a port, like `127.0.0.1:5686`, or `unix:///<path>`");
            return None;
        };
        // Whoever reaches the port is the zone.
        if !address.ip().is_loopback() && !has_tls {
            self.bad(
                LISTEN,
                "whoever reaches this address would join as this zone: listen on `127.0.0.1` or on a UNIX socket, or set \
                 multizone.connector.tlsCertFile and tlsKeyFile",
            );
        }
        Some(Listen::Tcp(address))
    }

    /// What a gateway has beside the settings of a global.
    pub(super) fn gateway(&mut self, mode: Mode) -> Gateway {
        let mut upstream: Vec<GlobalAddress> = Vec::new();
        for text in self.values.list(UPSTREAM) {
            match address(&text) {
                Ok(one) => upstream.push(one),
                Err(allowed) => self.bad(UPSTREAM, allowed),
            }
        }
        let gateway = Gateway {
            upstream,
            root_ca_file: self.file("multizone.gateway.upstreamRootCaFile"),
            tls_skip_verify: self.values.flag("multizone.gateway.upstreamTlsSkipVerify"),
            forward_token: self.values.flag("multizone.gateway.forwardToken"),
        };
        if mode != Mode::Gateway {
            return gateway;
        }
        if gateway.upstream.is_empty() && self.values.text(UPSTREAM).is_empty() {
            self.bad(UPSTREAM, "a gateway must know the global control plane behind it: `grpcs://<host>:5685`");
        }
        if gateway.forward_token && gateway.upstream.iter().any(|one| !one.secure) {
            self.bad(
                "multizone.gateway.forwardToken",
                "a token must not travel in plain text: let multizone.gateway.upstream begin with `grpcs://`",
            );
        }
        gateway
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Config, Listen, Mode,
        tests::{bad, good},
    };

    const CONNECTOR: &[(&str, &str)] = &[
        ("KUMA_MODE", "connector"),
        ("KUMA_MULTIZONE_ZONE_NAME", "west"),
        ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", "grpcs://global:5685"),
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", "/etc/kuma/token"),
    ];

    fn listens(text: &str) -> Listen {
        let settings = [CONNECTOR, &[("KUMA_MULTIZONE_CONNECTOR_LISTEN", text)]].concat();
        let (config, remarks) = good("", &settings);
        assert_eq!((config.mode, remarks.len()), (Mode::Connector, 0), "{remarks:?}");
        config.connector.listen
    }

    #[test]
    fn a_connector_listens_where_nobody_else_reaches_it() {
        let tcp = |text: &str| Listen::Tcp(text.parse().unwrap());
        assert_eq!(good("", CONNECTOR).0.connector.listen, tcp("127.0.0.1:5686"));
        for loopback in ["127.0.0.1:0", "127.8.0.1:1", "[::1]:5686"] {
            assert_eq!(listens(loopback), tcp(loopback));
        }
        assert_eq!(listens("unix:///run/c.sock"), Listen::Unix("/run/c.sock".into()));
        let refused = |text: &str, part: &str| {
            let settings = [CONNECTOR, &[("KUMA_MULTIZONE_CONNECTOR_LISTEN", text)]].concat();
            bad("", &settings, &["KUMA_MULTIZONE_CONNECTOR_LISTEN", part]);
        };
        for open in ["0.0.0.0:5686", "[::]:5686", "10.0.0.1:5686"] {
            refused(open, "whoever reaches this address");
        }
        for nowhere in ["localhost:5686", "5686", "unix:relative", "unix://relative", ""] {
            refused(nowhere, "");
        }
    }

    #[test]
    fn a_connector_needs_no_folder() {
        let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        for home in ["", "rel"] {
            assert!(Config::from_sources(None, &own(CONNECTOR), home).is_ok());
            assert!(Config::from_sources(None, &own(&[("KUMA_MODE", "global")]), home).is_err());
        }
    }

    #[test]
    fn with_tls_a_connector_listens_anywhere() {
        let tls = [
            ("KUMA_MULTIZONE_CONNECTOR_LISTEN", "0.0.0.0:5686"),
            ("KUMA_MULTIZONE_CONNECTOR_TLS_CERT_FILE", "/c"),
            ("KUMA_MULTIZONE_CONNECTOR_TLS_KEY_FILE", "/k"),
        ];
        assert!(good("", &[CONNECTOR, &tls].concat()).0.connector.tls.is_some());
        bad("", &[CONNECTOR, &tls[..2]].concat(), &["must be set together"]);
        let unix = [CONNECTOR, &tls[1..], &[("KUMA_MULTIZONE_CONNECTOR_LISTEN", "unix:///s")]].concat();
        bad("", &unix, &["has no TLS"]);
    }

    #[test]
    fn a_connector_needs_a_token_and_a_global() {
        let without =
            |variable: &str| -> Vec<_> { CONNECTOR.iter().copied().filter(|(known, _)| *known != variable).collect() };
        bad("", &without("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS"), &["globalAddress", "must know where"]);
        bad("", &without("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH"), &["tokenPath", "name the file"]);
    }

    #[test]
    fn a_gateway_needs_a_global_behind_it() {
        let gateway =
            |upstream: &'static str| [("KUMA_MODE", "gateway"), ("KUMA_MULTIZONE_GATEWAY_UPSTREAM", upstream)];
        let (config, _) = good("", &gateway("grpcs://one:5685, grpc://two"));
        let hosts: Vec<_> =
            config.gateway.upstream.iter().map(|one| (one.secure, one.host.as_str(), one.port)).collect();
        assert_eq!(hosts, [(true, "one", 5685), (false, "two", 5685)]);
        bad("", &[("KUMA_MODE", "gateway")], &["multizone.gateway.upstream", "must know"]);
        bad("", &gateway("one:5685"), &["KUMA_MULTIZONE_GATEWAY_UPSTREAM", "grpcs://"]);
        let forwards = [&gateway("grpc://one")[..], &[("KUMA_MULTIZONE_GATEWAY_FORWARD_TOKEN", "true")]].concat();
        bad("", &forwards, &["forwardToken", "plain text"]);
    }
}
