//! What instances on one database ask each other: over a port of its own, with certificates that they make for themselves.
//!
//! ```text
//! asked here ──► Others::ask ──mutual TLS──► port ──► Answers: what the other instance knows by itself
//!                   │ where: cluster           │ of whom: Credentials
//! ```
//!
//! A question is answered by the instance that it came to or by nobody: it is never passed on, so that two instances which
//! take each other for the one that knows do not ask in a circle. Each has a deadline, and one connection: they are rare.

mod ask;
mod credentials;
mod port;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::StatusCode;

pub(crate) use self::{
    ask::{NotAnswered, Others},
    credentials::Credentials,
    port::{Answers, serve},
};

/// What an instance answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, body: body.into() }
    }
}

/// Says which instance is meant: at its address there may be another one by now.
const INSTANCE: &str = "x-instance";
