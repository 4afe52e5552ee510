//! A database that somebody else holds.

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};
use strowger::sip::peer::Transport;

use super::*;
use crate::support::{Client, Webhook};

#[tokio::test]
async fn a_locked_database_delays_events_and_no_call() {
    let engine = Engine::start(&[]);
    menu_for_all(&engine).await;
    let friend = Bystander::call(&engine, Transport::Udp).await;
    let mut webhook = Webhook::start().await;
    let client = Client::new(&engine);
    let options = SqliteConnectOptions::new().filename(engine.data().join("strowger.db"));
    let mut thief = options.connect().await.expect("the database");
    thief.execute("BEGIN EXCLUSIVE").await.expect("the lock");

    let mut callee = phone(HERE).await;
    let targets = json!([{"kind": "unknown", "rawId": callee.uri()}]);
    let wish = json!({"targets": targets, "callbackUri": webhook.url});
    let call = client.call("/calling/callConnections", wish).await;
    assert_eq!(outcome(&mut callee).await, Ok(()), "calls connect");
    is_connected(&engine, &call).await;
    let play = json!({"playSources": [{"kind": "file", "file": {"uri": "prompt:beep"}}], "playTo": []});
    client.post(&format!("{call}:play"), play).await;
    let id = call.rsplit('/').next().expect("an id").to_owned();
    on_timeline(&engine, &id, "the end of the prompt", |entry| {
        entry["text"].as_str().is_some_and(|text| text.starts_with("PlayCompleted"))
    })
    .await;
    Bystander::visit(&engine, Transport::Udp).await;
    // Who must have the database is told that it cannot be had, after five seconds of patience.
    let rule =
        json!({"name": "late", "priority": 5, "enabled": true, "match": {}, "action": {"reject": {"reason": "busy"}}});
    let (status, answer) = engine.request("PUT", "/v1/rules/late", Some(rule)).await;
    assert_eq!(status, 503, "{answer}");
    client.post(&format!("{call}:terminate"), Value::Null).await;
    friend.press_and_leave().await;

    thief.execute("ROLLBACK").await.expect("the lock is given back");
    // All of it comes, in order.
    for wanted in ["CallConnected", "PlayStarted", "PlayCompleted", "CallDisconnected"] {
        loop {
            let event = webhook.event().await;
            let kind = event["type"].as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default().to_owned();
            if kind == "ParticipantsUpdated" {
                continue;
            }
            assert_eq!(kind, wanted, "{event}");
            break;
        }
    }
    let ended = |call: &Value| call["id"] == id.as_str() && call["endedAt"].is_string();
    call_where(&engine, "the call's record", ended).await;
    nothing_failed(&engine).await;
}
