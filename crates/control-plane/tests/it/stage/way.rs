//! The ways from zones to their global: straight, or through relays.

use testkit::program::ControlPlane;

use super::{
    relays::{Guarded, connector_to, zone_behind},
    world::World,
};

/// What is between a zone and its global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    /// A connector beside the zone.
    Connector,
    /// A gateway before the global.
    Gateway,
    /// Both.
    Both,
}

/// Makes each case a test on every way with relays; on the direct way it stands beside.
macro_rules! through_relays {
    ($($case:ident)*) => {
        mod through_a_connector {
            $(#[test] fn $case() { super::$case($crate::stage::way::Way::Connector); })*
        }

        mod through_a_gateway {
            $(#[test] fn $case() { super::$case($crate::stage::way::Way::Gateway); })*
        }

        mod through_both {
            $(#[test] fn $case() { super::$case($crate::stage::way::Way::Both); })*
        }
    };
}

pub(crate) use through_relays;

/// A global, and the way of zones to it.
pub(crate) struct Route {
    way: Way,
    /// Who lets zones in. Dropped before the global.
    door: World,
    /// The global behind a gateway.
    behind: Option<World>,
}

/// A zone, and the connector beside it if there is one.
pub(crate) struct Joined {
    pub(crate) zone: ControlPlane,
    connector: Option<ControlPlane>,
}

impl Way {
    fn has_connector(self) -> bool {
        matches!(self, Self::Connector | Self::Both)
    }

    fn has_gateway(self) -> bool {
        matches!(self, Self::Gateway | Self::Both)
    }
}

impl Route {
    /// Starts everything inside the test, whoever lets zones in with these settings beside the usual ones.
    pub(crate) fn new(way: Way, settings: &[(&str, &str)]) -> Self {
        if way.has_gateway() {
            return Self::guarded(way, Guarded::new(settings));
        }
        Self { way, door: World::new(settings), behind: None }
    }

    /// The same as programs.
    pub(crate) fn of_programs(way: Way) -> Self {
        if way.has_gateway() {
            return Self::guarded(way, Guarded::of_programs());
        }
        Self { way, door: World::of_programs(&[]), behind: None }
    }

    fn guarded(way: Way, Guarded { gate, behind }: Guarded) -> Self {
        Self { way, door: gate, behind: Some(behind) }
    }

    /// Who lets zones in and has the keys: the global, or the gateway before it.
    pub(crate) fn door(&self) -> &World {
        &self.door
    }

    /// Who has the meshes and what is in them.
    pub(crate) fn global(&self) -> &World {
        self.behind.as_ref().unwrap_or(&self.door)
    }

    pub(crate) fn global_mut(&mut self) -> &mut World {
        self.behind.as_mut().unwrap_or(&mut self.door)
    }

    /// Starts a zone with the token in this file, with these settings of whoever has the token.
    pub(crate) fn zone(&self, name: &str, token: &str, settings: &[(&str, &str)]) -> Joined {
        let path = ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", token);
        if !self.way.has_connector() {
            let zone = self.door.zone(name, &[&[path], settings].concat());
            return Joined { zone, connector: None };
        }
        let port = self.door.global.address("kds").port();
        let connector = connector_to(&self.door, port, name, token, settings);
        Joined { zone: zone_behind(&self.door, &connector, name), connector: Some(connector) }
    }

    /// Starts a zone with a fresh token in a file and waits until it is Online.
    pub(crate) fn connected_zone(&self, name: &str) -> Joined {
        let joined = self.zone(name, &self.door.token_file(name), &[]);
        self.wait_online(name);
        joined
    }

    /// Waits until all who show zones show this one as Online.
    pub(crate) fn wait_online(&self, zone: &str) {
        self.shown_by().for_each(|world| world.wait_online(zone));
    }

    pub(crate) fn wait_offline(&self, zone: &str) {
        self.shown_by().for_each(|world| world.wait_offline(zone));
    }

    pub(crate) fn online(&self, zone: &str) -> bool {
        self.shown_by().all(|world| world.online(zone))
    }

    fn shown_by(&self) -> impl Iterator<Item = &World> {
        [Some(&self.door), self.behind.as_ref()].into_iter().flatten()
    }
}

impl Joined {
    /// Waits until whoever has the token says that the new one stands.
    pub(crate) fn stands_on_the_new_token(&self) {
        match &self.connector {
            Some(connector) => connector.line(&["the connection stands on the new token"]),
            None => self.zone.line(&["the new token was accepted"]),
        };
    }

    /// Whether a newer token in the file comes on a connection of its own, which global sees as another session.
    pub(crate) fn opens_for_a_new_token(&self) -> bool {
        self.connector.is_none()
    }
}
