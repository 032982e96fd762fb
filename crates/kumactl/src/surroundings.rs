//! What the program gets from outside.

use jiff::Timestamp;

use crate::{environment::Environment, printer::Printer};

/// What the program gets from outside.
pub struct Surroundings {
    /// The words after the program's name.
    pub arguments: Vec<String>,
    /// The environment variables that matter.
    pub environment: Environment,
    /// Tells the time.
    pub now: fn() -> Timestamp,
    /// Where output goes.
    pub printer: Printer,
}
