//! Event Grid events: how an application hears of an incoming call, and the handshake of a subscription. Ids, times
//! and tokens come in as values; sending is the room `events`'.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::calling::events::{identifier, seven_digits};
use super::identifier::raw_id;
use crate::call::Party;
use crate::time::Time;

/// The resource that events come from.
const TOPIC: &str =
    "/subscriptions/local/resourceGroups/local/providers/microsoft.communication/communicationservices/local";

/// The type of an incoming call's event.
pub const INCOMING_CALL: &str = "Microsoft.Communication.IncomingCall";

/// The type of a handshake's event.
pub const SUBSCRIPTION_VALIDATION: &str = "Microsoft.EventGrid.SubscriptionValidationEvent";

/// An incoming call, as an application hears of it.
#[derive(Clone, Copy, Debug)]
pub struct IncomingCall<'a> {
    /// Who is called.
    pub to: &'a Party,
    /// Who calls.
    pub from: &'a Party,
    /// The name that the caller shows; empty: none.
    pub caller_display_name: &'a str,
    /// Opaque; the same in every event of the call.
    pub server_call_id: &'a str,
    /// The same in every event of the call.
    pub correlation_id: &'a str,
    /// What the application answers, redirects or rejects with.
    pub incoming_call_context: &'a str,
    /// `User-To-User` and `X-…` headers of the INVITE.
    pub sip_headers: &'a BTreeMap<String, String>,
    /// Who sent the call on to us, the latest first; ours, ACS does not tell.
    pub diverted_by: &'a [Diverted],
    /// How the caller wants it to ring: the value of Alert-Info; ours, ACS does not tell.
    pub alert_info: Option<&'a str>,
}

/// A party that sent a call on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diverted {
    /// Who.
    pub by: Party,
    /// `user-busy`, `no-answer`, `unconditional`…, or a status; none: not told.
    pub reason: Option<String>,
}

/// The body that is posted for an incoming call: an array with one event.
pub fn incoming_call(call: &IncomingCall<'_>, id: Uuid, at: Time) -> Value {
    let mut data = json!({
        "to": identifier(call.to),
        "from": identifier(call.from),
        "serverCallId": call.server_call_id,
        "callerDisplayName": call.caller_display_name,
        "customContext": { "sipHeaders": call.sip_headers, "voipHeaders": {} },
        "incomingCallContext": call.incoming_call_context,
        "correlationId": call.correlation_id,
    });
    let diverted: Vec<Value> = call
        .diverted_by
        .iter()
        .map(|diverted| json!({ "identifier": identifier(&diverted.by), "reason": diverted.reason }))
        .collect();
    let ours = [
        ("divertedBy", (!diverted.is_empty()).then(|| Value::from(diverted))),
        ("alertInfo", call.alert_info.map(Value::from)),
    ];
    if let Some(data) = data.as_object_mut() {
        data.extend(ours.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    json!([{
        "id": id,
        "topic": TOPIC,
        "subject": format!("/caller/{}/recipient/{}", raw_id(call.from), raw_id(call.to)),
        "data": data,
        "eventType": INCOMING_CALL,
        "dataVersion": "1.0",
        "metadataVersion": "1",
        "eventTime": format!("{}Z", seven_digits(at)),
    }])
}

/// The body of a subscription's handshake. The endpoint answers `{"validationResponse": code}`, or visits the URL.
pub fn subscription_validation(code: &str, url: &str, id: Uuid, at: Time) -> Value {
    json!([{
        "id": id,
        "topic": TOPIC,
        "subject": "",
        "data": { "validationCode": code, "validationUrl": url },
        "eventType": SUBSCRIPTION_VALIDATION,
        "eventTime": format!("{}Z", seven_digits(at)),
        "metadataVersion": "1",
        "dataVersion": "1",
    }])
}
