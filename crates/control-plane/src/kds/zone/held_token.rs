//! The token of this zone: what its source says, and the newer one that global gave in its place.
//!
//! A newer token goes into the file that the one before came from. Where that cannot be written, or there is no file, it is
//! used from memory: the source still says the one before, and that means the newer one here. Whatever else the file says
//! was written by a human, who knows better. Instances of one zone have files of their own; what one of them was given is in
//! the store, too, and whoever leads next begins with it if it was issued later than what its own file says.
#![expect(clippy::disallowed_methods, reason = "work that blocks, and whoever asked for it waits for it")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokens::Outline;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    shared::Shared,
    token::{Token, TokenError, TokenSource},
    token_file::{self, NotReplaced},
};
use crate::{records::RecordError, zones::caller::Renews};

/// What to do about a file that cannot be written.
const UNWRITABLE_ADVICE: &str = "new tokens are used from memory and lost when this program ends, and then the token in the file has to be good: let this program write the file and make files in its folder, or set multizone.zone.kds.auth.renew (KUMA_MULTIZONE_ZONE_KDS_AUTH_RENEW) to false and renew the token yourself";

/// What to do about a file that holds something else.
const OTHER_TEXT_ADVICE: &str = "if what the file holds is a token that is meant for this zone, there is nothing to do: it is tried on a connection of its own and takes over when it is good; if not, or if the file is gone or empty, write a good token into it (kumactl generate control-plane-token, or zone-token with the scope cp): the renewed one is used by this connection alone, and the next one, also after a restart, needs what the file says";

/// The token in use. One for all connections of the zone.
pub(crate) struct HeldToken {
    source: TokenSource,
    /// Whether newer ones are asked for.
    renew: bool,
    state: Mutex<State>,
    /// What this zone says of its renewal; global hears at once when that changes.
    says: watch::Sender<Renews>,
    /// Where other instances of the zone find it.
    shared: Option<Arc<Shared>>,
}

#[derive(Default)]
struct State {
    /// What the source said when it was looked at last.
    said: Option<Token>,
    newer: Option<Newer>,
    /// What the file said before it was replaced by us.
    former: Option<Token>,
    /// The file cannot be written.
    unwritable: bool,
    /// That was said.
    told_unwritable: bool,
    /// The file holds something else than what was renewed, or nothing: a renewed token is kept nowhere.
    superseded: bool,
    /// The token whose end was warned of.
    warned_of: Option<Token>,
}

/// A token that global gave and that the source does not say.
struct Newer {
    /// What the source says in its place.
    of: Token,
    token: Token,
    /// It was refused, so what the source says is tried next.
    set_aside: bool,
}

/// Where a newer token is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    InTheFile,
    /// In the store that the instances of the zone share, since the file cannot be written.
    InTheStore,
    InMemory,
    /// Nowhere: somebody wrote something else into the file, which is used next, or took it away.
    Superseded,
}

impl Kept {
    /// The words for the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InTheFile => "file",
            Self::InTheStore => "store",
            Self::InMemory => "memory",
            Self::Superseded => "nowhere, the file does not hold the one before",
        }
    }
}

impl HeldToken {
    /// Returns the token that a source says; `renew` says whether newer ones are asked for.
    pub(crate) fn new(source: TokenSource, renew: bool) -> Self {
        if renew && matches!(source, TokenSource::Inline(_)) {
            info!(
                "the token was given inline: where the global control plane renews it, the new one is kept in memory alone, \
                 and after a restart the given one has to be good; a token in a file \
                 (KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH) is renewed there"
            );
        }
        let held = Self { source, renew, state: Mutex::default(), says: watch::Sender::new(Renews::No), shared: None };
        held.say_renews();
        held
    }

    /// Keeps what is renewed for the other instances of the zone, too.
    pub(super) fn shared(self, shared: Option<Arc<Shared>>) -> Self {
        Self { shared, ..self }
    }

    /// Begins with what another instance of the zone was given, if that was issued later than what the source says.
    pub(super) async fn take_over(&self) -> Result<(), RecordError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let Some(kept) = shared.token().await? else { return Ok(()) };
        // A file that cannot be read is told with the first try to connect.
        let Ok(Some(said)) = self.source.read().await else { return Ok(()) };
        let issued = |token: &Token| Outline::of(token.reveal()).ok().and_then(|outline| outline.begins_at);
        if kept != said && issued(&kept) > issued(&said) {
            info!(
                "another instance of this zone was given a newer token than the one of the settings here, it is used"
            );
            self.lock().newer = Some(Newer { of: said, token: kept, set_aside: false });
        }
        Ok(())
    }

    /// Keeps a token that global accepted for the other instances of the zone. Whether there is a place for it.
    pub(super) async fn share(&self, token: &Token) -> bool {
        let Some(shared) = &self.shared else { return false };
        if shared.token().await.is_ok_and(|kept| kept.as_ref() == Some(token)) {
            return true;
        }
        match shared.keep_token(token).await {
            Ok(()) => true,
            Err(problem) => {
                warn!(reason = %problem, "the token in use was not kept for the other instances of this zone");
                false
            }
        }
    }

    /// Reads the token to connect with as it is now.
    pub(crate) async fn read(&self) -> Result<Option<Token>, TokenError> {
        let said = self.source.read().await.inspect_err(|_gone| self.lock().said = None)?;
        let mut state = self.lock();
        state.said.clone_from(&said);
        Ok(state.in_place_of(said))
    }

    /// Resolves when the source says a token that it did not say before and that is not ours. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.changed_or_told(|_told| {}).await;
    }

    /// The same, for whoever wants to know that the file is no good for long, and (`None`) that it is again.
    pub(crate) async fn changed_or_told(&self, tell: impl Fn(Option<&TokenError>)) {
        self.source.changed(|token| self.lock().knows(token), tell).await;
    }

    /// Whether this zone asks for newer tokens.
    pub(super) fn is_renewed(&self) -> bool {
        self.renew && !matches!(self.source, TokenSource::None)
    }

    /// What this zone says of that.
    pub(crate) fn renews(&self) -> Renews {
        match &self.source {
            _ if !self.is_renewed() => Renews::No,
            TokenSource::File(_) if self.lock().is_kept() => Renews::Yes,
            TokenSource::None | TokenSource::Inline(_) | TokenSource::File(_) => Renews::NotTheFile,
        }
    }

    /// What this zone says of its renewal, for whoever passes it on.
    pub(crate) fn subscribe_renews(&self) -> watch::Receiver<Renews> {
        self.says.subscribe()
    }

    fn say_renews(&self) {
        let renews = self.renews();
        self.says.send_if_modified(|said| std::mem::replace(said, renews) != renews);
    }

    /// Looks whether the file can be written, and says it if it cannot. What the file holds is in use now.
    pub(super) async fn look(&self) {
        let TokenSource::File(path) = &self.source else { return };
        let path = path.clone();
        let checked = tokio::task::spawn_blocking(move || token_file::check(&path)).await;
        self.lock().superseded = false;
        if let Ok(Err(problem)) = checked {
            self.is_unwritable(&problem);
        } else {
            self.lock().unwritable = false;
        }
        self.say_renews();
    }

    /// Keeps a newer token in place of the one before.
    pub(super) async fn keep(&self, before: &Token, token: &Token) -> Kept {
        let is_shared = self.share(token).await;
        let kept = match self.try_to_keep(before, token).await {
            Kept::InMemory if is_shared => Kept::InTheStore,
            kept => kept,
        };
        if kept == Kept::Superseded {
            self.is_superseded();
        }
        self.say_renews();
        kept
    }

    async fn try_to_keep(&self, before: &Token, token: &Token) -> Kept {
        let Some(of) = self.lock().put(&self.source, before, token) else { return Kept::Superseded };
        let TokenSource::File(path) = &self.source else { return Kept::InMemory };
        let (path, former, new) = (path.clone(), of.clone(), token.clone());
        let replaced = tokio::task::spawn_blocking(move || token_file::replace(&path, &of, &new)).await;
        match replaced {
            Ok(Ok(())) => {
                let mut state = self.lock();
                (state.said, state.newer, state.former) = (Some(token.clone()), None, Some(former));
                (state.unwritable, state.superseded) = (false, false);
                Kept::InTheFile
            }
            Ok(Err(NotReplaced::Changed)) => Kept::Superseded,
            Ok(Err(problem @ NotReplaced::Unwritable { .. })) => {
                self.is_unwritable(&problem);
                Kept::InMemory
            }
            Err(_ended) => Kept::InMemory,
        }
    }

    /// Notes that global refused the token: if it is a newer one than the source says, that one is tried next, and then
    /// again the newer one.
    pub(crate) fn refused(&self) {
        if let Some(newer) = &mut self.lock().newer {
            newer.set_aside = !newer.set_aside;
        }
    }

    /// Whether the end of a token was not warned of yet.
    pub(super) fn is_to_be_warned_of(&self, token: &Token) -> bool {
        self.lock().warned_of.as_ref() != Some(token)
    }

    /// Notes that the end of a token was warned of.
    pub(super) fn warned_of(&self, token: &Token) {
        self.lock().warned_of = Some(token.clone());
    }

    fn is_unwritable(&self, problem: &NotReplaced) {
        if self.shared.is_some() {
            return;
        }
        let mut state = self.lock();
        state.unwritable = true;
        if !std::mem::replace(&mut state.told_unwritable, true) {
            drop(state);
            warn!(reason = %problem, advice = UNWRITABLE_ADVICE, "the file of the token cannot be written");
        }
    }

    fn is_superseded(&self) {
        let TokenSource::File(path) = &self.source else { return };
        if !std::mem::replace(&mut self.lock().superseded, true) {
            warn!(
                file = %path.display(), advice = OTHER_TEXT_ADVICE,
                "the file of the token does not hold the token that was renewed, so the new one was not written there"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the file keeps what is renewed.
    fn is_kept(&self) -> bool {
        !self.unwritable && !self.superseded
    }

    /// The token that is meant by what the source says. Another text than was renewed ends what is kept in memory.
    fn in_place_of(&mut self, said: Option<Token>) -> Option<Token> {
        match &self.newer {
            Some(newer) if said.as_ref() == Some(&newer.of) && !newer.set_aside => Some(newer.token.clone()),
            Some(newer) if [&newer.of, &newer.token].map(Some).contains(&said.as_ref()) => said,
            Some(_) | None => {
                self.newer = None;
                said
            }
        }
    }

    fn knows(&self, token: &Token) -> bool {
        let newer = self.newer.as_ref().map(|newer| &newer.token);
        // The one before: whoever read the file a moment before it was replaced has read that.
        [self.said.as_ref(), newer, self.former.as_ref()].contains(&Some(token))
    }

    /// Notes a newer token, and returns what the source should say in its place; nothing if that is another one already.
    fn put(&mut self, source: &TokenSource, before: &Token, token: &Token) -> Option<Token> {
        let said = match source {
            TokenSource::Inline(given) => Some(given),
            TokenSource::None | TokenSource::File(_) => self.said.as_ref(),
        };
        let of = said.filter(|said| {
            let stands_for = self.newer.as_ref().filter(|newer| newer.of == **said).map(|newer| &newer.token);
            *said == before || stands_for == Some(before)
        })?;
        let of = of.clone();
        self.newer = Some(Newer { of: of.clone(), token: token.clone(), set_aside: false });
        Some(of)
    }
}

#[cfg(test)]
mod tests;
