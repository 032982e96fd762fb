//! Protobuf messages generated from `proto/`. Nothing is written by hand here, and nothing knows of connections.
#![expect(missing_docs, clippy::all, reason = "generated code")]

/// Our own messages.
pub mod arctos {
    pub mod kds {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/arctos.kds.v1.rs"));
        }
    }
}

/// Envoy's delta discovery.
pub mod envoy {
    pub mod config {
        pub mod core {
            pub mod v3 {
                include!(concat!(env!("OUT_DIR"), "/envoy.config.core.v3.rs"));
            }
        }
    }
    pub mod service {
        pub mod discovery {
            pub mod v3 {
                include!(concat!(env!("OUT_DIR"), "/envoy.service.discovery.v3.rs"));
            }
        }
    }
}

/// Google's status message.
pub mod google {
    pub mod rpc {
        include!(concat!(env!("OUT_DIR"), "/google.rpc.rs"));
    }
}

/// Kuma's messages.
pub mod kuma {
    pub mod mesh {
        pub mod v1alpha1 {
            include!(concat!(env!("OUT_DIR"), "/kuma.mesh.v1alpha1.rs"));
        }
    }
    pub mod system {
        pub mod v1alpha1 {
            include!(concat!(env!("OUT_DIR"), "/kuma.system.v1alpha1.rs"));
        }
    }
}
