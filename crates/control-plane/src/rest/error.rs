//! From what went wrong to a status and a body: the only place in which the API chooses a status of failure. Longer than
//! usual because every condition has its answer here.

mod problem;
mod sources;

use std::sync::Arc;

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use model::document::{DocumentError, Violation};
use serde_json::json;
use store::StoreError;
use tokens::{IssueError, rotation::Refused as Refusal};

use self::problem::Problem;
use super::{admin::AdminError, answer};
use crate::{
    access::Denied,
    keys::KeysBehind,
    ledger::NotRecorded,
    limits::Crowd,
    writes::{Operation, ReadOnly, WriteError},
};

/// Why a handler has no answer.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// What was asked for is not there.
    NotFound {
        title: &'static str,
    },
    /// The request cannot be understood.
    BadRequest {
        text: String,
    },
    /// The request breaks rules.
    Invalid {
        title: &'static str,
        violations: Vec<Violation>,
    },
    PageSize {
        reason: String,
    },
    /// The start of a page is wrong.
    Offset {
        text: String,
    },
    /// A proxy could not be asked.
    Admin(AdminError),
    /// Tokens of this kind are not issued here.
    IssuerOff,
    /// The body of a token request is none.
    Unreadable,
    /// No token was made.
    Issue(IssueError),
    /// A step of a rotation was not made: the rules say no.
    NotRotated(Refusal),
    /// A rotation cannot be looked at, or a step not be written.
    Rotation {
        text: String,
    },
    /// The keys that are to be rotated sign nothing.
    SignedOutside {
        text: String,
    },
    /// The mesh is missing whose keys are to be rotated.
    NoMesh {
        text: String,
    },
    /// A token was made, is not in the ledger, and is not handed out.
    NotRecorded(NotRecorded),
    /// A token was made while keys changed, and is not handed out.
    KeysChanging {
        text: String,
    },
    /// The caller may not.
    Denied(Denied),
    /// The token of the request is refused.
    Unauthenticated,
    /// The token of the request cannot be checked now.
    KeysBehind(KeysBehind),
    /// Something was not written.
    Write(WriteError),
    /// The store could not.
    Store {
        title: &'static str,
        source: StoreError,
    },
    /// Not on a global control plane.
    NotOnGlobal,
    /// The body is cut off, or not encoded as its head says.
    BodyLost,
    /// The body took too long.
    BodyLate,
    /// The body is larger than is taken.
    BodyTooLarge {
        limit: usize,
    },
    /// There is no place for the connection beside those that users have.
    Crowded(Crowd),
    /// Others use what this request needs.
    Busy,
    /// Something failed that cannot.
    Fault {
        title: &'static str,
        problem: String,
    },
    /// The route is known, what it needs is not part of this program.
    NotImplemented {
        what: &'static str,
    },
}

/// Title of what is wrong with a request for a token.
pub(crate) const TOKEN_REQUEST: &str = "Invalid request";
/// Title of what is wrong with a rotation.
const ROTATION: &str = "Could not rotate signing keys";
/// Title of what is wrong with a revocation.
pub(crate) const REVOCATION: &str = "Could not revoke tokens";
/// Title of what a caller reads when the reason is not theirs to know.
const INTERNAL: &str = "Internal Server Error";
const NOT_VALID: &str = "Resource is not valid";
const BAD_REQUEST: &str = "Bad Request";
const NO_TOKEN: &str = "Could not issue a token";
const CHECK: &str = "Could not process a resource";

impl ApiError {
    /// What was wrong, for the log.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Denied(denied) => denied.to_string(),
            Self::Issue(error) => error.to_string(),
            Self::NotRecorded(error) => error.to_string(),
            Self::Write(error) => error.to_string(),
            Self::Invalid { violations, .. } => model::validate::join(violations),
            other => format!("{other:?}"),
        }
    }

    /// What went wrong on our side, for the log; nothing if the request is to blame.
    pub(crate) fn fault(&self) -> Option<String> {
        let of_store = |problem: &StoreError| match problem {
            StoreError::Unavailable { .. } => Some(format!("the store is unavailable: {problem}")),
            StoreError::Unknown { .. } => Some(format!("the answer of the store got lost: {problem}")),
            StoreError::Corrupt { .. } => Some(format!("the store is corrupt: {problem}")),
            StoreError::NotFound { .. }
            | StoreError::AlreadyExists { .. }
            | StoreError::Conflict { .. }
            | StoreError::Deposed { .. } => None,
        };
        match self {
            Self::Issue(IssueError::NoKey { .. }) => None,
            Self::Issue(problem) => Some(format!("no token was issued: {problem}")),
            Self::NotRecorded(NotRecorded::Store(source)) => of_store(source),
            Self::NotRecorded(problem @ NotRecorded::NoRecord { .. }) => Some(problem.to_string()),
            Self::Write(WriteError::Store { source, .. }) | Self::Store { source, .. } => of_store(source),
            Self::Write(problem @ WriteError::NoKey) => Some(problem.to_string()),
            Self::Fault { title, problem } => Some(format!("{title}: {problem}")),
            _ => None,
        }
    }

    /// Returns the answer to the request.
    pub(crate) fn into_response(self) -> Response {
        if matches!(self, Self::Unreadable) {
            return empty(StatusCode::BAD_REQUEST);
        }
        self.into_problem().into_response()
    }

    fn into_problem(self) -> Problem {
        use StatusCode as S;
        match self {
            Self::NotFound { title } => Problem::new(S::NOT_FOUND, title, "Not found"),
            Self::BadRequest { text } => Problem::new(S::BAD_REQUEST, BAD_REQUEST, text),
            Self::Invalid { title, violations } => Problem::invalid(title, NOT_VALID, violations),
            Self::PageSize { reason } => {
                let violations = vec![Violation::new("size", reason)];
                Problem::invalid("Could not retrieve resources", "Invalid page size", violations)
            }
            Self::Offset { text } => Problem::new(S::BAD_REQUEST, "Could not retrieve resources", text),
            Self::Admin(error @ AdminError::Elsewhere { .. }) => {
                Problem::new(S::SERVICE_UNAVAILABLE, "Could not execute admin operation", error.to_string())
            }
            Self::Admin(error) => Problem::new(S::BAD_REQUEST, "Could not execute admin operation", error.to_string()),
            Self::IssuerOff => {
                Problem::new(S::BAD_REQUEST, NO_TOKEN, "issuing tokens using the control plane is disabled.")
            }
            Self::Unreadable => Problem::new(S::BAD_REQUEST, BAD_REQUEST, ""),
            Self::Issue(error) => of_issue(&error),
            Self::NotRotated(refused) => of_rotation(refused),
            Self::Rotation { text } => Problem::new(S::INTERNAL_SERVER_ERROR, ROTATION, text),
            Self::SignedOutside { text } => Problem::new(S::CONFLICT, ROTATION, text),
            Self::NoMesh { text } => Problem::new(S::NOT_FOUND, ROTATION, text),
            Self::NotRecorded(error) => of_ledger(&error),
            Self::KeysChanging { text } => Problem::new(S::SERVICE_UNAVAILABLE, "Service unavailable", text),
            Self::Denied(denied) => Problem::new(S::FORBIDDEN, "Access Denied", denied.to_string()),
            Self::Unauthenticated => Problem::new(S::UNAUTHORIZED, "Invalid authentication data", "Unauthenticated"),
            Self::KeysBehind(behind) => Problem::new(S::SERVICE_UNAVAILABLE, "Service unavailable", behind.to_string()),
            Self::Write(error) => of_write(error),
            Self::Store { title, source } => of_store(title, &source),
            Self::NotOnGlobal => Problem::new(S::METHOD_NOT_ALLOWED, "Method not allowed", "Not allowed on global CP"),
            Self::BodyLost => {
                let detail = "the body of the request is cut off, or is not encoded as the head of the request says";
                Problem::new(S::BAD_REQUEST, CHECK, detail)
            }
            Self::BodyLate => {
                let detail = "the body of the request did not come in time (apiServer.readTimeout)";
                Problem::new(S::REQUEST_TIMEOUT, CHECK, detail)
            }
            Self::BodyTooLarge { limit } => {
                let detail = format!("the body of the request is larger than {} KiB", limit / 1024);
                Problem::new(S::PAYLOAD_TOO_LARGE, CHECK, detail)
            }
            Self::Crowded(Crowd::Own) => {
                let detail =
                    "this user has too many connections at once, with a request on each; try again in a moment";
                Problem::new(S::TOO_MANY_REQUESTS, "Too many connections", detail)
            }
            Self::Crowded(Crowd::Others) => {
                let detail = "users have too many connections at once, with a request on each; try again in a moment";
                Problem::new(S::SERVICE_UNAVAILABLE, "Service unavailable", detail)
            }
            Self::Busy => {
                let detail = "too many large requests at once; nothing was done, try again in a moment";
                Problem::new(S::SERVICE_UNAVAILABLE, "Service unavailable", detail)
            }
            Self::Fault { title, .. } => Problem::new(S::INTERNAL_SERVER_ERROR, title, INTERNAL),
            Self::NotImplemented { what } => {
                Problem::new(S::NOT_IMPLEMENTED, "Not implemented", format!("{what} is not part of this control plane"))
            }
        }
    }
}

fn of_issue(problem: &IssueError) -> Problem {
    match problem {
        IssueError::NoKey { .. } => Problem::new(StatusCode::NOT_FOUND, "Signing Key not found", problem.to_string()),
        IssueError::Outside { problem: cause, .. } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, NO_TOKEN, format!("{problem}: {cause}"))
        }
        _ => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, NO_TOKEN, INTERNAL),
    }
}

/// Who is in the way stands beside the text, for programs.
fn of_rotation(refused: Refusal) -> Problem {
    let status = match &refused {
        Refusal::Algorithm { .. } => StatusCode::BAD_REQUEST,
        _ => StatusCode::CONFLICT,
    };
    let problem = Problem::new(status, ROTATION, refused.to_string());
    match refused {
        Refusal::Blocked { blockers } => Problem { blockers: json!(blockers), ..problem },
        _ => problem,
    }
}

fn of_ledger(problem: &NotRecorded) -> Problem {
    const NOT_WRITTEN: &str = "the store takes no writes now, so the token could not be written into the ledger of issued \
                               tokens, and was not issued; try again when the store is well";
    match problem {
        NotRecorded::Store(StoreError::Unavailable { .. } | StoreError::Unknown { .. }) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable", NOT_WRITTEN)
        }
        NotRecorded::Store(_) | NotRecorded::NoRecord { .. } => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, NO_TOKEN, INTERNAL)
        }
    }
}

fn of_write(error: WriteError) -> Problem {
    use StatusCode as S;
    match error {
        WriteError::ReadOnly(why) => {
            let why: ReadOnly = why;
            Problem::new(S::METHOD_NOT_ALLOWED, "Method not allowed", why.to_string())
        }
        WriteError::Denied(denied) => ApiError::Denied(denied).into_problem(),
        WriteError::NoMesh => Problem::new(S::NOT_FOUND, title_of(Operation::FindMesh), "Not found"),
        WriteError::NotFound => Problem::new(S::NOT_FOUND, title_of(Operation::Delete), "Not found"),
        WriteError::Document(error) => of_document(error),
        WriteError::Invalid { operation, violations } => Problem::invalid(title_of(operation), NOT_VALID, violations),
        WriteError::Workload { .. } => Problem::new(S::BAD_REQUEST, BAD_REQUEST, error.to_string()),
        WriteError::NoKey => Problem::new(S::INTERNAL_SERVER_ERROR, title_of(Operation::Create), INTERNAL),
        WriteError::Store { operation: Operation::Update, source } => of_store("Failed to update a resource", &source),
        WriteError::Store { operation, source } => of_store(title_of(operation), &source),
    }
}

fn of_document(error: DocumentError) -> Problem {
    let bad = |text: String| Problem::new(StatusCode::BAD_REQUEST, BAD_REQUEST, text);
    match error {
        DocumentError::Malformed { kind, text } => bad(format!("invalid {kind} object: {text:?}")),
        DocumentError::BadRequest { text } | DocumentError::NotYaml { text } => bad(text),
        DocumentError::UnknownKind { name } => bad(format!("invalid resource type {name:?}")),
        DocumentError::Schema(found) | DocumentError::Invalid(found) | DocumentError::Meta(found) => {
            Problem::invalid(CHECK, NOT_VALID, found)
        }
    }
}

fn of_store(title: &str, problem: &StoreError) -> Problem {
    use StatusCode as S;
    match problem {
        StoreError::NotFound { .. } => Problem::new(S::NOT_FOUND, title, "Not found"),
        StoreError::AlreadyExists { .. } | StoreError::Conflict { .. } | StoreError::Deposed { .. } => {
            Problem::new(S::CONFLICT, "Conflict", problem.to_string())
        }
        StoreError::Unavailable { .. } => {
            Problem::new(S::SERVICE_UNAVAILABLE, "Service unavailable", "the store is unavailable; nothing was written")
        }
        StoreError::Unknown { .. } => Problem::new(
            S::SERVICE_UNAVAILABLE,
            "Service unavailable",
            "the answer of the store got lost: it may have been written, look before you write again",
        ),
        StoreError::Corrupt { .. } => Problem::new(S::INTERNAL_SERVER_ERROR, title, INTERNAL),
    }
}

fn title_of(operation: Operation) -> &'static str {
    match operation {
        Operation::FindMesh => "Failed to retrieve Mesh",
        Operation::Find => "Failed to find a resource",
        Operation::Check => CHECK,
        Operation::Create => "Failed to create a resource",
        Operation::Update => "Could not update a resource",
        Operation::Delete => "Could not delete a resource",
    }
}

/// What the peer's framework answers by itself, in plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No `Host`, in a version of HTTP that has it.
    NoHost,
    /// More than one `Host`: nobody knows which one a proxy looked at.
    TwoHosts,
    /// Nothing is at this path.
    NotFound,
    OutsideBasePath,
    /// Another API has it, and this says which.
    Elsewhere(Arc<str>),
    /// Something is there, for other methods.
    Method {
        allow: String,
    },
    /// The body is of a type that is not read.
    MediaType,
    /// No type that the client takes can be written.
    NotAcceptable,
}

impl Refused {
    /// Returns the answer to the request.
    pub(crate) fn into_response(self) -> Response {
        let (status, text) = match &self {
            Self::Elsewhere(text) => {
                return Problem::new(StatusCode::NOT_FOUND, "Not here", text.to_string()).into_response();
            }
            Self::NoHost => (StatusCode::BAD_REQUEST, "400 Bad Request: missing required Host header"),
            Self::TwoHosts => (StatusCode::BAD_REQUEST, "400 Bad Request: too many Host headers"),
            Self::NotFound => (StatusCode::NOT_FOUND, "404: Page Not Found"),
            Self::OutsideBasePath => (StatusCode::NOT_FOUND, "404 page not found\n"),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "415: Unsupported Media Type"),
            Self::NotAcceptable => {
                (StatusCode::NOT_ACCEPTABLE, "406: Not Acceptable\n\nAvailable representations: application/json")
            }
        };
        let mut response = answer::with_type(status, "text/plain; charset=utf-8", text);
        match self {
            Self::OutsideBasePath => {
                let value = HeaderValue::from_static("nosniff");
                response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, value);
            }
            Self::Method { allow } => {
                if let Ok(value) = HeaderValue::from_str(&allow) {
                    response.headers_mut().insert(header::ALLOW, value);
                }
            }
            Self::NoHost
            | Self::TwoHosts
            | Self::NotFound
            | Self::Elsewhere(_)
            | Self::MediaType
            | Self::NotAcceptable => {}
        }
        response
    }
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuing::NotIssued;

    #[test]
    fn who_is_to_come_again_hears_when() {
        let header = |error: ApiError| {
            let response = error.into_response();
            let after = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
            (response.status().as_u16(), after)
        };
        let store = |source: StoreError| ApiError::Store { title: "t", source };
        let detail = || "d".to_owned();
        let outside =
            IssueError::Outside { kid: "kms".to_owned(), problem: tokens::SigningProblem::Failed { reason: detail() } };
        let not_signed = ApiError::from(NotIssued::Failed(outside));
        assert_eq!(header(not_signed), (503, Some("1".to_owned())));
        assert_eq!(header(store(StoreError::Unavailable { detail: detail() })), (503, Some("1".to_owned())));
        assert_eq!(header(store(StoreError::Unknown { detail: detail() })), (503, Some("1".to_owned())));
        assert_eq!(header(store(StoreError::Corrupt { detail: detail() })), (500, None));
    }
}
