//! `POST /calling/callConnections:reject`: refuse an incoming call.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::token;
use crate::api::endpoint::{Answer, Endpoint, Shape, schema};
use crate::api::problem::Problem;
use crate::call::RejectReason;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RejectCallRequest {
    /// From the IncomingCall event; opens one call, once.
    #[schema(required)]
    incoming_call_context: Option<String>,
    /// `none` (the default), `busy` or `forbidden`.
    call_reject_reason: Option<String>,
}

fn reason(given: Option<&str>) -> Result<RejectReason, Problem> {
    match given.map(str::to_ascii_lowercase).as_deref() {
        None | Some("none") => Ok(RejectReason::None),
        Some("busy") => Ok(RejectReason::Busy),
        Some("forbidden") => Ok(RejectReason::Forbidden),
        Some(_) => Err(Problem::bad("callRejectReason", "is none, busy or forbidden")),
    }
}

pub(super) fn endpoint() -> Endpoint {
    Endpoint::calling(Method::POST, "/calling/callConnections:reject", "Refuse an incoming call", |api, request| {
        Box::pin(async move {
            let body = request.json::<RejectCallRequest>()?;
            let reason = reason(body.call_reject_reason.as_deref())?;
            api.calls.reject(token(body.incoming_call_context)?, reason).await?;
            Ok(Answer::empty(StatusCode::NO_CONTENT))
        })
    })
    .repeatable()
    .takes(Shape::Json(schema::<RejectCallRequest>))
    .answers(204, Shape::Empty)
}
