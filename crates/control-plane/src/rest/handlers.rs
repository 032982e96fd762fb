//! What each route does.

mod index;
mod insights;
mod inspect;
mod items;
mod k8s;
mod kri;
mod lists;
mod overviews;
mod tokens;

use axum::response::Response;
use model::{Audience, Key, Kind, Scope};
use store::StoreError;

use super::{
    api::Call,
    error::ApiError,
    routes::{Endpoint, Matched},
};
use crate::access::Caller;

pub(crate) use index::index;

/// Calls the handler of a route.
pub(crate) async fn dispatch(call: &Call<'_>, caller: &Caller, matched: &Matched<'_>) -> Result<Response, ApiError> {
    match matched.route.endpoint {
        Endpoint::Index => index(call).await,
        Endpoint::Config => index::config(call, caller),
        Endpoint::WhoAmI => Ok(index::who_am_i(caller)),
        Endpoint::Policies => Ok(index::policies(call)),
        Endpoint::ResourceTypes => Ok(index::resource_types(call)),
        Endpoint::GlobalInsight => insights::global_insight(call, caller).await,
        Endpoint::GlobalInsights => insights::global_insights(call, caller).await,
        Endpoint::Kri => kri::get(call, caller, matched.parameter("kri")).await,
        Endpoint::Tokens(kind) => tokens::issue(call, caller, kind).await,
        // Nobody writes these: they are counted when they are asked for.
        Endpoint::List(kind) if kind == Kind::MESH_INSIGHT => insights::mesh_insights(call, caller, matched).await,
        Endpoint::Get(kind) if kind == Kind::MESH_INSIGHT => insights::mesh_insight(call, caller, matched.name()).await,
        Endpoint::List(kind) => lists::list(call, caller, matched, kind).await,
        Endpoint::Get(kind) => items::get(call, caller, matched, kind).await,
        Endpoint::Put(kind) => items::put(call, caller, matched, kind).await,
        Endpoint::Delete(kind) => items::delete(call, caller, matched, kind).await,
        Endpoint::OverviewList(kind) => overviews::list(call, caller, matched, kind).await,
        Endpoint::Overview(kind) => overviews::get(call, caller, matched, kind).await,
        Endpoint::Selected(kind, shape) => inspect::selected(call, caller, matched, kind, shape).await,
        Endpoint::Hostnames => inspect::hostnames(call, caller, matched).await,
        Endpoint::Behind(kind) => inspect::behind(call, caller, matched, kind).await,
        Endpoint::Proxy(view) => inspect::proxy(call, caller, matched, view).await,
    }
}

/// For whom resources are shown: secret fields are for those who may read secrets.
fn audience(call: &Call<'_>, caller: &Caller) -> Audience {
    match call.handles.access.read(caller, Kind::GLOBAL_SECRET) {
        Ok(_) => Audience::Administrator,
        Err(_) => Audience::Everybody,
    }
}

/// Checks that the mesh of a path is there.
async fn mesh_exists(call: &Call<'_>, mesh: &str) -> Result<(), ApiError> {
    const TITLE: &str = "Failed to retrieve Mesh";
    if mesh.is_empty() {
        return Ok(());
    }
    match call.handles.store.get(&Key::global(Kind::MESH, mesh)).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(ApiError::NotFound { title: TITLE }),
        Err(source) => Err(ApiError::Store { title: TITLE, source }),
    }
}

/// The key of what a path names.
fn key_of(kind: Kind, matched: &Matched<'_>) -> Key {
    match kind.scope {
        Scope::Global => Key::global(kind, matched.name()),
        Scope::Mesh => Key::in_mesh(kind, matched.mesh(), matched.name()),
    }
}

/// Gives an error of the store the title of what was being done.
fn titled(title: &'static str) -> impl Fn(StoreError) -> ApiError {
    move |source| ApiError::Store { title, source }
}
