//! How the zone's connection to global stands, in plain words.

use jiff::Timestamp;
use tokio::sync::watch;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// A connection is being made.
    Connecting,
    /// Global accepted the zone.
    Connected { since: Timestamp },
    /// Another instance of this zone has the connection.
    StandsBy {
        /// Which one, for people.
        leader: String,
    },
    /// There is no connection, and why.
    Down {
        /// What happened, for people.
        reason: String,
        /// What to do about it, if that is known.
        advice: &'static str,
    },
}

impl LinkState {
    /// One line for people, or `None` when all is well.
    pub(crate) fn trouble(&self) -> Option<String> {
        match self {
            Self::Connecting => Some("connecting to the global control plane".to_owned()),
            Self::Connected { .. } => None,
            Self::StandsBy { leader } => Some(format!(
                "{leader} leads this zone and talks to the global control plane; this one stands by and takes over when that one \
                 is gone"
            )),
            Self::Down { reason, advice: "" } => Some(reason.clone()),
            Self::Down { reason, advice } => Some(format!("{reason}; {advice}")),
        }
    }
}

/// Publishes the state. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Link(watch::Sender<LinkState>);

impl Default for Link {
    fn default() -> Self {
        Self(watch::Sender::new(LinkState::Connecting))
    }
}

impl Link {
    pub(crate) fn set(&self, state: LinkState) {
        // A retry after a failure keeps showing the failure: "connecting" would hide why.
        self.0.send_if_modified(|current| {
            let hides = state == LinkState::Connecting && matches!(current, LinkState::Down { .. });
            if hides || *current == state {
                return false;
            }
            *current = state;
            true
        });
    }

    /// What kept the connection down is mended, so that this is no longer the reason.
    pub(crate) fn mended(&self) {
        self.0.send_if_modified(|current| {
            let was_down = matches!(current, LinkState::Down { .. });
            if was_down {
                *current = LinkState::Connecting;
            }
            was_down
        });
    }

    /// Follows the state.
    pub(crate) fn subscribe(&self) -> watch::Receiver<LinkState> {
        self.0.subscribe()
    }
}
