//! The port: whoever has no certificate of the authority gets no further than the handshake.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use super::{Credentials, INSTANCE, Reply};
use crate::{
    limits::{Accepted, Place, Port, Timeouts, accept, serve_http1},
    tasks::Tasks,
};

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// For the head of a question, for its body, and for taking more of the answer.
const TIMEOUTS: Timeouts =
    Timeouts { head: Duration::from_secs(5), write: Duration::from_secs(20), idle: Duration::from_secs(5) };
/// Questions name a few things.
const LARGEST_QUESTION: usize = 64 * 1024;

/// What this instance knows by itself. It asks no others.
#[async_trait]
pub(crate) trait Answers: Send + Sync + 'static {
    /// Answers a question; one that it does not know with 404.
    async fn answer(&self, path: &str, question: Bytes) -> Reply;
}

/// Serves the others until the program stops.
pub(crate) async fn serve(
    listener: TcpListener,
    credentials: Credentials,
    me: String,
    answers: Arc<dyn Answers>,
    places: Arc<Port>,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let (me, owner): (Arc<str>, _) = (me.into(), tasks.clone());
    let connection =
        move |accepted| connection(accepted, credentials.clone(), Arc::clone(&me), Arc::clone(&answers), owner.clone());
    accept(listener, places, tasks, "inter-cp-connection", connection).await
}

async fn connection(
    accepted: Accepted,
    credentials: Credentials,
    me: Arc<str>,
    answers: Arc<dyn Answers>,
    tasks: Tasks,
) {
    let Accepted { stream, peer, place } = accepted;
    let secured = tokio::select! {
        biased;
        secured = timeout(HANDSHAKE_DEADLINE, secure(stream, &credentials, &place)) => secured,
        told = place.told() => {
            debug!(peer = %peer, why = told.as_str(), "connection closed");
            return;
        }
        () = tasks.stopping() => return,
    };
    let stream = match secured {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(peer = %peer, error = %error, "TLS handshake failed"),
        Err(_) => return debug!(peer = %peer, "TLS handshake took too long"),
    };
    place.prove();
    let answer = move |request| {
        let (me, answers) = (Arc::clone(&me), Arc::clone(&answers));
        async move { respond(&me, &*answers, request).await }
    };
    Box::pin(serve_http1(stream, peer, place, TIMEOUTS, tasks, answer)).await;
}

/// Nothing is made for a client that says nothing.
async fn secure(stream: TcpStream, credentials: &Credentials, place: &Place) -> std::io::Result<TlsStream<TcpStream>> {
    stream.readable().await?;
    place.touch();
    let acceptor = TlsAcceptor::from(credentials.current().server);
    Box::pin(acceptor.accept(stream)).await
}

async fn respond(me: &str, answers: &dyn Answers, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let Reply { status, body } = reply(me, answers, request).await;
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    // One question each: the certificate of who asks is looked at every time.
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}

async fn reply(me: &str, answers: &dyn Answers, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        return Reply::new(StatusCode::METHOD_NOT_ALLOWED, "questions are asked with POST");
    }
    if head.headers.get(INSTANCE).is_none_or(|meant| meant.as_bytes() != me.as_bytes()) {
        return Reply::new(StatusCode::MISDIRECTED_REQUEST, format!("this is instance {me}"));
    }
    match timeout(TIMEOUTS.head, Limited::new(body, LARGEST_QUESTION).collect()).await {
        Ok(Ok(question)) => answers.answer(head.uri.path(), question.to_bytes()).await,
        Ok(Err(_)) | Err(_) => Reply::new(StatusCode::BAD_REQUEST, "no whole question came in time"),
    }
}
