//! The Kuma Discovery Service as two state machines, and the rules of what flows where under which name.
//!
//! ```text
//! provider:  resources ─ scope ─ mapping ─► Entry ─► Snapshot ─► Sender  ── DeltaResponse ─►
//! consumer:  ─ DeltaResponse ─► Receiver ─► Plan ─ reconcile ─► Change ─► (store)  ── DeltaRequest ─►
//! ```
//!
//! The same two machines run at both ends; the directions differ only in who holds which. Nothing here does IO, asks the
//! time or knows protobuf: payloads are bytes that the caller encoded.

mod feature;
mod forms;
mod legacy;
mod mapping;
mod message;
mod naming;
mod receiver;
mod reconcile;
mod release;
mod role;
mod scope;
mod sender;
mod snapshot;
mod wire_name;

pub use feature::Features;
pub use legacy::fields_of_2x;
pub use mapping::{Outgoing, received_by_global, to_global, to_zone};
pub use message::{DeltaRequest, DeltaResponse, Incoming, Received, Step};
pub use naming::{hashed_name, is_name_of_another, zones_of_the_same_hash};
pub use receiver::{Outcome, Plan, ProtocolError, Receiver};
pub use reconcile::{Change, Reconciled, Side, in_scope, reconcile};
pub use release::Release;
pub use role::{Role, policy_role};
pub use scope::{Passage, from_global, from_zone, origin_zone};
pub use sender::{Audience, Reaction, RequestError, Sender, SizeNotice, Unreadable};
pub use snapshot::{Entry, Snapshot};
pub use wire_name::WireName;
