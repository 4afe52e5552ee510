//! `GET /calling/callConnections/{id}/participants[/{rawId}]`: who is on a call.

use axum::http::{Method, StatusCode};

use crate::api::endpoint::{Answer, Endpoint, PAGED, Shape, no_such_participant, schema};
use crate::api::identifier::{CallParticipant, from_raw_id};
use crate::api::service::Listing;

pub(super) fn list_endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}/participants";
    Endpoint::calling(Method::GET, path, "Who is on a call", |api, request| {
        Box::pin(async move {
            let page = request.page()?;
            let all = api.calls.participants(request.call()).await?;
            let rest = all.len().saturating_sub(page.skip);
            let items = all.iter().skip(page.skip).take(page.top).map(CallParticipant::from).collect();
            Ok(request.listing(Listing { items, more: rest > page.top }, page))
        })
    })
    .query(PAGED)
    .answers(200, Shape::List(schema::<CallParticipant>))
}

pub(super) fn get_endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}/participants/{+participantRawId}";
    Endpoint::calling(Method::GET, path, "Somebody on a call", |api, request| {
        Box::pin(async move {
            let all = api.calls.participants(request.call()).await?;
            let party = from_raw_id(request.parameter("participantRawId"));
            let found = all.iter().find(|participant| Some(&participant.party) == party.as_ref());
            let found = found.ok_or_else(no_such_participant)?;
            Ok(Answer::json(StatusCode::OK, &CallParticipant::from(found)))
        })
    })
    .answers(200, Shape::Json(schema::<CallParticipant>))
}
