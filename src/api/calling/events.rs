//! Domain events as CloudEvents 1.0 on the ACS wire: the JSON array that is posted to a callback. Ids and times come
//! in as values; keeping, ordering, signing and sending them is the room `events`'.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api::identifier::{CallParticipant, Identifier};
use crate::call::{Event, EventKind, Outcome, Recognized};
use crate::time::Time;

/// What every event of a call says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallNames<'a> {
    /// The call connection id.
    pub call_connection_id: &'a str,
    /// The server call id.
    pub server_call_id: &'a str,
    /// The correlation id.
    pub correlation_id: &'a str,
    /// The version that the application spoke when it created or answered the call.
    pub api_version: &'a str,
}

/// The event's type as applications know it: `Microsoft.Communication.CallConnected`…
pub fn event_type(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::CallConnected => "Microsoft.Communication.CallConnected",
        EventKind::CallDisconnected => "Microsoft.Communication.CallDisconnected",
        EventKind::CreateCallFailed => "Microsoft.Communication.CreateCallFailed",
        EventKind::AnswerFailed => "Microsoft.Communication.AnswerFailed",
        EventKind::ParticipantsUpdated { .. } => "Microsoft.Communication.ParticipantsUpdated",
        EventKind::PlayStarted => "Microsoft.Communication.PlayStarted",
        EventKind::PlayCompleted => "Microsoft.Communication.PlayCompleted",
        EventKind::PlayFailed { .. } => "Microsoft.Communication.PlayFailed",
        EventKind::PlayCanceled => "Microsoft.Communication.PlayCanceled",
        EventKind::RecognizeCompleted(_) => "Microsoft.Communication.RecognizeCompleted",
        EventKind::RecognizeFailed { .. } => "Microsoft.Communication.RecognizeFailed",
        EventKind::RecognizeCanceled => "Microsoft.Communication.RecognizeCanceled",
        EventKind::ContinuousDtmfTone { .. } => "Microsoft.Communication.ContinuousDtmfRecognitionToneReceived",
        EventKind::ContinuousDtmfStopped => "Microsoft.Communication.ContinuousDtmfRecognitionStopped",
        EventKind::ContinuousDtmfFailed => "Microsoft.Communication.ContinuousDtmfRecognitionToneFailed",
        EventKind::CallTransferAccepted { .. } => "Microsoft.Communication.CallTransferAccepted",
        EventKind::CallTransferFailed => "Microsoft.Communication.CallTransferFailed",
        EventKind::SendTonesCompleted => "Microsoft.Communication.SendDtmfTonesCompleted",
        EventKind::SendTonesFailed => "Microsoft.Communication.SendDtmfTonesFailed",
    }
}

/// The body that is posted for one event: an array with one CloudEvent.
pub fn cloud_events(event: &Event, call: &CallNames<'_>, id: Uuid, at: Time) -> Value {
    let kind = event_type(&event.kind);
    let source = format!("calling/callConnections/{}", call.call_connection_id);
    let mut data = details(&event.kind);
    data.insert("resultInformation".into(), result_information(&event.outcome));
    for (name, value) in [
        ("version", call.api_version),
        ("callConnectionId", call.call_connection_id),
        ("serverCallId", call.server_call_id),
        ("correlationId", call.correlation_id),
        ("operationContext", event.context.as_deref().unwrap_or_default()),
        ("publicEventType", kind),
    ] {
        data.insert(name.into(), value.into());
    }
    json!([{
        "id": id,
        "source": source,
        "type": kind,
        "data": data,
        "time": format!("{}+00:00", seven_digits(at)),
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "subject": source,
    }])
}

/// `2026-09-15T11:36:07.9937570`, without a zone.
pub(in crate::api) fn seven_digits(at: Time) -> String {
    let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
    let stamp = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    format!("{stamp:.7}").trim_end_matches('Z').to_owned()
}

/// What only events of this type have.
fn details(kind: &EventKind) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.into(), value);
    match kind {
        EventKind::ParticipantsUpdated { participants, sequence_number } => {
            let participants: Vec<_> = participants.iter().map(CallParticipant::from).map(|one| json!(one)).collect();
            put("participants", participants.into());
            put("sequenceNumber", (*sequence_number).into());
        }
        EventKind::PlayFailed { failed_source: Some(index) }
        | EventKind::RecognizeFailed { failed_source: Some(index) } => {
            put("failedPlaySourceIndex", (*index).into());
        }
        EventKind::RecognizeCompleted(Recognized::Dtmf(digits)) => {
            let tones: Vec<_> = digits.iter().map(|digit| digit.tone_name()).collect();
            put("recognitionType", "dtmf".into());
            put("dtmfResult", json!({ "tones": tones }));
        }
        EventKind::RecognizeCompleted(Recognized::Choice { label, phrase }) => {
            put("recognitionType", "choices".into());
            put("choiceResult", json!({ "label": label, "recognizedPhrase": phrase }));
        }
        EventKind::ContinuousDtmfTone { sequence_id, tone } => {
            put("sequenceId", (*sequence_id).into());
            put("tone", tone.tone_name().into());
        }
        EventKind::CallTransferAccepted { target, transferee } => {
            put("transferTarget", identifier(target));
            put("transferee", identifier(transferee));
        }
        EventKind::CallConnected
        | EventKind::CallTransferFailed
        | EventKind::CallDisconnected
        | EventKind::CreateCallFailed
        | EventKind::AnswerFailed
        | EventKind::PlayStarted
        | EventKind::PlayCompleted
        | EventKind::PlayFailed { failed_source: None }
        | EventKind::PlayCanceled
        | EventKind::RecognizeFailed { failed_source: None }
        | EventKind::RecognizeCanceled
        | EventKind::ContinuousDtmfStopped
        | EventKind::ContinuousDtmfFailed
        | EventKind::SendTonesCompleted
        | EventKind::SendTonesFailed => {}
    }
    data
}

fn result_information(outcome: &Outcome) -> Value {
    let mut result = json!({ "code": outcome.code, "subCode": outcome.sub_code, "message": outcome.message });
    for (name, details) in [("sipDetails", &outcome.sip), ("q850Details", &outcome.q850)] {
        if let (Some((code, message)), Some(result)) = (details, result.as_object_mut()) {
            result.insert(name.into(), json!({ "code": code, "message": message }));
        }
    }
    result
}

/// How a party is written in events and answers.
pub fn identifier(party: &crate::call::Party) -> Value {
    json!(Identifier::from(party))
}
