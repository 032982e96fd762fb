//! Who may issue tokens for some zones (`access.static.generateZoneToken.zones`), beside those who may for all.

use std::{collections::BTreeMap, str::FromStr};

use model::ZoneName;
use thiserror::Error;

use super::Caller;

/// Users and groups, each with the zones for which they may issue zone and control plane tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneGrants(pub BTreeMap<String, Vec<ZonePattern>>);

impl ZoneGrants {
    /// Returns whether a caller may for some zone.
    pub(super) fn knows(&self, caller: &Caller) -> bool {
        self.of(caller).next().is_some()
    }

    /// Returns whether a caller may for this zone.
    pub(super) fn allow(&self, caller: &Caller, zone: &str) -> bool {
        self.of(caller).any(|pattern| pattern.matches(zone))
    }

    fn of<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a ZonePattern> {
        let names = std::iter::once(caller.name()).chain(caller.groups().iter().map(String::as_str));
        names.filter_map(|name| self.0.get(name)).flatten()
    }
}

/// A zone, `west`, or all zones whose names begin alike, `edge-*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZonePattern {
    /// One zone.
    Exactly(ZoneName),
    /// All whose names begin so.
    Beginning(String),
}

/// A text that is no pattern of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it must be the name of a zone, or how names begin with one `*` at the end, like `edge-*`")]
pub struct NoPattern;

impl ZonePattern {
    fn matches(&self, zone: &str) -> bool {
        match self {
            Self::Exactly(name) => name.as_str() == zone,
            Self::Beginning(beginning) => !zone.is_empty() && zone.starts_with(beginning.as_str()),
        }
    }
}

impl FromStr for ZonePattern {
    type Err = NoPattern;

    fn from_str(text: &str) -> Result<Self, NoPattern> {
        match text.strip_suffix('*') {
            None => ZoneName::parse(text).map(Self::Exactly).map_err(|_no_name| NoPattern),
            // The beginning of a name is what becomes one with a letter behind it.
            Some(beginning) => match ZoneName::parse(&format!("{beginning}a")) {
                Ok(_) => Ok(Self::Beginning(beginning.to_owned())),
                Err(_) => Err(NoPattern),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_at_the_end_alone() {
        let matches = |pattern: &str, zone: &str| pattern.parse::<ZonePattern>().unwrap().matches(zone);
        assert!(matches("west", "west") && !matches("west", "west-2") && !matches("west", "wes"));
        assert!(matches("edge-*", "edge-1") && matches("edge-*", "edge-") && !matches("edge-*", "edge"));
        assert!(matches("*", "west") && !matches("*", ""), "no zone is none");
        for bad in ["", "**", "*-edge", "e*ge", "West", "a b", "edge-**", "[a-z]", "west,east"] {
            assert_eq!(bad.parse::<ZonePattern>(), Err(NoPattern), "{bad}");
        }
    }

    #[test]
    fn what_is_granted_to_the_name_or_a_group_counts_and_nothing_else() {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let grants = ZoneGrants(BTreeMap::from([
            ("john".to_owned(), patterns(&["west"])),
            ("mesh-system:authenticated".to_owned(), patterns(&["edge-*"])),
            ("jane".to_owned(), patterns(&["*"])),
        ]));
        let john = Caller::proved("john");
        assert!(grants.knows(&john) && grants.allow(&john, "west") && grants.allow(&john, "edge-7"));
        assert!(!grants.allow(&john, "east"));
        assert!(!grants.knows(&Caller::anonymous()) && !grants.allow(&Caller::anonymous(), "west"));
    }
}
