//! One far connection, what the far side says on it, and calls of our own.

use std::collections::{HashMap, VecDeque};

use http::request;
use tonic::Status;

use super::{FEW, Passage, status_in};
use crate::kds::relay::{
    call::Coming,
    end::End,
    http2::{Code, Connection, Event, Origin, request_fields, response_fields},
    orders::{Adopted, Number, OwnCall},
    standing::Lost,
};

/// A far connection.
pub(in crate::kds::relay) struct FarEnd {
    pub(in crate::kds::relay) number: Number,
    pub(in crate::kds::relay) end: End,
    origin: Origin,
    pub(super) lost: Lost,
    /// Whose its streams are.
    pub(super) owners: HashMap<u32, Owner>,
    /// What finds no room there yet.
    pub(super) waiting: VecDeque<Waiting>,
    /// All calls of the near side are ended with this.
    pub(super) ended: Option<Status>,
    /// No more calls of the near side will come.
    pub(super) is_released: bool,
    /// It was told that this end goes.
    pub(super) is_left: bool,
    /// It said that it goes, and why.
    pub(super) farewell: Option<Code>,
}

pub(super) enum Owner {
    Stream(u32),
    Own(Box<Coming>),
}

/// Waits for room.
pub(super) enum Waiting {
    Stream(u32),
    Own(Box<OwnCall>),
}

impl Waiting {
    pub(super) fn stream(&self) -> Option<u32> {
        match self {
            Self::Stream(id) => Some(*id),
            Self::Own(_) => None,
        }
    }
}

impl FarEnd {
    pub(super) fn new(Adopted { far: number, end, origin, lost }: Adopted) -> Self {
        Self {
            number,
            end,
            origin,
            lost,
            owners: HashMap::new(),
            waiting: VecDeque::new(),
            ended: None,
            is_released: false,
            is_left: false,
            farewell: None,
        }
    }

    /// The next stream that waits and finds room, or that never will. Calls of our own are made on the way.
    pub(super) fn next_waiting(&mut self) -> Option<Result<u32, u32>> {
        let takes_none = self.end.connection.takes_none();
        if takes_none {
            // Also when there are no ids left for streams: the next call goes on another connection.
            self.lost.closing();
        }
        while takes_none || self.end.connection.can_open() {
            match self.waiting.pop_front()? {
                Waiting::Stream(id) => return Some(if takes_none { Err(id) } else { Ok(id) }),
                // Whoever waits hears of it when it is dropped.
                Waiting::Own(_) if takes_none => {}
                Waiting::Own(call) => self.make(*call),
            }
        }
        None
    }

    /// Opens a stream for one of the near side.
    pub(super) fn open(&mut self, near: u32, head: &request::Parts, end: bool) -> u32 {
        self.say(head, end, Owner::Stream(near))
    }

    fn make(&mut self, call: OwnCall) {
        let OwnCall { number, head, body, reply, .. } = call;
        let id = self.say(&head, false, Owner::Own(Box::new(Coming::new(number, reply))));
        // It fits into any window, or waits like everything else.
        self.end.connection.data(id, &body, true);
    }

    fn say(&mut self, head: &request::Parts, end: bool, owner: Owner) -> u32 {
        let connection = &mut self.end.connection;
        let id = connection.open();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        connection.head(id, &request_fields(&head.method, &self.origin, path), &head.headers, end);
        self.owners.insert(id, owner);
        id
    }

    /// Nothing of a stream is wanted any more.
    pub(super) fn forget(&mut self, id: u32, code: Code) {
        self.owners.remove(&id);
        if self.end.connection.forget(id, code) {
            self.end.hurry();
        }
    }

    /// Nobody waits for a call of our own.
    pub(super) fn abandon(&mut self, call: Number) {
        self.waiting.retain(|waiting| !matches!(waiting, Waiting::Own(own) if own.number == call));
        let owned = |owner: &Owner| matches!(owner, Owner::Own(coming) if coming.number == call);
        if let Some(id) = self.owners.iter().find(|(_, owner)| owned(owner)).map(|(id, _)| *id) {
            self.forget(id, Code::CANCEL);
        }
    }

    /// Says of what waits as much as there is room for.
    pub(super) fn pump(&mut self, near: &mut Connection) {
        let Self { end, owners, .. } = self;
        end.connection.pump(|id, count| {
            if let Some(Owner::Stream(stream)) = owners.get(&id) {
                near.forwarded(*stream, count);
            }
        });
    }

    /// Forgets whose the streams were that are over.
    pub(super) fn clear(&mut self) {
        for id in self.end.connection.take_over() {
            self.owners.remove(&id);
        }
        if self.owners.capacity() > 4 * FEW.max(self.owners.len()) {
            self.owners.shrink_to(2 * FEW.max(self.owners.len()));
        }
        if self.is_released && self.owners.is_empty() && self.waiting.is_empty() {
            self.leave();
        }
    }

    /// Goes, and takes along what is under way.
    pub(super) fn leave(&mut self) {
        for id in std::mem::take(&mut self.owners).into_keys() {
            self.end.connection.forget(id, Code::CANCEL);
        }
        self.waiting.clear();
        if !std::mem::replace(&mut self.is_left, true) {
            self.end.connection.leave(Code::NO_ERROR);
            self.end.hurry();
        }
    }

    /// Whether it said its farewell, and all of that is written.
    pub(in crate::kds::relay) fn has_left(&mut self) -> bool {
        self.is_left && self.end.is_written()
    }

    /// What the far side said of a call of our own.
    fn said_to_us(&mut self, event: Event<'_>) {
        let (id, is_over) = match event {
            Event::Response { stream, end, .. } | Event::Data { stream, end, .. } => (stream, end),
            Event::Trailers { stream, .. } | Event::Reset { stream, .. } => (stream, true),
            Event::Nothing | Event::Request { .. } | Event::Leaves { .. } => return,
        };
        let Some(Owner::Own(coming)) = self.owners.get_mut(&id) else { return };
        let mut trailers = None;
        match event {
            Event::Response { head, .. } => coming.begin(head),
            Event::Data { data, .. } => {
                let fits = coming.push(data);
                self.end.connection.forwarded(id, data.len());
                if !fits {
                    return self.forget(id, Code::CANCEL);
                }
            }
            Event::Trailers { trailers: all, .. } => trailers = Some(all),
            // Whoever waits hears of it when it is dropped.
            Event::Reset { .. } => return drop(self.owners.remove(&id)),
            Event::Nothing | Event::Request { .. } | Event::Leaves { .. } => {}
        }
        if is_over && let Some(Owner::Own(coming)) = self.owners.remove(&id) {
            coming.end(trailers);
            self.end.connection.forget(id, Code::NO_ERROR);
        }
    }
}

impl Passage {
    /// Takes what a far side says.
    pub(in crate::kds::relay) fn far_said(&mut self, number: Number, event: Event<'_>) {
        let Self { near, fars, .. } = self;
        let Some(far) = fars.iter_mut().find(|far| far.number == number) else { return };
        let id = match event {
            Event::Nothing | Event::Request { .. } => return,
            Event::Leaves { last, code } => return self.leaves(number, last, code),
            Event::Response { stream, .. }
            | Event::Data { stream, .. }
            | Event::Trailers { stream, .. }
            | Event::Reset { stream, .. } => stream,
        };
        let stream = match far.owners.get(&id) {
            None => return,
            Some(Owner::Own(_)) => return far.said_to_us(event),
            Some(Owner::Stream(stream)) => *stream,
        };
        let near = &mut near.connection;
        match event {
            Event::Response { head, end, .. } => {
                near.head(stream, &response_fields(&head.status), &head.headers, end);
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.is_answered = true;
                }
                if end {
                    self.answered(stream, status_in(&head.headers));
                }
            }
            Event::Data { data, end, .. } => {
                let gone = near.data(stream, data, end);
                far.end.connection.forwarded(id, gone);
                if end {
                    self.answered(stream, Status::unknown("the call ended without a status"));
                }
            }
            Event::Trailers { trailers, .. } => {
                near.trailers(stream, &trailers);
                self.answered(stream, status_in(&trailers));
            }
            Event::Reset { code, .. } => {
                near.forget(stream, code);
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.tell(Status::unknown("the far side reset the call"));
                }
            }
            Event::Nothing | Event::Request { .. } | Event::Leaves { .. } => {}
        }
    }

    /// The far side goes. What it did not look at may go elsewhere; the rest goes on.
    fn leaves(&mut self, number: Number, last: u32, code: Code) {
        let Some(far) = self.far(number) else { return };
        far.farewell = Some(code);
        far.lost.closing();
        let unheard: Vec<u32> = far.owners.keys().copied().filter(|id| *id > last).collect();
        for id in unheard {
            let owner = self.far(number).and_then(|far| {
                let owner = far.owners.remove(&id);
                far.end.connection.forget(id, Code::CANCEL);
                owner
            });
            if let Some(Owner::Stream(stream)) = owner {
                self.end(stream, &Status::unavailable("the global control plane goes and takes no more calls"));
            }
        }
    }
}
