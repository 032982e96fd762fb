//! Why live streams end.

use std::fmt;

use model::ZoneName;
use tokens::Rejection;

use super::bounds;

/// Why a live stream is ended by the global control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The token it stands on is good no more: key deleted, token revoked or expired.
    Refused(Rejection),
    /// The key of the token it stands on was retired by a rotation, and somebody insisted.
    KeyRetired,
    /// Another instance of the zone connected later.
    Replaced {
        /// The instance that took over.
        by: String,
    },
    /// The control plane is shutting down.
    Draining,
    /// The zone was deleted.
    ZoneDeleted,
    /// The token has more streams open than any real zone.
    TooManyStreams,
    /// The token is used on more connections than any real zone has.
    TooManyConnections,
    /// The zone has not pinged for longer than the health check allows.
    Silent,
}

impl CloseReason {
    /// The reason in one word, for metrics and logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Refused(rejection) => rejection.reason(),
            Self::KeyRetired => "key-retired",
            Self::Replaced { .. } => "replaced",
            Self::Draining => "draining",
            Self::ZoneDeleted => "zone-deleted",
            Self::TooManyStreams => "too-many-streams",
            Self::TooManyConnections => "too-many-connections",
            Self::Silent => "health-check",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(rejection) => rejection.fmt(f),
            Self::KeyRetired => f.write_str("key retired: the zone needs a new token"),
            Self::Replaced { by } => write!(f, "another instance of this zone connected: `{by}`"),
            Self::Draining => f.write_str("stream unavailable: the global control plane is stopping"),
            Self::ZoneDeleted => f.write_str("the zone was deleted"),
            Self::Silent => f.write_str("stream canceled - zone hc failed: no health check came in time"),
            Self::TooManyStreams => write!(f, "this token has {} streams open already", bounds::STREAMS),
            Self::TooManyConnections => {
                write!(f, "this token is in use on {} connections already", bounds::CONNECTIONS)
            }
        }
    }
}

/// A stream that a sweep closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The zone.
    pub zone: ZoneName,
    /// The method.
    pub method: &'static str,
    /// Why.
    pub reason: CloseReason,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_word_and_a_text_of_its_own() {
        let check = |reason: CloseReason, word: &str, text: &str| {
            assert_eq!((reason.word(), reason.to_string().as_str()), (word, text));
        };
        check(CloseReason::Refused(Rejection::Revoked), Rejection::Revoked.reason(), &Rejection::Revoked.to_string());
        check(CloseReason::KeyRetired, "key-retired", "key retired: the zone needs a new token");
        let replaced = CloseReason::Replaced { by: "host-2".to_owned() };
        check(replaced, "replaced", "another instance of this zone connected: `host-2`");
        check(CloseReason::Draining, "draining", "stream unavailable: the global control plane is stopping");
        check(CloseReason::ZoneDeleted, "zone-deleted", "the zone was deleted");
        let silent = "stream canceled - zone hc failed: no health check came in time";
        check(CloseReason::Silent, "health-check", silent);
        let streams = format!("this token has {} streams open already", bounds::STREAMS);
        check(CloseReason::TooManyStreams, "too-many-streams", &streams);
        let connections = format!("this token is in use on {} connections already", bounds::CONNECTIONS);
        check(CloseReason::TooManyConnections, "too-many-connections", &connections);
    }
}
