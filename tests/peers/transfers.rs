//! SIPp with calls that move on: REFER of the peer's that the engine follows (RFC 3515, 4488), REFER of the engine's,
//! and dialogs that another one takes the place of (RFC 3891).

use serde_json::{Value, json};

use super::sipp::tool::{Sipp, Transport, free_address};
use super::sipp::{assert_steady, ended, flags, key, only_one, place, rule_wait};
use crate::support::{Carrier, Client, Engine, Manner, RtpPort, Webhook};

/// SIPp is nobody that we know.
const FOLLOWS: &[&str] = &["--follow-transfers", "strangers"];

/// Answers the incoming call; its path.
async fn answer(client: &Client, application: &mut Webhook) -> String {
    let incoming = application.expect("IncomingCall").await;
    let wish = json!({"incomingCallContext": incoming["incomingCallContext"], "callbackUri": application.url});
    let call = client.call("/calling/callConnections:answer", wish).await;
    application.expect("CallConnected").await;
    call
}

async fn refers(scenario: &str, transport: Transport) {
    let engine = Engine::start(FOLLOWS);
    let client = Client::new(&engine);
    let mut application = Webhook::subscribed(&engine).await;
    let mut ear = RtpPort::open().await;
    let mut target = Sipp::listen("referred-target", transport, &flags(&[key("rtp_port", ear.port())])).await;
    let uri = target.uri();
    let mut sipp = Sipp::call(&engine, scenario, transport, &["-key", "target", &uri]);
    let call = sipp.meanwhile(answer(&client, &mut application)).await;
    // Whoever talked to the caller talks to the target now.
    assert!(target.meanwhile(ear.packets(5)).await.iter().all(|packet| packet.payload_type == 0));
    sipp.succeeds().await;
    client.post(&format!("{call}:terminate"), Value::Null).await;
    target.meanwhile(application.expect("CallDisconnected")).await;
    target.succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("state", "connected"),
        ("sip", "REFER"),
        ("sip", "202 Accepted"),
        ("sip", &format!("INVITE {uri}")),
        ("sip", "takes the place of"),
        ("sip", "BYE"),
    ]);
}

#[tokio::test]
async fn a_refer_is_followed_and_reported_over_udp() {
    refers("refer-caller", Transport::Udp).await;
}

#[tokio::test]
async fn a_refer_is_followed_and_reported_over_tcp() {
    refers("refer-caller", Transport::Tcp).await;
}

#[tokio::test]
async fn a_refer_is_followed_without_reports() {
    refers("refer-caller-quietly", Transport::Udp).await;
}

/// An attended transfer: whom we call is told which of his calls ours takes the place of.
#[tokio::test]
async fn a_refer_with_replaces_is_passed_on() {
    let engine = Engine::start(FOLLOWS);
    rule_wait(&engine).await;
    let target = Sipp::listen("replaced-target", Transport::Udp, &[]).await;
    let uri = format!("{}?Replaces=other%40x%3Bto-tag%3D1%3Bfrom-tag%3D2", target.uri());
    Sipp::call(&engine, "refer-caller-quietly", Transport::Udp, &["-key", "target", &uri]).succeeds().await;
    target.succeeds().await;
    only_one(&engine).await.assert_order(&[("sip", "REFER"), ("sip", "takes the place of"), ("sip", "BYE")]);
}

#[tokio::test]
async fn a_refer_to_somebody_busy_is_reported_and_the_call_goes_on() {
    let engine = Engine::start(FOLLOWS);
    rule_wait(&engine).await;
    let target = Sipp::listen("busy", Transport::Udp, &[]).await;
    Sipp::call(&engine, "refer-caller-failed", Transport::Udp, &["-key", "target", &target.uri()]).succeeds().await;
    target.succeeds().await;
    only_one(&engine).await.assert_order(&[("sip", "REFER"), ("sip", "486 Busy Here"), ("sip", "BYE")]);
}

/// All devices of a user's ring, each by its flow; the first one that answers goes on with the call.
#[tokio::test]
async fn a_refer_to_a_user_rings_all_of_his_devices() {
    let engine = Engine::start(&[FOLLOWS, &["--digest-algorithms", "md5"]].concat());
    let user = json!({"name": "alice", "password": "wonder"});
    assert_eq!(engine.request("POST", "/v1/users", Some(user)).await.0, 201);
    let sip = engine.address("sipUdp");
    let (answers, rings) = (free_address(), free_address());
    for address in [answers, rings] {
        Sipp::call_from(address, sip, "register", Transport::Udp, &[]).succeeds().await;
    }
    let client = Client::new(&engine);
    let mut application = Webhook::subscribed(&engine).await;
    let mut ear = RtpPort::open().await;
    let loser = Sipp::listen_at(rings, "rings-in-vain", Transport::Udp, &[]).await;
    let port = key("rtp_port", ear.port());
    let mut winner = Sipp::listen_at(answers, "referred-target", Transport::Udp, &flags(&[port])).await;
    let target = format!("sip:alice@{sip}");
    let mut sipp = Sipp::call(&engine, "refer-caller-quietly", Transport::Udp, &["-key", "target", &target]);
    let call = sipp.meanwhile(answer(&client, &mut application)).await;
    winner.meanwhile(ear.packets(5)).await;
    sipp.succeeds().await;
    loser.succeeds().await;
    client.post(&format!("{call}:terminate"), Value::Null).await;
    winner.meanwhile(application.expect("CallDisconnected")).await;
    winner.succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("sip", "REFER"),
        ("sip", "user alice is rung on 2 registered devices"),
        ("sip", "tried alice's device 1"),
        ("sip", "tried alice's device 2"),
        ("sip", "1 others were still called"),
        ("sip", "takes the place of"),
    ]);
}

/// A user whom we call may send his call on, as one who calls us; whom he sends us to may not.
#[tokio::test]
async fn a_user_who_is_called_refers_us_on() {
    let engine = Engine::start(&["--digest-algorithms", "md5"]);
    let user = json!({"name": "alice", "password": "wonder"});
    assert_eq!(engine.request("POST", "/v1/users", Some(user)).await.0, 201);
    let address = free_address();
    Sipp::call_from(address, engine.address("sipUdp"), "register", Transport::Udp, &[]).succeeds().await;
    let mut ear = RtpPort::open().await;
    let port = key("rtp_port", ear.port());
    let mut target = Sipp::listen("refer-callee-declined", Transport::Udp, &flags(&[port])).await;
    let uri = target.uri();
    let mut phone = Sipp::listen_at(address, "refer-callee", Transport::Udp, &["-key", "target", &uri]).await;
    let client = Client::new(&engine);
    let (mut application, call) = place(&client, json!({"kind": "communicationUser", "rawId": "alice"})).await;
    phone.meanwhile(application.expect("CallConnected")).await;
    target.meanwhile(ear.packets(5)).await;
    phone.succeeds().await;
    let id = call.rsplit('/').next().expect("an id").to_owned();
    let path = format!("/v1/calls/{id}/timeline");
    let declined = async |engine: &Engine| {
        engine.request("GET", &path, None).await.1.to_string().contains("603 Decline").then_some(())
    };
    target.meanwhile(engine.until("603 Decline", declined)).await;
    client.post(&format!("{call}:terminate"), Value::Null).await;
    target.meanwhile(application.expect("CallDisconnected")).await;
    target.succeeds().await;
}

/// A number goes by its route: from proxy to proxy, with the trunk's word on who calls, and as one of its calls.
#[tokio::test]
async fn a_refer_to_a_number_goes_by_its_route() {
    // Everything on loopback is the carrier's, the caller as well.
    let engine = Engine::start(&["--follow-transfers", "trunks"]);
    let busy = Carrier::start(Manner { invite: 503, ..Manner::default() }).await;
    let works = Carrier::start(Manner { invite: 200, ..Manner::default() }).await;
    let trunk = json!({
        "proxies": [{"uri": busy.uri()}, {"uri": works.uri(), "priority": 1}],
        "caller": {"fromUser": "acct", "assertedIdentity": true},
    });
    let route = json!({"prefix": "+44", "trunks": [{"name": "t"}], "allow": {"trunks": true}});
    for (path, document) in [("/v1/trunks/t", trunk), ("/v1/routes/uk", route)] {
        let (status, answer) = engine.request("PUT", path, Some(document)).await;
        assert!(matches!(status, 200 | 201), "{status}: {answer}");
    }
    let client = Client::new(&engine);
    let mut application = Webhook::subscribed(&engine).await;
    let target = format!("sip:+442079460000@{};user=phone", engine.address("sipUdp"));
    let mut sipp = Sipp::call(&engine, "refer-caller-quietly", Transport::Udp, &["-key", "target", &target]);
    let call = sipp.meanwhile(answer(&client, &mut application)).await;
    sipp.succeeds().await;
    assert_eq!(busy.requests("INVITE").len(), 1);
    let invite = works.until("INVITE", 1).await.remove(0);
    let invite = String::from_utf8_lossy(&invite.to_bytes()).into_owned();
    assert!(invite.contains("From: <sip:acct@127.0.0.1>") && invite.contains("P-Asserted-Identity: <sip:"), "{invite}");
    assert!(invite.contains("Referred-By: <sip:+15551230009@"), "{invite}");
    let (_, shown) = engine.request("GET", "/v1/trunks/t", None).await;
    assert_eq!(shown["state"]["activeCalls"], 2, "the one that came in, and the one that went out: {shown}");
    client.post(&format!("{call}:terminate"), Value::Null).await;
    application.expect("CallDisconnected").await;
    works.until("BYE", 1).await;
    let free = async |engine: &Engine| (engine.metric("strowger_trunk_calls").await == 0.0).then_some(());
    engine.until("the trunk to be free", free).await;
}

#[tokio::test]
async fn a_refer_of_a_stranger_is_declined() {
    let engine = Engine::start(&[]);
    rule_wait(&engine).await;
    let flags = ["-key", "target", "sip:somebody@127.0.0.1:9"];
    Sipp::call(&engine, "refer-caller-declined", Transport::Udp, &flags).succeeds().await;
    only_one(&engine).await.assert_order(&[("sip", "REFER"), ("sip", "may not refer us"), ("sip", "603 Decline")]);
}

/// Has the engine call SIPp, and send it on to somebody; the events that come of it, up to `last`.
async fn is_transferred(scenario: &str, transport: Transport, last: &str) -> Value {
    let engine = Engine::start(&[]);
    let client = Client::new(&engine);
    let mut sipp = Sipp::listen(scenario, transport, &[]).await;
    let (mut application, call) = place(&client, json!({"kind": "unknown", "rawId": sipp.uri()})).await;
    sipp.meanwhile(application.expect("CallConnected")).await;
    let wish = json!({
        "targetParticipant": {"kind": "unknown", "rawId": "sip:someone@target.example"},
        "operationContext": "on",
        "customCallingContext": {"sipHeaders": {"User-To-User": "00;encoding=hex"}},
    });
    client.post(&format!("{call}:transferToParticipant"), wish).await;
    let event = sipp.meanwhile(application.expect(last)).await;
    assert_eq!(event["operationContext"], "on", "{event}");
    sipp.meanwhile(application.expect("CallDisconnected")).await;
    sipp.succeeds().await;
    only_one(&engine).await.assert_order(&[("state", "connected"), ("sip", "REFER"), ("sip", "BYE")]);
    event
}

#[tokio::test]
async fn a_callee_takes_a_transfer_over_udp() {
    is_transferred("transfer-callee", Transport::Udp, "CallTransferAccepted").await;
}

#[tokio::test]
async fn a_callee_takes_a_transfer_over_tcp() {
    is_transferred("transfer-callee", Transport::Tcp, "CallTransferAccepted").await;
}

#[tokio::test]
async fn a_callee_is_transferred_to_somebody_busy_and_stays() {
    let failed = is_transferred("transfer-callee-busy", Transport::Udp, "CallTransferFailed").await;
    assert_eq!(failed["resultInformation"]["code"], 486, "{failed}");
}

#[tokio::test]
async fn a_callee_declines_a_transfer() {
    let failed = is_transferred("transfer-callee-declines", Transport::Udp, "CallTransferFailed").await;
    assert_eq!(failed["resultInformation"]["code"], 603, "{failed}");
}

async fn is_replaced(transport: Transport) {
    let engine = Engine::start(&[]);
    let client = Client::new(&engine);
    let mut application = Webhook::subscribed(&engine).await;
    let (mut first, mut second) = (RtpPort::open().await, RtpPort::open().await);
    let mut old = Sipp::call(&engine, "answer", transport, &flags(&[key("rtp_port", first.port())]));
    let call = old.meanwhile(answer(&client, &mut application)).await;
    assert_steady(&old.meanwhile(first.packets(5)).await, 8);
    // The names of the dialog are the two parties' secret; the operator's timeline tells.
    let id = call.rsplit('/').next().expect("an id");
    let (_, timeline) = engine.request("GET", &format!("/v1/calls/{id}/timeline"), None).await;
    let entries = timeline["entries"].as_array().expect("entries").iter();
    let answered = entries.clone().find(|entry| entry["text"].as_str().is_some_and(|t| t.contains("200 OK")));
    let answered = answered.and_then(|entry| entry["detail"].as_str()).expect("our answer");
    let tag = |header: &str| {
        let line = answered.lines().find(|line| line.starts_with(header)).expect(header);
        line.split_once("tag=").expect("a tag").1.trim().to_owned()
    };
    let replaces = format!("call-1@strowger.test;to-tag={};from-tag={}", tag("To:"), tag("From:"));
    let port = second.port().to_string();
    let flags = ["-key", "replaces", &replaces, "-key", "rtp_port", &port, "-cid_str", "new-%u@strowger.test"];
    let mut new = Sipp::call(&engine, "replaces", transport, &flags);
    // The stream goes on, in the codec that was agreed now.
    assert!(new.meanwhile(second.packets(5)).await.iter().all(|packet| packet.payload_type == 0));
    old.succeeds().await;
    client.post(&format!("{call}:terminate"), Value::Null).await;
    new.meanwhile(application.expect("CallDisconnected")).await;
    new.succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("state", "connected"),
        ("sip", "INVITE"),
        ("sip", "takes the place of"),
        ("sip", "BYE"),
        ("state", "ended"),
    ]);
}

#[tokio::test]
async fn a_call_goes_on_with_who_takes_a_place_over_udp() {
    is_replaced(Transport::Udp).await;
}

#[tokio::test]
async fn a_call_goes_on_with_who_takes_a_place_over_tcp() {
    is_replaced(Transport::Tcp).await;
}

#[tokio::test]
async fn nobody_takes_the_place_of_a_dialog_that_is_not_there() {
    let engine = Engine::start(&[]);
    rule_wait(&engine).await;
    Sipp::call(&engine, "replaces-nobody", Transport::Udp, &[]).succeeds().await;
    ended(&engine, 0).await;
}
