//! Values of the APIs that end up in SIP: none with a line end or another control character gets past the door.

use serde_json::{Value, json};

use super::*;
use crate::support::Client;

/// What no value may hold, wherever it stands.
const BREAKS: [&str; 10] =
    ["\r\nX-Evil: 1", "\r", "\n", "\0", "\t", "\u{b}", "\u{7f}", "\u{85}", "\u{2028}", "\u{2029}"];

/// The document with a text at this place.
fn with(document: &Value, pointer: &str, text: &str) -> Value {
    let mut document = document.clone();
    *document.pointer_mut(pointer).expect("a place in the document") = text.into();
    document
}

/// The places of all texts in a document, and the texts.
fn texts(value: &Value, at: String, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((at, text.clone())),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| texts(item, format!("{at}/{n}"), found)),
        Value::Object(members) => members.iter().for_each(|(name, item)| texts(item, format!("{at}/{name}"), found)),
        _ => {}
    }
}

#[tokio::test]
async fn no_document_takes_a_value_that_is_more_than_one_line() {
    let engine = Engine::start(&["--log", "error"]);
    let trunk = json!({
        "name": "carrier", "proxies": [{"uri": "sip:127.0.0.1:9"}], "username": "acct", "password": "secret",
        "networks": ["192.0.2.0/24"], "certificateNames": ["sbc.carrier.example"],
        "inbound": {"username": "in", "password": "secret"},
        "numbers": {"countryCode": "44", "nationalPrefix": "0", "internationalPrefix": "00",
            "in": [{"match": "9(.*)", "replace": "$1"}], "out": [{"match": "(.*)", "replace": "$1"}]},
        "caller": {"fromUser": "acct", "fromDomain": "me.example", "number": "+4420"}, "prefix": "+44",
    });
    let documents = [
        ("trunks", trunk),
        ("routes", json!({"name": "uk", "prefix": "+44", "trunks": [{"name": "carrier", "add": "0"}]})),
        ("routes", json!({"name": "regex", "regex": "\\+33.*", "trunks": [{"name": "carrier"}]})),
        ("users", json!({"name": "alice", "password": "wonder", "displayName": "Alice", "numbers": ["+4420"]})),
        ("rules", json!({"name": "away", "priority": 1, "action": {"redirect": {"to": "sip:a@b.example"}}})),
        ("rules", json!({"name": "on", "priority": 2, "action": {"forward": {"to": "sip:a@b.example"}}})),
    ];
    let mut refused = 0;
    for (collection, document) in &documents {
        let path = format!("/v1/{collection}/{}", document["name"].as_str().expect("a name"));
        let (status, answer) = engine.request("PUT", &path, Some(document.clone())).await;
        assert!(matches!(status, 200 | 201), "{path}: {status} {answer}");
        let mut all = Vec::new();
        texts(document, String::new(), &mut all);
        for (pointer, text) in all {
            // What matches is compared, and never sent.
            if pointer.ends_with("/match") || pointer == "/regex" {
                continue;
            }
            for hostile in BREAKS {
                let (status, answer) =
                    engine.request("PUT", &path, Some(with(document, &pointer, &format!("{text}{hostile}a")))).await;
                assert_eq!(status, 400, "{path} {pointer} {hostile:?}: {answer}");
                assert!(answer["error"]["code"].is_string() && answer["error"]["message"].is_string(), "{answer}");
                refused += 1;
            }
            let (status, answer) =
                engine.request("PUT", &path, Some(with(document, &pointer, &text.repeat(3_000)))).await;
            assert_eq!(status, 400, "{path} {pointer}, overlong: {answer}");
        }
    }
    assert!(refused > 200, "{refused}");
    let ban = json!({"source": "192.0.2.9", "reason": "a\r\nb"});
    assert_eq!(engine.request("POST", "/v1/bans", Some(ban)).await.0, 400);
}

#[tokio::test]
async fn no_call_takes_a_value_that_is_more_than_one_line() {
    let engine = Engine::start(&["--log", "error"]);
    let client = Client::new(&engine);
    let call = json!({
        "targets": [{"rawId": "sip:bob@127.0.0.1:9"}], "callbackUri": "http://127.0.0.1:9/events",
        "sourceCallerIdNumber": {"value": "+4420"}, "sourceDisplayName": "Us", "source": {"id": "8:acs:us"},
        "customCallingContext": {"sipHeaders": {"X-Campaign": "spring", "User-To-User": "00;encoding=hex"}},
    });
    let redirect = json!({"incomingCallContext": "x", "target": {"rawId": "sip:bob@127.0.0.1:9"}});
    let number = json!({"incomingCallContext": "x", "target": {"phoneNumber": {"value": "+4420"}}});
    let transfer = json!({
        "targetParticipant": {"rawId": "sip:bob@127.0.0.1:9"}, "transferee": {"rawId": "sip:al@127.0.0.1"},
        "sourceCallerIdNumber": {"value": "+4420"}, "customCallingContext": {"sipHeaders": {"X-A": "1"}},
    });
    let id = "00000000-0000-4000-8000-000000000000";
    for (path, body) in [
        ("/calling/callConnections".to_owned(), &call),
        ("/calling/callConnections:redirect".to_owned(), &redirect),
        ("/calling/callConnections:redirect".to_owned(), &number),
        (format!("/calling/callConnections/{id}:transferToParticipant"), &transfer),
    ] {
        let mut all = Vec::new();
        texts(body, String::new(), &mut all);
        for (pointer, text) in all {
            if matches!(pointer.as_str(), "/incomingCallContext" | "/callbackUri") {
                continue;
            }
            let breaks = BREAKS.iter().map(|hostile| format!("{text}{hostile}a"));
            for hostile in breaks.chain([text.repeat(3_000)]) {
                let (status, answer) = client.request("POST", &path, with(body, &pointer, &hostile)).await;
                assert_eq!(status, 400, "{path} {pointer} {hostile:?}: {answer}");
                let (code, target) = (&answer["error"]["code"], answer["error"]["target"].as_str());
                assert!(code == "8523" && target.is_some_and(|t| !t.contains(['\r', '\n'])), "{pointer}: {answer}");
            }
        }
        // A header's name is a value as well.
        if body["customCallingContext"].is_object() {
            for hostile in BREAKS {
                let mut body = body.clone();
                body["customCallingContext"]["sipHeaders"] = json!({format!("X-A{hostile}"): "1"});
                let (status, answer) = client.request("POST", &path, body).await;
                assert_eq!(status, 400, "{path} {hostile:?}: {answer}");
            }
        }
    }
    nothing_failed(&engine).await;
}

#[tokio::test]
async fn what_a_caller_writes_cannot_forge_a_line_of_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).expect("a file");
    let engine = Engine::start_logging(&folder.path().join("data"), &["--log", "trace"], file);
    menu_for_all(&engine).await;
    let caller = Raw::at(ELSEWHERE, &engine).await;
    let evil = "%0d%0a2026-01-01T00%3a00%3a00Z%20ERROR%20FORGED";
    let invite = caller
        .request("INVITE", "menu", 0, 1, "")
        .replace("From: <sip:raw@", &format!("From: \"A\u{85}\u{2028}FORGED\u{1b}[2J\" <sip:+44{evil}@"))
        .replace("Max-Forwards: 70", "Max-Forwards: 70\r\nUser-Agent: x\u{b}\u{2029}FORGED");
    caller.send(invite).await;
    let answer = caller.receive("a final answer", |text| !text.starts_with("SIP/2.0 1")).await;
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    caller.send(caller.request("ACK", "menu", 0, 1, tag(&answer))).await;
    caller.send(caller.request("BYE", "menu", 0, 2, tag(&answer))).await;
    caller.receive("the end", |text| text.contains("BYE")).await;
    let text = std::fs::read_to_string(&log).expect("the log");
    assert!(!text.is_empty());
    for line in text.lines() {
        // Each line begins with the time of its event.
        let stamp = line.trim_start().get(..20).unwrap_or_default();
        assert!(stamp.starts_with("20") && stamp.contains('T') && stamp.contains(':'), "{line:?}");
        assert!(!line.contains(['\u{1b}', '\u{85}', '\u{2028}', '\u{2029}', '\u{b}']), "{line:?}");
    }
}
