//! Errors with their causes, as log fields and messages of one line show them.

use std::error::Error;

/// Writes an error and its causes on one line, the outermost first.
pub fn on_one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Failed(&'static str, Option<Box<Self>>);

    impl fmt::Display for Failed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Failed {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &(dyn Error + 'static))
        }
    }

    #[test]
    fn all_causes_stand_on_the_line() {
        let caused = |text, cause| Failed(text, Some(Box::new(cause)));
        let error = caused("cannot start", caused("cannot read", Failed("no such file", None)));
        assert_eq!(on_one_line(&error), "cannot start: cannot read: no such file");
        assert_eq!(on_one_line(&Failed("alone", None)), "alone");
    }
}
