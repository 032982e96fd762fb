//! The token of this zone: what its source says, and the newer one that global gave in its place.
//!
//! A newer token goes into the file that the one before came from. Where that cannot be written, or there is no file, it is
//! used from memory: the source still says the one before, and that means the newer one here. Whatever else the file says
//! was written by a human, who knows better.
#![expect(clippy::disallowed_methods, reason = "work that blocks, and whoever asked for it waits for it")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use super::{
    token::{Token, TokenError, TokenSource},
    token_file::{self, NotReplaced},
};
use crate::zones::caller::Renews;

/// What to do about a file that cannot be written.
const UNWRITABLE_ADVICE: &str = "new tokens are used from memory and lost when this program ends, and then the token in the file has to be good: let this program write the file and make files in its folder, or set multizone.zone.kds.auth.renew (KUMA_MULTIZONE_ZONE_KDS_AUTH_RENEW) to false and renew the token yourself";

/// The token in use. One for all connections of the zone.
pub(crate) struct HeldToken {
    source: TokenSource,
    /// Whether newer ones are asked for.
    renew: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the source said when it was looked at last.
    said: Option<Token>,
    newer: Option<Newer>,
    /// The file cannot be written.
    unwritable: bool,
    /// That was said.
    told_unwritable: bool,
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
    InMemory,
    /// Nowhere: somebody wrote another token into the file, which is used next.
    Superseded,
}

impl Kept {
    /// The words for the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InTheFile => "file",
            Self::InMemory => "memory",
            Self::Superseded => "nowhere, the file holds another one",
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
        Self { source, renew, state: Mutex::default() }
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
        self.source.changed(|token| self.lock().knows(token)).await;
    }

    /// Whether this zone asks for newer tokens.
    pub(super) fn is_renewed(&self) -> bool {
        self.renew && !matches!(self.source, TokenSource::None)
    }

    /// What this zone says of that.
    pub(super) fn renews(&self) -> Renews {
        match &self.source {
            _ if !self.is_renewed() => Renews::No,
            TokenSource::File(_) if !self.lock().unwritable => Renews::Yes,
            TokenSource::None | TokenSource::Inline(_) | TokenSource::File(_) => Renews::NotTheFile,
        }
    }

    /// Looks whether the file can be written, and says it if it cannot.
    pub(super) async fn look(&self) {
        let TokenSource::File(path) = &self.source else { return };
        let path = path.clone();
        if let Ok(Err(problem)) = tokio::task::spawn_blocking(move || token_file::check(&path)).await {
            self.is_unwritable(&problem);
        } else {
            self.lock().unwritable = false;
        }
    }

    /// Keeps a newer token in place of the one before.
    pub(super) async fn keep(&self, before: &Token, token: &Token) -> Kept {
        let Some(of) = self.lock().put(&self.source, before, token) else { return Kept::Superseded };
        let TokenSource::File(path) = &self.source else { return Kept::InMemory };
        let (path, new) = (path.clone(), token.clone());
        let replaced = tokio::task::spawn_blocking(move || token_file::replace(&path, &of, &new)).await;
        match replaced {
            Ok(Ok(())) => {
                let mut state = self.lock();
                (state.said, state.newer, state.unwritable) = (Some(token.clone()), None, false);
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
        let mut state = self.lock();
        state.unwritable = true;
        if !std::mem::replace(&mut state.told_unwritable, true) {
            drop(state);
            warn!(reason = %problem, advice = UNWRITABLE_ADVICE, "the file of the token cannot be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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
        [self.said.as_ref(), newer].contains(&Some(token))
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
