//! Lists of revoked token ids, as people write them.
//!
//! The documented form is ids joined with commas. Blanks, line ends of either kind, empty entries and ids that stand
//! twice are taken for what was meant: an id that is read past is a token that stays good.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use crate::key::KeyProblem;

/// Says what is wrong with a list that somebody writes: what is taken in silence and never meets a token leaves the
/// leaked one in force.
pub(crate) fn check(data: &[u8]) -> Result<(), KeyProblem> {
    let text = text(data).ok_or(KeyProblem::UnreadableList)?;
    let mut words = 0;
    for (index, entry) in entries(text).enumerate() {
        for word in entry.split_whitespace() {
            if let Some(problem) = no_id(word) {
                return Err(KeyProblem::NoTokenId { place: index + 1, entry: shown(word), problem });
            }
            words += 1;
        }
    }
    if words == 0 { Err(KeyProblem::EmptyList) } else { Ok(()) }
}

/// The text of a list, if it is one.
pub(super) fn text(data: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(data).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Control characters mean that this is no text (UTF-16, a key, a compressed file).
    let other_control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    (!text.chars().any(other_control)).then_some(text)
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n', '\r']).map(str::trim).filter(|entry| !entry.is_empty())
}

/// An id of another issuer may have blanks inside, and blanks may stand between ids: both readings are revoked.
pub(super) fn ids(text: &str) -> impl Iterator<Item = &str> {
    entries(text).flat_map(|entry| std::iter::once(entry).chain(entry.split_whitespace()))
}

/// The ids that a written one may mean. Ours are UUIDs in lower case; tools that write them in upper case, or with something
/// around them (`urn:uuid:…`), mean the same token.
pub(super) fn readings(id: &str) -> impl Iterator<Item = String> {
    uuids_in(id).into_iter().chain(std::iter::once(id.to_owned()))
}

/// The UUIDs that stand in a text, in lower case; one without dashes if that is the whole text.
fn uuids_in(text: &str) -> Vec<String> {
    if text.len() == UUID - DASHES.len() && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let mut uuid = text.to_ascii_lowercase();
        DASHES.iter().for_each(|at| uuid.insert(*at, '-'));
        return vec![uuid];
    }
    let is_uuid = |window: &[u8]| {
        window.iter().enumerate().all(
            |(at, byte)| {
                if DASHES.contains(&at) { *byte == b'-' } else { byte.is_ascii_hexdigit() }
            },
        )
    };
    let bytes = text.as_bytes();
    // More letters or digits make it another id.
    let ends = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let stands_alone = |at: usize| ends(at.checked_sub(1)) && ends(Some(at + UUID));
    let found = bytes.windows(UUID).enumerate().filter(|(at, window)| is_uuid(window) && stands_alone(*at));
    found.filter_map(|(at, _)| text.get(at..at + UUID)).map(str::to_ascii_lowercase).collect()
}

/// Says why a text can be no id of a token, if it cannot.
pub fn no_token_id(text: &str) -> Option<&'static str> {
    let is_several = text.contains([',', ' ', '\t', '\n', '\r']);
    if is_several { Some("it has commas or blanks, which no id has; name one id at a time") } else { no_id(text) }
}

/// Why a word can be no id of a token, if it cannot: ids are UUIDs, or what other issuers make of letters and digits.
fn no_id(word: &str) -> Option<&'static str> {
    let core = word.trim_end_matches('=');
    if word.len() > LONGEST_ID {
        return Some("it is too long");
    }
    if word.starts_with("eyJ") && word.contains('.') {
        return Some("it is a token; what is needed is its id, the claim `jti`");
    }
    if core.is_empty() || !core.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/@+~".contains(&byte)) {
        return Some("it has characters that no id has; ids are separated by commas, without brackets or quotes");
    }
    if looks_cut(word) {
        return Some("it looks like a UUID and is none: something is missing, or too much");
    }
    if uuids_in(word).len() > 1 {
        return Some("it holds several ids: ids are separated by commas");
    }
    let decoded = [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD].into_iter().find_map(|form| form.decode(core).ok());
    let is_text = |bytes: &[u8]| {
        bytes.len() >= SHORTEST_HIDDEN_TEXT
            && bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    };
    if decoded.is_some_and(|bytes| is_text(&bytes)) {
        return Some("it is base64 of a text: `data` is base64 of the list once, not twice");
    }
    None
}

/// Whether a word is a UUID with something missing, too much, or other dashes: groups of hexadecimal digits, and the first
/// of them has eight.
fn looks_cut(word: &str) -> bool {
    let groups: Vec<&str> = word.split(['-', '_', '.', ':']).collect();
    let hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'o' | b'O' | b'l'));
    let of_eight = groups.first().is_some_and(|group| group.len() == 8);
    let looks = groups.iter().all(hex) && (groups.len() > 3 || (groups.len() == 3 && of_eight));
    looks && uuids_in(word).is_empty()
}

/// What is shown of a word: tokens and what hides texts may be secret.
fn shown(word: &str) -> String {
    word.chars().take(SHOWN_OF_AN_ID).collect()
}

/// The length of a UUID as text.
const UUID: usize = 36;
/// Where its dashes are.
const DASHES: [usize; 4] = [8, 13, 18, 23];
const LONGEST_ID: usize = 256;
/// Shorter texts may be ids that happen to be base64 of letters.
const SHORTEST_HIDDEN_TEXT: usize = 24;
/// Less than what would be of use of a token.
const SHOWN_OF_AN_ID: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5766e443-ef30-4916-afbd-a680d244fc16";

    fn check_written(list: &str, expected: Result<(), (usize, &str)>) {
        let found = check(list.as_bytes()).map_err(|problem| match problem {
            KeyProblem::NoTokenId { place, problem, .. } => (place, problem),
            other => panic!("{list:?}: {other}"),
        });
        let matches = match (&found, expected) {
            (Ok(()), Ok(())) => true,
            (Err((place, problem)), Err((wanted, part))) => *place == wanted && problem.contains(part),
            _ => false,
        };
        assert!(matches, "{list:?}: {found:?}");
    }

    #[test]
    fn a_written_list_holds_ids_and_nothing_else() {
        for good in [
            "ID",
            "ID\n",
            "a, ID",
            "other,ID",
            " ID ,\r\nID\n",
            "\u{feff}ID",
            "my-issuer/42",
            "my.issuer/42",
            "eyJhbGci",
            "a1b2c3==",
            "ID ID",
            "dead-beef",
            "20261128-42",
            "ab-cd-ef",
            "5766e44-ef30-4916",
            "urn:uuid:ID",
            &"xY9~".repeat(64),
            // 23 letters: too short to be a text that hides.
            "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnc",
        ] {
            check_written(&good.replace("ID", ID), Ok(()));
        }
        for (bad, place, problem) in [
            ("[\"ID\"]", 1, "characters"),
            ("ok,\"ID\"", 2, "characters"),
            ("ID;ID", 1, "characters"),
            ("jti=ID", 1, "characters"),
            ("a,b,\u{200b}ID", 3, "characters"),
            ("ID\u{202e}", 1, "characters"),
            ("'ID'", 1, "characters"),
            ("{\"jti\":\"ID\"}", 1, "characters"),
            ("NTc2NmU0NDMtZWYzMC00OTE2LWFmYmQtYTY4MGQyNDRmYzE2", 1, "base64"),
            ("NTc2NmU0NDMtZWYzMC00OTE2LWFmYmQtYTY4MGQyNDRmYzE2Cg==", 1, "base64"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJ9.xx", 1, "is a token"),
            ("x,5766e443-ef30-4916-afbd-a680d244fc1", 2, "looks like a UUID"),
            ("766e443-ef30-4916-afbd-a680d244fc16", 1, "looks like a UUID"),
            ("5766e443-ef30-4916-afbda680d244fc16", 1, "looks like a UUID"),
            ("5766e443-ef30-4916", 1, "looks like a UUID"),
            ("5766e443_ef30_4916_afbd_a680d244fc16", 1, "looks like a UUID"),
            ("5766e443-ef30-4916-afbd-a68Od244fc16", 1, "looks like a UUID"),
            ("5766e443-ef30-4916-\nafbd-a680d244fc16", 1, "looks like a UUID"),
            ("ID/5766e443-ef30-4916-afbd-a680d244fc17", 1, "several ids"),
            ("x,ID+5766e443-ef30-4916-afbd-a680d244fc17", 2, "several ids"),
        ] {
            check_written(&bad.replace("ID", ID), Err((place, problem)));
        }
        check_written(&"x".repeat(257), Err((1, "too long")));
        check_written("YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4", Err((1, "base64")));
        check_written("57-66-e4-43", Err((1, "looks like a UUID")));
    }

    #[test]
    fn of_what_is_no_id_no_more_is_shown_than_is_of_no_use() {
        let token = b"eyJhbGciOiJIUzI1NiJ9.eyJ9.xx";
        let Err(KeyProblem::NoTokenId { entry, .. }) = check(token) else { panic!("a token is no id") };
        assert_eq!(entry, "eyJhbGciOiJI");
    }

    #[test]
    fn a_list_that_names_nothing_is_not_taken() {
        for nothing in ["", " ", ",", "\n,\n", "\u{feff}"] {
            assert_eq!(check(nothing.as_bytes()), Err(KeyProblem::EmptyList), "{nothing:?}");
        }
        assert_eq!(check(b"\xff"), Err(KeyProblem::UnreadableList));
    }
}
