//! What can go wrong with a call, and how it is told (contract: rest-and-cli 4.1).

use std::{io, net::ToSocketAddrs};

use serde_json::Value;
use url::Url;

use super::ask::Method;
use crate::failure::Failure;

/// Why a call brought nothing.
#[derive(Debug)]
pub(crate) enum CallError {
    /// There was no answer; the text says method, address and cause.
    Transport(String),
    /// The server said why, in its error format.
    Said(Box<Said>),
    /// The server answered something else.
    Other {
        /// The HTTP status.
        status: u16,
        text: String,
    },
    /// The answer is no JSON.
    NotJson(String),
}

/// An error in the format of the API.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    status: u16,
    title: String,
    detail: String,
    parameters: Vec<(String, String)>,
    old_detail: String,
    old_parameters: Vec<(String, String)>,
}

impl CallError {
    /// Reads an answer that is no success.
    pub(super) fn from_answer(status: u16, body: &str) -> Self {
        let text = format!("({status}): {body}");
        if status < 400 {
            return Self::Other { status, text };
        }
        match serde_json::from_str::<Value>(body) {
            Ok(value) => match Said::read(status, &value) {
                Some(said) => Self::Said(Box::new(said)),
                None => Self::Other { status, text: body.to_owned() },
            },
            Err(_) => Self::Other { status, text },
        }
    }

    pub(super) fn not_json(body: &str, error: &serde_json::Error) -> Self {
        Self::NotJson(match body.trim_start().chars().next() {
            None => "unexpected end of JSON input".to_owned(),
            Some(first) if !"{[\"0123456789-tfn".contains(first) => {
                format!("invalid character '{first}' looking for beginning of value")
            }
            Some(_) => error.to_string(),
        })
    }

    /// Returns the HTTP status, if there was an answer that is an error.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Said(said) => Some(said.status),
            Self::Other { status, .. } => Some(*status),
            Self::Transport(_) | Self::NotJson(_) => None,
        }
    }

    /// Returns whether the control plane has nothing of the kind, and its text says who has: a gateway has no meshes.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Said(said) if said.title == "Not here")
    }

    /// Returns the text of one line, for use inside other texts.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Said(said) => said.line(),
            Self::Transport(text) | Self::NotJson(text) | Self::Other { text, .. } => text.clone(),
        }
    }

    /// Returns a failure that says what was tried. What the API says stands for itself.
    pub(crate) fn within(&self, tried: &str) -> Failure {
        match self {
            Self::Said(said) => Failure::Refused(said.lines()),
            Self::Transport(text) | Self::NotJson(text) | Self::Other { text, .. } => {
                Failure::Refused(format!("{tried}: {text}"))
            }
        }
    }

    /// Returns a failure without saying what was tried.
    pub(crate) fn alone(&self) -> Failure {
        Failure::Refused(match self {
            Self::Said(said) => said.lines(),
            Self::Transport(text) | Self::NotJson(text) | Self::Other { text, .. } => text.clone(),
        })
    }
}

impl Said {
    fn read(status: u16, value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let parameters = |list: &str, reason: &str| {
            let member =
                |item: &Value, name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let items = value.get(list).and_then(Value::as_array).into_iter().flatten();
            items.map(|item| (member(item, "field"), member(item, reason))).collect::<Vec<_>>()
        };
        let said = Self {
            status,
            title: text("title"),
            detail: text("detail"),
            parameters: parameters("invalid_parameters", "reason"),
            old_detail: text("details"),
            old_parameters: parameters("causes", "message"),
        };
        (!said.title.is_empty()).then_some(said)
    }

    /// `Title (Detail);field=reason ` with a blank after each parameter.
    fn line(&self) -> String {
        let mut line = format!("{} ({})", self.title, self.detail);
        for (field, reason) in &self.parameters {
            line += &format!(";{field}={reason} ");
        }
        line
    }

    /// `Title (Detail)` and a line for each parameter; what old servers send counts where nothing else came.
    fn lines(&self) -> String {
        let detail = if self.detail.is_empty() { &self.old_detail } else { &self.detail };
        let parameters = if self.parameters.is_empty() { &self.old_parameters } else { &self.parameters };
        let mut lines = format!("{} ({detail})", self.title);
        for (field, reason) in parameters {
            lines += &format!("\n* {field}: {reason}");
        }
        lines
    }
}

/// Words a failure below HTTP: `Get "http://h/": dial tcp 127.0.0.1:5681: connect: connection refused`. With a proxy it
/// is the proxy that was dialled.
pub(super) fn transport(method: &str, url: &Url, proxy: Option<&ureq::Proxy>, error: &ureq::Error) -> CallError {
    let (host, port) = match proxy {
        Some(proxy) => (proxy.host(), proxy.port()),
        None => (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default()),
    };
    let reason = match error {
        ureq::Error::Timeout(_) => {
            "context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned()
        }
        ureq::Error::HostNotFound => format!("dial tcp: lookup {host}: no such host"),
        ureq::Error::Io(error) => io_reason(error, host, port),
        ureq::Error::Rustls(error) => tls_reason(error),
        ureq::Error::ConnectProxyFailed(reason) => {
            format!(
                "{reason}; the proxy is that of HTTPS_PROXY or HTTP_PROXY, and NO_PROXY names what is asked directly"
            )
        }
        other => other.to_string(),
    };
    let through = proxy.map_or_else(String::new, |_| format!("through the proxy {host}:{port}: "));
    CallError::Transport(format!("{method} {:?}: {through}{reason}", url.as_str()))
}

/// Words an answer that points elsewhere.
pub(super) fn redirected(method: Method, from: &Url, status: u16, to: &Url) -> CallError {
    let why = match method {
        Method::Get => "where this question may not be asked",
        Method::Put | Method::Post | Method::Delete => "where a write is not repeated",
    };
    let address = to.origin().ascii_serialization();
    CallError::Transport(format!(
        "{} {:?}: the server answers {status} and points to {:?}, {why}. If that is the control plane, make it the \
         address: kumactl config control-planes add --overwrite --name NAME --address {address}",
        method.title(),
        from.as_str(),
        to.as_str()
    ))
}

fn io_reason(error: &io::Error, host: &str, port: u16) -> String {
    if let Some(error) = trust::refusal(error) {
        return tls_reason(error);
    }
    let problem = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::HostUnreachable => "no route to host",
        io::ErrorKind::NetworkUnreachable => "network is unreachable",
        io::ErrorKind::UnexpectedEof => return "EOF".to_owned(),
        // The standard library has no kind for it.
        _ if error.to_string().starts_with("failed to lookup address") => {
            return format!("dial tcp: lookup {host}: no such host");
        }
        _ => return error.to_string(),
    };
    // The address that was tried; name servers prefer neither family, people know the older one.
    let addresses: Vec<_> = (host.trim_matches(['[', ']']), port).to_socket_addrs().into_iter().flatten().collect();
    let address = addresses.iter().find(|address| address.is_ipv4()).or_else(|| addresses.first());
    let address = address.map_or_else(|| format!("{host}:{port}"), ToString::to_string);
    format!("dial tcp {address}: connect: {problem}")
}

fn tls_reason(error: &rustls::Error) -> String {
    let reason = match error {
        rustls::Error::InvalidCertificate(problem) => match problem {
            rustls::CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
            rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
                "certificate has expired or is not yet valid".to_owned()
            }
            rustls::CertificateError::Other(why) => match why.0.downcast_ref::<trust::CaAsServer>() {
                Some(ca_as_server) => ca_as_server.to_string(),
                None => problem.to_string(),
            },
            other => other.to_string(),
        },
        other => return format!("tls: {other}"),
    };
    format!("tls: failed to verify certificate: x509: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, lines: &str, line: &str) {
        let error = CallError::from_answer(status, body);
        assert_eq!(error.alone().to_string(), lines, "{body}");
        assert_eq!(error.line(), line, "{body}");
    }

    #[test]
    fn answers_of_the_api_are_told_with_their_parameters() {
        check(404, r#"{"title":"T","detail":"Not found"}"#, "T (Not found)", "T (Not found)");
        check(
            400,
            r#"{"title":"T","detail":"D","invalid_parameters":[{"field":"a","reason":"b"},{"field":"","reason":"c"}],"details":"D"}"#,
            "T (D)\n* a: b\n* : c",
            "T (D);a=b ;=c ",
        );
    }

    #[test]
    fn what_only_old_servers_send_is_told_in_the_long_form() {
        check(
            400,
            r#"{"title":"Nope","details":"old style","causes":[{"field":"a","message":"b"}]}"#,
            "Nope (old style)\n* a: b",
            "Nope ()",
        );
    }

    #[test]
    fn other_answers_are_shown_as_they_are() {
        check(500, "boom", "(500): boom", "(500): boom");
        check(405, "{}", "{}", "{}");
        check(204, "", "(204): ", "(204): ");
        check(201, "{}", "(201): {}", "(201): {}");
    }

    #[test]
    fn wrapping_is_left_out_when_the_api_speaks() {
        let wrapped = |body| CallError::from_answer(500, body).within("failed to list Zone").to_string();
        assert_eq!(wrapped("boom"), "failed to list Zone: (500): boom");
        assert_eq!(wrapped(r#"{"title":"T","detail":"D"}"#), "T (D)");
    }

    #[test]
    fn html_is_no_json() {
        let error = serde_json::from_str::<Value>("<html>").unwrap_err();
        assert_eq!(
            CallError::not_json("<html>", &error).line(),
            "invalid character '<' looking for beginning of value"
        );
        assert_eq!(CallError::not_json("", &error).line(), "unexpected end of JSON input");
    }
}
