//! A client and servers of an HTTP/2 library, who say what is planned and note what they hear.

use std::{cell::RefCell, rc::Rc};

use bytes::Bytes;
use futures::FutureExt as _;
use h2::{Reason, RecvStream, SendStream, client::SendRequest, server::SendResponse};
use http::{HeaderMap, Request, Response};
use tokio::sync::oneshot;

use super::{
    plan::{End, Plan, Said, Waits, content, seeds},
    stage::pause,
};

/// What one side heard of a call.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) head: Option<HeaderMap>,
    pub(super) count: usize,
    pub(super) end: Ended,
    /// This side had said all before that.
    pub(super) had_said: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Whole(Option<HeaderMap>),
    /// The other side, or the relay, ended it.
    Reset(Reason),
    /// This side itself.
    GaveUp,
    /// The other side goes, and did not look at it.
    NotTaken,
}

fn ended(error: &h2::Error) -> Ended {
    match error.reason() {
        Some(reason) if error.is_reset() && error.is_remote() => Ended::Reset(reason),
        Some(_) if error.is_reset() => Ended::GaveUp,
        Some(Reason::NO_ERROR) if error.is_go_away() && error.is_remote() => Ended::NotTaken,
        _ => panic!("{error:?}"),
    }
}

/// Says what is planned. An end by the other side ends it, too.
async fn say(stream: &mut SendStream<Bytes>, said: &Said, seed: usize) -> Option<()> {
    if said.ends_with_head() {
        return Some(());
    }
    let mut at = 0;
    for (index, size) in said.pieces.iter().enumerate() {
        pause(said.pauses).await;
        let mut piece = content(seed, at, *size);
        at += size;
        while said.by_window && !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            let capacity = std::future::poll_fn(|context| stream.poll_capacity(context)).await?.ok()?;
            if capacity < piece.len() {
                stream.send_data(piece.split_to(capacity), false).ok()?;
            } else {
                break;
            }
        }
        let is_last = matches!(said.end, End::Data) && index + 1 == said.pieces.len();
        stream.send_data(piece, is_last).ok()?;
    }
    if matches!(said.end, End::Data) {
        return Some(());
    }
    pause(said.pauses).await;
    match &said.end {
        End::Data => {}
        End::Empty => stream.send_data(Bytes::new(), true).ok()?,
        End::Trailers(trailers) => stream.send_trailers(trailers.clone()).ok()?,
        End::Reset(reason) => stream.send_reset(*reason),
        End::Never => std::future::pending().await,
    }
    Some(())
}

/// Hears so much, and the end if that is not too much; says when it heard something, and all.
async fn hear(
    mut body: RecvStream,
    seed: usize,
    pauses: usize,
    patience: usize,
    mut something: Option<oneshot::Sender<()>>,
) -> (usize, Ended) {
    let mut count = 0;
    loop {
        if count > patience {
            return (count, Ended::GaveUp);
        }
        match body.data().await {
            Some(Ok(data)) => {
                assert!(data == content(seed, count, data.len()), "other bytes come than were said");
                count += data.len();
                pause(pauses).await;
                // Fails when the stream was reset meanwhile.
                let _gone = body.flow_control().release_capacity(data.len());
                let _heard = something.take().map(|something| something.send(()));
            }
            Some(Err(error)) => return (count, ended(&error)),
            None => break,
        }
    }
    match body.trailers().await {
        Ok(trailers) => (count, Ended::Whole(trailers)),
        Err(error) => (count, ended(&error)),
    }
}

/// Makes a call.
pub(super) async fn call(sender: SendRequest<Bytes>, plan: &Plan) -> Heard {
    let not_taken = |error: h2::Error| Heard { head: None, count: 0, end: ended(&error), had_said: false };
    let mut sender = match sender.ready().await {
        Ok(sender) => sender,
        Err(error) => return not_taken(error),
    };
    let seeds = seeds(plan.number);
    let mut request = Request::post(format!("http://global/{}", plan.number)).body(()).unwrap();
    *request.headers_mut() = plan.request.head.clone();
    let (answer, mut stream) = match sender.send_request(request, plan.request.ends_with_head()) {
        Ok(sent) => sent,
        Err(error) => return not_taken(error),
    };
    drop(sender);
    let (patience, reason) = plan.patience.unwrap_or((usize::MAX, Reason::NO_ERROR));
    let heard = async {
        if patience == 0 {
            pause(plan.thinks).await;
            return (None, (0, Ended::GaveUp));
        }
        match answer.await {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                assert_eq!(head.status, 200);
                (Some(head.headers), hear(body, seeds.1, plan.response.pauses, patience - 1, None).await)
            }
            Err(error) => (None, (0, ended(&error))),
        }
    };
    let mut has_said = false;
    let (head, (count, end)) = {
        let mut heard = std::pin::pin!(heard.fuse());
        let mut saying = std::pin::pin!(say(&mut stream, &plan.request, seeds.0).fuse());
        let heard = loop {
            tokio::select! {
                biased;
                heard = &mut heard => break heard,
                _said = &mut saying, if !has_said => has_said = true,
            }
        };
        let may_end = !matches!(plan.request.end, End::Never);
        if plan.is_stubborn && !has_said && may_end && heard.1.1 != Ended::GaveUp {
            saying.await;
        }
        heard
    };
    if end == Ended::GaveUp {
        stream.send_reset(reason);
    }
    Heard { head, count, end, had_said: has_said }
}

/// Answers a call.
pub(super) async fn answer(plan: &Plan, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Heard {
    let (head, body) = request.into_parts();
    let seeds = seeds(plan.number);
    let (something, comes) = oneshot::channel();
    let (all, ends) = oneshot::channel::<()>();
    let has_said = Rc::new(RefCell::new(false));
    let hearing = async {
        let heard = hear(body, seeds.0, plan.response.pauses, plan.reads, Some(something)).await;
        drop(all);
        (heard, *has_said.borrow())
    };
    let saying = async {
        let _either = match plan.waits {
            Waits::Not => Ok(()),
            Waits::ForSomething => comes.await,
            Waits::ForAll => ends.await,
        };
        let mut head = Response::new(());
        *head.headers_mut() = plan.response.head.clone();
        // Fails when the client gave up.
        let Ok(mut stream) = respond.send_response(head, plan.response.ends_with_head()) else { return };
        if say(&mut stream, &plan.response, seeds.1).await.is_some() {
            *has_said.borrow_mut() = true;
        }
    };
    let (((count, end), had_said), ()) = tokio::join!(biased; hearing, saying);
    Heard { head: Some(head.headers), count, end, had_said }
}
