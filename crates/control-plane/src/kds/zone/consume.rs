//! GlobalToZoneSync at the zone: asks for every kind, applies what comes, answers each response.
//!
//! A real global can lose the watches of a stream and go silent on it (contract: kds 13.1 and 13.19). So a stream that
//! says nothing for long is asked again, each kind with its last ACK, and one kind in a way that must be answered; if that
//! is not, the stream is dead. A global of ours does not lose watches and is not asked.

use std::time::Duration;

use bytes::Bytes;
use model::{Kind, text};
use sync::{DeltaRequest, Features, Receiver};
use tokio::sync::{Notify, mpsc};
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};
use wire::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryResponse};

use super::{
    line::Channel,
    session::{Session, next},
    silence::{Due, Silence},
    stream_count::Counted,
};
use crate::kds::{
    apply::{Applier, Origin},
    frames::outbound::FRAMES,
    messages::{convert, node},
    rpc::Rpc,
};

/// A global that has not answered the first ping by then is taken for one that can do what every global can.
const LEARN_WITHIN: Duration = Duration::from_secs(1);

/// What to do about what is rejected.
const ADVICE: &str = "correct it on the global control plane; where it exists already, this zone made it before and keeps it: delete or rename one of the two. This is said once";

impl Session {
    /// Runs until the stream ends.
    pub(super) async fn consume(&self, channel: Channel, opened: &Notify) -> Status {
        let mut known = tokio::time::timeout(LEARN_WITHIN, self.global_can()).await.ok();
        let global = known.unwrap_or_default();
        let kinds = Kind::all().filter(|kind| kind.flow.global_to_zone()).collect();
        let mut receiver = Receiver::new(kinds);
        let (store, clock, metrics) = (self.store.clone(), self.clock.clone(), self.reports.metrics.clone());
        let applier = Applier::new(store, clock, Origin::Global, metrics).fenced(self.epoch);
        if self.alone && global.contains(Features::INITIAL_VERSIONS) {
            receiver = match applier
                .with_versions(receiver, self.max_message_size, |kind| self.own_meshes.has_joined(kind))
                .await
            {
                Ok(receiver) => receiver,
                Err(error) => return Status::unavailable(format!("cannot read what is here: {error}")),
            };
        }
        let (frames, outbound) = mpsc::channel::<Bytes>(FRAMES);
        for request in receiver.first_requests() {
            let frame = convert::request_frame(request, node::first(self.zone.as_str(), &self.us));
            if frames.try_send(frame).is_err() {
                return Status::internal("more types than the queue holds");
            }
        }
        opened.notify_one();
        // A real global opens the stream with its first response, so a lost watch can hold up even that.
        let mut opening = Box::pin(self.open::<DeltaDiscoveryResponse>(channel, Rpc::GlobalToZoneSync, outbound));
        let mut inbound = None;
        let mut silence = Silence::new(self.msg_send_timeout, global);
        loop {
            let message = tokio::select! {
                stream = &mut opening, if inbound.is_none() => match stream {
                    Ok(opened) => {
                        inbound = Some(opened);
                        continue;
                    }
                    Err(status) => return status,
                },
                message = next_of(&mut inbound) => message,
                () = self.predecessor_gone.notified() => {
                    silence.predecessor_gone();
                    continue;
                }
                due = silence.due() => {
                    if due == Due::Dead {
                        return Status::deadline_exceeded("the stream is silent, a repeated request was not answered");
                    }
                    silence.done(due);
                    info!(reason = ?due, "GlobalToZoneSync may have lost its watches, asking again");
                    let probe = receiver.probe().filter(|_| due == Due::Probe);
                    let mut again = receiver.repeat().into_iter().chain(probe).map(|request| self.again(request));
                    if again.any(|frame| frames.try_send(frame).is_err()) {
                        return Status::deadline_exceeded("the global control plane does not read its requests");
                    }
                    continue;
                }
            };
            let message = match message {
                Ok(message) => message,
                Err(status) => return status,
            };
            silence.broken();
            let mut incoming = match convert::incoming(message) {
                Ok(incoming) => incoming,
                Err(malformed) => return convert::malformed_status(&malformed),
            };
            if incoming.more {
                // Only a global that says so sends parts. One whose first answer to a ping is late is waited for: a part
                // that is taken for all would delete the rest. Without an answer the ping ends the connection.
                let features = match known {
                    Some(features) => features,
                    None => *known.insert(self.global_can().await),
                };
                incoming.more = features.contains(Features::PARTS);
            }
            let (kind, nonce) = (incoming.kind.clone(), incoming.nonce.clone());
            let plan = match receiver.on_response(incoming) {
                Ok(plan) => plan,
                Err(broken) => return Status::invalid_argument(broken.to_string()),
            };
            if self.own_meshes.admit(&*self.store, &plan, self.clock.now()).await.is_err() {
                return Status::failed_precondition("this zone has meshes of its own");
            }
            self.accepted.notify_one();
            self.reports.policies.note(&plan);
            let (of, initial) = (plan.kind, plan.initial);
            let outcome = match applier.apply(plan).await {
                Ok(outcome) => outcome,
                Err(error) => return Status::unavailable(format!("cannot store {kind}: {error}")),
            };
            if initial {
                self.own_meshes.applied(of).await;
            }
            let wrong = text::of_peer(&outcome.rejected.join("\n"));
            let wrong = Some(wrong).filter(|wrong| !wrong.is_empty());
            if initial || wrong.is_some() {
                let is_news = self.reports.rejections.is_news(of, wrong.as_deref());
                match wrong.filter(|_| is_news) {
                    Some(reason) => {
                        warn!(kind, %reason, advice = ADVICE, "received resource is invalid, sending NACK");
                    }
                    None => debug!(kind, rejected = outcome.rejected.len(), "nothing new is wrong"),
                }
            }
            let answer = receiver.applied(&kind, &nonce, outcome);
            if frames.send(convert::request_frame(answer, node::later(self.zone.as_str()))).await.is_err() {
                return Status::unavailable("the stream was closed");
            }
        }
    }

    /// A request that was sent before. First ones carry the metadata again: the provider may have forgotten it.
    fn again(&self, request: DeltaRequest) -> Bytes {
        let first = request.nonce.is_empty();
        let node: fn(&Self) -> Node = if first {
            |session| node::first(session.zone.as_str(), &session.us)
        } else {
            |session| node::later(session.zone.as_str())
        };
        convert::request_frame(request, node(self))
    }
}

/// The next message of a stream; pending until it is open. Cancel safe.
async fn next_of(
    inbound: &mut Option<(Streaming<DeltaDiscoveryResponse>, Counted)>,
) -> Result<DeltaDiscoveryResponse, Status> {
    match inbound {
        Some((inbound, _)) => next(inbound).await,
        None => std::future::pending().await,
    }
}
