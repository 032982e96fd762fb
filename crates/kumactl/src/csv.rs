//! Lists and pairs in flag values: `a,b`, `"x,y",z`, `key=value`.

use std::{convert::Infallible, str::FromStr};

/// The elements of one value `a,b`.
#[derive(Clone, Debug)]
pub(crate) struct List(Vec<String>);

impl List {
    /// Returns the elements of all values.
    pub(crate) fn joined(lists: &[Self]) -> Vec<String> {
        lists.iter().flat_map(|list| list.0.iter().cloned()).collect()
    }
}

impl FromStr for List {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(elements(text)))
    }
}

/// The pairs of one value `a=1,b=2`.
#[derive(Clone, Debug)]
pub(crate) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Returns the pairs of all values, in the order they were given.
    pub(crate) fn joined(pairs: &[Self]) -> Vec<(String, String)> {
        pairs.iter().flat_map(|pairs| pairs.0.iter().cloned()).collect()
    }
}

impl FromStr for Pairs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        pairs(text).map(Self)
    }
}

/// Splits at commas that stand outside double quotes; quotes around an element are dropped.
fn elements(text: &str) -> Vec<String> {
    let mut elements = Vec::new();
    let mut element = String::new();
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                element.push('"');
            }
            '"' if quoted || element.is_empty() => quoted = !quoted,
            ',' if !quoted => elements.push(std::mem::take(&mut element)),
            other => element.push(other),
        }
    }
    if !(elements.is_empty() && element.is_empty()) {
        elements.push(element);
    }
    elements
}

/// Splits `a=1,b=2` into pairs. A text with a single `=` is one pair, so that its value may hold commas.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let parts = match text.matches('=').count() {
        0 => return Err(format!("{text} must be formatted as key=value")),
        1 => vec![text.trim_matches('"').to_owned()],
        _ => elements(text),
    };
    parts
        .into_iter()
        .map(|part| match part.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(format!("{part} must be formatted as key=value")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(pairs(text), Ok(expected), "{text}");
    }

    #[test]
    fn pairs_are_split_at_commas() {
        check("a=1", &[("a", "1")]);
        check("a=1,b=2", &[("a", "1"), ("b", "2")]);
        check("a=", &[("a", "")]);
        check("\"a=1,2\",b=2", &[("a", "1,2"), ("b", "2")]);
    }

    #[test]
    fn value_of_a_single_pair_keeps_its_commas() {
        check("kuma.io/service=web,api", &[("kuma.io/service", "web,api")]);
    }

    #[test]
    fn padding_of_base64_belongs_to_the_value() {
        check("key=LS0=", &[("key", "LS0=")]);
        check("key=LS==", &[("key", "LS==")]);
    }

    #[test]
    fn pair_without_equals_sign_is_refused() {
        assert_eq!(pairs("novalue"), Err("novalue must be formatted as key=value".to_owned()));
        assert_eq!(pairs("a=1=,b"), Err("b must be formatted as key=value".to_owned()));
    }

    #[test]
    fn empty_list_has_no_element() {
        assert_eq!(elements(""), Vec::<String>::new());
        assert_eq!(elements("a,b"), ["a", "b"]);
        assert_eq!(elements("a,"), ["a", ""]);
    }
}
