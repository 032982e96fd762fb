//! The static rules (`access.static`), and the texts of their refusals.

use model::{Kind, ProxyView};
use thiserror::Error;

use super::{
    Caller, ZoneGrants,
    caller::{ADMIN, AUTHENTICATED, UNAUTHENTICATED},
};

/// Who may do one thing: users by name, or anyone in one of the groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Names of users.
    pub users: Vec<String>,
    /// Names of groups.
    pub groups: Vec<String>,
}

impl Allowed {
    fn admin() -> Self {
        Self { users: vec![ADMIN.to_owned()], groups: vec![ADMIN.to_owned()] }
    }

    fn everyone() -> Self {
        Self { users: Vec::new(), groups: vec![UNAUTHENTICATED.to_owned(), AUTHENTICATED.to_owned()] }
    }

    fn has(&self, caller: &Caller) -> bool {
        self.users.iter().any(|user| user == caller.name())
            || self.groups.iter().any(|group| caller.groups().contains(group))
    }
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Reads and writes secrets.
    pub admin_resources: Allowed,
    /// Issues tokens for data plane proxies.
    pub generate_dp_token: Allowed,
    /// Issues tokens for users.
    pub generate_user_token: Allowed,
    /// Issues zone tokens and control plane tokens.
    pub generate_zone_token: Allowed,
    /// Issues control plane tokens only.
    pub generate_cp_token: Allowed,
    /// Who issues zone and control plane tokens for some zones.
    pub zones: ZoneGrants,
    /// Sees the configuration of proxies.
    pub view_config_dump: Allowed,
    /// Sees the counters of proxies.
    pub view_stats: Allowed,
    /// Sees the clusters of proxies.
    pub view_clusters: Allowed,
    /// Sees the configuration of the control plane.
    pub control_plane_metadata: Allowed,
    /// Of those who read secrets: who sees the private halves of keys among them.
    pub view_signing_keys: Allowed,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            admin_resources: Allowed::admin(),
            generate_dp_token: Allowed::admin(),
            generate_user_token: Allowed::admin(),
            generate_zone_token: Allowed::admin(),
            generate_cp_token: Allowed::admin(),
            zones: ZoneGrants::default(),
            view_config_dump: Allowed::everyone(),
            view_stats: Allowed::everyone(),
            view_clusters: Allowed::everyone(),
            control_plane_metadata: Allowed::everyone(),
            view_signing_keys: Allowed::default(),
        }
    }
}

/// What a caller may not do. The text tells the caller nothing but who they are and what they asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    /// Reading a secret, or writing anything.
    #[error("user \"{caller}\" cannot access the resource of type \"{kind}\"")]
    Resource {
        /// Who asked.
        caller: String,
        /// For what.
        kind: Kind,
    },
    /// Writing something that others go with.
    #[error("user \"{caller}\" cannot access the resource of type \"{kind}\", and some would go with this {with}")]
    GoesWith {
        /// Who asked.
        caller: String,
        /// What they may not write.
        kind: Kind,
        /// What they wrote or deleted.
        with: Kind,
    },
    /// Issuing a zone token.
    #[error("user \"{caller}\" cannot access generate zone token for zone '{zone}'")]
    ZoneToken {
        /// Who asked.
        caller: String,
        /// For which zone.
        zone: String,
    },
    /// Issuing a control plane token.
    #[error("user \"{caller}\" cannot access generate control plane token for zone '{zone}'")]
    ControlPlaneToken {
        /// Who asked.
        caller: String,
        /// For which zone.
        zone: String,
    },
    /// Issuing a data plane token.
    #[error("user \"{caller}\" cannot access generate dataplane token")]
    DataplaneToken {
        /// Who asked.
        caller: String,
    },
    /// Issuing a user token.
    #[error("action not allowed")]
    UserToken,
    /// Asking what a token is good for.
    #[error("user \"{caller}\" cannot inspect tokens: show a user token")]
    Inspect {
        /// Who asked.
        caller: String,
    },
    /// Looking into a proxy.
    #[error("user \"{caller}\" cannot access envoy proxy info")]
    Proxy {
        /// Who asked.
        caller: String,
    },
    /// Changing what is logged.
    #[error("user \"{caller}\" cannot change log levels")]
    LogLevels {
        /// Who asked.
        caller: String,
    },
    /// Seeing a private half.
    #[error(
        "user \"{caller}\" cannot view signing keys, and {name:?} holds one: access.static.viewSigningKeys names who may"
    )]
    SigningKey {
        /// Who asked.
        caller: String,
        /// For which secret.
        name: String,
    },
    /// Seeing the configuration.
    #[error("user \"{caller}\" cannot access control-plane metadata")]
    Metadata {
        /// Who asked.
        caller: String,
    },
}

impl Denied {
    /// Names the zone for which a token was asked, in a refusal that was decided before it was known.
    pub(crate) fn for_zone(self, zone: String) -> Self {
        match self {
            Self::ZoneToken { caller, .. } => Self::ZoneToken { caller, zone },
            Self::ControlPlaneToken { caller, .. } => Self::ControlPlaneToken { caller, zone },
            other => other,
        }
    }
}

impl Access {
    /// Returns whether the caller may read resources of a kind.
    pub(super) fn read(&self, caller: &Caller, kind: Kind) -> Result<(), Denied> {
        let allowed = !kind.admin_only || self.admin_resources.has(caller);
        check(allowed, || Denied::Resource { caller: caller.to_string(), kind })
    }

    /// Returns whether the caller may write resources of a kind: never without an identity.
    pub(super) fn write(&self, caller: &Caller, kind: Kind) -> Result<(), Denied> {
        let allowed = caller.is_authenticated() && (!kind.admin_only || self.admin_resources.has(caller));
        check(allowed, || Denied::Resource { caller: caller.to_string(), kind })
    }

    /// Returns whether the caller may read and write secrets, and so take the rights of others away.
    pub(crate) fn is_administrator(&self, caller: &Caller) -> bool {
        caller.is_authenticated() && self.admin_resources.has(caller)
    }

    /// Returns whether the caller may change what is logged: who may read secrets, and nobody else.
    pub fn log_levels(&self, caller: &Caller) -> Result<(), Denied> {
        check(self.is_administrator(caller), || Denied::LogLevels { caller: caller.to_string() })
    }

    /// Returns whether the caller may issue zone tokens.
    pub(super) fn zone_token(&self, caller: &Caller, zone: &str) -> Result<(), Denied> {
        let allowed = self.generate_zone_token.has(caller) || self.zones.allow(caller, zone);
        check(allowed, || Denied::ZoneToken { caller: caller.to_string(), zone: zone.to_owned() })
    }

    /// Returns whether the caller may issue control plane tokens.
    pub(super) fn control_plane_token(&self, caller: &Caller, zone: &str) -> Result<(), Denied> {
        let for_all = self.generate_zone_token.has(caller) || self.generate_cp_token.has(caller);
        let allowed = for_all || self.zones.allow(caller, zone);
        check(allowed, || Denied::ControlPlaneToken { caller: caller.to_string(), zone: zone.to_owned() })
    }

    /// Returns whether the caller may issue data plane tokens.
    pub(super) fn dataplane_token(&self, caller: &Caller) -> Result<(), Denied> {
        check(self.generate_dp_token.has(caller), || Denied::DataplaneToken { caller: caller.to_string() })
    }

    /// Returns whether the caller may issue user tokens.
    pub(super) fn user_token(&self, caller: &Caller) -> Result<(), Denied> {
        check(self.generate_user_token.has(caller), || Denied::UserToken)
    }

    /// Returns whether the caller may ask what a token is good for: whoever proved an identity.
    pub(super) fn inspect(&self, caller: &Caller) -> Result<(), Denied> {
        check(caller.is_authenticated(), || Denied::Inspect { caller: caller.to_string() })
    }

    /// Returns whether the caller may look into a proxy.
    pub(super) fn view(&self, caller: &Caller, view: ProxyView) -> Result<(), Denied> {
        let allowed = match view {
            ProxyView::ConfigDump => &self.view_config_dump,
            ProxyView::Stats => &self.view_stats,
            ProxyView::Clusters => &self.view_clusters,
        };
        check(allowed.has(caller), || Denied::Proxy { caller: caller.to_string() })
    }

    /// Returns whether the caller sees the private halves of keys: the administrator of this machine, and who is named.
    pub(super) fn signing_keys(&self, caller: &Caller) -> bool {
        caller.is_local() || (caller.is_authenticated() && self.view_signing_keys.has(caller))
    }

    /// Returns whether the caller may see the configuration.
    pub(super) fn metadata(&self, caller: &Caller) -> Result<(), Denied> {
        check(self.control_plane_metadata.has(caller), || Denied::Metadata { caller: caller.to_string() })
    }
}

fn check(allowed: bool, denied: impl FnOnce() -> Denied) -> Result<(), Denied> {
    if allowed { Ok(()) } else { Err(denied()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anonymous_caller_reads_what_is_not_secret_and_writes_nothing() {
        let (access, caller) = (Access::default(), Caller::anonymous());
        assert_eq!(access.read(&caller, Kind::MESH), Ok(()));
        for kind in Kind::all() {
            assert!(access.write(&caller, kind).is_err(), "{kind}");
            assert_eq!(access.read(&caller, kind).is_err(), kind.admin_only, "{kind}");
        }
        assert_eq!(
            access.read(&caller, Kind::SECRET).map_err(|denied| denied.to_string()),
            Err("user \"mesh-system:anonymous/mesh-system:unauthenticated\" cannot access the resource of type \
                 \"Secret\""
                .to_owned())
        );
    }

    #[test]
    fn a_list_that_names_everyone_does_not_let_anonymous_callers_write() {
        let access = Access { admin_resources: Allowed::everyone(), ..Access::default() };
        assert!(access.write(&Caller::anonymous(), Kind::SECRET).is_err());
    }

    #[test]
    fn the_admin_may_do_everything() {
        let (access, caller) = (Access::default(), Caller::admin());
        assert!(Kind::all().all(|kind| access.read(&caller, kind).is_ok() && access.write(&caller, kind).is_ok()));
        assert_eq!(access.zone_token(&caller, "east"), Ok(()));
        assert_eq!(access.control_plane_token(&caller, "east"), Ok(()));
    }

    #[test]
    fn who_is_not_in_the_list_is_refused_even_as_admin() {
        let nobody = Access { control_plane_metadata: Allowed::default(), ..Access::default() };
        assert!(nobody.metadata(&Caller::admin()).is_err());
    }
}
