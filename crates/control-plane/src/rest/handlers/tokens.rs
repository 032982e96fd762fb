//! stub
use super::Call; use crate::{access::Caller, rest::{error::ApiError, routes::TokenKind}}; use axum::response::Response;
pub(super) async fn issue(_c:&Call<'_>,_k:&Caller,_t:TokenKind)->Result<Response,ApiError>{Err(ApiError::IssuerOff)}
