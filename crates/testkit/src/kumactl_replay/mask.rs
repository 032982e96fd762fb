//! Hides what differs from run to run: times, ages, ids, counters, keys, tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

const COUNTERS: &str = "TOTAL UPDATES";

/// Hides what differs from run to run.
pub fn mask(text: &str) -> String {
    let mut masked = String::new();
    let mut lines = text.split('\n').peekable();
    let mut in_key = false;
    let mut counters = None;
    while let Some(line) = lines.next() {
        if line.starts_with("-----BEGIN ") {
            in_key = true;
        }
        if in_key {
            if line.starts_with("-----") {
                masked += line;
                masked.push('\n');
            }
            in_key = !line.starts_with("-----END ");
            continue;
        }
        // Below its title, a counter stands where the title begins.
        counters = if line.is_empty() { None } else { line.find(COUNTERS).or(counters) };
        masked += &words(&counters.map_or_else(|| line.to_owned(), |place| uncounted(line, place)));
        if lines.peek().is_some() {
            masked.push('\n');
        }
    }
    masked
}

/// Hides the counter that begins at this place. Nothing counted is not hidden.
fn uncounted(line: &str, place: usize) -> String {
    let Some((before, rest)) = line.split_at_checked(place) else { return line.to_owned() };
    let after = rest.trim_start_matches(|character: char| character.is_ascii_digit());
    if after.len() == rest.len() || rest.starts_with("0 ") { line.to_owned() } else { format!("{before}COUNT{after}") }
}

/// Masks word by word. Columns are parted by three blanks or more, their widths depend on ages.
fn words(line: &str) -> String {
    let is_table = line.contains("   ") && !line.starts_with(' ');
    let cells: Vec<&str> =
        if is_table { line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect() } else { vec![line] };
    let mask_cell = |cell: &&str| if is_table && is_age(cell) { "AGE".to_owned() } else { cell_words(cell) };
    cells.iter().map(mask_cell).collect::<Vec<_>>().join("   ")
}

fn cell_words(cell: &str) -> String {
    cell.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn word(word: &str) -> String {
    let bare = word.trim_matches(['"', ',']);
    let hidden = if bare.starts_with("eyJ") {
        token(bare)
    } else if is_time(bare) {
        "TIME".to_owned()
    } else if is_uuid(bare) {
        "UUID".to_owned()
    } else if bare.len() > 200 && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)) {
        "BASE64".to_owned()
    } else {
        return word.to_owned();
    };
    word.replace(bare, &hidden)
}

fn is_age(cell: &str) -> bool {
    cell.strip_suffix(['s', 'm', 'h', 'd', 'y'])
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_time(word: &str) -> bool {
    word.len() >= 20 && word.as_bytes()[4] == b'-' && word.as_bytes()[10] == b'T' && !word.starts_with("0001")
}

fn is_uuid(word: &str) -> bool {
    word.len() == 36 && word.bytes().filter(|byte| *byte == b'-').count() == 4
}

/// What a token says, without times and id; the length of its life is kept.
fn token(raw: &str) -> String {
    let part = |place: usize| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(raw.split('.').nth(place)?).ok()?).ok()
    };
    let (Some(header), Some(mut claims)) = (part(0), part(1)) else {
        return "TOKEN".to_owned();
    };
    let time = |name: &str| claims[name].as_i64().unwrap_or_default();
    let life = time("exp") - time("iat");
    if let Some(claims) = claims.as_object_mut() {
        claims.retain(|name, _| !["exp", "iat", "nbf", "jti"].contains(&name.as_str()));
    }
    format!("TOKEN{header}{claims}{life}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(mask(text), expected);
    }

    #[test]
    fn ages_and_widths_are_hidden() {
        check("NAME   AGE\neast   4d\n", "NAME   AGE\neast   AGE\n");
        check("NAME        AGE\neast      12s\n", "NAME   AGE\neast   AGE\n");
    }

    #[test]
    fn counters_are_hidden_and_zero_is_not() {
        let masked = "NAME   TOTAL UPDATES   TOTAL ERRORS\neast   COUNT   7\nwest   0   0\n";
        check("NAME   TOTAL UPDATES   TOTAL ERRORS\neast   29              7\nwest   0               0\n", masked);
        check("a      29   1\n", "a   29   1\n");
    }

    #[test]
    fn times_and_keys_are_hidden() {
        check("creationTime: \"2026-11-23T22:41:34.6Z\"\n", "creationTime: \"TIME\"\n");
        check("creationTime: \"0001-01-01T00:00:00Z\"\n", "creationTime: \"0001-01-01T00:00:00Z\"\n");
        check("-----BEGIN X-----\nabc\n-----END X-----\n", "-----BEGIN X-----\n-----END X-----\n");
    }

    #[test]
    fn indented_yaml_stays() {
        check("a:\n      b: 1\n", "a:\n      b: 1\n");
    }
}
