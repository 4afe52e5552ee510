//! SIPp with extensions of SIP: reliable provisional responses (RFC 3262) and UPDATE (RFC 3311), both ways.

use serde_json::json;

use super::sipp::tool::{Sipp, Transport};
use super::sipp::{assert_steady, flags, key, only_one, place};
use crate::support::{Client, Engine, RtpPort, Webhook};

async fn callee_is_reliable(transport: Transport) {
    let engine = Engine::start(&[]);
    let mut ear = RtpPort::open().await;
    let mut sipp = Sipp::listen("prack-callee", transport, &flags(&[key("rtp_port", ear.port())])).await;
    let target = json!({"kind": "unknown", "rawId": sipp.uri()});
    let (mut application, _) = place(&Client::new(&engine), target).await;
    sipp.meanwhile(application.expect("CallConnected")).await;
    assert_steady(&sipp.meanwhile(ear.packets(5)).await, 0);
    sipp.meanwhile(application.expect("CallDisconnected")).await;
    sipp.succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("sip", "183 Session Progress"),
        ("sip", "PRACK"),
        ("state", "connected"),
        ("sip", "UPDATE"),
        ("media", "RecvOnly"),
        ("sip", "BYE"),
    ]);
}

#[tokio::test]
async fn a_callee_is_reliable_over_udp() {
    callee_is_reliable(Transport::Udp).await;
}

#[tokio::test]
async fn a_callee_is_reliable_over_tcp() {
    callee_is_reliable(Transport::Tcp).await;
}

async fn caller_wants_it_reliable(transport: Transport) {
    let engine = Engine::start(&[]);
    let client = Client::new(&engine);
    let mut application = Webhook::subscribed(&engine).await;
    let mut ear = RtpPort::open().await;
    let mut sipp = Sipp::call(&engine, "prack-caller", transport, &flags(&[key("rtp_port", ear.port())]));
    let incoming = sipp.meanwhile(application.expect("IncomingCall")).await;
    // A 2xx may overtake the PRACK of a 180 without SDP (RFC 3262 §3), but SIPp's scenario has an order.
    let pracked = engine.until("PRACK", async |engine| {
        (engine.metric("strowger_sip_total{kind=\"request_received\"}").await >= 2.0).then_some(())
    });
    sipp.meanwhile(pracked).await;
    let answer = json!({"incomingCallContext": incoming["incomingCallContext"], "callbackUri": application.url});
    client.call("/calling/callConnections:answer", answer).await;
    sipp.meanwhile(application.expect("CallConnected")).await;
    assert_steady(&sipp.meanwhile(ear.packets(5)).await, 0);
    sipp.meanwhile(application.expect("CallDisconnected")).await;
    sipp.succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("sip", "180 Ringing"),
        ("sip", "PRACK"),
        ("state", "connected"),
        ("sip", "UPDATE"),
        ("media", "RecvOnly"),
        ("sip", "BYE"),
    ]);
}

#[tokio::test]
async fn a_caller_wants_it_reliable_over_udp() {
    caller_wants_it_reliable(Transport::Udp).await;
}

#[tokio::test]
async fn a_caller_wants_it_reliable_over_tcp() {
    caller_wants_it_reliable(Transport::Tcp).await;
}
