//! The one door for output: data to standard output, everything else to standard error. No colours, so `NO_COLOR`
//! holds by itself. A reader that went away ends the program quietly.

use std::{
    cell::RefCell,
    io::{ErrorKind, Write},
};

use crate::{failure::Failure, output::visible};

/// Writes what people and programs read.
pub struct Printer {
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
}

impl Printer {
    /// Returns a printer on these two streams.
    pub fn new(out: Box<dyn Write>, err: Box<dyn Write>) -> Self {
        Self { out: RefCell::new(out), err: RefCell::new(err) }
    }

    /// Writes data, as it is, to standard output.
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        let mut out = self.out.borrow_mut();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Refused(format!("could not write to standard output: {error}")),
        })
    }

    /// Writes a line of data to standard output.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.data(&format!("{text}\n"))
    }

    /// Writes a text for people to standard error. What servers said in it cannot control the terminal.
    pub(crate) fn note(&self, text: &str) {
        let mut err = self.err.borrow_mut();
        // Nothing is left to complain to when standard error cannot be written.
        drop(err.write_all(format!("{}\n", visible::text(text)).as_bytes()).and_then(|()| err.flush()));
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    struct Gone(ErrorKind);

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn reader_that_went_away_is_no_error_text() {
        let broken = Printer::new(Box::new(Gone(ErrorKind::BrokenPipe)), Box::new(io::sink()));
        assert!(matches!(broken.data("x"), Err(Failure::Closed)));
        let full = Printer::new(Box::new(Gone(ErrorKind::StorageFull)), Box::new(io::sink()));
        assert!(matches!(full.data("x"), Err(Failure::Refused(_))));
    }

    #[test]
    fn unwritable_standard_error_is_ignored() {
        Printer::new(Box::new(io::sink()), Box::new(Gone(ErrorKind::BrokenPipe))).note("x");
    }
}
