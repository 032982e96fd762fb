//! Paths, hosts and media types, before any route is looked at (contract: rest 1.1).

use std::borrow::Cow;

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::answer;

/// Returns the path a client should have asked for, if it is another: no empty, `.` or `..` segments.
pub(crate) fn cleaned(path: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let mut clean = format!("/{}", kept.join("/"));
    if path.ends_with('/') && clean.len() > 1 {
        clean.push('/');
    }
    (clean != path).then_some(clean)
}

/// Sends the client to another path.
pub(crate) fn redirect(method: &Method, path: &str, query: Option<&str>) -> Response {
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let reads = *method == Method::GET || *method == Method::HEAD;
    let mut response = if reads {
        let escaped = target.replace('&', "&amp;").replace('"', "&#34;").replace('<', "&lt;").replace('>', "&gt;");
        let page = format!("<a href=\"{escaped}\">Temporary Redirect</a>.\n\n");
        answer::with_type(StatusCode::TEMPORARY_REDIRECT, "text/html; charset=utf-8", page)
    } else {
        Response::new(Body::empty())
    };
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(value) = HeaderValue::from_str(&target) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

/// Splits a path into decoded segments; a trailing slash does not count. `None` if a segment holds a slash or no text.
pub(crate) fn segments(path: &str) -> Option<Vec<Cow<'_, str>>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some(Vec::new());
    }
    let decode = |segment| {
        let decoded = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
        (!decoded.contains('/')).then_some(decoded)
    };
    path.split('/').map(decode).collect()
}

/// Returns whether the body is JSON, or there is none to read.
pub(crate) fn reads_json(method: &Method, headers: &HeaderMap) -> bool {
    match headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) {
        None | Some(b"") => !matches!(*method, Method::PUT | Method::POST | Method::PATCH),
        Some(media_type) => is_media_type(media_type, &[b"application/json"]),
    }
}

/// Returns whether the client takes JSON.
pub(crate) fn takes_json(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).into_iter().map(HeaderValue::as_bytes).peekable();
    let wanted: [&[u8]; 3] = [b"application/json", b"*/*", b"application/*"];
    accepted.peek().is_none_or(|first| first.is_empty())
        || accepted.any(|list| list.split(|c| *c == b',').any(|media_type| is_media_type(media_type, &wanted)))
}

/// Compares without parameters. Upper and lower case mean the same (RFC 9110, 8.3.1).
fn is_media_type(given: &[u8], wanted: &[&[u8]]) -> bool {
    let name = given.split(|c| *c == b';').next().unwrap_or_default().trim_ascii();
    wanted.iter().any(|wanted| name.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of(name: header::HeaderName, value: Option<&str>) -> HeaderMap {
        value.map(|value| (name, value.parse().expect("header"))).into_iter().collect()
    }

    #[test]
    fn paths_are_cleaned() {
        let check = |path: &str, expected: Option<&str>| assert_eq!(cleaned(path).as_deref(), expected, "{path}");
        check("/", None);
        check("/meshes", None);
        check("/meshes/", None);
        check("//meshes", Some("/meshes"));
        check("/meshes/../zones", Some("/zones"));
        check("/a/./b", Some("/a/b"));
        check("/..", Some("/"));
        check("//", Some("/"));
        check("/a//", Some("/a/"));
    }

    #[test]
    fn segments_are_decoded_once_and_hold_no_slash() {
        let check = |path: &str, expected: Option<&[&str]>| {
            let found = segments(path);
            let found: Option<Vec<&str>> = found.as_ref().map(|found| found.iter().map(AsRef::as_ref).collect());
            assert_eq!(found.as_deref(), expected, "{path}");
        };
        check("/", Some(&[]));
        check("/meshes/", Some(&["meshes"]));
        check("/meshes/defaul%74", Some(&["meshes", "default"]));
        check("/meshes/a%2Fb", None);
        check("/meshes/%ff", None);
        check("/meshes/a%2541", Some(&["meshes", "a%41"]));
    }

    #[test]
    fn bodies_are_json() {
        let check = |method: Method, value: Option<&str>, expected: bool| {
            let headers = header_of(header::CONTENT_TYPE, value);
            assert_eq!(reads_json(&method, &headers), expected, "{method} {value:?}");
        };
        check(Method::GET, None, true);
        check(Method::DELETE, None, true);
        check(Method::PUT, None, false);
        check(Method::POST, None, false);
        check(Method::PUT, Some("application/json"), true);
        check(Method::PUT, Some("application/json; charset=utf-8"), true);
        check(Method::PUT, Some("Application/JSON"), true);
        check(Method::PUT, Some("*/*"), false);
        check(Method::GET, Some("text/plain"), false);
    }

    #[test]
    fn answers_are_json() {
        let check = |value: Option<&str>, expected: bool| {
            assert_eq!(takes_json(&header_of(header::ACCEPT, value)), expected, "{value:?}");
        };
        check(None, true);
        check(Some(""), true);
        check(Some("application/json;q=0.5"), true);
        check(Some("text/html, */*;q=0.8"), true);
        check(Some("application/*"), true);
        check(Some("text/html"), false);
        check(Some("application/problem+json"), false);
    }
}
