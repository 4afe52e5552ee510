//! A webhook that takes connections and never answers.

use serde_json::json;
use strowger::sip::peer::Transport;
use tokio::net::TcpListener;

use super::*;
use crate::support::{Client, Webhook};

#[tokio::test]
async fn a_webhook_that_hangs_holds_up_neither_its_call_nor_others() {
    let flags = ["--event-attempts", "2", "--event-timeout-seconds", "1", "--event-backoff-ms", "10"];
    let engine = Engine::start(&flags);
    menu_for_all(&engine).await;
    let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
    let hanging = format!("http://{}/never", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let client = Client::new(&engine);
    let call = async |callee: &Phone, callback: &str| {
        let targets = json!([{"kind": "unknown", "rawId": callee.uri()}]);
        client.call("/calling/callConnections", json!({"targets": targets, "callbackUri": callback})).await
    };
    let (mut lost, mut well) = (phone(HERE).await, phone(HERE).await);
    let lost_call = call(&lost, &hanging).await;
    assert_eq!(outcome(&mut lost).await, Ok(()), "the call stands though nobody hears of it");
    is_connected(&engine, &lost_call).await;
    let mut webhook = Webhook::start().await;
    let well_call = call(&well, &webhook.url).await;
    assert_eq!(outcome(&mut well).await, Ok(()));
    webhook.expect("CallConnected").await;
    // Both calls go on: what is played to one is told of, the other is played to as well.
    let play = json!({"playSources": [{"kind": "file", "file": {"uri": "prompt:beep"}}], "playTo": []});
    client.post(&format!("{lost_call}:play"), play.clone()).await;
    client.post(&format!("{well_call}:play"), play).await;
    webhook.expect("PlayCompleted").await;
    Bystander::visit(&engine, Transport::Udp).await;
    client.post(&format!("{lost_call}:terminate"), Value::Null).await;
    client.post(&format!("{well_call}:terminate"), Value::Null).await;
    webhook.expect("CallDisconnected").await;
    let lost_id = lost_call.rsplit('/').next().expect("an id");
    let dead = engine
        .until("the end of the hanging webhook's events", async |engine| {
            let (_, dead) = engine.request("GET", "/v1/events/dead", None).await;
            let dead = dead["value"].as_array()?.clone();
            dead.iter().any(|event| event.to_string().contains("CallDisconnected")).then_some(dead)
        })
        .await;
    for event in &dead {
        assert_eq!(event["callId"], lost_id, "{event}");
        assert_eq!(event["attempts"], 2, "{event}");
        assert!(event["lastError"].as_str().is_some_and(|error| error.contains("no answer")), "{event}");
    }
    assert!(dead.len() >= 4, "connected, started, completed, disconnected: {dead:?}");
    let settled = async |engine: &Engine| (engine.metric("strowger_events_pending").await == 0.0).then_some(());
    engine.until("that no event is pending", settled).await;
    assert!(engine.metric("strowger_event_deliveries_total{kind=\"dead\"}").await >= 4.0);
    nothing_failed(&engine).await;
}
