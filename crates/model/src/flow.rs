//! Which way kinds flow between global and zones.

/// Which way a kind flows; the numbers are the peer's flags (contract: kds 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow(u8);

impl Flow {
    const CONSUMED_BY_ZONE: u8 = 1;
    const CONSUMED_BY_GLOBAL: u8 = 4;
    const PROVIDED_BY_ZONE: u8 = 8;
    const PROVIDED_BY_GLOBAL: u8 = 16;
    const ACROSS_ZONES: u8 = 32;

    /// Made on global, sent to the zones.
    pub const GLOBAL_TO_ZONE: Self = Self(Self::CONSUMED_BY_ZONE | Self::PROVIDED_BY_GLOBAL);
    /// The same, and zones make some of their own, which stay there.
    pub const GLOBAL_TO_ZONE_OR_OWN: Self = Self(Self::GLOBAL_TO_ZONE.0 | Self::PROVIDED_BY_ZONE);
    /// Made in zones, reported to global.
    pub const ZONE_TO_GLOBAL: Self = Self(Self::CONSUMED_BY_GLOBAL | Self::PROVIDED_BY_ZONE);
    /// The same, and passed on to the other zones.
    pub const ZONE_TO_ZONES: Self = Self(Self::ZONE_TO_GLOBAL.0 | Self::ACROSS_ZONES);
    /// Made on either side; what one side makes goes to the other.
    pub const BOTH_WAYS: Self = Self(Self::GLOBAL_TO_ZONE.0 | Self::ZONE_TO_GLOBAL.0);
    /// The same, and what one zone makes goes to the other zones.
    pub const EVERY_WAY: Self = Self(Self::BOTH_WAYS.0 | Self::ACROSS_ZONES);
    /// Made on global, which keeps it.
    pub const AT_GLOBAL: Self = Self(Self::PROVIDED_BY_GLOBAL);
    /// Made on either side, which keeps it.
    pub const KEPT_BY_EACH: Self = Self(Self::PROVIDED_BY_ZONE | Self::PROVIDED_BY_GLOBAL);

    const fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }

    /// Zones subscribe to the kind, global provides it.
    pub const fn global_to_zone(self) -> bool {
        self.from_global() || self.across_zones()
    }

    /// What global itself made of the kind goes to zones.
    pub const fn from_global(self) -> bool {
        self.has(Self::CONSUMED_BY_ZONE | Self::PROVIDED_BY_GLOBAL)
    }

    /// Global subscribes to the kind, zones provide it.
    pub const fn zone_to_global(self) -> bool {
        self.has(Self::CONSUMED_BY_GLOBAL | Self::PROVIDED_BY_ZONE)
    }

    /// What one zone made of the kind goes to the other zones.
    pub const fn across_zones(self) -> bool {
        self.has(Self::ACROSS_ZONES)
    }

    /// Zones may make resources of the kind.
    pub const fn provided_by_zone(self) -> bool {
        self.has(Self::PROVIDED_BY_ZONE)
    }

    /// Global may make resources of the kind.
    pub const fn provided_by_global(self) -> bool {
        self.has(Self::PROVIDED_BY_GLOBAL)
    }
}
