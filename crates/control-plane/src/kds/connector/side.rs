//! One far connection of a connector: with which token it stands, and what keeps it.

use std::{sync::Arc, time::Duration};

use model::text;
use sync::Features;
use tokens::Outline;
use tokio::sync::{Notify, mpsc, watch};
use tonic::{Code, Status};
use tracing::{info, warn};

use super::Connector;
use crate::{
    kds::{
        dial::{DialError, Reached},
        relay::{Ending, Far, Orders, WeakSlot},
        rpc::Rpc,
        zone::{Bearer, Channel, Ended, Line, NO_ROOM, Streams, Token},
    },
    tasks::OnError,
};

/// A global that has not answered the first ping of a connection by then is not waited for.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(30);

/// A far connection with what belongs to it. The near connection keeps it.
pub(super) struct Side {
    pub(super) far: Far,
    pub(super) line: Arc<Line>,
    /// Ends all calls on it.
    ending: Ending,
}

impl AsRef<Far> for Side {
    fn as_ref(&self) -> &Far {
        &self.far
    }
}

/// What keeps a far connection: pings it, renews its token, moves to another one.
struct Keeper {
    connector: Arc<Connector>,
    line: Arc<Line>,
    channel: Channel,
    ending: Ending,
    slot: WeakSlot<Side>,
    /// Where the next far connection is adopted.
    orders: Orders,
    reopen: mpsc::Receiver<Token>,
}

impl Connector {
    /// Makes a far connection that stands on this token, and is moved by whoever takes these orders.
    pub(super) async fn connect(
        self: &Arc<Self>,
        token: Token,
        slot: WeakSlot<Side>,
        orders: Orders,
    ) -> Result<Side, DialError> {
        let reached = self.dialer.reach().await?;
        Ok(self.stand_on(token, slot, orders, reached))
    }

    fn stand_on(self: &Arc<Self>, token: Token, slot: WeakSlot<Side>, orders: Orders, reached: Reached) -> Side {
        let connector = Arc::clone(self);
        let far = Far::adopt(&orders, reached, move |cause| connector.lost(cause));
        let (asks, reopen) = mpsc::channel(1);
        let line = Arc::new(Line {
            zone: self.zone.clone(),
            bearer: Bearer::new(Some(token)),
            held_token: Arc::clone(&self.held_token),
            version: self.version.clone(),
            clock: self.clock.clone(),
            accepted: Arc::new(Notify::new()),
            reopen: asks,
            streams: Streams::default(),
            learned: watch::Sender::new(None),
            told_to_renew: watch::Sender::new(false),
        });
        let ending = far.ending();
        // Who keeps it makes requests, and would hold it open, and be heard at global, for a zone that has left.
        let released = far.released();
        let keeper = Keeper {
            connector: Arc::clone(self),
            line: Arc::clone(&line),
            channel: Channel::Relay(far.calls()),
            ending: ending.clone(),
            slot,
            orders,
            reopen,
        };
        self.tasks.spawn("connector-keeper", OnError::Log, async move {
            tokio::select! {
                biased;
                () = released => {}
                () = keeper.keep() => {}
            }
            Ok(())
        });
        Side { far, line, ending }
    }
}

impl Keeper {
    async fn keep(mut self) {
        let mut newer = self.connector.read.subscribe();
        let pinging = Arc::clone(&self.line);
        let pinging = ping(&pinging, self.channel.clone());
        tokio::pin!(pinging);
        let accepted = Arc::clone(&self.line);
        let accepted = async move { accepted.global_can().await };
        tokio::pin!(accepted);
        let mut is_up = false;
        loop {
            let line = Arc::clone(&self.line);
            tokio::select! {
                biased;
                () = self.connector.tasks.stopping() => {
                    return self.ending.end(Status::unavailable("the connector of this zone stops"));
                }
                status = &mut pinging => return self.refused(status).await,
                _features = &mut accepted, if !is_up => {
                    is_up = true;
                    self.connector.up();
                }
                Ok(()) = newer.changed() => {
                    let read = newer.borrow_and_update().clone();
                    if let Some(token) = read
                        && self.line.bearer.current().as_ref() != Some(&token)
                        && self.move_to(token).await
                    {
                        return;
                    }
                }
                Some(token) = self.reopen.recv() => if self.make_before_break(token).await { return },
                never = line.renew(self.channel.clone()) => match never {},
            }
        }
    }

    /// Global does not answer, or refuses the token: the zone hears it on all its streams.
    async fn refused(&self, status: Status) {
        self.ending.end(status.clone());
        // One that is not in its place was only tried, beside another that stands.
        if self.slot.vacate(|side| Arc::ptr_eq(&side.line, &self.line)).await {
            let ended = Ended::Rpc { method: Rpc::HealthCheck.method(), status, lasted: Duration::ZERO };
            self.connector.dialer.set_aside();
            self.connector.down(&ended);
            if ended.is_refusal() {
                self.connector.held_token.refused();
            }
        }
    }

    /// Moves the streams to another token: on this connection where global can do that. Whether another connection stands
    /// in the place of this one now.
    async fn move_to(&mut self, token: Token) -> bool {
        let can = self.line.learned.borrow().unwrap_or_default();
        if can.contains(Features::TOKEN_RENEWAL) {
            let former = self.line.bearer.current().and_then(|token| Outline::of(token.reveal()).ok());
            let former = former.map(|outline| outline.id).unwrap_or_default();
            match self.line.present(self.channel.clone(), former, &token).await {
                Ok(presented) => {
                    self.line.bearer.set(token);
                    info!(streams = presented.moved, "the connection stands on the new token");
                    return false;
                }
                Err(status) => {
                    warn!(reason = %text::of_peer(status.message()), "global did not take the new token for the connection that stands");
                }
            }
        }
        self.make_before_break(token).await
    }

    /// Opens a connection with another token; only when that is accepted the streams of this one end, so that the zone
    /// comes back on the other. Whether it is.
    async fn make_before_break(&mut self, token: Token) -> bool {
        info!("opening a connection with the new token");
        let side = match self.connector.connect(token, self.slot.clone(), self.orders.clone()).await {
            Ok(side) => side,
            Err(error) => {
                warn!(reason = %error, "no connection with the new token, keeping the one with the old token");
                return false;
            }
        };
        let line = Arc::clone(&side.line);
        let accepted = tokio::select! {
            biased;
            () = side.far.gone() => false,
            () = side.ending.given() => false,
            accepted = tokio::time::timeout(ACCEPTED_WITHIN, line.global_can()) => accepted.is_ok(),
        };
        if !accepted {
            warn!("the connection with the new token is not accepted, keeping the one with the old token");
            return false;
        }
        self.slot.replace(Arc::new(side)).await;
        self.ending.end(Status::unavailable("the token of this zone changed: the zone has to connect again"));
        info!("the new token was accepted, the streams on the old connection end");
        true
    }
}

/// Pings a global of ours, which says what it can and when the token has to be renewed. A real one is pinged once, to hear
/// that it takes the token: whether the zone lives is for the zone to say.
///
/// A zone with as many calls open as it may have leaves no room for a ping, the first one not either. That says nothing
/// against the token, and the streams that stand are none the worse for it.
async fn ping(line: &Line, channel: Channel) -> Status {
    let is_real = async {
        if line.global_can().await.contains(Features::TOKEN_RENEWAL) {
            std::future::pending::<()>().await;
        }
    };
    let answered = async {
        loop {
            let status = line.ping(channel.clone()).await;
            if status.code() != Code::ResourceExhausted {
                return status;
            }
            tokio::time::sleep(NO_ROOM).await;
        }
    };
    tokio::select! {
        status = answered => return status,
        () = is_real => {}
    }
    std::future::pending().await
}
