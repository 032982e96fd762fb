//! What a peer is capable of: the features that it advertises (contract: kds 3.2), and what its version can read.

use std::ops::BitOr;

use crate::release::Release;

/// A set of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Features(u32);

impl Features {
    /// No feature.
    pub const NONE: Self = Self(0);
    /// Nothing reads it; real peers send it.
    pub const ZONE_TOKEN: Self = Self(1);
    /// Names carry a hash suffix.
    pub const HASH_SUFFIX: Self = Self(2);
    /// Host name generators may select MeshMultiZoneServices.
    pub const HG_MZ_SELECTOR: Self = Self(4);
    /// Producer policies of other zones are understood.
    pub const PRODUCER_POLICY_FLOW: Self = Self(8);
    /// Policies may omit their top-level target reference.
    pub const OPTIONAL_TOP_LEVEL_TARGET_REF: Self = Self(16);
    /// Ours: the consumer's `initial_resource_versions` are honoured, and sent back by a peer that has it too.
    pub const INITIAL_VERSIONS: Self = Self(32);
    /// Ours: a first response may come in parts, so that a kind of any size fits.
    pub const PARTS: Self = Self(64);
    /// Reads what zones read from 2.10 on. No peer advertises this and the next two: its version says it.
    pub const SINCE_2_10: Self = Self(128);
    /// Reads what zones read from 2.12 on.
    pub const SINCE_2_12: Self = Self(256);
    /// Reads what zones read from 2.13 on.
    pub const SINCE_2_13: Self = Self(512);
    /// Everything that a version can say.
    pub const NEWEST: Self = Self(128 | 256 | 512);
    /// It pings, so that its silence means something. Said in the headers of an RPC only.
    pub const PING_HEALTH: Self = Self(1024);
    /// Ours: a zone gets its next token over the connection that it has.
    pub const TOKEN_RENEWAL: Self = Self(2048);
    /// Ours: keys of tokens may be for other algorithms than RS256.
    pub const KEY_ALGORITHMS: Self = Self(4096);
    /// What a resource may need. The rest says how a peer speaks.
    pub(crate) const GATES: Self = Self(4 | 8 | 128 | 256 | 512 | 4096);
    /// What real peers have.
    pub const ALL: Self = Self(31);
    /// What our own two ends have beside that; a real peer ignores the names.
    pub const OURS: Self = Self(32 | 64 | 2048 | 4096);

    const NAMES: [(&'static str, Self); 10] = [
        ("zone-ping-health", Self::PING_HEALTH),
        ("zone-token", Self::ZONE_TOKEN),
        ("hash-suffix", Self::HASH_SUFFIX),
        ("hg-mz-selector", Self::HG_MZ_SELECTOR),
        ("producer-policy-flow", Self::PRODUCER_POLICY_FLOW),
        ("optional-top-level-target-ref", Self::OPTIONAL_TOP_LEVEL_TARGET_REF),
        ("initial-resource-versions", Self::INITIAL_VERSIONS),
        ("responses-in-parts", Self::PARTS),
        ("token-renewal", Self::TOKEN_RENEWAL),
        ("key-algorithms", Self::KEY_ALGORITHMS),
    ];

    /// Reads names; unknown ones are ignored.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names
            .into_iter()
            .filter_map(|name| Self::NAMES.iter().find(|(known, _)| *known == name))
            .fold(Self::NONE, |all, (_, feature)| all | *feature)
    }

    /// Reads what the headers of an RPC say that a zone can do. They come as entries of their own or joined by commas
    /// (contract: kds 3.1). What a zone says of the versions it has is not believed without hashed names: names with the
    /// zone in front are not the names that the zone knows.
    pub fn from_headers<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let said = Self::from_names(values.into_iter().flat_map(|value| value.split(',')).map(str::trim));
        if said.contains(Self::HASH_SUFFIX) { said } else { Self(said.0 & !Self::OURS.0) }
    }

    /// What a peer of this version can read. One that does not say its version, or is between releases, counts as newest.
    pub fn of_version(version: &str) -> Self {
        let Some(release) = Release::parse(version) else { return Self::NEWEST };
        [(10, Self::SINCE_2_10), (12, Self::SINCE_2_12), (13, Self::SINCE_2_13)]
            .into_iter()
            .filter(|(minor, _)| release >= Release::new(2, *minor, 0))
            .fold(Self::NONE, |all, (_, feature)| all | feature)
    }

    /// The names of the set, in the order real peers send them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(_, feature)| self.contains(*feature)).map(|(name, _)| name)
    }

    /// Only those that are in both sets.
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all features of `other` are in the set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [&str; 4] = ["initial-resource-versions", "responses-in-parts", "token-renewal", "key-algorithms"];

    #[test]
    fn a_version_says_what_a_zone_can_read() {
        let (v10, v12) = (Features::SINCE_2_10, Features::SINCE_2_10 | Features::SINCE_2_12);
        for (version, expected) in [
            ("2.9.3", Features::NONE),
            ("2.9.19", Features::NONE),
            ("2.10.0", v10),
            ("2.11.18", v10),
            ("2.12.0", v12),
            ("2.13.10", Features::NEWEST),
            ("2.14.3", Features::NEWEST),
            ("3.0.0", Features::NEWEST),
            ("2.9.0-preview.vabcdef123", Features::NEWEST),
            ("0.0.0-preview.vabcdef123", Features::NEWEST),
            ("0.0.0", Features::NEWEST),
            ("unknown", Features::NEWEST),
            ("", Features::NEWEST),
        ] {
            assert_eq!(Features::of_version(version), expected, "{version}");
        }
        assert_eq!(Features::NEWEST.names().count(), 0, "nobody advertises it");
    }

    #[test]
    fn names_are_read_and_written_in_the_order_of_the_peers() {
        let names =
            ["zone-token", "hash-suffix", "hg-mz-selector", "producer-policy-flow", "optional-top-level-target-ref"];
        assert_eq!(Features::from_names(names.into_iter().rev().chain(["unknown"])), Features::ALL);
        assert_eq!(Features::ALL.names().collect::<Vec<_>>(), names);
        assert!(!Features::NONE.contains(Features::HASH_SUFFIX));
        assert_eq!(Features::OURS.names().collect::<Vec<_>>(), OURS);
        assert!(!Features::ALL.contains(Features::PARTS), "a real peer gets nothing in parts");
    }

    #[test]
    fn headers_come_one_by_one_or_joined() {
        let both = Features::PING_HEALTH | Features::HASH_SUFFIX;
        let check = |values: &[&str], expected| {
            assert_eq!(Features::from_headers(values.iter().copied()), expected, "{values:?}");
        };
        check(&["zone-ping-health", "hash-suffix"], both);
        check(&["zone-ping-health,hash-suffix"], both);
        check(&["hash-suffix , zone-ping-health", "zone-token"], both | Features::ZONE_TOKEN);
        check(&["hash-suffix"], Features::HASH_SUFFIX);
        let ours = "initial-resource-versions,hash-suffix,responses-in-parts,token-renewal,key-algorithms";
        check(&[ours], Features::HASH_SUFFIX | Features::OURS);
        let unhashed = "initial-resource-versions,responses-in-parts,zone-ping-health,token-renewal,key-algorithms";
        check(&[unhashed], Features::PING_HEALTH);
        for none in [&[][..], &["hash"], &["HASH-SUFFIX"], &["hash-suffix;zone-ping-health"]] {
            check(none, Features::NONE);
        }
        let said: Vec<_> = (both | Features::OURS).names().collect();
        assert_eq!(said, ["zone-ping-health", "hash-suffix"].into_iter().chain(OURS).collect::<Vec<_>>());
    }
}
