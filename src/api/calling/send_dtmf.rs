//! `POST /calling/callConnections/{id}:sendDtmfTones`: press keys towards somebody.

use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{context, operation_callback, tones};
use crate::api::endpoint::{Answer, Endpoint, Shape, schema};
use crate::api::identifier::{Identifier, wanted};
use crate::api::problem::Problem;
use crate::call::{Command, Context, MAX_TONES};

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SendDtmfTonesRequest {
    /// 1 to 512 of `zero` to `nine`, `a` to `d`, `pound`, `asterisk`.
    #[schema(required)]
    tones: Option<Vec<String>>,
    /// Who hears them.
    #[schema(required)]
    target_participant: Option<Identifier>,
    /// Comes back here and in the event, at most 5000 bytes.
    operation_context: Option<String>,
    /// Where the event goes, where not to the call's callback.
    operation_callback_uri: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SendDtmfTonesResult {
    operation_context: Option<String>,
}

impl SendDtmfTonesRequest {
    fn into_command(self) -> Result<(Command, Context), Problem> {
        let names = self.tones.unwrap_or_default();
        if !(1..=MAX_TONES).contains(&names.len()) {
            return Err(Problem::bad("tones", format!("is required: 1 to {MAX_TONES} tones")));
        }
        let context = context(self.operation_context)?;
        let command = Command::SendTones {
            party: wanted(self.target_participant.as_ref(), "targetParticipant")?,
            tones: tones(&names, "tones")?,
            context: context.clone(),
            callback: operation_callback(self.operation_callback_uri)?,
        };
        Ok((command, context))
    }
}

pub(super) fn endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}:sendDtmfTones";
    Endpoint::calling(Method::POST, path, "Press keys towards somebody", |api, request| {
        Box::pin(async move {
            let (command, operation_context) = request.json::<SendDtmfTonesRequest>()?.into_command()?;
            api.calls.command(request.call(), command).await?;
            Ok(Answer::json(StatusCode::ACCEPTED, &SendDtmfTonesResult { operation_context }))
        })
    })
    .repeatable()
    .takes(Shape::Json(schema::<SendDtmfTonesRequest>))
    .answers(202, Shape::Json(schema::<SendDtmfTonesResult>))
}
