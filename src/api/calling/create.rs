//! `POST /calling/callConnections`: place a call.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::custom_context::CustomCallingContext;
use super::properties::CallConnectionProperties;
use super::{callback, context, not_yet};
use crate::api::endpoint::{Answer, Endpoint, Shape, schema};
use crate::api::identifier::{Identifier, PhoneNumberIdentifier, UserIdentifier};
use crate::api::problem::Problem;
use crate::api::service::CreateCall;
use crate::line::is_one_line;

/// A call to place. `callIntelligenceOptions` (speech) are taken and not used yet.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CreateCallRequest {
    /// Whom to call. One, in this release.
    #[schema(required)]
    targets: Option<Vec<Identifier>>,
    /// Where the call's events go.
    #[schema(required)]
    callback_uri: Option<String>,
    /// The number shown to the callee.
    source_caller_id_number: Option<PhoneNumberIdentifier>,
    /// The name shown to the callee, at most 256 bytes.
    source_display_name: Option<String>,
    /// Who calls.
    source: Option<UserIdentifier>,
    /// Headers for the callee.
    custom_calling_context: Option<CustomCallingContext>,
    /// Comes back in the call's events, at most 5000 bytes.
    operation_context: Option<String>,
    /// Comes with a later release.
    #[schema(value_type = Option<Object>)]
    media_streaming_options: Option<Value>,
    /// Comes with a later release.
    #[schema(value_type = Option<Object>)]
    transcription_options: Option<Value>,
    /// Comes with a later release.
    #[schema(value_type = Option<Object>)]
    teams_app_source: Option<Value>,
}

/// The most targets that are read.
const MAX_TARGETS: usize = 350;

impl CreateCallRequest {
    fn into_wish(self, api_version: &str) -> Result<CreateCall, Problem> {
        let targets = self.targets.unwrap_or_default();
        if targets.is_empty() || targets.len() > MAX_TARGETS {
            return Err(Problem::bad("targets", "names whom to call: 1 to 350"));
        }
        let callback = callback(self.callback_uri)?;
        not_yet([
            ("mediaStreamingOptions", &self.media_streaming_options),
            ("transcriptionOptions", &self.transcription_options),
            ("teamsAppSource", &self.teams_app_source),
        ])?;
        let parties = targets.iter().enumerate().map(|(index, target)| target.party(&format!("targets[{index}]")));
        let targets = parties.collect::<Result<Vec<_>, _>>()?;
        if targets.len() > 1 {
            return Err(Problem::later("targets", "calls to several targets"));
        }
        if self.source_display_name.as_ref().is_some_and(|name| name.len() > 256) {
            return Err(Problem::bad("sourceDisplayName", "has more than 256 bytes"));
        }
        if self.source_display_name.as_ref().is_some_and(|name| !is_one_line(name)) {
            return Err(Problem::bad("sourceDisplayName", "has line ends or other control characters"));
        }
        let caller_id = self.source_caller_id_number.map(|number| number.party("sourceCallerIdNumber")).transpose()?;
        Ok(CreateCall {
            targets,
            caller_id: caller_id.map(|party| party.as_str().to_owned()),
            display_name: self.source_display_name.filter(|name| !name.is_empty()),
            source: self.source.map(|user| user.party("source")).transpose()?,
            context: context(self.operation_context)?,
            headers: CustomCallingContext::headers(self.custom_calling_context)?,
            callback,
            api_version: api_version.to_owned(),
            capture_rtp: false,
        })
    }
}

pub(super) fn endpoint() -> Endpoint {
    Endpoint::calling(Method::POST, "/calling/callConnections", "Place a call", |api, request| {
        Box::pin(async move {
            let mut wish = request.json::<CreateCallRequest>()?.into_wish(&request.api_version)?;
            wish.capture_rtp = request.wants_rtp_captured()?;
            let call = api.calls.create_call(wish).await?;
            Ok(Answer::json(StatusCode::CREATED, &CallConnectionProperties::from(call)))
        })
    })
    .repeatable()
    .takes(Shape::Json(schema::<CreateCallRequest>))
    .answers(201, Shape::Json(schema::<CallConnectionProperties>))
}
