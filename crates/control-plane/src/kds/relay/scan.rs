//! Whom a message of a zone names, found by its protobuf fields while it passes. Pure: bytes in, yes or no out.
//!
//! Real globals believe what stands here (contract: kds 4.4, 11.3), and the last one where it stands twice. So every one
//! has to be the zone, in whatever order and however often it comes. What no peer sends is refused rather than understood:
//! groups, and the fields that are looked at with another wire type.
//!
//! Nothing is kept: a message of any size takes as much memory as an empty one.

use thiserror::Error;

/// What a message has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A request: it has a `node`, and the `node.id` is the zone.
    Node,
    /// A response: the `control_plane.identifier` is the zone, if there is one.
    Identifier,
}

impl Rule {
    /// The field of the message; the name is field 1 in it in both.
    const fn field(self) -> u64 {
        match self {
            Self::Node => 1,
            Self::Identifier => 7,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Node => "node.id",
            Self::Identifier => "control_plane.identifier",
        }
    }
}

/// Why a message does not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Wrong {
    /// A request without `node` ends the process of a real global.
    #[error("a request without `node`, or without `node.id`")]
    NoNode,
    #[error("`{0}` is not the zone of the token")]
    Other(&'static str),
    /// It is no message of protobuf, or one that no peer sends.
    #[error("the message cannot be read: {0}")]
    Malformed(&'static str),
}

/// Where in the message the next byte stands.
#[derive(Clone, Copy, Debug)]
enum State {
    /// In a number, of which this much is known.
    Number { value: u64, shift: u32, of: Number },
    /// In a value that says nothing.
    Skip { left: u64 },
    /// In the name, of which so many bytes were right.
    Name { at: usize, left: u64 },
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Tag,
    /// A value that says nothing.
    Value,
    Length(Holds),
}

/// What stands behind a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Nothing,
    /// The message that holds the name.
    Inner,
    Name,
}

const TAG: State = State::Number { value: 0, shift: 0, of: Number::Tag };
const LARGEST_FIELD: u64 = (1 << 29) - 1;

/// Reads one message.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'z> {
    zone: &'z [u8],
    rule: Rule,
    progress: Progress,
}

/// How far a message was read, without the name that it is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    state: State,
    /// What is left of the message that holds the name, inside of it.
    inner: Option<u64>,
    named: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { state: TAG, inner: None, named: false }
    }
}

impl<'z> Scanner<'z> {
    /// Returns one that goes on where `progress` is.
    pub(crate) fn new(zone: &'z str, rule: Rule, progress: Progress) -> Self {
        Self { zone: zone.as_bytes(), rule, progress }
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    /// Reads the next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Wrong> {
        while let Some((&first, rest)) = bytes.split_first() {
            bytes = match self.progress.state {
                State::Number { value, shift, of } => {
                    self.take(1)?;
                    // Ten bytes hold 64 bits, the last of them one.
                    if shift == 63 && first > 1 {
                        return Err(Wrong::Malformed("a number is too long"));
                    }
                    let value = value | u64::from(first & 0x7f) << shift;
                    if first & 0x80 == 0 {
                        self.number(value, of)?;
                    } else {
                        self.progress.state = State::Number { value, shift: shift + 7, of };
                    }
                    rest
                }
                State::Skip { left } => {
                    let (skipped, after) = split(bytes, left);
                    let taken = skipped.len() as u64;
                    self.take(taken)?;
                    self.progress.state = if taken == left { TAG } else { State::Skip { left: left - taken } };
                    after
                }
                State::Name { at, left } => {
                    let (part, after) = split(bytes, left);
                    let taken = part.len() as u64;
                    self.take(taken)?;
                    if self.zone.get(at..).is_none_or(|expected| !expected.starts_with(part)) {
                        return Err(Wrong::Other(self.rule.name()));
                    }
                    self.progress.state =
                        if taken == left { TAG } else { State::Name { at: at + part.len(), left: left - taken } };
                    after
                }
            };
            self.leave()?;
        }
        Ok(())
    }

    /// The message is over.
    pub(crate) fn finish(&self) -> Result<(), Wrong> {
        if self.progress.inner.is_some() || !self.progress.is_between() {
            return Err(Wrong::Malformed("it ends in the middle of a field"));
        }
        match self.rule {
            Rule::Node if !self.progress.named => Err(Wrong::NoNode),
            Rule::Node | Rule::Identifier => Ok(()),
        }
    }

    /// So many bytes of the inner message are read, if this is in it.
    fn take(&mut self, count: u64) -> Result<(), Wrong> {
        if let Some(left) = &mut self.progress.inner {
            *left = left.checked_sub(count).ok_or(Wrong::Malformed("a field is longer than what it is in"))?;
        }
        Ok(())
    }

    /// Leaves the inner message when it is over.
    fn leave(&mut self) -> Result<(), Wrong> {
        if self.progress.inner == Some(0) {
            if !self.progress.is_between() {
                return Err(Wrong::Malformed("a field is longer than what it is in"));
            }
            self.progress.inner = None;
        }
        Ok(())
    }

    fn number(&mut self, value: u64, of: Number) -> Result<(), Wrong> {
        self.progress.state = match of {
            Number::Value => TAG,
            Number::Tag => self.tag(value)?,
            Number::Length(holds) => self.length(value, holds)?,
        };
        Ok(())
    }

    fn tag(&self, tag: u64) -> Result<State, Wrong> {
        let (field, wire) = (tag >> 3, tag & 7);
        if field == 0 || field > LARGEST_FIELD {
            return Err(Wrong::Malformed("a field has no number"));
        }
        let holds = match self.progress.inner {
            None if field == self.rule.field() => Holds::Inner,
            Some(_) if field == 1 => Holds::Name,
            None | Some(_) => Holds::Nothing,
        };
        let number = |of| State::Number { value: 0, shift: 0, of };
        match (wire, holds) {
            (2, _) => Ok(number(Number::Length(holds))),
            (_, Holds::Inner | Holds::Name) => Err(Wrong::Malformed("a field is of another type")),
            (0, Holds::Nothing) => Ok(number(Number::Value)),
            (1, Holds::Nothing) => Ok(State::Skip { left: 8 }),
            (5, Holds::Nothing) => Ok(State::Skip { left: 4 }),
            (_, Holds::Nothing) => Err(Wrong::Malformed("a field is of a type that nobody sends")),
        }
    }

    fn length(&mut self, length: u64, holds: Holds) -> Result<State, Wrong> {
        if self.progress.inner.is_some_and(|left| length > left) {
            return Err(Wrong::Malformed("a field is longer than what it is in"));
        }
        match holds {
            Holds::Nothing if length == 0 => Ok(TAG),
            Holds::Nothing => Ok(State::Skip { left: length }),
            Holds::Inner => {
                self.progress.inner = Some(length);
                Ok(TAG)
            }
            Holds::Name if length != self.zone.len() as u64 => Err(Wrong::Other(self.rule.name())),
            Holds::Name => {
                self.progress.named = true;
                Ok(State::Name { at: 0, left: length })
            }
        }
    }
}

impl Progress {
    /// Whether a field may begin here.
    fn is_between(&self) -> bool {
        matches!(self.state, State::Number { shift: 0, of: Number::Tag, .. })
    }
}

fn split(bytes: &[u8], left: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()))
}

#[cfg(test)]
mod tests;
