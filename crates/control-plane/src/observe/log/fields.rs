//! The fields of one line, as a JSON object with blanks after colons and commas.

use std::fmt::{self, Write as _};

use model::text;
use tracing::field::{Field, Visit};

use crate::observe::shown;

/// A longer value is cut: whoever sends us texts must not fill the log.
const LONGEST: usize = 4096;
/// Beyond this many bytes the fields of one line are left out.
const LONGEST_LINE: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct Fields {
    message: String,
    members: String,
    left_out: u32,
}

impl Fields {
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn set_message(&mut self, text: &str) {
        // One event is one line, and tabs separate its parts.
        let text = text.replace(['\n', '\r', '\t'], " ");
        self.message = shown::escaped(&text, LONGEST).into_owned();
    }

    /// The object, or nothing if there are no fields.
    pub(super) fn object(&self) -> Option<String> {
        let left_out = match self.left_out {
            0 => String::new(),
            count => format!(", \"fieldsLeftOut\": {count}"),
        };
        (!self.members.is_empty()).then(|| format!("{{{}{left_out}}}", self.members))
    }

    /// Adds a member whose value is JSON already.
    pub(super) fn set(&mut self, name: &str, json: &str) {
        if self.members.len() + json.len() > LONGEST_LINE {
            self.left_out += 1;
            return;
        }
        if !self.members.is_empty() {
            self.members.push_str(", ");
        }
        // Writing to a String cannot fail.
        let _infallible = write!(self.members, "{}: {json}", text_json(name));
    }

    /// Adds a member whose value is a text.
    pub(super) fn set_as_text(&mut self, name: &str, text: &str) {
        self.set(name, &text_json(&text::cut(text, LONGEST)));
    }

    fn set_text(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.set_message(text);
        } else {
            self.set_as_text(field.name(), text);
        }
    }
}

/// A text as JSON. JSON escapes some of what moves a cursor or hides a text; the rest is escaped as JSON may be.
fn text_json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    if json.chars().all(shown::is_visible) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        if shown::is_visible(char) {
            out.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _infallible = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set_text(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), &value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), &value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), &value.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_is_one_line_whatever_it_says() {
        let mut fields = Fields::default();
        fields.set_message("two\nlines\tand a tab");
        fields.set("text", &text_json("a\n\"b\"\t"));
        assert_eq!(fields.message(), "two lines and a tab");
        assert_eq!(fields.object().unwrap(), r#"{"text": "a\n\"b\"\t"}"#);
    }

    #[test]
    fn a_long_value_is_cut() {
        let mut fields = Fields::default();
        fields.set_message(&"ü".repeat(5000));
        assert!(fields.message().len() < LONGEST + 40);
    }

    #[test]
    fn a_line_has_an_end_however_many_fields_it_has() {
        let mut fields = Fields::default();
        for _ in 0..100 {
            fields.set("field", &text_json(&"x".repeat(LONGEST)));
        }
        let object = fields.object().unwrap();
        assert!(object.len() < LONGEST_LINE + LONGEST, "{}", object.len());
        assert!(object.ends_with(", \"fieldsLeftOut\": 97}"), "{}", &object[object.len() - 40..]);
    }

    #[test]
    fn nothing_in_a_line_moves_a_cursor_or_hides_a_text() {
        let hostile = "\u{1b}[2J\u{202e}a\u{7f}\u{9b}\u{200b}";
        let mut fields = Fields::default();
        fields.set_message(hostile);
        fields.set("text", &text_json(hostile));
        let line = format!("{} {}", fields.message(), fields.object().unwrap());
        assert!(line.chars().all(shown::is_visible), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(&text_json(hostile)).unwrap();
        assert_eq!(read, hostile, "what is escaped is still the same text");
    }
}
