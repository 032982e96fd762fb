//! A picture of some kinds that follows a store, and knows how old it may be.
//!
//! ```text
//! store -- events --> Picture: whole pictures, and what changed
//!       -- freshness -------+-> Mirror: both together, in an order that can be relied on
//! ```
//!
//! Whoever keeps something of what is stored (keys, snapshots, who is there) keeps it here, so that what happens when a
//! watch begins anew, ends or lags is decided once.

use std::mem;

use futures::{FutureExt as _, StreamExt as _};
use thiserror::Error;
use tokio::sync::watch;

use crate::{Change, Freshness, Kinds, Picture, ResourceStore, Watch};

/// What a store holds of some kinds, as far as its watch told.
///
/// While the store is behind the picture stays as it was last. It never shrinks because something cannot be read.
pub struct Mirror {
    watch: Watch,
    ended: bool,
    /// `None` when the store that said it is gone; the watch ends then too.
    freshness: Option<watch::Receiver<Freshness>>,
    picture: Picture,
    /// What changed and was not returned yet.
    changes: Vec<Change>,
    /// How fresh the picture is; `None` before the first one.
    told: Option<Freshness>,
}

/// The watch of a store ended: from here on nothing that is written would be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the store's watch ended")]
pub struct WatchEnded;

impl Mirror {
    /// Starts a watch. What the mirror shows is empty until [`Mirror::changes`] returned for the first time.
    pub fn of(store: &dyn ResourceStore, kinds: Kinds) -> Self {
        let freshness = Some(store.freshness());
        let watch = store.watch(kinds);
        Self { watch, ended: false, freshness, picture: Picture::default(), changes: Vec::new(), told: None }
    }

    /// Waits until something is other than it was told, and returns all changes that are there by then: resources, or how
    /// fresh the picture is. The first time it returns with the first whole picture, even if that is empty.
    ///
    /// That the store is fresh again is told together with what it heard by then, or after it. Cancel safe.
    pub async fn changes(&mut self) -> Result<Vec<Change>, WatchEnded> {
        loop {
            // Before the events: a store puts what it missed into its watches before it says that it is fresh.
            let freshness = self.freshness.as_mut().map(|freshness| *freshness.borrow_and_update());
            self.take_ready();
            if let Some(news) = self.news(freshness) {
                self.told = Some(news);
                return Ok(mem::take(&mut self.changes));
            }
            if self.ended {
                return Err(WatchEnded);
            }
            self.wait().await;
        }
    }

    /// What the store holds, as far as it is known here.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// How old the picture may be.
    pub fn freshness(&self) -> Freshness {
        self.told.unwrap_or(Freshness::Fresh)
    }

    /// Takes all that is ready: what was written together is looked at once.
    fn take_ready(&mut self) {
        while !self.ended {
            match self.watch.next().now_or_never() {
                Some(Some(event)) => self.changes.extend(self.picture.take(event)),
                Some(None) => self.ended = true,
                None => return,
            }
        }
    }

    /// Returns how fresh the picture is, if there is something to tell. `now` is what the store said before it was asked
    /// for events.
    fn news(&self, now: Option<Freshness>) -> Option<Freshness> {
        if !self.picture.is_whole() {
            return None;
        }
        let before = self.told;
        let freshness = match now {
            // It is fresh when it has heard all of it.
            Some(Freshness::Fresh) if self.picture.is_being_told() => before?,
            Some(now) => now,
            None => before.unwrap_or(Freshness::Fresh),
        };
        (before != Some(freshness) || !self.changes.is_empty()).then_some(freshness)
    }

    /// Waits until there may be something new.
    async fn wait(&mut self) {
        let Self { watch, ended, freshness, picture, changes, .. } = self;
        let said = async {
            match freshness {
                Some(freshness) => freshness.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = watch.next() => match event {
                Some(event) => changes.extend(picture.take(event)),
                None => *ended = true,
            },
            heard = said => if !heard {
                self.freshness = None;
            },
        }
    }
}
