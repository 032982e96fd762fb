//! The REST client: one blocking request at a time, with the errors of the API worded for people.

mod error;
mod tls;
mod transport;

use std::{fmt, time::Duration};

use serde_json::Value;
use ureq::{
    Agent,
    http::{Request, Response},
    unversioned::{
        resolver::DefaultResolver,
        transport::{ConnectProxyConnector, Connector, TcpConnector},
    },
};
use url::Url;

pub(crate) use error::CallError;

use crate::{about, settings::ApiServer};

/// An answer larger than this is refused.
const LARGEST_ANSWER: u64 = 512 * 1024 * 1024;

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Read.
    Get,
    /// Write.
    Put,
    /// Ask for something new.
    Post,
    /// Remove.
    Delete,
}

impl Method {
    fn upper(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Get => "Get",
            Self::Put => "Put",
            Self::Post => "Post",
            Self::Delete => "Delete",
        }
    }
}

/// What to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    method: Method,
    route: &'a str,
    wants_json: bool,
    body: Option<&'a str>,
}

impl<'a> Ask<'a> {
    /// Asks for a resource or a list of them, in JSON.
    pub(crate) fn resource(method: Method, route: &'a str) -> Self {
        Self { method, route, wants_json: true, body: None }
    }

    /// Asks for something else, in whatever form it comes.
    pub(crate) fn other(method: Method, route: &'a str) -> Self {
        Self { method, route, wants_json: false, body: None }
    }

    /// Returns what a debug log says of the request.
    pub(crate) fn trace(&self) -> String {
        format!("{{\"method\": {:?}, \"url\": {:?}}}", self.method.upper(), self.route)
    }

    /// Sends a JSON text along.
    pub(crate) fn with_body(self, body: &'a str) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body; not text is replaced by a mark.
    pub(crate) body: String,
}

impl Answer {
    /// Returns the answer if its status is one of these, else what the server said against it.
    pub(crate) fn accept(self, statuses: &[u16]) -> Result<Self, CallError> {
        if statuses.contains(&self.status) { Ok(self) } else { Err(CallError::from_answer(self.status, &self.body)) }
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Result<Value, CallError> {
        serde_json::from_str(&self.body).map_err(|error| CallError::not_json(&self.body, &error))
    }
}

/// A client of one control plane.
pub(crate) struct Client {
    agent: Agent,
    base: Url,
    headers: Vec<(String, String)>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers hold the token.
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Returns a client of this server. It sends the headers of the settings, and the token.
    pub(crate) fn new(server: &ApiServer, timeout: Option<Duration>) -> Result<Self, ClientProblem> {
        let base = parse_address(&server.url)?;
        let tls = tls::Tls::new(server);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(timeout)
            .user_agent(about::user_agent())
            .accept("")
            .proxy(None)
            .build();
        let connector = ().chain(TcpConnector::default()).chain(transport::TlsConnector::new(tls));
        let agent = Agent::with_parts(config, connector, DefaultResolver::default());
        let mut headers: Vec<_> =
            server.headers.iter().map(|header| (header.key.clone(), header.value.clone())).collect();
        if let Some(token) = server.token() {
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        Ok(Self { agent, base, headers })
    }

    /// Sends one request and reads the whole answer.
    pub(crate) fn ask(&self, ask: Ask<'_>) -> Result<Answer, CallError> {
        let url = self.url(ask.route);
        let failed = |error: &ureq::Error| error::transport(ask.method.title(), &url, &self.base, error);
        if !matches!(self.base.scheme(), "http" | "https") {
            return Err(CallError::Transport(format!(
                "{} {url:?}: unsupported protocol scheme {:?}",
                ask.method.title(),
                self.base.scheme()
            )));
        }
        let mut request = Request::builder().method(ask.method.upper()).uri(&url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if ask.wants_json {
            request = request.header("accept", "application/json");
        }
        if ask.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let sent = match ask.body {
            Some(body) => request.body(body).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
        };
        read(sent).map_err(|error| failed(&error))
    }

    /// Joins the base address and a route: one slash between them, none at the end.
    fn url(&self, route: &str) -> String {
        let mut url = self.base.clone();
        url.set_fragment(None);
        url.set_query(None);
        let (path, query) = route.split_once('?').map_or((route, None), |(path, query)| (path, Some(query)));
        let joined = format!("{}{}", self.base.path().trim_end_matches('/'), path.trim_end_matches('/'));
        url.set_path(&joined);
        url.set_query(query);
        url.to_string()
    }
}

/// Reads a file from the web: through the machine's proxy if there is one, in ten seconds at most.
pub(crate) fn fetch(address: &str) -> Result<Answer, CallError> {
    let base = parse_address(address).map_err(|problem| CallError::Transport(problem.to_string()))?;
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .user_agent(about::user_agent())
        .build();
    let connector = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
    let tls = transport::TlsConnector::new(tls::Tls::new(&ApiServer::default()));
    let agent = Agent::with_parts(config, connector.chain(tls), DefaultResolver::default());
    read(agent.get(base.as_str()).call()).map_err(|error| error::transport("Get", base.as_str(), &base, &error))
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientProblem {
    /// The address is no address.
    #[error("API Server URL is invalid: parse {address:?}: invalid URI for request")]
    Address {
        /// What was given.
        address: String,
    },
}

/// Reads the address of a server: it must at least have a scheme and a host.
pub(crate) fn parse_address(address: &str) -> Result<Url, ClientProblem> {
    let invalid = || ClientProblem::Address { address: address.to_owned() };
    let url = Url::parse(address).map_err(|_error| invalid())?;
    if url.has_host() && address.contains("://") { Ok(url) } else { Err(invalid()) }
}

/// Writes a text so that it is one segment of a path, whatever it holds.
pub(crate) fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => segment.push(char::from(byte)),
            other => segment += &format!("%{other:02X}"),
        }
    }
    // A segment of dots alone would climb up.
    if segment.bytes().all(|byte| byte == b'.') { segment.replace('.', "%2E") } else { segment }
}

fn read(sent: Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer, ureq::Error> {
    let mut response = sent?;
    let body = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec()?;
    Ok(Answer { status: response.status().as_u16(), body: String::from_utf8_lossy(&body).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(base: &str, route: &str, expected: &str) {
        let server = ApiServer { url: base.to_owned(), ..ApiServer::default() };
        assert_eq!(Client::new(&server, None).unwrap().url(route), expected);
    }

    #[test]
    fn routes_are_joined_to_the_base_path() {
        check("http://localhost:5681", "/", "http://localhost:5681/");
        check("http://localhost:5681/", "/meshes", "http://localhost:5681/meshes");
        check("http://h/base/", "/", "http://h/base");
        check(
            "http://h/base",
            "/meshes/m/meshtimeouts?offset=10&size=5",
            "http://h/base/meshes/m/meshtimeouts?offset=10&size=5",
        );
    }

    #[test]
    fn address_needs_a_scheme_and_a_host() {
        assert!(parse_address("http://127.0.0.1:5681").is_ok());
        assert!(parse_address("ftp://127.0.0.1:5681").is_ok());
        for address in ["127.0.0.1:5681", "nonsense", "", "mailto:x"] {
            let text = parse_address(address).unwrap_err().to_string();
            assert_eq!(text, format!("API Server URL is invalid: parse {address:?}: invalid URI for request"));
        }
    }

    #[test]
    fn names_cannot_leave_their_segment() {
        assert_eq!(segment("dp-1.zone_2"), "dp-1.zone_2");
        assert_eq!(segment("a/../b?c"), "a%2F..%2Fb%3Fc");
        assert_eq!(segment(".."), "%2E%2E");
    }

    #[test]
    fn debug_output_shows_no_token() {
        let mut server =
            ApiServer { url: "http://h".to_owned(), auth_type: "tokens".to_owned(), ..ApiServer::default() };
        server.auth_conf.insert("token".to_owned(), "eyJsecret".to_owned());
        assert!(!format!("{:?}", Client::new(&server, None).unwrap()).contains("eyJsecret"));
    }
}
