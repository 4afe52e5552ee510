//! `POST /calling/callConnections/{id}:cancelAllMediaOperations`: stop every play and recognition.

use axum::http::{Method, StatusCode};

use crate::api::endpoint::{Answer, Endpoint, Shape};
use crate::call::Command;

pub(super) fn endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}:cancelAllMediaOperations";
    Endpoint::calling(Method::POST, path, "Stop every play and recognition", |api, request| {
        Box::pin(async move {
            api.calls.command(request.call(), Command::CancelMedia).await?;
            Ok(Answer::empty(StatusCode::ACCEPTED))
        })
    })
    .answers(202, Shape::Empty)
}
