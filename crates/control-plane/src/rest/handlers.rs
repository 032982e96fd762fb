//! What each route does.

mod config_of_zones;
mod doctor;
mod index;
mod insights;
mod inspect;
mod inspect_token;
mod issued_tokens;
mod items;
mod jwks;
mod k8s;
mod kri;
mod lists;
mod overviews;
mod revocations;
mod rotations;
mod signing_keys;
mod tokens;

use axum::response::Response;
use model::{Audience, Kind};

use super::{
    call::Call,
    error::ApiError,
    routes::{Endpoint, Matched},
};

pub(crate) use tokens::zone_named;

/// Calls the handler of a route.
pub(crate) async fn dispatch(call: &Call<'_>, matched: &Matched<'_>) -> Result<Response, ApiError> {
    match matched.route.endpoint {
        Endpoint::Index => index::index(call).await,
        Endpoint::Config => index::config(call),
        Endpoint::WhoAmI => Ok(index::who_am_i(call)),
        Endpoint::Policies => Ok(index::policies(call)),
        Endpoint::ResourceTypes => Ok(index::resource_types(call)),
        Endpoint::GlobalInsight => insights::global_insight(call).await,
        Endpoint::GlobalInsights => insights::global_insights(call).await,
        Endpoint::Jwks => jwks::get(call),
        Endpoint::Kri => kri::get(call, matched.parameter("kri")).await,
        Endpoint::Tokens(kind) => tokens::issue(call, kind).await,
        Endpoint::Rotations => rotations::list(call).await,
        Endpoint::Rotation => rotations::get(call, matched).await,
        Endpoint::RotationStep(step) => rotations::step(call, matched, step).await,
        Endpoint::Doctor => doctor::examine(call).await,
        Endpoint::IssuedTokens => issued_tokens::list(call),
        Endpoint::Revocations => revocations::list(call).await,
        Endpoint::Revoke => revocations::revoke(call).await,
        Endpoint::TakeBack => revocations::take_back(call, matched.name()).await,
        Endpoint::InspectToken => inspect_token::inspect(call),
        // Nobody writes these: they are counted when they are asked for.
        Endpoint::List(kind) if kind == Kind::MESH_INSIGHT => insights::mesh_insights(call, matched).await,
        Endpoint::Get(kind) if kind == Kind::MESH_INSIGHT => insights::mesh_insight(call, matched.name()).await,
        Endpoint::List(kind) => lists::list(call, matched, kind).await,
        Endpoint::Get(kind) => items::get(call, matched, kind).await,
        Endpoint::Put(kind) => items::put(call, matched, kind).await,
        Endpoint::Delete(kind) => items::delete(call, matched, kind).await,
        Endpoint::OverviewList(kind) => overviews::list(call, matched, kind).await,
        Endpoint::Overview(kind) => overviews::get(call, matched, kind).await,
        Endpoint::Selected(kind, shape) => inspect::selected(call, matched, kind, shape).await,
        Endpoint::Hostnames => inspect::hostnames(call, matched).await,
        Endpoint::Behind(kind) => inspect::behind(call, matched, kind).await,
        Endpoint::Proxy(view) => inspect::proxy(call, matched, view).await,
    }
}

/// For whom resources are shown: secret fields are for those who may read secrets.
fn audience(call: &Call<'_>) -> Audience {
    match call.permit.read(Kind::GLOBAL_SECRET) {
        Ok(_) => Audience::Administrator,
        Err(_) => Audience::Everybody,
    }
}
