//! What most commands need: the settings, a client of the active control plane, and the check of its version.

use std::{cell::OnceCell, path::PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    about,
    cli::verbs::Globals,
    client::{self, Answer, Ask, CallError, Client, ClientProblem, Method, Proxies, is_readable_by_others},
    failure::Failure,
    printer::Printer,
    settings::{ApiServer, Settings},
    surroundings::Surroundings,
};

/// One run of the program.
pub(crate) struct Session<'a> {
    surroundings: &'a Surroundings,
    /// The settings; commands that change them work on a copy.
    pub(crate) settings: Settings,
    path: Option<PathBuf>,
    context: Option<String>,
    timeout: Option<std::time::Duration>,
    is_debug: bool,
    proxies: Proxies,
    allows_plaintext: bool,
    client: OnceCell<Client>,
}

/// Why nothing was called, or what the call brought.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The settings name no server, or not a good one.
    Settings(String),
    Call(CallError),
}

impl Trouble {
    /// Returns a failure that says what was tried.
    pub(crate) fn within(&self, tried: &str) -> Failure {
        match self {
            Self::Settings(text) => Failure::refused(text),
            Self::Call(error) => error.within(tried),
        }
    }

    /// Returns a failure without saying what was tried.
    pub(crate) fn alone(&self) -> Failure {
        match self {
            Self::Settings(text) => Failure::refused(text),
            Self::Call(error) => error.alone(),
        }
    }

    /// Returns the text of one line, for use inside other texts.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Settings(text) => text.clone(),
            Self::Call(error) => error.line(),
        }
    }

    /// Returns whether no answer came: what was asked for may be done or not.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, Self::Call(CallError::Transport(_)))
    }

    /// Returns whether the server said that there is no such thing. One that has nothing of the kind says where to ask.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Call(error) if error.status() == Some(404) && !error.is_elsewhere())
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl<'a> Session<'a> {
    /// Reads the settings, and writes the first ones.
    pub(crate) fn open(surroundings: &'a Surroundings, globals: &Globals) -> Result<Self, Failure> {
        let path = match globals.config_file.as_str() {
            _ if globals.no_config => None,
            "" => {
                let home = surroundings.environment.home.as_ref().ok_or_else(|| {
                    Failure::refused(
                        "$HOME is not defined: name a file with --config-file, or go without one with --no-config",
                    )
                })?;
                Some(home.join(".kumactl/config"))
            }
            path => Some(PathBuf::from(path)),
        };
        let settings = path.as_deref().map_or_else(|| Ok(Settings::initial()), Settings::load)?;
        Ok(Self {
            surroundings,
            settings,
            path,
            context: Some(globals.context.clone()).filter(|context| !context.is_empty()),
            timeout: globals.api_timeout.try_into().ok().filter(|timeout: &std::time::Duration| !timeout.is_zero()),
            is_debug: globals.log_level == "debug",
            proxies: Proxies::of(&surroundings.environment),
            allows_plaintext: globals.allow_plaintext_token,
            client: OnceCell::new(),
        })
    }

    pub(crate) fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// Returns whether a token may be sent in the clear in this run.
    pub(crate) fn allows_plaintext(&self) -> bool {
        self.allows_plaintext
    }

    /// Returns the door for output.
    pub(crate) fn printer(&self) -> &Printer {
        &self.surroundings.printer
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.surroundings.now)()
    }

    /// Keeps these settings for the next runs.
    pub(crate) fn keep(&self, settings: &Settings) -> Result<(), Failure> {
        self.path.as_deref().map_or(Ok(()), |path| settings.save(path))
    }

    /// Returns a client of a server that is not in the settings yet.
    pub(crate) fn client_of(&self, server: &ApiServer) -> Result<Client, Failure> {
        self.warn_of(server);
        self.connect(server)
    }

    /// Returns such a client without a word about what the settings leave open.
    pub(crate) fn connect(&self, server: &ApiServer) -> Result<Client, Failure> {
        self.connected(server).map_err(|problem| Failure::Refused(problem.to_string()))
    }

    fn connected(&self, server: &ApiServer) -> Result<Client, ClientProblem> {
        let allow_plaintext_token = server.allow_plaintext_token || self.allows_plaintext;
        Client::new(&ApiServer { allow_plaintext_token, ..server.clone() }, self.timeout, &self.proxies)
    }

    /// Sends one request to the active control plane; any status is an answer.
    pub(crate) fn ask(&self, ask: Ask<'_>) -> Result<Answer, Trouble> {
        let client = self.client()?;
        if self.is_debug {
            let now = self.now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            self.printer()
                .note(&format!("{now}\tDEBUG\tstore-remote\tdoing request to control-plane\t{}", ask.trace()));
        }
        Ok(client.ask(ask)?)
    }

    /// Asks the active control plane for a JSON value; only status 200 brings one.
    pub(crate) fn read(&self, ask: Ask<'_>) -> Result<Value, Trouble> {
        Ok(self.ask(ask)?.accept(&[200])?.json()?)
    }

    /// Asks the active control plane who it is.
    pub(crate) fn index(&self) -> Result<Value, Trouble> {
        let client = self.client()?;
        Ok(index_of(client)?)
    }

    /// Asks who the control plane is, and warns if it may not understand this program. Never fails, so that a dead
    /// server is told twice.
    pub(crate) fn check_version(&self) -> Option<Value> {
        let index = self.index();
        let warning = match &index {
            Err(Trouble::Settings(text)) => {
                Some(format!("Failed to retrieve server version, can't check compatibility: {text}"))
            }
            Err(Trouble::Call(error)) => Some(format!(
                "Failed to retrieve server version, can't check compatibility: Unable to retrieve server version: {}",
                error.line()
            )),
            Ok(index) => version_warning(index),
        };
        if let Some(warning) = warning {
            self.printer().note(&format!("WARNING: {warning}"));
        }
        index.ok()
    }

    /// Returns whether others could read what is sent to the active control plane; its address, if so.
    pub(crate) fn plain_address(&self) -> Result<Option<String>, Failure> {
        let active = self.settings.active(self.context.as_deref()).map_err(Failure::Refused)?;
        let url = &active.coordinates.api_server.url;
        let is_plain = client::parse_address(url).is_ok_and(|url| is_readable_by_others(&url));
        Ok(is_plain.then(|| url.clone()))
    }

    fn client(&self) -> Result<&Client, Trouble> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let active = self.settings.active(self.context.as_deref()).map_err(Trouble::Settings)?;
        let server = &active.coordinates.api_server;
        self.warn_of(server);
        let client = self.connected(server).map_err(|problem| Trouble::Settings(problem.to_string()))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Warns of a token and headers that others could read.
    pub(crate) fn warn_of_plaintext(&self, server: &ApiServer) {
        let is_plain = client::parse_address(&server.url).is_ok_and(|url| is_readable_by_others(&url));
        if server.holds_secrets() && is_plain {
            self.printer().note(&format!(
                "WARNING: insecure: {} is no https address: everybody on the way could read the token and the headers, \
                 which are sent with --allow-plaintext-token only",
                server.url
            ));
        }
    }

    /// Warns of what is done and is not safe.
    pub(crate) fn warn_of(&self, server: &ApiServer) {
        if server.allow_plaintext_token || self.allows_plaintext {
            self.warn_of_plaintext(server);
        }
        if server.skip_verify && server.url.starts_with("https") {
            self.printer().note(&format!(
                "WARNING: insecure: the certificate of {} is not verified; use --ca-cert-file to verify it",
                server.url
            ));
        }
    }
}

/// Asks a control plane who it is.
pub(crate) fn index_of(client: &Client) -> Result<Value, CallError> {
    client.ask(Ask::other(Method::Get, "/"))?.accept(&[200])?.json()
}

/// Returns product and version of what answers: a control plane of ours has others in the places that other programs
/// look at.
pub(crate) fn product_of(index: &Value) -> (String, String) {
    let text = |name: &str| index.get(name).and_then(Value::as_str).map(str::to_owned);
    (
        text("implementation").or_else(|| text("product")).unwrap_or_default(),
        text("implementationVersion").or_else(|| text("version")).unwrap_or_default(),
    )
}

/// Returns what to say about the version of this server. Servers that speak for themselves, and previews, need nothing.
fn version_warning(index: &Value) -> Option<String> {
    let text = |name: &str| index.get(name).and_then(Value::as_str).unwrap_or_default();
    let (product, version) = (text("product"), text("version"));
    if [product, text("implementation")].contains(&about::PRODUCT)
        || !text("basedOnKuma").is_empty()
        || version.contains("preview")
    {
        return None;
    }
    Some(format!(
        "You are using kumactl version {} for {}, but the server returned version: {version} for {product}",
        about::VERSION,
        about::PRODUCT
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(index: &Value, expected: Option<&str>) {
        assert_eq!(version_warning(index).as_deref().map(|text| text.split(", ").nth(1).unwrap()), expected, "{index}");
    }

    #[test]
    fn servers_of_other_products_are_warned_of() {
        check(&json!({"product": "Arctos", "version": "9.9.9"}), None);
        check(&json!({"product": "Other", "version": "1", "basedOnKuma": "3.0.0"}), None);
        check(&json!({"product": "Kuma", "version": "3.0.0", "implementation": "Arctos"}), None);
        check(&json!({"product": "Kuma", "version": "3.1.0-preview.1"}), None);
        check(&json!({"product": "Kuma", "version": "3.0.0"}), Some("but the server returned version: 3.0.0 for Kuma"));
        check(&json!({"product": "Other", "version": "1.0"}), Some("but the server returned version: 1.0 for Other"));
    }
}
