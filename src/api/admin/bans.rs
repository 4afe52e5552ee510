//! `/v1/bans`: sources whose messages are dropped unread, made by the guard or by hand.

use axum::http::{Method, StatusCode};

use crate::api::endpoint::{Answer, Endpoint, PAGED, Shape, schema};
use crate::api::problem::Problem;
use crate::api::service::{Ban, Listing, NewBan};

/// The longest ban by hand: a year, in seconds.
const MOST_SECONDS: u64 = 365 * 86_400;

/// The longest reason, in characters.
const MOST_WORDS: usize = 200;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::admin(Method::GET, "/v1/bans", "Banned sources, newest first", |api, request| {
            Box::pin(async move {
                let page = request.page()?;
                let all = api.administration.bans().await?;
                let more = all.len() > page.skip.saturating_add(page.top);
                let items = all.into_iter().skip(page.skip).take(page.top).collect();
                Ok(request.listing(Listing { items, more }, page))
            })
        })
        .query(PAGED)
        .answers(200, Shape::List(schema::<Ban>)),
        Endpoint::admin(Method::POST, "/v1/bans", "Ban a source by hand, or anew", |api, request| {
            Box::pin(async move {
                let new: NewBan = request.json()?;
                check(&new)?;
                Ok(Answer::json(StatusCode::CREATED, &api.administration.ban(new).await?))
            })
        })
        .takes(Shape::Json(schema::<NewBan>))
        .answers(201, Shape::Json(schema::<Ban>)),
        Endpoint::admin(Method::DELETE, "/v1/bans/{+source}", "Lift a ban", |api, request| {
            Box::pin(async move {
                api.administration.lift_ban(request.parameter("source")).await?;
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            })
        })
        .answers(204, Shape::Empty),
    ]
}

fn check(new: &NewBan) -> Result<(), Problem> {
    if new.seconds.is_some_and(|seconds| !(1..=MOST_SECONDS).contains(&seconds)) {
        return Err(Problem::bad("seconds", format!("is 1 to {MOST_SECONDS}")));
    }
    let odd = |words: &String| words.chars().count() > MOST_WORDS || !crate::line::is_one_line(words);
    if new.reason.as_ref().is_some_and(odd) {
        return Err(Problem::bad("reason", format!("is at most {MOST_WORDS} characters, none a control character")));
    }
    Ok(())
}
