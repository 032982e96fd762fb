//! ZoneToGlobalSync at the zone: global asks, this zone provides what it made itself.
//!
//! Responses of which none is answered in time show that the stream is dead, although it looks alive (contract: kds
//! 13.19); a global that answers one after the other over a slow link is alive. What was sent and answered is kept in the
//! zone's own insight, as real zones do.

use std::sync::Arc;

use bytes::Bytes;
use model::text;
use sync::{Audience, Features, Reaction, Sender, SizeNotice};
use tokio::{sync::mpsc, time::Instant};
use tonic::Status;
use tracing::{debug, info, warn};

use super::{
    line::Channel,
    reports::Subscription,
    session::{Session, next},
};
use crate::kds::{
    frames::outbound::FRAMES,
    messages::{convert, request::Request},
    rpc::Rpc,
    unanswered::Unanswered,
};

impl Session {
    /// Runs until the stream ends.
    pub(super) async fn provide(&self, channel: Channel) -> Status {
        let (frames, outbound) = mpsc::channel::<Bytes>(FRAMES);
        let (mut inbound, _counted) = match self.open::<Request>(channel, Rpc::ZoneToGlobalSync, outbound).await {
            Ok(inbound) => inbound,
            Err(status) => return status,
        };
        let mut world = self.snapshots.subscribe();
        let mut unanswered = Unanswered::new(self.msg_send_timeout);
        // Made with the first request, which tells who asks.
        let mut asked: Option<(Sender, Subscription)> = None;
        loop {
            tokio::select! {
                message = next(&mut inbound) => {
                    let message = match message {
                        Ok(message) => message,
                        Err(status) => return status,
                    };
                    self.accepted.notify_one();
                    let (request, from) = match convert::request(message, self.zone.as_str()) {
                        Ok(request) => request,
                        Err(malformed) => return convert::malformed_status(&malformed),
                    };
                    let (sender, subscription) = if let Some(asked) = &mut asked { asked } else {
                        let global = match from.instance() {
                            Ok(global) => global.unwrap_or_default(),
                            Err(malformed) => return convert::malformed_status(&malformed),
                        };
                        let features = Features::from_names(global.features.iter().map(String::as_str));
                        let mut sender = Sender::new(audience(features));
                        for snapshot in world.borrow_and_update().snapshots() {
                            sender.on_snapshot(Arc::clone(snapshot));
                        }
                        asked.insert((sender, self.reports.subscribe(&self.zone, &global, &self.us)))
                    };
                    match sender.on_request(request) {
                        Ok(reaction) => react(&reaction, &mut unanswered, subscription),
                        Err(broken) => return Status::invalid_argument(broken.to_string()),
                    }
                }
                Ok(()) = world.changed(), if asked.is_some() => {
                    let current = Arc::clone(&world.borrow_and_update());
                    if let Some((sender, _)) = &mut asked {
                        current.snapshots().for_each(|snapshot| sender.on_snapshot(Arc::clone(snapshot)));
                    }
                }
                () = unanswered.overdue() => {
                    let kinds = unanswered.report(Instant::now()).join(", ");
                    return Status::deadline_exceeded(format!("the global control plane does not acknowledge {kinds}"));
                }
            }
            let Some((sender, subscription)) = &mut asked else { continue };
            while let Some(response) = sender.next_within(self.max_message_size) {
                debug!(
                    kind = response.kind,
                    changed = response.changed.len(),
                    removed = response.removed.len(),
                    "detected changes in the resources. Sending changes to the client."
                );
                let frame = convert::response_frame(&response, self.zone.as_str());
                subscription.sent(&response.kind, frame.len());
                unanswered.sent(&response.kind, Instant::now());
                if frames.send(frame).await.is_err() {
                    return Status::unavailable("the stream was closed");
                }
            }
            for notice in sender.take_size_notices() {
                self.report_size(notice);
            }
        }
    }

    fn report_size(&self, notice: SizeNotice) {
        match notice {
            SizeNotice::TooLarge { kind, resource, bytes } => {
                let (limit, resource) = (self.max_message_size, resource.map(|name| name.to_string()));
                warn!(
                    kind,
                    resource,
                    bytes,
                    limit,
                    "a type does not fit into one message and is not sent to global; the other types are"
                );
            }
            SizeNotice::Fits { kind } => {
                info!(kind, "a type that was too large for one message fits again");
            }
        }
    }
}

/// Nothing of what a zone provides depends on who asks but how: there is one global.
fn audience(global: Features) -> Audience {
    let parts = if global.contains(Features::PARTS) { Features::PARTS } else { Features::NONE };
    Audience { zone: String::new(), features: Features::ALL | parts, drops_rejected_batches: false }
}

fn react(reaction: &Reaction, unanswered: &mut Unanswered, subscription: &Subscription) {
    match reaction {
        Reaction::Acknowledged { kind, nonce } => {
            let answered = unanswered.answered(kind, Instant::now());
            unanswered.heard(Instant::now());
            subscription.acknowledged(kind, answered.map(|answered| answered.took));
            debug!(kind, nonce, "global acknowledged");
        }
        Reaction::Rejected { kind, nonce, reason } => {
            unanswered.answered(kind, Instant::now());
            unanswered.heard(Instant::now());
            subscription.rejected(kind, reason);
            warn!(kind, nonce, reason = %text::of_peer(reason), "global rejected resources of this zone; the others are in force there");
        }
        Reaction::Subscribed { kind } | Reaction::Repeated { kind } => {
            debug!(kind, "global asks");
        }
    }
}
