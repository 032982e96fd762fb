//! The nouns that every other part speaks: resource kinds, keys, labels, names, resources, documents.
//!
//! Nothing in here does IO or asks the time; values are parsed once at the edge and are valid afterwards.

mod base64;
pub mod causes;
pub mod defaults;
pub mod document;
pub mod duration;
mod flow;
pub mod insight;
mod key;
mod kind;
pub mod kri;
pub mod labels;
mod name;
pub mod proto;
mod proxy_view;
pub mod reserved;
mod resource;
mod schema;
mod secrecy;
pub mod secret;
mod table;
pub mod text;
pub mod validate;
pub mod yaml;

pub use base64::Base64Error;
pub use flow::Flow;
pub use key::Key;
pub use kind::{Kind, Policy, Row, Scope, SpecForm, Writable};
pub use labels::Labels;
pub use name::{NameError, ZoneName};
pub use proxy_view::ProxyView;
pub use resource::Resource;
pub use secrecy::{Audience, MASK};
