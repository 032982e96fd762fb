//! The fields of one line, as a JSON object with blanks after colons and commas.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};

/// A longer value is cut: whoever sends us texts must not fill the log.
const LONGEST: usize = 4096;

#[derive(Default)]
pub(super) struct Fields {
    message: String,
    members: String,
}

impl Fields {
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn set_message(&mut self, text: &str) {
        // One event is one line, and tabs separate its parts.
        self.message = cut(text).replace(['\n', '\r', '\t'], " ");
    }

    /// The object, or nothing if there are no fields.
    pub(super) fn object(&self) -> Option<String> {
        (!self.members.is_empty()).then(|| format!("{{{}}}", self.members))
    }

    /// Adds a member whose value is JSON already.
    pub(super) fn set(&mut self, name: &str, json: &str) {
        if !self.members.is_empty() {
            self.members.push_str(", ");
        }
        // Writing to a String cannot fail.
        let _infallible = write!(self.members, "{}: {json}", text_json(name));
    }

    fn set_text(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.set_message(text);
        } else {
            self.set(field.name(), &text_json(&cut(text)));
        }
    }
}

fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let mut end = LONGEST;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len())
}

fn text_json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
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
        assert!(cut(&"ü".repeat(5000)).len() < LONGEST + 40);
    }
}
