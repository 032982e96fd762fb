//! The rotation of a signing key as a state machine: what is kept, what is known, what is ordered go in; what is kept
//! next and what is to be done come out.
//!
//! ```text
//!            start            advance            advance             advance
//!   idle ──────────► staged ──────────► signing ──────────► draining ──────────► idle, the old key is gone
//!    ▲                  │ rollback         │ rollback          │ rollback
//!    └──────────────────┘                  └───────────────────┴──► draining, with the two keys swapped
//! ```
//!
//! * *staged*: the next key exists and verifies, and signs nothing.
//! * *signing*: it signs, and the old one verifies.
//! * *draining*: zones that renew are told to; what is left on the old key is counted.
//!
//! What must hold: no step but a forced one takes anything from somebody who did as told. So each has its evidence
//! ([`Evidence::in_the_way`]), what is not known counts as in the way, and a key goes only after nothing signs with it.
//! A serial is given once. A step that is sent again changes nothing ([`Order`]).
//!
//! Pure: whoever carries this out writes [`State`] and does the [`Action`]s in one batch, or neither.

mod command;
mod evidence;
mod order;
mod phases;
mod seen;
mod state;
mod status;
mod step;
mod text;
mod tick;
mod way;

pub use command::Command;
pub use evidence::{Evidence, Handed, Instance, Left, LeftWith, StandsOn, Times, Zone};
pub use order::{Order, Refused};
pub use state::{Done, Finished, Outcome, Position, Rotation, Stage, State, Stopped, Waiting};
pub use status::Status;
pub use step::{Action, Step, step};
pub use tick::{AUTOMATIC, tick};
pub use way::{Blocker, BlockerKind};

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
