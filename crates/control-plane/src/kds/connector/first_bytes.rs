//! What a client speaks, by the first bytes that it sends: a clear answer for who speaks something else.

use tokio::net::TcpStream;

/// HTTP/2 begins with these (RFC 9113, 3.4).
const HTTP2: &[u8] = b"PRI";
/// A TLS record with a handshake.
const TLS: u8 = 0x16;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http2,
    Tls,
    /// Something else, HTTP/1.1 most of the time.
    Other,
}

/// What is said to somebody who speaks another HTTP.
pub(super) const NOT_HTTP2: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Type: text/plain\r\n\
    Connection: close\r\nContent-Length: 55\r\n\r\nthis is the connector of a zone: gRPC over HTTP/2 alone";

/// Looks at the first bytes and leaves them where they are. Whoever calls sets the deadline.
pub(super) async fn look(stream: &TcpStream) -> std::io::Result<Speaks> {
    let mut bytes = [0; 3];
    loop {
        let count = stream.peek(&mut bytes).await?;
        match judge(bytes.get(..count).unwrap_or_default()) {
            Some(speaks) => return Ok(speaks),
            // Some of three bytes, and no more yet: that is no peer of ours, but it may be slow.
            None => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

fn judge(bytes: &[u8]) -> Option<Speaks> {
    match bytes {
        [] => Some(Speaks::Other),
        [TLS, ..] => Some(Speaks::Tls),
        _ if bytes.starts_with(HTTP2) => Some(Speaks::Http2),
        _ if HTTP2.starts_with(bytes) => None,
        _ => Some(Speaks::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_say_what_a_client_speaks() {
        let check = |bytes: &[u8], expected| assert_eq!(judge(bytes), expected, "{bytes:?}");
        check(b"PRI", Some(Speaks::Http2));
        check(b"PR", None);
        check(b"PUT", Some(Speaks::Other));
        check(b"GET", Some(Speaks::Other));
        check(b"\x16\x03\x01", Some(Speaks::Tls));
        check(b"", Some(Speaks::Other));
    }

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(NOT_HTTP2).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
    }
}
