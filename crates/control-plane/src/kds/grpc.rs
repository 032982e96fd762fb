//! What a request has to be to be a call of gRPC (gRPC over HTTP/2, "Requests"). Whoever takes calls looks at that before
//! anything else: a global, and a gateway or a connector, which would pass something else on with the rights of a zone.
//!
//! Other requests are answered with a status of HTTP for who speaks no gRPC, which would take 200 for a good answer, and with
//! one of gRPC for who does.

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use thiserror::Error;
use tonic::{Code, Status, body::Body};

/// Whose messages are protobuf: nothing else is spoken here, and a gateway that looks at messages reads nothing else.
const CONTENT_TYPES: [&[u8]; 2] = [b"application/grpc", b"application/grpc+proto"];

/// Why a request is no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum NoCall {
    #[error("a call of gRPC is a POST")]
    Method,
    #[error("a call of gRPC has one content-type: application/grpc, or application/grpc+proto")]
    ContentType,
    #[error("a call of gRPC has a path of a service and a method, and nothing else")]
    Path,
}

/// Whether a request is a call.
///
/// # Errors
/// Why it is none.
pub(crate) fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), NoCall> {
    if method != Method::POST {
        return Err(NoCall::Method);
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter().map(HeaderValue::as_bytes);
    let (Some(one), None) = (types.next(), types.next()) else { return Err(NoCall::ContentType) };
    if !CONTENT_TYPES.contains(&one) {
        return Err(NoCall::ContentType);
    }
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    if names_a_method(path) { Ok(()) } else { Err(NoCall::Path) }
}

/// Whether a path is `/service/method`, in letters that mean nothing else to whoever is on the way: no escapes, no dots for
/// a folder above, no query.
fn names_a_method(path: &str) -> bool {
    let is_name = |part: &str, more: &[u8]| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    parts.is_some_and(|(service, method)| service.split('.').all(|part| is_name(part, b"_-")) && is_name(method, b"_-"))
}

impl NoCall {
    /// What is answered.
    pub(crate) fn into_http(self) -> http::Response<Body> {
        let (http, grpc) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, Code::Internal),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument),
            Self::Path => (StatusCode::OK, Code::Unimplemented),
        };
        let mut answer = Status::new(grpc, self.to_string()).into_http();
        *answer.status_mut() = http;
        if self == Self::Method {
            // RFC 9110, 15.5.6.
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kds::rpc::Rpc;

    const GRPC: &str = "application/grpc";

    fn judged(method: &Method, path: &str, types: &[&'static str]) -> Result<(), NoCall> {
        let mut headers = HeaderMap::new();
        for one in types {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_static(one));
        }
        check(method, &path.parse().unwrap(), &headers)
    }

    #[test]
    fn every_rpc_is_a_call_and_so_is_one_that_comes_later() {
        let later = "/kuma.mesh.v9.Some_Service2/Do-It";
        for path in Rpc::ALL.map(Rpc::path).into_iter().chain([later]) {
            for kind in [GRPC, "application/grpc+proto"] {
                assert_eq!(judged(&Method::POST, path, &[kind]), Ok(()), "{path} {kind}");
            }
        }
    }

    #[test]
    fn only_a_post_is_a_call() {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS, Method::CONNECT] {
            assert_eq!(judged(&method, "/a/b", &[GRPC]), Err(NoCall::Method), "{method}");
        }
    }

    #[test]
    fn only_protobuf_is_spoken() {
        let check = |types: &[&'static str]| {
            assert_eq!(judged(&Method::POST, "/a/b", types), Err(NoCall::ContentType), "{types:?}");
        };
        check(&[]);
        check(&[""]);
        check(&[GRPC, GRPC]);
        check(&[GRPC, "text/plain"]);
        for other in
            ["application/json", "application/grpc-web", "application/grpc+json", "application/grpc;json", "text/grpc"]
        {
            check(&[other]);
        }
    }

    #[test]
    fn a_path_is_a_service_and_a_method_and_nothing_else() {
        for path in [
            "/", "/a", "/a/", "//b", "/a/b/", "/a/b/c", "/a/b?", "/a/b?c=d", "/a/../b", "/../b", "/./b", "/a/.",
            "/a./b", "/a%2eb/c", "/a/b%3fc", "/a/b;c", "/a\\b/c", "*",
        ] {
            assert_eq!(judged(&Method::POST, path, &[GRPC]), Err(NoCall::Path), "{path}");
        }
    }
}
