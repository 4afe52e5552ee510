//! `/v1/calls` and `/v1/events/dead`: what happens and happened, and what could not be told.

use axum::http::{Method, StatusCode};

use crate::api::endpoint::{Answer, Endpoint, PAGED, Shape, schema};
use crate::api::service::{CallRecord, DeadEvent, Timeline};

/// What a capture file calls itself.
const PCAPNG: &str = "application/x-pcapng";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::admin(Method::GET, "/v1/calls", "Running and kept calls, newest first", |api, request| {
            Box::pin(async move {
                let page = request.page()?;
                Ok(request.listing(api.administration.calls(page).await?, page))
            })
        })
        .query(PAGED)
        .answers(200, Shape::List(schema::<CallRecord>)),
        Endpoint::admin(Method::GET, "/v1/calls/{id}", "A call", |api, request| {
            Box::pin(async move {
                Ok(Answer::json(StatusCode::OK, &api.administration.call(request.parameter("id")).await?))
            })
        })
        .answers(200, Shape::Json(schema::<CallRecord>)),
        Endpoint::admin(
            Method::GET,
            "/v1/calls/{id}/timeline",
            "Everything that happened on a call",
            |api, request| {
                Box::pin(async move {
                    Ok(Answer::json(StatusCode::OK, &api.administration.timeline(request.parameter("id")).await?))
                })
            },
        )
        .answers(200, Shape::Json(schema::<Timeline>)),
        Endpoint::admin(Method::GET, "/v1/calls/{id}/pcap", "A call's packets, for Wireshark", |api, request| {
            Box::pin(async move {
                let id = request.parameter("id");
                let file = api.administration.pcap(id).await?;
                Ok(Answer::bytes(StatusCode::OK, PCAPNG, file).named(&format!("{id}.pcapng")))
            })
        })
        .answers(200, Shape::Bytes(PCAPNG)),
        Endpoint::admin(Method::GET, "/v1/events/dead", "Events that could not be delivered", |api, request| {
            Box::pin(async move {
                let page = request.page()?;
                Ok(request.listing(api.administration.dead_events(page).await?, page))
            })
        })
        .query(PAGED)
        .answers(200, Shape::List(schema::<DeadEvent>)),
    ]
}
