//! What of the configuration the API needs.

use std::{sync::Arc, time::Duration};

use tokens::ZoneTerms;

/// The settings of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `apiServer.product`.
    pub product: String,
    /// `apiServer.basePath`.
    pub base_path: String,
    /// `apiServer.corsAllowedDomains`.
    pub cors_allowed_domains: Vec<String>,
    /// `apiServer.readTimeout`: how long the body of a request may take.
    pub read_timeout: Duration,
    /// `apiServer.authn.localhostIsAdmin`.
    pub localhost_is_admin: bool,
    /// On which terms zones connect; none where no zones do.
    pub zones: Option<ZoneTerms>,
    /// What is said of everything that is not about keys, tokens and zones, where there is nothing of it here.
    pub elsewhere: Option<Arc<str>>,
    /// What `GET /config` answers: the configuration as JSON, secrets masked.
    pub config_json: Arc<str>,
    /// The name of this machine.
    pub hostname: String,
    /// The name of this process: host name and four hex digits.
    pub instance_id: String,
}
