//! The zone's ping: always answered, with the interval that global wants.

use std::{sync::Arc, time::Duration};

use hyper::body::Incoming;
use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use sync::Features;
use tokens::{Family, KeyRing};
use tonic::{Request, Response, Status, body::Body, metadata::MetadataValue, server::UnaryService};
use wire::kuma::mesh::v1alpha1::{ZoneHealthCheckRequest, ZoneHealthCheckResponse};

use crate::{
    kds::{
        global::{context::Context, unary},
        rpc,
    },
    observe::grpc_metrics::Call,
    zones::{
        caller::{Renews, ZoneCaller},
        registry::StreamGuard,
    },
};

/// A clock that is farther off is shown as this far off.
const FARTHEST: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// How often a zone of ours pings at the least while a key is about to take the place of another: what it is to do about its
/// token it hears in the answer.
const DURING_ROTATION: Duration = Duration::from_secs(10);
/// How often zones of ours ping otherwise at least: so soon each hears that its key drains.
const BETWEEN_ROTATIONS: Duration = Duration::from_secs(30);

/// What a zone of ours hears of its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Advice {
    /// The key of its token is being retired.
    drains: bool,
    /// A key that it may have a token of takes the place of another, or is about to.
    rotates: bool,
    /// It renews its token if it is told to.
    listens: bool,
}

impl Advice {
    /// Returns what there is to say to a caller.
    pub(super) fn of(caller: &ZoneCaller, zone_can: Features, ring: &KeyRing) -> Self {
        let ZoneCaller::Verified(proof) = caller else { return Self::default() };
        if !zone_can.contains(Features::TOKEN_RENEWAL) {
            return Self::default();
        }
        let rotates = [Family::ControlPlane, Family::Zone].iter().any(|family| ring.rotates(family));
        Self { drains: ring.drains(proof.key()), rotates, listens: true }
    }

    /// The pause until the next ping, of what is configured; nothing leaves it to the zone.
    fn interval(self, configured: Duration) -> Duration {
        let longest = match self {
            Self { rotates: true, .. } => DURING_ROTATION,
            Self { listens: true, .. } => BETWEEN_ROTATIONS,
            Self { .. } => return configured,
        };
        if configured.is_zero() { longest } else { configured.min(longest) }
    }
}

/// Answers one ping. `renews` is what the zone says in it of its renewal.
pub(super) async fn serve(
    context: Arc<Context>,
    advice: Advice,
    renews: Option<Renews>,
    guard: StreamGuard,
    call: Call,
    request: http::Request<Incoming>,
) -> http::Response<Body> {
    if let (Some(renews), Some(token)) = (renews, guard.caller().token()) {
        context.insights.renews(guard.caller().zone(), &token, renews);
    }
    let health = HealthCheck { context, advice, zone: guard.caller().zone().clone() };
    unary::serve(health, guard, call, request).await
}

struct HealthCheck {
    context: Arc<Context>,
    advice: Advice,
    zone: ZoneName,
}

impl UnaryService<ZoneHealthCheckRequest> for HealthCheck {
    type Response = ZoneHealthCheckResponse;
    type Future = std::future::Ready<Result<Response<ZoneHealthCheckResponse>, Status>>;

    fn call(&mut self, request: Request<ZoneHealthCheckRequest>) -> Self::Future {
        let told = request.metadata().get(rpc::TIME_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        let ahead = told.map(|told: Timestamp| told.duration_since(self.context.clock.now()));
        let ahead = ahead.map(|ahead| ahead.clamp(-FARTHEST, FARTHEST));
        self.context.insights.pinged(&self.zone, ahead);
        let interval = self.advice.interval(self.context.settings.health_poll_interval);
        let interval = prost_types::Duration::try_from(interval).unwrap_or_default();
        let mut response = Response::new(ZoneHealthCheckResponse { interval: Some(interval) });
        // A zone of ours learns here, before it opens its streams, that it may say what it has.
        for feature in Features::OURS.names() {
            response.metadata_mut().append("features", MetadataValue::from_static(feature));
        }
        if self.advice.drains {
            response.metadata_mut().insert(rpc::RENEW_HEADER, MetadataValue::from_static("key-draining"));
        }
        std::future::ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use tokens::{Accept, KeyId, Phase, Phases, RingSources, SecretEntry, Want};

    use super::*;

    #[test]
    fn a_zone_of_ours_hears_what_becomes_of_the_key_of_its_token() {
        let secrets = [1, 2].map(|serial| {
            let data = format!("WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ{serial}E=");
            (format!("control-plane-signing-key-{serial:04}"), data)
        });
        let secrets: Vec<_> =
            secrets.iter().map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) }).collect();
        let ring = |phases: &[(u64, Phase)]| {
            let id = |serial| KeyId { family: Family::ControlPlane, serial };
            let phases = Phases::from_iter(phases.iter().map(|(serial, phase)| (id(*serial), *phase)));
            KeyRing::build_of(1, RingSources { secrets: &secrets, phases, ..RingSources::default() }).0
        };
        let zone = ZoneName::parse("west").unwrap();
        let (now, hour) = (Timestamp::UNIX_EPOCH, Duration::from_secs(3600));
        let signs = ring(&[(2, Phase::Staged)]);
        let token = tokens::issue_control_plane(&signs, &zone, Some(hour), now, uuid::Uuid::nil()).unwrap();
        let want = Want { zone: "west", accept: Accept::CpToken, leeway: hour, legacy_until: None };
        let caller = ZoneCaller::Verified(tokens::verify(token.reveal(), &signs, now, &want).unwrap());
        let check = |phases: &[(u64, Phase)], drains, rotates| {
            let ring = ring(phases);
            assert_eq!(
                Advice::of(&caller, Features::OURS, &ring),
                Advice { drains, rotates, listens: true },
                "{phases:?}"
            );
            assert_eq!(Advice::of(&caller, Features::ALL, &ring), Advice::default(), "a real one hears nothing");
            let unverified = ZoneCaller::Unverified(zone.clone());
            assert_eq!(Advice::of(&unverified, Features::OURS, &ring), Advice::default());
        };
        check(&[], false, false);
        check(&[(2, Phase::Staged)], false, true);
        check(&[(1, Phase::Retiring)], true, true);
        check(&[(2, Phase::Retiring)], false, true);
    }

    #[test]
    fn a_zone_pings_more_often_during_a_rotation_and_never_less() {
        let seconds = |rotates, configured| {
            let advice = Advice { drains: false, rotates, listens: true };
            advice.interval(Duration::from_secs(configured)).as_secs()
        };
        assert_eq!([0, 5, 300].map(|configured| seconds(false, configured)), [30, 5, 30]);
        assert_eq!([0, 5, 300].map(|configured| seconds(true, configured)), [10, 5, 10]);
        let real = |configured| Advice::default().interval(Duration::from_secs(configured)).as_secs();
        assert_eq!([0, 5, 300].map(real), [0, 5, 300], "a real one hears what is configured");
    }
}
