//! Every request that the official SDKs were recorded to send, sent again.

use axum::http::Method;
use serde_json::{Value, json};

use super::{ANY_CALL, Client, HOST, data, signed};
use crate::call::Command;

/// Recorded requests of supported operations that ask for something a later release brings.
const ASK_FOR_MORE: &[&str] = &[
    "create_call_group_streaming_transcription",
    "create_call_teams_source",
    "answer_call",
    "play_text",
    "play_ssml",
    "play_multi_interrupt",
    "recognize_choices",
    "recognize_speech",
    "recognize_speech_or_dtmf",
    "createCall",
    "createGroupCall",
    "answerCall",
    "playToAll",
    "recognizeChoices",
    "recognizeSpeech",
    "recognizeSpeechOrDtmf",
];

/// The verbs and paths of this release.
fn supported(method: &str, target: &str) -> bool {
    let path = target.split('?').next().unwrap();
    let Some(rest) = path.strip_prefix("/calling/callConnections") else { return false };
    match (method, rest.rsplit_once(':')) {
        ("GET" | "DELETE", _) => true,
        (_, Some((_, verb))) => [
            "answer",
            "redirect",
            "reject",
            "terminate",
            "play",
            "recognize",
            "cancelAllMediaOperations",
            "startContinuousDtmfRecognition",
            "stopContinuousDtmfRecognition",
            "sendDtmfTones",
            "transferToParticipant",
        ]
        .contains(&verb),
        (_, None) => rest.is_empty(),
    }
}

#[tokio::test]
async fn every_recorded_request_is_answered_as_this_release_can() {
    let (mut as_recorded, mut later) = (0, 0);
    for file in ["acs/requests-python.json", "acs/requests-js.json"] {
        let client = Client::new();
        for recorded in serde_json::from_str::<Vec<Value>>(&data(file)).unwrap() {
            let text = |name: &str| recorded[name].as_str().unwrap();
            let (name, method, target) = (text("name"), text("method"), text("target"));
            let body = if recorded["body"].is_null() { String::new() } else { recorded["body"].to_string() };
            let headers: Vec<(&str, &str)> = recorded["headers"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                .filter(|(name, _)| {
                    let ours = ["host", "x-ms-date", "x-ms-content-sha256", "authorization", "content-length"];
                    !ours.contains(&name.to_ascii_lowercase().as_str())
                })
                .collect();
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let mut request = signed(method.clone(), target, body.as_bytes(), &headers);
            if text("hostUsed") != "Host" {
                // Signed for one host and sent to another, as the SDKs do for downloads.
                let wanted = if text("hostUsed") == "x-ms-host" { HOST.into() } else { format!("localhost:{}", 18443) };
                assert_eq!(wanted, HOST);
                request.headers_mut().insert("host", "rec.asm.skype.com:18443".parse().unwrap());
            }
            let answer = client.send(request).await;
            if supported(method.as_str(), target) && !ASK_FOR_MORE.contains(&name) {
                let wanted = recorded["status"].as_u64().unwrap() as u16;
                assert_eq!(answer.status, wanted, "{file} {name}: {}", answer.text);
                as_recorded += 1;
            } else {
                assert_eq!(answer.error().0, 501, "{file} {name}");
                later += 1;
            }
        }
    }
    assert_eq!((as_recorded, later), (39, 90), "as recorded, and 501");
}

async fn command_of(target: &str, body: Value) -> Command {
    let client = Client::new();
    let answer = client.signed(Method::POST, &format!("{ANY_CALL}:{target}?api-version=1"), &body.to_string()).await;
    assert!(answer.status < 300, "{}", answer.text);
    let commands = client.fake.commands.lock().unwrap();
    commands[0].clone()
}

#[tokio::test]
async fn a_play_arrives_whole() {
    let body = json!({
        "playSources": [
            {"kind": "file", "playSourceCacheId": "x", "file": {"uri": "https://a/b.wav?sig=%2F%2f+"}},
            {"file": {"uri": "prompt:welcome"}},
        ],
        "playTo": [{"rawId": "4:+15551230001"}],
        "interruptCallMediaOperation": true,
        "playOptions": {"loop": true},
        "operationContext": "p",
        "operationCallbackUri": "http://127.0.0.1:9/op",
        "novel": {"a": 1},
    });
    let Command::Play(play) = command_of("play", body).await else { panic!() };
    assert_eq!(play.sources, ["https://a/b.wav?sig=%2F%2f+", "prompt:welcome"]);
    assert_eq!((play.to.len(), play.repeat, play.interrupt), (1, true, true));
    assert_eq!((play.context.as_deref(), play.callback.as_deref()), (Some("p"), Some("http://127.0.0.1:9/op")));
}

#[tokio::test]
async fn tones_arrive_and_their_context_comes_back() {
    let client = Client::new();
    let body = r#"{"tones":["One","POUND","a"],"targetParticipant":{"rawId":"4:+1"},"operationContext":"sd"}"#;
    let answer = client.signed(Method::POST, &format!("{ANY_CALL}:sendDtmfTones?api-version=1"), body).await;
    assert_eq!(answer.json(), json!({ "operationContext": "sd" }));
    let commands = client.fake.commands.lock().unwrap();
    let Command::SendTones { tones, .. } = &commands[0] else { panic!() };
    assert_eq!(tones.iter().map(|tone| tone.as_char()).collect::<String>(), "1#A");
}

#[tokio::test]
async fn incoming_calls_are_answered_redirected_and_rejected() {
    let client = Client::new();
    let post = async |verb: &str, body: Value| {
        let target = format!("/calling/callConnections:{verb}?api-version=1");
        client.signed(Method::POST, &target, &body.to_string()).await
    };
    let answer = post("answer", json!({"incomingCallContext": "T", "callbackUri": "http://a/"})).await;
    assert_eq!((answer.status, answer.json()["callConnectionId"].as_str()), (200, Some("answered")));
    assert_eq!(post("redirect", json!({"incomingCallContext": "T", "target": {"rawId": "sip:a@b"}})).await.status, 204);
    assert_eq!(post("reject", json!({"incomingCallContext": "T", "callRejectReason": "Busy"})).await.status, 204);
    assert_eq!(post("reject", json!({"incomingCallContext": "T"})).await.status, 204);
    let seen = client.fake.incoming.lock().unwrap().clone();
    assert_eq!(seen, ["answer T", "redirect T to sip:a@b", "reject T Busy", "reject T None"]);
    let used = post("answer", json!({"incomingCallContext": "used", "callbackUri": "http://a/"})).await;
    assert_eq!(used.error(), (400, "8523".into(), Some("incomingCallContext".into())));
}

#[tokio::test]
async fn an_error_names_its_field() {
    let client = Client::new();
    for (verb, body, field) in [
        ("", r#"{"callbackUri":"http://a/"}"#, Some("targets")),
        ("", r#"{"targets":[{"rawId":"4:+1"}]}"#, Some("callbackUri")),
        ("", r#"{"targets":[{"rawId":"4:+1"}],"callbackUri":"ftp://a/"}"#, Some("callbackUri")),
        ("", r#"{"targets":[{"phoneNumber":{"value":7}}]}"#, Some("targets[0].phoneNumber.value")),
        ("", r#"{"targets":[{"rawId":"4:x"}],"callbackUri":"http://a/"}"#, Some("targets[0].rawId")),
        ("", "{", None),
        ("", "", None),
        ("", "[]", None),
        (":answer", r#"{"callbackUri":"http://a/"}"#, Some("incomingCallContext")),
        (":redirect", r#"{"incomingCallContext":"x"}"#, Some("target")),
        (":reject", r#"{"incomingCallContext":"x","callRejectReason":"no"}"#, Some("callRejectReason")),
        ("/c:play", r#"{"playSources":[]}"#, Some("playSources")),
        ("/c:play", r#"{"playSources":[{"kind":"file"}]}"#, Some("playSources[0].file.uri")),
        ("/c:play", r#"{"playSources":[{"file":{"uri":"a.wav"}}]}"#, Some("playSources[0].file.uri")),
        ("/c:play", r#"{"playSources":[{"kind":"dance"}]}"#, Some("playSources[0].kind")),
        ("/c:play", r#"{"playSources":[{"file":{"uri":"http://a/"}}],"playTo":[{}]}"#, Some("playTo[0]")),
        ("/c:sendDtmfTones", r#"{"tones":["one"]}"#, Some("targetParticipant")),
        ("/c:sendDtmfTones", r#"{"tones":["one","1"],"targetParticipant":{"rawId":"4:+1"}}"#, Some("tones[1]")),
        ("/c:recognize", r#"{"recognizeInputType":"dtmf"}"#, Some("recognizeOptions")),
        (
            "/c:recognize",
            r#"{"recognizeInputType":"dtmf","recognizeOptions":{"initialSilenceTimeoutInSeconds":"5"}}"#,
            Some("recognizeOptions.initialSilenceTimeoutInSeconds"),
        ),
    ] {
        let target = format!("/calling/callConnections{verb}?api-version=1");
        let answer = client.signed(Method::POST, &target, body).await;
        assert_eq!(answer.error(), (400, "8523".into(), field.map(str::to_owned)), "{verb} {body}: {}", answer.text);
    }
}

#[tokio::test]
async fn participants_come_in_pages_with_the_clients_own_authority() {
    let client = Client::new();
    let mut target = "/calling/callConnections/crowd/participants?api-version=2026-03-12".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = client.signed(Method::GET, &target, "").await.json();
        for one in page["value"].as_array().unwrap() {
            seen.push(one["identifier"]["rawId"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["nextLink"].as_str() else { break };
        target = next.strip_prefix(&format!("https://{HOST}")).unwrap().to_owned();
        assert!(target.contains("api-version=2026-03-12"));
    }
    assert_eq!(seen.len(), 250);
    seen.dedup();
    assert_eq!(seen.len(), 250);
    for (id, wanted) in [("4%3A%2B15551230002", 200), ("4:+15551230002", 200), ("4%3A%2B999", 404), ("%20", 404)] {
        let target = format!("/calling/callConnections/crowd/participants/{id}?api-version=1");
        assert_eq!(client.signed(Method::GET, &target, "").await.status, wanted, "{id}");
    }
}
