//! Looking into a proxy of a zone: what the API asks of whoever holds the zones' streams.

use async_trait::async_trait;
use bytes::Bytes;
use model::{ProxyView, Resource};
use thiserror::Error;

/// What is asked of a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminRequest {
    /// What to see.
    pub view: ProxyView,
    /// As JSON, where the proxy has another form.
    pub json: bool,
    /// With the endpoints of clusters (configuration).
    pub with_endpoints: bool,
}

/// What the proxy said.
pub type AdminAnswer = Bytes;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdminError {
    /// The zone is not connected.
    #[error("couldn't execute {operation} operation, zone is offline")]
    ZoneOffline {
        /// `XDSConfig`, `Stats` or `Clusters`.
        operation: &'static str,
    },
    /// The zone said what went wrong.
    #[error("could not send {request}: {text}")]
    Zone {
        /// `XDSConfigRequest`, `StatsRequest` or `ClustersRequest`.
        request: &'static str,
        /// Its words.
        text: String,
    },
    /// The zone did not answer in time.
    #[error("the zone did not answer in time")]
    TimedOut,
    /// The instance of the control plane that the zone is connected to did not answer.
    #[error("couldn't execute {operation} operation: the zone is connected to another instance, and {reason}")]
    Elsewhere {
        /// `XDSConfig`, `Stats` or `Clusters`.
        operation: &'static str,
        /// What is the matter with that one.
        reason: String,
    },
}

/// Asks proxies through their zones.
#[async_trait]
pub trait EnvoyAdmin: Send + Sync + 'static {
    /// Asks the zone for a proxy of it.
    async fn ask(&self, zone: &str, proxy: &Resource, request: AdminRequest) -> Result<AdminAnswer, AdminError>;
}

/// Knows no zones: every zone is offline.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoZones;

#[async_trait]
impl EnvoyAdmin for NoZones {
    async fn ask(&self, _zone: &str, _proxy: &Resource, request: AdminRequest) -> Result<AdminAnswer, AdminError> {
        let operation = match request.view {
            ProxyView::ConfigDump => "XDSConfig",
            ProxyView::Stats => "Stats",
            ProxyView::Clusters => "Clusters",
        };
        Err(AdminError::ZoneOffline { operation })
    }
}
