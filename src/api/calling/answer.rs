//! `POST /calling/callConnections:answer`: take an incoming call.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::properties::CallConnectionProperties;
use super::{callback, context, not_yet};
use crate::api::endpoint::{Answer, Endpoint, Shape, schema};
use crate::api::identifier::UserIdentifier;
use crate::api::problem::Problem;
use crate::api::service::AnswerCall;

/// An incoming call to take. `callIntelligenceOptions` (speech) are taken and not used yet.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AnswerCallRequest {
    /// From the IncomingCall event; opens one call, once.
    #[schema(required)]
    incoming_call_context: Option<String>,
    /// Where the call's events go.
    #[schema(required)]
    callback_uri: Option<String>,
    /// Comes back in the call's events, at most 5000 bytes.
    operation_context: Option<String>,
    /// Who answers.
    answered_by: Option<UserIdentifier>,
    /// Comes with a later release.
    #[schema(value_type = Option<Object>)]
    media_streaming_options: Option<Value>,
    /// Comes with a later release.
    #[schema(value_type = Option<Object>)]
    transcription_options: Option<Value>,
}

/// The longest token in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// The token of an incoming call, not yet verified.
pub(super) fn token(given: Option<String>) -> Result<String, Problem> {
    let given = given.filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN);
    given.ok_or_else(|| Problem::bad("incomingCallContext", "is required, at most 16384 bytes"))
}

impl AnswerCallRequest {
    fn into_wish(self, api_version: &str) -> Result<AnswerCall, Problem> {
        let token = token(self.incoming_call_context)?;
        let callback = callback(self.callback_uri)?;
        not_yet([
            ("mediaStreamingOptions", &self.media_streaming_options),
            ("transcriptionOptions", &self.transcription_options),
            ("", &None),
        ])?;
        Ok(AnswerCall {
            token,
            callback,
            context: context(self.operation_context)?,
            answered_by: self.answered_by.map(|user| user.party("answeredBy")).transpose()?,
            api_version: api_version.to_owned(),
            capture_rtp: false,
        })
    }
}

pub(super) fn endpoint() -> Endpoint {
    Endpoint::calling(Method::POST, "/calling/callConnections:answer", "Take an incoming call", |api, request| {
        Box::pin(async move {
            let mut wish = request.json::<AnswerCallRequest>()?.into_wish(&request.api_version)?;
            wish.capture_rtp = request.wants_rtp_captured()?;
            let call = api.calls.answer(wish).await?;
            Ok(Answer::json(StatusCode::OK, &CallConnectionProperties::from(call)))
        })
    })
    .repeatable()
    .takes(Shape::Json(schema::<AnswerCallRequest>))
    .answers(200, Shape::Json(schema::<CallConnectionProperties>))
}
