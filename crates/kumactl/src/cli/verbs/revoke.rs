//! Commands that take tokens back.

use clap::{Args, Subcommand};

/// What to revoke.
#[derive(Debug, Subcommand)]
pub(crate) enum Revoke {
    #[command(
        about = "Revoke one token, or all that a zone has, a key signed or were issued before a time.",
        after_help = "  $ kumactl revoke token --family control-plane-token --zone west --reason \"stolen laptop\"\n  $ kumactl revoke token --family user-token --id 5766e443-ef30-4916-afbd-a680d244fc16"
    )]
    Token(RevokeToken),
}

#[derive(Debug, Args)]
pub(crate) struct RevokeToken {
    /// kind of the tokens: control-plane-token, zone-token, user-token or dataplane-token
    #[arg(long)]
    pub(crate) family: String,
    /// mesh of dataplane tokens
    #[arg(long, short, default_value = "")]
    pub(crate) mesh: String,
    /// the token with this id (its claim jti, or what the ledger calls it)
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// all tokens of this zone that were issued until now
    #[arg(long)]
    pub(crate) zone: Option<String>,
    /// all tokens that the signing key with this serial number signed until now
    #[arg(long)]
    pub(crate) key: Option<i64>,
    /// all tokens that were issued before this time (for example 2026-11-28T12:00:00Z)
    #[arg(long)]
    pub(crate) issued_before: Option<String>,
    /// why, for whoever reads the list of revocations
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}
