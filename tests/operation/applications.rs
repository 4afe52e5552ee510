//! Applications and carriers as an operator sets them up: subscriptions with their handshake, trunks with their secret.

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{entry, refused};
use crate::support::{Engine, PATIENCE, Webhook, http_client};

/// An endpoint that answers everything with the same words, and hands on what it was sent.
async fn endpoint(answer: &'static str) -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/events", listener.local_addr().expect("an address"));
    let (sender, heard) = mpsc::unbounded_channel();
    let hear = move |body: Bytes| async move {
        let _ = sender.send(serde_json::from_slice(&body).unwrap_or_default());
        answer
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/events", post(hear))).await });
    (url, heard)
}

#[tokio::test]
async fn a_subscription_shakes_hands_at_once() {
    let engine = Engine::start(&[]);
    let webhook = Webhook::start().await;
    let wish = json!({"name": "my-app", "endpoint": webhook.url});
    let (status, made) = engine.request("POST", "/v1/subscriptions", Some(wish)).await;
    assert_eq!((status, &made["state"]), (201, &json!("validated")), "{made}");
    assert_eq!(made["eventTypes"], json!(["Microsoft.Communication.IncomingCall"]));

    // One that answers with another code is not the one that was asked.
    let (url, _heard) = endpoint(r#"{"validationResponse": "something else"}"#).await;
    let wish = json!({"name": "impostor", "endpoint": url});
    let (status, answer) = engine.request("PUT", "/v1/subscriptions/impostor", Some(wish)).await;
    assert_eq!((status, &answer["error"]["target"]), (400, &json!("endpoint")), "{answer}");
    assert_eq!(engine.request("GET", "/v1/subscriptions/impostor", None).await.0, 404);
    let (status, answer) =
        engine.request("PUT", "/v1/subscriptions/odd", Some(json!({"name": "odd", "endpoint": "ftp://x/"}))).await;
    assert_eq!((status, &answer["error"]["target"]), (400, &json!("endpoint")), "{answer}");
}

#[tokio::test]
async fn a_subscription_is_validated_later_by_its_url() {
    let engine = Engine::start(&[]);
    let (url, mut heard) = endpoint("").await;
    let wish = json!({"name": "slow", "endpoint": url});
    let (status, made) = engine.request("PUT", "/v1/subscriptions/slow", Some(wish)).await;
    assert_eq!((status, &made["state"]), (201, &json!("pending")), "{made}");
    assert!(!made.to_string().contains("validationCode"), "the code is the endpoint's alone: {made}");
    engine.rule(json!({"name": "app", "priority": 1, "action": {"webhook": {"subscription": "slow"}}})).await;
    assert_eq!(refused(&engine, "100").await, 480, "nobody to ask yet");
    entry(&engine, "not validated yet").await;

    let asked = tokio::time::timeout(PATIENCE, heard.recv()).await.expect("in time").expect("the handshake");
    let data = &asked[0]["data"];
    let visit = data["validationUrl"].as_str().expect("a URL").to_owned();
    assert!(visit.contains(data["validationCode"].as_str().expect("a code")));
    let client = http_client();
    let wrong = format!("{visit}0");
    assert_eq!(client.get(wrong).send().await.expect("an answer").status().as_u16(), 400);
    assert_eq!(engine.request("GET", "/v1/subscriptions/slow", None).await.1["state"], "pending");
    assert!(client.get(visit).send().await.expect("an answer").status().is_success());
    assert_eq!(engine.request("GET", "/v1/subscriptions/slow", None).await.1["state"], "validated");
}

#[tokio::test]
async fn an_application_that_does_not_answer_is_not_waited_for() {
    let engine = Engine::start(&["--answer-timeout-seconds", "1"]);
    let mut webhook = Webhook::start().await;
    let wish = json!({"name": "deaf", "endpoint": webhook.url});
    assert_eq!(engine.request("PUT", "/v1/subscriptions/deaf", Some(wish)).await.0, 201);
    let rule = json!({"name": "app", "priority": 1, "action": {"webhook": {"subscription": "deaf"}}});
    engine.rule(rule.clone()).await;
    assert_eq!(refused(&engine, "100").await, 480);
    let told = webhook.expect("IncomingCall").await;
    assert!(told["incomingCallContext"].as_str().is_some_and(|token| !token.is_empty()), "{told}");
    // The caller heard it ring meanwhile.
    entry(&engine, "SIP/2.0 180").await;

    let mut with_failure = rule;
    with_failure["onFailure"] = json!({"reject": {"reason": "busy"}});
    engine.rule(with_failure).await;
    assert_eq!(refused(&engine, "100").await, 486);
    entry(&engine, "nobody answered: on failure, reject").await;
}

#[tokio::test]
async fn a_trunk_s_password_is_never_shown() {
    let engine = Engine::start(&[]);
    let trunk = json!({
        "name": "carrier-a", "uri": "sip:127.0.0.1:5999", "username": "me", "password": "s3cr3t", "prefix": "+44",
    });
    let (status, made) = engine.request("POST", "/v1/trunks", Some(trunk.clone())).await;
    assert_eq!(status, 201, "{made}");
    let one = engine.request("GET", "/v1/trunks/carrier-a", None).await.1;
    let all = engine.request("GET", "/v1/trunks", None).await.1;
    let mut changed = trunk;
    changed["prefix"] = json!("+49");
    let replaced = engine.request("PUT", "/v1/trunks/carrier-a", Some(changed)).await.1;
    assert_eq!((&one["username"], &replaced["prefix"]), (&json!("me"), &json!("+49")));
    for shown in [made, one, all, replaced] {
        assert!(!shown.to_string().contains("s3cr3t"), "{shown}");
    }
    let bad = json!({"name": "b", "uri": "nonsense"});
    let (status, answer) = engine.request("PUT", "/v1/trunks/b", Some(bad)).await;
    assert_eq!((status, &answer["error"]["target"]), (400, &json!("uri")), "{answer}");
}
