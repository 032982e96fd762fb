//! The names and addresses of this machine, for the certificate that it makes for itself.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    path::Path,
};

use crate::files;

/// Returns every name that a client on this network may dial: host name, `localhost`, all addresses.
fn names() -> Vec<String> {
    let mut names = Vec::new();
    names.extend(host_names().find(|name| is_dns_name(name)));
    names.push("localhost".to_owned());
    names.extend(addresses().iter().map(IpAddr::to_string));
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Returns these names and others beside them, each once.
pub(super) fn names_and(also: &[String]) -> Vec<String> {
    let mut names = names();
    for name in also {
        if !name.is_empty() && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Returns what this machine says that it is called, best first; the names may be any texts.
pub(crate) fn host_names() -> impl Iterator<Item = String> {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .into_iter()
        .filter_map(|file| files::read_text(Path::new(file), files::TOKEN).ok())
        .map(|text| text.trim().to_owned())
}

/// A certificate refuses other names; a host name may be anything.
fn is_dns_name(name: &str) -> bool {
    !name.is_empty() && rustls_pki_types::DnsName::try_from(name).is_ok()
}

fn addresses() -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::from([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    found.extend(fs::read_to_string("/proc/net/fib_trie").iter().flat_map(|text| ipv4_of(text)));
    found.extend(fs::read_to_string("/proc/net/if_inet6").iter().flat_map(|text| ipv6_of(text)));
    // Where there is no such file: the address that would be used to leave this machine. Nothing is sent.
    found.extend(outgoing("0.0.0.0:0", "192.0.2.1:9"));
    found.extend(outgoing("[::]:0", "[2001:db8::1]:9"));
    found
}

fn outgoing(from: &str, to: &str) -> Option<IpAddr> {
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

/// Reads the kernel's routing trie: an address line, then what it is.
fn ipv4_of(trie: &str) -> Vec<IpAddr> {
    let mut last = None;
    let mut found = Vec::new();
    for line in trie.lines() {
        if let Some(address) = line.trim_start().strip_prefix("|-- ") {
            last = address.trim().parse::<Ipv4Addr>().ok();
        } else if line.trim() == "/32 host LOCAL"
            && let Some(address) = last
        {
            found.push(IpAddr::V4(address));
        }
    }
    found
}

/// Reads the kernel's list of interface addresses: 32 hexadecimal digits start each line.
fn ipv6_of(list: &str) -> Vec<IpAddr> {
    list.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|digits| digits.len() == 32)
        .filter_map(|digits| u128::from_str_radix(digits, 16).ok())
        .map(|bits| IpAddr::V6(Ipv6Addr::from(bits)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_read_from_the_routing_trie() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.1.2.3\n        \
                    /32 host LOCAL\n     |-- 10.1.2.255\n        /32 link BROADCAST\n";
        assert_eq!(ipv4_of(trie), ["10.1.2.3".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn interface_addresses_are_hexadecimal() {
        let list = "00000000000000000000000000000001 01 80 10 80       lo\nshort 01\n";
        assert_eq!(ipv6_of(list), ["::1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn loopback_is_always_named_and_nothing_twice() {
        let names = names();
        for expected in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(names.iter().filter(|name| *name == expected).count(), 1, "{names:?}");
        }
    }
}
