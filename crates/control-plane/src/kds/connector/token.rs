//! The token of a connector: read from the zone's own source, and of the zone that it stands beside.

use std::sync::Arc;

use tokens::Outline;
use tokio::sync::Notify;
use tonic::Code;
use tracing::{error, info};

use super::{Connector, Fault};
use crate::kds::zone::{Token, TokenError};

/// Why there is no token to connect with.
pub(super) struct NoToken {
    pub(super) reason: String,
    /// What the zone hears.
    pub(super) code: Code,
}

impl Connector {
    /// Reads the token; one of another zone is none. What is wrong with it is said on `/ready`, and one that was not read
    /// before is told to the connections that stand.
    pub(super) async fn token(&self) -> Result<Token, NoToken> {
        let read = self.read_token().await;
        match &read {
            Ok(token) => {
                self.readiness.trouble("token", None);
                let is_new = self.read.send_if_modified(|known| {
                    let is_new = known.as_ref() != Some(token);
                    if is_new {
                        *known = Some(token.clone());
                    }
                    is_new
                });
                if is_new {
                    info!("the token was read");
                    self.gate().shut = None;
                }
                self.is_mended(is_new);
            }
            Err(NoToken { reason, .. }) => self.readiness.trouble("token", Some(reason.clone())),
        }
        read
    }

    /// A token that could be read, or another one than was refused, takes the reason away; whether it is good is not known yet.
    fn is_mended(&self, is_new: bool) {
        let mut gate = self.gate();
        let is_mended = match gate.fault {
            Some(Fault::NoToken) => true,
            Some(Fault::Refused) => is_new,
            None => false,
        };
        if is_mended {
            gate.fault = None;
            drop(gate);
            self.link.mended();
        }
    }

    async fn read_token(&self) -> Result<Token, NoToken> {
        let none = |reason| NoToken { reason, code: Code::Unavailable };
        let read = self.held_token.read().await.map_err(|error| none(error.to_string()))?;
        let token = read.ok_or_else(|| none("the connector has no token".to_owned()))?;
        let of = Outline::of(token.reveal()).map_err(|broken| none(format!("the token of the connector: {broken}")))?;
        match of.zone {
            Some(zone) if zone != self.zone.as_str() => Err(NoToken {
                reason: format!(
                    "the token of the connector is of zone `{}`, and the connector of zone `{}`",
                    model::text::of_peer(&zone),
                    self.zone
                ),
                code: Code::PermissionDenied,
            }),
            // Where there is none, global says so.
            Some(_) | None => Ok(token),
        }
    }

    /// Looks at the token now, whenever another one is in the file, and when the file is good again; says when it is no good.
    pub(crate) async fn watch_token(self: Arc<Self>) -> anyhow::Result<()> {
        let usable_again = Notify::new();
        let tell = |problem: Option<&TokenError>| match problem {
            Some(problem) => {
                let reason = format!("{problem}; a connection that stands goes on, the next one needs a token in it");
                self.readiness.trouble("token", Some(reason));
            }
            None => usable_again.notify_one(),
        };
        loop {
            if let Err(NoToken { reason, .. }) = self.token().await {
                error!(reason, "no token to connect with; write a token of this zone into the file");
            }
            tokio::select! {
                () = self.tasks.stopping() => return Ok(()),
                () = self.held_token.changed_or_told(tell) => {}
                () = usable_again.notified() => {}
            }
        }
    }
}
