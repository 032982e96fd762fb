//! Shapes that several kinds share.

use super::{Member, Node, Shape, closed, member, open};

/// What a policy may select at its top: the proxies it applies to.
const TOP_KINDS: &[&str] = &["Mesh", "Dataplane"];
/// What a policy may select in `to`.
const TO_KINDS: &[&str] = &["Mesh", "MeshService", "MeshExternalService", "MeshMultiZoneService", "MeshHTTPRoute"];

/// 2.x had `name`, `namespace`, `tags`, `mesh` and `proxyTypes` too; 3.0 drops them.
static TOP: Shape = closed(&[
    member("kind", Node::OneOf(TOP_KINDS)).required(),
    member("labels", Node::Texts),
    member("sectionName", Node::Text),
]);
static TO: Shape = closed(&[
    member("kind", Node::OneOf(TO_KINDS)).required(),
    member("labels", Node::Texts),
    member("sectionName", Node::Text),
]);

/// `spec.targetRef`.
pub(super) const TARGET_REF: Member = member("targetRef", Node::Object(&TOP));
/// `targetRef` of an item of `to`.
pub(super) const TO_REF: Member = member("targetRef", Node::Object(&TO)).required();

static LABELS: Shape = open(&[member("matchLabels", Node::Texts)]);
/// An object with `matchLabels`.
pub(super) const MATCH_LABELS: Node = Node::Object(&LABELS);

static SPIFFE_MATCH: Shape =
    open(&[member("type", Node::OneOf(&["Exact", "Prefix"])).required(), member("value", Node::Text).required()]);
static MATCH: Shape = open(&[member("spiffeID", Node::Object(&SPIFFE_MATCH))]);
/// A match of a SPIFFE id.
pub(super) const IDENTITY_MATCH: Node = Node::Object(&MATCH);
/// `rules[].matches`.
pub(super) const MATCHES: Member = member("matches", Node::List(&IDENTITY_MATCH));

static BACKEND_REF: Shape = open(&[
    member("kind", Node::OneOf(&["MeshService", "MeshExternalService", "MeshMultiZoneService"])).required(),
    member("labels", Node::Texts),
    member("sectionName", Node::Text),
    member("weight", Node::Integer),
    member("port", Node::Integer),
]);
/// A destination with its share.
pub(super) const BACKEND: Node = Node::Object(&BACKEND_REF);
