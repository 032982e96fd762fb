//! The control plane behind an HTTP proxy.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use testkit::ports::ClosedPort;

use crate::{
    programs::{command, text},
    tls::{folder_with_certificate, serve},
};

/// A proxy that leads every tunnel to one port of this machine, whatever the name, and remembers what it was told.
struct Proxy {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(answer: &'static str, port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a port");
        let address = listener.local_addr().expect("a bound port");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream.try_clone().expect("the same socket")).lines();
                while let Some(Ok(line)) = lines.next().filter(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
                {
                    log.lock().expect("the log").push(line);
                }
                drop((&stream).write_all(answer.as_bytes()));
                if answer.contains(" 200 ") {
                    tunnel(stream, port);
                }
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().expect("the log"))
    }
}

fn tunnel(client: TcpStream, port: u16) {
    let server = TcpStream::connect(("127.0.0.1", port)).expect("the control plane");
    let (mut from, mut to) =
        (client.try_clone().expect("the same socket"), server.try_clone().expect("the same socket"));
    thread::spawn(move || io::copy(&mut from, &mut to));
    let (mut from, mut to) = (server, client);
    thread::spawn(move || io::copy(&mut from, &mut to));
}

/// Adds a control plane whose name only the proxy can resolve, with these variables.
fn add(folder: &std::path::Path, variables: &[(&str, String)]) -> (Option<i32>, String) {
    let args = ["config", "control-planes", "add", "--name=g", "--overwrite", "--ca-cert-file=cert.pem"];
    let mut command = command(folder, &args);
    command.arg("--address=https://cp.invalid:5682").envs(variables.iter().map(|(name, value)| (*name, value)));
    let output = command.output().expect("run kumactl");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn control_plane_is_reached_through_the_proxy_that_resolves_its_name() {
    let folder = folder_with_certificate("cp.invalid");
    let proxy = Proxy::start("HTTP/1.1 200 OK\r\n\r\n", serve(folder.path()));
    let variable = ("HTTPS_PROXY", format!("http://john:s%40cret@{}", proxy.address));
    assert_eq!(add(folder.path(), std::slice::from_ref(&variable)), (Some(0), String::new()));
    let heard = proxy.heard();
    assert_eq!(heard.first().map(String::as_str), Some("CONNECT cp.invalid:5682 HTTP/1.1"));
    // john:s@cret
    assert!(heard.contains(&"Proxy-Authorization: Basic am9objpzQGNyZXQ=".to_owned()), "{heard:?}");
    let (code, said) = add(folder.path(), &[variable, ("NO_PROXY", "invalid".to_owned())]);
    assert!(code == Some(1) && said.contains("lookup cp.invalid: no such host"), "{said}");
    assert_eq!(proxy.heard(), Vec::<String>::new());
}

#[test]
fn proxy_that_refuses_or_is_not_there_is_named_without_its_password() {
    let folder = folder_with_certificate("cp.invalid");
    let proxy = Proxy::start("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", 0);
    let check = |address: &str, expected: &str| {
        let (code, said) = add(folder.path(), &[("https_proxy", format!("http://john:s3cret@{address}"))]);
        assert_eq!(code, Some(1));
        assert!(said.contains(&format!("through the proxy {address}: ")) && said.contains(expected), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    };
    check(&proxy.address.to_string(), "407");
    check(&ClosedPort::new().to_string(), "connection refused");
}
