//! What a zone needs of its global control plane: where it is, and how it proves itself.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{
    super::{GlobalAddress, Proxy, SecretText, ZoneKds},
    Builder,
};
use crate::files;

impl Builder<'_> {
    pub(super) fn zone_name(&mut self) -> Option<model::ZoneName> {
        let name = model::ZoneName::parse(self.values.text("multizone.zone.name"));
        name.map_err(|wrong| self.bad("multizone.zone.name", &wrong.to_string())).ok()
    }

    /// Where global is; nothing if there is none, or if what is said is wrong.
    pub(super) fn global_addresses(&mut self) -> Vec<GlobalAddress> {
        const PATH: &str = "multizone.zone.globalAddress";
        let found: Result<Vec<_>, _> = self.values.list(PATH).iter().map(|text| address(text)).collect();
        let wrong = match &found {
            Err(allowed) => Some(*allowed),
            Ok(found) if found.is_empty() && !self.values.text(PATH).is_empty() => {
                Some("the list names nothing; leave it empty if that is meant")
            }
            Ok(found) if found.iter().any(|one| found.first().is_some_and(|first| first.secure != one.secure)) => {
                Some("of several addresses all of them or none begin with `grpcs://`")
            }
            Ok(_) => None,
        };
        wrong.into_iter().for_each(|wrong| self.bad(PATH, wrong));
        if wrong.is_some() { Vec::new() } else { found.unwrap_or_default() }
    }

    /// The proxy on the way to an address.
    pub(super) fn proxy(&mut self, address: &GlobalAddress) -> Option<Proxy> {
        Proxy::of(self.environment, &address.host, address.port).unwrap_or_else(|wrong| {
            let problem = format!("environment variable {wrong}");
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
            None
        })
    }

    pub(super) fn send_timeout(&mut self, key: &str) -> Duration {
        let timeout = self.values.duration(key);
        if timeout.is_zero() {
            self.bad(key, "it must be greater than zero");
        }
        timeout
    }

    pub(super) fn zone_kds(&mut self, addresses: &[GlobalAddress]) -> ZoneKds {
        let inline = self.values.text("multizone.zone.kds.auth.tokenInline").to_owned();
        let token_path = self.file("multizone.zone.kds.auth.tokenPath");
        if !inline.is_empty() && token_path.is_some() {
            self.remarks.push(
                "both a token and a token file are set (multizone.zone.kds.auth.tokenInline and tokenPath): the file is used".to_owned(),
            );
        }
        if addresses.iter().any(|address| !address.secure) && (!inline.is_empty() || token_path.is_some()) {
            self.bad(
                "multizone.zone.globalAddress",
                "a token must not travel in plain text. Use grpcs scheme: `grpcs://<host>:5685`",
            );
        }
        if token_path.as_ref().is_some_and(|path| path.components().any(|part| part.as_os_str() == "..")) {
            self.bad("multizone.zone.kds.auth.tokenPath", "`..` is not allowed in the path of the token file");
        }
        let root_ca_file = self.file("multizone.zone.kds.rootCaFile");
        if addresses.iter().any(|address| address.secure)
            && let Some(path) = &root_ca_file
        {
            let problem = match files::read(path, files::LARGEST) {
                Ok(pem) if pem.windows(27).any(|text| text == b"-----BEGIN CERTIFICATE-----") => None,
                Ok(_) => Some("the file holds no certificate in PEM".to_owned()),
                Err(problem) => Some(format!("the file cannot be read: {problem}")),
            };
            if let Some(problem) = problem {
                self.bad("multizone.zone.kds.rootCaFile", &problem);
            }
        }
        ZoneKds {
            root_ca_file,
            tls_skip_verify: self.values.flag("multizone.zone.kds.tlsSkipVerify"),
            max_msg_size: self.message_size("multizone.zone.kds.maxMsgSize"),
            msg_send_timeout: self.send_timeout("multizone.zone.kds.msgSendTimeout"),
            delete_own_meshes: self.values.flag("multizone.zone.kds.deleteOwnMeshes"),
            default_admin_port: self.port("bootstrapServer.params.adminPort"),
            skip_prefixes: self.values.list("multizone.zone.kds.labels.skipPrefixes"),
            token_inline: (!inline.is_empty() && token_path.is_none()).then(|| SecretText(Zeroizing::new(inline))),
            token_path,
            renew_token: self.values.flag("multizone.zone.kds.auth.renew"),
        }
    }
}

/// Reads where a global control plane is; the error is what is allowed.
pub(in crate::config) fn address(text: &str) -> Result<GlobalAddress, &'static str> {
    let secure = match text.split_once("://") {
        Some(("grpcs", _)) => true,
        Some(("grpc", _)) => false,
        _ => return Err("it must begin with `grpcs://` (TLS) or `grpc://` (plain text)"),
    };
    let parsed = url::Url::parse(&text.replacen("grpc", "http", 1));
    let host = parsed.as_ref().ok().and_then(url::Url::host_str).map(|host| host.trim_matches(['[', ']']).to_owned());
    let host = host.filter(|host| !host.is_empty()).ok_or("it must be `grpcs://<host>:<port>`")?;
    // 5685 is the documented port; a real zone would dial 443 or 80 without one.
    let explicit = text.rsplit_once(':').and_then(|(_, port)| port.trim_end_matches('/').parse().ok());
    let port = parsed.ok().and_then(|url| url.port()).or(explicit).unwrap_or(5685);
    Ok(GlobalAddress { secure, host, port })
}
