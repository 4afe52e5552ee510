//! Telephones that register with the engine: SIPp and baresip by digest; two devices of one user ring, one of them wins.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::baresip::Baresip;
use super::sipp::tool::{Sipp, Transport, free_address};
use super::sipp::{ended, place};
use crate::support::{Client, Engine};

/// SIPp 3.6.1 looks at the first challenge only, baresip 1.0.0 gives up over any that it does not know; both know MD5.
const MD5: &[&str] = &["--digest-algorithms", "md5"];

async fn alice(engine: &Engine) {
    let user = json!({"name": "alice", "password": "wonder", "numbers": ["+15551230001"]});
    let (status, shown) = engine.request("POST", "/v1/users", Some(user)).await;
    assert_eq!(status, 201, "{shown}");
    assert!(!shown.to_string().contains("wonder") && shown.get("ha1Md5").is_none(), "{shown}");
}

async fn registrations(engine: &Engine) -> Vec<Value> {
    let (status, listed) = engine.request("GET", "/v1/users/alice/registrations", None).await;
    assert_eq!(status, 200, "{listed}");
    listed["value"].as_array().cloned().unwrap_or_default()
}

/// Registers a device that will be at this address.
async fn register(engine: &Engine, address: SocketAddr) {
    let to = engine.address(Transport::Udp.listener());
    Sipp::call_from(address, to, "register", Transport::Udp, &[]).succeeds().await;
}

#[tokio::test]
async fn sipp_registers_by_digest_and_is_shown_and_removed() {
    let engine = Engine::start(MD5);
    alice(&engine).await;
    let address = free_address();
    register(&engine, address).await;
    let found = registrations(&engine).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["source"], address.to_string());
    assert_eq!(found[0]["userAgent"], "SIPp");
    let one = format!("/v1/users/alice/registrations/{}", found[0]["id"].as_str().expect("an id"));
    assert_eq!(engine.request("DELETE", &one, None).await.0, 204);
    assert_eq!(engine.request("DELETE", &one, None).await.0, 404);
    assert!(registrations(&engine).await.is_empty());
}

#[tokio::test]
async fn baresip_registers_by_digest() {
    let engine = Engine::start(MD5);
    alice(&engine).await;
    let server = engine.address(Transport::Udp.listener());
    let account = format!("<sip:alice@{server}>;regint=60;auth_pass=wonder\n");
    let _phone = Baresip::start_with_account("PCMU/8000/1", &account);
    engine.until("baresip's registration", async |engine| registrations(engine).await.pop()).await;
}

#[tokio::test]
async fn two_devices_ring_and_one_wins() {
    let engine = Engine::start(MD5);
    alice(&engine).await;
    let (answers, rings) = (free_address(), free_address());
    register(&engine, answers).await;
    register(&engine, rings).await;
    assert_eq!(registrations(&engine).await.len(), 2);
    let mut winner = Sipp::listen_at(answers, "-sn uas", Transport::Udp, &[]).await;
    let loser = Sipp::listen_at(rings, "rings-in-vain", Transport::Udp, &[]).await;
    let client = Client::new(&engine);
    let target = json!({"kind": "phoneNumber", "phoneNumber": {"value": "+15551230001"}});
    let (mut application, call) = place(&client, target).await;
    winner.meanwhile(application.expect("CallConnected")).await;
    loser.succeeds().await;
    client.post(&format!("{call}:terminate"), Value::Null).await;
    application.expect("CallDisconnected").await;
    winner.succeeds().await;
    let call = ended(&engine, 1).await.pop().expect("one call");
    call.assert_order(&[("sip", "user alice is rung on 2 registered devices"), ("state", "connected")]);
}

/// The most wanted device rings alone, and the other one when it does not want the call.
#[tokio::test]
async fn devices_ring_by_how_much_they_are_wanted() {
    let engine = Engine::start(MD5);
    let user = json!({"name": "alice", "password": "wonder", "forking": "sequential"});
    assert_eq!(engine.request("POST", "/v1/users", Some(user)).await.0, 201);
    let (best, second) = (free_address(), free_address());
    let to = engine.address(Transport::Udp.listener());
    // The less wanted one registers last: it is not the order in which they came.
    for (address, q) in [(best, "0.9"), (second, "0.3")] {
        Sipp::call_from(address, to, "register-q", Transport::Udp, &["-key", "q", q]).succeeds().await;
    }
    let mut first = Sipp::listen_at(best, "declines", Transport::Udp, &[]).await;
    let mut winner = Sipp::listen_at(second, "-sn uas", Transport::Udp, &[]).await;
    let client = Client::new(&engine);
    let (mut application, call) = place(&client, json!({"kind": "communicationUser", "rawId": "alice"})).await;
    first.meanwhile(winner.meanwhile(application.expect("CallConnected"))).await;
    first.succeeds().await;
    client.post(&format!("{call}:terminate"), Value::Null).await;
    application.expect("CallDisconnected").await;
    winner.succeeds().await;
    ended(&engine, 1).await.pop().expect("one call").assert_order(&[
        ("sip", "user alice is rung on 2 registered devices, the most wanted first"),
        ("sip", &format!("INVITE sip:alice@{best}")),
        ("sip", "480 Temporarily Unavailable"),
        ("sip", &format!("INVITE sip:alice@{second}")),
        ("state", "connected"),
    ]);
    let flags = ["-cid_str", "other-%u@strowger.test"];
    Sipp::call(&engine, "unregister-all", Transport::Udp, &flags).succeeds().await;
    assert!(registrations(&engine).await.is_empty());
}

/// A carrier that has credentials is asked for them wherever it comes from, and is the trunk then.
#[tokio::test]
async fn a_trunk_is_known_by_its_credentials() {
    let engine = Engine::start(MD5);
    let trunk = json!({"uri": "sip:192.0.2.77", "inbound": {"username": "carrier-d", "password": "secret"}});
    let (status, shown) = engine.request("PUT", "/v1/trunks/d", Some(trunk)).await;
    assert!(matches!(status, 200 | 201) && !shown.to_string().contains("secret"), "{status}: {shown}");
    let rule = json!({"name": "in", "priority": 1, "match": {"trunk": ["d"]}, "action": {"answer": {"play": ["prompt:beep"]}}});
    engine.rule(rule).await;
    for transport in [Transport::Udp, Transport::Tcp] {
        // It leaves the user out by itself.
        let uri = format!("100@{}", engine.address(transport.listener()));
        Sipp::call(&engine, "trunk-caller", transport, &["-auth_uri", &uri]).succeeds().await;
    }
    for call in ended(&engine, 2).await {
        assert_eq!(call.record["rule"], "in", "{}", call.record);
    }
}

#[tokio::test]
async fn a_user_without_a_device_is_not_reached() {
    let engine = Engine::start(MD5);
    alice(&engine).await;
    let client = Client::new(&engine);
    let (mut application, _) = place(&client, json!({"kind": "communicationUser", "rawId": "alice"})).await;
    let failed = application.expect("CreateCallFailed").await;
    assert_eq!(failed["resultInformation"]["code"], 480, "{failed}");
}
