//! Names that are checked once, when they enter.

use std::fmt;

use thiserror::Error;

/// Why a text is no zone name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// There is no text at all.
    #[error("cannot be empty")]
    Empty,
    /// More than 63 characters.
    #[error("must be no more than 63 characters")]
    TooLong,
    /// Not an RFC 1035 label.
    #[error(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
         character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
         validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
    )]
    NotALabel,
}

/// The name of a zone: an RFC 1035 label of at most 63 characters (contract: kds 8.1, rest 1.10).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneName(String);

impl ZoneName {
    /// Returns the name, or why the text is none.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        dns_1035_label(text).map(|()| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ZoneName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Checks that `text` is an RFC 1035 label of at most 63 characters.
fn dns_1035_label(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > 63 {
        return Err(NameError::TooLong);
    }
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let starts = text.bytes().next().is_some_and(|c| c.is_ascii_lowercase());
    let ends = text.bytes().next_back().is_some_and(|c| c != b'-');
    if starts && ends && text.bytes().all(inner) { Ok(()) } else { Err(NameError::NotALabel) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), NameError>) {
        assert_eq!(ZoneName::parse(text).err(), expected.err(), "{text:?}");
    }

    #[test]
    fn zone_names_are_rfc_1035_labels() {
        check("west", Ok(()));
        check("zone-1", Ok(()));
        check(&"a".repeat(63), Ok(()));
        check("", Err(NameError::Empty));
        check(&"a".repeat(64), Err(NameError::TooLong));
        for bad in ["Bad_Name", "1zone", "zone-", "-zone", "a.b", "zöne", "a b", "west\n"] {
            check(bad, Err(NameError::NotALabel));
        }
    }
}
