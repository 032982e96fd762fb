//! The judgement: a caller and a rule in, a permit out.
//!
//! ```text
//! route ─► Rule ─┐
//! head ─► Caller ┴► Access::judge ─► Permit ─► body ─► handler, Writes, what is stored
//! ```
//!
//! A rule is judged when the head of a request is there and its body is not. What reads or writes takes a [`Permit`],
//! and asks it for the kinds that it really touches: a rule that was forgotten, or is too weak, opens nothing.

use std::sync::Arc;

use model::{Kind, ProxyView};

use super::{Access, Caller, Denied};

/// Which token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// For a data plane proxy.
    Dataplane,
    /// For a zone, with scopes.
    Zone,
    /// For a zone's control plane.
    ControlPlane,
    /// For a user.
    User,
}

/// What a route asks of its callers. Each has one; what only the path or the body can say is asked again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nothing: the answer is for everyone.
    Public,
    /// To read resources of a kind.
    Read(Kind),
    /// To read the kind that the path names: the handler asks, when it has read the path.
    ReadNamed,
    /// Nothing: the answer tells only of kinds that the caller may read.
    ReadFiltered,
    /// To write resources of a kind.
    Write(Kind),
    /// To issue tokens, for whatever zone: asked again for the zone of the body.
    Issue(TokenKind),
    /// To ask what a token is good for.
    Inspect,
    /// To look into proxies in any way: asked again for the way that the path names.
    View,
    /// To see the configuration of control planes.
    Metadata,
}

/// Proof that a caller was judged; only [`Access::judge`] makes one.
#[derive(Clone, Debug)]
pub struct Permit {
    caller: Caller,
    access: Arc<Access>,
}

impl Access {
    /// Judges a caller before anything is done for them.
    pub fn judge(self: &Arc<Self>, caller: Caller, rule: Rule) -> Result<Permit, Denied> {
        let permit = Permit { caller, access: Arc::clone(self) };
        match rule {
            Rule::Public | Rule::ReadNamed | Rule::ReadFiltered => {}
            Rule::Read(kind) => permit.read(kind)?,
            Rule::Write(kind) => permit.write(kind)?,
            // Who may for some zones hears of this one when the body has named it.
            Rule::Issue(TokenKind::Zone | TokenKind::ControlPlane) if permit.access.zones.knows(&permit.caller) => {}
            Rule::Issue(token) => permit.issue(token, "")?,
            Rule::Inspect => permit.inspect()?,
            Rule::View => {
                let any = ProxyView::ALL.map(|view| permit.view(view));
                if any.iter().all(Result::is_err) {
                    any.into_iter().collect::<Result<(), Denied>>()?;
                }
            }
            Rule::Metadata => permit.metadata()?,
        }
        Ok(permit)
    }
}

impl Permit {
    /// Who was judged.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns whether the caller may read resources of a kind.
    pub fn read(&self, kind: Kind) -> Result<(), Denied> {
        self.access.read(&self.caller, kind)
    }

    /// Returns whether the caller may write resources of a kind.
    pub fn write(&self, kind: Kind) -> Result<(), Denied> {
        self.access.write(&self.caller, kind)
    }

    /// Returns whether the caller may issue a token; `zone` is the one that zone and control plane tokens name.
    pub fn issue(&self, token: TokenKind, zone: &str) -> Result<(), Denied> {
        match token {
            TokenKind::Dataplane => self.access.dataplane_token(&self.caller),
            TokenKind::Zone => self.access.zone_token(&self.caller, zone),
            TokenKind::ControlPlane => self.access.control_plane_token(&self.caller, zone),
            TokenKind::User => self.access.user_token(&self.caller),
        }
    }

    /// Returns whether the caller may ask what a token is good for.
    pub fn inspect(&self) -> Result<(), Denied> {
        self.access.inspect(&self.caller)
    }

    /// Returns whether the caller may look into a proxy.
    pub fn view(&self, view: ProxyView) -> Result<(), Denied> {
        self.access.view(&self.caller, view)
    }

    /// Returns whether the caller sees the private halves of keys, where they may read secrets.
    pub(crate) fn sees_signing_keys(&self) -> bool {
        self.access.signing_keys(&self.caller)
    }

    /// Returns whether the caller may see the configuration of control planes.
    pub fn metadata(&self) -> Result<(), Denied> {
        self.access.metadata(&self.caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Allowed, ZoneGrants};

    const TOKENS: [TokenKind; 4] = [TokenKind::Dataplane, TokenKind::Zone, TokenKind::ControlPlane, TokenKind::User];

    fn judged(access: &Access, caller: Caller, rule: Rule) -> bool {
        Arc::new(access.clone()).judge(caller, rule).is_ok()
    }

    #[test]
    fn who_proved_nothing_gets_no_permit_to_write_or_to_issue() {
        let access = Access::default();
        for kind in Kind::all() {
            assert!(!judged(&access, Caller::anonymous(), Rule::Write(kind)), "{kind}");
            assert!(judged(&access, Caller::admin(), Rule::Write(kind)), "{kind}");
            assert_eq!(judged(&access, Caller::anonymous(), Rule::Read(kind)), !kind.admin_only, "{kind}");
        }
        for token in TOKENS {
            assert!(!judged(&access, Caller::anonymous(), Rule::Issue(token)), "{token:?}");
            assert!(judged(&access, Caller::admin(), Rule::Issue(token)), "{token:?}");
        }
    }

    #[test]
    fn a_permit_for_everyone_reads_no_secret() {
        for rule in [Rule::Public, Rule::ReadNamed, Rule::ReadFiltered, Rule::Read(Kind::MESH)] {
            let permit = Arc::new(Access::default()).judge(Caller::anonymous(), rule).unwrap();
            assert!(permit.read(Kind::SECRET).is_err() && permit.write(Kind::MESH).is_err(), "{rule:?}");
        }
    }

    #[test]
    fn who_may_issue_for_some_zones_gets_tokens_for_these_and_no_others() {
        let patterns = vec!["west".parse().unwrap(), "edge-*".parse().unwrap()];
        let zones = ZoneGrants(std::collections::BTreeMap::from([("john".to_owned(), patterns)]));
        let access = Arc::new(Access { zones, ..Access::default() });
        for token in [TokenKind::Zone, TokenKind::ControlPlane] {
            let permit = access.judge(Caller::proved("john"), Rule::Issue(token)).unwrap();
            assert!(permit.issue(token, "west").is_ok() && permit.issue(token, "edge-7").is_ok(), "{token:?}");
            for zone in ["east", "", "west2"] {
                let text = permit.issue(token, zone).unwrap_err().to_string();
                assert!(text.contains(&format!("token for zone '{zone}'")), "{text}");
            }
            assert!(access.judge(Caller::proved("jane"), Rule::Issue(token)).is_err(), "{token:?}");
        }
        for token in [TokenKind::User, TokenKind::Dataplane] {
            assert!(access.judge(Caller::proved("john"), Rule::Issue(token)).is_err(), "{token:?}");
        }
        let permit = access.judge(Caller::proved("john"), Rule::Public).unwrap();
        assert!(permit.write(Kind::MESH).is_ok() && permit.write(Kind::GLOBAL_SECRET).is_err());
    }

    #[test]
    fn one_way_to_look_into_proxies_is_enough_for_the_route() {
        let nobody = Allowed::default();
        let mut access = Access { view_config_dump: nobody.clone(), view_stats: nobody.clone(), ..Access::default() };
        let permit = Arc::new(access.clone()).judge(Caller::anonymous(), Rule::View).unwrap();
        assert!(permit.view(ProxyView::Clusters).is_ok() && permit.view(ProxyView::Stats).is_err());
        access.view_clusters = nobody;
        assert!(!judged(&access, Caller::anonymous(), Rule::View));
    }
}
