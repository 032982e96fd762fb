//! One call, from the near side to the far side and back.

use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use tonic::{Status, body::Body};

use super::{
    ending::Ending,
    inspect::Inspect,
    request::RequestBody,
    response::{ResponseBody, Told, lost},
    untaken::Untaken,
};

/// What is done to a call that is passed on.
pub(crate) struct Passing {
    /// Scheme and authority of the far side.
    pub(crate) origin: Uri,
    /// The headers of the request as the far side hears them.
    pub(crate) headers: HeaderMap,
    /// Ends the call.
    pub(crate) ending: Ending,
    /// Looks at what goes to the far side.
    pub(crate) inspect: Option<Inspect>,
    /// Of the far connection.
    pub(crate) untaken: Untaken,
}

/// Passes a call on; returns the answer as it begins, what follows goes through by itself. `told` is called once with the
/// status that the call ended with; dropped uncalled if the near side gave up before there was an answer.
pub(crate) async fn pass(
    mut far: SendRequest<Body>,
    request: Request<Incoming>,
    passing: Passing,
    told: impl FnOnce(Status) + Send + 'static,
) -> Response<Body> {
    let Passing { origin, headers, ending, inspect, untaken } = passing;
    let (call, near) = untaken.call();
    let (parts, body) = request.into_parts();
    let ended = |status: Status, told: Told| {
        told(status.clone());
        status.into_http()
    };
    let told: Told = Box::new(told);
    let Some(uri) = at(&origin, &parts.uri) else {
        return ended(Status::invalid_argument("the path of the call is none"), told);
    };
    let mut request = Request::new(Body::new(RequestBody::new(body, ending.clone(), inspect, call)));
    *request.method_mut() = parts.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request.headers_mut().remove(header::HOST);
    let mut waits = ending.waits();
    let answered = tokio::select! {
        biased;
        status = waits.given() => return ended(status, told),
        answered = async { far.ready().await?; far.send_request(request).await } => answered,
    };
    match answered {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let body = Body::new(ResponseBody::new(body, &parts.headers, &ending, told, near));
            Response::from_parts(parts, body)
        }
        Err(error) => match lost(&error) {
            Some(status) => ended(status, told),
            None => {
                told(Status::unknown("the far side reset the call"));
                reset(error)
            }
        },
    }
}

/// An answer that is a reset with the reason of the far side.
fn reset(error: hyper::Error) -> Response<Body> {
    let body = futures::stream::once(std::future::ready(Err::<http_body::Frame<bytes::Bytes>, _>(error)));
    let mut response = Response::new(Body::new(http_body_util::StreamBody::new(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn at(origin: &Uri, path: &Uri) -> Option<Uri> {
    let mut parts = origin.clone().into_parts();
    parts.path_and_query = path.path_and_query().cloned();
    Uri::from_parts(parts).ok()
}
