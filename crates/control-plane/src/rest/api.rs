//! One request from its head to its answer.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use store::ResourceStore;
use tokens::KeyRing;
use tokio::sync::watch;
use tracing::info;

use super::{
    EnvoyAdmin, Settings, answer,
    error::{ApiError, Refused},
    handlers,
    negotiate::{cleaned, reads_json, redirect, segments, takes_json},
    query::Parameters,
    routes::{Endpoint, NoRoute, Routes, TokenKind},
};
use crate::{
    access::{Access, Authenticator, Caller, Peer, Transport},
    clock::Clock,
    limits::Proof,
    observe::readiness::Readiness,
    resources::Resources,
};

/// The largest body that is read.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// What the API works with.
pub struct Handles {
    /// Where resources are.
    pub store: Arc<dyn ResourceStore>,
    /// What time it is.
    pub clock: Clock,
    /// How resources are written.
    pub resources: Resources,
    /// Who may do what.
    pub access: Arc<Access>,
    /// The keys of the moment.
    pub ring: watch::Receiver<Arc<KeyRing>>,
    /// How proxies are asked.
    pub admin: Arc<dyn EnvoyAdmin>,
    /// The settings.
    pub settings: Settings,
    /// What troubles this control plane, for its index.
    pub readiness: Readiness,
}

/// The REST API. Cheap to clone; one for all listeners.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    handles: Handles,
    authenticator: Authenticator,
    routes: Routes,
}

/// What a handler knows of a request.
pub(crate) struct Call<'a> {
    /// What the API works with.
    pub(crate) handles: &'a Handles,
    /// The path as it was asked, with the base path.
    pub(crate) path: &'a str,
    /// `http://host`
    pub(crate) origin: String,
    /// The query.
    pub(crate) parameters: Parameters,
    /// The body; empty for GET and DELETE.
    pub(crate) body: Bytes,
}

impl Api {
    /// Returns the API.
    pub fn new(handles: Handles) -> Self {
        let authenticator = Authenticator::new(handles.settings.localhost_is_admin, handles.ring.clone());
        Self(Arc::new(Inner { handles, authenticator, routes: Routes::all() }))
    }

    /// Returns the API as a router. Each request must carry an [`Peer`] extension; one without is refused.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    /// Method and path of every route.
    pub fn routes(&self) -> Vec<(Method, String)> {
        self.0.routes.rows().iter().map(|route| (route.method.clone(), route.template.clone())).collect()
    }

    /// Answers a request that came from `peer`.
    pub async fn answer<B>(&self, peer: Peer, request: http::Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let head = *request.method() == Method::HEAD;
        let mut response = self.try_answer(peer, request).await.unwrap_or_else(|response| *response);
        if head {
            *response.body_mut() = Body::empty();
        }
        response
    }

    async fn try_answer<B>(&self, peer: Peer, request: http::Request<B>) -> Result<Response, Box<Response>>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let host = host_of(&head);
        if host.is_none() && head.version == Version::HTTP_11 {
            return Err(Box::new(Refused::NoHost.into_response()));
        }
        let host = host.unwrap_or_default();
        let (method, headers, full_path, query) = (&head.method, &head.headers, head.uri.path(), head.uri.query());
        if let Some(path) = cleaned(full_path) {
            return Ok(redirect(method, &path, query));
        }
        if full_path == "/gui" {
            return Ok(redirect(method, "/gui/", query));
        }
        if full_path.starts_with("/gui/") {
            return Ok(answer::with_type(StatusCode::OK, "text/html; charset=utf-8", NO_GUI));
        }
        let path = self.below_base_path(full_path)?;
        let caller = self.caller(peer, &host, headers, path)?;
        if let (Some(proof), Some(true)) =
            (head.extensions.get::<Proof>(), caller.as_ref().map(Caller::is_authenticated))
        {
            proof.shown();
        }
        let cors = Cors::of(&self.0.handles.settings.cors_allowed_domains, headers);
        if cors.is_preflight(method, headers) {
            return Ok(Response::new(Body::empty()));
        }
        let inside = self.inside(method, headers, path, caller, body, |body| Call {
            handles: &self.0.handles,
            path: full_path,
            origin: format!("{}://{host}", if peer.transport == Transport::Https { "https" } else { "http" }),
            parameters: Parameters::parse(query),
            body,
        });
        let mut response = inside.await.unwrap_or_else(|response| *response);
        cors.mark(&mut response);
        Ok(response)
    }

    /// Finds the route and calls its handler.
    async fn inside<'a, B>(
        &'a self,
        method: &Method,
        headers: &HeaderMap,
        path: &str,
        caller: Option<Caller>,
        body: B,
        call: impl FnOnce(Bytes) -> Call<'a>,
    ) -> Result<Response, Box<Response>>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let refuse = |refused: Refused| Box::new(refused.into_response());
        let segments = segments(path).ok_or_else(|| refuse(Refused::NotFound))?;
        let matched = self.0.routes.find(method, &segments).map_err(|none| match none {
            NoRoute::Path => refuse(Refused::NotFound),
            NoRoute::Method(allow) => refuse(Refused::Method { allow }),
        })?;
        if !reads_json(method, headers) {
            return Err(refuse(Refused::MediaType));
        }
        if !takes_json(headers) {
            return Err(refuse(Refused::NotAcceptable));
        }
        let Some(caller) = caller else {
            // Only the index is answered to callers who were not looked at.
            return match matched.route.endpoint {
                Endpoint::Index => handlers::index(&call(Bytes::new())).await.map_err(failed),
                _ => Err(failed(ApiError::Unauthenticated)),
            };
        };
        let body = match *method {
            Method::PUT | Method::POST => read(body).await.map_err(failed)?,
            _ => Bytes::new(),
        };
        handlers::dispatch(&call(body), &caller, &matched).await.map_err(failed)
    }

    /// Returns who is calling; nobody is looked at for the index.
    fn caller(&self, peer: Peer, host: &str, headers: &HeaderMap, path: &str) -> Result<Option<Caller>, Box<Response>> {
        if path == "/" || path.is_empty() {
            return Ok(None);
        }
        let now = self.0.handles.clock.now();
        match self.0.authenticator.authenticate(peer, host, headers, now) {
            Ok(caller) => Ok(Some(caller)),
            Err(rejection) => {
                info!(target: "api-server", remote = %peer.remote, reason = %rejection, "authentication rejected");
                Err(failed(ApiError::Unauthenticated))
            }
        }
    }

    /// Cuts the base path off. User tokens are issued below it and, as from the peer, at the root.
    fn below_base_path<'p>(&self, path: &'p str) -> Result<&'p str, Box<Response>> {
        let base = self.0.handles.settings.base_path.trim_matches('/');
        if base.is_empty() || path == "/tokens/user" {
            return Ok(path);
        }
        let below = path.strip_prefix('/').and_then(|path| path.strip_prefix(base));
        match below {
            Some(below) if below.is_empty() || below.starts_with('/') => Ok(below),
            _ => Err(Box::new(Refused::OutsideBasePath.into_response())),
        }
    }
}

const NO_GUI: &str = "<!doctype html>\n<html><head><title>GUI disabled</title></head><body><p>This control plane has no \
                      web interface. Use kumactl or the REST API.</p></body></html>\n";

fn failed(error: ApiError) -> Box<Response> {
    Box::new(error.into_response())
}

async fn serve(State(api): State<Api>, request: Request) -> Response {
    match request.extensions().get::<Peer>() {
        Some(peer) => api.answer(*peer, request).await,
        // Without the address nobody can say whether the caller is the administrator of this machine.
        None => ApiError::Unauthenticated.into_response(),
    }
}

fn host_of(head: &http::request::Parts) -> Option<String> {
    match head.headers.get(header::HOST) {
        Some(host) => Some(host.to_str().unwrap_or_default().to_owned()),
        None => head.uri.authority().map(|authority| authority.as_str().to_owned()),
    }
}

async fn read<B>(body: B) -> Result<Bytes, ApiError>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(Box::pin(body), LARGEST_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::BodyTooLarge),
        Err(_) => Err(ApiError::BodyLost),
    }
}

/// What the answer says to a browser on a page of another site.
struct Cors<'a> {
    allowed: Option<&'a HeaderValue>,
    in_force: bool,
}

impl<'a> Cors<'a> {
    fn of(domains: &[String], headers: &'a HeaderMap) -> Self {
        let allowed = headers.get(header::ORIGIN).filter(|origin| {
            origin.to_str().is_ok_and(|origin| domains.iter().any(|domain| domain == origin || domain == "*"))
        });
        Self { allowed, in_force: !domains.is_empty() }
    }

    /// A preflight is answered without any permission: browsers cannot write.
    fn is_preflight(&self, method: &Method, headers: &HeaderMap) -> bool {
        self.in_force
            && *method == Method::OPTIONS
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    fn mark(&self, response: &mut Response) {
        let Some(origin) = self.allowed else { return };
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let exposed = HeaderValue::from_static("Access-Control-Allow-Origin");
        response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

/// Whether tokens of a kind are issued.
pub(crate) fn issues(settings: &Settings, kind: TokenKind) -> bool {
    match kind {
        TokenKind::Dataplane => settings.issuers.dataplane,
        TokenKind::Zone => settings.issuers.zone,
        TokenKind::User => settings.issuers.user,
        TokenKind::ControlPlane => settings.issuers.control_plane,
    }
}
