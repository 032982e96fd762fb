//! What the near side says.

use http::request;
use tonic::Status;

use super::{At, Passage, Stream};
use crate::kds::relay::{
    http2::{Code, Event},
    inbox::{Came, Inbox},
};

impl Passage {
    /// Takes what the near side says; returns a call that has to be answered.
    pub(in crate::kds::relay) fn near_said(&mut self, event: Event<'_>) -> Option<(u32, request::Parts, Inbox)> {
        match event {
            // No server is asked by an answer.
            Event::Nothing | Event::Leaves { .. } | Event::Response { .. } => {}
            Event::Request { stream, head, end } => {
                let inbox = Inbox::default();
                if end {
                    inbox.end(None);
                }
                self.streams.insert(stream, Stream::asked(inbox.clone()));
                return Some((stream, head, inbox));
            }
            Event::Data { stream, data, end } => self.data_of_near(stream, data, end),
            Event::Trailers { stream: id, trailers } => match self.streams.get(&id).map(|stream| &stream.at) {
                Some(At::Asked(inbox) | At::Waits(inbox, _)) => inbox.end(Some(trailers)),
                Some(&At::Passed { far, id }) => {
                    if let Some(far) = self.far(far) {
                        far.end.connection.trailers(id, &trailers);
                    }
                }
                Some(At::Answered) | None => {}
            },
            Event::Reset { stream: id, code } => {
                if let Some(mut stream) = self.streams.remove(&id) {
                    let at = std::mem::replace(&mut stream.at, At::Answered);
                    self.leave(id, at, code, super::gave_up);
                }
            }
        }
        None
    }

    fn data_of_near(&mut self, id: u32, data: &[u8], end: bool) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match &mut stream.at {
            At::Asked(inbox) | At::Waits(inbox, _) => inbox.push(data, end),
            At::Answered => self.near.connection.forwarded(id, data.len()),
            &mut At::Passed { far, id: there } => {
                if let Some(inspect) = &mut stream.inspect
                    && let Err(refusal) = inspect.look(data)
                {
                    // Nothing of it goes on: the last byte of the message is in it, so the far side never has all of it.
                    return self.end(id, &refusal);
                }
                let Some(far) = self.fars.iter_mut().find(|one| one.number == far) else { return };
                let gone = far.end.connection.data(there, data, end);
                self.near.connection.forwarded(id, gone);
            }
        }
    }

    /// Opens on the far sides what waits for that and finds room.
    pub(super) fn open_waiting(&mut self) {
        for at in 0..self.fars.len() {
            while let Some(id) = self.fars.get_mut(at).and_then(super::FarEnd::next_waiting) {
                match id {
                    Ok(id) => self.open_on(at, id),
                    Err(id) => {
                        self.end(id, &Status::unavailable("the global control plane goes and takes no more calls"));
                    }
                }
            }
        }
    }

    /// Opens a stream on a far side that has room, and says there what came on it so far.
    fn open_on(&mut self, at: usize, id: u32) {
        let (Some(stream), Some(far)) = (self.streams.get_mut(&id), self.fars.get_mut(at)) else { return };
        let At::Waits(inbox, head) = std::mem::replace(&mut stream.at, At::Answered) else { return };
        let Came { data, trailers, is_ended } = inbox.take();
        let ends_with_head = is_ended && data.is_empty() && trailers.is_none();
        let there = far.open(id, &head, ends_with_head);
        stream.at = At::Passed { far: far.number, id: there };
        if !data.is_empty() || is_ended && !ends_with_head {
            self.data_of_near(id, &data, is_ended && trailers.is_none());
        }
        if let (Some(trailers), Some(far)) = (trailers, self.fars.get_mut(at)) {
            far.end.connection.trailers(there, &trailers);
        }
    }

    /// The far side has said all on a stream.
    pub(super) fn answered(&mut self, id: u32, status: Status) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.tell(status);
        if let At::Passed { far, id: there } = stream.at
            && let Some(far) = self.fars.iter_mut().find(|one| one.number == far)
        {
            // Nobody wants what is not said yet of the request (RFC 9113, 8.1).
            far.end.connection.reset(there, Code::CANCEL);
        }
        self.near.connection.finish(id, Code::NO_ERROR);
    }
}
