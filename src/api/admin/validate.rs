//! `GET /v1/subscriptions/{name}:validate`: the validation URL of a subscription's handshake, for whoever received it.
//! The code in it is the proof, so no key is asked for.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::api::endpoint::{Answer, Endpoint, Shape};

pub(super) fn endpoint() -> Endpoint {
    let summary = "Validate a subscription, by the URL that its endpoint was sent";
    Endpoint::open(Method::GET, "/v1/subscriptions/{name}:validate", summary, |api, request| {
        Box::pin(async move {
            let code = request.query("code").unwrap_or_default();
            api.administration.validate_subscription(request.parameter("name"), code).await?;
            Ok(Answer::json(StatusCode::OK, &json!({ "status": "validated" })))
        })
    })
    .query(&[("code", "The validation code.")])
    .answers(200, Shape::Object)
}
