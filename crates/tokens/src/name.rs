//! Names of secrets that hold keys and lists of revoked ids: their grammar, which nothing else knows.
//!
//! A key is named by its family and its serial. `-2` and `-0002` are one serial: a key that signs must be the key that
//! verifies, however many zeros its name has.

use std::fmt;

use thiserror::Error;

use model::reserved::{
    CONTROL_PLANE_KEY, CONTROL_PLANE_REVOCATIONS, DATAPLANE_KEY, DATAPLANE_REVOCATIONS, USER_KEY, USER_REVOCATIONS,
    ZONE_KEY, ZONE_PUBLIC_KEY, ZONE_REVOCATIONS,
};

/// The serial of the first key of the settings. No secret has a serial from here on.
pub(crate) const FIRST_OF_SETTINGS: u64 = u64::MAX - 0xffff;

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

impl Family {
    /// The word for its keys: what rotations and metrics call it.
    pub fn key_word(&self) -> &'static str {
        match self {
            Self::ControlPlane => CONTROL_PLANE_KEY,
            Self::Zone => ZONE_KEY,
            Self::User => USER_KEY,
            Self::Dataplane { .. } => DATAPLANE_KEY.trim_end_matches('-'),
        }
    }

    /// The word for its tokens: what revocations and lists of tokens call it.
    pub fn token_word(&self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane-token",
            Self::Zone => "zone-token",
            Self::User => "user-token",
            Self::Dataplane { .. } => "dataplane-token",
        }
    }

    /// The mesh whose family it is; the others belong to the whole control plane.
    pub fn mesh(&self) -> Option<&str> {
        match self {
            Self::Dataplane { mesh } => Some(mesh),
            Self::ControlPlane | Self::Zone | Self::User => None,
        }
    }

    /// The family that a word for keys or for tokens means; `mesh` is that of dataplane tokens and of nothing else.
    pub fn of_word(word: &str, mesh: Option<&str>) -> Result<Self, NoFamily> {
        let dataplane = mesh.map(|mesh| Self::Dataplane { mesh: mesh.to_owned() });
        let is = |family: &Self| word == family.key_word() || word == family.token_word();
        match [Self::ControlPlane, Self::Zone, Self::User].into_iter().find(is) {
            Some(_) if mesh.is_some() => Err(NoFamily::OfNoMesh { word: word.to_owned() }),
            Some(family) => Ok(family),
            None if !is(&Self::Dataplane { mesh: String::new() }) => Err(NoFamily::Unknown { word: word.to_owned() }),
            None => dataplane.filter(|family| family.mesh() != Some("")).ok_or(NoFamily::WithoutMesh),
        }
    }
}

/// Why words name no family of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoFamily {
    /// There is none of this name.
    #[error(
        "there is no family {word:?}; there are control-plane-token, zone-token, user-token and dataplane-token, and their \
         keys: control-plane-signing-key, zone-token-signing-key, user-token-signing-key and dataplane-token-signing-key"
    )]
    Unknown {
        /// The name.
        word: String,
    },
    /// Each mesh has its own.
    #[error("each mesh has its own keys for dataplane tokens; name the mesh")]
    WithoutMesh,
    /// It is not of a mesh.
    #[error("{word} belongs to the whole control plane and to no mesh; leave the mesh out")]
    OfNoMesh {
        /// The name.
        word: String,
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

impl KeyId {
    /// Whether it is a key of the settings, whose number counts inside this program only.
    pub fn is_of_settings(&self) -> bool {
        self.serial >= FIRST_OF_SETTINGS
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_of_settings() {
            return write!(f, "{} (settings, {})", self.family.key_word(), self.serial - FIRST_OF_SETTINGS + 1);
        }
        f.write_str(&signing_key_name(&self.family, self.serial))
    }
}

/// Which half of a key a secret holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The one that signs, and with it the one that verifies.
    Private,
    /// The one that verifies alone.
    Public,
}

/// The name of a secret that is to hold a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName {
    /// What the key is for.
    pub family: Family,
    /// Which half is there.
    pub half: Half,
    /// Its number; `None` if the name ends in something else, and then the key is of no use.
    pub serial: Option<u64>,
}

impl KeyName {
    /// Reads the name of a secret in a mesh (empty: a global secret); `None` if no key is looked for there.
    pub fn parse(mesh: &str, name: &str) -> Option<Self> {
        match SecretName::parse(mesh, name)? {
            SecretName::Key(key) => Some(key),
            SecretName::Revocations(_) => None,
        }
    }

    /// The key that the secret holds.
    pub fn id(&self) -> Option<KeyId> {
        self.serial.map(|serial| KeyId { family: self.family.clone(), serial })
    }

    /// Returns all names of this key up to a length in bytes: they differ in the zeros in front of the serial. Of secrets
    /// with two of them none is a key.
    pub fn spellings(&self, longest: usize) -> impl Iterator<Item = String> + use<> {
        let front = match (&self.family, self.half) {
            (Family::ControlPlane, _) => CONTROL_PLANE_KEY.to_owned(),
            (Family::Zone, Half::Private) => ZONE_KEY.to_owned(),
            (Family::Zone, Half::Public) => ZONE_PUBLIC_KEY.to_owned(),
            (Family::User, _) => USER_KEY.to_owned(),
            (Family::Dataplane { mesh }, _) => format!("{DATAPLANE_KEY}{mesh}"),
        };
        let bare = (self.serial == Some(0)).then(|| front.clone());
        let numbered = self.serial.into_iter().flat_map(move |serial| {
            let front = front.clone();
            let zeros = longest.saturating_sub(front.len() + 1 + serial.to_string().len());
            (0..=zeros).map(move |zeros| format!("{front}-{}{serial}", "0".repeat(zeros)))
        });
        bare.into_iter().chain(numbered).filter(move |name| name.len() <= longest)
    }
}

/// What the name of a secret says that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretName {
    /// A key, or half of one.
    Key(KeyName),
    /// Ids of tokens that are revoked.
    Revocations(Family),
}

impl SecretName {
    /// Reads the name of a secret in a mesh (empty: a global secret); `None` if neither keys nor lists are looked for there.
    ///
    /// A mesh can hold keys for its dataplanes only: a secret of a mesh never becomes a key for zones or users.
    pub fn parse(mesh: &str, name: &str) -> Option<Self> {
        if mesh.is_empty() {
            return Self::global(name);
        }
        let family = Family::Dataplane { mesh: mesh.to_owned() };
        if name.strip_prefix(DATAPLANE_REVOCATIONS) == Some(mesh) {
            return Some(Self::Revocations(family));
        }
        Self::key(family, Half::Private, name.strip_prefix(DATAPLANE_KEY)?.strip_prefix(mesh)?)
    }

    fn global(name: &str) -> Option<Self> {
        let keys = [
            (CONTROL_PLANE_KEY, Family::ControlPlane, Half::Private),
            (ZONE_PUBLIC_KEY, Family::Zone, Half::Public),
            (ZONE_KEY, Family::Zone, Half::Private),
            (USER_KEY, Family::User, Half::Private),
        ];
        for (front, family, half) in keys {
            if let Some(rest) = name.strip_prefix(front) {
                return Self::key(family, half, rest);
            }
        }
        match name {
            CONTROL_PLANE_REVOCATIONS => Some(Self::Revocations(Family::ControlPlane)),
            ZONE_REVOCATIONS => Some(Self::Revocations(Family::Zone)),
            USER_REVOCATIONS => Some(Self::Revocations(Family::User)),
            _ => {
                let mesh = name.strip_prefix(DATAPLANE_REVOCATIONS).filter(|mesh| !mesh.is_empty())?;
                Some(Self::Revocations(Family::Dataplane { mesh: mesh.to_owned() }))
            }
        }
    }

    /// The key whose name goes on with `rest` behind what its family begins with: nothing is serial 0.
    fn key(family: Family, half: Half, rest: &str) -> Option<Self> {
        let serial = if rest.is_empty() { Some(0) } else { parse_serial(rest.strip_prefix('-')?) };
        Some(Self::Key(KeyName { family, half, serial }))
    }
}

/// Returns whether a name is meant to be that of a list of revoked ids, whether one is read under it or not.
pub fn looks_like_revocation_list(name: &str) -> bool {
    let families = ["control-plane", "zone-token", "user-token", "dataplane-token"];
    let of_tokens = ["token-revocation", "tokens-revocation"];
    let begins = families.iter().any(|family| name.starts_with(family));
    name.contains("revocation") && (begins || of_tokens.iter().any(|words| name.contains(words)))
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

/// Returns the serial that decimal digits say, with or without leading zeros; no sign, nothing else. The highest numbers are
/// those of the keys of settings.
pub(crate) fn parse_serial(digits: &str) -> Option<u64> {
    let serial = if is_decimal(digits) { digits.parse().ok() } else { None };
    serial.filter(|serial| *serial < FIRST_OF_SETTINGS)
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

fn numbered(prefix: &str, serial: u64) -> String {
    if serial == 0 { prefix.to_owned() } else { format!("{prefix}-{serial}") }
}

/// The key that a token with this `kid` asks for where secrets verify nothing, in words.
pub(crate) fn wanted_of_settings(family: &Family, kid: &str) -> String {
    format!("Public key with kid {kid:?} for {}s in the settings", family.token_word())
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
mod tests;
