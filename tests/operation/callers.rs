//! Who a user is for those whom he calls: a registered telephone dials a number without any rule, by the routes; the
//! carrier is told the user's own number, whatever his telephone writes, and no other.

use std::net::Ipv4Addr;

use serde_json::json;
use strowger::phone::{Phone, PhoneConfig, PhoneEvent};
use strowger::sip::leg::Credentials;
use strowger::sip::message::Name;
use strowger::sip::peer::Transport;

use crate::support::{Carrier, Engine, Manner, PATIENCE};

async fn put(engine: &Engine, path: &str, document: serde_json::Value) {
    let (status, answer) = engine.request("PUT", path, Some(document)).await;
    assert!(matches!(status, 200 | 201), "{status}: {answer}");
}

/// An engine that asks everybody who he is, the user alice, and a carrier.
async fn engine() -> (Engine, Carrier) {
    let engine = Engine::start(&["--authenticate", "all"]);
    let carrier = Carrier::start(Manner { invite: 200, rings: true, grants: 600, ..Manner::default() }).await;
    put(&engine, "/v1/users/alice", json!({"password": "wonder", "numbers": ["7001", "+442079460001"]})).await;
    let caller = json!({"fromDomain": "me.example", "assertedIdentity": true});
    put(&engine, "/v1/trunks/carrier", json!({"proxies": [{"uri": carrier.uri()}], "prefix": "+", "caller": caller}))
        .await;
    (engine, carrier)
}

/// Alice dials; what comes of it.
async fn dials(engine: &Engine, number: &str) -> Result<(), u16> {
    // Not from the carrier's address, nor from our own.
    let ip = Ipv4Addr::new(127, 0, 0, 3).into();
    let credentials = Some(Credentials { user: "alice".to_owned(), password: "wonder".to_owned() });
    let seed = strowger::engine::entropy().expect("random numbers");
    let config = PhoneConfig { credentials, ..PhoneConfig::default() };
    let mut phone = Phone::start_with(ip, seed, config).await.expect("a phone");
    let to = engine.address("sipUdp");
    phone.dial(&format!("sip:{number}@{to}"), to, Transport::Udp).await;
    let came = phone.wait(PATIENCE, |event| match event {
        PhoneEvent::Connected => Some(Ok(())),
        PhoneEvent::Failed(status, _) => Some(Err(status)),
        _ => None,
    });
    came.await.expect("an outcome in time")
}

#[tokio::test]
async fn a_users_telephone_dials_a_number_and_shows_his_own() {
    let (engine, carrier) = engine().await;
    assert_eq!(dials(&engine, "+441234567899").await, Ok(()));
    let invite = carrier.until("INVITE", 1).await.remove(0);
    assert_eq!(invite.uri.to_string(), format!("sip:+441234567899@{}", carrier.address));
    let text = |name: Name| invite.headers.text(&name).map(|value| value.into_owned()).unwrap_or_default();
    let asserted = text(Name::PAssertedIdentity);
    assert!(asserted.ends_with("<sip:+442079460001@me.example>"), "{asserted}");
    assert!(text(Name::From).contains("sip:+442079460001@me.example"), "{}", text(Name::From));
    let (_, calls) = engine.request("GET", "/v1/calls", None).await;
    let path = format!("/v1/calls/{}/timeline", calls["value"][0]["id"].as_str().expect("a call"));
    let (_, timeline) = engine.request("GET", &path, None).await;
    assert!(timeline.to_string().contains("no rule of 0 matches: forward to +441234567899"), "{timeline}");
    // The trunk takes numbers with + alone, and nobody is called 7009.
    assert_eq!(dials(&engine, "7009").await, Err(404));
}
