//! Chooses the style of a scalar and writes it.

use serde_json::Value;

/// Past this column a blank becomes a line break.
const WIDTH: usize = 80;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// Writes a value that is no filled list or object. `indent` is where further lines begin, `column` where it stands.
pub(super) fn write(value: &Value, indent: usize, column: usize, out: &mut String) {
    match value {
        Value::String(text) => match style(text) {
            Style::Plain => folded(text, indent, column, false, out),
            Style::Single => folded(text, indent, column, true, out),
            Style::Double => double(text, out),
            Style::Literal => literal(text, indent, out),
        },
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

/// Writes a key: in one line, whatever its length.
pub(super) fn key(text: &str, out: &mut String) {
    match style(text) {
        Style::Plain => out.push_str(text),
        Style::Single => {
            out.push('\'');
            out.push_str(&text.replace('\'', "''"));
            out.push('\'');
        }
        Style::Double | Style::Literal => double(text, out),
    }
}

fn style(text: &str) -> Style {
    if is_no_text(text) {
        return Style::Double;
    }
    if text.chars().any(is_special) || text.contains(" \n") {
        return Style::Double;
    }
    if text.contains('\n') {
        // A block cannot say where blanks end, and begins with no blank.
        return if text.ends_with(' ') || text.starts_with([' ', '\n']) { Style::Double } else { Style::Literal };
    }
    if is_plain(text) { Style::Plain } else { Style::Single }
}

/// Whether a reader of YAML 1.1 would take the plain text for a number, a boolean, null, a time or a merge.
fn is_no_text(text: &str) -> bool {
    const WORDS: [&str; 14] =
        ["", "~", "null", "y", "yes", "true", "on", "n", "no", "false", "off", "<<", ".nan", ".inf"];
    let lower = text.to_ascii_lowercase();
    let cased = text == lower || text == text.to_ascii_uppercase() || capitalised(text);
    let unsigned = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    (cased && WORDS.contains(&lower.as_str()))
        || unsigned == ".inf"
        || text == ".NaN"
        || is_number(text)
        || is_time(text)
}

fn capitalised(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_uppercase()) && chars.all(|c| c.is_ascii_lowercase())
}

fn is_number(text: &str) -> bool {
    let plain = text.replace('_', "");
    let unsigned = plain.strip_prefix(['-', '+']).unwrap_or(&plain);
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) || unsigned.is_empty() {
        return false;
    }
    let all = |text: &str, radix: u32| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            return all(digits, radix);
        }
    }
    is_float(unsigned) || is_base_60(unsigned)
}

/// `1`, `1.`, `.5`, `1.5e-3`.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    let mantissa_good = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()),
        None => digits(mantissa) && !mantissa.is_empty(),
    };
    let exponent_good = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_good && exponent_good
}

/// `10:30`: minutes and seconds in YAML 1.1.
fn is_base_60(text: &str) -> bool {
    let text = text.split_once('.').map_or(text, |(whole, _)| whole);
    let mut parts = text.split(':');
    let first = parts.next().is_some_and(|part| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit()));
    let mut more = false;
    let rest = parts.all(|part| {
        more = true;
        part.len() <= 2 && part.parse::<u8>().is_ok_and(|number| number < 60)
    });
    first && rest && more
}

/// `2026-11-23`, alone or with a time behind `T` or a blank.
fn is_time(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let digits =
        |part: &str, longest: usize| (1..=longest).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit());
    let [year, month, day] = parts.as_slice() else { return false };
    let day_good = year.len() == 4 && digits(year, 4) && digits(month, 2) && digits(day, 2);
    let time_good = time.is_empty()
        || time.get(1..).is_some_and(|time| time.starts_with(|c: char| c.is_ascii_digit()) && time.contains(':'));
    day_good && time_good
}

/// Whether the text may stand without quotes in block context.
fn is_plain(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let blank_after = |index: usize| chars.get(index + 1).is_none_or(|c| *c == ' ');
    if text.starts_with("---") || text.starts_with("...") || text.starts_with(' ') || text.ends_with(' ') {
        return false;
    }
    chars.iter().enumerate().all(|(index, c)| match (index, c) {
        (0, '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`') => false,
        (0, '?' | '-') => !blank_after(0),
        (_, ':') => !blank_after(index),
        (_, '#') => index.checked_sub(1).and_then(|before| chars.get(before)).is_none_or(|c| *c != ' '),
        _ => true,
    })
}

/// What only double quotes can hold.
fn is_special(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') || turns_text(c)
}

/// Whether the character changes the reading direction: shown as it is, a text would look like another one.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a plain or single quoted text, with a line break for the blanks past the width.
fn folded(text: &str, indent: usize, mut column: usize, quoted: bool, out: &mut String) {
    if quoted {
        out.push('\'');
        column += 1;
    }
    let mut before = '\0';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let alone = before != ' ' && chars.peek().is_some_and(|next| *next != ' ');
        if c == ' ' && alone && column > WIDTH && before != '\0' {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else {
            out.push(c);
            column += 1;
            if quoted && c == '\'' {
                out.push('\'');
                column += 1;
            }
        }
        before = c;
    }
    if quoted {
        out.push('\'');
    }
}

fn double(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            '\u{feff}' => out.push_str("\\uFEFF"),
            c if turns_text(c) => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn literal(text: &str, indent: usize, out: &mut String) {
    let body = text.trim_end_matches('\n');
    let ends = text.len() - body.len();
    out.push_str(match ends {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
        }
    }
    // The caller writes the last line break.
    out.extend(std::iter::repeat_n('\n', ends.saturating_sub(1)));
}
