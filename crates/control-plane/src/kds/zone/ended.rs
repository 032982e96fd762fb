//! Why a connection to global ended, in words for the log and for `/ready`, and what to do about it.

use std::{fmt, time::Duration};

use model::text;
use tonic::{Code, Status};

use super::own_meshes::Refusal;
use crate::kds::{dial::DialError, link::LinkState};

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// There was no token to connect with.
    NoToken(String),
    /// There was no connection.
    Dial(DialError),
    /// There was a connection, and nothing came.
    Silent,
    /// The zone did not apply what came: it would lose what it has of its own.
    Refused(Refusal),
    Rpc {
        method: &'static str,
        status: Status,
        /// How long the connection stood.
        lasted: Duration,
    },
    /// The connection was lost.
    Lost {
        cause: String,
        /// How long it stood.
        lasted: Duration,
    },
}

impl Ended {
    /// Whether somebody said no, and the connection was not only lost.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Rpc { status, .. } => matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied),
            Self::Refused(_) => true,
            Self::NoToken(_) | Self::Dial(_) | Self::Silent | Self::Lost { .. } => false,
        }
    }

    pub(crate) fn lasted(&self) -> Duration {
        match self {
            Self::NoToken(_) | Self::Dial(_) | Self::Silent | Self::Refused(_) => Duration::ZERO,
            Self::Rpc { lasted, .. } | Self::Lost { lasted, .. } => *lasted,
        }
    }

    /// What an operator can do about it.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::NoToken(_) => {
                "write a token of this zone into the file: kumactl generate control-plane-token --zone=<zone>"
            }
            Self::Dial(DialError::Tls { .. }) => {
                "check KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE and the host name in KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS"
            }
            Self::Dial(DialError::Proxy { .. }) => {
                "check HTTPS_PROXY and that the proxy allows CONNECT to this host and port, or name the host in NO_PROXY"
            }
            Self::Dial(_) | Self::Lost { .. } | Self::Silent => {
                "check that the global control plane is up and its port can be reached from here"
            }
            Self::Refused(Refusal::WouldDelete(_)) => {
                "nothing was deleted. Either make these meshes on the global control plane first; or start this zone without KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS, save them (kumactl export --profile all --include-admin) and delete them; or set multizone.zone.kds.deleteOwnMeshes: true (KUMA_MULTIZONE_ZONE_KDS_DELETE_OWN_MESHES): then they go, after a copy was written to the work folder"
            }
            Self::Refused(_) => "nothing was deleted; check the work folder",
            Self::Rpc { status, .. } => match status.code() {
                Code::Unauthenticated | Code::PermissionDenied => {
                    "generate a new token for this zone (kumactl generate control-plane-token --zone=<zone>; zone-token --zone=<zone> --scope=cp if the global takes zone tokens only) and write it into the file that KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH names, it is read without a restart; a token in KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE needs one"
                }
                Code::Unknown | Code::Internal | Code::Unimplemented => {
                    "check that the global control plane is up, and that KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS names its KDS port (5685)"
                }
                _ => "",
            },
        }
    }

    pub(crate) fn state(&self) -> LinkState {
        LinkState::Down { reason: text::of_peer(&self.to_string()), advice: self.advice() }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken(reason) => f.write_str(reason),
            Self::Dial(error) => error.fmt(f),
            Self::Silent => f.write_str("the connection stands, but the global control plane sends nothing"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Rpc { method, status, .. } => match status.code() {
                Code::Unauthenticated | Code::PermissionDenied => {
                    write!(f, "the global control plane refused this zone: {}", status.message())
                }
                code => write!(f, "{method} ended with {code:?}: {}", status.message()),
            },
            Self::Lost { cause, .. } => write!(f, "the connection was lost: {cause}"),
        }
    }
}
