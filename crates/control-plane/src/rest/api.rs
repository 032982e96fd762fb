//! One request from its head to its answer.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use store::ResourceStore;
use tracing::{Instrument as _, info, info_span};

use super::{
    EnvoyAdmin, Settings, answer,
    audit::Audit,
    body::{self, Incoming, Read, Room},
    call::{Call, Guarded, Parts},
    cors::Cors,
    error::{ApiError, Refused},
    handlers,
    held::Answers,
    negotiate::{cleaned, reads_json, redirect, segments, takes_json},
    query::Parameters,
    routes::{Endpoint, JWKS, Matched, NoRoute, Routes},
};
use crate::{
    access::{Access, Authenticator, Caller, Permit, Remote, Rule, TokenKind, Transport, TwoHosts, Unproved, host_of},
    clock::Clock,
    doctor::Doctor,
    issuing::Issuer,
    keys::Keys,
    ledger::Ledger,
    limits::{Holder, Proof},
    observe::{readiness::Readiness, shown},
    revoking::{Judges, Revoker},
    rotation::Rotations,
    writes::{Side, Writes},
};

/// The wording of a refusal that needs a look at the body is not waited for longer than this.
const WORDING_WITHIN: Duration = Duration::from_secs(1);

/// What the API works with.
pub struct Handles {
    /// Where resources are.
    pub store: Arc<dyn ResourceStore>,
    /// What time it is.
    pub clock: Clock,
    /// How resources are written.
    pub writes: Writes,
    /// Who may do what.
    pub access: Arc<Access>,
    /// The keys of the moment.
    pub keys: Keys,
    /// What issues tokens.
    pub issuer: Issuer,
    /// The tokens that were issued.
    pub ledger: Ledger,
    /// How proxies are asked.
    pub admin: Arc<dyn EnvoyAdmin>,
    /// The settings.
    pub settings: Settings,
    /// What troubles this control plane, for its index.
    pub readiness: Readiness,
    /// The rotations of signing keys; keys are rotated on global alone.
    pub rotations: Option<Rotations>,
    /// Looks for what will trouble this control plane.
    pub doctor: Option<Doctor>,
}

/// The REST API. Cheap to clone; one for all listeners.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    access: Arc<Access>,
    parts: Parts,
    authenticator: Authenticator,
    routes: Routes,
    room: Room,
    answers: Answers,
    audit: Audit,
}

/// The head of a request, as the rest of the way needs it.
struct Asked<'a> {
    method: &'a Method,
    headers: &'a HeaderMap,
    /// With the base path.
    full_path: &'a str,
    /// Below it.
    path: &'a str,
    origin: String,
    query: Option<&'a str>,
    caller: Caller,
    remote: Remote,
}

impl Api {
    /// Returns the API.
    pub fn new(handles: Handles) -> Self {
        let Handles {
            store,
            clock,
            writes,
            access,
            keys,
            issuer,
            ledger,
            admin,
            settings,
            readiness,
            rotations,
            doctor,
        } = handles;
        if settings.localhost_is_admin {
            info!(
                "programs on this machine that ask for themselves are administrators; where one forwards requests of \
                 others without a trace, as a plain TCP forwarder does, set apiServer.authn.localhostIsAdmin to false"
            );
        }
        let authenticator = Authenticator::new(settings.localhost_is_admin, keys.clone());
        let judges = match writes.rules().side {
            Side::Global => Judges::All,
            Side::FederatedZone(_) => Judges::OwnUsers,
            Side::LoneZone(_) => Judges::NoZones,
        };
        let revoker = Revoker::new(judges, Arc::clone(&store), keys.clone(), ledger.clone(), clock.clone());
        let guarded = Guarded::new(store, admin, ledger, keys, settings.zones);
        let parts = Parts { clock, writes, issuer, revoker, settings, readiness, rotations, doctor, guarded };
        let (routes, room, answers, audit) = (Routes::all(), Room::new(), Answers::new(), Audit::new());
        Self(Arc::new(Inner { access, parts, authenticator, routes, room, answers, audit }))
    }

    /// Method and path of every route.
    pub fn routes(&self) -> Vec<(Method, String)> {
        self.0.routes.rows().iter().map(|route| (route.method.clone(), route.template.clone())).collect()
    }

    /// Answers a request that came from `remote`.
    ///
    /// Who asks is judged by the head: the body is read for those who may send one, and a connection on which one is
    /// left unread is closed after the answer, never drained.
    pub async fn answer<B>(&self, remote: Remote, request: http::Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin,
    {
        let (head, body) = request.into_parts();
        let mut body = Incoming::new(body);
        let span = info_span!("request", method = head.method.as_str(), path = &*shown::name(head.uri.path()));
        let answered = self.try_answer(remote, &head, &mut body).instrument(span).await;
        let mut response = answered.unwrap_or_else(|response| *response);
        if body.is_left() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if head.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        response
    }

    async fn try_answer<B>(
        &self,
        remote: Remote,
        head: &http::request::Parts,
        body: &mut Incoming<B>,
    ) -> Result<Response, Box<Response>>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin,
    {
        let host = match host_of(head) {
            Ok(None) if head.version == Version::HTTP_11 => return Err(Box::new(Refused::NoHost.into_response())),
            Ok(host) => host.unwrap_or_default(),
            Err(TwoHosts) => return Err(Box::new(Refused::TwoHosts.into_response())),
        };
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
        let cors = Cors::of(&self.0.parts.settings.cors_allowed_domains, headers);
        let caller = self.caller(remote, host, head, path).map_err(|error| Box::new(error.into_response()))?;
        if let Some(proof) = head.extensions.get::<Proof>() {
            self.prove(proof, &caller)?;
        }
        if cors.is_preflight(method, headers) {
            return Ok(Response::new(Body::empty()));
        }
        let origin = format!("{}://{host}", if remote.transport == Transport::Https { "https" } else { "http" });
        let asked = Asked { method, headers, full_path, path, origin, query, caller, remote };
        let mut response = self.inside(asked, body).await.unwrap_or_else(|response| *response);
        cors.mark(&mut response);
        Ok(response)
    }

    /// Finds the route, judges the caller, reads the body, calls the handler; in this order.
    async fn inside<B>(&self, asked: Asked<'_>, body: &mut Incoming<B>) -> Result<Response, Box<Response>>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin,
    {
        let refuse = |refused: Refused| Box::new(refused.into_response());
        let segments = segments(asked.path).ok_or_else(|| refuse(Refused::NotFound))?;
        let matched = self.0.routes.find(asked.method, &segments).map_err(|none| match none {
            NoRoute::Path => refuse(Refused::NotFound),
            NoRoute::Method(allow) => refuse(Refused::Method { allow }),
        })?;
        // A token is no JSON.
        let reads_text = matched.route.endpoint == Endpoint::InspectToken;
        if !reads_text && !reads_json(asked.method, asked.headers) {
            return Err(refuse(Refused::MediaType));
        }
        if !takes_json(asked.headers) {
            return Err(refuse(Refused::NotAcceptable));
        }
        let failed = |error: ApiError| {
            self.0.audit.fault(&error);
            Box::new(error.into_response())
        };
        let permit = match self.judge(&asked.caller, &matched) {
            Ok(permit) => permit,
            Err(error) => {
                let error = self.worded(error, &asked, &matched, body).await;
                self.0.audit.refused(&asked.caller, asked.method, &matched, &error);
                return Err(failed(error));
            }
        };
        let read = match *asked.method {
            Method::PUT | Method::POST => {
                let (limit, within) = (body::limit(matched.route.rule), self.0.parts.settings.read_timeout);
                body.read(limit, within, &self.0.room).await.map_err(failed)?
            }
            _ => Read::default(),
        };
        let call = Call {
            handles: &self.0.parts,
            path: asked.full_path,
            origin: asked.origin.clone(),
            parameters: Parameters::parse(asked.query),
            body: read.bytes.clone(),
            permit,
            remote: asked.remote,
        };
        let proven = asked.caller.is_authenticated();
        let turn = if matched.route.endpoint.is_of_many() { Some(self.0.answers.turn(proven).await) } else { None };
        let answer = handlers::dispatch(&call, &matched).await;
        drop(turn);
        match answer {
            Ok(answer) => self.0.answers.hold(proven, answer).await.map_err(failed),
            Err(error) => {
                // What else is written tells itself what is refused.
                if matches!(matched.route.endpoint, Endpoint::Tokens(_) | Endpoint::Revoke | Endpoint::TakeBack) {
                    self.0.audit.refused(&asked.caller, asked.method, &matched, &error);
                }
                Err(failed(error))
            }
        }
    }

    /// Asks the rule of the route. What nobody may write here is told first, as from the peer.
    fn judge(&self, caller: &Caller, matched: &Matched<'_>) -> Result<Permit, ApiError> {
        if let Rule::Write(kind) = matched.route.rule {
            self.0.parts.writes.writable(kind)?;
        }
        Ok(self.0.access.judge(caller.clone(), matched.route.rule)?)
    }

    /// Puts the zone into a refusal that names one, as from the peer. The decision has fallen: of the body only what
    /// is small, was promised, and comes at once is looked at.
    async fn worded<B>(
        &self,
        error: ApiError,
        asked: &Asked<'_>,
        matched: &Matched<'_>,
        body: &mut Incoming<B>,
    ) -> ApiError
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin,
    {
        let names_zone = matches!(matched.route.rule, Rule::Issue(TokenKind::Zone | TokenKind::ControlPlane));
        let ApiError::Denied(denied) = error else { return error };
        if !names_zone || !body.is_small(asked.headers) {
            return denied.into();
        }
        match body.read(body::SMALL, WORDING_WITHIN, &self.0.room).await {
            Ok(read) => denied.for_zone(handlers::zone_named(&read.bytes)).into(),
            Err(_) => denied.into(),
        }
    }

    /// Returns who is calling; nobody is looked at for the index.
    fn caller(&self, remote: Remote, host: &str, head: &http::request::Parts, path: &str) -> Result<Caller, ApiError> {
        if path == "/" || path.is_empty() {
            return Ok(Caller::anonymous());
        }
        let now = self.0.parts.clock.now();
        self.0.authenticator.authenticate(remote, host, head, now).map_err(|unproved| match unproved {
            Unproved::Rejected(rejection) => {
                self.0.audit.rejected(remote.address, &rejection);
                ApiError::Unauthenticated
            }
            Unproved::KeysBehind(behind) => ApiError::KeysBehind(behind),
        })
    }

    /// Tells the connection who is calling; one for whom it has no place is told, and it is closed.
    fn prove(&self, proof: &Proof, caller: &Caller) -> Result<(), Box<Response>> {
        if !caller.is_authenticated() {
            return Ok(());
        }
        let administrator = self.0.access.is_administrator(caller);
        let holder = if administrator { Holder::Administrator } else { Holder::User(caller.name().into()) };
        let ended = self.0.authenticator.ended(caller, &self.0.parts.clock);
        proof.shown(holder, ended).map_err(|crowd| {
            let mut response = ApiError::Crowded(crowd).into_response();
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            Box::new(response)
        })
    }

    /// Cuts the base path off. User tokens are issued below it and, as from the peer, at the root; what is well known is at
    /// the root, too (RFC 8615).
    fn below_base_path<'p>(&self, path: &'p str) -> Result<&'p str, Box<Response>> {
        let base = self.0.parts.settings.base_path.trim_matches('/');
        if base.is_empty() || ["/tokens/user", JWKS].contains(&path) {
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
