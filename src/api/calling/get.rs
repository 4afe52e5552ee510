//! `GET /calling/callConnections/{id}`: a call's properties.

use axum::http::{Method, StatusCode};

use super::properties::CallConnectionProperties;
use crate::api::endpoint::{Answer, Endpoint, Shape, schema};

pub(super) fn endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}";
    Endpoint::calling(Method::GET, path, "A call's properties", |api, request| {
        Box::pin(async move {
            let call = api.calls.properties(request.call()).await?;
            Ok(Answer::json(StatusCode::OK, &CallConnectionProperties::from(call)))
        })
    })
    .answers(200, Shape::Json(schema::<CallConnectionProperties>))
}
