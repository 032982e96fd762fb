//! The flag of commands that show something in several forms.

use clap::Args;

/// In which form to show something.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// output format: one of table|yaml|json
    #[arg(long, short, global = true, default_value = "table")]
    pub(crate) output: String,
}
