//! `/healthz`, `/readyz`, `/metrics` and `/openapi.json`: for everybody who reaches the listener.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::endpoint::{Answer, Endpoint, Shape};
use super::problem::Problem;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::open(Method::GET, "/healthz", "Whether the process answers", |_, _| {
            Box::pin(async { Ok(Answer::json(StatusCode::OK, &json!({ "status": "ok" }))) })
        })
        .answers(200, Shape::Object),
        Endpoint::open(Method::GET, "/readyz", "Whether new calls are taken", |api, _| {
            Box::pin(async move {
                match api.administration.ready().await {
                    Ok(()) => Ok(Answer::json(StatusCode::OK, &json!({ "status": "ready" }))),
                    Err(why) => Err(Problem::unavailable(why)),
                }
            })
        })
        .answers(200, Shape::Object)
        .answers(503, Shape::Object),
        Endpoint::open(Method::GET, "/metrics", "Prometheus metrics", |api, _| {
            Box::pin(async move {
                let text = api.administration.metrics();
                Ok(Answer::bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into()))
            })
        })
        .answers(200, Shape::Bytes("text/plain")),
        Endpoint::open(Method::GET, "/openapi.json", "This API's description", |api, _| {
            Box::pin(async move { Ok(Answer::bytes(StatusCode::OK, "application/json", api.openapi())) })
        })
        .answers(200, Shape::Object),
    ]
}
