//! The settings of a global whose store is a database, and what commands of the program say with them.

use std::{path::Path, process::Command};

use testkit::postgres::Place;

use super::world::KUMA_CP;

/// The settings of a global on a database.
pub(crate) fn settings(place: &Place, work: &Path) -> Vec<(&'static str, String)> {
    let mut settings = place.settings();
    settings.push(("KUMA_MODE", "global".to_owned()));
    settings.push(("KUMA_GENERAL_WORK_DIR", work.to_str().unwrap().to_owned()));
    settings.push(("KUMA_API_SERVER_HTTPS_ENABLED", "false".to_owned()));
    for port in [
        "KUMA_API_SERVER_HTTP_PORT",
        "KUMA_DIAGNOSTICS_SERVER_PORT",
        "KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT",
        "KUMA_INTER_CP_SERVER_PORT",
    ] {
        settings.push((port, "0".to_owned()));
    }
    settings
}

pub(crate) fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

/// What a program says that ends by itself.
pub(crate) fn said(arguments: &[&str], settings: &[(&'static str, String)]) -> (bool, String) {
    let output = Command::new(KUMA_CP).args(arguments).envs(borrowed(settings)).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}
