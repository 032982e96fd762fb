//! A way through an HTTP proxy: CONNECT, and what the proxy says to it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use crate::observe::shown;

/// A proxy that says more before the connection begins is none, in bytes.
const LONGEST_HEAD: usize = 8 * 1024;
/// So much of what it says is shown, in bytes.
const SHOWN: usize = 200;

/// Asks the proxy at the other end for a connection to `target`, which it resolves. Afterwards the stream leads there.
/// The error is for people. Whoever calls sets the deadline.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    target: &str,
    authorization: Option<&str>,
) -> Result<(), String> {
    let mut request = Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
    if let Some(authorization) = authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => error.to_string(),
    };
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    // Byte by byte: what follows the head is the other end's.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == LONGEST_HEAD {
            return Err("its answer does not end".to_owned());
        }
        head.push(stream.read_u8().await.map_err(broken)?);
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    match status {
        Some(code) if code.len() == 3 && code.starts_with('2') => Ok(()),
        Some("407") => Err(format!("it wants a user and password: `{}`", shown::escaped(line, SHOWN))),
        Some(_) => Err(format!("it refused: `{}`", shown::escaped(line, SHOWN))),
        None => Err(format!("it does not speak HTTP: `{}`", shown::escaped(line, SHOWN))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(answer: &str, expected: Result<(), &str>) {
        let (mut us, mut proxy) = tokio::io::duplex(64 * 1024);
        proxy.write_all(answer.as_bytes()).await.unwrap();
        proxy.shutdown().await.unwrap();
        let opened = open(&mut us, "global:5685", Some("Basic eA==")).await;
        assert_eq!(opened, expected.map_err(str::to_owned), "{answer:?}");
        let expected = "CONNECT global:5685 HTTP/1.1\r\nHost: global:5685\r\nProxy-Authorization: Basic eA==\r\n\r\n";
        let mut asked = vec![0; expected.len()];
        proxy.read_exact(&mut asked).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&asked), expected);
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_quoted() {
        check("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n", Ok(())).await;
        check("HTTP/1.0 200\r\n\r\n", Ok(())).await;
        check("HTTP/1.1 403 Not this\x1b[2J\r\n\r\n", Err(r"it refused: `HTTP/1.1 403 Not this\u{1b}[2J`")).await;
        check("HTTP/1.1 407 Who\r\n\r\n", Err("it wants a user and password: `HTTP/1.1 407 Who`")).await;
        check("SSH-2.0\r\n\r\n", Err("it does not speak HTTP: `SSH-2.0`")).await;
        check("HTTP/1.1 200 OK\r\n", Err("it closed the connection")).await;
        check(&"x".repeat(9000), Err("its answer does not end")).await;
    }

    #[tokio::test]
    async fn what_follows_the_head_is_left_to_the_connection() {
        let (mut us, mut proxy) = tokio::io::duplex(1024);
        proxy.write_all(b"HTTP/1.1 200 OK\r\n\r\nrest").await.unwrap();
        open(&mut us, "global:5685", None).await.unwrap();
        let mut rest = [0; 4];
        us.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"rest");
    }
}
