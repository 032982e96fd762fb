//! The settings of a global whose store is a database, and what commands of the program say with them.

use std::{path::Path, process::Command};

use testkit::postgres::Place;

use super::world::KUMA_CP;

/// What seals the secrets of these control planes.
pub(crate) const SEALING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The settings of a global on a database.
pub(crate) fn settings(place: &Place, work: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("KUMA_MODE", "global".to_owned()),
        ("KUMA_GENERAL_WORK_DIR", work.to_str().unwrap().to_owned()),
        ("KUMA_STORE_TYPE", "postgres".to_owned()),
        ("KUMA_STORE_SEALING_KEY", SEALING_KEY.to_owned()),
        ("KUMA_STORE_POSTGRES_HOST", place.host.clone()),
        ("KUMA_STORE_POSTGRES_PORT", place.port.to_string()),
        ("KUMA_STORE_POSTGRES_USER", place.user.clone()),
        ("KUMA_STORE_POSTGRES_PASSWORD", place.password.clone()),
        ("KUMA_STORE_POSTGRES_DB_NAME", place.database.clone()),
        ("KUMA_API_SERVER_HTTP_PORT", "0".to_owned()),
        ("KUMA_API_SERVER_HTTPS_ENABLED", "false".to_owned()),
        ("KUMA_DIAGNOSTICS_SERVER_PORT", "0".to_owned()),
        ("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", "0".to_owned()),
        ("KUMA_INTER_CP_SERVER_PORT", "0".to_owned()),
    ]
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
