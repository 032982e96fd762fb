//! One connection of the zone: six RPCs over one HTTP/2 connection. The first one that ends, ends all.

use std::time::Duration;

use tokio::{sync::Notify, time::Instant};
use tonic::Status;

use super::{
    admin,
    ended::Ended,
    line::{Channel, chain},
    session::Session,
};
use crate::kds::rpc::Rpc;

/// How long the reason for the end of a connection may come after the end.
const LAST_WORDS: Duration = Duration::from_millis(100);

impl Session {
    /// Runs until the connection ends.
    pub(super) async fn run(self) -> Ended {
        let connected = match self.dialer.dial().await {
            Ok(connected) => connected,
            Err(error) => return Ended::Dial(error),
        };
        let start = Instant::now();
        let channel = Channel::Library(connected.requests, connected.origin);
        // Globals up to 2.13 make the Zone on GlobalToZoneSync only: that stream is opened first (contract: kds 8.1).
        let opened = Notify::new();
        let rpc = |method: &'static str| move |status: Status| Ended::Rpc { method, status, lasted: start.elapsed() };
        // Biased: what stands first is polled first, and so is sent first.
        let streams = async {
            tokio::select! {
                biased;
                status = self.ping(channel.clone()) => rpc(Rpc::HealthCheck.method())(status),
                status = self.consume(channel.clone(), &opened) => match self.own_meshes.take_refusal() {
                    Some(refusal) => Ended::Refused(refusal),
                    None => rpc(Rpc::GlobalToZoneSync.method())(status),
                },
                status = async { opened.notified().await; self.provide(channel.clone()).await } => rpc(Rpc::ZoneToGlobalSync.method())(status),
                status = admin::serve(&self, channel.clone()) => rpc("GlobalKDSService")(status),
                never = self.renew(channel.clone()) => match never {},
            }
        };
        tokio::pin!(streams);
        let lost = tokio::select! {
            biased;
            lost = connected.driver => lost,
            ended = &mut streams => return ended,
        };
        // The reason may have come together with the end: a token that was revoked ends its streams and its connection.
        match tokio::time::timeout(LAST_WORDS, streams).await {
            Ok(ended) if ended.is_refusal() => ended,
            Ok(_) | Err(_) => Ended::Lost {
                cause: lost.err().map_or_else(|| "closed by the other side".to_owned(), |error| chain(&error)),
                lasted: start.elapsed(),
            },
        }
    }
}
