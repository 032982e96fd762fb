//! What an answer says to a browser on a page of another site (contract: rest 1.1).

use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, header};

/// What the origin of a request is allowed.
pub(super) struct Cors<'a> {
    allowed: Option<&'a HeaderValue>,
    in_force: bool,
}

impl<'a> Cors<'a> {
    /// Looks for the origin of a request in `apiServer.corsAllowedDomains`.
    pub(super) fn of(domains: &[String], headers: &'a HeaderMap) -> Self {
        let allowed = headers.get(header::ORIGIN).filter(|origin| {
            origin.to_str().is_ok_and(|origin| domains.iter().any(|domain| domain == origin || domain == "*"))
        });
        Self { allowed, in_force: !domains.is_empty() }
    }

    /// A preflight is answered without any permission: browsers cannot write.
    pub(super) fn is_preflight(&self, method: &Method, headers: &HeaderMap) -> bool {
        self.in_force
            && *method == Method::OPTIONS
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Marks an answer. Caches are told that it depends on the origin, also where this origin is allowed nothing.
    pub(super) fn mark(&self, response: &mut Response) {
        if self.in_force {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.allowed else { return };
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let exposed = HeaderValue::from_static("Access-Control-Allow-Origin");
        response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn an_answer_that_depends_on_the_origin_says_so() {
        let check = |domains: &[&str], origin: Option<&'static str>, vary: bool, allowed: bool| {
            let domains: Vec<String> = domains.iter().map(|domain| (*domain).to_owned()).collect();
            let headers = origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))).into_iter().collect();
            let mut response = Response::new(Body::empty());
            Cors::of(&domains, &headers).mark(&mut response);
            assert_eq!(response.headers().contains_key(header::VARY), vary, "{domains:?} {origin:?}");
            let allows = response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(allows, allowed, "{domains:?} {origin:?}");
        };
        check(&[], Some("http://gui.example"), false, false);
        check(&["http://gui.example"], None, true, false);
        check(&["http://gui.example"], Some("http://gui.example"), true, true);
        check(&["http://gui.example"], Some("http://evil.example"), true, false);
        check(&["*"], Some("http://evil.example"), true, true);
    }
}
