//! A small HTTP client for the REST API of a program under test.

use std::net::SocketAddr;

use serde_json::Value;

/// Asks a control plane on loopback: method, path, optional body; returns status and body.
pub fn ask(address: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
    try_ask(address, method, path, body).unwrap_or_else(|error| panic!("{method} http://{address}{path}: {error}"))
}

/// Asks a control plane that may be away. The error is the lost connection: whether something happened is unknown.
pub fn try_ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<(u16, String), ureq::Error> {
    let url = format!("http://{address}{path}");
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = http::Request::builder().method(method).uri(&url).header("content-type", "application/json");
    let mut response = match body {
        Some(body) => agent.run(request.body(body.to_string()).expect("a request")),
        None => agent.run(request.body(()).expect("a request")),
    }?;
    let text = response.body_mut().read_to_string().unwrap_or_default();
    Ok((response.status().as_u16(), text))
}

/// Asks for JSON that must be there.
pub fn get(address: SocketAddr, path: &str) -> Value {
    let (status, text) = ask(address, "GET", path, None);
    assert_eq!(status, 200, "GET {path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}
