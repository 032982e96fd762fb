//! Ports that stay what they are although other tests look for free ones all the time: the system gives nobody a port to which
//! a socket is bound, also where nobody listens on it.

use std::{fmt, net::SocketAddr};

use tokio::net::TcpSocket;

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A port of loopback where nobody listens, as long as this is there.
pub struct ClosedPort {
    socket: TcpSocket,
}

impl ClosedPort {
    /// Takes one.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(ANY.into()).expect("a free port");
        Self { socket }
    }

    /// Where nobody listens.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    /// Its number.
    pub fn port(&self) -> u16 {
        self.address().port()
    }
}

impl fmt::Display for ClosedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

/// A port of loopback for whoever asks for it by its number, and for nobody else, as long as this is there.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    socket: TcpSocket,
}

impl ReservedPort {
    /// Takes a free one.
    pub(crate) fn free() -> Self {
        Self::at(ANY.into()).expect("a free port")
    }

    /// Takes the one of somebody who listens there no more; none if somebody does.
    pub(crate) fn left(port: u16) -> Option<Self> {
        Self::at(([127, 0, 0, 1], port).into())
    }

    fn at(address: SocketAddr) -> Option<Self> {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Whoever listens says the same, and may then do so beside this.
        socket.set_reuseaddr(true).expect("an option of a socket");
        socket.bind(address).ok()?;
        Some(Self { socket })
    }

    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().expect("an address").port()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn nobody_listens_on_a_closed_port_and_nobody_may() {
        let closed = ClosedPort::new();
        let refused = TcpStream::connect(closed.address()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(TcpListener::bind(closed.address()).is_err());
    }

    #[test]
    fn a_reserved_port_is_for_whoever_names_it() {
        let reserved = ReservedPort::free();
        let listener = TcpListener::bind(("127.0.0.1", reserved.port())).unwrap();
        assert!(TcpStream::connect(listener.local_addr().unwrap()).is_ok());
        assert!(ReservedPort::left(reserved.port()).is_none(), "somebody listens");
        drop(listener);
        let again = ReservedPort::left(reserved.port()).unwrap();
        assert!(TcpListener::bind(("0.0.0.0", again.port())).is_ok());
    }
}
