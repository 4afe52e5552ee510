//! `/v1/prompts`: the audio that plays name as `prompt:NAME`.

use axum::http::{Method, StatusCode, header};

use super::check_name;
use crate::api::endpoint::{Answer, Endpoint, PAGED, Shape, schema};
use crate::api::problem::Problem;
use crate::api::service::{Prompt, PromptAudio};

/// The longest audio file in bytes.
const MAX_AUDIO: usize = 32 * 1024 * 1024;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let one = "/v1/prompts/{name}";
    vec![
        Endpoint::admin(Method::GET, "/v1/prompts", "List prompts", |api, request| {
            Box::pin(async move {
                let page = request.page()?;
                Ok(request.listing(api.administration.prompts(page).await?, page))
            })
        })
        .query(PAGED)
        .answers(200, Shape::List(schema::<Prompt>)),
        Endpoint::admin(Method::GET, one, "A prompt's audio", |api, request| {
            Box::pin(async move {
                let audio = api.administration.prompt(request.parameter("name")).await?;
                Ok(Answer::bytes(StatusCode::OK, &audio.content_type, audio.bytes))
            })
        })
        .answers(200, Shape::Bytes("audio/*")),
        Endpoint::admin(Method::PUT, one, "Create or replace a prompt: the body is an audio file", |api, request| {
            Box::pin(async move {
                let name = request.parameter("name");
                check_name(name)?;
                if request.body.is_empty() {
                    return Err(Problem::bad("body", "is empty; an audio file is wanted"));
                }
                let given = request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let content_type = given.unwrap_or("application/octet-stream").to_owned();
                let audio = PromptAudio { content_type, bytes: request.body.clone() };
                let stored = api.administration.put_prompt(name, audio).await?;
                let status = if stored.created { StatusCode::CREATED } else { StatusCode::OK };
                Ok(Answer::json(status, &stored.prompt))
            })
        })
        .body_limit(MAX_AUDIO)
        .takes(Shape::Bytes("audio/*"))
        .answers(200, Shape::Json(schema::<Prompt>))
        .answers(201, Shape::Json(schema::<Prompt>)),
        Endpoint::admin(Method::DELETE, one, "Delete a prompt", |api, request| {
            Box::pin(async move {
                api.administration.delete_prompt(request.parameter("name")).await?;
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            })
        })
        .answers(204, Shape::Empty),
    ]
}
