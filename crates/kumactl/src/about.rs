//! What this program says of itself.

pub(crate) const PRODUCT: &str = "Arctos";
/// The product whose API this one speaks.
pub(crate) const SPOKEN_PRODUCT: &str = "Kuma";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit this program was built from.
pub(crate) const COMMIT: &str = match option_env!("ARCTOS_GIT_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
/// The day this program was built.
pub(crate) const BUILD_DATE: &str = match option_env!("ARCTOS_BUILD_DATE") {
    Some(date) => date,
    None => "unknown",
};

/// Returns the value of the header `User-Agent`: `kumactl/1.2.3 (linux; amd64; Arctos/0123456)`.
pub(crate) fn user_agent() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let commit = COMMIT.get(..7).unwrap_or(COMMIT);
    format!("kumactl/{VERSION} ({}; {arch}; {PRODUCT}/{commit})", std::env::consts::OS)
}
