//! A request as it is received.
//!
//! A zone sends its configuration, ten kilobytes, in the `node` of each of some forty first requests, and it is read once
//! a stream. So the node stays encoded until somebody wants to know more of it than its id.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use wire::{envoy::config::core::v3::Node, google};

use crate::{
    kds::messages::{malformed::Malformed, node},
    zones::insight::Instance,
};

/// `DeltaDiscoveryRequest` with the node as bytes, and without what no peer of the protocol sends.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Request {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) node: Option<Bytes>,
    #[prost(string, tag = "2")]
    pub(crate) type_url: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) resource_names_subscribe: Vec<String>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(crate) initial_resource_versions: BTreeMap<String, String>,
    #[prost(string, tag = "6")]
    pub(crate) response_nonce: String,
    #[prost(message, optional, tag = "7")]
    pub(crate) error_detail: Option<google::rpc::Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

/// Who asks: the node of a request, with an id that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requester {
    /// `node.id`.
    pub(crate) id: String,
    encoded: Bytes,
}

impl Requester {
    pub(crate) fn read(encoded: Bytes) -> Result<Self, Malformed> {
        let Id { id } = Id::decode(encoded.clone()).map_err(|broken| Malformed::Node { what: broken.to_string() })?;
        Ok(Self { id, encoded })
    }

    /// Reads what the peer says of itself, if it says anything.
    pub(crate) fn instance(&self) -> Result<Option<Instance>, Malformed> {
        let node = Node::decode(self.encoded.clone()).map_err(|broken| Malformed::Node { what: broken.to_string() })?;
        Ok(node.metadata.as_ref().map(node::instance))
    }
}

#[cfg(test)]
mod tests {
    use wire::envoy::service::discovery::v3::DeltaDiscoveryRequest;

    use super::*;

    #[test]
    fn a_request_has_the_fields_of_the_generated_message() {
        let generated = DeltaDiscoveryRequest {
            node: Some(Node { id: "west".to_owned(), metadata: None }),
            type_url: "Mesh".to_owned(),
            resource_names_subscribe: vec!["*".to_owned()],
            resource_names_unsubscribe: vec!["gone".to_owned()],
            initial_resource_versions: [("default".to_owned(), "v1".to_owned())].into(),
            response_nonce: "7".to_owned(),
            error_detail: Some(google::rpc::Status { message: "bad".to_owned(), ..Default::default() }),
        };
        let request = Request::decode(generated.encode_to_vec().as_slice()).unwrap();
        assert_eq!(Requester::read(request.node.clone().unwrap()).unwrap().id, "west");
        assert_eq!(request.type_url, generated.type_url);
        assert_eq!(request.resource_names_subscribe, generated.resource_names_subscribe);
        assert_eq!(request.initial_resource_versions, generated.initial_resource_versions);
        assert_eq!(request.response_nonce, generated.response_nonce);
        assert_eq!(request.error_detail, generated.error_detail);
    }

    #[test]
    fn a_peer_is_read_when_it_is_wanted() {
        let us = Instance { id: "host-1a2b".to_owned(), config: "{}".to_owned(), ..Instance::default() };
        let said = Requester::read(node::first("west", &us).encode_to_vec().into()).unwrap();
        assert_eq!((said.id.as_str(), said.instance()), ("west", Ok(Some(us))));
        let silent = Requester::read(node::later("west").encode_to_vec().into()).unwrap();
        assert_eq!(silent.instance(), Ok(None));
    }

    #[test]
    fn a_broken_node_is_malformed() {
        assert!(matches!(Requester::read(Bytes::from_static(b"\xff")), Err(Malformed::Node { .. })));
        // An id, and metadata that is none: seen when it is read.
        let broken = Requester::read(Bytes::from_static(b"\x0a\x04west\x1a\x01\xff")).unwrap();
        assert!(matches!(broken.instance(), Err(Malformed::Node { .. })));
    }
}
