//! Where in a YAML text a value is put, and how it is written so that it stays a value there: it makes no key and no
//! document, whatever it holds. What is harmless as it is stays as it is, so that numbers remain numbers.

use std::borrow::Cow;

use serde_json::Value;

/// Why a value cannot be put where its tag stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// It has several lines and stands beside other text.
    Lines,
    /// It would begin a document of its own.
    Document,
}

/// Returns the value as it is written behind `before`, the text so far, and in front of `after`, the text up to the next
/// tag; `None` if that tag follows at once.
pub(super) fn fitted<'v>(value: &'v str, before: &str, after: Option<&str>) -> Result<Cow<'v, str>, Misplaced> {
    let line = before.rsplit('\n').next().unwrap_or_default();
    let trimmed = value.trim_end_matches(['\n', '\r']);
    let has_lines = trimmed.contains(['\n', '\r']);
    // Line breaks at the end mean nothing anywhere but in a block.
    let value = if has_lines { value } else { trimmed };
    let indent = line.len() - line.trim_start_matches(' ').len();
    if is_in_block(before, line, indent) {
        return Ok(indented(trimmed, indent));
    }
    let state = State::at_the_end_of(line);
    match state.quote {
        Some('"') => return Ok(in_double_quotes(value)),
        Some(_) if has_lines => return Err(Misplaced::Lines),
        Some(_) => return Ok(value.replace('\'', "\'\'").into()),
        None => {}
    }
    let rest = after.map(|after| after.split('\n').next().unwrap_or_default());
    let ends_line =
        rest.is_some_and(|rest| rest.trim().is_empty() || rest.trim_start_matches([' ', '\t']).starts_with('#'));
    if state.is_in_flow {
        let ends_item =
            rest.is_some_and(|rest| rest.trim_start().starts_with([',', '}', ']']) || rest.trim().is_empty());
        let is_harmless = !has_lines && !value.contains([',', '[', ']', '{', '}', '#']) && is_harmless(value);
        return match (state.begins_value && ends_item, has_lines) {
            (true, _) if is_harmless => Ok(value.into()),
            (true, _) => Ok(quoted(value)),
            (false, true) => Err(Misplaced::Lines),
            (false, false) => Ok(value.into()),
        };
    }
    if line.trim().is_empty() && ends_line {
        // It is for the template to say that structure goes here; it stays below what it stands below.
        let begins_document =
            indent == 0 && value.lines().any(|line| line.starts_with("---") || line.starts_with("..."));
        return if begins_document { Err(Misplaced::Document) } else { Ok(indented(value, indent)) };
    }
    match (state.begins_value && ends_line, has_lines) {
        (true, _) if is_harmless(value) => Ok(value.into()),
        (true, _) => Ok(quoted(value)),
        (false, true) => Err(Misplaced::Lines),
        (false, false) => Ok(value.into()),
    }
}

/// What a line of YAML says about the place behind it.
#[derive(Debug, Default)]
struct State {
    quote: Option<char>,
    is_in_flow: bool,
    /// A value may begin here.
    begins_value: bool,
}

impl State {
    fn at_the_end_of(line: &str) -> Self {
        let mut state = Self { begins_value: true, ..Self::default() };
        let mut depth = 0_usize;
        let mut is_escaped = false;
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            let is_before_blank = characters.peek().is_none_or(|next| [' ', '\t'].contains(next));
            match (state.quote, character) {
                (Some('"'), '\\') if !is_escaped => {
                    is_escaped = true;
                    continue;
                }
                (Some(quote), _) if quote == character && !is_escaped => state.quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if state.begins_value => {
                    state.quote = Some(character);
                    state.begins_value = false;
                }
                (None, '{' | '[') if state.begins_value || depth > 0 => {
                    depth += 1;
                    state.begins_value = true;
                }
                (None, '}' | ']') => depth = depth.saturating_sub(1),
                (None, ',') if depth > 0 => state.begins_value = true,
                (None, ':') if is_before_blank => state.begins_value = true,
                (None, '-') if is_before_blank && state.begins_value => {}
                (None, ' ' | '\t') => {}
                (None, _) => state.begins_value = false,
            }
            is_escaped = false;
        }
        state.is_in_flow = depth > 0;
        // `key:{{ x }}` is one word.
        state.begins_value &= !line.ends_with([':', '-']);
        state
    }
}

/// Whether the line is part of a block (`|`, `>`) that began above it.
fn is_in_block(before: &str, line: &str, indent: usize) -> bool {
    let above = before.strip_suffix(line).unwrap_or_default();
    let mut smallest = indent;
    for line in above.lines().rev().filter(|line| !line.trim().is_empty()) {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if indent >= smallest {
            continue;
        }
        smallest = indent;
        let words = line.split(" #").next().unwrap_or_default().trim_end();
        let last = words.rsplit(' ').next().unwrap_or_default();
        let is_head =
            last.starts_with(['|', '>']) && last.chars().skip(1).all(|c| c.is_ascii_digit() || "+-".contains(c));
        if is_head && words.len() > last.len() {
            return true;
        }
    }
    false
}

/// Whether the text, alone behind its key, is what it looks like: one plain text, or one list, mapping or quoted text.
fn is_harmless(text: &str) -> bool {
    let bare = text.trim();
    if bare.chars().any(char::is_control) || bare.contains(" #") {
        return false;
    }
    let is_whole =
        |is_this: fn(&Value) -> bool| serde_saphyr::from_str::<Value>(bare).is_ok_and(|value| is_this(&value));
    match bare.chars().next() {
        None => true,
        Some('{') => is_whole(Value::is_object),
        Some('[') => is_whole(Value::is_array),
        Some('"' | '\'') => is_whole(Value::is_string),
        Some('#' | ',' | ']' | '}' | '&' | '*' | '!' | '|' | '>' | '%' | '@' | '`') => false,
        Some('-' | '?' | ':') if bare.len() == 1 || bare.chars().nth(1).is_some_and(char::is_whitespace) => false,
        Some(_) => !bare.starts_with("---") && !bare.contains(": ") && !bare.ends_with(':'),
    }
}

fn quoted(text: &str) -> Cow<'static, str> {
    // JSON is YAML; a text can always be written.
    serde_json::to_string(text).unwrap_or_default().into()
}

fn in_double_quotes(text: &str) -> Cow<'_, str> {
    let ends_quote = text.contains('"') || text.chars().any(char::is_control) || text.ends_with('\\');
    if !ends_quote {
        // Escapes of YAML in it may be meant.
        return text.into();
    }
    let quoted = quoted(text);
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned().into()
}

/// Puts all lines but the first one behind as many blanks as the tag stands behind.
fn indented(text: &str, indent: usize) -> Cow<'_, str> {
    if indent == 0 || !text.contains(['\n', '\r']) {
        return text.into();
    }
    text.lines().flat_map(|line| line.split('\r')).collect::<Vec<_>>().join(&format!("\n{}", " ".repeat(indent))).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, value: &str, after: &str, expected: &str) {
        let found = fitted(value, before, Some(after));
        assert_eq!(found.as_deref(), Ok(expected), "{before:?} {value:?} {after:?}");
    }

    fn refused(before: &str, value: &str, after: &str, expected: Misplaced) {
        assert_eq!(fitted(value, before, Some(after)), Err(expected), "{before:?} {value:?} {after:?}");
    }

    #[test]
    fn harmless_values_stay_as_they_are() {
        for value in
            ["8080", "true", "5s", "web.default", "a:b", "http://h:1/x#y", "[a, b]", "{a: 1}", "YWJj==", "", "-1"]
        {
            check("name: ", value, "\nx: y", value);
            check("- ", value, "", value);
        }
        check("name: web-", "x: y", "", "x: y");
        check("name: ", "abc\n", "", "abc");
    }

    #[test]
    fn value_behind_its_key_makes_no_other_key_and_no_document() {
        check("name: ", "a\nevil: b", "\n", "\"a\\nevil: b\"");
        check("  - name: ", "a\n---\ntype: Mesh", "", "\"a\\n---\\ntype: Mesh\"");
        check("- ", "a: b", "  # why", "\"a: b\"");
        for value in
            ["&a", "*a", "!x", "|", "> x", "a #b", "[a", "{a: 1} x: y", "\"a\" b", "- a", "? a", "%x", "a:", "x\ry"]
        {
            let found = fitted(value, "name: ", Some("\n")).unwrap();
            assert!(found.starts_with('"') && found.ends_with('"'), "{value:?} {found}");
        }
    }

    #[test]
    fn base64_in_lines_stays_one_value() {
        check("data: ", "YWJj\nZGVm\n", "\n", "\"YWJj\\nZGVm\\n\"");
    }

    #[test]
    fn quotes_are_not_left() {
        check("a: \"", "x\", b: \"y", "\"", "x\\\", b: \\\"y");
        check("a: \"", "x\ny", "\"", "x\\ny");
        check("a: \"", "x\\", "\"", "x\\\\");
        check("a: \"", "x\\ty", "\"", "x\\ty");
        check("a: '", "it's", "'", "it''s");
        refused("a: '", "x\ny", "'", Misplaced::Lines);
    }

    #[test]
    fn flow_items_are_not_left() {
        check("a: {b: ", "1, evil: 2", ", c: 3}", "\"1, evil: 2\"");
        check("a: [", "x], evil: [y", "]", "\"x], evil: [y\"");
        check("a: [x, ", "8080", "]", "8080");
        check("{\"type\": \"Mesh\", \"name\": ", "a", "}", "a");
    }

    #[test]
    fn several_lines_beside_other_text_are_refused() {
        refused("name: web-", "a\nevil: b", "", Misplaced::Lines);
        refused("name: ", "a\nevil: b", "-web", Misplaced::Lines);
        refused("", "a: b\nc", ": d", Misplaced::Lines);
        assert_eq!(fitted("a\nb", "name: ", None), Err(Misplaced::Lines));
    }

    #[test]
    fn lines_of_a_block_stay_in_it() {
        check("data: |\n  ", "a\nb: c\n---\nd", "\n", "a\n  b: c\n  ---\n  d");
        check("spec:\n- x: >-\n\n    user: ", "a: b\nc", "\n", "a: b\n    c");
        check("data: |\n  x\nname: ", "a: b", "\n", "\"a: b\"");
    }

    #[test]
    fn value_on_a_line_of_its_own_stays_below_what_it_stands_below() {
        check("labels:\n  ", "a: b\nc: d", "\n", "a: b\n  c: d");
        check("type: Mesh\n", "name: x\nlabels: {}", "\n", "name: x\nlabels: {}");
        refused("type: Mesh\n", "name: x\n---\ntype: Mesh", "\n", Misplaced::Document);
    }
}
