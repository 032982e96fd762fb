//! How a command ends when it does not end well.

use std::fmt;

/// Why the program stops before its work is done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The words make no sense: the text goes to standard error, the usage to standard output.
    Usage {
        text: String,
        /// How the command is used.
        usage: String,
    },
    /// Refused or failed: one text, perhaps of several lines.
    Refused(String),
    /// What was to be looked at cannot be read at all.
    Unreadable(String),
    /// The reader of standard output is gone; nobody is left to be told.
    Closed,
}

impl Failure {
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage { text, .. } | Self::Refused(text) | Self::Unreadable(text) => f.write_str(text),
            Self::Closed => f.write_str("standard output is closed"),
        }
    }
}

impl std::error::Error for Failure {}
