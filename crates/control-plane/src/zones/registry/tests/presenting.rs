//! A newer token that is shown for what is open on a connection.

use futures::FutureExt as _;
use jiff::SignedDuration;
use tokens::{Accept, Want};

use super::{
    operator::{Issued, LEEWAY, Operator},
    *,
};

/// A registry, and who issues tokens for it.
struct Stage {
    operator: Operator,
    registry: Registry,
}

impl Stage {
    fn new() -> Self {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let operator = Operator::at(now);
        Self { registry: Registry::new(operator.ring(), LEEWAY), operator }
    }

    fn issue(&self, seconds: u64) -> Issued {
        self.operator.issue("west", seconds).unwrap()
    }

    fn admit(&self, token: &Issued, connection: &ConnectionGuard, unary: bool) -> StreamGuard {
        let Operator { now, generation, .. } = self.operator;
        let want = Want { zone: token.zone, accept: Accept::CpToken, leeway: LEEWAY, legacy_until: None };
        let verified = tokens::verify(&token.raw, &self.operator.ring(), now, &want).unwrap();
        let arrival = Arrival {
            caller: ZoneCaller::Verified(verified),
            ring_generation: generation,
            connection: connection.id(),
            method: "GlobalToZoneSync",
            unary,
            pings: false,
        };
        self.registry.admit(arrival, now).unwrap()
    }

    /// Shows a token on a connection, for what stands on the one called `former`.
    fn present(&self, token: &Issued, connection: &ConnectionGuard, former: &str) -> (usize, usize) {
        let call = self.admit(token, connection, true);
        let Presented { moved, left } = self.registry.present(call.id(), former, self.operator.now).unwrap();
        (moved, left)
    }

    fn revoke(&mut self, token: &Issued) {
        self.operator.revoked.insert(token.id.clone());
        self.operator.generation += 1;
        let _swept = self.registry.sweep(&self.operator.ring(), self.operator.now, Instant::now());
    }
}

fn is_open(stream: &mut StreamGuard) -> bool {
    stream.closed().now_or_never().is_none()
}

#[test]
fn what_stands_on_the_former_token_moves_and_nothing_else() {
    let mut stage = Stage::new();
    let (old, newer, stolen) = (stage.issue(1000), stage.issue(1000), stage.issue(1000));
    let (here, elsewhere) = (stage.registry.connect(), stage.registry.connect());
    let mut streams: Vec<_> = (0..5).map(|_| stage.admit(&old, &here, false)).collect();
    let mut spread = stage.admit(&old, &elsewhere, false);
    // A proxy in front put the thief's stream on the connection of the zone.
    let mut thief = stage.admit(&stolen, &here, false);
    let _ping = stage.admit(&old, &here, true);
    assert_eq!(stage.present(&newer, &here, &old.id), (5, 1));
    assert_eq!(stage.present(&newer, &here, &old.id), (5, 1), "the answer was lost");
    stage.revoke(&old);
    stage.revoke(&stolen);
    assert!(streams.iter_mut().all(is_open));
    assert!(!is_open(&mut spread) && !is_open(&mut thief));
    assert_eq!((here.standing(), elsewhere.standing()), (Standing::Proven, Standing::Withdrawn));
    stage.revoke(&newer);
    assert!(!streams.iter_mut().any(is_open), "they stand on the newer one");
    assert_eq!(here.standing(), Standing::Withdrawn);
}

#[test]
fn what_stands_on_any_token_moves_if_none_is_named() {
    let stage = Stage::new();
    let (old, older, newer) = (stage.issue(1000), stage.issue(1000), stage.issue(1000));
    let here = stage.registry.connect();
    let _streams = [stage.admit(&old, &here, false), stage.admit(&older, &here, false)];
    let other = stage.operator.issue("east", 1000).unwrap();
    let _of_another_zone = stage.admit(&other, &here, false);
    assert_eq!(stage.present(&newer, &here, ""), (2, 0));
}

#[test]
fn a_stream_whose_token_ended_is_not_saved() {
    let mut stage = Stage::new();
    let (old, newer) = (stage.issue(10), stage.issue(1000));
    let here = stage.registry.connect();
    let mut stream = stage.admit(&old, &here, false);
    stage.operator.now = old.expires + SignedDuration::try_from(LEEWAY).unwrap();
    assert_eq!(stage.present(&newer, &here, &old.id), (0, 1));
    let _swept = stage.registry.sweep(&stage.operator.ring(), stage.operator.now, Instant::now());
    assert!(!is_open(&mut stream));
    assert_eq!(stage.present(&newer, &here, &old.id), (0, 0), "it was told to close");
}

#[test]
fn a_token_that_was_revoked_meanwhile_moves_nothing() {
    let mut stage = Stage::new();
    let (old, newer) = (stage.issue(1000), stage.issue(1000));
    let here = stage.registry.connect();
    let mut stream = stage.admit(&old, &here, false);
    let call = stage.admit(&newer, &here, true);
    stage.revoke(&newer);
    let refused = stage.registry.present(call.id(), &old.id, stage.operator.now);
    assert!(matches!(refused, Err(CloseReason::Refused(_))), "{refused:?}");
    assert!(is_open(&mut stream));
}
