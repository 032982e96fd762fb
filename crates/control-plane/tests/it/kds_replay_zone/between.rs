//! What is between our zone and the recorded global.

use std::net::SocketAddr;

use control_plane::{app::Running, tasks::Tasks};
use tempfile::TempDir;
use tokio_util::sync::DropGuard;

use crate::stage::{
    plain_global::{behind_tls, token},
    relays::{Guard, believing, connector_here, here},
    way::Way,
};

/// The relays, running.
#[derive(Default)]
pub(crate) struct Between {
    /// Where the zone finds the first of them.
    pub(crate) near: Option<SocketAddr>,
    pub(crate) has_connector: bool,
    /// What the recorded global hears in the name of the zone; nothing where a gateway keeps it.
    pub(crate) token: Option<String>,
    _running: Vec<Running>,
    /// What ends TLS.
    _tls: Option<DropGuard>,
    _folder: Option<TempDir>,
}

impl Between {
    /// Starts what this way has, before this address.
    pub(crate) async fn start(way: Way, zone: &str, global: SocketAddr) -> Self {
        let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
        let (near, token, running) = match way {
            Way::Direct => return Self::default(),
            Way::Gateway => {
                let gateway = believing(folder.path(), global).await;
                (here(gateway.addresses().kds), None, vec![gateway])
            }
            Way::Connector => {
                let token = token(zone);
                // A token does not travel in plain text.
                let ca = folder.path().join("ca.pem");
                let global = behind_tls(global, &ca, &tasks).await;
                let connector = connector_here(zone, &token, global, &ca).await;
                (here(connector.addresses().connector), Some(token), vec![connector])
            }
            Way::Both => {
                let guard = Guard::start(folder.path(), global).await;
                let connector = connector_here(zone, &guard.token(zone), guard.kds(), &guard.ca).await;
                (here(connector.addresses().connector), None, vec![connector, guard.running])
            }
        };
        let has_connector = matches!(way, Way::Connector | Way::Both);
        Self {
            near: Some(near),
            has_connector,
            token,
            _running: running,
            _tls: Some(tasks.stop_on_drop()),
            _folder: Some(folder),
        }
    }
}
