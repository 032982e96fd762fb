//! When a request from this machine comes from its administrator (contract: rest 2.2).
//!
//! A browser and a proxy on this machine speak for others: their requests carry signs of it, and a request that
//! carries one is not the administrator's.

use std::net::IpAddr;

use http::HeaderMap;

/// Returns whether the request came straight from a program on this machine.
pub(super) fn is_direct(remote: IpAddr, host: &str, headers: &HeaderMap) -> bool {
    remote.to_canonical().is_loopback()
        && ["forwarded", "x-forwarded-for", "x-real-ip"].iter().all(|name| is_absent(headers, name))
        && is_loopback_host(host)
        && values(headers, "sec-fetch-site").all(|site| matches!(site, b"" | b"same-origin" | b"none"))
        && values(headers, "origin").all(|origin| origin.is_empty() || is_origin_of(origin, host))
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).into_iter().map(http::HeaderValue::as_bytes)
}

fn is_absent(headers: &HeaderMap, name: &str) -> bool {
    values(headers, name).all(<[u8]>::is_empty)
}

/// Returns whether `host`, with or without a port, names this machine.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
            _ => return false,
        },
        // More than one colon is an address without brackets.
        None if host.matches(':').count() > 1 => host,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
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

    fn check(remote: &str, host: &str, header: Option<(&'static str, &str)>, expected: bool) {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header {
            headers.insert(name, value.parse().expect("header"));
        }
        let remote = remote.parse().expect("address");
        assert_eq!(is_direct(remote, host, &headers), expected, "{remote} {host} {header:?}");
    }

    #[test]
    fn the_connection_must_come_from_this_machine() {
        for (remote, expected) in [("127.0.0.1", true), ("127.0.0.9", true), ("::1", true), ("::ffff:127.0.0.1", true)]
        {
            check(remote, "127.0.0.1:5681", None, expected);
        }
        check("10.9.9.1", "localhost:5681", None, false);
    }

    #[test]
    fn a_forwarded_request_is_not_direct() {
        for name in ["forwarded", "x-forwarded-for", "x-real-ip"] {
            check("127.0.0.1", "127.0.0.1:5681", Some((name, "127.0.0.1")), false);
            check("127.0.0.1", "127.0.0.1:5681", Some((name, "")), true);
        }
        check("127.0.0.1", "127.0.0.1:5681", Some(("x-forwarded-host", "evil.example")), true);
    }

    #[test]
    fn the_host_must_be_this_machine() {
        for host in
            ["localhost", "localhost:5681", "localhost.", "LOCALHOST:1", "127.0.0.2:5681", "[::1]:5681", "[::1]"]
        {
            check("127.0.0.1", host, None, true);
        }
        for host in ["", "evil.example", "a.localhost", "10.0.0.1:5681", "[::1", "[::1]x"] {
            check("127.0.0.1", host, None, false);
        }
    }

    #[test]
    fn a_page_of_another_site_is_not_direct() {
        let host = "127.0.0.1:5681";
        for (site, expected) in [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)] {
            check("127.0.0.1", host, Some(("sec-fetch-site", site)), expected);
        }
        for (origin, expected) in [
            ("http://127.0.0.1:5681", true),
            ("https://127.0.0.1:5681", true),
            ("http://127.0.0.1:8080", false),
            ("http://localhost:5681", false),
            ("http://evil.example", false),
            ("null", false),
        ] {
            check("127.0.0.1", host, Some(("origin", origin)), expected);
        }
    }

    #[test]
    fn a_second_header_of_the_same_name_counts_too() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "".parse().expect("header"));
        headers.append("x-forwarded-for", "10.0.0.1".parse().expect("header"));
        assert!(!is_direct(IpAddr::from([127, 0, 0, 1]), "localhost", &headers));
    }
}
