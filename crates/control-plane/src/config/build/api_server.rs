//! The REST API: ports, time limits, and who may do what.

use std::{path::PathBuf, time::Duration};

use super::{
    super::{ApiPort, ApiServer, ApiTimeouts, settings, zone_grants},
    Builder,
};
use crate::access::{Access, Allowed};

/// The products whose kumactl looks for its own name in `GET /`.
const SPOKEN_PRODUCTS: [&str; 2] = ["Kuma", "Kong Mesh"];

impl Builder<'_> {
    pub(super) fn api_port(&mut self, section: &'static str, port: &'static str) -> ApiPort {
        let interface = format!("{section}.interface");
        if self.values.text(&interface).trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err() {
            self.bad(
                &interface,
                "it must be an IP address of this machine, like `127.0.0.1` or `::1`; `0.0.0.0` is every address",
            );
        }
        ApiPort {
            enabled: self.values.flag(&format!("{section}.enabled")),
            interface: self.values.text(&interface).to_owned(),
            port: self.port(port),
        }
    }

    /// The authorities of client certificates, if such are demanded.
    pub(super) fn client_ca_file(&mut self) -> Option<PathBuf> {
        const DEMANDED: &str = "apiServer.https.requireClientCert";
        let file = self.file("apiServer.https.tlsCaFile");
        if !self.values.flag(DEMANDED) {
            return None;
        }
        if file.is_none() {
            self.bad(
                DEMANDED,
                "apiServer.https.tlsCaFile must name the file with the authorities of these certificates",
            );
        }
        file
    }

    pub(super) fn api_server(&mut self) -> ApiServer {
        if !SPOKEN_PRODUCTS.contains(&self.values.text("apiServer.product")) {
            self.bad("apiServer.product", "allowed are `Kuma` and `Kong Mesh`, the products whose kumactl connects");
        }
        ApiServer {
            read_only: self.values.flag("apiServer.readOnly"),
            http: self.api_port("apiServer.http", "apiServer.http.port"),
            https: self.api_port("apiServer.https", "apiServer.https.port"),
            https_tls: self.tls("apiServer.https"),
            client_ca_file: self.client_ca_file(),
            localhost_is_admin: self.values.flag("apiServer.authn.localhostIsAdmin"),
            bootstrap_admin_token: self.values.flag("apiServer.authn.tokens.bootstrapAdminToken"),
            enable_user_issuer: self.values.flag("apiServer.authn.tokens.enableIssuer"),
            product: self.values.text("apiServer.product").to_owned(),
            base_path: self.values.text("apiServer.basePath").to_owned(),
            cors_allowed_domains: self.values.list("apiServer.corsAllowedDomains"),
            timeouts: ApiTimeouts {
                read_header: self.client_timeout("apiServer.readHeaderTimeout"),
                read: self.client_timeout("apiServer.readTimeout"),
                write: self.client_timeout("apiServer.writeTimeout"),
                idle: self.client_timeout("apiServer.idleTimeout"),
            },
        }
    }

    /// How long a client may take. Zero switches such a limit off at a real one; here there is always one.
    pub(super) fn client_timeout(&mut self, path: &'static str) -> Duration {
        if self.values.duration(path).is_zero() {
            let default = settings::default_of(path);
            let source = self.values.source(path);
            self.remarks.push(format!(
                "{source}: {path} is 0, but a client without a time limit can keep others out: {default} is used"
            ));
            self.values.replace(path, default);
        }
        self.values.duration(path)
    }

    pub(super) fn access(&mut self) -> Access {
        let zones = zone_grants::read(&self.values, &mut self.problems);
        let allowed = |name: &str| Allowed {
            users: self.values.list(&format!("access.static.{name}.users")),
            groups: self.values.list(&format!("access.static.{name}.groups")),
        };
        Access {
            admin_resources: allowed("adminResources"),
            generate_dp_token: allowed("generateDpToken"),
            generate_user_token: allowed("generateUserToken"),
            generate_zone_token: allowed("generateZoneToken"),
            generate_cp_token: allowed("generateCpToken"),
            zones,
            view_config_dump: allowed("viewConfigDump"),
            view_stats: allowed("viewStats"),
            view_clusters: allowed("viewClusters"),
            control_plane_metadata: allowed("controlPlaneMetadata"),
            view_signing_keys: allowed("viewSigningKeys"),
        }
    }
}
