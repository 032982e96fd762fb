//! Texts cut to a length. Who chose them is somebody else, and they end in logs, answers and records.
//!
//! Characters stay whole in every form. Nothing is escaped here.

use std::borrow::Cow;

/// The most characters that are kept of a text of a peer.
const OF_PEER: usize = 1024;

/// Returns the first `longest` characters, or all.
pub fn first_chars(text: &str, longest: usize) -> &str {
    let end = text.char_indices().nth(longest).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or(text)
}

/// Returns the characters that are whole within the first `longest` bytes.
pub fn first_bytes(text: &str, longest: usize) -> &str {
    text.get(..text.floor_char_boundary(longest)).unwrap_or(text)
}

/// Returns the text, or its first `longest` characters and `…`.
pub fn clip(text: &str, longest: usize) -> String {
    let first = first_chars(text, longest);
    if first.len() == text.len() { text.to_owned() } else { format!("{first}…") }
}

/// Returns a text of a peer as logs, statuses and insights have it: what takes more than 1024 bytes is its first 1024
/// characters and `…`.
pub fn of_peer(text: &str) -> String {
    if text.len() <= OF_PEER { text.to_owned() } else { format!("{}…", first_chars(text, OF_PEER)) }
}

/// Returns the text, or what is whole of its first `longest` bytes and how many bytes it has.
pub fn cut(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}… ({} bytes)", first_bytes(text, longest), text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_characters_and_bytes_are_whole_characters() {
        assert_eq!(["", "ü", "üx", "üxü"].map(|text| first_chars(text, 2)), ["", "ü", "üx", "üx"]);
        assert_eq!([0, 1, 2, 3, 9].map(|longest| first_bytes("xüx", longest)), ["", "x", "x", "xü", "xüx"]);
    }

    #[test]
    fn a_clipped_text_counts_characters() {
        assert_eq!(clip("üü", 2), "üü");
        assert_eq!(clip("üüü", 2), "üü…");
    }

    #[test]
    fn a_text_of_a_peer_is_measured_in_bytes_and_cut_after_characters() {
        let whole = "x".repeat(OF_PEER);
        assert_eq!(of_peer(&whole), whole);
        assert_eq!(of_peer(&format!("{whole}y")), format!("{whole}…"));
        assert_eq!(of_peer(&"ü".repeat(OF_PEER + 1)), format!("{}…", "ü".repeat(OF_PEER)));
    }

    #[test]
    fn a_cut_text_says_how_long_it_was() {
        assert_eq!(cut("üü", 3), "ü… (4 bytes)");
        assert_eq!(cut("üü", 4), "üü");
    }
}
