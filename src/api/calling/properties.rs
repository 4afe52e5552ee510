//! CallConnectionProperties: a call as create, answer and get show it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::identifier::{Identifier, PhoneNumberIdentifier, UserIdentifier};
use crate::api::service::{CallProperties, ConnectionState};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallConnectionProperties {
    call_connection_id: String,
    server_call_id: String,
    targets: Vec<Identifier>,
    call_connection_state: ConnectionState,
    callback_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_caller_id_number: Option<PhoneNumberIdentifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Identifier>,
    correlation_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_by: Option<UserIdentifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_for: Option<PhoneNumberIdentifier>,
}

impl From<CallProperties> for CallConnectionProperties {
    fn from(call: CallProperties) -> Self {
        let number = |value: String| PhoneNumberIdentifier { value: Some(value), is_anonymous: None };
        CallConnectionProperties {
            call_connection_id: call.id,
            server_call_id: call.server_call_id,
            targets: call.targets.iter().map(Identifier::from).collect(),
            call_connection_state: call.state,
            callback_uri: call.callback,
            source_caller_id_number: call.caller_id.map(number),
            source_display_name: call.display_name,
            source: call.source.as_ref().map(Identifier::from),
            correlation_id: call.correlation_id,
            answered_by: call.answered_by.map(|party| UserIdentifier { id: Some(party.as_str().to_owned()) }),
            answered_for: call.answered_for.map(number),
        }
    }
}
