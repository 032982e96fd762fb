//! One near connection with the far connections that its streams are passed on to, and what becomes of what is said on
//! either side. No IO here, and nothing waits.

mod far_end;
mod near_end;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use http::HeaderMap;
use tonic::Status;

pub(super) use self::far_end::FarEnd;
use self::far_end::Waiting;
use super::{
    answer::{Answer, Passing, Told, Whole},
    call::lost,
    end::End,
    http2::{Code, response_fields},
    inbox::Inbox,
    inspect::Inspect,
    orders::{Number, Order},
};

/// Places for streams are given back when there are more than these, and several times as many as are in use.
const FEW: usize = 64;

/// A near connection and its far ones.
pub(super) struct Passage {
    pub(super) near: End,
    /// One, most of the time.
    pub(super) fars: Vec<FarEnd>,
    streams: HashMap<u32, Stream>,
    /// How streams ended for which it is still looked for who answers them.
    early: HashMap<u32, Status>,
}

/// A stream of the near side.
struct Stream {
    at: At,
    /// The near side has heard the head of the answer.
    is_answered: bool,
    inspect: Option<Box<Inspect>>,
    /// Hears how a call ended that was to be passed on. Not there any more when that is known.
    told: Option<Told>,
}

/// Who has a stream.
enum At {
    /// Nobody yet: it is not known who answers.
    Asked(Inbox),
    /// The far side has no room for it yet.
    Waits(Inbox, Box<http::request::Parts>),
    Passed {
        far: Number,
        id: u32,
    },
    /// Nobody: it was answered here.
    Answered,
}

impl Stream {
    fn asked(inbox: Inbox) -> Self {
        Self { at: At::Asked(inbox), is_answered: false, inspect: None, told: None }
    }

    fn tell(&mut self, status: Status) {
        if let Some(told) = self.told.take() {
            told(status);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.tell(gave_up());
    }
}

impl Passage {
    pub(super) fn new(near: End) -> Self {
        Self { near, fars: Vec::new(), streams: HashMap::new(), early: HashMap::new() }
    }

    /// Whether no stream is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.is_empty() && self.near.connection.is_idle()
    }

    /// Whether nothing more may be read of the near side, since what is on its way to some far side piles up.
    pub(super) fn is_full(&mut self) -> bool {
        self.near.connection.output().is_full() || self.fars.iter_mut().any(|far| far.end.connection.output().is_full())
    }

    /// Does what was asked.
    pub(super) fn order(&mut self, order: Order) {
        match order {
            Order::End { stream, status } => self.end(stream, &status),
            Order::EndAll { far, status } => {
                if let Some(far) = self.far(far) {
                    far.ended.get_or_insert_with(|| status.clone());
                }
                self.end_those_on(far, &status);
            }
            Order::Adopt(adopted) => self.fars.push(FarEnd::new(*adopted)),
            Order::Release(far) => {
                if let Some(far) = self.far(far) {
                    far.is_released = true;
                }
            }
            Order::Call(call) => {
                // Whoever waits hears of a connection that is gone when this is dropped.
                if let Some(far) = self.far(call.far) {
                    far.waiting.push_back(Waiting::Own(call));
                }
            }
            Order::Abandon { far, call } => {
                if let Some(far) = self.far(far) {
                    far.abandon(call);
                }
            }
        }
    }

    /// Somebody was found who answers a stream.
    pub(super) fn answer(&mut self, id: u32, answer: Answer) {
        if let Some(status) = self.early.remove(&id) {
            if let Answer::Pass(passing) = answer {
                (passing.told)(status);
            }
            return;
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let inbox = match &stream.at {
            At::Asked(inbox) => inbox.clone(),
            // Nobody answers twice.
            At::Waits(..) | At::Passed { .. } | At::Answered => return,
        };
        match answer {
            Answer::Here(whole) => self.answer_here(id, *whole),
            Answer::Pass(passing) => {
                let Passing { far, head, inspect, told, .. } = *passing;
                (stream.told, stream.inspect) = (Some(told), inspect.map(Box::new));
                stream.at = At::Waits(inbox, Box::new(head));
                let refusal = match self.far(far) {
                    None => lost(),
                    Some(far) => match &far.ended {
                        Some(status) => status.clone(),
                        None => return far.waiting.push_back(Waiting::Stream(id)),
                    },
                };
                self.end(id, &refusal);
            }
        }
    }

    fn answer_here(&mut self, id: u32, Whole { head, data, trailers }: Whole) {
        let near = &mut self.near.connection;
        let ends_with_head = data.is_empty() && trailers.is_none();
        near.head(id, &response_fields(&head.status), &head.headers, ends_with_head);
        if !ends_with_head {
            // What does not fit is told to nobody: no far side waits for it.
            near.data(id, &data, trailers.is_none());
        }
        if let Some(trailers) = trailers {
            near.trailers(id, &trailers);
        }
        near.finish(id, Code::NO_ERROR);
        if let Some(stream) = self.streams.get_mut(&id) {
            (stream.at, stream.is_answered) = (At::Answered, true);
        }
    }

    /// Ends a stream with a status for the near side and a reset for the far one.
    fn end(&mut self, id: u32, status: &Status) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.tell(status.clone());
        let before = std::mem::replace(&mut stream.at, At::Answered);
        let is_answered = std::mem::replace(&mut stream.is_answered, true);
        let near = &mut self.near.connection;
        near.leave_out(id);
        if is_answered {
            near.trailers(id, &trailers_of(status));
        } else {
            let (head, ()) = status.clone().into_http::<()>().into_parts();
            near.head(id, &response_fields(&head.status), &head.headers, true);
        }
        near.finish(id, Code::NO_ERROR);
        self.leave(id, before, Code::CANCEL, || status.clone());
    }

    /// Takes a stream off whoever had it. `why` is for who is still to be told of it.
    fn leave(&mut self, id: u32, at: At, code: Code, why: impl Fn() -> Status) {
        match at {
            At::Asked(inbox) => {
                inbox.reset(why());
                self.early.insert(id, why());
            }
            At::Waits(inbox, _) => inbox.reset(why()),
            At::Passed { far, id } => {
                if let Some(far) = self.far(far) {
                    far.forget(id, code);
                }
            }
            At::Answered => {}
        }
    }

    fn end_those_on(&mut self, number: Number, status: &Status) {
        let waiting = match self.far(number) {
            Some(far) => far.waiting.iter().filter_map(Waiting::stream).collect(),
            None => Vec::new(),
        };
        let passed = self.streams.iter().filter(|(_, stream)| stream.is_on(number)).map(|(id, _)| *id);
        let ids: Vec<u32> = passed.chain(waiting).collect();
        ids.into_iter().for_each(|id| self.end(id, status));
    }

    /// A far connection is lost.
    pub(super) fn lost(&mut self, number: Number, why: String) {
        let Some(at) = self.fars.iter().position(|far| far.number == number) else { return };
        for stream in self.streams.values_mut().filter(|stream| stream.is_on(number) && stream.told.is_none()) {
            // The answer is whole: what waits of it is said yet.
            stream.at = At::Answered;
        }
        self.end_those_on(number, &lost());
        let mut far = self.fars.swap_remove(at);
        // Whoever closes after our farewell is not lost.
        if far.is_left {
            return;
        }
        let error = far.farewell.filter(|code| *code != Code::NO_ERROR);
        far.lost.tell(match error {
            Some(Code(error)) => format!("{why}, after it said that it goes (HTTP/2 error {error:#x})"),
            None => why,
        });
    }

    /// Passes on what can go, and clears away what is over.
    pub(super) fn settle(&mut self) {
        let Self { near, fars, streams, .. } = self;
        near.connection.pump(|id, count| {
            if let Some(Stream { at: At::Passed { far, id }, .. }) = streams.get(&id)
                && let Some(far) = fars.iter_mut().find(|one| one.number == *far)
            {
                far.end.connection.forwarded(*id, count);
            }
        });
        for far in fars {
            far.pump(&mut near.connection);
        }
        self.open_waiting();
        for id in self.near.connection.take_over() {
            if let Some(mut stream) = self.streams.remove(&id) {
                let at = std::mem::replace(&mut stream.at, At::Answered);
                self.leave(id, at, Code::CANCEL, gave_up);
            }
        }
        self.fars.iter_mut().for_each(FarEnd::clear);
        self.tidy();
    }

    /// Gives back what a crowd of streams took that is gone.
    fn tidy(&mut self) {
        let Self { fars, streams, early, .. } = self;
        early.shrink_to(FEW.max(2 * early.len()));
        let most = FEW.max(2 * streams.len());
        for far in fars {
            if far.waiting.len() > most {
                let waits = |stream: &Stream| matches!(stream.at, At::Waits(..));
                far.waiting.retain(|one| one.stream().is_none_or(|id| streams.get(&id).is_some_and(waits)));
            }
        }
        if streams.capacity() > 2 * most {
            streams.shrink_to(most);
        }
    }

    /// Everybody goes: the near side is gone, or has to, for this reason.
    pub(super) fn part(&mut self, why: &Status) {
        for (id, mut stream) in std::mem::take(&mut self.streams) {
            stream.tell(why.clone());
            let at = std::mem::replace(&mut stream.at, At::Answered);
            self.leave(id, at, Code::CANCEL, || why.clone());
        }
        self.fars.iter_mut().for_each(FarEnd::leave);
    }

    fn far(&mut self, number: Number) -> Option<&mut FarEnd> {
        self.fars.iter_mut().find(|far| far.number == number)
    }
}

impl Stream {
    fn is_on(&self, number: Number) -> bool {
        matches!(self.at, At::Passed { far, .. } if far == number)
    }
}

/// A status as the end of an answer that had begun.
fn trailers_of(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // Its metadata are no headers: the code is what counts.
        trailers.insert("grpc-status", http::HeaderValue::from(i32::from(status.code())));
    }
    trailers
}

/// How a call ended that ended with these.
fn status_in(headers: &HeaderMap) -> Status {
    Status::from_header_map(headers).unwrap_or_else(|| Status::unknown("the call ended without a status"))
}

/// How a call ended that the near side took back.
fn gave_up() -> Status {
    Status::cancelled("the near side gave up")
}
