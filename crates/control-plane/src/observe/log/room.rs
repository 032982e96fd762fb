//! Whether the disk of the log file has room for lines. The last part of a disk is not for the log: the store keeps a
//! reserve there, so that keys and revocations are written when nothing else is.

use std::time::Duration;

use store::sqlite::Space;
use tokio::time::Instant;

/// So long, and so many bytes of lines, one look at the disk is good.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_AFTER: u64 = 128 * 1024;
/// What lines that are needed may take, at most, while there is no room.
const ALLOWANCE: u64 = 1024 * 1024;

/// With less free the log is silent: the reserve of the store, where the store begins to refuse, and as much again.
fn kept(space: Space) -> u64 {
    space.reserve() + 2 * space.low_water()
}

/// What the log says of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// From now on lines are left out.
    Short { free: u64 },
    /// From now on none is.
    RoomAgain {
        /// Lines that were left out meanwhile.
        left_out: u64,
    },
}

/// Watches the disk of the log file.
pub(super) struct Room {
    space: Box<dyn Fn() -> Option<Space> + Send>,
    looked: Option<Instant>,
    since_look: u64,
    short: Option<Short>,
}

/// While there is no room.
struct Short {
    allowance: u64,
    left_out: u64,
}

impl Room {
    /// Watches the disk that `space` looks at. Where that cannot be told, there is room.
    pub(super) fn new(space: impl Fn() -> Option<Space> + Send + 'static) -> Self {
        Self { space: Box::new(space), looked: None, since_look: 0, short: None }
    }

    /// Returns whether there is room for a line of so many bytes, and what is to be said first.
    pub(super) fn admit(&mut self, length: usize, needed: bool) -> (Option<Notice>, bool) {
        let length = length as u64;
        let notice = self.look();
        let Some(short) = &mut self.short else {
            self.since_look += length;
            return (notice, true);
        };
        let has_room = needed && short.allowance >= length;
        if has_room {
            short.allowance -= length;
        } else {
            short.left_out += 1;
        }
        (notice, has_room)
    }

    fn look(&mut self) -> Option<Notice> {
        let now = Instant::now();
        let is_fresh = self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK_EVERY);
        if is_fresh && self.since_look < LOOK_AFTER {
            return None;
        }
        (self.looked, self.since_look) = (Some(now), 0);
        let space = (self.space)()?;
        match &self.short {
            None if space.free < kept(space) => {
                self.short = Some(Short { allowance: (space.total / 64).min(ALLOWANCE), left_out: 0 });
                Some(Notice::Short { free: space.free })
            }
            // A little more than enough: the log must not go back and forth, with a new allowance each time.
            Some(short) if space.free >= kept(space) + space.low_water() => {
                let left_out = short.left_out;
                self.short = None;
                Some(Notice::RoomAgain { left_out })
            }
            None | Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
