//! The nouns that every other part speaks: resource kinds, keys, labels, names, resources.
//!
//! Nothing in here does IO or asks the time; values are parsed once at the edge and are valid afterwards.

mod key;
mod kind;
pub mod labels;
mod name;
mod resource;
mod table;

pub use key::Key;
pub use kind::{Flow, Kind, Policy, Row, Scope, SpecForm, Writable};
pub use labels::Labels;
pub use name::{NameError, ZoneName};
pub use resource::Resource;
