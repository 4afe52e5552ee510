//! `POST /v1/rules:explain`: what the rules table would do with a call.

use axum::http::{Method, StatusCode};

use super::schemas::{Decision, ExplainRequest};
use crate::api::endpoint::{Answer, Endpoint, Shape, schema};

pub(super) fn endpoint() -> Endpoint {
    let summary = "Every rule with its first failing condition for a would-be call, and the one that wins";
    Endpoint::admin(Method::POST, "/v1/rules:explain", summary, |api, request| {
        Box::pin(async move {
            let explanation = api.administration.explain(request.json()?).await?;
            Ok(Answer::json(StatusCode::OK, &explanation))
        })
    })
    .takes(Shape::Json(schema::<ExplainRequest>))
    .answers(200, Shape::Json(schema::<Decision>))
}
