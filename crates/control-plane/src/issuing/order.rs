//! What a token is to say: read and checked, ready to be signed.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use model::ZoneName;
use tokens::{Claims, Family, IssueError, KeyRing, Scope, Token};
use uuid::Uuid;

use crate::access::TokenKind;

/// A token that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// For a data plane proxy; what is empty binds it to nothing.
    Dataplane {
        mesh: String,
        name: String,
        /// Its tags, and the values that each may have.
        tags: BTreeMap<String, Vec<String>>,
        proxy_type: String,
        workload: String,
        /// How long it is good.
        valid_for: Duration,
    },
    /// For a zone, with scopes.
    Zone {
        zone: ZoneName,
        /// What it is good for; `None` leaves the claim out.
        scope: Option<Vec<Scope>>,
        /// How long it is good.
        valid_for: Duration,
    },
    ControlPlane {
        zone: ZoneName,
        /// How long it is good; `None` is without end.
        valid_for: Option<Duration>,
    },
    User {
        name: String,
        /// The groups; `None` leaves the claim out.
        groups: Option<Vec<String>>,
        /// How long it is good.
        valid_for: Duration,
    },
}

impl Order {
    pub(crate) fn kind(&self) -> TokenKind {
        match self {
            Self::Dataplane { .. } => TokenKind::Dataplane,
            Self::Zone { .. } => TokenKind::Zone,
            Self::ControlPlane { .. } => TokenKind::ControlPlane,
            Self::User { .. } => TokenKind::User,
        }
    }

    /// The family of its token.
    pub(super) fn family(&self) -> Family {
        match self {
            Self::Dataplane { mesh, .. } => Family::Dataplane { mesh: mesh.clone() },
            Self::Zone { .. } => Family::Zone,
            Self::ControlPlane { .. } => Family::ControlPlane,
            Self::User { .. } => Family::User,
        }
    }

    /// The zone that it is for, or nothing.
    pub(super) fn zone(&self) -> &str {
        match self {
            Self::Zone { zone, .. } | Self::ControlPlane { zone, .. } => zone.as_str(),
            Self::Dataplane { .. } | Self::User { .. } => "",
        }
    }

    /// The user or proxy that it is for, or nothing.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Dataplane { name, .. } | Self::User { name, .. } => name,
            Self::Zone { .. } | Self::ControlPlane { .. } => "",
        }
    }

    /// What it is good for, of those that say so.
    pub(super) fn scopes(&self) -> &[Scope] {
        match self {
            Self::Zone { scope, .. } => scope.as_deref().unwrap_or_default(),
            Self::ControlPlane { .. } => &[Scope::Cp],
            Self::Dataplane { .. } | Self::User { .. } => &[],
        }
    }

    pub(super) fn lets_control_planes_in(&self) -> bool {
        self.scopes().contains(&Scope::Cp)
    }

    /// Signs it with the key of its family that signs in this ring.
    pub(super) fn sign(&self, ring: &KeyRing, now: Timestamp, id: Uuid) -> Result<Token, IssueError> {
        match self {
            Self::Dataplane { mesh, name, tags, proxy_type, workload, valid_for } => {
                let claims = Claims::Dataplane { name, mesh, tags, proxy_type, workload };
                tokens::issue(ring, &claims, *valid_for, now, id)
            }
            Self::Zone { zone, scope, valid_for } => {
                tokens::issue_zone(ring, zone, scope.as_deref(), *valid_for, now, id)
            }
            Self::ControlPlane { zone, valid_for } => tokens::issue_control_plane(ring, zone, *valid_for, now, id),
            Self::User { name, groups, valid_for } => {
                tokens::issue_user(ring, name, groups.as_deref(), *valid_for, now, id)
            }
        }
    }
}
