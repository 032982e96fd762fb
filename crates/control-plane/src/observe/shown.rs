//! Texts that somebody outside chose, made fit for a log line or an error text.

use std::borrow::Cow;

/// The most that a name takes in a log line, in bytes, with what the line escapes in it.
const LONGEST_NAME: usize = 256;

/// Returns a name as a log line may show it: at most 256 bytes, nothing that moves a cursor or hides text.
pub(crate) fn name(text: &str) -> Cow<'_, str> {
    escaped(text, LONGEST_NAME)
}

/// Returns a text with everything escaped that is no visible character, cut where it gets longer than `longest` bytes
/// as a line shows it: there quotes and backslashes, also those that are put in here, take two.
pub(crate) fn escaped(text: &str, longest: usize) -> Cow<'_, str> {
    if width(text) <= longest && text.chars().all(is_visible) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut taken = 0;
    for char in text.chars() {
        let before = out.len();
        if is_visible(char) {
            out.push(char);
        } else {
            out.extend(char.escape_debug());
        }
        taken += width(out.get(before..).unwrap_or_default());
        if taken > longest {
            out.truncate(before);
            return Cow::Owned(format!("{out}… ({} bytes)", text.len()));
        }
    }
    Cow::Owned(out)
}

/// How many bytes a visible text takes where quotes and backslashes are escaped once more.
fn width(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}

/// Quotes and backslashes are visible, though `escape_debug` escapes them.
pub(crate) fn is_visible(char: char) -> bool {
    matches!(char, '"' | '\'' | '\\') || char.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_chose_stays_short_and_on_its_line() {
        let check = |text: &str, expected: &str| assert_eq!(name(text), expected);
        check("east", "east");
        check("grün/it's \"x\" \\", "grün/it's \"x\" \\");
        check("a\u{1b}[2J\nb", "a\\u{1b}[2J\\nb");
        check("\u{202e}txt", "\\u{202e}txt");
        for text in ["\u{1}", "x", "ü", "\u{202e}", "\\", "\""] {
            let shown = name(&text.repeat(1300)).into_owned();
            let in_line = serde_json::Value::from(&*shown).to_string();
            assert!(in_line.len() < LONGEST_NAME + 40, "{in_line}");
            assert!(shown.ends_with(&format!("({} bytes)", 1300 * text.len())), "{shown}");
        }
    }
}
