//! `/v1/users/{name}/registrations`: where a user is reached. The users themselves are documents like others.

use axum::http::{Method, StatusCode};

use crate::api::endpoint::{Answer, Endpoint, Shape, schema};
use crate::api::service::{Listing, Registration};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let all = "/v1/users/{name}/registrations";
    vec![
        Endpoint::admin(Method::GET, all, "A user's registered devices", |api, request| {
            Box::pin(async move {
                let page = request.page()?;
                let items = api.administration.registrations(request.parameter("name")).await?;
                let more = items.len() > page.skip.saturating_add(page.top);
                let items = items.into_iter().skip(page.skip).take(page.top).collect();
                Ok(request.listing(Listing { items, more }, page))
            })
        })
        .query(crate::api::endpoint::PAGED)
        .answers(200, Shape::List(schema::<Registration>)),
        Endpoint::admin(Method::DELETE, all, "Remove all of a user's registrations", |api, request| {
            Box::pin(async move {
                api.administration.remove_registrations(request.parameter("name"), None).await?;
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            })
        })
        .answers(204, Shape::Empty),
        Endpoint::admin(
            Method::DELETE,
            "/v1/users/{name}/registrations/{id}",
            "Remove one of a user's registrations",
            |api, request| {
                Box::pin(async move {
                    let id = Some(request.parameter("id").to_owned());
                    api.administration.remove_registrations(request.parameter("name"), id).await?;
                    Ok(Answer::empty(StatusCode::NO_CONTENT))
                })
            },
        )
        .answers(204, Shape::Empty),
    ]
}
