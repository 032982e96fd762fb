//! What troubles the control plane, or soon will.

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::Call;
use crate::rest::{answer, error::ApiError};

/// `GET /doctor`
pub(super) async fn examine(call: &Call<'_>) -> Result<Response, ApiError> {
    let doctor = call.handles.doctor.as_ref().ok_or(ApiError::NotFound { title: "Nobody looks here" })?;
    let findings = doctor.examine(&call.permit).await?;
    Ok(answer::json(StatusCode::OK, &json!(findings)))
}
