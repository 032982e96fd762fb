//! One call of a zone that was let in, on its way to the global control plane behind a gateway.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use tokio::sync::oneshot;
use tonic::{Code, Status, body::Body};
use tracing::{Instrument as _, info, info_span};
use wire::kuma::{mesh::v1alpha1::ZoneHealthCheckResponse, system::v1alpha1::KumaCpVersion};

use super::Upstream;
use crate::{
    kds::{
        frames::gzip,
        global::{
            context::Context,
            health::{self, Advice},
        },
        messages::convert,
        relay::{Answer, Arriving, Inspect, Payload, Rule, Slot},
        rpc::Rpc,
    },
    observe::grpc_metrics::Call,
    zones::{
        caller::{Origin, Renews},
        insight::{Instance, StreamName},
        registry::{News, StreamGuard},
    },
};

/// A ping that is not answered by then is ended.
const PING_DEADLINE: Duration = Duration::from_secs(15);
/// The answer to a ping is a few bytes.
const LARGEST_PONG: usize = 1024;
/// Flag and length in front of each message.
const HEADER: usize = 5;

/// A call that was let in.
pub(in crate::kds::global) struct Arrived {
    pub(in crate::kds::global) rpc: Rpc,
    pub(in crate::kds::global) guard: StreamGuard,
    pub(in crate::kds::global) origin: Origin,
    pub(in crate::kds::global) advice: Advice,
    /// Where the far connection of the zone's connection stands.
    pub(in crate::kds::global) slot: Slot,
    pub(in crate::kds::global) call: Call,
}

/// Says who answers one call: the global control plane, as it were; a ping is answered here with what that said.
pub(in crate::kds::global) async fn serve(
    upstream: &Upstream,
    context: Arc<Context>,
    arrived: Arrived,
    arriving: Arriving,
) -> Answer {
    let zone = arrived.guard.caller().zone().clone();
    let Arriving { request, ender, orders } = arriving;
    let (mut head, body) = request.into_parts();
    let passing = async {
        if !arrived.rpc.is_unary() {
            context.ensure_zone(&zone).await?;
        }
        let rule = match arrived.rpc {
            Rpc::GlobalToZoneSync => Some(Rule::Node),
            Rpc::ZoneToGlobalSync => Some(Rule::Identifier),
            Rpc::Admin(_) | Rpc::HealthCheck | Rpc::Renew | Rpc::Present => None,
        };
        let limit = context.settings.max_msg_size;
        let payload = rule.map(|rule| Payload { rule, zone: zone.as_str().into(), limit });
        let inspect = payload.map(|payload| Inspect::new(payload, &head.headers)).transpose()?;
        let headers = upstream.headers(&head.headers, &zone)?;
        let far = upstream.far(&arrived.slot, &orders).await?;
        Ok::<_, Status>((inspect, headers, far))
    };
    let (inspect, headers, far) = match passing.await {
        Ok(passing) => passing,
        Err(status) => {
            arrived.call.ended(status.code());
            return Answer::status(status);
        }
    };
    let said = std::mem::replace(&mut head.headers, headers);
    if arrived.rpc.is_unary() {
        return Answer::here(
            ping(&context, arrived, &said, far.calls().call(http::Request::from_parts(head, body))).await,
        )
        .await;
    }
    let (tells, over) = oneshot::channel();
    let told = move |status: Status| {
        let _nobody_waits = tells.send(status);
    };
    let said = said_of(&said);
    // At the moment when it has to end, not when whoever follows it gets to it.
    arrived.guard.ends_by(move |reason| ender.end(convert::close_status(reason)));
    let Arrived { rpc, guard, origin, call, .. } = arrived;
    let followed = Box::new(Followed { context: Arc::clone(&context), rpc, guard, origin, call, over });
    // The log gives the lines inside of a zone's span one budget for each zone.
    let span = info_span!("stream", zone = %zone, rpc = rpc.method());
    Answer::pass(&far, head, inspect, told).with(follow(followed, Box::new(said)).instrument(span).boxed())
}

/// Notes a ping, and answers it with what the global control plane says to it.
async fn ping(
    context: &Context,
    arrived: Arrived,
    said: &HeaderMap,
    asked: impl Future<Output = Result<http::Response<Body>, Status>>,
) -> http::Response<Body> {
    let Arrived { mut guard, origin, advice, call, .. } = arrived;
    let zone = guard.caller().zone().clone();
    health::note(context, &zone, health::time_of(said));
    if said.contains_key(Renews::HEADER)
        && let Some(token) = guard.caller().token()
    {
        context.insights.renews(&zone, &token, origin.renews);
    }
    let answered = async {
        match asked.await {
            Ok(answer) => ponged(answer, advice, context.settings.health_poll_interval).await,
            Err(status) => status.into_http(),
        }
    };
    // Biased: a call that lost its right to live is not answered as a good one.
    let answer = tokio::select! {
        biased;
        reason = guard.closed() => convert::close_status(&reason).into_http(),
        answer = tokio::time::timeout(PING_DEADLINE, answered) => answer.unwrap_or_else(|_late| {
            Status::deadline_exceeded("the global control plane behind this gateway does not answer").into_http()
        }),
    };
    call.ended(Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code()));
    answer
}

/// A stream that is passed on.
struct Followed {
    context: Arc<Context>,
    rpc: Rpc,
    guard: StreamGuard,
    origin: Origin,
    call: Call,
    over: oneshot::Receiver<Status>,
}

/// Keeps what is known of a stream, until it ended.
async fn follow(mut followed: Box<Followed>, said: Box<Instance>) {
    let subscription = followed.opened(&said);
    let ended = loop {
        // Biased: a stream that lost its right to live must not send one more message.
        tokio::select! {
            biased;
            news = followed.guard.news() => match news {
                News::Closed(_told_already) => break (&mut followed.over).await,
                News::Renewed(newer) => if let Some(subscription) = &subscription {
                    followed.context.insights.stands_on(newer.zone(), subscription, &newer, &followed.origin);
                },
            },
            ended = &mut followed.over => break ended,
        }
    };
    let status = ended.unwrap_or_else(|_dropped| Status::cancelled("the connection of the zone is gone"));
    followed.ended(subscription.as_deref(), &status);
}

impl Followed {
    /// Notes that it was opened; returns the subscription that stands for it, if one does.
    fn opened(&self, said: &Instance) -> Option<String> {
        let (insights, guard) = (&self.context.insights, &self.guard);
        let zone = guard.caller().zone();
        match self.rpc {
            Rpc::GlobalToZoneSync => {
                insights.stream_opened(zone, StreamName::GlobalToZoneSync);
                let subscription = insights.subscribe(zone, guard.caller().token().is_some());
                insights.stands_on(zone, &subscription, guard.caller(), &self.origin);
                if guard.would_be_refused().is_some() {
                    insights.show_would_be_refused(zone);
                }
                insights.described(zone, &subscription, said);
                Some(subscription)
            }
            Rpc::ZoneToGlobalSync => {
                insights.stream_opened(zone, StreamName::ZoneToGlobalSync);
                None
            }
            Rpc::Admin(_) | Rpc::HealthCheck | Rpc::Renew | Rpc::Present => None,
        }
    }

    fn ended(self, subscription: Option<&str>, status: &Status) {
        let Self { context, rpc, guard, call, .. } = self;
        let zone = guard.caller().zone().clone();
        if let Some(since) = guard.enforcement().since() {
            context.metrics.enforced(since.elapsed());
        }
        drop(guard);
        if let Some(subscription) = subscription {
            context.insights.unsubscribe(&zone, subscription);
        }
        call.ended(status.code());
        info!(rpc = rpc.method(), code = ?status.code(), reason = %model::text::of_peer(status.message()), "a relayed stream ended");
    }
}

/// What a zone says of itself in its headers: its version. The rest is in payloads.
fn said_of(headers: &HeaderMap) -> Instance {
    let version = headers.get("version").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    Instance { version: KumaCpVersion { version, ..KumaCpVersion::default() }, ..Instance::default() }
}

/// The answer to a ping. A zone that renews its token hears here, too, what it should know of that, and where this gateway
/// wants pings more often every zone does; all others hear what the global control plane says, untouched.
async fn ponged(answer: http::Response<Body>, advice: Advice, configured: Duration) -> http::Response<Body> {
    let failed = Status::from_header_map(answer.headers()).is_some_and(|status| status.code() != Code::Ok);
    if failed || !advice.listens() && configured.is_zero() {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let collected = match http_body_util::Limited::new(body, LARGEST_PONG).collect().await {
        Ok(collected) => collected,
        Err(broken) => return Status::unavailable(format!("the answer to a ping did not come: {broken}")).into_http(),
    };
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let bytes = collected.to_bytes();
    let pong = message(&bytes).and_then(|message| ZoneHealthCheckResponse::decode(&*message).ok());
    let data = pong.map_or(bytes, |pong| framed(with_interval(pong, advice, configured)));
    if advice.listens() {
        if !head.headers.get_all("features").iter().any(|feature| feature == RENEWAL) {
            head.headers.append("features", HeaderValue::from_static(RENEWAL));
        }
        advice.tell(&mut head.headers);
    }
    let frames = futures::stream::iter([Frame::data(data), Frame::trailers(trailers)].map(Ok::<_, Status>));
    http::Response::from_parts(head, Body::new(StreamBody::new(frames)))
}

/// What a zone that renews its token looks for in the answer to a ping.
const RENEWAL: &str = "token-renewal";

/// The message in these bytes, if there is one whole.
fn message(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    match bytes.split_at_checked(HEADER)? {
        ([0, ..], message) => Some(message.into()),
        ([1, ..], packed) => gzip::decompressed(packed, LARGEST_PONG).ok().map(Cow::from),
        _ => None,
    }
}

/// The message with the shortest of the intervals that somebody wants.
fn with_interval(mut pong: ZoneHealthCheckResponse, advice: Advice, configured: Duration) -> ZoneHealthCheckResponse {
    let wanted = [convert::ping_interval(&pong).unwrap_or_default(), configured];
    let wanted = wanted.into_iter().filter(|wanted| !wanted.is_zero()).min().unwrap_or_default();
    pong.interval = prost_types::Duration::try_from(advice.interval(wanted)).ok();
    pong
}

fn framed(pong: ZoneHealthCheckResponse) -> Bytes {
    let mut framed = BytesMut::with_capacity(HEADER + pong.encoded_len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(pong.encoded_len()).unwrap_or_default());
    framed.put_slice(&pong.encode_to_vec());
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use sync::Features;

    use super::*;

    #[test]
    fn the_word_for_renewal_is_the_one_of_the_features() {
        assert_eq!(Features::TOKEN_RENEWAL.names().collect::<Vec<_>>(), [RENEWAL]);
    }

    #[test]
    fn zones_ping_as_often_as_whoever_wants_it_most() {
        let check = |upstream: i64, configured, expected| {
            let interval = Some(prost_types::Duration { seconds: upstream, nanos: 0 });
            let pong = ZoneHealthCheckResponse { interval };
            let bytes = framed(pong);
            let pong = ZoneHealthCheckResponse::decode(&*message(&bytes).unwrap()).unwrap();
            let pong = with_interval(pong, Advice::default(), Duration::from_secs(configured));
            assert_eq!(pong.interval.unwrap().seconds, expected, "{upstream} {configured}");
        };
        check(0, 0, 0);
        check(5, 0, 5);
        check(0, 7, 7);
        check(5, 7, 5);
        check(9, 7, 7);
    }
}
