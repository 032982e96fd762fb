//! Which lines are shown: one level for all, and other ones for single loggers while the program runs.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
};

use model::text::first_chars;
use thiserror::Error;
use tracing::Level;

/// Loggers that say who was let in, refused or cut off, and who changed what: they show INFO at the least, whatever is
/// set while the program runs, so that nobody works unseen.
const SECURITY: [&str; 6] = ["api-server", "diagnostics", "kds.auth", "kds.global", "keys", "zones"];
/// Single loggers that may have a level of their own.
const OVERRIDES: usize = 256;
const LONGEST_NAME: usize = 128;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing.
    Off,
    /// What an operator asks about.
    Info,
    /// Every message.
    Debug,
}

/// Why a level is not set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LevelError {
    /// Not `off`, `info` or `debug`.
    #[error("unknown log level \"{0}\"")]
    Unknown(String),
    /// No name.
    #[error("component name must not be empty")]
    NoName,
    /// A name that no logger has.
    #[error("component name {0:?} contains invalid characters")]
    BadName(String),
    /// Enough.
    #[error("too many log level overrides")]
    TooMany,
    /// A logger that cannot be switched off.
    #[error("{0:?} says who was let in, refused or cut off, and cannot be switched off: `info` and `debug` can be set")]
    Security(String),
}

impl FromStr for Verbosity {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        match text {
            "off" => Ok(Self::Off),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            _ => Err(LevelError::Unknown(first_chars(text, 64).to_owned())),
        }
    }
}

impl fmt::Display for Verbosity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}

/// The levels of a running program. Cheap to clone.
#[derive(Clone)]
pub struct Levels {
    general: Verbosity,
    single: Arc<RwLock<BTreeMap<String, Verbosity>>>,
}

impl Levels {
    pub(super) fn new(general: Verbosity) -> Self {
        Self { general, single: Arc::default() }
    }

    pub(super) fn shows(&self, logger: &str, level: Level) -> bool {
        let single = self.single.read().unwrap_or_else(PoisonError::into_inner);
        let verbosity = single.get(logger).copied().unwrap_or(self.general);
        match verbosity {
            Verbosity::Off => false,
            Verbosity::Info => level <= Level::INFO,
            Verbosity::Debug => level <= Level::DEBUG,
        }
    }

    /// The loggers with a level of their own.
    pub fn overrides(&self) -> BTreeMap<String, Verbosity> {
        self.single.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives a logger a level of its own.
    pub fn set(&self, logger: &str, level: &str) -> Result<(), LevelError> {
        check_name(logger)?;
        let level = level.parse()?;
        if level == Verbosity::Off && is_of_security(logger) {
            return Err(LevelError::Security(logger.to_owned()));
        }
        let mut single = self.single.write().unwrap_or_else(PoisonError::into_inner);
        if single.len() >= OVERRIDES && !single.contains_key(logger) {
            return Err(LevelError::TooMany);
        }
        single.insert(logger.to_owned(), level);
        Ok(())
    }

    /// Takes a logger's own level away; one without is fine.
    pub fn clear(&self, logger: &str) -> Result<(), LevelError> {
        check_name(logger)?;
        self.single.write().unwrap_or_else(PoisonError::into_inner).remove(logger);
        Ok(())
    }

    /// Takes all of them away and returns them.
    pub fn clear_all(&self) -> BTreeMap<String, Verbosity> {
        std::mem::take(&mut *self.single.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns whether a logger says who was let in, refused or cut off, or who changed what.
pub(super) fn is_of_security(logger: &str) -> bool {
    SECURITY.contains(&logger)
}

fn check_name(name: &str) -> Result<(), LevelError> {
    if name.is_empty() {
        return Err(LevelError::NoName);
    }
    let good =
        name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte));
    if good { Ok(()) } else { Err(LevelError::BadName(first_chars(name, LONGEST_NAME).to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logger_may_have_a_level_of_its_own() {
        let levels = Levels::new(Verbosity::Info);
        assert!(levels.shows("kds.auth", Level::WARN) && !levels.shows("kds.auth", Level::DEBUG));
        levels.set("kds.auth", "debug").unwrap();
        assert!(levels.shows("kds.auth", Level::DEBUG) && !levels.shows("kds.global", Level::DEBUG));
        levels.set("kds", "off").unwrap();
        assert!(!levels.shows("kds", Level::ERROR));
        assert_eq!(levels.clear_all().len(), 2);
        assert!(levels.shows("kds.auth", Level::INFO));
    }

    #[test]
    fn who_is_let_in_and_refused_is_always_told() {
        let levels = Levels::new(Verbosity::Info);
        for logger in SECURITY {
            let refused = levels.set(logger, "off").unwrap_err();
            assert!(refused.to_string().contains("cannot be switched off"), "{refused}");
            levels.set(logger, "debug").unwrap();
            levels.set(logger, "info").unwrap();
            assert!(levels.shows(logger, Level::INFO));
        }
    }

    #[test]
    fn what_is_no_level_or_no_name_is_refused() {
        let levels = Levels::new(Verbosity::Info);
        assert_eq!(levels.set("a", "loud").unwrap_err().to_string(), "unknown log level \"loud\"");
        assert_eq!(levels.set("", "info"), Err(LevelError::NoName));
        assert_eq!(levels.clear("a b").unwrap_err().to_string(), "component name \"a b\" contains invalid characters");
        for index in 0..OVERRIDES {
            levels.set(&format!("l{index}"), "info").unwrap();
        }
        assert_eq!(levels.set("one-more", "info"), Err(LevelError::TooMany));
        assert_eq!(levels.set("l0", "debug"), Ok(()));
    }
}
