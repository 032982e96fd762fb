//! Commands that make tokens, keys and certificates.

use clap::{Args, Subcommand};
use jiff::SignedDuration;
use model::duration;

use crate::csv::{List, Pairs};

/// The scopes of zone tokens.
pub(crate) const ZONE_SCOPES: [&str; 3] = ["cp", "ingress", "egress"];

/// What to make.
#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    #[command(about = "Generate a token that a zone control plane shows to the global one.")]
    ControlPlaneToken(ControlPlaneToken),
    #[command(about = "Generate Dataplane Token.")]
    DataplaneToken(DataplaneToken),
    #[command(about = "Generate the public key of a signing key.")]
    PublicKey(PublicKey),
    #[command(about = "Generate a signing key.")]
    SigningKey(SigningKey),
    #[command(about = "Generate a self-signed TLS certificate.")]
    TlsCertificate(TlsCertificate),
    #[command(about = "Generate User Token.")]
    UserToken(UserToken),
    #[command(about = "Generate Zone Token.")]
    ZoneToken(ZoneToken),
}

/// A key to sign with here.
#[derive(Debug, Args)]
pub(crate) struct OfflineKey {
    /// path to a file with a PEM-encoded signing key; the token is signed here, without the control plane
    #[arg(long, default_value = "")]
    pub(crate) signing_key_path: String,
    /// ID of the key of --signing-key-path
    #[arg(long, default_value = "")]
    pub(crate) kid: String,
}

#[derive(Debug, Args)]
pub(crate) struct ControlPlaneToken {
    /// name of the zone the token is for
    #[arg(long)]
    pub(crate) zone: String,
    /// how long the token will be valid (for example "24h"); without it, until its signing key is deleted
    #[arg(long, value_parser = duration::parse)]
    pub(crate) valid_for: Option<SignedDuration>,
}

#[derive(Debug, Args)]
pub(crate) struct DataplaneToken {
    /// name of the Dataplane
    #[arg(long, default_value = "")]
    pub(crate) name: String,
    /// mesh to use
    #[arg(long, short, default_value = "default")]
    pub(crate) mesh: String,
    /// type of the Dataplane ("dataplane")
    #[arg(long, default_value = "")]
    pub(crate) proxy_type: String,
    /// required tag values of the Dataplane, format tag=value1,value2
    #[arg(long)]
    pub(crate) tag: Vec<Pairs>,
    /// name of the workload of the Dataplane
    #[arg(long, default_value = "")]
    pub(crate) workload: String,
    /// how long the token will be valid (for example "24h")
    #[arg(long, value_parser = duration::parse)]
    pub(crate) valid_for: SignedDuration,
    #[command(flatten)]
    pub(crate) key: OfflineKey,
}

#[derive(Debug, Args)]
pub(crate) struct PublicKey {
    /// path to a file with a PEM-encoded signing key
    #[arg(long)]
    pub(crate) signing_key_path: String,
}

#[derive(Debug, Args)]
pub(crate) struct SigningKey {
    /// what the key signs: RS256, ES256, EdDSA, or HS256 for control plane tokens
    #[arg(long, default_value = "RS256")]
    pub(crate) algorithm: String,
    /// format of the key: pem or pem-base64
    #[arg(long, default_value = "pem-base64")]
    pub(crate) format: String,
}

#[derive(Debug, Args)]
pub(crate) struct TlsCertificate {
    /// type of the certificate: client or server (required)
    #[arg(long = "type")]
    pub(crate) usage: String,
    /// DNS hostnames or IP addresses to issue the certificate for (required)
    #[arg(long, required = true)]
    pub(crate) hostname: Vec<List>,
    /// path to a file with the generated private key ('-' for stdout)
    #[arg(long, default_value = "key.pem")]
    pub(crate) key_file: String,
    /// path to a file with the generated TLS certificate ('-' for stdout)
    #[arg(long, default_value = "cert.pem")]
    pub(crate) cert_file: String,
    /// type of the private key: rsa or ecdsa
    #[arg(long, default_value = "")]
    pub(crate) key_type: String,
}

#[derive(Debug, Args)]
pub(crate) struct UserToken {
    /// name of the user
    #[arg(long)]
    pub(crate) name: String,
    /// group of the user
    #[arg(long)]
    pub(crate) group: Vec<List>,
    /// how long the token will be valid (for example "24h")
    #[arg(long, value_parser = duration::parse)]
    pub(crate) valid_for: SignedDuration,
    #[command(flatten)]
    pub(crate) key: OfflineKey,
}

#[derive(Debug, Args)]
pub(crate) struct ZoneToken {
    /// name of the zone the token is for
    #[arg(long)]
    pub(crate) zone: String,
    #[arg(long, help = format!("what the token is good for: any of {}", ZONE_SCOPES.join(", ")))]
    pub(crate) scope: Vec<List>,
    /// how long the token will be valid (for example "24h")
    #[arg(long, value_parser = duration::parse)]
    pub(crate) valid_for: SignedDuration,
    #[command(flatten)]
    pub(crate) key: OfflineKey,
}
