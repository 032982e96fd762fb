//! The port that zones dial, and what is demanded of them.

use std::time::Duration;

use rustls_pki_types::ServerName;

use super::{
    super::{AuthMode, AuthType, GlobalAuth, GlobalKds, Recheck, Renewal, RotationTimes},
    Builder,
};

/// No token is renewed for a shorter time than this, whatever is set.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

impl Builder<'_> {
    /// How long renewed tokens live at most; zero is no limit.
    pub(super) fn longest_life(&mut self) -> Duration {
        const PATH: &str = "multizone.global.kds.auth.renewal.maxLife";
        let life = self.values.duration(PATH);
        if !life.is_zero() && life < SHORTEST_LIFE {
            self.bad(
                PATH,
                "it must be at least `1m`, or zones would do little else than renew their tokens; `0s` sets no limit",
            );
        }
        life
    }

    /// Names that a certificate can have.
    pub(super) fn tls_names(&mut self) -> Vec<String> {
        const PATH: &str = "multizone.global.kds.tlsNames";
        let names = self.values.list(PATH);
        if let Some(odd) = names.iter().find(|name| ServerName::try_from(name.as_str()).is_err()) {
            self.bad(
                PATH,
                &format!("`{odd}` is no host name and no IP address, and only these can stand in a certificate"),
            );
        }
        names
    }

    pub(super) fn quota(&mut self, path: &'static str) -> usize {
        let quota = usize::try_from(self.values.number(path)).unwrap_or(usize::MAX);
        if quota == 0 {
            self.bad(path, "it must be greater than zero, or zones could report nothing");
        }
        quota
    }

    pub(super) fn global_kds(&mut self) -> GlobalKds {
        let kind = match self.values.text("multizone.global.kds.auth.type") {
            "none" => AuthType::None,
            "cpToken" => AuthType::CpToken,
            "zoneToken" => AuthType::ZoneToken,
            "konnect" => {
                self.bad("multizone.global.kds.auth.type", "`konnect` is a service of Kong's and does not exist here; allowed are `cpToken`, `zoneToken` and `none`");
                AuthType::CpToken
            }
            _ => {
                self.bad("multizone.global.kds.auth.type", "allowed are `cpToken`, `zoneToken` and `none`");
                AuthType::CpToken
            }
        };
        let flush = self.values.duration("multizone.global.kds.zoneInsightFlushInterval");
        if flush.is_zero() {
            self.bad("multizone.global.kds.zoneInsightFlushInterval", "it must be greater than zero");
        }
        let poll = self.values.duration("multizone.global.kds.zoneHealthCheck.pollInterval");
        let timeout = self.values.duration("multizone.global.kds.zoneHealthCheck.timeout");
        if poll.is_zero() != timeout.is_zero() {
            self.bad(
                "multizone.global.kds.zoneHealthCheck.timeout",
                "pollInterval and timeout go together: set both, or none of them",
            );
        }
        GlobalKds {
            grpc_port: self.port("multizone.global.kds.grpcPort"),
            tls_enabled: self.values.flag("multizone.global.kds.tlsEnabled"),
            tls: self.tls("multizone.global.kds"),
            tls_names: self.tls_names(),
            max_msg_size: self.message_size("multizone.global.kds.maxMsgSize"),
            zone_quota_resources: self.quota("multizone.global.kds.zoneQuota.resources"),
            zone_quota_bytes: self.quota("multizone.global.kds.zoneQuota.bytes"),
            zone_insight_flush_interval: flush,
            msg_send_timeout: self.send_timeout("multizone.global.kds.msgSendTimeout"),
            health_poll_interval: poll,
            health_timeout: timeout,
            skip_prefixes: self.values.list("multizone.global.kds.labels.skipPrefixes"),
            auth: GlobalAuth {
                kind,
                leeway: self.values.duration("multizone.global.kds.auth.leeway"),
                enable_issuer: self.values.flag("multizone.global.kds.auth.zoneToken.enableIssuer"),
                mode: self.one_of(
                    "multizone.global.kds.auth.mode",
                    &[("enforce", AuthMode::Enforce), ("shadow", AuthMode::Shadow)],
                ),
                recheck: self.one_of(
                    "multizone.global.kds.auth.recheck",
                    &[("live", Recheck::Live), ("onConnect", Recheck::OnConnect)],
                ),
                legacy_tokens_until: self.moment("multizone.global.kds.auth.legacyTokensUntil"),
                max_staleness: self.values.duration("multizone.global.kds.auth.maxStaleness"),
                renewal: Renewal {
                    enabled: self.values.flag("multizone.global.kds.auth.renewal.enabled"),
                    max_life: self.longest_life(),
                },
                rotation: RotationTimes {
                    recent_zones: self.values.duration("multizone.global.kds.auth.rotation.recentZones"),
                    patience: self.values.duration("multizone.global.kds.auth.rotation.patience"),
                },
            },
        }
    }
}
