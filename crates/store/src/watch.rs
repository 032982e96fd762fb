//! What a watch promises: a reader can build a full picture, keep it, and notice that it missed something.

use futures::stream::BoxStream;
use model::{Key, Kind};

use crate::{Stored, Version};

/// Which kinds a watch tells about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// Every kind.
    All,
    /// These.
    Only(Vec<Kind>),
}

impl Kinds {
    /// Returns whether the kind is watched.
    pub fn contains(&self, kind: Kind) -> bool {
        match self {
            Self::All => true,
            Self::Only(kinds) => kinds.contains(&kind),
        }
    }
}

/// What a watch says, in this order: `Init`, `InitApply*`, `InitDone`, then `Apply` and `Delete`.
///
/// A reader that fell behind gets `Init` again: everything it knew and is not told again is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A full picture follows; start an empty one.
    Init,
    /// Part of the full picture.
    InitApply(Stored),
    /// The full picture is complete; swap it in.
    InitDone,
    /// Created or changed.
    Apply(Stored),
    /// Gone.
    Delete {
        /// What is gone.
        key: Key,
        /// The version of the batch that deleted it.
        version: Version,
    },
}

/// A stream of events; dropping it ends the watch.
///
/// One of a store of this process ends with the store. One of a store elsewhere may end before: whoever needs to hear
/// what is written takes the end for an error, and starts anew.
pub type Watch = BoxStream<'static, Event>;
