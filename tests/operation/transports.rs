//! Whole calls by TLS and in IPv6, between two engines and with telephones.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::{Value, json};
use strowger::phone::Phone;
use strowger::sip::peer::Transport;

use super::{answering, connected, list, newest_call, over, quiet, timeline};
use crate::support::{Client, Engine, Webhook};

const PLACE: &str = "/calling/callConnections";

/// The first listener of this transport whose address begins so.
fn listener(engine: &Engine, transport: &str, begins: &str) -> std::net::SocketAddr {
    let text = std::fs::read_to_string(engine.data().join("listeners.json")).expect("listeners.json");
    let listeners: Value = serde_json::from_str(&text).expect("JSON");
    let all = listeners["sip"].as_array().expect("a list").clone();
    let found = all.iter().find(|l| l["transport"] == transport && l["address"].as_str().unwrap().starts_with(begins));
    found.unwrap_or_else(|| panic!("no {transport} at {begins} in {all:?}"))["address"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

async fn connected_to(engine: &Engine, target: &str) {
    let mut webhook = Webhook::start().await;
    let wish = json!({"targets": [{"kind": "unknown", "rawId": target}], "callbackUri": webhook.url});
    Client::new(engine).call(PLACE, wish).await;
    webhook.expect("CallConnected").await;
    webhook.expect("CallDisconnected").await;
}

#[tokio::test]
async fn an_engine_in_both_families_takes_and_makes_calls_in_both() {
    let engine = Engine::start(&["--sip", "127.0.0.1:0,[::1]:0"]);
    engine.rule(answering(&["prompt:beep"])).await;
    for (begins, ip, number) in
        [("[::1]", IpAddr::V6(Ipv6Addr::LOCALHOST), 6), ("127.", IpAddr::from([127, 0, 0, 1]), 4)]
    {
        let mut phone = Phone::start(ip, [number; 32]).await.expect("a telephone");
        let sip = listener(&engine, "udp", begins);
        phone.dial(&format!("sip:100@{sip}"), sip, Transport::Udp).await;
        connected(&mut phone).await;
        let (_, heard) = over(&mut phone).await;
        assert!(heard.iter().any(|sample| sample.unsigned_abs() > 1000), "the prompt was heard in {begins}");
        let sip = listener(&engine, "tcp", begins);
        phone.dial(&format!("sip:100@{sip};transport=tcp"), sip, Transport::Tcp).await;
        connected(&mut phone).await;
        over(&mut phone).await;
        // And the other way.
        let mut webhook = Webhook::start().await;
        let wish = json!({"targets": [{"kind": "unknown", "rawId": phone.uri()}], "callbackUri": webhook.url});
        Client::new(&engine).call(PLACE, wish).await;
        connected(&mut phone).await;
        webhook.expect("CallConnected").await;
        phone.hang_up().await;
        over(&mut phone).await;
        webhook.expect("CallDisconnected").await;
    }
    quiet(&engine).await;
}

#[tokio::test]
async fn two_engines_call_each_other_over_tls_when_they_trust_each_other() {
    let callee = Engine::start(&[]);
    callee.rule(answering(&["prompt:beep"])).await;
    let ca = callee.data().join("ca.pem");
    let caller = Engine::start(&["--sip-tls-ca", ca.to_str().expect("a path")]);
    let tls = listener(&callee, "tls", "127.");
    connected_to(&caller, &format!("sips:100@{tls}")).await;
    connected_to(&caller, &format!("sip:100@{tls};transport=tls")).await;
    let call = newest_call(&callee).await;
    let told = timeline(&callee, &call).await;
    assert!(
        told.iter().any(|e| e["text"].as_str().is_some_and(|t| t.contains("INVITE") && t.contains("TLS"))),
        "{told:?}"
    );

    // One that does not trust it says so, and no call comes.
    let calls = list(&callee, "/v1/calls").await.len();
    let stranger = Engine::start(&[]);
    let mut webhook = Webhook::start().await;
    let wish =
        json!({"targets": [{"kind": "unknown", "rawId": format!("sips:100@{tls}")}], "callbackUri": webhook.url});
    Client::new(&stranger).call(PLACE, wish).await;
    webhook.expect("CreateCallFailed").await;
    assert_eq!(list(&callee, "/v1/calls").await.len(), calls);
}
