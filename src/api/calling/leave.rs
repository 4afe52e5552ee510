//! `DELETE /calling/callConnections/{id}`: the application leaves the call.

use axum::http::{Method, StatusCode};

use crate::api::endpoint::{Answer, Endpoint, Shape};
use crate::call::Command;

pub(super) fn endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}";
    Endpoint::calling(Method::DELETE, path, "Leave a call", |api, request| {
        Box::pin(async move {
            api.calls.command(request.call(), Command::Leave).await?;
            Ok(Answer::empty(StatusCode::NO_CONTENT))
        })
    })
    .answers(204, Shape::Empty)
}
