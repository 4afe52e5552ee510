//! Incoming calls that go on to users: all of a user's devices ring, early media reaches the caller before the answer,
//! and telephones that are not ours talk with each other through the engine.

use std::net::SocketAddr;

use serde_json::json;

use super::sipp::tool::{Sipp, Transport, free_address};
use super::sipp::{flags, key, only_one};
use crate::support::{Engine, RtpPort};

/// An engine with the user alice, and a rule that sends every call on to her number; `otherwise`: what is done when she
/// is not to be had.
async fn engine(otherwise: Option<serde_json::Value>) -> Engine {
    let engine = Engine::start(&["--digest-algorithms", "md5"]);
    let user = json!({"name": "alice", "password": "wonder", "numbers": ["7001"]});
    let (status, answer) = engine.request("POST", "/v1/users", Some(user)).await;
    assert_eq!(status, 201, "{answer}");
    let mut rule = json!({"name": "alice", "priority": 1, "action": {"forward": {"to": "7001"}}});
    if let Some(action) = otherwise {
        rule["onFailure"] = action;
    }
    engine.rule(rule).await;
    engine
}

/// Registers a device that will be at this address.
async fn register(engine: &Engine, address: SocketAddr) {
    let to = engine.address(Transport::Udp.listener());
    Sipp::call_from(address, to, "register", Transport::Udp, &[]).succeeds().await;
}

#[tokio::test]
async fn all_devices_ring_and_the_first_that_answers_has_the_call() {
    let engine = engine(None).await;
    let (answers, rings) = (free_address(), free_address());
    register(&engine, answers).await;
    register(&engine, rings).await;
    let winner = Sipp::listen_at(answers, "-sn uas", Transport::Udp, &[]).await;
    let loser = Sipp::listen_at(rings, "rings-in-vain", Transport::Udp, &[]).await;
    let caller = Sipp::call(&engine, "-sn uac", Transport::Udp, &["-d", "500"]);
    loser.succeeds().await;
    caller.succeeds().await;
    winner.succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("rule", "forward"),
        ("state", "being forwarded"),
        ("sip", "user alice is rung on 2 registered devices"),
        ("state", "being answered"),
        ("state", "connected"),
        ("sip", "BYE"),
        ("sip", "BYE"),
    ]);
}

#[tokio::test]
async fn where_nobody_answers_the_rule_says_what_is_done() {
    let engine = engine(Some(json!({"answer": {"play": ["prompt:thank-you"]}}))).await;
    let address = free_address();
    register(&engine, address).await;
    let callee = Sipp::listen_at(address, "busy", Transport::Udp, &[]).await;
    let ear = RtpPort::open().await;
    let caller = Sipp::call(&engine, "answer", Transport::Udp, &flags(&[key("rtp_port", ear.port())]));
    callee.succeeds().await;
    caller.succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("sip", "486 Busy Here"),
        ("sip", "is not reached: 486"),
        ("rule", "on failure, answer"),
        ("state", "connected"),
        ("sip", "BYE"),
    ]);
}

#[tokio::test]
async fn without_a_device_the_caller_is_told() {
    let engine = engine(None).await;
    let from = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let caller = Sipp::call_from(from, engine.address("sipUdp"), "unavailable-caller", Transport::Udp, &[]);
    caller.succeeds().await;
    only_one(&engine).await.assert_order(&[("sip", "is not reached: 480"), ("state", "ended")]);
}
