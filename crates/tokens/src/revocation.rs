//! Lists of revoked token ids, as people write them.
//!
//! The documented form is ids joined with commas. Blanks, line ends of either kind, empty entries and ids that stand
//! twice are taken for what was meant: an id that is read past is a token that stays good.

use std::collections::BTreeSet;

/// The revoked ids of one family.
#[derive(Default)]
pub(crate) struct Revocations {
    ids: BTreeSet<String>,
    /// The name of a list that could not be read: nothing of the family is accepted then.
    pub(crate) unreadable: Option<String>,
}

impl Revocations {
    /// Adds the ids of a list. Returns whether it could be read.
    pub(crate) fn add(&mut self, name: &str, data: &[u8]) -> bool {
        let Some(entries) = entries(data) else {
            self.unreadable = Some(name.to_owned());
            return false;
        };
        self.ids.extend(entries.map(str::to_owned));
        true
    }

    /// Tells if the id stands in a list.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }
}

/// Tells if a list can be read.
pub(crate) fn is_readable(data: &[u8]) -> bool {
    entries(data).is_some()
}

fn entries(data: &[u8]) -> Option<impl Iterator<Item = &str>> {
    let text = std::str::from_utf8(data).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Control characters mean that this is no text (UTF-16, a key, a compressed file).
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return None;
    }
    // An id of another issuer may have blanks inside, and blanks may stand between ids: both readings are revoked.
    let entries = text.split([',', '\n', '\r']).map(str::trim);
    Some(entries.flat_map(|entry| std::iter::once(entry).chain(entry.split_whitespace())).filter(|id| !id.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5766e443-ef30-4916-afbd-a680d244fc16";

    fn check(list: &str, revoked: bool) {
        let mut revocations = Revocations::default();
        assert!(revocations.add("list", list.as_bytes()), "{list:?}");
        assert_eq!(revocations.contains(ID), revoked, "{list:?}");
        assert!(!revocations.contains(""), "{list:?} revokes tokens without id");
    }

    #[test]
    fn each_way_to_write_a_list_revokes() {
        for list in [
            "ID",
            "ID\n",
            "x,ID",
            "x,ID,",
            "x, ID",
            "x\nID",
            "ID\r\n",
            "ID\n\n",
            " ID", // the nine of the contract
            "x ID",
            "x\tID",
            "ID,ID",
            ",,ID",
            "\u{feff}ID",
            "x;y\r\n\r\nID , z",
            "ID x",
            "\nID",
        ] {
            check(&list.replace("ID", ID), true);
        }
    }

    #[test]
    fn other_entries_do_not_revoke() {
        for list in ["", ",", "\n", " , ", "x", "5766e443", "5766e443-ef30-4916-afbd-a680d244fc16x"] {
            check(list, false);
        }
    }

    #[test]
    fn ids_with_blanks_are_revoked_as_a_whole_too() {
        let mut revocations = Revocations::default();
        revocations.add("list", b"a b, c");
        assert!(["a b", "a", "b", "c"].iter().all(|id| revocations.contains(id)));
    }

    #[test]
    fn what_is_no_text_is_unreadable() {
        for bad in [&b"\xff\xfeI\0D\0"[..], b"I\0D\0", b"\x1f\x8b", b"\xc3"] {
            let mut revocations = Revocations::default();
            assert!(!revocations.add("list", bad));
            assert_eq!(revocations.unreadable.as_deref(), Some("list"));
        }
    }
}
