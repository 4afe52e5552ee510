//! `POST /v1/rules:explain`: what the rules table would do with a call; `POST /v1/routes:explain`: where a number would go.

use axum::http::{Method, StatusCode};

use super::schemas::{Decision, ExplainRequest, RouteDecision, RouteQuestion};
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

pub(super) fn routes() -> Endpoint {
    let summary = "Every route with what became of it for a number and a caller, and the trunks that would be tried";
    Endpoint::admin(Method::POST, "/v1/routes:explain", summary, |api, request| {
        Box::pin(async move {
            let explanation = api.administration.explain_route(request.json()?).await?;
            Ok(Answer::json(StatusCode::OK, &explanation))
        })
    })
    .takes(Shape::Json(schema::<RouteQuestion>))
    .answers(200, Shape::Json(schema::<RouteDecision>))
}
