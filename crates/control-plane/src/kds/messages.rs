//! Generated messages into `sync` messages and back.

pub(crate) mod convert;
pub(crate) mod malformed;
pub(crate) mod node;
pub(crate) mod patch;
pub(crate) mod request;
