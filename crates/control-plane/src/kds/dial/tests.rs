use testkit::ports::ClosedPort;
use tokio::net::TcpListener;

use super::*;

fn clock() -> Clock {
    Clock::starting_at(jiff::Timestamp::UNIX_EPOCH)
}

fn plain(targets: &[(&str, u16)]) -> Dialer {
    let target = |(host, port): &(&str, u16)| (Target { host: (*host).to_owned(), port: *port }, None);
    Dialer::new(targets.iter().map(target).collect(), Trust::Plain, clock())
}

#[tokio::test]
async fn of_several_urls_the_one_that_answers_is_taken_until_it_is_gone() {
    let (one, other) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (first, second) = (one.local_addr().unwrap().port(), other.local_addr().unwrap().port());
    let closed = ClosedPort::new();
    let dialer = plain(&[("127.0.0.1", first), ("127.0.0.1", closed.port()), ("127.0.0.1", second)]);
    assert!(dialer.target().contains(" or "), "{}", dialer.target());
    let reached = async || {
        let connected = dialer.dial().await.ok().unwrap();
        assert_eq!(connected.origin.authority().unwrap().as_str(), dialer.target());
        dialer.target()
    };
    let before = reached().await;
    assert!([first, second].iter().any(|port| before == format!("127.0.0.1:{port}")), "{before}");
    for _ in 0..5 {
        assert_eq!(reached().await, before, "it is kept");
    }
    dialer.set_aside();
    let after = reached().await;
    assert_ne!(after, before);
    drop((one, other));
    let refused = dialer.dial().await.err().unwrap().to_string();
    assert!(refused.contains("Connection refused"), "{refused}");
}

#[tokio::test]
async fn a_name_that_is_not_known_hides_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dialer = plain(&[("global.invalid", 5685), ("localhost", port)]);
    assert!(dialer.dial().await.is_ok());
    assert_eq!(dialer.target(), format!("localhost:{port}"));
}

#[test]
fn that_somebody_answered_and_was_wrong_is_what_is_told() {
    let target = || Target { host: "g".to_owned(), port: 1 };
    let tls = DialError::Tls { target: target(), reason: "unknown authority".to_owned() };
    let refused = DialError::Unreachable { target: target(), cause: io::ErrorKind::ConnectionRefused.into() };
    assert!(matches!(tls.or(refused), DialError::Tls { .. }));
    let late = || DialError::Late { target: String::new(), within: DEADLINE };
    let refused = || DialError::Unreachable { target: target(), cause: io::ErrorKind::ConnectionRefused.into() };
    assert!(matches!(late().or(refused()), DialError::Unreachable { .. }));
    assert!(matches!(refused().or(late()), DialError::Unreachable { .. }));
}

#[tokio::test]
async fn an_address_of_ipv6_is_an_authority_and_can_be_dialled() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let port = listener.local_addr().unwrap().port();
    let dialer = plain(&[("::1", port)]);
    let target = Target { host: "::1".to_owned(), port };
    assert_eq!(dialer.origin(&target).authority().unwrap().as_str(), format!("[::1]:{port}"));
    assert!(matches!(server_name(&target), Ok(ServerName::IpAddress(_))));
    let (connected, accepted) = tokio::join!(dialer.dial(), listener.accept());
    assert!(connected.is_ok() && accepted.unwrap().1.is_ipv6());
}

/// A dialer to a name that only a proxy resolves.
fn behind(proxy: SocketAddr) -> Dialer {
    let environment = [
        ("KUMA_MODE", "zone".to_owned()),
        ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", "grpc://global.invalid:5685".to_owned()),
        ("HTTPS_PROXY", format!("http://me:secret@{proxy}")),
    ];
    let environment = environment.map(|(key, text)| (key.to_owned(), text));
    let (config, _) = crate::config::Config::from_sources(None, &environment, "/home/user").unwrap();
    let shown = config.display_json();
    assert!(shown.contains("me:*****@") && !shown.contains("secret"), "{shown}");
    let [(address, proxy)] = config.global_addresses.try_into().unwrap();
    let target = Target { host: address.host, port: address.port };
    Dialer::new(vec![(target, proxy)], Trust::Plain, clock())
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut read = String::new();
    while !read.ends_with(end) {
        read.push(char::from(stream.read_u8().await.unwrap()));
    }
    read
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_asked_for_the_connection() {
    use tokio::io::AsyncWriteExt as _;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialer = behind(listener.local_addr().unwrap());
    let proxy = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = read_until(&mut stream, "\r\n\r\n").await;
        assert!(asked.starts_with("CONNECT global.invalid:5685 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{asked}");
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        stream
    };
    let (connected, mut stream) = tokio::join!(dialer.dial(), proxy);
    // Without somebody who may ask, the connection would be closed.
    let Connected { requests: _kept, driver, .. } = connected.ok().unwrap();
    tokio::select! {
        _ = driver => panic!("the connection stands"),
        preface = read_until(&mut stream, "SM\r\n\r\n") => assert!(preface.starts_with("PRI * HTTP/2.0"), "{preface}"),
    }

    let refuses = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
    };
    let (refused, ()) = tokio::join!(dialer.dial(), refuses);
    let refused = refused.err().unwrap().to_string();
    assert!(refused.ends_with("(HTTPS_PROXY): it refused: `HTTP/1.1 403 Forbidden`"), "{refused}");
    drop(listener);
    let away = dialer.dial().await.err().unwrap().to_string();
    assert!(away.contains("global.invalid:5685") && away.contains("cannot reach the proxy"), "{away}");
    assert!(![refused, away].iter().any(|text| text.contains("secret")));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_says_nothing_leaves_time_for_the_others() {
    let address = |index: usize| SocketAddr::from(([127, 0, 0, 1], u16::try_from(index).unwrap() + 1));
    for (count, seconds) in [(1, 0), (2, 3), (3, 6), (11, 9)] {
        let addresses: Vec<_> = (0..count).map(address).collect();
        let last = address(count - 1);
        let start = Instant::now();
        let connect = |address, within: Option<Duration>| async move {
            match within {
                _ if address == last => Ok(address),
                Some(within) => tokio::time::timeout(within, std::future::pending()).await,
                None => std::future::pending().await,
            }
        };
        let connected = first_reachable(&addresses, start + DEADLINE, connect, |_before, later| later);
        assert_eq!(connected.await.unwrap(), last);
        assert_eq!(start.elapsed().as_secs(), seconds, "{count} addresses");
    }
    let silent = |_, within: Option<Duration>| async move {
        assert_eq!(within, None, "the caller says that it is late");
        std::future::pending::<Result<(), ()>>().await
    };
    let only = [address(0)];
    let waits = first_reachable(&only, Instant::now() + DEADLINE, silent, |(), ()| ());
    assert!(tokio::time::timeout(2 * DEADLINE, waits).await.is_err());
}
