//! The diagnostics port (contract: rest-and-cli 5.3): health, readiness, metrics, log levels. No secrets. Anybody reads;
//! levels are set by administrators, as they decide what is seen of everybody else.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, FromRequestParts, Path, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{any, delete, get},
};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tower::ServiceExt as _;
use tracing::info;

use crate::{
    access::{Access, Authenticator, Caller, Remote, Transport, Unproved},
    clock::Clock,
    limits::{Accepted, Port, Timeouts, accept, serve_http1},
    observe::{
        log::{LevelError, Levels, Verbosity},
        metrics::Metrics,
        readiness::Readiness,
    },
    tasks::Tasks,
};

/// What the port shows.
#[derive(Clone)]
pub struct Diagnostics {
    /// Readiness.
    pub readiness: Readiness,
    /// Metrics.
    pub metrics: Metrics,
    /// Log levels.
    pub levels: Levels,
    /// Who is calling.
    pub authenticator: Authenticator,
    /// Who may do what.
    pub access: Access,
    /// What time it is.
    pub clock: Clock,
}

/// Somebody who may change log levels: only the look at a request makes one.
struct Administrator(Caller);

impl FromRequestParts<Arc<Diagnostics>> for Administrator {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, diagnostics: &Arc<Diagnostics>) -> Result<Self, Response> {
        let Diagnostics { authenticator, access, clock, .. } = &**diagnostics;
        // Without the address nobody can say whether the caller is the administrator of this machine.
        let caller = match head.extensions.get::<Remote>() {
            Some(remote) => authenticator.caller(*remote, head, clock.now()),
            None => Ok(Caller::anonymous()),
        };
        match caller {
            Ok(caller) => match access.log_levels(&caller) {
                Ok(()) => Ok(Self(caller)),
                Err(denied) => Err(refused(StatusCode::FORBIDDEN, &format!("{denied}: {HOW_TO_BE_ONE}"))),
            },
            Err(unproved @ Unproved::Rejected(_)) => Err(refused(StatusCode::UNAUTHORIZED, &unproved.to_string())),
            Err(unproved @ Unproved::KeysBehind(_)) => {
                Err(refused(StatusCode::SERVICE_UNAVAILABLE, &unproved.to_string()))
            }
        }
    }
}

impl Administrator {
    fn changed(&self, component: &str, level: &str) {
        info!(caller = %self.0, component, level, "log level changed");
    }
}

const HOW_TO_BE_ONE: &str = "call from the machine of the control plane, or with the token of an administrator";

const LARGEST_BODY: usize = 4096;

/// How long a client may take: probes and scrapers are quick.
const TIMEOUTS: Timeouts = Timeouts {
    head: Duration::from_secs(5),
    write: Duration::from_secs(10),
    // Longer than the usual pause between two scrapes.
    idle: Duration::from_secs(120),
};
/// An answer, the body of its request included, takes no longer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Serves the port until the program stops.
pub(crate) async fn serve(
    listener: TcpListener,
    diagnostics: Diagnostics,
    places: Arc<Port>,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let (router, owner) = (router(diagnostics), tasks.clone());
    let connection = move |accepted| connection(accepted, router.clone(), owner.clone());
    accept(listener, places, tasks, "diagnostics-connection", connection).await
}

/// Serves health and readiness alone, for who cannot start yet.
pub(crate) async fn serve_readiness(
    listener: TcpListener,
    readiness: Readiness,
    places: Arc<Port>,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/healthy", any(|| async { StatusCode::OK }))
        .route("/ready", any(async move || answered(&readiness)))
        .fallback(not_found);
    let owner = tasks.clone();
    let connection = move |accepted| connection(accepted, router.clone(), owner.clone());
    accept(listener, places, tasks, "diagnostics-connection", connection).await
}

async fn connection(accepted: Accepted, router: Router, tasks: Tasks) {
    let Accepted { stream, peer, place } = accepted;
    let answer = move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Remote { address: peer, transport: Transport::Http });
        let answer = router.clone().oneshot(request.map(Body::new));
        async move {
            match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "the body of the request did not come in time"),
            }
        }
    };
    Box::pin(serve_http1(stream, peer, place, TIMEOUTS, tasks, answer)).await;
}

fn router(diagnostics: Diagnostics) -> Router {
    Router::new()
        .route("/healthy", any(|| async { StatusCode::OK }))
        .route("/ready", any(ready))
        .route("/metrics", get(metrics))
        .route("/logging", get(levels).put(set_level).delete(clear_levels).fallback(method_not_allowed))
        .route("/logging/{component}", delete(clear_level).fallback(method_not_allowed))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(Arc::new(diagnostics))
}

async fn ready(State(diagnostics): State<Arc<Diagnostics>>) -> Response {
    answered(&diagnostics.readiness)
}

fn answered(readiness: &Readiness) -> Response {
    let (ready, report) = readiness.report();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, report).into_response()
}

async fn metrics(State(diagnostics): State<Arc<Diagnostics>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores")];
    (kind, diagnostics.metrics.text()).into_response()
}

fn shown(levels: &BTreeMap<String, Verbosity>) -> Response {
    let components: BTreeMap<_, _> = levels.iter().map(|(logger, level)| (logger, level.to_string())).collect();
    ([(header::CONTENT_TYPE, "application/json")], json!({ "components": components }).to_string() + "\n")
        .into_response()
}

async fn levels(State(diagnostics): State<Arc<Diagnostics>>) -> Response {
    shown(&diagnostics.levels.overrides())
}

async fn clear_levels(administrator: Administrator, State(diagnostics): State<Arc<Diagnostics>>) -> Response {
    administrator.changed("every logger", "the general level");
    shown(&diagnostics.levels.clear_all())
}

#[derive(Deserialize)]
struct SetLevel {
    #[serde(default)]
    component: String,
    #[serde(default)]
    level: String,
}

async fn set_level(administrator: Administrator, State(diagnostics): State<Arc<Diagnostics>>, body: Bytes) -> Response {
    let Ok(wanted) = serde_json::from_slice::<SetLevel>(&body) else {
        return refused(StatusCode::BAD_REQUEST, "invalid request body");
    };
    match diagnostics.levels.set(&wanted.component, &wanted.level) {
        Ok(()) => {
            administrator.changed(&wanted.component, &wanted.level);
            StatusCode::OK.into_response()
        }
        Err(error @ LevelError::Unknown(_)) => refused(StatusCode::BAD_REQUEST, &format!("invalid log level: {error}")),
        Err(error @ LevelError::TooMany) => refused(StatusCode::TOO_MANY_REQUESTS, &error.to_string()),
        Err(error @ (LevelError::NoName | LevelError::BadName(_) | LevelError::Security(_))) => {
            refused(StatusCode::BAD_REQUEST, &error.to_string())
        }
    }
}

async fn clear_level(
    administrator: Administrator,
    State(diagnostics): State<Arc<Diagnostics>>,
    Path(component): Path<String>,
) -> Response {
    match diagnostics.levels.clear(&component) {
        Ok(()) => {
            administrator.changed(&component, "the general level");
            StatusCode::OK.into_response()
        }
        Err(error) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn method_not_allowed() -> Response {
    refused(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}

async fn not_found() -> Response {
    refused(StatusCode::NOT_FOUND, "404 page not found")
}

/// Plain text with a line end, as Go's own handlers answer.
fn refused(status: StatusCode, text: &str) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, format!("{text}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use serde_json::Value;
    use tokens::KeyRing;
    use tokio::sync::watch;

    use super::*;
    use crate::{keys::Keys, observe::log::Log};

    fn diagnostics() -> Diagnostics {
        let log = Log::quiet();
        Diagnostics {
            readiness: Readiness::default(),
            metrics: Metrics::new("Global", "host-1", log.lines()),
            levels: log.levels().clone(),
            authenticator: Authenticator::new(true, Keys::of(watch::channel(Arc::new(KeyRing::empty())).1)),
            access: Access::default(),
            clock: Clock::system(),
        }
    }

    async fn ask(router: &Router, method: &str, path: &str, body: &str) -> (u16, String, String) {
        asked_by("127.0.0.1:4711", router, method, path, body).await
    }

    async fn asked_by(from: &str, router: &Router, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let remote = Remote { address: from.parse().unwrap(), transport: Transport::Http };
        let request = Request::builder().method(method).uri(path).header("host", "localhost:5680").extension(remote);
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let kind =
            response.headers().get("content-type").map_or(String::new(), |kind| kind.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn recorded_exchanges_replay() {
        let Some(folder) = testkit::captures::folder() else { return };
        let lines = std::fs::read_to_string(folder.join("rest/3.0-preview/global-diagnostics.jsonl")).unwrap();
        let router = router(diagnostics());
        let mut compared = 0;
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let (Some(method), Some(path), Some(status)) =
                (line["method"].as_str(), line["path"].as_str(), line["status"].as_u64())
            else {
                continue;
            };
            // Fixed differences: profiles are not served here, and the metrics are our own.
            if path.starts_with("/debug") {
                continue;
            }
            let (got, kind, body) = ask(&router, method, path, line["requestBody"].as_str().unwrap_or_default()).await;
            assert_eq!(u64::from(got), status, "{} {method} {path}: {body}", line["name"]);
            let recorded = line["responseBody"].as_str().unwrap_or_default();
            if path == "/metrics" {
                assert_eq!(
                    kind,
                    line["responseHeaders"]["content-type"][0]
                        .as_str()
                        .or_else(|| line["responseHeaders"]["content-type"].as_str())
                        .unwrap()
                );
            } else if let (Ok(ours), Ok(theirs)) =
                (serde_json::from_str::<Value>(&body), serde_json::from_str::<Value>(recorded))
            {
                assert_eq!(ours, theirs, "{}", line["name"]);
            } else {
                assert_eq!(body.trim_end(), recorded.trim_end(), "{}", line["name"]);
            }
            compared += 1;
        }
        assert!(compared >= 4);
    }

    #[tokio::test]
    async fn log_levels_are_the_administrators() {
        let diagnostics = diagnostics();
        let router = router(diagnostics.clone());
        let off = r#"{"component":"kds","level":"off"}"#;
        for (method, path) in [("PUT", "/logging"), ("DELETE", "/logging"), ("DELETE", "/logging/kds")] {
            let (status, _, text) = asked_by("192.0.2.7:4711", &router, method, path, off).await;
            assert_eq!(status, 403, "{method} {path}");
            assert!(text.contains("token of an administrator"), "{text}");
            let unknown = Request::builder().method(method).uri(path).body(Body::from(off)).unwrap();
            assert_eq!(router.clone().oneshot(unknown).await.unwrap().status(), 403, "no address, no administrator");
        }
        assert!(diagnostics.levels.overrides().is_empty());
        assert_eq!(asked_by("192.0.2.7:4711", &router, "GET", "/logging", "").await.0, 200);
        assert_eq!(ask(&router, "PUT", "/logging", off).await.0, 200);
        let (status, _, text) = ask(&router, "PUT", "/logging", r#"{"component":"kds.auth","level":"off"}"#).await;
        assert_eq!(status, 400);
        assert!(text.contains("cannot be switched off"), "{text}");
    }

    #[tokio::test]
    async fn a_part_that_is_not_ready_is_named() {
        let diagnostics = diagnostics();
        diagnostics.readiness.expect("rest");
        let router = router(diagnostics.clone());
        let (status, _, body) = ask(&router, "GET", "/ready", "").await;
        assert_eq!((status, body.as_str()), (503, "rest: not ready yet\n"));
        diagnostics.readiness.ready("rest");
        assert_eq!(ask(&router, "GET", "/ready", "").await.0, 200);
    }

    #[tokio::test]
    async fn every_metric_says_which_control_plane_it_is_of() {
        let (_, _, text) = ask(&router(diagnostics()), "GET", "/metrics", "").await;
        assert!(text.contains("zone=\"Global\""), "{text}");
        assert!(text.contains("product=\"Arctos\""), "{text}");
    }
}
