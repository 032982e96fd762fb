//! The keys that verify tokens of this control plane, for everybody.

use axum::response::Response;
use http::StatusCode;
use tokens::{Family, NoFamily};

use super::Call;
use crate::rest::{answer, error::ApiError};

/// `GET /.well-known/jwks.json`: the families that `family` and `mesh` name, or all.
pub(super) fn get(call: &Call<'_>) -> Result<Response, ApiError> {
    let (word, mesh) = (call.parameters.first("family"), call.parameters.first("mesh"));
    let named = match word.map(|word| Family::of_word(word, mesh)) {
        None => None,
        // Without a mesh the dataplane tokens of all.
        Some(Err(NoFamily::WithoutMesh)) => Some(Family::Dataplane { mesh: String::new() }),
        Some(Ok(family)) => Some(family),
        Some(Err(unknown)) => return Err(ApiError::BadRequest { text: unknown.to_string() }),
    };
    let wanted = |family: &Family| match &named {
        None => mesh.is_none_or(|mesh| family.mesh() == Some(mesh)),
        Some(Family::Dataplane { mesh }) if mesh.is_empty() => family.mesh().is_some(),
        Some(named) => family == named,
    };
    Ok(answer::json(StatusCode::OK, &call.handles.issuer.public_keys(wanted)))
}
