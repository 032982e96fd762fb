//! Verdicts on tokens that were shown before: a signature that was good stays so for as long as the keys do.
//!
//! ```text
//! text ──► known ──────────► judge: times, revocation, zone, scope
//!     └──► new ──► check ──► judge, and remembered
//! ```
//!
//! What is remembered had a good signature: whoever has no token pushes out nothing that others showed. It is forgotten with
//! the ring that it was good for, and when there is too much of it. It is found by the end of its signature and compared as a
//! whole, which costs less than any hash of the whole that nobody can forge. A verdict is what [`verify`](crate::verify()) and
//! [`verify_user`](crate::verify_user) say of the same text.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::{
    KeyRing, Rejection,
    verified::{VerifiedUser, VerifiedZone},
    verify::{SignedUser, SignedZone, Want},
};

/// How much of the end of a text finds it: 18 bytes of the signature.
const END: usize = 24;

/// The end of the text of a token.
type End = [u8; END];

fn end(raw: &str) -> Option<End> {
    raw.as_bytes().last_chunk().copied()
}

/// A token that had a good signature.
struct Known<S> {
    /// Erased when it is forgotten.
    text: Zeroizing<String>,
    signed: S,
}

/// What is remembered of tokens whose signature was good: [`SignedZone`] or [`SignedUser`].
pub struct Verdicts<S> {
    /// The newest ring that something was remembered for.
    generation: u64,
    known: HashMap<End, Known<S>>,
    oldest_first: VecDeque<End>,
    most: usize,
}

impl<S> Verdicts<S> {
    /// Remembers so many tokens at most.
    pub fn new(most: usize) -> Self {
        Self { generation: 0, known: HashMap::new(), oldest_first: VecDeque::new(), most }
    }

    /// Remembers a token that was checked with this ring. Rings are those of one store: no two have one generation.
    pub fn remember(&mut self, raw: &str, ring: &KeyRing, signed: S) {
        let Some(end) = end(raw).filter(|_| ring.generation() >= self.generation) else { return };
        if ring.generation() > self.generation {
            self.generation = ring.generation();
            self.known.clear();
            self.oldest_first.clear();
        }
        if self.known.insert(end, Known { text: Zeroizing::new(raw.to_owned()), signed }).is_none() {
            self.oldest_first.push_back(end);
        }
        if self.oldest_first.len() > self.most
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// How many tokens are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Tells if nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn find(&self, raw: &str, ring: &KeyRing) -> Option<&S> {
        let known = self.known.get(&end(raw)?).filter(|_| ring.generation() == self.generation)?;
        // In constant time: who guesses learns nothing of what others showed.
        verify_slices_are_equal(known.text.as_bytes(), raw.as_bytes()).ok().map(|()| &known.signed)
    }
}

impl Verdicts<SignedZone> {
    /// The verdict on the token of a zone, if it is known.
    pub fn zone(
        &self,
        raw: &str,
        ring: &KeyRing,
        now: Timestamp,
        want: &Want<'_>,
    ) -> Option<Result<VerifiedZone, Rejection>> {
        let signed = self.find(raw, ring).filter(|signed| signed.is_kind(want.accept))?;
        Some(signed.judge(ring, now, want))
    }
}

impl Verdicts<SignedUser> {
    /// The verdict on the token of a user, if it is known.
    pub fn user(
        &self,
        raw: &str,
        ring: &KeyRing,
        now: Timestamp,
        leeway: Duration,
    ) -> Option<Result<VerifiedUser, Rejection>> {
        Some(self.find(raw, ring)?.judge(ring, now, leeway))
    }
}
