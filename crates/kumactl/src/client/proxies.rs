//! Which HTTP proxy an address is asked through: the rules that every kumactl has for `HTTPS_PROXY`, `HTTP_PROXY` and
//! `NO_PROXY`. This machine is never asked through a proxy.
//!
//! Connections are tunnels (`CONNECT`), for `http` addresses, too; the proxy resolves the name.

use std::net::IpAddr;

use ureq::Proxy;
use url::Url;

use crate::environment::Environment;

#[derive(Clone, Default)]
pub(crate) struct Proxies {
    https: Option<String>,
    http: Option<String>,
    exceptions: Vec<String>,
}

/// Why a proxy cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the proxy in {variable} cannot be used: {address}: {reason}")]
pub(crate) struct ProxyProblem {
    variable: &'static str,
    /// The address without its password.
    address: String,
    reason: String,
}

impl Proxies {
    /// Takes the proxies of the environment.
    pub(crate) fn of(environment: &Environment) -> Self {
        let exceptions = environment.no_proxy.as_deref().unwrap_or_default();
        let exceptions = exceptions.split([',', ' ']).map(str::trim).filter(|rule| !rule.is_empty());
        Self {
            https: environment.https_proxy.clone(),
            http: environment.http_proxy.clone(),
            exceptions: exceptions.map(str::to_lowercase).collect(),
        }
    }

    /// Returns the proxy for this address, if there is one.
    pub(crate) fn proxy_for(&self, url: &Url) -> Result<Option<Proxy>, ProxyProblem> {
        let (variable, address) = match url.scheme() {
            "https" => ("HTTPS_PROXY", &self.https),
            "http" => ("HTTP_PROXY", &self.http),
            _ => return Ok(None),
        };
        let Some(address) = address.as_deref().filter(|_| !self.is_exception(url)) else { return Ok(None) };
        let problem = |reason: &str| ProxyProblem { variable, address: masked(address), reason: reason.to_owned() };
        let proxy =
            Proxy::new(address).map_err(|_error| problem("it is no address of a proxy, like http://host:3128"))?;
        match proxy.protocol() {
            ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https => Ok(Some(proxy)),
            _ => Err(problem("only http and https proxies are supported")),
        }
    }

    fn is_exception(&self, url: &Url) -> bool {
        if is_this_machine(url) {
            return true;
        }
        let host = host(url);
        let address: Option<IpAddr> = host.parse().ok();
        let port = url.port_or_known_default();
        self.exceptions.iter().any(|rule| matches(rule, &host, address, port))
    }
}

/// Returns whether the address is one of this machine, by its name or its number.
pub(crate) fn is_this_machine(url: &Url) -> bool {
    let host = host(url);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.').to_lowercase()
}

/// `*`, a network `10.0.0.0/8`, an address, or a domain: `d` is the domain and all below it, `.d` and `*.d` only those
/// below. An address or a domain may have a port.
fn matches(rule: &str, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
    if rule == "*" {
        return true;
    }
    if let Some((network, bits)) = rule.split_once('/') {
        let network: Option<IpAddr> = network.parse().ok();
        return network
            .zip(address)
            .zip(bits.parse().ok())
            .is_some_and(|((network, address), bits)| is_in_network(network, address, bits));
    }
    let bare: Option<IpAddr> = rule.trim_matches(['[', ']']).parse().ok();
    let (name, wanted_port) = match rule.rsplit_once(':') {
        Some((name, number)) if bare.is_none() && number.parse::<u16>().is_ok() => (name, number.parse().ok()),
        _ => (rule, None),
    };
    if wanted_port.is_some() && wanted_port != port {
        return false;
    }
    let name = name.trim_matches(['[', ']']);
    if let (Ok(rule), Some(address)) = (name.parse::<IpAddr>(), address) {
        return rule.to_canonical() == address.to_canonical();
    }
    match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        Some(domain) => is_below(host, domain),
        None => host == name || is_below(host, name),
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    !domain.is_empty() && host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn is_in_network(network: IpAddr, address: IpAddr, bits: u32) -> bool {
    let same = |left: u128, right: u128, width: u32| {
        bits <= width && (left ^ right).checked_shr(width - bits).unwrap_or_default() == 0
    };
    match (network.to_canonical(), address.to_canonical()) {
        (IpAddr::V4(left), IpAddr::V4(right)) => same(left.to_bits().into(), right.to_bits().into(), 32),
        (IpAddr::V6(left), IpAddr::V6(right)) => same(left.to_bits(), right.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Writes the address of a proxy without its password.
pub(super) fn masked(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}***@{host}")
        }
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no_proxy: &str) -> Proxies {
        Proxies::of(&Environment {
            https_proxy: Some("http://u:secret@proxy:3128".to_owned()),
            http_proxy: Some("plain:3129".to_owned()),
            no_proxy: Some(no_proxy.to_owned()),
            home: None,
        })
    }

    fn check(no_proxy: &str, address: &str, expected: Option<&str>) {
        let proxy = proxies(no_proxy).proxy_for(&Url::parse(address).unwrap()).unwrap();
        let found = proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port()));
        assert_eq!(found.as_deref(), expected, "{no_proxy:?} {address}");
    }

    #[test]
    fn each_scheme_has_its_proxy_and_this_machine_has_none() {
        check("", "https://cp:5682", Some("proxy:3128"));
        check("", "http://cp:5681", Some("plain:3129"));
        for address in ["https://localhost:1", "https://127.0.0.9", "https://[::1]:5682", "http://LOCALHOST."] {
            check("", address, None);
        }
    }

    #[test]
    fn exceptions_are_domains_addresses_and_networks() {
        let direct = [
            ("*", "https://cp"),
            ("a.b, cp", "https://cp"),
            ("example.com", "https://example.com"),
            ("example.com", "https://x.example.com"),
            (".example.com", "https://x.example.com"),
            ("*.example.com", "https://x.example.com"),
            ("cp:5682", "https://cp:5682"),
            ("cp:443", "https://cp"),
            ("10.1.2.3", "https://10.1.2.3:9"),
            ("10.0.0.0/8", "https://10.1.2.3"),
            ("0.0.0.0/0", "https://10.1.2.3"),
            ("fd00::/8", "https://[fd00::1]"),
            ("fd00::1", "https://[fd00::1]"),
        ];
        for (rule, address) in direct {
            check(rule, address, None);
        }
        let proxied = [
            (".example.com", "https://example.com"),
            ("example.com", "https://badexample.com"),
            ("cp:5683", "https://cp:5682"),
            ("10.0.0.0/8", "https://11.1.2.3"),
            ("10.0.0.0/8", "https://cp"),
            ("10.0.0.0/99", "https://10.0.0.1"),
        ];
        for (rule, address) in proxied {
            check(rule, address, Some("proxy:3128"));
        }
    }

    #[test]
    fn unusable_proxy_is_told_without_its_password() {
        for address in ["socks5://u:secret@p:1", "http://u:secret@", "ftp://u:secret@p"] {
            let environment = Environment { https_proxy: Some(address.to_owned()), ..Environment::default() };
            let refused = Proxies::of(&environment).proxy_for(&Url::parse("https://cp").unwrap());
            let text = refused.expect_err(address).to_string();
            assert!(text.contains("HTTPS_PROXY") && !text.contains("secret"), "{text}");
        }
    }
}
