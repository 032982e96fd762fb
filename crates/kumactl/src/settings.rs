//! The settings file: known control planes, and which one is active (contract: rest-and-cli 4.2).

use std::{collections::BTreeMap, fmt, fs, io::ErrorKind, path::Path};

use serde::{Deserialize, Serialize};

use crate::{failure::Failure, files};

const ADD_ONE: &str = "Use `kumactl config control-planes add` to add a Control Plane and make it active";

/// The content of the settings file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Settings {
    /// Contexts, in the order of the file; one for each control plane.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) contexts: Vec<Context>,
    /// Control planes, in the order of the file.
    #[serde(alias = "control_planes", skip_serializing_if = "Vec::is_empty")]
    pub(crate) control_planes: Vec<ControlPlane>,
    /// The name of the active context.
    #[serde(alias = "current_context", skip_serializing_if = "String::is_empty")]
    pub(crate) current_context: String,
}

/// A name for a control plane and defaults for calls to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Context {
    #[serde(alias = "control_plane", skip_serializing_if = "String::is_empty")]
    pub(crate) control_plane: String,
    /// Kept as it is; no command uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) defaults: Option<Defaults>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Defaults {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mesh: String,
}

/// A control plane and how it is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ControlPlane {
    /// How it is reached.
    pub(crate) coordinates: Coordinates,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
}

/// How a control plane is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Coordinates {
    /// Its REST API.
    #[serde(alias = "api_server")]
    pub(crate) api_server: ApiServer,
}

/// A REST API and what it takes to talk to it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ApiServer {
    /// The token and the headers may be sent to another machine without TLS.
    #[serde(alias = "allow_plaintext_token", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) allow_plaintext_token: bool,
    /// Settings of the authentication, `token` for the type `tokens`.
    #[serde(alias = "auth_conf", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) auth_conf: BTreeMap<String, String>,
    /// The authentication: `tokens` or nothing.
    #[serde(alias = "auth_type", skip_serializing_if = "String::is_empty")]
    pub(crate) auth_type: String,
    /// Certificates that the server's one is checked against.
    #[serde(alias = "ca_cert_file", skip_serializing_if = "String::is_empty")]
    pub(crate) ca_cert_file: String,
    /// The certificate shown to the server.
    #[serde(alias = "client_cert_file", skip_serializing_if = "String::is_empty")]
    pub(crate) client_cert_file: String,
    #[serde(alias = "client_key_file", skip_serializing_if = "String::is_empty")]
    pub(crate) client_key_file: String,
    /// Headers sent with each request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) headers: Vec<Header>,
    /// The server's certificate is not checked at all.
    #[serde(alias = "skip_verify", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) skip_verify: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) url: String,
}

impl ApiServer {
    /// Returns the token to show, if there is one.
    pub(crate) fn token(&self) -> Option<&str> {
        (self.auth_type == "tokens").then(|| self.auth_conf.get("token")).flatten().map(String::as_str)
    }

    /// Returns whether something is sent with each request that others must not read.
    pub(crate) fn holds_secrets(&self) -> bool {
        self.token().is_some() || !self.headers.is_empty()
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and the authentication hold secrets.
        f.debug_struct("ApiServer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A header sent with each request.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Header {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl Settings {
    /// Returns what is used before anything was set up.
    pub(crate) fn initial() -> Self {
        let mut settings = Self::default();
        let server = ApiServer { url: "http://localhost:5681".to_owned(), ..ApiServer::default() };
        settings.put("local", server);
        settings
    }

    /// Reads the file. A file that does not exist is written with the initial settings.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let settings = Self::initial();
                settings.save(path)?;
                return Ok(settings);
            }
            Err(error) => {
                return Err(Failure::Refused(format!(
                    "Failed to read configuration file {path:?}: {}",
                    files::reason(&error)
                )));
            }
        };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(&text).map_err(|error| {
            // Only the first line: the others quote the file, which may hold a token.
            let text = error.to_string();
            let reason = text.lines().next().unwrap_or_default();
            Failure::Refused(format!("Failed to parse configuration from file {path:?}: yaml: {reason}"))
        })
    }

    /// Writes the file, readable by its owner only, and the folders on the way to it.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| files::write_private(path, self.text().as_bytes(), 0o600))
            .map_err(|error| {
                let reason = files::reason(&error);
                Failure::Refused(format!(
                    "Failed to write configuration file {path:?}: {reason} (--config-file names another, --no-config \
                     goes without)"
                ))
            })
    }

    /// Returns the file's content.
    pub(crate) fn text(&self) -> String {
        // Text keys, texts and booleans always make JSON.
        model::yaml::to_string(&serde_json::to_value(self).unwrap_or_default())
    }

    pub(crate) fn find(&self, name: &str) -> Option<&ControlPlane> {
        self.control_planes.iter().find(|control_plane| control_plane.name == name)
    }

    /// Returns the control plane of the active context, or the one that replaces it for this call.
    pub(crate) fn active(&self, instead: Option<&str>) -> Result<&ControlPlane, String> {
        let Some(context) = self.contexts.iter().find(|context| context.name == self.current_context) else {
            return Err(if self.current_context.is_empty() {
                format!("active Control Plane is not set. {ADD_ONE}")
            } else {
                format!("apparently, configuration is broken. {ADD_ONE}")
            });
        };
        let name = instead.unwrap_or(&context.control_plane);
        self.find(name).ok_or_else(|| format!("apparently, configuration is broken. {ADD_ONE}"))
    }

    /// Adds a control plane, or replaces the one of this name, and makes it active.
    pub(crate) fn put(&mut self, name: &str, api_server: ApiServer) {
        let added = ControlPlane { coordinates: Coordinates { api_server }, name: name.to_owned() };
        match self.control_planes.iter_mut().find(|control_plane| control_plane.name == name) {
            Some(known) => *known = added,
            None => self.control_planes.push(added),
        }
        let context = Context { control_plane: name.to_owned(), defaults: None, name: name.to_owned() };
        match self.contexts.iter_mut().find(|context| context.name == name) {
            Some(known) => *known = context,
            None => self.contexts.push(context),
        }
        name.clone_into(&mut self.current_context);
    }

    /// Makes a control plane active; false if there is none of this name.
    #[must_use]
    pub(crate) fn switch(&mut self, name: &str) -> bool {
        let known = self.contexts.iter().any(|context| context.name == name);
        if known {
            name.clone_into(&mut self.current_context);
        }
        known
    }

    /// Removes a control plane; false if there is none of this name. The first one left becomes active if needed.
    #[must_use]
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.control_planes.len();
        self.control_planes.retain(|control_plane| control_plane.name != name);
        self.contexts.retain(|context| context.control_plane != name);
        if !self.contexts.iter().any(|context| context.name == self.current_context) {
            self.current_context = self.contexts.first().map(|context| context.name.clone()).unwrap_or_default();
        }
        self.control_planes.len() != before
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const INITIAL: &str = "contexts:\n- controlPlane: local\n  name: local\ncontrolPlanes:\n- coordinates:\n    apiServer:\n      url: http://localhost:5681\n  name: local\ncurrentContext: local\n";

    #[test]
    fn missing_file_is_written_with_the_initial_settings_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other/dir/config");
        assert_eq!(Settings::load(&path).unwrap(), Settings::initial());
        assert_eq!(fs::read_to_string(&path).unwrap(), INITIAL);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Settings::load(&path).unwrap(), Settings::initial());
    }

    #[test]
    fn where_nothing_can_be_written_it_says_how_to_go_without() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = Settings::initial().save(&file.join("config")).unwrap_err().to_string();
        assert!(refused.contains("--config-file") && refused.contains("--no-config"), "{refused}");
    }

    #[test]
    fn snake_case_is_read_and_unknown_members_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(
            &path,
            "control_planes:\n- name: x\n  colour: red\n  coordinates:\n    api_server:\n      url: http://x\n      skip_verify: true\ncontexts:\n- name: x\n  control_plane: x\ncurrent_context: x\n",
        )
        .unwrap();
        let settings = Settings::load(&path).unwrap();
        let active = settings.active(None).unwrap();
        assert_eq!(active.coordinates.api_server.url, "http://x");
        assert!(active.coordinates.api_server.skip_verify);
    }

    #[test]
    fn text_that_is_no_yaml_is_refused_without_quoting_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, "token: [eyJsecret\n").unwrap();
        let text = Settings::load(&path).unwrap_err().to_string();
        assert!(text.starts_with("Failed to parse configuration from file"), "{text}");
        assert!(!text.contains("eyJsecret"), "{text}");
    }

    #[test]
    fn removal_of_the_active_one_activates_the_first_left() {
        let mut settings = Settings::initial();
        settings.put("g", ApiServer::default());
        settings.put("h", ApiServer::default());
        assert_eq!(settings.current_context, "h");
        assert!(settings.remove("h"));
        assert_eq!(settings.current_context, "local");
        assert!(!settings.remove("h"));
        assert!(settings.remove("g") && settings.remove("local"));
        assert_eq!(settings.text(), "{}\n");
    }

    #[test]
    fn active_control_plane_must_be_known() {
        let settings = Settings::initial();
        assert!(settings.active(None).is_ok());
        let check = |settings: &Settings, instead, expected: &str| {
            let text = settings.active(instead).unwrap_err();
            assert!(text.starts_with(expected), "{text}");
        };
        check(&settings, Some("nope"), "apparently, configuration is broken. ");
        check(&Settings::default(), None, "active Control Plane is not set. ");
        let dangling = Settings { current_context: "gone".to_owned(), ..Settings::initial() };
        check(&dangling, None, "apparently, configuration is broken. ");
    }

    #[test]
    fn debug_output_shows_no_token() {
        let mut server = ApiServer { auth_type: "tokens".to_owned(), ..ApiServer::default() };
        server.auth_conf.insert("token".to_owned(), "eyJsecret".to_owned());
        assert_eq!(server.token(), Some("eyJsecret"));
        assert!(!format!("{server:?}").contains("eyJsecret"));
    }
}
