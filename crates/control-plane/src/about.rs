//! What this program is.

/// The product.
pub const PRODUCT: &str = "Arctos";
/// Our version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, if that was known.
pub const COMMIT: &str = match option_env!("ARCTOS_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
/// The version of Kuma whose wire and API it speaks; what peers compare.
pub const BASED_ON_KUMA: &str = "3.0.0";
