//! When a request from this machine comes from its administrator (contract: rest 2.2).
//!
//! A browser and a proxy on this machine speak for others. What they send tells them apart from a program that asks for
//! itself, and because nobody knows all the headers that proxies set, the known ones are those that clients set: a
//! header that is not among them means that somebody stands between. What cannot be seen is a forwarder that changes no
//! byte; where one runs, `apiServer.authn.localhostIsAdmin` must be false.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Version, header::HOST, request::Parts, uri::Authority};
use model::text;

/// Headers of clients, beside all that begin with one of [`CLIENT_PREFIXES`].
const CLIENT_HEADERS: [&str; 23] = [
    "accept",
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "dnt",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "pragma",
    "priority",
    "range",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "x-requested-with",
];

/// How groups of headers begin that clients set.
const CLIENT_PREFIXES: [&str; 5] = ["accept-", "access-control-request-", "content-", "if-", "sec-"];

/// What tells that a request is not straight from a program on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// The connection comes from elsewhere.
    Remote,
    /// HTTP/1.0, which proxies speak, and no client of ours.
    OldHttp,
    /// The host is not this machine, or no host.
    Host,
    /// A header that no client sends: the beginning of its name.
    Header(String),
    /// The page of another site.
    Site,
}

/// There is more than one `Host`: nobody knows which one a proxy looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TwoHosts;

/// Returns the host that a request names: that of the target, where it has one (RFC 9112, 3.2.2), or the header's.
pub(crate) fn host_of(head: &Parts) -> Result<Option<&str>, TwoHosts> {
    let mut hosts = head.headers.get_all(HOST).into_iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(TwoHosts);
    }
    let target = head.uri.authority().map(Authority::as_str);
    Ok(target.or_else(|| host.map(|host| host.to_str().unwrap_or_default())))
}

/// Returns what tells that the request did not come straight from a program on this machine; nothing if it did.
pub(super) fn sign_of_another(remote: IpAddr, host: &str, head: &Parts) -> Option<Sign> {
    if !remote.to_canonical().is_loopback() {
        return Some(Sign::Remote);
    }
    if head.version < Version::HTTP_11 {
        return Some(Sign::OldHttp);
    }
    if !is_loopback_host(host) {
        return Some(Sign::Host);
    }
    let headers = &head.headers;
    if let Some((name, _)) = headers.iter().find(|(name, value)| !value.is_empty() && !is_of_client(name)) {
        return Some(Sign::Header(text::first_chars(name.as_str(), 64).to_owned()));
    }
    let same_site = values(headers, "sec-fetch-site").all(|site| matches!(site, b"" | b"same-origin" | b"none"))
        && values(headers, "origin").all(|origin| origin.is_empty() || is_origin_of(origin, host));
    (!same_site).then_some(Sign::Site)
}

fn is_of_client(name: &HeaderName) -> bool {
    let name = name.as_str();
    CLIENT_HEADERS.contains(&name) || CLIENT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

/// Returns whether `host`, with or without a port, names this machine. Whatever else an authority may hold (a user, a
/// port that is no number) makes it another's.
fn is_loopback_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => match port.strip_prefix(':') {
                Some(port) => (address, Some(port)),
                None => return false,
            },
            None => return false,
        },
        // More than one colon is an address without brackets.
        None if host.matches(':').count() > 1 => (host, None),
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let is_port = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if port.is_some_and(|port| !is_port(port)) {
        return false;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Returns whether a page of `host` itself sent the request.
fn is_origin_of(origin: &[u8], host: &str) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else { return false };
    let Some(authority) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
        return false;
    };
    is_loopback_host(authority) && authority.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1:5681";

    fn sign(remote: &str, host: &str, version: Version, headers: &[(&str, &str)]) -> Option<Sign> {
        let mut request = http::Request::builder().version(version).uri("/who-am-i");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("request").into_parts();
        sign_of_another(remote.parse().expect("address"), host, &head)
    }

    fn check(remote: &str, host: &str, header: Option<(&str, &str)>, expected: bool) {
        let found = sign(remote, host, Version::HTTP_11, header.as_slice());
        assert_eq!(found.is_none(), expected, "{remote} {host} {header:?}: {found:?}");
    }

    #[test]
    fn the_connection_must_come_from_this_machine() {
        for (remote, expected) in [("127.0.0.1", true), ("127.0.0.9", true), ("::1", true), ("::ffff:127.0.0.1", true)]
        {
            check(remote, HERE, None, expected);
        }
        check("10.9.9.1", "localhost:5681", None, false);
    }

    #[test]
    fn a_header_that_a_proxy_sets_means_that_the_request_is_not_direct() {
        for name in [
            "Forwarded",
            "Via",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
            "X-Forwarded-Server",
            "X-Real-IP",
            "X-Client-IP",
            "X-Cluster-Client-IP",
            "X-Original-URL",
            "X-Original-Forwarded-For",
            "X-Request-ID",
            "X-Envoy-External-Address",
            "X-B3-TraceId",
            "X-Scheme",
            "X-Amzn-Trace-Id",
            "True-Client-IP",
            "CF-Connecting-IP",
            "CF-Ray",
            "CDN-Loop",
            "Fastly-Client-IP",
            "Fly-Client-IP",
            "Client-IP",
            "Proxy-Connection",
            "Proxy-Authorization",
            "Max-Forwards",
            "Traceparent",
            "Some-Header-Of-Tomorrow",
        ] {
            check("127.0.0.1", HERE, Some((name, "127.0.0.1")), false);
            check("127.0.0.1", HERE, Some((name, "")), true);
        }
    }

    #[test]
    fn what_kumactl_and_curl_and_browsers_send_is_direct() {
        let direct = |headers: &[(&str, &str)]| {
            assert_eq!(sign("127.0.0.1", HERE, Version::HTTP_11, headers), None, "{headers:?}");
        };
        direct(&[
            ("user-agent", "kumactl/3.0.0 (linux; amd64; Kuma/348b652)"),
            ("authorization", "Bearer abc"),
            ("accept-encoding", "gzip"),
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("content-length", "2"),
        ]);
        direct(&[
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAEAAEAAAAIAAAAB"),
        ]);
        direct(&[("host", HERE), ("user-agent", "curl/8.5.0"), ("accept", "*/*"), ("expect", "100-continue")]);
        direct(&[
            ("host", HERE),
            ("connection", "keep-alive"),
            ("cache-control", "max-age=0"),
            ("sec-ch-ua-platform", "\"Linux\""),
            ("sec-fetch-site", "none"),
            ("sec-fetch-mode", "navigate"),
            ("upgrade-insecure-requests", "1"),
            ("accept-language", "en"),
            ("if-none-match", "x"),
            ("cookie", "a=b"),
            ("dnt", "1"),
            ("priority", "u=0, i"),
            ("te", "trailers"),
        ]);
    }

    #[test]
    fn a_proxy_that_speaks_http_1_0_is_not_direct() {
        assert_eq!(sign("127.0.0.1", HERE, Version::HTTP_10, &[("connection", "close")]), Some(Sign::OldHttp));
    }

    #[test]
    fn the_host_must_be_this_machine() {
        for host in
            ["localhost", "localhost:5681", "localhost.", "LOCALHOST:1", "127.0.0.2:5681", "[::1]:5681", "[::1]", "::1"]
        {
            check("127.0.0.1", host, None, true);
        }
        for host in [
            "",
            "evil.example",
            "a.localhost",
            "10.0.0.1:5681",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "localhost:1@evil",
            "localhost:1@evil:2",
            "localhost@evil.example",
            "evil@localhost",
            "localhost:",
            "localhost:x",
            "localhost:-1",
            "localhost:+1",
            "localhost:65536",
            "localhost/evil",
            "localhost:1/evil",
            "localhost, evil.example",
        ] {
            check("127.0.0.1", host, None, false);
        }
    }

    #[test]
    fn a_page_of_another_site_is_not_direct() {
        for (site, expected) in [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)] {
            check("127.0.0.1", HERE, Some(("sec-fetch-site", site)), expected);
        }
        for (origin, expected) in [
            ("http://127.0.0.1:5681", true),
            ("https://127.0.0.1:5681", true),
            ("http://127.0.0.1:8080", false),
            ("http://localhost:5681", false),
            ("http://evil.example", false),
            ("null", false),
        ] {
            check("127.0.0.1", HERE, Some(("origin", origin)), expected);
        }
    }

    #[test]
    fn a_second_header_of_the_same_name_counts_too() {
        let headers = [("x-forwarded-for", ""), ("x-forwarded-for", "10.0.0.1")];
        assert!(sign("127.0.0.1", "localhost", Version::HTTP_11, &headers).is_some());
    }
}
