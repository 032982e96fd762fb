//! The network gets quiet: everybody is connected, everything is delivered, and what must hold then is checked.

use super::{
    Global, World,
    check::{Strictness, check},
    connect::Versions,
    zone::{Peer, Zone},
};

/// Lets everybody connect and finish, and checks what came of it. Those who listen to a real global ask once more.
pub(super) fn calm(world: &mut World) {
    for zone in 0..world.zones.len() {
        world.zones[zone].slow.clear();
        while world.end_arrives(zone) {}
        world.connect(zone, Versions::Untold);
    }
    world.rest();
    if world.setup.global == Global::Real {
        ask_silent(world);
    }
    check(world, Strictness::ButForRejected);
}

fn ask_silent(world: &mut World) {
    let asked: Vec<_> = (0..world.zones.len()).map(|zone| world.ask_all_again(zone)).collect();
    world.rest();
    for (zone, must_answer) in world.zones.iter().zip(asked) {
        for (connection, taken) in must_answer {
            let answered = zone.live().any(|one| one.id == connection && one.down.taken > taken);
            assert!(answered, "a stream of {} did not answer what every provider answers", zone.name);
        }
    }
}

/// The end of a run: quiet, and then the same again, in each way there is.
pub(crate) fn settle(world: &mut World) {
    calm(world);

    // What was rejected once and would be accepted now comes with a new stream.
    reconnect(world, Versions::Untold);
    check(world, Strictness::All);
    assert_eq!((world.pump(), world.on_the_way().len()), (0, 0), "an unchanged resync sends nothing");

    let writes = world.writes;
    reconnect(world, Versions::Untold);
    assert_eq!(world.writes, writes, "the same state again writes nothing");

    // A first response that never ends, because something does not fit, leaves what is gone where it was. One who says
    // what it has is told.
    let unfinished = world.zones.iter().any(Zone::waits_for_parts);
    reconnect(world, Versions::Told);
    assert!(unfinished || world.writes == writes, "what is here is what was said to be here");
    let writes = world.writes;
    reconnect(world, Versions::Told);
    assert_eq!(world.writes, writes);
    check(world, Strictness::All);
    for zone in world.zones.iter().filter(|zone| zone.peer == Peer::Ours) {
        for link in zone.live().map(|connection| &connection.down) {
            assert_eq!(link.sent, link.rejected, "with initial versions only what was rejected comes again");
        }
        for link in zone.live().map(|connection| &connection.up).filter(|_| world.setup.global == Global::Ours) {
            assert_eq!(link.sent, link.rejected, "with initial versions only what was rejected goes again");
        }
    }
}

fn reconnect(world: &mut World, versions: Versions) {
    world.drop_all();
    for zone in 0..world.zones.len() {
        world.connect(zone, versions);
    }
    world.rest();
}
