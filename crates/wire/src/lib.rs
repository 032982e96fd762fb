//! gRPC and protobuf code generated from `proto/`. Nothing is written by hand here.
#![expect(
    missing_docs,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    reason = "generated code"
)]

/// Envoy's delta discovery.
pub mod envoy {
    pub mod config {
        pub mod core {
            pub mod v3 {
                tonic::include_proto!("envoy.config.core.v3");
            }
        }
    }
    pub mod service {
        pub mod discovery {
            pub mod v3 {
                tonic::include_proto!("envoy.service.discovery.v3");
            }
        }
    }
}

/// Google's status message.
pub mod google {
    pub mod rpc {
        tonic::include_proto!("google.rpc");
    }
}

/// Kuma's messages.
pub mod kuma {
    pub mod mesh {
        pub mod v1alpha1 {
            tonic::include_proto!("kuma.mesh.v1alpha1");
        }
    }
    pub mod system {
        pub mod v1alpha1 {
            tonic::include_proto!("kuma.system.v1alpha1");
        }
    }
}
