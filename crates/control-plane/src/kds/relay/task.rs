//! Moves the bytes of a near connection and of its far ones, asks who answers its calls, and keeps the time.

#[cfg(test)]
mod tests;

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use thiserror::Error;
use tokio::{
    io::ReadBuf,
    time::{Instant, Sleep},
};
use tonic::Status;

use super::{
    answer::{Answer, Answers, Arriving},
    end::{End, Keepalive, Late, SIP},
    http2::{Cut, Fatal, Limits},
    orders::{Number, Orders},
    passage::Passage,
};
use crate::kds::frames::ByteStream;

/// What a zone may do at most. A proxy in front may carry many zones over one connection.
const LIMITS: Limits = Limits { streams: 20_000, stream_window: 65_535, connection_window: 512 * 1024 };
/// HTTP/2 pings: the peer's own figures (contract: kds 1.4).
const KEEPALIVE: Keepalive = Keepalive { interval: Duration::from_secs(15), timeout: Duration::from_secs(15) };
/// So many calls are answered at a time: nothing is read that would bring more.
const ANSWERS: usize = 256;
/// What is said at the end may take so long to be heard.
const FAREWELL: Duration = Duration::from_secs(2);

/// A near connection with all that is passed on of it. Over when that is.
pub(crate) struct Relay<A> {
    passage: Passage,
    service: A,
    answers: FuturesUnordered<BoxFuture<'static, (u32, Answer)>>,
    /// What follows calls that are passed on.
    beside: FuturesUnordered<BoxFuture<'static, ()>>,
    orders: Orders,
    timer: Pin<Box<Sleep>>,
    parting: Option<Parting>,
}

/// The end of a connection, while its last words are written.
struct Parting {
    result: Result<(), Ended>,
    until: Instant,
    /// Nothing can be written to the near side.
    is_cut: bool,
}

/// Why a near connection is over.
#[derive(Debug, Error)]
pub(crate) enum Ended {
    #[error(transparent)]
    Broken(#[from] io::Error),
    #[error(transparent)]
    Against(#[from] Protocol),
    #[error("no sign of life")]
    Silent,
}

/// The near side did not keep to HTTP/2.
#[derive(Debug, Error)]
#[error(transparent)]
pub(crate) struct Protocol(#[from] Fatal);

impl<A: Answers> Relay<A> {
    /// Serves a connection: `service` says who answers a call.
    pub(crate) fn new(io: Box<dyn ByteStream>, service: A) -> Self {
        let near = End::of_client(io, LIMITS, KEEPALIVE);
        let timer = Box::pin(tokio::time::sleep_until(near.next()));
        let (answers, beside, orders) = (FuturesUnordered::new(), FuturesUnordered::new(), Orders::default());
        Self { passage: Passage::new(near), service, answers, beside, orders, timer, parting: None }
    }

    /// Takes no new calls, and is over when those are that it has.
    pub(crate) fn graceful_shutdown(&mut self) {
        self.passage.near.connection.leave_once();
    }

    /// Reads the near side; whether it said anything.
    fn read_near(&mut self, context: &mut Context<'_>) -> Result<bool, (Ended, bool)> {
        if self.answers.len() >= ANSWERS || self.passage.is_full() {
            return Ok(false);
        }
        let mut sip = [const { MaybeUninit::uninit() }; SIP];
        let mut sip = ReadBuf::uninit(&mut sip);
        let mut input = match self.passage.near.poll_read(context, &mut sip) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(error)) => return Err((error.into(), true)),
            Poll::Ready(Ok(())) if sip.filled().is_empty() => {
                return Err((io::Error::from(io::ErrorKind::UnexpectedEof).into(), true));
            }
            Poll::Ready(Ok(())) => sip.filled(),
        };
        // Taken out, since what it cuts is heard by what it stands in.
        let mut cut = std::mem::replace(&mut self.passage.near.cut, Cut::from_server());
        let heard = self.hear_near(&mut cut, &mut input);
        self.passage.near.cut = cut;
        heard.map(|()| true).map_err(|fatal| (Protocol(fatal).into(), false))
    }

    fn hear_near(&mut self, cut: &mut Cut, input: &mut &[u8]) -> Result<(), Fatal> {
        while let Some(frame) = cut.next(input)? {
            let event = self.passage.near.connection.hear(frame).inspect_err(|fatal| {
                self.passage.near.connection.leave(fatal.code);
            })?;
            let Some((stream, head, inbox)) = self.passage.near_said(event) else { continue };
            let request = http::Request::from_parts(head, inbox);
            let (orders, ender) = (self.orders.clone(), self.orders.ender(stream));
            let answer = self.service.answer(Arriving { request, ender, orders });
            self.answers.push(answer.map(move |answer| (stream, answer)).boxed());
        }
        Ok(())
    }

    /// Reads the far sides; whether one said anything.
    fn read_fars(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        let numbers: Vec<Number> = self.passage.fars.iter().map(|far| far.number).collect();
        for number in numbers {
            if self.passage.near.connection.output().is_full() {
                return moved;
            }
            let Some(far) = self.passage.fars.iter_mut().find(|far| far.number == number) else { continue };
            if far.end.connection.output().is_flooded() {
                // What it says would have to be answered, and it takes no answer.
                continue;
            }
            let mut sip = [const { MaybeUninit::uninit() }; SIP];
            let mut sip = ReadBuf::uninit(&mut sip);
            let why = match far.end.poll_read(context, &mut sip) {
                Poll::Pending => continue,
                Poll::Ready(Err(error)) => error.to_string(),
                Poll::Ready(Ok(())) if sip.filled().is_empty() => "closed by the other side".to_owned(),
                Poll::Ready(Ok(())) => {
                    moved = true;
                    let mut cut = std::mem::replace(&mut far.end.cut, Cut::from_server());
                    let heard = self.hear_far(number, &mut cut, sip.filled());
                    if let Some(far) = self.passage.fars.iter_mut().find(|far| far.number == number) {
                        far.end.cut = cut;
                    }
                    match heard {
                        Ok(()) => continue,
                        Err(fatal) => fatal.to_string(),
                    }
                }
            };
            moved = true;
            self.passage.lost(number, why);
        }
        moved
    }

    fn hear_far(&mut self, number: Number, cut: &mut Cut, mut input: &[u8]) -> Result<(), Fatal> {
        while let Some(frame) = cut.next(&mut input)? {
            let Some(far) = self.passage.fars.iter_mut().find(|far| far.number == number) else { return Ok(()) };
            let event = far.end.connection.hear(frame)?;
            self.passage.far_said(number, event);
        }
        Ok(())
    }

    /// Writes what is on its way; whether any of it went.
    fn write(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        match (&mut self.parting, self.passage.near.write(context)) {
            (_, Ok(some)) => moved |= some,
            (Some(parting), Err(_)) => parting.is_cut = true,
            (None, Err(error)) => self.part(Err(error.into()), true),
        }
        let mut lost = Vec::new();
        for far in &mut self.passage.fars {
            match far.end.write(context) {
                Ok(some) => moved |= some,
                Err(error) => lost.push((far.number, error.to_string())),
            }
        }
        for (number, why) in lost {
            moved = true;
            self.passage.lost(number, why);
        }
        if self.parting.is_none() {
            self.passage.fars.retain_mut(|far| {
                let left = far.has_left();
                if left {
                    // As far as that goes at once: it is dropped then.
                    let _said = far.end.poll_shutdown(context);
                }
                !left
            });
        }
        moved
    }

    /// Begins to end the connection.
    fn part(&mut self, result: Result<(), Ended>, is_cut: bool) {
        if self.parting.is_none() {
            let why = result.as_ref().err().map_or_else(String::new, |ended| format!(": {ended}"));
            self.parting = Some(Parting { result, until: Instant::now() + FAREWELL, is_cut });
            self.passage.part(&gone(&why));
        }
    }

    /// Whether the last words are written, or nobody waits for that any more.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let Some(parting) = &self.parting else { return false };
        let near_heard = parting.is_cut || self.passage.near.is_written();
        let all_heard = near_heard && self.passage.fars.iter_mut().all(super::passage::FarEnd::has_left);
        if !all_heard && Instant::now() < parting.until {
            return false;
        }
        let _said = self.passage.near.poll_shutdown(context);
        for far in &mut self.passage.fars {
            let _said = far.end.poll_shutdown(context);
        }
        true
    }

    /// Looks for who is late; whether it has to be looked at again at once.
    fn keep_time(&mut self, context: &mut Context<'_>) -> bool {
        let moved = self.timer.as_mut().poll(context).is_ready();
        if moved && self.parting.is_none() {
            let now = Instant::now();
            let late = |far: &mut super::passage::FarEnd| Some((far.number, far.end.look(now)?));
            let late: Vec<(Number, Late)> = self.passage.fars.iter_mut().filter_map(late).collect();
            for (number, late) in late {
                self.passage.lost(number, late.to_string());
            }
            if self.passage.near.look(now).is_some() {
                self.part(Err(Ended::Silent), true);
            }
        }
        let next = match &self.parting {
            Some(parting) => parting.until,
            None => {
                let fars = self.passage.fars.iter().map(|far| far.end.next());
                fars.fold(self.passage.near.next(), Instant::min)
            }
        };
        if moved || next < self.timer.deadline() {
            self.timer.as_mut().reset(next);
            // Polled, so that it wakes this task.
            return true;
        }
        false
    }
}

impl<A: Answers> Future for Relay<A> {
    type Output = Result<(), Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let waker = this.orders.waker();
        let inside = &mut Context::from_waker(&waker);
        let mut looked_again = false;
        loop {
            this.orders.at_work();
            let mut moved = false;
            for order in this.orders.take() {
                moved = true;
                this.passage.order(order);
            }
            while let Poll::Ready(Some((stream, mut answer))) = this.answers.poll_next_unpin(inside) {
                moved = true;
                if let Answer::Pass(passing) = &mut answer {
                    this.beside.extend(passing.beside.take());
                }
                // What it stands on may have come with it.
                this.orders.take().into_iter().for_each(|order| this.passage.order(order));
                this.passage.answer(stream, answer);
            }
            if this.parting.is_none() {
                match this.read_near(context) {
                    Ok(some) => moved |= some,
                    Err((ended, is_cut)) => this.part(Err(ended), is_cut),
                }
            }
            moved |= this.read_fars(context);
            this.passage.settle();
            while let Poll::Ready(Some(())) = this.beside.poll_next_unpin(inside) {}
            moved |= this.write(context);
            let goes = this.passage.near.connection.is_leaving() && this.passage.is_idle() && this.answers.is_empty();
            if goes {
                this.part(Ok(()), false);
            }
            moved |= this.keep_time(context);
            if this.is_over(context) {
                let parting = this.parting.take();
                return Poll::Ready(parting.map_or(Ok(()), |parting| parting.result));
            }
            if moved {
                looked_again = false;
            } else if this.orders.waits(context) {
                return Poll::Pending;
            } else if std::mem::replace(&mut looked_again, true) {
                // What wakes and does not move has had enough for now: others have their turn.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// How calls ended whose connection is gone.
fn gone(why: &str) -> Status {
    Status::cancelled(format!("the connection of the zone is gone{why}"))
}

impl<A> Drop for Relay<A> {
    fn drop(&mut self) {
        self.orders.close();
        // All calls are over now: what follows them notes that.
        self.passage.part(&gone(": this end dropped it"));
        while let Some(Some(())) = self.beside.next().now_or_never() {}
    }
}
