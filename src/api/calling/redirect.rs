//! `POST /calling/callConnections:redirect`: send an incoming call elsewhere.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::token;
use crate::api::endpoint::{Answer, Endpoint, Shape, schema};
use crate::api::identifier::{Identifier, wanted};

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RedirectCallRequest {
    /// From the IncomingCall event; opens one call, once.
    #[schema(required)]
    incoming_call_context: Option<String>,
    /// Where the caller is sent.
    #[schema(required)]
    target: Option<Identifier>,
}

pub(super) fn endpoint() -> Endpoint {
    let summary = "Send an incoming call elsewhere";
    Endpoint::calling(Method::POST, "/calling/callConnections:redirect", summary, |api, request| {
        Box::pin(async move {
            let body = request.json::<RedirectCallRequest>()?;
            let target = wanted(body.target.as_ref(), "target")?;
            api.calls.redirect(token(body.incoming_call_context)?, target).await?;
            Ok(Answer::empty(StatusCode::NO_CONTENT))
        })
    })
    .repeatable()
    .takes(Shape::Json(schema::<RedirectCallRequest>))
    .answers(204, Shape::Empty)
}
