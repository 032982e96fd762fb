//! Revocation lists: token ids, separated by commas or line ends (contract: tokens 1.6, 2.6, 7.4).

use std::collections::BTreeSet;

/// The ids of one family that are revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Revocations {
    /// These.
    Listed(BTreeSet<String>),
    /// The list is there and cannot be read: nobody knows what is revoked, so nothing of the family is good.
    Unreadable,
}

impl Default for Revocations {
    fn default() -> Self {
        Self::Listed(BTreeSet::new())
    }
}

impl Revocations {
    /// Reads a list tolerantly: blanks, line ends of any kind, repeated and trailing commas hide nothing, and an empty
    /// entry revokes nothing.
    pub(crate) fn read(data: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(data) else { return Self::Unreadable };
        let text = text.trim_start_matches('\u{feff}');
        let ids = text.split([',', ';', '\n', '\r', ' ', '\t']).map(str::trim).filter(|id| !id.is_empty());
        Self::Listed(ids.map(str::to_owned).collect())
    }

    /// Adds the ids of another list.
    pub(crate) fn merge(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Listed(ids), Self::Listed(more)) => ids.extend(more),
            (current, Self::Unreadable) => *current = Self::Unreadable,
            (Self::Unreadable, Self::Listed(_)) => {}
        }
    }

    /// Whether a token with this id is revoked.
    pub(crate) fn revokes(&self, id: Option<&str>) -> bool {
        match self {
            Self::Listed(ids) => id.is_some_and(|id| ids.contains(id)),
            Self::Unreadable => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_list_revokes() {
        for list in ["ID", "ID\n", "x,ID", "x,ID,", "x, ID", "x\nID", "ID\r\n", "ID\n\n", " ID", "x,\tID", "\u{feff}ID", "ID,ID"] {
            assert!(Revocations::read(list.as_bytes()).revokes(Some("ID")), "{list:?}");
        }
    }

    #[test]
    fn an_empty_entry_revokes_nothing() {
        for list in ["", ",", "x,", "\n", ",,,", " , "] {
            let list = Revocations::read(list.as_bytes());
            assert!(!list.revokes(None));
            assert!(!list.revokes(Some("")));
            assert!(!list.revokes(Some("ID")));
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_revokes_everything() {
        let list = Revocations::read(&[0xff, 0xfe, b'I', b'D']);
        assert!(list.revokes(None));
        assert!(list.revokes(Some("other")));
    }

    #[test]
    fn an_id_is_compared_whole() {
        let list = Revocations::read(b"abcdef");
        assert!(!list.revokes(Some("abc")));
        assert!(!list.revokes(Some("ABCDEF")));
    }
}
