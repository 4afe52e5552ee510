//! `POST /calling/callConnections/{id}:startContinuousDtmfRecognition` and `:stop…`: report each key as it is pressed.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{context, operation_callback};
use crate::api::endpoint::{Answer, Endpoint, Shape, schema};
use crate::api::identifier::{Identifier, wanted};
use crate::api::problem::Problem;
use crate::call::{Command, Context, Party};

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ContinuousDtmfRecognitionRequest {
    /// Who is listened to.
    #[schema(required)]
    target_participant: Option<Identifier>,
    /// Comes back in the events, at most 5000 bytes.
    operation_context: Option<String>,
    /// Where the events go, where not to the call's callback.
    operation_callback_uri: Option<String>,
}

impl ContinuousDtmfRecognitionRequest {
    fn parts(self) -> Result<(Party, Context, Option<String>), Problem> {
        let party = wanted(self.target_participant.as_ref(), "targetParticipant")?;
        Ok((party, context(self.operation_context)?, operation_callback(self.operation_callback_uri)?))
    }
}

pub(super) fn start_endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}:startContinuousDtmfRecognition";
    Endpoint::calling(Method::POST, path, "Report each key as it is pressed", |api, request| {
        Box::pin(async move {
            let (party, context, callback) = request.json::<ContinuousDtmfRecognitionRequest>()?.parts()?;
            let command = Command::StartContinuousDtmf { party, context, callback };
            api.calls.command(request.call(), command).await?;
            Ok(Answer::empty(StatusCode::OK))
        })
    })
    .takes(Shape::Json(schema::<ContinuousDtmfRecognitionRequest>))
    .answers(200, Shape::Empty)
}

pub(super) fn stop_endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}:stopContinuousDtmfRecognition";
    Endpoint::calling(Method::POST, path, "Stop reporting keys", |api, request| {
        Box::pin(async move {
            let (party, context, callback) = request.json::<ContinuousDtmfRecognitionRequest>()?.parts()?;
            let command = Command::StopContinuousDtmf { party, context, callback };
            api.calls.command(request.call(), command).await?;
            Ok(Answer::empty(StatusCode::OK))
        })
    })
    .takes(Shape::Json(schema::<ContinuousDtmfRecognitionRequest>))
    .answers(200, Shape::Empty)
}
