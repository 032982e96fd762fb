//! What this program is.

pub(crate) const PRODUCT: &str = "Arctos";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, if that was known.
pub(crate) const COMMIT: &str = match option_env!("ARCTOS_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
/// The version of Kuma whose wire and API it speaks; what peers compare.
pub(crate) const BASED_ON_KUMA: &str = "3.0.0";

/// What a zone calls itself in the header `user-agent` of its RPCs, in the form of the peer (contract: kds 1.4).
pub(crate) fn kds_user_agent() -> String {
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("kds/{VERSION} ({system}; {machine}; {PRODUCT}/{COMMIT}/kuma-{BASED_ON_KUMA})")
}
