//! The HTTP proxy on the way to global: `HTTPS_PROXY` and `NO_PROXY`, read as Go's `net/http/httpproxy` documents them.
//!
//! The names in capitals win over the others. Connections to this machine never go through a proxy.

use std::{fmt, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

use super::SecretText;

/// A proxy that is asked with CONNECT. `Display` and `Debug` mask the password.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The value of `Proxy-Authorization`, if the address names a user.
    pub authorization: Option<SecretText>,
    user: Option<String>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("http://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}:*****@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Proxy {
    /// Returns the proxy for a host and port, if there is one; or what is wrong, without the value, which may hold a
    /// password.
    pub(super) fn of(environment: &[(String, String)], host: &str, port: u16) -> Result<Option<Self>, String> {
        let Some((variable, text)) = first(environment, ["HTTPS_PROXY", "https_proxy"]) else { return Ok(None) };
        let excepted = first(environment, ["NO_PROXY", "no_proxy"]).map_or("", |(_, text)| text);
        if is_direct(excepted, host, port) {
            return Ok(None);
        }
        Self::parse(text).map(Some).map_err(|wrong| format!("{variable}: {wrong}"))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        const ALLOWED: &str = "it must be `http://[<user>:<password>@]<host>[:<port>]`";
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&with_scheme).ok().filter(|url| url.scheme() == "http").ok_or(ALLOWED)?;
        let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
        let host = host.filter(|host| !host.is_empty()).ok_or(ALLOWED)?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = Some(decoded(url.username())).filter(|user| !user.is_empty() || url.password().is_some());
        let authorization = user.as_ref().map(|user| {
            let pair = Zeroizing::new(format!("{user}:{}", decoded(url.password().unwrap_or_default())));
            SecretText(Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))))
        });
        Ok(Self {
            host,
            port: url.port().unwrap_or(80),
            authorization,
            user: user.map(|user| user.escape_debug().to_string()),
        })
    }
}

/// The first of these variables that is not empty.
fn first<'a>(environment: &'a [(String, String)], names: [&'static str; 2]) -> Option<(&'static str, &'a str)> {
    names.into_iter().find_map(|name| {
        let (_, text) = environment.iter().find(|(key, text)| key == name && !text.trim().is_empty())?;
        Some((name, text.trim()))
    })
}

/// Whether a host and port are reached without the proxy.
fn is_direct(excepted: &str, host: &str, port: u16) -> bool {
    let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok().map(|address: IpAddr| address.to_canonical());
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    excepted.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some((network, bits)) = entry.split_once('/') {
            let range = network.parse().ok().zip(bits.parse().ok());
            return range.zip(address).is_some_and(|((network, bits), address)| is_in(address, network, bits));
        }
        let (name, only) = split_port(&entry);
        if only.is_some_and(|only| only != port.to_string()) {
            return false;
        }
        let name = name.trim_matches(['[', ']']);
        if let Ok(excepted) = name.parse::<IpAddr>() {
            return address == Some(excepted.to_canonical());
        }
        let name = name.strip_prefix('*').unwrap_or(name);
        match name.strip_prefix('.') {
            Some(domain) => is_below(&host, domain),
            None => host == name || is_below(&host, name),
        }
    })
}

/// Splits a port off; an IPv6 address without brackets has none.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (entry, None),
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    !domain.is_empty() && host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
}

fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            let shift = 32 - bits;
            address.to_bits().checked_shr(shift) == network.to_bits().checked_shr(shift)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            let shift = 128 - bits;
            address.to_bits().checked_shr(shift) == network.to_bits().checked_shr(shift)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)], host: &str) -> Result<Option<Proxy>, String> {
        let all: Vec<_> = variables.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        Proxy::of(&all, host, 5685)
    }

    #[test]
    fn exceptions_are_read_as_go_reads_them() {
        let check = |excepted: &str, host: &str, direct: bool| {
            let found = of(&[("https_proxy", "proxy:3128"), ("no_proxy", excepted)], host).unwrap();
            assert_eq!(found.is_none(), direct, "{host} with {excepted:?}");
        };
        for host in ["localhost", "127.0.0.1", "127.8.8.8", "::1"] {
            check("", host, true);
        }
        check("", "global.example.com", false);
        check("*", "global.example.com", true);
        check("example.com", "example.com", true);
        check("other, EXAMPLE.com ", "Global.example.com", true);
        check("example.com", "globalexample.com", false);
        for excepted in [".example.com", "*.example.com"] {
            check(excepted, "global.example.com", true);
            check(excepted, "example.com", false);
        }
        check("example.com:5685", "example.com", true);
        check("example.com:443", "example.com", false);
        check("10.0.0.0/8", "10.1.2.3", true);
        check("0.0.0.0/0", "10.1.2.3", true);
        check("10.0.0.0/8", "11.1.2.3", false);
        check("2001:db8::/32", "2001:db8::7", true);
        check("2001:db8::7", "2001:db8::7", true);
        check("[2001:db8::7]:443", "2001:db8::7", false);
        check("10.1.2.3:5685", "10.1.2.3", true);
        check("10.0.0.0/99, /, :, .", "10.1.2.3", false);
    }

    #[test]
    fn the_password_goes_into_the_header_and_nowhere_else() {
        let proxy = of(&[("HTTPS_PROXY", "http://me:p%40ss@proxy:3128"), ("https_proxy", "http://other")], "global");
        let proxy = proxy.unwrap().unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy", 3128));
        assert_eq!(proxy.authorization.as_ref().unwrap().reveal(), "Basic bWU6cEBzcw==");
        assert_eq!(proxy.to_string(), "http://me:*****@proxy:3128");
        assert!(!format!("{proxy:?}").contains("p@ss") && !format!("{proxy:?}").contains("bWU6"));
        assert_eq!(of(&[("HTTPS_PROXY", "proxy")], "global").unwrap().unwrap().to_string(), "http://proxy:80");
        for wrong in ["socks5://me:secret@proxy", "https://me:secret@proxy", "http://", "me:secret@"] {
            let wrong = of(&[("HTTPS_PROXY", wrong)], "global").unwrap_err();
            assert!(wrong.starts_with("HTTPS_PROXY: it must be") && !wrong.contains("secret"), "{wrong}");
        }
    }
}
