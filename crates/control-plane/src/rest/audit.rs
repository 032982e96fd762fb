//! The log lines about requests that are refused, and about faults of our own that requests meet.
//!
//! No caller decides how many lines there are or how long they get. What was done, and what a caller who may write tried
//! to, is logged where it is done: in `writes` and `issuing`.

use std::net::SocketAddr;

use http::Method;
use model::Kind;
use tokens::Rejection;
use tracing::{error, info};

use super::{
    error::ApiError,
    routes::{Endpoint, Matched},
};
use crate::{
    access::{Caller, TokenKind},
    observe::{
        line_budget::{Line, LineBudget, LineBudgets},
        shown,
    },
};

/// The most that a reason takes in a line, in bytes.
const LONGEST_REASON: usize = 1024;

/// The budgets of the lines. Who proved an identity has one of their own: a flood of others hides nothing of theirs.
pub(super) struct Audit {
    strangers: LineBudget,
    users: LineBudgets,
    faults: LineBudget,
}

impl Audit {
    /// Returns whole budgets.
    pub(super) fn new() -> Self {
        Self { strangers: LineBudget::new(), users: LineBudgets::new(), faults: LineBudget::new() }
    }

    /// A token was refused.
    pub(super) fn rejected(&self, remote: SocketAddr, rejection: &Rejection) {
        let Some(Line { left_out }) = self.strangers.take() else { return };
        info!(remote = %remote, reason = &*shown::name(&rejection.to_string()), left_out, "authentication rejected");
    }

    /// A write was refused before its body was read, or a token or a revocation was. Reads leave no line, as they leave none when they
    /// succeed.
    pub(super) fn refused(&self, caller: &Caller, method: &Method, matched: &Matched<'_>, error: &ApiError) {
        let write = |kind: Kind, left_out| {
            let (mesh, name, reason) = (shown::name(matched.mesh()), shown::name(matched.name()), error.reason());
            let result = format!("refused: {}", shown::escaped(&reason, LONGEST_REASON));
            info!(
                caller = %shown::name(&caller.to_string()), method = method.as_str(),
                kind = kind.name, mesh = &*mesh, name = &*name, result, left_out, "resource not written"
            );
        };
        let issue = |token: TokenKind, left_out| {
            let reason = error.reason();
            info!(
                caller = %shown::name(&caller.to_string()), token = ?token,
                reason = &*shown::escaped(&reason, LONGEST_REASON), left_out, "token not issued"
            );
        };
        let rotate = |left_out| {
            let (family, reason) = (matched.parameter("family"), error.reason());
            info!(
                caller = %shown::name(&caller.to_string()), family = &*shown::name(family),
                reason = &*shown::escaped(&reason, LONGEST_REASON), left_out, "rotation step not made"
            );
        };
        let revoke = |left_out| {
            let (revocation, reason) = (shown::name(matched.name()), error.reason());
            info!(
                caller = %shown::name(&caller.to_string()), method = method.as_str(), revocation = &*revocation,
                reason = &*shown::escaped(&reason, LONGEST_REASON), left_out, "revocation refused"
            );
        };
        let endpoint = matched.route.endpoint;
        if !matches!(
            endpoint,
            Endpoint::Put(_)
                | Endpoint::Delete(_)
                | Endpoint::Tokens(_)
                | Endpoint::RotationStep(_)
                | Endpoint::Revoke
                | Endpoint::TakeBack
        ) {
            return;
        }
        let line = if caller.is_authenticated() { self.users.take(caller.name()) } else { self.strangers.take() };
        let Some(Line { left_out }) = line else { return };
        match endpoint {
            Endpoint::Put(kind) | Endpoint::Delete(kind) => write(kind, left_out),
            Endpoint::Tokens(token) => issue(token, left_out),
            Endpoint::RotationStep(_) => rotate(left_out),
            Endpoint::Revoke | Endpoint::TakeBack => revoke(left_out),
            _ => {}
        }
    }

    /// A request was not answered for a reason that is ours.
    pub(super) fn fault(&self, error: &ApiError) {
        let Some(what) = error.fault() else { return };
        let Some(Line { left_out }) = self.faults.take() else { return };
        error!(error = &*shown::escaped(&what, LONGEST_REASON), left_out, "request failed");
    }
}
