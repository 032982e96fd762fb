//! Why a message of a peer is not taken.

use thiserror::Error;

/// What a peer sent that cannot be understood: the stream ends with this text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Malformed {
    /// A request or ACK without `node`.
    #[error("the request has no `node`")]
    NoNode,
    #[error("the `node` of the request cannot be decoded: {what}")]
    Node { what: String },
    /// `node.id` is not the zone that the token and `client-id` name.
    #[error("`node.id` is \"{found}\", but the connection belongs to zone \"{expected}\"")]
    OtherNode {
        /// What the request says.
        found: String,
        /// The zone of the connection.
        expected: String,
    },
    #[error("type URL is required")]
    NoType,
    /// A resource that is no `KumaResource`.
    #[error("resource {index} of type {kind}: {what}")]
    Resource {
        kind: String,
        /// Which resource of it.
        index: usize,
        what: String,
    },
}
