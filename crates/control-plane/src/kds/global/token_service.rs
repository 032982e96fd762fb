//! Our own service beside those of KDS: a zone gets its next token, and shows it for what it has open.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use tokens::{IssueError, KeyRing, VerifiedZone};
use tonic::{Request, Response, Status, body::Body, server::UnaryService};
use tracing::{info, warn};
use wire::arctos::kds::v1::{PresentRequest, PresentResponse, RenewRequest, RenewResponse};

use crate::{
    issuing::NotIssued,
    kds::{
        global::{
            context::Context,
            renewals::{NotRenewed, Renewals},
            unary,
        },
        messages::convert,
    },
    observe::grpc_metrics::Call,
    zones::{
        caller::ZoneCaller,
        registry::{Presented, StreamGuard, StreamId},
    },
};

/// Answers one call for the next token.
pub(super) async fn renew<B>(
    renewals: Arc<Renewals>,
    ring: Arc<KeyRing>,
    guard: StreamGuard,
    call: Call,
    request: http::Request<B>,
) -> http::Response<Body>
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let service = Renew { renewals, ring, caller: guard.caller().clone() };
    unary::serve(service, guard, call, request).await
}

/// Answers one call with the new token.
pub(super) async fn present<B>(
    context: Arc<Context>,
    guard: StreamGuard,
    call: Call,
    request: http::Request<B>,
) -> http::Response<Body>
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let service = Present { context, id: guard.id(), caller: guard.caller().clone() };
    unary::serve(service, guard, call, request).await
}

struct Renew {
    renewals: Arc<Renewals>,
    ring: Arc<KeyRing>,
    caller: ZoneCaller,
}

impl UnaryService<RenewRequest> for Renew {
    type Response = RenewResponse;
    type Future = BoxFuture<'static, Result<Response<RenewResponse>, Status>>;

    fn call(&mut self, _request: Request<RenewRequest>) -> Self::Future {
        let (renewals, ring, caller) = (Arc::clone(&self.renewals), Arc::clone(&self.ring), self.caller.clone());
        async move {
            let proof = proof_of(&caller)?;
            let former = caller.token().ok_or_else(no_token)?;
            let token = renewals.next(proof.clone(), former, ring).await.map_err(|not| refusal(&not, proof))?;
            let expires_at = token.expires_at();
            let expires_at = expires_at
                .map(|end| prost_types::Timestamp { seconds: end.as_second(), nanos: end.subsec_nanosecond() });
            Ok(Response::new(RenewResponse { token: token.reveal().to_owned(), expires_at }))
        }
        .boxed()
    }
}

struct Present {
    context: Arc<Context>,
    id: StreamId,
    caller: ZoneCaller,
}

impl UnaryService<PresentRequest> for Present {
    type Response = PresentResponse;
    type Future = std::future::Ready<Result<Response<PresentResponse>, Status>>;

    fn call(&mut self, request: Request<PresentRequest>) -> Self::Future {
        std::future::ready(self.present(&request.get_ref().former).map(Response::new))
    }
}

impl Present {
    fn present(&self, former: &str) -> Result<PresentResponse, Status> {
        let proof = proof_of(&self.caller)?;
        let presented = self.context.registry.present(self.id, former, self.context.clock.now());
        let Presented { moved, left } = presented.map_err(|reason| convert::close_status(&reason))?;
        info!(zone = %proof.zone(), token_id = proof.id(), key = %proof.key(), moved, left, "zone shows its new token");
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(PresentResponse { moved: count(moved), left: count(left) })
    }
}

fn proof_of(caller: &ZoneCaller) -> Result<&VerifiedZone, Status> {
    match caller {
        ZoneCaller::Verified(proof) => Ok(proof),
        ZoneCaller::Unverified(_) | ZoneCaller::Shadowed { .. } => Err(no_token()),
    }
}

fn no_token() -> Status {
    Status::failed_precondition(
        "the global control plane let this zone in without a good token, so there is none to renew",
    )
}

/// What a zone hears that gets no token. What is wrong here is for the log.
fn refusal(not: &NotRenewed, proof: &VerifiedZone) -> Status {
    let cause = match not {
        NotRenewed::NotIssued(cause) => cause,
        NotRenewed::TooMany => return Status::resource_exhausted(not.to_string()),
        NotRenewed::Stopping => return Status::unavailable(not.to_string()),
        NotRenewed::Off
        | NotRenewed::MadeElsewhere
        | NotRenewed::RefusedHere
        | NotRenewed::WithoutEnd
        | NotRenewed::WithoutBeginning => {
            return Status::failed_precondition(not.to_string());
        }
    };
    warn!(zone = %proof.zone(), token_id = proof.id(), reason = %model::causes::on_one_line(cause), "a zone gets no new token");
    match cause {
        NotIssued::KeysBehind(_) | NotIssued::KeysChanging => Status::unavailable(cause.to_string()),
        NotIssued::NotRecorded(_) => {
            Status::unavailable("the global control plane cannot write into its ledger of tokens")
        }
        NotIssued::Failed(IssueError::Outside { .. }) => {
            Status::unavailable("the global control plane cannot sign a token now, its log says why")
        }
        NotIssued::WithoutEndOver { .. } | NotIssued::NotForProxies { .. } => {
            Status::failed_precondition(cause.to_string())
        }
        NotIssued::Off => Status::failed_precondition("the global control plane issues no tokens of this kind"),
        NotIssued::Denied(_) | NotIssued::Failed(_) => {
            Status::failed_precondition("the global control plane cannot sign a token, its log says why")
        }
    }
}
