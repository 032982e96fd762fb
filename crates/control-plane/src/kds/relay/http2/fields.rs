//! Header fields as they come, checked as far as a relay has to (RFC 9113, 8.1 to 8.3).
//!
//! What a relay passes on must not mean one thing to it and another to the far side. So what is malformed ends its stream
//! here. `content-length` is left out: gRPC has no use for it, and where a body ends is said by the stream. So is `host`: each
//! side has an authority of its own.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request, response};

/// Counted for each field beside its name and value (RFC 9113, 6.5.2).
const OVERHEAD: usize = 32;

/// The fields of one header block.
#[derive(Default)]
pub(super) struct Fields {
    method: Option<Method>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Uri>,
    status: Option<StatusCode>,
    headers: HeaderMap,
    size: usize,
    has_header: bool,
    wrong: Option<&'static str>,
}

/// Where a request goes to.
#[derive(Clone, Debug)]
pub(in crate::kds::relay) struct Origin {
    pub(in crate::kds::relay) scheme: Bytes,
    pub(in crate::kds::relay) authority: Bytes,
}

/// What was said instead of a head or of trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    TooLarge,
    Malformed(&'static str),
}

impl Fields {
    /// Takes the next field; all of them may have so many bytes. Whether it is good is said by what is made of them.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8], sensitive: bool, limit: usize) {
        self.size = self.size.saturating_add(name.len() + value.len() + OVERHEAD);
        if self.size > limit || self.wrong.is_some() {
            return;
        }
        let added = match name.strip_prefix(b":") {
            Some(name) => self.pseudo(name, value),
            None => self.header(name, value, sensitive),
        };
        self.wrong = added.err();
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if self.has_header {
            return Err("a pseudo header comes late");
        }
        let twice = match name {
            b"method" => self.method.replace(Method::from_bytes(value).map_err(|_odd| "the method is none")?).is_some(),
            b"scheme" => self.scheme.replace(Bytes::copy_from_slice(value)).is_some(),
            b"authority" => self.authority.replace(Bytes::copy_from_slice(value)).is_some(),
            b"path" => self.path.replace(path(value).ok_or("the path is none")?).is_some(),
            b"status" => {
                self.status.replace(StatusCode::from_bytes(value).map_err(|_odd| "the status is none")?).is_some()
            }
            _ => return Err("a pseudo header is not known"),
        };
        if twice { Err("a pseudo header comes twice") } else { Ok(()) }
    }

    fn header(&mut self, name: &[u8], value: &[u8], sensitive: bool) -> Result<(), &'static str> {
        self.has_header = true;
        if name.iter().any(u8::is_ascii_uppercase) {
            return Err("a name is not in lower case");
        }
        let name = HeaderName::from_bytes(name).map_err(|_odd| "a name is none")?;
        let of_connection = [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE].contains(&name)
            || ["keep-alive", "proxy-connection"].contains(&name.as_str())
            || name == header::TE && value != b"trailers";
        if of_connection {
            return Err("a header is of another HTTP");
        }
        if [header::CONTENT_LENGTH, header::HOST].contains(&name) {
            return Ok(());
        }
        let mut value = HeaderValue::from_bytes(value).map_err(|_odd| "a value is none")?;
        value.set_sensitive(sensitive);
        self.headers.try_append(name, value).map(drop).map_err(|_full| "there are too many headers")
    }

    /// The head of a request.
    pub(super) fn into_request(self, limit: usize) -> Result<request::Parts, Bad> {
        self.check(limit)?;
        let (Some(method), Some(path), Some(_), None) = (self.method, self.path, self.scheme, self.status) else {
            return Err(Bad::Malformed("a pseudo header of a request is missing, or one of a response there"));
        };
        if method == Method::CONNECT {
            return Err(Bad::Malformed("nothing is connected through here"));
        }
        let (mut parts, ()) = http::Request::new(()).into_parts();
        (parts.method, parts.uri, parts.headers) = (method, path, self.headers);
        Ok(parts)
    }

    /// The head of a response.
    pub(super) fn into_response(self, limit: usize) -> Result<response::Parts, Bad> {
        self.check(limit)?;
        let (Some(status), None, None, None, None) = (self.status, self.method, self.path, self.scheme, self.authority)
        else {
            return Err(Bad::Malformed("the status of a response is missing, or a pseudo header of a request there"));
        };
        let (mut parts, ()) = http::Response::new(()).into_parts();
        (parts.status, parts.headers) = (status, self.headers);
        Ok(parts)
    }

    /// The trailers of either. Who calls is said in the head, and checked there (RFC 9110, 6.5.1).
    pub(super) fn into_trailers(mut self, limit: usize) -> Result<HeaderMap, Bad> {
        self.check(limit)?;
        self.headers.remove(header::AUTHORIZATION);
        self.headers.remove("client-id");
        match (self.method, self.path, self.scheme, self.authority, self.status) {
            (None, None, None, None, None) => Ok(self.headers),
            _ => Err(Bad::Malformed("trailers have a pseudo header")),
        }
    }

    fn check(&self, limit: usize) -> Result<(), Bad> {
        match self.wrong {
            _ if self.size > limit => Err(Bad::TooLarge),
            Some(why) => Err(Bad::Malformed(why)),
            None => Ok(()),
        }
    }
}

fn path(value: &[u8]) -> Option<Uri> {
    if !value.starts_with(b"/") {
        return None;
    }
    Uri::builder().path_and_query(value).build().ok()
}

/// The pseudo headers of a request, in the order in which they are said.
pub(in crate::kds::relay) fn request_fields<'a>(
    method: &'a Method,
    origin: &'a Origin,
    path: &'a str,
) -> [(&'static str, &'a [u8]); 4] {
    [
        (":method", method.as_str().as_bytes()),
        (":scheme", &origin.scheme),
        (":path", path.as_bytes()),
        (":authority", &origin.authority),
    ]
}

/// The pseudo header of a response.
pub(in crate::kds::relay) fn response_fields(status: &StatusCode) -> [(&'static str, &[u8]); 1] {
    [(":status", status.as_str().as_bytes())]
}
