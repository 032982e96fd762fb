//! The next token of this zone, for a connection that goes on: asked for in time, kept, and shown to global.
//!
//! ```text
//! two thirds of its life, or told ──► Renew (old token) ──► file, or memory ──► Present (new token) ──► pings with it
//!                                                                                  └─ not all streams: a new connection
//! ```
//!
//! The old token stays in use until global took the new one, and whatever fails is tried again with pauses. Only a global
//! that has the feature `token-renewal` is asked; where none is, only the end of the token is warned of.

use std::{convert::Infallible, time::Duration};

use model::text;
use rand::Rng as _;
use sync::Features;
use tokens::Outline;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Code, Status};
use tracing::{debug, info, warn};
use wire::arctos::kds::v1::{PresentRequest, PresentResponse, RenewRequest, RenewResponse};

use super::{
    backoff::Backoff,
    held_token::Kept,
    line::{Channel, Line},
    schedule::{Issued, Schedule},
    token::Token,
};
use crate::kds::rpc::Rpc;

/// Pauses after a failure.
const BASE_PAUSE: Duration = Duration::from_secs(1);
/// Also the pause after global said that it gives none: that changes with its settings or with a rotation.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A call that is not answered by then is repeated.
const DEADLINE: Duration = Duration::from_secs(15);
/// Streams that are still being opened are waited for so long, so that they are not taken for lost ones.
const OPENED_WITHIN: Duration = Duration::from_secs(5);
/// A new token that was shown in vain so often is tried on a connection of its own.
const SHOWN_IN_VAIN: u32 = 3;

/// What to do about a token that ends and is not renewed.
const ADVICE: &str = "generate a new token for this zone and write it into the file that KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH names, it is read without a restart";

impl Line {
    /// Renews the token for as long as the connection stands.
    pub(crate) async fn renew(&self, channel: Channel) -> Infallible {
        let Some(token) = self.bearer.current() else { return std::future::pending().await };
        let mut renewing = Renewing::new(self, channel, token.clone());
        // What is due before the first answer to a ping is due after it, too: a global that never answers one is none of ours.
        let global = self.global_can().await;
        self.held_token.share(&token).await;
        renewing.is_asked = self.held_token.is_renewed() && global.contains(Features::TOKEN_RENEWAL);
        if renewing.is_asked {
            self.held_token.look().await;
        }
        renewing.run().await
    }

    /// Shows a token for all streams of the connection that stand on another one, whose id this is.
    pub(crate) async fn present(
        &self,
        channel: Channel,
        former: String,
        next: &Token,
    ) -> Result<PresentResponse, Status> {
        let request = self.request_with(Some(next), PresentRequest { former })?;
        Ok(self.unary(channel, Rpc::Present, request, DEADLINE).await?.into_inner())
    }
}

/// The renewal of one connection's token.
struct Renewing<'a> {
    line: &'a Line,
    channel: Channel,
    /// The one in use.
    token: Token,
    outline: Option<Outline>,
    schedule: Option<Schedule>,
    /// Whether global is asked for newer ones.
    is_asked: bool,
    /// A newer one that global did not take yet.
    next: Option<Token>,
    /// How often it was shown.
    shown: u32,
    /// Some streams do not stand on the token in use.
    is_incomplete: bool,
    backoff: Backoff,
    not_before: Instant,
    /// Why the last attempt failed.
    trouble: Option<String>,
}

/// Why there is no newer token in use.
enum Failure {
    /// Global does not give one now.
    Refused(String),
    /// It may work the next time.
    Failed(String),
}

impl<'a> Renewing<'a> {
    fn new(line: &'a Line, channel: Channel, token: Token) -> Self {
        let mut renewing = Self {
            line,
            channel,
            outline: None,
            schedule: None,
            token: token.clone(),
            is_asked: false,
            next: None,
            shown: 0,
            is_incomplete: false,
            backoff: Backoff::new(BASE_PAUSE, LONGEST_PAUSE),
            not_before: Instant::now(),
            trouble: None,
        };
        renewing.stand_on(token, Issued::SomeTime);
        renewing
    }

    async fn run(mut self) -> Infallible {
        let mut told = self.line.told_to_renew.subscribe();
        loop {
            let is_told = *told.borrow_and_update();
            let (attempt_at, warn_at) = (self.attempt_at(is_told), self.warn_at());
            tokio::select! {
                // Biased: a token that is late is renewed, and only warned of where that fails.
                biased;
                () = at(attempt_at) => self.attempt().await,
                () = at(warn_at) => self.warn(),
                Ok(()) = told.changed() => {}
            }
        }
    }

    /// When something is to be asked of global.
    fn attempt_at(&self, is_told: bool) -> Option<Instant> {
        if !self.is_asked {
            return None;
        }
        if is_told || self.next.is_some() || self.is_incomplete {
            return Some(self.not_before);
        }
        self.schedule.map(|schedule| schedule.renew_at.max(self.not_before))
    }

    /// What is asked for and was not refused is on its way: its end is warned of when that comes to nothing.
    fn warn_at(&self) -> Option<Instant> {
        if self.is_asked && self.trouble.is_none() {
            return None;
        }
        let schedule = self.schedule.filter(|_| self.line.held_token.is_to_be_warned_of(&self.token))?;
        Some(schedule.warn_at)
    }

    async fn attempt(&mut self) {
        let done = if self.is_incomplete { Ok(()) } else { self.move_on().await };
        let pause = match done {
            Ok(()) => {
                self.trouble = None;
                if self.is_incomplete {
                    // Again and again: the connection that is opened for it may come to nothing.
                    self.reopen(self.token.clone());
                }
                self.backoff.pause()
            }
            Err(Failure::Refused(reason)) => {
                self.say(&reason);
                LONGEST_PAUSE.mul_f64(rand::rng().random_range(0.75..1.25))
            }
            Err(Failure::Failed(reason)) => {
                self.say(&reason);
                self.backoff.pause()
            }
        };
        self.not_before = Instant::now() + pause;
    }

    /// Gets the next token if there is none yet, and shows it.
    async fn move_on(&mut self) -> Result<(), Failure> {
        let next = match self.next.clone() {
            Some(next) => next,
            None => self.ask().await?,
        };
        self.next = Some(next.clone());
        let _some_may_hang = timeout(OPENED_WITHIN, self.line.streams.settled()).await;
        let open = self.line.streams.open();
        let presented = self.present(&next).await;
        let PresentResponse { moved, left } = match presented {
            Ok(answer) => answer,
            Err(status) => {
                self.shown += 1;
                if self.shown.is_multiple_of(SHOWN_IN_VAIN) {
                    self.reopen(next);
                }
                return Err(Failure::Failed(words(&status)));
            }
        };
        self.line.bearer.set(next.clone());
        self.stand_on(next, Issued::JustNow);
        (self.next, self.shown) = (None, 0);
        self.backoff = Backoff::new(BASE_PAUSE, LONGEST_PAUSE);
        // Whatever global said was said of the token before.
        self.line.told_to_renew.send_replace(false);
        self.is_incomplete = usize::try_from(moved).is_ok_and(|moved| moved < open);
        let (id, key) = self.names();
        info!(token_id = id, key, streams = moved, left, "the connection stands on the new token");
        Ok(())
    }

    /// Asks global for the next token, and keeps it.
    async fn ask(&mut self) -> Result<Token, Failure> {
        let request = self.line.request(RenewRequest {}).map_err(|status| Failure::Failed(words(&status)))?;
        let answer = self.line.unary::<_, RenewResponse>(self.channel.clone(), Rpc::Renew, request, DEADLINE).await;
        let answer = answer.map_err(|status| match status.code() {
            Code::FailedPrecondition | Code::Unimplemented | Code::ResourceExhausted => {
                Failure::Refused(words(&status))
            }
            _ => Failure::Failed(words(&status)),
        })?;
        let text = zeroize::Zeroizing::new(answer.into_inner().token);
        let nonsense = || Failure::Refused("the global control plane gave something that is no token".to_owned());
        let next = Token::new(&text).ok_or_else(nonsense)?;
        let outline = Outline::of(next.reveal()).map_err(|_unreadable| nonsense())?;
        if next == self.token {
            return Err(Failure::Refused("the global control plane gave the same token again".to_owned()));
        }
        let kept = self.line.held_token.keep(&self.token, &next).await;
        let expires = outline.expires_at.map_or_else(|| "never".to_owned(), |expires| expires.to_string());
        info!(token_id = outline.id, key = outline.key, expires, kept = kept.as_str(), "the token was renewed");
        if kept == Kept::Superseded {
            debug!("the token of the file is tried on a connection of its own");
        }
        Ok(next)
    }

    /// Shows a token for all that is open on the connection.
    async fn present(&self, next: &Token) -> Result<PresentResponse, Status> {
        let former = self.outline.as_ref().map(|outline| outline.id.clone()).unwrap_or_default();
        self.line.present(self.channel.clone(), former, next).await
    }

    /// Has a connection opened that stands on a token from its beginning; this one ends when that one is accepted.
    fn reopen(&self, token: Token) {
        // Full: the one that was asked for is still being opened.
        let _asked_already = self.line.reopen.try_send(token);
    }

    fn stand_on(&mut self, token: Token, issued: Issued) {
        self.outline = Outline::of(token.reveal()).ok();
        let (now, chance) = (self.line.clock.now(), rand::rng().random_range(0.0..=1.0));
        let due = |outline| Schedule::of(outline, issued, now, Instant::now(), chance);
        self.schedule = self.outline.as_ref().and_then(due);
        self.token = token;
    }

    /// Says why there is no newer token: at first, and when the reason is another one.
    fn say(&mut self, reason: &str) {
        if self.trouble.as_deref() != Some(reason) {
            warn!(reason, "the token is not renewed, the one before stays in use and it will be tried again");
        }
        self.trouble = Some(reason.to_owned());
    }

    /// Says that the token ends, and nobody renewed it.
    fn warn(&self) {
        self.line.held_token.warned_of(&self.token);
        let (id, key) = self.names();
        let expires = self.outline.as_ref().and_then(|outline| outline.expires_at).map(|expires| expires.to_string());
        let why = match &self.trouble {
            Some(reason) => reason.as_str(),
            None if self.line.held_token.is_renewed() => "the global control plane renews no tokens",
            None => "renewing it is switched off (multizone.zone.kds.auth.renew)",
        };
        warn!(token_id = id, key, expires, why, advice = ADVICE, "the token ends soon and was not renewed");
    }

    /// The id and the key of the token in use.
    fn names(&self) -> (&str, Option<&str>) {
        match &self.outline {
            Some(outline) => (&outline.id, outline.key.as_deref()),
            None => ("", None),
        }
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

fn words(status: &Status) -> String {
    text::of_peer(&format!("{:?}: {}", status.code(), status.message()))
}

#[cfg(test)]
pub(super) mod tests;
