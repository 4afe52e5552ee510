//! `POST /calling/callConnections/{id}:terminate`: end a call for everybody.

use axum::http::{Method, StatusCode};

use crate::api::endpoint::{Answer, Endpoint, Shape};
use crate::call::Command;

pub(super) fn endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}:terminate";
    Endpoint::calling(Method::POST, path, "End a call for everybody", |api, request| {
        Box::pin(async move {
            api.calls.command(request.call(), Command::Terminate).await?;
            Ok(Answer::empty(StatusCode::NO_CONTENT))
        })
    })
    .repeatable()
    .answers(204, Shape::Empty)
}
