//! Commands that read and write documents.

use clap::Args;

use crate::{cli::words::TypeAndName, csv::Pairs};

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Path to file to apply. Pass `-` to read from stdin. May stand several times: all are applied, in this order
    #[arg(long, short, required = true)]
    pub(crate) file: Vec<String>,
    /// Variable to replace in configuration. {{x}} is escaped for HTML, {{{x}}} is not; a value that would be more than
    /// one value of the YAML around it is quoted or refused
    #[arg(long, short)]
    pub(crate) var: Vec<Pairs>,
    /// Resolve variables and prints result out without actual applying
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    pub(crate) target: TypeAndName,
    /// Path to file whose resources are to be deleted, the last one first; TYPE and NAME are left out then. Pass `-` to
    /// read from stdin. May stand several times
    #[arg(long, short)]
    pub(crate) file: Vec<String>,
    /// mesh to use
    #[arg(long, short, default_value = "default")]
    pub(crate) mesh: String,
}

impl Delete {
    /// Returns whether files say what to delete; words do otherwise.
    pub(crate) fn names_files(&self) -> bool {
        self.file.first().is_some_and(|file| !file.is_empty())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Profile of the exported data: federation, federation-with-policies, all or no-dataplanes
    #[arg(long, short, default_value = "federation")]
    pub(crate) profile: String,
    /// Format of the exported data: universal or kubernetes
    #[arg(long, short, default_value = "universal")]
    pub(crate) format: String,
    /// Namespace of the system resources in the format kubernetes
    #[arg(long, short = 'n', default_value = "kuma-system")]
    system_namespace: String,
    /// Include resources that only admins may read
    #[arg(long, short = 'a')]
    pub(crate) include_admin: bool,
}
