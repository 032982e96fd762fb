//! A status and the body that goes with it, within bounds.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use model::{document::Violation, text};
use serde_json::{Map, Value, json};

use super::super::answer;

/// In how many seconds to come again: whatever is short or away here usually is for a moment.
const SOON: HeaderValue = HeaderValue::from_static("1");

/// The most that one text of an answer takes, in bytes.
const LONGEST_TEXT: usize = 2048;
/// The most faults of a request that an answer lists.
const MOST_VIOLATIONS: usize = 200;
/// A status and the body that goes with it.
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) title: String,
    pub(super) detail: String,
    pub(super) parameters: Vec<Violation>,
    /// Who is in the way of a step of a rotation.
    pub(super) blockers: Value,
}

impl Problem {
    pub(super) fn new(status: StatusCode, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { status, title: title.into(), detail: detail.into(), parameters: Vec::new(), blockers: Value::Null }
    }

    pub(super) fn invalid(title: &str, detail: &str, parameters: Vec<Violation>) -> Self {
        Self { parameters, ..Self::new(StatusCode::BAD_REQUEST, title, detail) }
    }

    /// Texts repeat names of the request, so they are cut, and faults that it has by the thousand are not all told.
    pub(super) fn into_response(self) -> Response {
        let detail = text::cut(&self.detail, LONGEST_TEXT);
        let mut body = Map::new();
        body.insert("type".to_owned(), json!("/std-errors"));
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("title".to_owned(), json!(text::cut(&self.title, LONGEST_TEXT)));
        body.insert("detail".to_owned(), json!(detail));
        if !self.parameters.is_empty() {
            let list = |text: &str| -> Vec<Value> {
                let told = self.parameters.iter().take(MOST_VIOLATIONS);
                let row = |found: &Violation| {
                    let (field, reason) =
                        (text::cut(&found.field, LONGEST_TEXT), text::cut(&found.reason, LONGEST_TEXT));
                    json!({"field": field, text: reason})
                };
                told.map(row).collect()
            };
            body.insert("invalid_parameters".to_owned(), Value::Array(list("reason")));
            body.insert("details".to_owned(), json!(detail));
            body.insert("causes".to_owned(), Value::Array(list("message")));
        } else {
            body.insert("details".to_owned(), json!(detail));
        }
        if !self.blockers.is_null() {
            body.insert("blockers".to_owned(), self.blockers);
        }
        let mut response = answer::json(self.status, &Value::Object(body));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, SOON);
        }
        response
    }
}
