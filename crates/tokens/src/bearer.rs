//! The `authorization` header of a zone.

use crate::Rejection;

/// Returns the token in the values of `authorization`, with or without `Bearer ` before it.
///
/// Nothing else is taken away: a token with a blank or a line end is refused later, and not mended here.
pub fn bearer<'a>(values: &[&'a str]) -> Result<&'a str, Rejection> {
    let value = match values {
        [] => return Err(Rejection::Missing),
        [value] => value,
        _ => return Err(Rejection::TooManyValues { count: values.len() }),
    };
    let token = value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")).unwrap_or(value);
    if token.is_empty() { Err(Rejection::Missing) } else { Ok(token) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_optional_word_is_taken_away() {
        for (value, expected) in [
            ("a.b.c", "a.b.c"),
            ("Bearer a.b.c", "a.b.c"),
            ("bearer a.b.c", "a.b.c"),
            ("BEARER a.b.c", "BEARER a.b.c"),
            ("Bearer  a.b.c", " a.b.c"),
            ("Bearer bearer a", "bearer a"),
            ("a.b.c\r\n", "a.b.c\r\n"),
        ] {
            assert_eq!(bearer(&[value]), Ok(expected));
        }
    }

    #[test]
    fn none_and_many_are_refused() {
        assert_eq!(bearer(&[]), Err(Rejection::Missing));
        assert_eq!(bearer(&[""]), Err(Rejection::Missing));
        assert_eq!(bearer(&["Bearer "]), Err(Rejection::Missing));
        assert_eq!(bearer(&["a", "a"]), Err(Rejection::TooManyValues { count: 2 }));
    }
}
