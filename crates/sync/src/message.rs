//! The messages of the delta protocol, without their encoding.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use model::Labels;

use crate::{feature::Features, snapshot::Entry, wire_name::WireName};

/// What a consumer says: a first request, an ACK or a NACK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeltaRequest {
    /// The type name.
    pub kind: String,
    /// The nonce that is answered; empty in first requests.
    pub nonce: String,
    /// Why the response was rejected: makes it a NACK.
    pub error: Option<String>,
    /// What is asked for: `*`, names, or nothing.
    pub subscribe: Vec<String>,
    /// What the consumer has: `<name>.<mesh>` to version.
    pub initial_versions: BTreeMap<String, String>,
}

/// What a provider says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaResponse {
    /// The type name.
    pub kind: String,
    /// The nonce.
    pub nonce: String,
    /// Added and changed resources.
    pub changed: Vec<Arc<Entry>>,
    /// Removed resources.
    pub removed: Vec<WireName>,
    /// More of the first response follows: what is not named yet is not gone. Only towards peers that take parts.
    pub more: bool,
    /// Names the response if it is the same for every zone that makes this step: one encoded frame serves all.
    pub step: Option<Step>,
}

/// From one generation of a kind (or from nothing) to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// What the consumer has; nothing in a first response.
    pub from: Option<u64>,
    /// What it has afterwards.
    pub to: u64,
    /// What those zones can read whose step this is, if that makes a difference: one encoding serves each of few classes.
    pub readers: Option<Features>,
}

/// A response as a consumer reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// The type name.
    pub kind: String,
    /// The nonce.
    pub nonce: String,
    /// Added and changed resources.
    pub resources: Vec<Received>,
    /// Removed resources.
    pub removed: Vec<WireName>,
    /// More of the first response follows.
    pub more: bool,
}

/// One resource as a consumer reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its name: from the resource's own meta, never from the envelope.
    pub name: WireName,
    /// Its labels.
    pub labels: Labels,
    /// Its spec.
    pub spec: Bytes,
    /// Its status, if there is one.
    pub status: Option<Bytes>,
}
