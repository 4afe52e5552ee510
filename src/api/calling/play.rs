//! `POST /calling/callConnections/{id}:play`: play to everybody or to one.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::source::{PlaySource, uris};
use super::{context, operation_callback};
use crate::api::endpoint::{Answer, Endpoint, Shape, schema};
use crate::api::identifier::Identifier;
use crate::api::problem::Problem;
use crate::call::{Command, Play};

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlayRequest {
    /// 1 to 10 sources, played in order.
    #[schema(required)]
    play_sources: Option<Vec<PlaySource>>,
    /// Who hears it; nobody named: everybody.
    play_to: Option<Vec<Identifier>>,
    /// Cancel what plays and waits, instead of waiting behind it.
    interrupt_call_media_operation: Option<bool>,
    play_options: Option<PlayOptions>,
    /// Comes back in the play's events, at most 5000 bytes.
    operation_context: Option<String>,
    /// Where the play's events go, where not to the call's callback.
    operation_callback_uri: Option<String>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlayOptions {
    /// Start again after the last source, until canceled.
    #[serde(rename = "loop")]
    repeat: Option<bool>,
}

/// The most parties that one play names.
const MAX_LISTENERS: usize = 350;

impl PlayRequest {
    fn into_command(self) -> Result<Command, Problem> {
        let sources = uris(self.play_sources.unwrap_or_default(), "playSources")?;
        if sources.is_empty() {
            return Err(Problem::bad("playSources", "is required: 1 to 10 sources"));
        }
        let to = self.play_to.unwrap_or_default();
        if to.len() > MAX_LISTENERS {
            return Err(Problem::bad("playTo", "names more than 350 parties"));
        }
        let to = to.iter().enumerate().map(|(index, party)| party.party(&format!("playTo[{index}]")));
        Ok(Command::Play(Play {
            sources,
            to: to.collect::<Result<_, _>>()?,
            repeat: self.play_options.and_then(|options| options.repeat).unwrap_or(false),
            interrupt: self.interrupt_call_media_operation.unwrap_or(false),
            context: context(self.operation_context)?,
            callback: operation_callback(self.operation_callback_uri)?,
        }))
    }
}

pub(super) fn endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}:play";
    Endpoint::calling(Method::POST, path, "Play audio", |api, request| {
        Box::pin(async move {
            let command = request.json::<PlayRequest>()?.into_command()?;
            api.calls.command(request.call(), command).await?;
            Ok(Answer::empty(StatusCode::ACCEPTED))
        })
    })
    .takes(Shape::Json(schema::<PlayRequest>))
    .answers(202, Shape::Empty)
}
