//! The REST client: one blocking request at a time, with the errors of the API worded for people.

mod answer;
mod ask;
mod error;
mod proxies;
mod redirect;
mod tls;
mod transport;

use std::{fmt, time::Duration};

use ureq::{
    Agent,
    http::{Request, Response},
    unversioned::{
        resolver::DefaultResolver,
        transport::{ConnectProxyConnector, Connector, TcpConnector},
    },
};
use url::Url;

pub(crate) use answer::Answer;
pub(crate) use ask::{Ask, Method};
pub(crate) use error::CallError;
pub(crate) use proxies::{Proxies, ProxyProblem};
use redirect::Rule;

use crate::{about, settings::ApiServer};

/// An answer larger than this is refused.
const LARGEST_ANSWER: u64 = 512 * 1024 * 1024;

/// A client of one control plane.
pub(crate) struct Client {
    agents: Agents,
    /// The agent for the base address.
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
    /// Returns a client of this server. It sends the headers of the settings, and the token: to nobody but this server,
    /// and only where nobody else can read them.
    pub(crate) fn new(server: &ApiServer, timeout: Option<Duration>, proxies: &Proxies) -> Result<Self, ClientProblem> {
        let base = parse_address(&server.url)?;
        let holds_secrets = server.holds_secrets() || base.password().is_some();
        if holds_secrets && !server.allow_plaintext_token && is_readable_by_others(&base) {
            return Err(ClientProblem::Plaintext { address: base.origin().ascii_serialization() });
        }
        let agents = Agents { tls: tls::Tls::new(server), timeout, proxies: proxies.clone() };
        let agent = agents.agent_for(&base)?;
        let mut headers: Vec<_> =
            server.headers.iter().map(|header| (header.key.clone(), header.value.clone())).collect();
        if let Some(token) = server.token() {
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        Ok(Self { agents, agent, base, headers })
    }

    /// Sends one request and reads the whole answer. A write goes to no other address than the one of the settings.
    pub(crate) fn ask(&self, ask: Ask<'_>) -> Result<Answer, CallError> {
        let mut url = self.url(ask.route);
        if !matches!(self.base.scheme(), "http" | "https") {
            return Err(CallError::Transport(format!(
                "{} {:?}: unsupported protocol scheme {:?}",
                ask.method.title(),
                url.as_str(),
                self.base.scheme()
            )));
        }
        let mut agent = self.agent.clone();
        for _ in 0..=redirect::MOST {
            let reply = read(self.send(&agent, ask, &url))
                .map_err(|error| error::transport(ask.method.title(), &url, agent.config().proxy(), &error))?;
            let Some(to) = redirect::target(reply.answer.status, reply.location.as_deref(), &url) else {
                return Ok(reply.answer);
            };
            if ask.method != Method::Get || !Rule::SameServer.allows(&url, &to) {
                return Err(error::redirected(ask.method, &url, reply.answer.status, &to));
            }
            agent = self.agents.agent_for(&to).map_err(|problem| CallError::Transport(problem.to_string()))?;
            url = to;
        }
        Err(CallError::Transport(format!("{} {:?}: too many redirects", ask.method.title(), url.as_str())))
    }

    fn send(&self, agent: &Agent, ask: Ask<'_>, url: &Url) -> Result<Response<ureq::Body>, ureq::Error> {
        let mut request = Request::builder().method(ask.method.upper()).uri(url.as_str());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if ask.wants_json {
            request = request.header("accept", "application/json");
        }
        if ask.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        match ask.body {
            Some(body) => agent.run(request.body(body)?),
            None => agent.run(request.body(())?),
        }
    }

    /// Joins the base address and a route: one slash between them, none at the end.
    fn url(&self, route: &str) -> Url {
        let mut url = self.base.clone();
        url.set_fragment(None);
        url.set_query(None);
        let (path, query) = route.split_once('?').map_or((route, None), |(path, query)| (path, Some(query)));
        let joined = format!("{}{}", self.base.path().trim_end_matches('/'), path.trim_end_matches('/'));
        url.set_path(&joined);
        url.set_query(query);
        url
    }
}

/// What all connections of one client have in common.
struct Agents {
    tls: tls::Tls,
    timeout: Option<Duration>,
    proxies: Proxies,
}

impl Agents {
    /// Returns what connects to this address, through a proxy if there is one for it. It follows no redirect.
    fn agent_for(&self, url: &Url) -> Result<Agent, ProxyProblem> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(self.timeout)
            .user_agent(about::user_agent())
            .accept("")
            .proxy(self.proxies.proxy_for(url)?)
            .build();
        let connector = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
        let connector = connector.chain(transport::TlsConnector::new(self.tls.clone()));
        Ok(Agent::with_parts(config, connector, DefaultResolver::default()))
    }
}

/// Reads a file from the web, in ten seconds at most. No header of any settings is sent.
pub(crate) fn fetch(address: &str, proxies: &Proxies) -> Result<Answer, CallError> {
    let told = |problem: &dyn std::error::Error| CallError::Transport(problem.to_string());
    let mut url = parse_address(address).map_err(|problem| told(&problem))?;
    let timeout = Some(Duration::from_secs(10));
    let agents = Agents { tls: tls::Tls::new(&ApiServer::default()), timeout, proxies: proxies.clone() };
    for _ in 0..=redirect::MOST {
        let agent = agents.agent_for(&url).map_err(|problem| told(&problem))?;
        let reply = read(agent.get(url.as_str()).call())
            .map_err(|error| error::transport("Get", &url, agent.config().proxy(), &error))?;
        match redirect::target(reply.answer.status, reply.location.as_deref(), &url) {
            None => return Ok(reply.answer),
            Some(to) if Rule::KeepTls.allows(&url, &to) => url = to,
            Some(to) => return Err(error::redirected(Method::Get, &url, reply.answer.status, &to)),
        }
    }
    Err(CallError::Transport(format!("Get {address:?}: too many redirects")))
}

/// Returns whether what is sent to this address passes a network in the clear.
pub(crate) fn is_readable_by_others(url: &Url) -> bool {
    url.scheme() == "http" && !proxies::is_this_machine(url)
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientProblem {
    #[error("API Server URL is invalid: parse {address:?}: invalid URI for request")]
    Address {
        /// What was given.
        address: String,
    },
    /// Everybody on the way could read the token.
    #[error(
        "the token and the headers of the settings are not sent to {address} in the clear: everybody on the way could \
         read them. Use the https address of the control plane (port 5682), or allow it with --allow-plaintext-token"
    )]
    Plaintext { address: String },
    /// The environment names a proxy that cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyProblem),
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

struct Reply {
    answer: Answer,
    location: Option<String>,
}

fn read(sent: Result<Response<ureq::Body>, ureq::Error>) -> Result<Reply, ureq::Error> {
    let mut response = sent?;
    let location = response.headers().get("location");
    let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let body = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec()?;
    let answer = Answer { status: response.status().as_u16(), body: String::from_utf8_lossy(&body).into_owned() };
    Ok(Reply { answer, location })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Header;

    fn client(server: &ApiServer) -> Result<Client, ClientProblem> {
        Client::new(server, None, &Proxies::default())
    }

    #[test]
    fn secrets_travel_over_tls_or_stay_on_this_machine() {
        let with_token = |url: &str| {
            let auth_conf = [("token".to_owned(), "eyJsecret".to_owned())].into();
            ApiServer { url: url.to_owned(), auth_type: "tokens".to_owned(), auth_conf, ..ApiServer::default() }
        };
        let header = || Header { key: "x-key".to_owned(), value: "secret".to_owned() };
        let with_header =
            |url: &str| ApiServer { url: url.to_owned(), headers: vec![header()], ..ApiServer::default() };
        for url in ["http://cp:5681", "http://10.0.0.1:5681", "http://localhost.evil", "http://127.0.0.1.evil"] {
            for server in [with_token(url), with_header(url)] {
                let text = client(&server).unwrap_err().to_string();
                assert!(text.contains("--allow-plaintext-token") && !text.contains("eyJ"), "{text}");
                assert!(client(&ApiServer { allow_plaintext_token: true, ..server }).is_ok(), "{url}");
            }
            assert!(client(&ApiServer { url: url.to_owned(), ..ApiServer::default() }).is_ok(), "{url}");
        }
        for url in ["https://cp", "http://localhost:5681", "http://127.0.0.1:5681", "http://[::1]:5681"] {
            assert!(client(&with_token(url)).is_ok(), "{url}");
        }
    }

    fn check(base: &str, route: &str, expected: &str) {
        let server = ApiServer { url: base.to_owned(), ..ApiServer::default() };
        assert_eq!(client(&server).unwrap().url(route).as_str(), expected);
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
        server.url = "https://h".to_owned();
        assert!(!format!("{:?}", client(&server).unwrap()).contains("eyJsecret"));
    }
}
