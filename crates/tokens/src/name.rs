//! Names of secrets that hold keys and lists of revoked ids.
//!
//! A key is named by its family and its serial. `-2` and `-0002` are one serial: a key that signs must be the key that
//! verifies, however many zeros its name has.

use std::fmt;

/// What a signing key signs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Control plane tokens.
    ControlPlane,
    /// Zone tokens.
    Zone,
    /// User tokens.
    User,
    /// Dataplane tokens of one mesh.
    Dataplane {
        /// The mesh.
        mesh: String,
    },
}

/// One key: its family and its serial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    /// What it signs.
    pub family: Family,
    /// Its number. The highest one signs.
    pub serial: u64,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&signing_key_name(&self.family, self.serial))
    }
}

const CONTROL_PLANE_KEY: &str = "control-plane-signing-key";
const ZONE_KEY: &str = "zone-token-signing-key";
const ZONE_PUBLIC_KEY: &str = "zone-token-signing-public-key";
const USER_KEY: &str = "user-token-signing-key";
const DATAPLANE_KEY: &str = "dataplane-token-signing-key-";
const DATAPLANE_REVOCATIONS: &str = "dataplane-token-revocations-";

/// What the name of a secret says about its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A key that signs and verifies.
    Signing(KeyId),
    /// The public half of a key, which verifies only.
    Public(KeyId),
    /// Ids of tokens that are revoked.
    Revocations(Family),
    /// The name is that of a key, but ends in no serial.
    NoSerial(Family),
}

impl Role {
    /// The key that a secret of this role holds.
    pub(crate) fn key(self) -> Option<KeyId> {
        match self {
            Self::Signing(id) | Self::Public(id) => Some(id),
            Self::Revocations(_) | Self::NoSerial(_) => None,
        }
    }
}

/// Returns what a secret of this mesh (empty: a global secret) and name is for, if the name is a reserved one.
///
/// A mesh can hold keys for its dataplanes only: a secret of a mesh never becomes a key for zones or users.
pub(crate) fn role(mesh: &str, name: &str) -> Option<Role> {
    if mesh.is_empty() {
        return global_role(name);
    }
    let family = Family::Dataplane { mesh: mesh.to_owned() };
    if name.strip_prefix(DATAPLANE_REVOCATIONS) == Some(mesh) {
        return Some(Role::Revocations(family));
    }
    let rest = name.strip_prefix(DATAPLANE_KEY)?.strip_prefix(mesh)?;
    match serial(rest) {
        Serial::Is(serial) => Some(Role::Signing(KeyId { family, serial })),
        Serial::Bad => Some(Role::NoSerial(family)),
        Serial::OtherName => None,
    }
}

fn global_role(name: &str) -> Option<Role> {
    let families = [
        (CONTROL_PLANE_KEY, Family::ControlPlane, false),
        (ZONE_PUBLIC_KEY, Family::Zone, true),
        (ZONE_KEY, Family::Zone, false),
        (USER_KEY, Family::User, false),
    ];
    for (prefix, family, public) in families {
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        return match serial(rest) {
            Serial::Is(serial) if public => Some(Role::Public(KeyId { family, serial })),
            Serial::Is(serial) => Some(Role::Signing(KeyId { family, serial })),
            Serial::Bad => Some(Role::NoSerial(family)),
            Serial::OtherName => None,
        };
    }
    match name {
        "control-plane-token-revocations" => Some(Role::Revocations(Family::ControlPlane)),
        "zone-token-revocations" => Some(Role::Revocations(Family::Zone)),
        "user-token-revocations" => Some(Role::Revocations(Family::User)),
        _ => {
            let mesh = name.strip_prefix(DATAPLANE_REVOCATIONS).filter(|mesh| !mesh.is_empty())?;
            Some(Role::Revocations(Family::Dataplane { mesh: mesh.to_owned() }))
        }
    }
}

/// Returns whether ids of revoked tokens are read from a secret of this mesh (empty: a global secret) and name.
pub fn is_revocation_list(mesh: &str, name: &str) -> bool {
    matches!(role(mesh, name), Some(Role::Revocations(_)))
}

/// Returns whether a name is meant to be that of a list of revoked ids, whether one is read under it or not.
pub fn looks_like_revocation_list(name: &str) -> bool {
    let families = ["control-plane", "zone-token", "user-token", "dataplane-token"];
    let of_tokens = ["token-revocation", "tokens-revocation"];
    let begins = families.iter().any(|family| name.starts_with(family));
    name.contains("revocation") && (begins || of_tokens.iter().any(|words| name.contains(words)))
}

/// Returns the role of a name whose mesh is not known: the mesh of a dataplane key is then what the name says.
pub(crate) fn role_of_name(name: &str) -> Option<Role> {
    let Some(rest) = name.strip_prefix(DATAPLANE_KEY) else { return global_role(name) };
    let mesh = match rest.rsplit_once('-') {
        Some((mesh, digits)) if !mesh.is_empty() && is_decimal(digits) => mesh,
        _ => rest,
    };
    if mesh.is_empty() {
        return None;
    }
    role(mesh, name)
}

enum Serial {
    Is(u64),
    Bad,
    OtherName,
}

/// The serial in what follows the prefix: nothing is serial 0.
fn serial(rest: &str) -> Serial {
    if rest.is_empty() {
        return Serial::Is(0);
    }
    match rest.strip_prefix('-') {
        None => Serial::OtherName,
        Some(digits) => parse_serial(digits).map_or(Serial::Bad, Serial::Is),
    }
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

/// Returns the serial that decimal digits say, with or without leading zeros; no sign, nothing else.
pub(crate) fn parse_serial(digits: &str) -> Option<u64> {
    if is_decimal(digits) { digits.parse().ok() } else { None }
}

/// Returns family and serial of the signing key that a secret of this name holds.
///
/// `control-plane-signing-key-0002` is serial 2 of its family; a name without a serial is serial 0.
pub fn key_name(name: &str) -> Option<(Family, u64)> {
    match role_of_name(name)? {
        Role::Signing(id) => Some((id.family, id.serial)),
        Role::Public(_) | Role::Revocations(_) | Role::NoSerial(_) => None,
    }
}

/// Returns which of the existing names has the serial that `name` has too, written otherwise.
///
/// The names are those of one place: of global secrets, or of the secrets of one mesh.
pub fn serial_conflict<'a>(existing: impl IntoIterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    let id = role_of_name(name)?.key()?;
    existing.into_iter().find(|other| *other != name && role_of_name(other).and_then(Role::key).as_ref() == Some(&id))
}

impl Family {
    /// The name of the family's keys without their serial.
    pub fn prefix(&self) -> String {
        match self {
            Self::ControlPlane => CONTROL_PLANE_KEY.to_owned(),
            Self::Zone | Self::User | Self::Dataplane { .. } => signing_key_name(self, 0),
        }
    }
}

/// Returns the name under which a new key of this family and serial is kept.
///
/// Control plane keys are written with four digits, as they are documented; the others without zeros.
pub fn signing_key_name(family: &Family, serial: u64) -> String {
    match family {
        Family::ControlPlane => format!("{CONTROL_PLANE_KEY}-{serial:04}"),
        Family::Zone => numbered(ZONE_KEY, serial),
        Family::User => numbered(USER_KEY, serial),
        Family::Dataplane { mesh } => numbered(&format!("{DATAPLANE_KEY}{mesh}"), serial),
    }
}

/// Returns the name under which zones keep the public half of a zone token key.
pub fn public_key_name(serial: u64) -> String {
    numbered(ZONE_PUBLIC_KEY, serial)
}

fn numbered(prefix: &str, serial: u64) -> String {
    if serial == 0 { prefix.to_owned() } else { format!("{prefix}-{serial}") }
}

/// The secret that a token with this `kid` asks for, in words: `GlobalSecret of name "…"`.
pub(crate) fn wanted_secret(family: &Family, kid: &str) -> String {
    match (family, parse_serial(kid)) {
        (Family::Dataplane { mesh }, serial) => {
            let name = match serial {
                Some(serial) => signing_key_name(family, serial),
                None => format!("{DATAPLANE_KEY}{mesh}-{kid}"),
            };
            format!("Secret of name {name:?} in mesh {mesh:?}")
        }
        (_, Some(serial)) => format!("GlobalSecret of name {:?}", signing_key_name(family, serial)),
        (Family::ControlPlane, None) => format!("GlobalSecret of name \"{CONTROL_PLANE_KEY}-{kid}\""),
        (Family::Zone, None) => format!("GlobalSecret of name \"{ZONE_KEY}-{kid}\""),
        (Family::User, None) => format!("GlobalSecret of name \"{USER_KEY}-{kid}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<(Family, u64)>) {
        assert_eq!((name, key_name(name)), (name, expected));
    }

    fn of_mesh(mesh: &str) -> Family {
        Family::Dataplane { mesh: mesh.to_owned() }
    }

    #[test]
    fn leading_zeros_do_not_change_the_serial() {
        check("control-plane-signing-key-0002", Some((Family::ControlPlane, 2)));
        check("control-plane-signing-key-2", Some((Family::ControlPlane, 2)));
        check("zone-token-signing-key-10", Some((Family::Zone, 10)));
        check("zone-token-signing-key-0010", Some((Family::Zone, 10)));
        check("user-token-signing-key-1", Some((Family::User, 1)));
    }

    #[test]
    fn a_name_without_number_is_serial_zero() {
        check("zone-token-signing-key", Some((Family::Zone, 0)));
        check("dataplane-token-signing-key-default", Some((of_mesh("default"), 0)));
    }

    #[test]
    fn what_is_no_number_is_no_serial() {
        for bad in ["-foo", "--1", "-+1", "- 1", "-1 ", "-2026q1", "-", "-18446744073709551616", "-٢", "-1.0"] {
            check(&format!("zone-token-signing-key{bad}"), None);
        }
        check("zone-token-signing-keys-1", None);
        check("xzone-token-signing-key-1", None);
        check("zone-token-signing-public-key-1", None);
        check("admin-user-token", None);
        check("dataplane-token-signing-key-", None);
        check("", None);
    }

    #[test]
    fn a_mesh_may_have_dashes_and_numbers_in_its_name() {
        check("dataplane-token-signing-key-a-b-3", Some((of_mesh("a-b"), 3)));
        let id = KeyId { family: of_mesh("m-1"), serial: 0 };
        assert_eq!(role("m-1", "dataplane-token-signing-key-m-1"), Some(Role::Signing(id)));
        let id = KeyId { family: of_mesh("m-1"), serial: 2 };
        assert_eq!(role("m-1", "dataplane-token-signing-key-m-1-2"), Some(Role::Signing(id)));
    }

    #[test]
    fn a_mesh_holds_no_keys_but_its_own() {
        for name in [
            "control-plane-signing-key-1",
            "zone-token-signing-key-1",
            "zone-token-signing-public-key-1",
            "user-token-signing-key-1",
            "zone-token-revocations",
            "dataplane-token-signing-key-other-1",
            "dataplane-token-revocations-other",
        ] {
            assert_eq!(role("default", name), None, "{name}");
        }
        assert_eq!(role("", "dataplane-token-signing-key-default-1"), None);
    }

    #[test]
    fn lists_are_read_under_their_names_and_in_their_place_only() {
        let check = |mesh: &str, name: &str, read: bool| {
            assert_eq!(is_revocation_list(mesh, name), read, "{mesh}/{name}");
            assert!(looks_like_revocation_list(name), "{name}");
        };
        check("", "control-plane-token-revocations", true);
        check("", "dataplane-token-revocations-default", true);
        check("default", "dataplane-token-revocations-default", true);
        check("default", "control-plane-token-revocations", false);
        check("default", "dataplane-token-revocations-other", false);
        for near in [
            "control-plane-token-revocations-2",
            "control-plane-token-revocation",
            "control-plane-revocations",
            "cp-token-revocations",
            "zonetoken-revocations",
        ] {
            check("", near, false);
        }
        assert!(!looks_like_revocation_list("certificate-revocations"));
    }

    #[test]
    fn new_keys_get_their_documented_names() {
        for (family, serial, expected) in [
            (Family::ControlPlane, 1, "control-plane-signing-key-0001"),
            (Family::ControlPlane, 12345, "control-plane-signing-key-12345"),
            (Family::Zone, 1, "zone-token-signing-key-1"),
            (Family::User, 0, "user-token-signing-key"),
            (of_mesh("default"), 1, "dataplane-token-signing-key-default-1"),
        ] {
            assert_eq!(signing_key_name(&family, serial), expected);
            assert_eq!(key_name(expected), Some((family, serial)));
        }
        assert_eq!(public_key_name(2), "zone-token-signing-public-key-2");
    }

    #[test]
    fn two_names_of_one_serial_are_found() {
        let names = ["zone-token-signing-key-1", "zone-token-signing-key-2", "zone-token-revocations"];
        let conflict = |name| serial_conflict(names, name);
        assert_eq!(conflict("zone-token-signing-key-0002"), Some("zone-token-signing-key-2"));
        assert_eq!(conflict("zone-token-signing-public-key-1"), Some("zone-token-signing-key-1"));
        assert_eq!(conflict("zone-token-signing-key-2"), None);
        assert_eq!(conflict("zone-token-signing-key-3"), None);
        assert_eq!(conflict("user-token-signing-key-2"), None);
        assert_eq!(conflict("zone-token-revocations"), None);
        assert_eq!(conflict("whatever"), None);
    }
}
