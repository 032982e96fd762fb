//! One resource: read, write, delete (contract: rest 1.7 to 1.12).

use axum::response::Response;
use http::StatusCode;
use model::{Key, Kind, document, document::Violation};
use serde_json::json;

use super::{Call, audience, config_of_zones, k8s};
use crate::{
    rest::{answer, error::ApiError, routes::Matched},
    writes::Put,
};

/// The title of what is wrong with reading.
pub(super) const TITLE: &str = "Could not retrieve a resource";

/// How a resource is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Universal,
    /// As an object of Kubernetes.
    Kubernetes,
}

/// Returns how the request wants a resource to be shown.
pub(super) fn format(call: &Call<'_>) -> Result<Format, ApiError> {
    match call.parameters.first("format").unwrap_or_default() {
        "" | "universal" => Ok(Format::Universal),
        "k8s" | "kubernetes" => Ok(Format::Kubernetes),
        _ => {
            let reason = "\"format\" must be one of [\"k8s\", \"kubernetes\", \"universal\"]";
            Err(ApiError::Invalid { title: TITLE, violations: vec![Violation::new("", reason)] })
        }
    }
}

/// `GET` of one resource.
pub(super) async fn get(call: &Call<'_>, matched: &Matched<'_>, kind: Kind) -> Result<Response, ApiError> {
    let format = format(call)?;
    call.mesh_exists(matched.mesh()).await?;
    let stored = call.get(&Key::of(kind, matched.mesh(), matched.name()), TITLE).await?;
    let stored = stored.ok_or(ApiError::NotFound { title: TITLE })?;
    let audience = audience(call);
    let namespace = call.parameters.first("namespace").unwrap_or_default();
    let shown = match format {
        Format::Universal => document::to_rest(&stored.resource, call.handles.writes.rules().side.zone(), audience),
        Format::Kubernetes => k8s::object(&stored.resource, namespace, audience),
    };
    Ok(answer::resource(&config_of_zones::hide_in(call, kind, shown)))
}

/// `PUT` of one resource.
pub(super) async fn put(call: &Call<'_>, matched: &Matched<'_>, kind: Kind) -> Result<Response, ApiError> {
    let written = call.handles.writes.put(&call.permit, kind, matched.mesh(), matched.name(), &call.body).await?;
    let status = match written.put {
        Put::Created => StatusCode::CREATED,
        Put::Updated => StatusCode::OK,
    };
    let said = if written.warnings.is_empty() { json!({}) } else { json!({"warnings": written.warnings}) };
    Ok(answer::json(status, &said))
}

/// `DELETE` of one resource.
pub(super) async fn delete(call: &Call<'_>, matched: &Matched<'_>, kind: Kind) -> Result<Response, ApiError> {
    call.handles.writes.delete(&call.permit, kind, matched.mesh(), matched.name()).await?;
    Ok(answer::json(StatusCode::OK, &json!({})))
}
