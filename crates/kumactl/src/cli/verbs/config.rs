//! Commands about the settings file.

use clap::{Args, Subcommand};

use crate::csv::Pairs;

/// What to do with the settings.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    #[command(subcommand, about = "Manage known Control Planes.")]
    ControlPlanes(ControlPlanes),
    #[command(about = "Show kumactl config.")]
    View,
}

/// What to do with the control planes of the settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ControlPlanes {
    #[command(about = "Add a Control Plane.")]
    Add(Box<Add>),
    #[command(about = "List Control Planes.")]
    List,
    #[command(about = "Remove a Control Plane.")]
    Remove(Named),
    #[command(about = "Switch active Control Plane.")]
    Switch(Named),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// reference name for the Control Plane (required)
    #[arg(long)]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    pub(crate) named: Named,
    #[arg(
        long,
        help = "URL of the Control Plane API Server (required). Example: http://localhost:5681 or https://localhost:5682"
    )]
    pub(crate) address: String,
    /// overwrite existing Control Plane with the same reference name
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// path to the certificate of a client that is authorized to use the API of the Control Plane
    #[arg(long, default_value = "")]
    pub(crate) client_cert_file: String,
    /// path to the certificate key of a client that is authorized to use the API of the Control Plane
    #[arg(long, default_value = "")]
    pub(crate) client_key_file: String,
    /// path to the certificate authority which will be used to verify the Control Plane certificate
    #[arg(long, default_value = "")]
    pub(crate) ca_cert_file: String,
    /// skip the verification of the certificate of the Control Plane (insecure)
    #[arg(long)]
    pub(crate) skip_verify: bool,
    /// add these headers while communicating to the Control Plane, format key=value
    #[arg(long)]
    pub(crate) headers: Vec<Pairs>,
    /// authentication type ("tokens")
    #[arg(long, default_value = "")]
    pub(crate) auth_type: String,
    /// authentication config for the defined authentication type, format key=value
    #[arg(long)]
    pub(crate) auth_conf: Vec<Pairs>,
    /// skip the check of the connection and of the token
    #[arg(long)]
    pub(crate) skip_check: bool,
}
