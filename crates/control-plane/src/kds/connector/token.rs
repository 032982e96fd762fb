//! The token of a connector: read from the zone's own source, and of the zone that it stands beside.

use std::sync::Arc;

use tokens::Outline;
use tonic::Code;
use tracing::{error, info};

use super::Connector;
use crate::{kds::zone::Token, observe::readiness::Readiness};

/// Why there is no token to connect with.
pub(super) struct NoToken {
    pub(super) reason: String,
    /// What the zone hears.
    pub(super) code: Code,
}

impl Connector {
    /// Reads the token; one of another zone is none.
    pub(super) async fn token(&self) -> Result<Token, NoToken> {
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

    /// Looks at the token now and whenever another one is in the file; says on `/ready` what is wrong with it, and tells the
    /// connections of one that is good.
    pub(crate) async fn watch_token(self: Arc<Self>, readiness: Readiness) -> anyhow::Result<()> {
        loop {
            match self.token().await {
                Ok(_good) => readiness.trouble("token", None),
                Err(NoToken { reason, .. }) => {
                    error!(reason, "no token to connect with; write a token of this zone into the file");
                    readiness.trouble("token", Some(reason));
                }
            }
            tokio::select! {
                () = self.tasks.stopping() => return Ok(()),
                () = self.held_token.changed() => {}
            }
            if self.token().await.is_ok() {
                info!("the token changed");
                self.gate().shut = None;
                self.newer.send_modify(|count| *count += 1);
            }
        }
    }
}
