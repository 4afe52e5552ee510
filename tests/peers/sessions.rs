//! SIPp with session timers (RFC 4028), both ways: who refreshes and how, intervals that are too short, and a peer that
//! is hung up on because it refreshes no more. The intervals are seconds by `min-se`; who is refreshed waits for it.

use serde_json::{Value, json};

use super::sipp::tool::{Sipp, Transport};
use super::sipp::{only_one, place, rule_wait};
use crate::support::{Client, Engine, Webhook};

/// So short that a test may wait for it.
const BRIEF: &[&str] = &["--min-se", "2"];

/// The same, and asked for by us.
const ASKED: &[&str] = &["--min-se", "2", "--session-expires", "8"];

async fn caller_vanishes(transport: Transport) {
    let engine = Engine::start(BRIEF);
    rule_wait(&engine).await;
    Sipp::call(&engine, "session-caller", transport, &[]).succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("state", "connected"),
        ("sip", "UPDATE"),
        ("sip", "200 OK"),
        ("sip", "BYE"),
        ("state", "ended"),
    ]);
}

#[tokio::test]
async fn a_caller_that_refreshes_no_more_is_hung_up_on_over_udp() {
    caller_vanishes(Transport::Udp).await;
}

#[tokio::test]
async fn a_caller_that_refreshes_no_more_is_hung_up_on_over_tcp() {
    caller_vanishes(Transport::Tcp).await;
}

#[tokio::test]
async fn a_caller_that_wants_it_is_refreshed() {
    let engine = Engine::start(BRIEF);
    rule_wait(&engine).await;
    Sipp::call(&engine, "session-refreshed-caller", Transport::Udp, &[]).succeeds().await;
    only_one(&engine).await.assert_order(&[("state", "connected"), ("sip", "UPDATE"), ("sip", "BYE")]);
}

#[tokio::test]
async fn a_caller_whose_interval_is_too_short_is_told_the_least() {
    let engine = Engine::start(&[]);
    rule_wait(&engine).await;
    Sipp::call(&engine, "session-short", Transport::Udp, &[]).succeeds().await;
}

async fn callee_is_refreshed(scenario: &str, transport: Transport, by: &str) {
    let engine = Engine::start(ASKED);
    let mut sipp = Sipp::listen(scenario, transport, &[]).await;
    let target = json!({"kind": "unknown", "rawId": sipp.uri()});
    let (mut application, _): (Webhook, String) = place(&Client::new(&engine), target).await;
    sipp.meanwhile(application.expect("CallConnected")).await;
    sipp.meanwhile(application.expect("CallDisconnected")).await;
    sipp.succeeds().await;
    only_one(&engine).await.assert_order(&[("state", "connected"), ("sip", by), ("sip", "200 OK"), ("sip", "BYE")]);
}

#[tokio::test]
async fn a_callee_is_refreshed_by_update_over_udp() {
    callee_is_refreshed("session-callee-update", Transport::Udp, "UPDATE sip:").await;
}

#[tokio::test]
async fn a_callee_is_refreshed_by_update_over_tcp() {
    callee_is_refreshed("session-callee-update", Transport::Tcp, "UPDATE sip:").await;
}

#[tokio::test]
async fn a_callee_without_update_is_refreshed_by_invite_over_udp() {
    callee_is_refreshed("session-callee-reinvite", Transport::Udp, "INVITE sip:").await;
}

#[tokio::test]
async fn a_callee_without_update_is_refreshed_by_invite_over_tcp() {
    callee_is_refreshed("session-callee-reinvite", Transport::Tcp, "INVITE sip:").await;
}

#[tokio::test]
async fn a_callee_that_wants_it_longer_is_asked_again() {
    let engine = Engine::start(ASKED);
    let mut sipp = Sipp::listen("session-longer-callee", Transport::Udp, &[]).await;
    let client = Client::new(&engine);
    let (mut application, call) = place(&client, json!({"kind": "unknown", "rawId": sipp.uri()})).await;
    sipp.meanwhile(application.expect("CallConnected")).await;
    client.post(&format!("{call}:terminate"), Value::Null).await;
    sipp.meanwhile(application.expect("CallDisconnected")).await;
    sipp.succeeds().await;
    assert_eq!(only_one(&engine).await.messages("INVITE sip:").len(), 2);
}
