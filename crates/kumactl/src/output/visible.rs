//! Texts of servers on a terminal: what would move the cursor, start a line of its own or turn the reading direction
//! is written as an escape.

pub(crate) fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// Returns a text that keeps its lines and tabs.
pub(crate) fn text(text: &str) -> String {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

/// Returns a JSON text in which such characters, which can only stand inside its texts, are JSON escapes.
pub(crate) fn json(text: &str) -> String {
    if !text.chars().any(is_hidden) {
        return text.to_owned();
    }
    let escape = |character: char| match character {
        '\n' => "\n".to_owned(),
        hidden if is_hidden(hidden) => {
            hidden.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}

fn escaped(text: &str, is_kept: fn(char) -> bool) -> String {
    if !text.chars().any(is_hidden) {
        return text.to_owned();
    }
    let escape = |character: char| {
        if is_hidden(character) && !is_kept(character) {
            character.escape_unicode().to_string()
        } else {
            character.to_string()
        }
    };
    text.chars().map(escape).collect()
}

/// Control characters, marks and overrides of the reading direction, and separators of lines.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_text() {
        assert_eq!(line("a\u{1b}[2J\nb\tc\u{9b}"), "a\\u{1b}[2J\\u{a}b\\u{9}c\\u{9b}");
        assert_eq!(text("a\u{1b}[2J\nb\tc\r"), "a\\u{1b}[2J\nb\tc\\u{d}");
        assert_eq!(line("user\u{202e}nimda"), "user\\u{202e}nimda");
        assert_eq!(line("Zoë ☃ 名前"), "Zoë ☃ 名前");
    }

    #[test]
    fn json_stays_the_same_json() {
        let shown = json("{\n  \"a\": \"x\u{202e}y\u{7f}\"\n}");
        assert_eq!(shown, "{\n  \"a\": \"x\\u202ey\\u007f\"\n}");
        let value: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(value["a"], "x\u{202e}y\u{7f}");
    }
}
