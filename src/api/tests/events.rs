//! Events have the structure of the recorded ones.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

use super::{data, noon};
use crate::api::calling::events::{CallNames, cloud_events, event_type};
use crate::api::eventgrid::{IncomingCall, incoming_call, subscription_validation};
use crate::call::{Event, EventKind, Outcome, Participant, Party, Recognized};
use crate::dtmf::Digit;
use crate::time::Time;

/// Every path of a JSON value, with the kind of value there.
fn shape(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| shape(value, &format!("{path}.{name}"), into));
        }
        Value::Array(items) => items.iter().for_each(|value| shape(value, &format!("{path}[]"), into)),
        Value::String(_) => drop(into.insert(format!("{path} text"))),
        Value::Number(_) => drop(into.insert(format!("{path} number"))),
        Value::Bool(_) => drop(into.insert(format!("{path} bool"))),
        Value::Null => drop(into.insert(format!("{path} null"))),
    }
}

fn shape_of(value: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    shape(value, "", &mut all);
    all
}

fn kinds() -> Vec<EventKind> {
    let one = |party| Participant { party, muted: false, on_hold: false };
    let participants = vec![one(Party::User("8:acs:a_b".into())), one(Party::Phone("+15551230001".into()))];
    vec![
        EventKind::CallConnected,
        EventKind::CallDisconnected,
        EventKind::CreateCallFailed,
        EventKind::AnswerFailed,
        EventKind::ParticipantsUpdated { participants, sequence_number: 1 },
        EventKind::PlayStarted,
        EventKind::PlayCompleted,
        EventKind::PlayFailed { failed_source: Some(0) },
        EventKind::PlayCanceled,
        EventKind::RecognizeCompleted(Recognized::Dtmf(vec![Digit::Five, Digit::Six, Digit::Pound])),
        EventKind::RecognizeFailed { failed_source: Some(0) },
        EventKind::RecognizeCanceled,
        EventKind::ContinuousDtmfTone { sequence_id: 1, tone: Digit::Five },
        EventKind::ContinuousDtmfStopped,
        EventKind::ContinuousDtmfFailed,
        EventKind::SendTonesCompleted,
        EventKind::SendTonesFailed,
        EventKind::CallTransferAccepted {
            target: Party::Phone("+15551230001".into()),
            transferee: Party::User("8:acs:a_b".into()),
        },
        EventKind::CallTransferFailed,
    ]
}

fn event(kind: EventKind) -> Event {
    let outcome = Outcome { code: 200, sub_code: 0, message: String::new(), sip: None, q850: None };
    Event { kind, outcome, context: Some("ctx".into()), callback: None }
}

const CALL: CallNames<'_> = CallNames {
    call_connection_id: "0b004880",
    server_call_id: "aHR0cHM6Ly9leGFtcGxl",
    correlation_id: "1b541d21",
    api_version: "2026-03-12",
};

#[test]
fn every_event_has_the_structure_of_the_recorded_one() {
    let recorded: BTreeMap<String, Vec<Value>> = serde_json::from_str(&data("acs/callback-events.json")).unwrap();
    let mut seen = BTreeSet::new();
    for kind in kinds() {
        let name = event_type(&kind).strip_prefix("Microsoft.Communication.").unwrap();
        let ours = cloud_events(&event(kind), &CALL, Uuid::from_u128(7), noon());
        let theirs = Value::Array(recorded[name].clone());
        assert_eq!(shape_of(&ours), shape_of(&theirs), "{name}");
        assert_eq!(ours[0]["type"], theirs[0]["type"]);
        assert_eq!(ours[0]["data"]["publicEventType"], theirs[0]["type"]);
        assert_eq!(ours[0]["source"], "calling/callConnections/0b004880");
        assert_eq!(ours[0]["subject"], ours[0]["source"]);
        seen.insert(name);
    }
    assert_eq!(seen.len(), 19);
}

#[test]
fn times_have_seven_digits() {
    let at = Time::from_micros(1_789_472_167_993_757);
    let event = cloud_events(&event(EventKind::PlayStarted), &CALL, Uuid::nil(), at);
    assert_eq!(event[0]["time"], "2026-09-15T11:36:07.9937570+00:00");
    assert_eq!(event[0]["data"]["version"], "2026-03-12");
}

#[test]
fn what_is_unset_is_empty_and_details_come_along() {
    let mut one = event(EventKind::RecognizeCompleted(Recognized::Choice { label: "Yes".into(), phrase: "".into() }));
    one.context = None;
    one.outcome.sip = Some((486, "Busy Here".into()));
    one.outcome.q850 = Some((17, "User busy".into()));
    let data = &cloud_events(&one, &CALL, Uuid::nil(), noon())[0]["data"];
    assert_eq!(data["operationContext"], "");
    assert_eq!(data["recognitionType"], "choices");
    assert_eq!(data["choiceResult"], serde_json::json!({"label": "Yes", "recognizedPhrase": ""}));
    assert_eq!(data["resultInformation"]["sipDetails"]["code"], 486);
    assert_eq!(data["resultInformation"]["q850Details"]["message"], "User busy");
}

#[test]
fn event_grid_events_have_the_structure_of_the_recorded_ones() {
    let recorded: Vec<Value> = serde_json::from_str(&data("acs/eventgrid-events.json")).unwrap();
    let call = IncomingCall {
        to: &Party::Phone("+15551230001".into()),
        from: &Party::Phone("+15551230009".into()),
        caller_display_name: "",
        server_call_id: "s",
        correlation_id: "c",
        incoming_call_context: "token",
        sip_headers: &BTreeMap::from([("User-To-User".to_owned(), "abc".to_owned())]),
        diverted_by: &[],
        alert_info: None,
    };
    let ours = incoming_call(&call, Uuid::nil(), noon());
    assert_eq!(shape_of(&ours), shape_of(&Value::Array(vec![recorded[0].clone()])));
    assert_eq!(ours[0]["subject"], recorded[0]["subject"]);
    assert_eq!(ours[0]["eventTime"], "2026-11-22T09:26:04.0000000Z");
    let ours = subscription_validation("code", "https://x/", Uuid::nil(), noon());
    assert_eq!(shape_of(&ours), shape_of(&Value::Array(vec![recorded[1].clone()])));
}
