//! The names and addresses of this machine, for the certificate that it makes for itself.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
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

/// Returns the address of this machine under which others reach it: the one from which it reaches `there`, where they are
/// too; if that is this machine itself, the one from which it would leave the network; if there is none, loopback.
pub(crate) fn address_to_reach(there: Option<SocketAddr>) -> IpAddr {
    let outside = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let towards = there.and_then(|there| match there {
        SocketAddr::V4(_) => outgoing("0.0.0.0:0", &there.to_string()),
        SocketAddr::V6(_) => outgoing("[::]:0", &there.to_string()),
    });
    let leaving = outside.into_iter().filter_map(|(from, to)| outgoing(from, to));
    towards
        .into_iter()
        .chain(leaving)
        .chain(addresses())
        .map(|address| address.to_canonical())
        .find(|address| !address.is_loopback() && !is_of_one_link(address))
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Such addresses mean something only together with an interface.
fn is_of_one_link(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
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
    fn the_way_to_this_machine_itself_says_nothing_of_where_others_reach_it() {
        let towards = |there: &str| address_to_reach(Some(there.parse().unwrap()));
        assert_eq!(towards("127.0.0.1:5432"), address_to_reach(None));
        assert_eq!(towards("[::1]:5432"), address_to_reach(None));
        let address = address_to_reach(None);
        assert!(addresses().contains(&address) && !address.is_unspecified(), "{address}");
    }

    #[test]
    fn loopback_is_always_named_and_nothing_twice() {
        let names = names();
        for expected in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(names.iter().filter(|name| *name == expected).count(), 1, "{names:?}");
        }
    }
}
