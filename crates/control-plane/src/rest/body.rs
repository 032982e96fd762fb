//! The body of a request: read late, within a limit and a time, and only for who may send one.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::error::ApiError;
use crate::access::Rule;

/// The largest body for routes that take little, and the most that is read without asking for [`Room`]. In bytes.
pub(super) const SMALL: usize = 64 * 1024;
/// The largest body of all: a resource, from somebody who may write it. In bytes.
const LARGEST: usize = 32 * 1024 * 1024;
/// How much all larger bodies together may take. What is read from one takes a multiple. In KiB.
const ROOM: u32 = 128 * 1024;

/// Returns how many bytes are read for a route.
pub(super) fn limit(rule: Rule) -> usize {
    match rule {
        Rule::Write(_) => LARGEST,
        Rule::Public
        | Rule::Read(_)
        | Rule::ReadNamed
        | Rule::ReadFiltered
        | Rule::Issue(_)
        | Rule::Inspect
        | Rule::View
        | Rule::Metadata => SMALL,
    }
}

/// The memory for bodies that are not small. Who finds none waits, as long as a body may take.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// Returns room for 128 MiB.
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ROOM as usize)))
    }

    async fn wait(&self, bytes: usize, until: Instant) -> Result<OwnedSemaphorePermit, ApiError> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(ROOM).min(ROOM);
        match timeout_at(until, Arc::clone(&self.0).acquire_many_owned(kib)).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(ApiError::Busy),
        }
    }
}

/// A body that was read; its place is free again when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

/// A body that may still be on its way.
#[derive(Debug)]
pub(super) struct Incoming<B> {
    body: B,
    ended: bool,
}

impl<B> Incoming<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Takes a body without looking at it: who waits for `100 Continue` is not told to go on.
    pub(super) const fn new(body: B) -> Self {
        Self { body, ended: false }
    }

    /// Returns whether some of the body was not read: the connection cannot be used again.
    pub(super) fn is_left(&self) -> bool {
        !self.ended && !self.body.is_end_stream()
    }

    /// Returns whether the whole body is known to be small and was promised without conditions.
    pub(super) fn is_small(&self, headers: &HeaderMap) -> bool {
        let small = self.body.size_hint().upper().is_some_and(|bytes| bytes <= SMALL as u64);
        small && !headers.contains_key(header::EXPECT)
    }

    /// Reads all of it: at most `limit` bytes, in at most the time `within`.
    pub(super) async fn read(&mut self, limit: usize, within: Duration, room: &Room) -> Result<Read, ApiError> {
        let until = Instant::now() + within;
        let promised = self.body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
        if self.body.size_hint().lower() > limit as u64 {
            return Err(ApiError::BodyTooLarge { limit });
        }
        let (mut bytes, mut place) = (BytesMut::new(), None);
        loop {
            let data = match timeout_at(until, self.body.frame()).await {
                Err(_) => return Err(ApiError::BodyLate),
                Ok(Some(Err(_))) => return Err(ApiError::BodyLost),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => data,
                    // Trailers, which nobody reads.
                    Err(_) => continue,
                },
                Ok(None) => {
                    self.ended = true;
                    return Ok(Read { bytes: bytes.freeze(), _place: place });
                }
            };
            let length = bytes.len() + data.len();
            if length > limit {
                return Err(ApiError::BodyTooLarge { limit });
            }
            if length > SMALL && place.is_none() {
                place = Some(room.wait(promised.unwrap_or(limit), until).await?);
            }
            bytes.extend_from_slice(&data);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    type Chunk = Result<Frame<Bytes>, std::io::Error>;

    fn chunk(bytes: usize) -> Chunk {
        Ok(Frame::data(Bytes::from(vec![b' '; bytes])))
    }

    async fn read(chunks: Vec<Chunk>, limit: usize, room: &Room) -> (Result<Read, ApiError>, bool) {
        let mut body = Incoming::new(StreamBody::new(stream::iter(chunks)));
        (body.read(limit, WITHIN, room).await, body.is_left())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_whole_or_not_at_all() {
        let room = Room::new();
        let (all, left) = read(vec![chunk(3), chunk(4)], 7, &room).await;
        assert_eq!((all.unwrap().bytes.len(), left), (7, false));
        let (refused, left) = read(vec![chunk(3), chunk(5)], 7, &room).await;
        assert!(matches!(refused, Err(ApiError::BodyTooLarge { limit: 7 })) && left);
        let (refused, left) = read(vec![chunk(3), Err(std::io::Error::other("broken"))], 7, &room).await;
        assert!(matches!(refused, Err(ApiError::BodyLost)) && left);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_says_that_it_is_too_large_is_not_read() {
        let mut body = Incoming::new(Full::new(Bytes::from_static(b"12345678")));
        assert!(matches!(body.read(7, WITHIN, &Room::new()).await, Err(ApiError::BodyTooLarge { .. })));
        assert!(body.is_left());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_has_its_time_and_no_more() {
        let chunks = stream::iter(vec![chunk(1)]).chain(stream::pending());
        let mut body = Incoming::new(StreamBody::new(chunks));
        let started = Instant::now();
        assert!(matches!(body.read(7, WITHIN, &Room::new()).await, Err(ApiError::BodyLate)));
        assert_eq!(started.elapsed(), WITHIN);
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_share_a_bounded_memory_and_small_ones_always_pass() {
        let room = Room::new();
        let mut held = Vec::new();
        loop {
            match read(vec![chunk(SMALL), chunk(1)], LARGEST, &room).await.0 {
                Ok(read) => held.push(read),
                Err(ApiError::Busy) => break,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(held.len(), 4, "a body of unknown length counts as the largest");
        assert!(read(vec![chunk(SMALL)], LARGEST, &room).await.0.is_ok());
        held.pop();
        assert!(read(vec![chunk(SMALL), chunk(1)], LARGEST, &room).await.0.is_ok(), "places are given back");
    }
}
