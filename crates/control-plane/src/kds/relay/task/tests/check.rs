//! What both sides may have heard of a call.

use h2::Reason;
use tonic::{Code, Status};

use super::{
    peers::{Ended, Heard},
    plan::{By, End, Plan},
};

/// What the relay says of calls that it ends.
pub(super) const ENDED: &str = "ended by the relay";

/// What it says of calls whose far side goes, or has gone.
const GONE: [&str; 2] =
    ["the global control plane goes and takes no more calls", "the connection to the global control plane was lost"];

/// Who takes no more calls after so many turns.
#[derive(Clone, Copy)]
pub(super) struct Goes {
    pub(super) far: Option<(usize, usize)>,
    pub(super) relay: Option<usize>,
}

/// What was heard of each call.
pub(super) struct Notes {
    clients: Vec<Option<Heard>>,
    servers: Vec<Option<Heard>>,
}

impl Notes {
    pub(super) fn new(calls: usize) -> Self {
        let none = || std::iter::repeat_with(|| None).take(calls).collect();
        Self { clients: none(), servers: none() }
    }

    pub(super) fn of_client(&mut self, number: usize, heard: Heard) {
        assert!(self.clients[number].replace(heard).is_none());
    }

    pub(super) fn of_server(&mut self, number: usize, heard: Heard) {
        assert!(self.servers[number].replace(heard).is_none(), "call {number} comes twice");
    }

    /// Whether that is what was said. `told` is what the relay was told of how the call ended.
    pub(super) fn check(&self, plan: &Plan, told: Option<Code>, goes: &Goes) {
        let (client, server) = (self.clients[plan.number].as_ref().unwrap(), self.servers[plan.number].as_ref());
        let context = format!("call {} by {:?}: {client:?}, {server:?}, {told:?}", plan.number, plan.by);
        let status = status_heard(client);
        let is_ended = status.as_ref().is_some_and(|status| status.message() == ENDED);
        if client.end == Ended::NotTaken {
            return assert!(goes.relay.is_some() && server.is_none() && told.is_none(), "{context}");
        }
        if status.as_ref().is_some_and(|status| GONE.contains(&status.message())) {
            let is_gone = goes.far.is_some_and(|(far, _)| plan.by == By::Far(far)) && client.count == 0;
            return assert!(is_gone && server.is_none() && told == Some(Code::Unavailable), "{context}");
        }
        let gave_up = client.end == Ended::GaveUp;
        assert!(!gave_up || plan.patience.is_some(), "{context}");
        let is_reset = matches!(plan.response.end, End::Reset(_));
        let is_whole = (client.count == plan.response.length() || is_reset) && is_end(client, plan);
        match plan.by {
            _ if gave_up => {}
            By::Refusal => assert!(status.unwrap().message() == "refused" && client.count == 0, "{context}"),
            By::Far(_) if is_ended => assert!(plan.ends.is_some(), "{context}"),
            By::Far(_) | By::Here => assert!(is_whole, "{context}"),
        }
        if !gave_up && (client.count > 0 || !is_ended && plan.by != By::Refusal) && client.head.is_some() {
            assert_eq!(client.head.as_ref(), Some(&plan.response.head), "{context}");
        }
        if !matches!(plan.by, By::Far(_)) {
            return assert!(server.is_none() && told.is_none(), "{context}");
        }
        match told {
            None => assert!(gave_up, "{context}"),
            Some(_) if gave_up => {}
            // The server may have said all before, without the client having heard it.
            Some(code) => assert!(is_ended && code == Code::PermissionDenied || code == code_of(plan), "{context}"),
        }
        let Some(server) = server else { return assert!(gave_up || is_ended, "{context}") };
        assert_eq!(server.head.as_ref(), Some(&plan.request.head), "{context}");
        match &server.end {
            Ended::Whole(trailers) => {
                assert_eq!(server.count, plan.request.length(), "{context}");
                assert!(trailers.as_ref() == plan.request.trailers(), "{context}");
                assert!(!matches!(plan.request.end, End::Never), "{context}");
            }
            Ended::Reset(reason) => {
                let by_client = gave_up && plan.patience.is_some_and(|(_, said)| said == *reason);
                // Nobody wants the rest of a request that is answered, or ended.
                let by_relay = (server.had_said || plan.ends.is_some()) && *reason == Reason::CANCEL;
                assert!(by_client || by_relay, "{context}");
            }
            Ended::NotTaken => panic!("{context}"),
            Ended::GaveUp => {
                assert!(is_reset || server.count > plan.reads, "{context}");
            }
        }
    }
}

/// Whether a client heard the end that the server said.
fn is_end(client: &Heard, plan: &Plan) -> bool {
    match (&client.end, &plan.response.end) {
        (Ended::Whole(heard), End::Trailers(said)) => heard.as_ref() == Some(said),
        (Ended::Whole(heard), End::Data | End::Empty) => heard.is_none(),
        // The library hears that the rest of its request is not wanted before it hears the end.
        (Ended::Reset(reason), End::Data | End::Empty) => *reason == Reason::NO_ERROR,
        (Ended::Reset(heard), End::Reset(said)) => heard == said,
        _ => false,
    }
}

fn status_heard(client: &Heard) -> Option<Status> {
    let trailers = match &client.end {
        Ended::Whole(trailers) => trailers.as_ref(),
        Ended::Reset(_) | Ended::GaveUp | Ended::NotTaken => None,
    };
    trailers.or(client.head.as_ref()).and_then(Status::from_header_map)
}

/// What the relay is told of a call that ended as planned.
fn code_of(plan: &Plan) -> Code {
    let headers = match &plan.response.end {
        End::Trailers(trailers) => Some(trailers),
        End::Data if plan.response.ends_with_head() => Some(&plan.response.head),
        End::Data | End::Empty | End::Reset(_) | End::Never => None,
    };
    headers.and_then(Status::from_header_map).map_or(Code::Unknown, |status| status.code())
}
