//! SIPp's own scenarios, as `sipp -sd NAME` shows them, beside `uac` and `uas` in `sipp`: what comes with the tool that
//! everybody tests with passes against the engine.

use serde_json::{Value, json};

use super::sipp::tool::{Sipp, Transport, free_address};
use super::sipp::{ended, place, rule_wait};
use crate::support::{Client, Engine, OneCall, Webhook};

/// `regexp`: our address, Contact and the origin of our SDP are found by its expressions.
async fn regexp(transport: Transport) {
    let engine = Engine::start(&[]);
    rule_wait(&engine).await;
    let seen = Sipp::call(&engine, "-sn regexp", transport, &[]).succeeds().await;
    let found = format!("retrievedIp: {}", engine.address(transport.listener()).ip());
    assert!(seen.contains(&found) && seen.contains("retrievedSdpOrigin-username:strowger"), "{seen}");
    let call = ended(&engine, 1).await.pop().expect("one call");
    call.assert_order(&[("media", "media agreed: PCMU"), ("state", "connected"), ("sip", "BYE")]);
}

#[tokio::test]
async fn regexp_over_udp() {
    regexp(Transport::Udp).await;
}

#[tokio::test]
async fn regexp_over_tcp() {
    regexp(Transport::Tcp).await;
}

/// `3pcc-C-A` and `3pcc-C-B`: a controller asks the engine for an offer, calls it with that, and gives each call the
/// other's answer (RFC 3725 §4.1). So both calls are ours, and the media goes from one to the other: what the one
/// presses the other hears.
#[tokio::test]
async fn two_calls_of_the_engine_talk_by_third_party_control() {
    let engine = Engine::start(&["--codecs", "pcmu,pcma"]);
    let client = Client::new(&engine);
    let mut calls = Webhook::subscribed(&engine).await;
    let between = free_address().to_string();
    // The second controller listens for the first one.
    let mut other = Sipp::listen_tcp("-sn 3pcc-C-B", &engine, &["-3pcc", &between]).await;
    let mut first = Sipp::call(&engine, "-sn 3pcc-C-A", Transport::Udp, &["-3pcc", &between]);
    let mut answered = Vec::new();
    for _ in 0..2 {
        let incoming = first.meanwhile(other.meanwhile(calls.expect("IncomingCall"))).await;
        let application = Webhook::start().await;
        let context = &incoming["incomingCallContext"];
        let answer = json!({"incomingCallContext": context, "callbackUri": application.url});
        let call = client.call("/calling/callConnections:answer", answer).await;
        answered.push((application, call, incoming["from"].clone()));
    }
    let [(presses, one, target), (hears, two, peer)] = &mut answered[..] else { panic!("two calls") };
    presses.expect("CallConnected").await;
    hears.expect("CallConnected").await;
    // The controllers hang up after a second.
    let listen = json!({"targetParticipant": peer});
    client.post(&format!("{two}:startContinuousDtmfRecognition"), listen).await;
    let press = json!({"tones": ["seven"], "targetParticipant": target});
    client.post(&format!("{one}:sendDtmfTones"), press).await;
    let tone = hears.expect("ContinuousDtmfRecognitionToneReceived").await;
    assert_eq!(tone["tone"], "seven", "{tone}");
    first.succeeds().await;
    other.succeeds().await;
    for call in ended(&engine, 2).await {
        call.assert_order(&[("media", "media agreed: PCMU"), ("state", "connected"), ("sip", "BYE")]);
    }
}

/// `3pcc-A` and `3pcc-B`: callees without a 180.
async fn answers_at_once(scenario: &str, transport: Transport) {
    let engine = Engine::start(&[]);
    let mut sipp = Sipp::listen(scenario, transport, &[]).await;
    let target = json!({"kind": "unknown", "rawId": sipp.uri()});
    let client = Client::new(&engine);
    let (mut application, call) = place(&client, target).await;
    sipp.meanwhile(application.expect("CallConnected")).await;
    client.post(&format!("{call}:terminate"), Value::Null).await;
    application.expect("CallDisconnected").await;
    sipp.succeeds().await;
    let call = ended(&engine, 1).await.pop().expect("one call");
    call.assert_order(&[("sip", "INVITE"), ("sip", "200 OK"), ("state", "connected"), ("sip", "BYE")]);
}

#[tokio::test]
async fn side_a_is_called() {
    answers_at_once("-sn 3pcc-A", Transport::Udp).await;
}

#[tokio::test]
async fn side_b_is_called() {
    answers_at_once("-sn 3pcc-B", Transport::Tcp).await;
}

/// `branchs`: the engine registers as a trunk does, then calls as `ua2`, whom it takes; both under one Call-ID, which we
/// never do, so a relay makes it one.
#[tokio::test]
async fn branchs_is_registered_at_and_called() {
    let engine = Engine::start(&[]);
    let client = Client::new(&engine);
    let address = free_address();
    let mut sipp = Sipp::listen_at(address, "-sn branchs", Transport::Udp, &[]).await;
    let relay = OneCall::to(address).await;
    let trunk = json!({
        "name": "branch",
        "uri": format!("sip:{}", relay.address()),
        "register": {"user": "ua1"},
        "caller": {"fromUser": "ua2"},
    });
    let (status, answer) = engine.request("PUT", "/v1/trunks/branch", Some(trunk)).await;
    assert!(matches!(status, 200 | 201), "{status}: {answer}");
    let registered = engine.until("a registration", async |engine| {
        let (_, trunk) = engine.request("GET", "/v1/trunks/branch", None).await;
        trunk["state"].to_string().contains("\"registered\"").then_some(())
    });
    sipp.meanwhile(registered).await;
    let target = json!({"kind": "phoneNumber", "phoneNumber": {"value": "+442079460000"}});
    let (mut application, call) = place(&client, target).await;
    sipp.meanwhile(application.expect("CallConnected")).await;
    client.post(&format!("{call}:terminate"), Value::Null).await;
    application.expect("CallDisconnected").await;
    sipp.succeeds().await;
    let call = ended(&engine, 1).await.pop().expect("one call");
    call.assert_order(&[("sip", "180 Ringing"), ("sip", "200 OK"), ("state", "connected"), ("sip", "BYE")]);
}
