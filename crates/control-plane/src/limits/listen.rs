//! Opens the sockets that ports listen on: for both address families where no address is chosen.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that the kernel keeps until they are accepted; it takes less if `net.core.somaxconn` says so.
const BACKLOG: i32 = 65_535;

/// Binds an address, with an error that says what to do when it is taken.
///
/// `0.0.0.0` and `::` both mean every address of both families, as they do for the usual control planes; where IPv6 is
/// off, every address of IPv4.
pub(crate) fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    open(address).with_context(|| {
        format!("cannot listen on {address} for {what}: is another control plane running here? choose another port")
    })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_unspecified() {
        return listen(address);
    }
    let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
    match listen(both) {
        // Without IPv6 there is no such socket, or no such address.
        Err(error) if is_without_ipv6(&error) => listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port())),
        listening => listening,
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A restarted control plane takes its port while connections of the one before it fade away.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn without_an_address_both_families_are_served() {
        for any in ["0.0.0.0:0", "[::]:0"] {
            let listener = bind(any.parse().unwrap(), "a test").unwrap();
            let port = listener.local_addr().unwrap().port();
            TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            listener.accept().await.unwrap();
            // A machine without IPv6 has one family only.
            if listener.local_addr().unwrap().is_ipv6() {
                TcpStream::connect(("::1", port)).await.unwrap();
                listener.accept().await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn an_address_that_was_chosen_is_the_only_one() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), "a test").unwrap();
        assert!(listener.local_addr().unwrap().ip().is_loopback());
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let first = bind("0.0.0.0:0".parse().unwrap(), "a test").unwrap();
        let taken = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), first.local_addr().unwrap().port());
        let error = bind(taken, "the REST API").unwrap_err().to_string();
        assert!(error.contains(&taken.to_string()) && error.contains("choose another port"), "{error}");
    }
}
