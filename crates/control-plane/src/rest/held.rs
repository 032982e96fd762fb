//! Answers that wait for their readers: what all large ones together may take of the memory.
//!
//! A reader that does not read keeps its answer in memory. An answer of more than 64 KiB needs a place, and where there
//! is none it is dropped and the caller told to come again. Callers who proved nothing have places apart from those who
//! did, so a crowd of strangers keeps no administrator from a list. A place is free again when the last piece of the
//! answer was written. While an answer of many resources is made it takes a multiple of its size, so only some are made at
//! a time; the others wait for their turn.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::error::ApiError;

/// Answers up to this size need no place; larger ones are handed out in pieces of it. In bytes.
const PIECE: usize = 64 * 1024;
/// What the large answers to callers who proved nothing may take. In KiB.
const FOR_STRANGERS: u32 = 128 * 1024;
/// What the large answers to all others may take. In KiB.
const FOR_USERS: u32 = 256 * 1024;

/// How many answers of many resources are made at once for callers who proved nothing.
const TURNS_OF_STRANGERS: usize = 2;
/// The same for all others.
const TURNS_OF_USERS: usize = 8;

/// The memory for large answers.
pub(super) struct Answers {
    strangers: Places,
    users: Places,
}

struct Places {
    free: Arc<Semaphore>,
    all: u32,
    turns: Semaphore,
}

/// Leave to make an answer of many resources.
#[must_use]
pub(super) struct Turn<'a> {
    _place: Option<SemaphorePermit<'a>>,
}

impl Answers {
    /// Returns places for 128 MiB to callers who proved nothing and 256 MiB to all others.
    pub(super) fn new() -> Self {
        let places = |all: u32, turns| Places {
            free: Arc::new(Semaphore::new(all as usize)),
            all,
            turns: Semaphore::new(turns),
        };
        Self { strangers: places(FOR_STRANGERS, TURNS_OF_STRANGERS), users: places(FOR_USERS, TURNS_OF_USERS) }
    }

    /// Waits for leave to make an answer of many resources. First come, first served; cancel safe.
    pub(super) async fn turn(&self, proven: bool) -> Turn<'_> {
        // Nobody closes the semaphore.
        Turn { _place: self.places(proven).turns.acquire().await.ok() }
    }

    fn places(&self, proven: bool) -> &Places {
        if proven { &self.users } else { &self.strangers }
    }

    /// Gives a large answer its place, or refuses to hold it.
    pub(super) async fn hold(&self, proven: bool, response: Response) -> Result<Response, ApiError> {
        let places = self.places(proven);
        // Answers are made in one piece, so their size is known.
        let size = response.body().size_hint().lower();
        if size <= PIECE as u64 {
            return Ok(response);
        }
        // One that is larger than all places together takes all of them.
        let kib = u32::try_from(size.div_ceil(1024)).unwrap_or(places.all).min(places.all);
        let place = Arc::clone(&places.free).try_acquire_many_owned(kib).map_err(|_taken| ApiError::Busy)?;
        let (head, body) = response.into_parts();
        let rest = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok(Response::from_parts(head, Body::new(Pieces { rest, place: Arc::new(place) })))
    }
}

/// The rest of an answer, handed out piece by piece.
struct Pieces {
    rest: Bytes,
    place: Arc<OwnedSemaphorePermit>,
}

/// Bytes that keep the place of their answer until they are written.
struct Piece {
    bytes: Bytes,
    _place: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE);
        let piece = Piece { bytes: self.rest.split_to(length), _place: Arc::clone(&self.place) };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn answer(bytes: usize) -> Response {
        Response::new(Body::from("x".repeat(bytes)))
    }

    #[tokio::test]
    async fn strangers_who_do_not_read_fill_their_places_and_no_others() {
        let answers = Answers::new();
        let mut held = Vec::new();
        while let Ok(response) = answers.hold(false, answer(12 * MIB)).await {
            held.push(response);
        }
        assert_eq!(held.len(), 10);
        assert!(answers.hold(false, answer(PIECE)).await.is_ok(), "small answers need no place");
        assert!(answers.hold(true, answer(12 * MIB)).await.is_ok(), "who proved an identity has other places");
        held.pop();
        assert!(answers.hold(false, answer(12 * MIB)).await.is_ok(), "places are given back");
    }

    #[tokio::test]
    async fn strangers_wait_for_each_other_and_nobody_waits_for_them() {
        let answers = Answers::new();
        let first = answers.turn(false).await;
        let second = answers.turn(false).await;
        let mut third = std::pin::pin!(answers.turn(false));
        assert!(futures::poll!(third.as_mut()).is_pending());
        let users = futures::poll!(std::pin::pin!(answers.turn(true)));
        assert!(users.is_ready());
        drop(first);
        assert!(futures::poll!(third.as_mut()).is_ready());
        drop(second);
    }

    #[tokio::test]
    async fn a_place_is_kept_until_the_last_piece_is_written() {
        let answers = Answers::new();
        let mut body = answers.hold(false, answer(100 * MIB)).await.unwrap().into_body();
        assert_eq!(body.size_hint().exact(), Some(100 * MIB as u64));
        let mut pieces = Vec::new();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            length += piece.len();
            pieces = vec![piece];
        }
        assert_eq!(length, 100 * MIB);
        drop(body);
        assert!(answers.hold(false, answer(100 * MIB)).await.is_err(), "one piece waits for its reader");
        drop(pieces);
        assert!(answers.hold(false, answer(100 * MIB)).await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_larger_than_all_places_is_given_alone() {
        let answers = Answers::new();
        let held = answers.hold(false, answer(130 * MIB)).await.unwrap();
        assert!(answers.hold(false, answer(MIB)).await.is_err());
        drop(held);
        assert!(answers.hold(false, answer(MIB)).await.is_ok());
    }
}
