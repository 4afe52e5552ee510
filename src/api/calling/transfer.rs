//! `POST /calling/callConnections/{id}:transferToParticipant`: send the other party on to somebody else.

use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::custom_context::CustomCallingContext;
use super::{context, operation_callback};
use crate::api::endpoint::{Answer, Endpoint, Shape, schema};
use crate::api::identifier::{Identifier, PhoneNumberIdentifier, wanted};
use crate::api::problem::Problem;
use crate::call::{Command, Context, Transfer};

/// Whom to send where. The party is asked by SIP REFER to call the target, and leaves this call.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TransferToParticipantRequest {
    /// Who is called instead.
    #[schema(required)]
    target_participant: Option<Identifier>,
    /// Who is sent on; may be left out, since there is one other party.
    transferee: Option<Identifier>,
    /// Comes back in the operation's events, at most 5000 bytes.
    operation_context: Option<String>,
    /// Where this operation's events go; none: to the call's callback.
    operation_callback_uri: Option<String>,
    /// Headers for the target.
    custom_calling_context: Option<CustomCallingContext>,
    /// The number on whose behalf the target is called.
    source_caller_id_number: Option<PhoneNumberIdentifier>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TransferCallResponse {
    operation_context: Option<String>,
}

impl TransferToParticipantRequest {
    fn into_command(self) -> Result<(Command, Context), Problem> {
        let context = context(self.operation_context)?;
        let caller_id = self.source_caller_id_number.map(|number| number.party("sourceCallerIdNumber")).transpose()?;
        let command = Command::Transfer(Transfer {
            target: wanted(self.target_participant.as_ref(), "targetParticipant")?,
            transferee: self.transferee.map(|party| party.party("transferee")).transpose()?,
            caller_id,
            headers: CustomCallingContext::headers(self.custom_calling_context)?,
            context: context.clone(),
            callback: operation_callback(self.operation_callback_uri)?,
        });
        Ok((command, context))
    }
}

pub(super) fn endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}:transferToParticipant";
    Endpoint::calling(Method::POST, path, "Send the other party on to somebody else", |api, request| {
        Box::pin(async move {
            let (command, operation_context) = request.json::<TransferToParticipantRequest>()?.into_command()?;
            api.calls.command(request.call(), command).await?;
            Ok(Answer::json(StatusCode::ACCEPTED, &TransferCallResponse { operation_context }))
        })
    })
    .repeatable()
    .takes(Shape::Json(schema::<TransferToParticipantRequest>))
    .answers(202, Shape::Json(schema::<TransferCallResponse>))
}
