//! What the program is told by environment variables: where the settings live, and which HTTP proxies to use.

use std::{ffi::OsString, path::PathBuf};

/// The variables that matter.
#[derive(Clone, Default)]
pub struct Environment {
    /// `HOME`: where the settings live.
    pub home: Option<PathBuf>,
    /// `HTTPS_PROXY`: the proxy for `https` addresses; may hold a password.
    pub https_proxy: Option<String>,
    /// `HTTP_PROXY`: the proxy for `http` addresses; may hold a password.
    pub http_proxy: Option<String>,
    /// `NO_PROXY`: what is asked without a proxy.
    pub no_proxy: Option<String>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The addresses of proxies hold passwords.
        f.debug_struct("Environment").field("home", &self.home).finish_non_exhaustive()
    }
}

impl Environment {
    /// Reads the variables through this function. Of the two spellings of a proxy's variable, capitals win, as in every
    /// kumactl; an empty variable is none.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let proxy = |capitals: &str| {
            let small = capitals.to_lowercase();
            [capitals, &small].into_iter().find_map(|name| {
                let text = variable(name)?.to_string_lossy().trim().to_owned();
                (!text.is_empty()).then_some(text)
            })
        };
        Self {
            home: variable("HOME").map(PathBuf::from),
            https_proxy: proxy("HTTPS_PROXY"),
            http_proxy: proxy("HTTP_PROXY"),
            no_proxy: proxy("NO_PROXY"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_win_and_empty_is_none() {
        let read = |pairs: &[(&str, &str)]| {
            Environment::read(|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
        };
        let both = read(&[("HTTPS_PROXY", "a"), ("https_proxy", "b"), ("http_proxy", "c"), ("NO_PROXY", "")]);
        assert_eq!(both.https_proxy.as_deref(), Some("a"));
        assert_eq!((both.http_proxy.as_deref(), both.no_proxy), (Some("c"), None));
    }

    #[test]
    fn debug_output_shows_no_password() {
        let environment = Environment { https_proxy: Some("http://u:secret@p".to_owned()), ..Environment::default() };
        assert!(!format!("{environment:?}").contains("secret"));
    }
}
