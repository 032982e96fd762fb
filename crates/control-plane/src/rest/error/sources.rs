//! What each part says that did not do what was asked, as what the API answers.

use model::{document::Violation, kri::KriError};
use tokens::IssueError;

use super::{ApiError, REVOCATION, ROTATION, TOKEN_REQUEST};
use crate::{
    access::Denied, doctor::NotExamined, issuing::NotIssued, rest::admin::AdminError, revoking::NotRevoked,
    rotation::NotMade, writes::WriteError,
};

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        Self::Admin(error)
    }
}

/// A validity that ends beyond all calendars is the caller's fault, and so is a token that is revoked; a missing or broken
/// key is not.
impl From<NotIssued> for ApiError {
    fn from(error: NotIssued) -> Self {
        match error {
            NotIssued::Denied(denied) => Self::Denied(denied),
            NotIssued::Off => Self::IssuerOff,
            NotIssued::KeysBehind(behind) => Self::KeysBehind(behind),
            NotIssued::Failed(
                problem @ (IssueError::BadValidity { .. }
                | IssueError::NoName
                | IssueError::TooLong
                | IssueError::RevokedWithoutEnd { .. }
                | IssueError::Revoked),
            ) => {
                let violations = vec![Violation::new("validFor", problem.to_string())];
                Self::Invalid { title: TOKEN_REQUEST, violations }
            }
            NotIssued::WithoutEndOver { .. } => {
                let violations = vec![Violation::new("validFor", error.to_string())];
                Self::Invalid { title: TOKEN_REQUEST, violations }
            }
            NotIssued::NotForProxies { .. } => {
                let violations = vec![Violation::new("scope", error.to_string())];
                Self::Invalid { title: TOKEN_REQUEST, violations }
            }
            NotIssued::Failed(problem) => Self::Issue(problem),
            NotIssued::NotRecorded(problem) => Self::NotRecorded(problem),
            NotIssued::KeysChanging => Self::KeysChanging { text: error.to_string() },
        }
    }
}

impl From<NotRevoked> for ApiError {
    fn from(error: NotRevoked) -> Self {
        let text = error.to_string();
        let wrong = |field| Self::Invalid { title: REVOCATION, violations: vec![Violation::new(field, text)] };
        match error {
            NotRevoked::Denied(denied) => Self::Denied(denied),
            NotRevoked::Elsewhere(_) => wrong("family"),
            NotRevoked::NoMesh { .. } => wrong("mesh"),
            NotRevoked::NoKey { .. } => wrong("key"),
            NotRevoked::Future { .. } => wrong("issuedBefore"),
            NotRevoked::NotFound => Self::NotFound { title: "Could not take a revocation back" },
            NotRevoked::Store(source) => Self::Store { title: REVOCATION, source },
            NotRevoked::NoRecord(problem) => Self::Fault { title: REVOCATION, problem: problem.to_string() },
        }
    }
}

impl From<NotExamined> for ApiError {
    fn from(error: NotExamined) -> Self {
        match error {
            NotExamined::Denied(denied) => Self::Denied(denied),
            NotExamined::Store(source) => Self::Store { title: "Could not look at the control plane", source },
            NotExamined::Rotations(not) => not.into(),
        }
    }
}

impl From<NotMade> for ApiError {
    fn from(error: NotMade) -> Self {
        match error {
            NotMade::Denied(denied) => Self::Denied(denied),
            NotMade::Refused(refused) => Self::NotRotated(refused),
            NotMade::Store(source) => Self::Store { title: ROTATION, source },
            NotMade::Busy => Self::Busy,
            NotMade::NoMesh { .. } => Self::NoMesh { text: error.to_string() },
            NotMade::OfSettings { .. } => Self::SignedOutside { text: error.to_string() },
            NotMade::Damaged { .. } | NotMade::Key(_) | NotMade::Unwritable(_) => {
                Self::Rotation { text: error.to_string() }
            }
        }
    }
}

impl From<KriError> for ApiError {
    fn from(error: KriError) -> Self {
        Self::BadRequest { text: error.to_string() }
    }
}
