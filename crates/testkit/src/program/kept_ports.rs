//! Control planes that are started again on the ports that they had.

use super::ControlPlane;
use crate::ports::ReservedPort;

/// The ports that a control plane listens on.
const PORTS: [(&str, &str); 5] = [
    ("http", "KUMA_API_SERVER_HTTP_PORT"),
    ("https", "KUMA_API_SERVER_HTTPS_PORT"),
    ("diagnostics", "KUMA_DIAGNOSTICS_SERVER_PORT"),
    ("kds", "KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT"),
    ("inter-cp", "KUMA_INTER_CP_SERVER_PORT"),
];

impl ControlPlane {
    /// Fixes the ports to what they are now.
    pub fn keep_ports(&mut self) {
        for (what, key) in PORTS {
            if let Some(address) = self.listening(what) {
                self.settings.insert(key.to_owned(), address.port().to_string());
            }
        }
    }

    /// Has nobody else get its ports until it is started again on them.
    pub(super) fn reserve_ports(&mut self) {
        let port = |(_, key): (&str, &str)| self.settings.get(key)?.parse::<u16>().ok().filter(|port| *port != 0);
        self.reserved = PORTS.into_iter().filter_map(port).filter_map(ReservedPort::left).collect();
    }
}
