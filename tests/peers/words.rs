//! SIPp with what calls carry besides media: headers for and from applications, who diverted a call (RFC 5806, 7044),
//! reasons (RFC 3326), INFO of unknown packages (RFC 6086).

use serde_json::json;

use super::sipp::only_one;
use super::sipp::tool::{Sipp, Transport};
use crate::support::{Client, Engine, Webhook};

async fn caller_says_a_lot(transport: Transport) {
    let engine = Engine::start(&[]);
    let mut application = Webhook::subscribed(&engine).await;
    let mut sipp = Sipp::call(&engine, "words-caller", transport, &[]);
    let incoming = sipp.meanwhile(application.expect("IncomingCall")).await;
    let headers = json!({
        "User-to-User": "56a390f3d2b7310023a;encoding=hex", "X-Account": "4711", "X-Odd": "\"a; b\", c",
    });
    assert_eq!(incoming["customContext"]["sipHeaders"], headers, "{incoming}");
    let diverted = incoming["divertedBy"].as_array().expect("who diverted it");
    assert_eq!(diverted.len(), 2, "{incoming}");
    assert!(diverted[0].to_string().contains("+15551230042") && diverted[0]["reason"] == "no-answer", "{incoming}");
    assert!(incoming.to_string().contains("<urn:alert:source:external>"), "{incoming}");
    let wish = json!({"incomingCallContext": incoming["incomingCallContext"], "callbackUri": application.url});
    Client::new(&engine).call("/calling/callConnections:answer", wish).await;
    let over = sipp.meanwhile(application.expect("CallDisconnected")).await;
    let told = &over["resultInformation"]["q850Details"];
    assert_eq!((&told["code"], &told["message"]), (&json!(31), &json!("Normal, unspecified")), "{over}");
    sipp.succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("sip", "sent on to us by +15551230042 (no-answer), before that by +15551230043 (user-busy)"),
        ("sip", "INFO"),
        ("sip", "469 Bad Info Package"),
        ("sip", "BYE"),
    ]);
}

#[tokio::test]
async fn a_caller_says_a_lot_over_udp() {
    caller_says_a_lot(Transport::Udp).await;
}

#[tokio::test]
async fn a_caller_says_a_lot_over_tcp() {
    caller_says_a_lot(Transport::Tcp).await;
}

#[tokio::test]
async fn a_history_is_shown_and_a_refusal_says_why() {
    let engine = Engine::start(&[]);
    engine.rule(json!({"name": "no", "priority": 1, "action": {"reject": {"reason": "busy"}}})).await;
    Sipp::call(&engine, "words-history", Transport::Udp, &[]).succeeds().await;
    only_one(&engine).await.assert_order(&[("sip", "sent on to us by +15551230044 (486)"), ("sip", "486 Busy Here")]);
}

async fn callee_is_told_a_lot(transport: Transport) {
    let engine = Engine::start(&[]);
    let mut sipp = Sipp::listen("words-callee", transport, &[]).await;
    let mut application = Webhook::start().await;
    let wish = json!({
        "targets": [{"kind": "unknown", "rawId": sipp.uri()}],
        "callbackUri": application.url,
        "customCallingContext": {
            "sipHeaders": {"User-To-User": "0048656c6c6f;encoding=hex", "X-Campaign": "spring sale"},
        },
    });
    Client::new(&engine).call("/calling/callConnections", wish).await;
    sipp.meanwhile(application.expect("CallConnected")).await;
    let over = sipp.meanwhile(application.expect("CallDisconnected")).await;
    let told = &over["resultInformation"]["q850Details"];
    assert_eq!((&told["code"], &told["message"]), (&json!(38), &json!("Network out of order")), "{over}");
    sipp.succeeds().await;
}

#[tokio::test]
async fn a_callee_is_told_a_lot_over_udp() {
    callee_is_told_a_lot(Transport::Udp).await;
}

#[tokio::test]
async fn a_callee_is_told_a_lot_over_tcp() {
    callee_is_told_a_lot(Transport::Tcp).await;
}
