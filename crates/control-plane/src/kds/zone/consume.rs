//! GlobalToZoneSync at the zone: asks for every kind, applies what comes, answers each response.
//!
//! A real global can lose the watches of a stream and go silent on it (contract: kds 13.1 and 13.19). So a stream that
//! says nothing for long is asked again, each kind with its last ACK, and one kind in a way that must be answered; if that
//! is not, the stream is dead. A global of ours does not lose watches and is not asked.

use std::time::Duration;

use bytes::Bytes;
use model::Kind;
use sync::{DeltaRequest, Features, Receiver};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use tonic::Status;
use tracing::{info, warn};
use wire::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryResponse};

use super::session::{Channel, Session, next};
use crate::kds::{
    apply::{Applier, Origin},
    convert::{self, clip},
    node,
    outbound::FRAMES,
};

const PATH: &str = "/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync";
/// A global that has not answered the first ping by then is taken for one that can do what every global can.
const LEARN_WITHIN: Duration = Duration::from_secs(1);
/// The answer to a question that must be answered: real ones look once a second.
const PROBE_WITHIN: Duration = Duration::from_secs(15);

impl Session {
    /// Runs until the stream ends. `accept` is told with the first response: global accepted this zone and serves it.
    pub(super) async fn consume(
        &self,
        channel: Channel,
        accept: oneshot::Sender<()>,
        learned: oneshot::Receiver<Features>,
        opened: &Notify,
    ) -> Status {
        let learned = tokio::time::timeout(LEARN_WITHIN, learned).await;
        let global = learned.ok().and_then(Result::ok).unwrap_or_default();
        let kinds = Kind::all().filter(|kind| kind.flow.global_to_zone()).collect();
        let mut receiver = Receiver::new(kinds);
        let (store, clock, metrics) = (self.store.clone(), self.clock.clone(), self.reports.metrics.clone());
        let applier = Applier::new(store, clock, Origin::Global, metrics);
        if self.alone && global.contains(Features::INITIAL_VERSIONS) {
            receiver = match applier.with_versions(receiver, self.max_message_size).await {
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
        let mut inbound = match self.open::<DeltaDiscoveryResponse>(channel, PATH, outbound).await {
            Ok(inbound) => inbound,
            Err(status) => return status,
        };
        let mut accept = Some(accept);
        let mut silence = Silence::new(self.patience, global);
        loop {
            let message = tokio::select! {
                message = next(&mut inbound) => message,
                () = silence.over() => {
                    if silence.asked {
                        return Status::deadline_exceeded("the stream is silent, a repeated request was not answered");
                    }
                    silence.asked();
                    info!(target: "kds.zone", seconds = self.patience.as_secs(), "GlobalToZoneSync is silent, asking again");
                    let again = receiver.repeat().into_iter().map(|request| self.again(request));
                    let probe = receiver.probe().map(|request| self.again(request));
                    if again.chain(probe).any(|frame| frames.try_send(frame).is_err()) {
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
            if let Some(accept) = accept.take() {
                let _nobody_waits = accept.send(());
            }
            let incoming = match convert::incoming(message) {
                Ok(incoming) => incoming,
                Err(malformed) => return convert::malformed_status(&malformed),
            };
            let (kind, nonce) = (incoming.kind.clone(), incoming.nonce.clone());
            let plan = match receiver.on_response(incoming) {
                Ok(plan) => plan,
                Err(broken) => return Status::invalid_argument(broken.to_string()),
            };
            self.reports.policies.note(&plan);
            let outcome = match applier.apply(plan).await {
                Ok(outcome) => outcome,
                Err(error) => return Status::unavailable(format!("cannot store {kind}: {error}")),
            };
            if !outcome.rejected.is_empty() {
                warn!(target: "kds.zone", kind, reason = %clip(&outcome.rejected.join("\n")), "received resource is invalid, sending NACK");
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

/// How long a stream has been silent.
struct Silence {
    patience: Duration,
    /// A global of ours: its silence means that there is nothing to say.
    trusted: bool,
    until: Instant,
    asked: bool,
}

impl Silence {
    fn new(patience: Duration, global: Features) -> Self {
        let trusted = global.contains(Features::INITIAL_VERSIONS);
        Self { patience, trusted, until: Instant::now() + patience, asked: false }
    }

    /// Something came.
    fn broken(&mut self) {
        self.asked = false;
        self.until = Instant::now() + self.patience;
    }

    fn asked(&mut self) {
        self.asked = true;
        self.until = Instant::now() + PROBE_WITHIN;
    }

    /// Resolves when the silence has lasted too long. Cancel safe.
    async fn over(&self) {
        if self.trusted { std::future::pending().await } else { tokio::time::sleep_until(self.until).await }
    }
}
