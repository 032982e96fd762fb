//! Commands that rotate signing keys.

use clap::{Args, Subcommand};

use super::output::Output;
use crate::cli::words::{AnyFamily, Family};

/// What to do with a rotation.
#[derive(Debug, Subcommand)]
pub(crate) enum Rotate {
    #[command(
        about = "Make the next step of a rotation.",
        after_help = "  $ kumactl rotate advance zone-token-signing-key --dry-run\n  $ kumactl rotate advance zone-token-signing-key"
    )]
    Advance(Advance),
    #[command(about = "Go back to the key that there was before.")]
    Rollback(Rollback),
    #[command(
        about = "Begin to rotate a signing key.",
        after_help = "  $ kumactl rotate start control-plane-signing-key\n  $ kumactl rotate start zone-token-signing-key --automatic\n  $ kumactl rotate start dataplane-token-signing-key --mesh default"
    )]
    Start(Start),
    #[command(about = "Show where rotations stand, and who is in their way.")]
    Status(Status),
}

/// Whose key it is.
#[derive(Debug, Args)]
pub(crate) struct OfFamily {
    #[command(flatten)]
    pub(crate) family: Family,
    /// mesh of dataplane-token-signing-key
    #[arg(long, short, default_value = "")]
    pub(crate) mesh: String,
}

/// The flags of `rotate start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    #[command(flatten)]
    pub(crate) of: OfFamily,
    /// make all further steps as the evidence for them comes in
    #[arg(long)]
    pub(crate) automatic: bool,
    /// what the new key signs with: RS256, ES256, EdDSA or HS256
    #[arg(long, default_value = "")]
    pub(crate) algorithm: String,
    /// make a key that connected zones cannot read, too
    #[arg(long)]
    pub(crate) force: bool,
}

/// The flags of `rotate advance`.
#[derive(Debug, Args)]
pub(crate) struct Advance {
    #[command(flatten)]
    pub(crate) of: OfFamily,
    /// make the step although somebody is in its way, and cut them off
    #[arg(long)]
    pub(crate) force: bool,
    /// say what would happen, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The flags of `rotate rollback`.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub(crate) of: OfFamily,
    /// take a staged key away that somebody stands on, or drop a record of rotations that cannot be read
    #[arg(long)]
    pub(crate) force: bool,
}

/// The flags of `rotate status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) family: AnyFamily,
    /// mesh of dataplane-token-signing-key
    #[arg(long, short, default_value = "")]
    pub(crate) mesh: String,
    #[command(flatten)]
    pub(crate) form: Output,
}
