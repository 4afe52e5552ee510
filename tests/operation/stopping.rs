//! Stopping: gently, impatiently, and by force; and what the next start finds. The webhooks of these tests have threads
//! of their own, since they must answer while a test waits for a process to end.

use serde_json::{Value, json};

use super::{answering, connected, dial, entry, newest_call, over, phone, refused};
use crate::support::{Client, Engine, Webhook};

/// Waits until new calls are told to go away.
async fn drains(engine: &Engine) {
    let draining = engine.until("503 by /readyz", async |engine: &Engine| {
        (engine.request("GET", "/readyz", None).await.0 == 503).then_some(())
    });
    draining.await;
    assert_eq!(engine.request("GET", "/healthz", None).await.0, 200, "the process is well");
}

const LONG: [&str; 3] = ["prompt:demo-menu", "prompt:demo-menu", "prompt:demo-menu"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_the_call_that_runs() {
    let mut engine = Engine::start(&["--drain-seconds", "600"]);
    engine.rule(answering(&LONG)).await;
    let mut phone = phone().await;
    dial(&engine, &phone, "100").await;
    connected(&mut phone).await;
    engine.signal("TERM");
    drains(&engine).await;
    assert_eq!(refused(&engine, "100").await, 503, "no new calls");
    assert_eq!(newest_call(&engine).await["state"], "connected", "the running one goes on");
    phone.hang_up().await;
    assert!(!over(&mut phone).await.0, "it was the caller who hung up");
    assert_eq!(engine.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_hangs_up_in_the_end_and_lets_events_leave() {
    let mut engine = Engine::start(&["--drain-seconds", "1"]);
    let mut webhook = Webhook::start().await;
    let wish = json!({"name": "app", "endpoint": webhook.url});
    assert_eq!(engine.request("PUT", "/v1/subscriptions/app", Some(wish)).await.0, 201);
    engine.rule(json!({"name": "app", "priority": 1, "action": {"webhook": {"subscription": "app"}}})).await;
    let mut phone = phone().await;
    dial(&engine, &phone, "100").await;
    let context = webhook.expect("IncomingCall").await["incomingCallContext"].clone();
    let answer = json!({"incomingCallContext": context, "callbackUri": webhook.url});
    let call = Client::new(&engine).call("/calling/callConnections:answer", answer).await;
    connected(&mut phone).await;
    webhook.expect("CallConnected").await;
    engine.signal("TERM");
    drains(&engine).await;
    // A call of an application's own is not begun any more either.
    let wish = json!({"targets": [{"kind": "unknown", "rawId": "sip:x@127.0.0.1:9"}], "callbackUri": webhook.url});
    assert_eq!(Client::new(&engine).request("POST", "/calling/callConnections", wish).await.0, 503);
    assert!(over(&mut phone).await.0, "the engine says BYE");
    assert_eq!(engine.wait().code(), Some(0));
    // Before it ended: there is nobody left to send it now.
    let last = webhook.expect("CallDisconnected").await;
    assert!(call.ends_with(last["callConnectionId"].as_str().expect("an id")), "{last}");
}

/// Killed in the middle of a call, with events that nobody has taken yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_engine_owed_is_delivered_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let flags = ["--event-backoff-ms", "50", "--answer-timeout-seconds", "300"];
    let mut engine = Engine::start_in(&data, &flags);
    let mut webhook = Webhook::start().await;
    let wish = json!({"name": "app", "endpoint": webhook.url});
    assert_eq!(engine.request("PUT", "/v1/subscriptions/app", Some(wish)).await.0, 201);
    engine.rule(json!({"name": "app", "priority": 1, "action": {"webhook": {"subscription": "app"}}})).await;
    let mut phone = phone().await;
    dial(&engine, &phone, "100").await;
    let context = webhook.expect("IncomingCall").await["incomingCallContext"].clone();
    // From now on the application takes nothing.
    webhook.answer_with(500);
    let answer = json!({"incomingCallContext": context, "callbackUri": webhook.url});
    let path = Client::new(&engine).call("/calling/callConnections:answer", answer).await;
    connected(&mut phone).await;
    entry(&engine, "CallConnected to http://").await;
    engine.signal("KILL");
    assert!(!engine.wait().success());

    webhook.answer_with(200);
    let engine = Engine::start_in(&data, &flags);
    // In the order in which they happened, and each of them.
    let connected = webhook.event().await;
    assert_eq!(connected["type"], "Microsoft.Communication.CallConnected");
    let updated = webhook.event().await;
    assert_eq!(updated["type"], "Microsoft.Communication.ParticipantsUpdated");
    let id = path.rsplit('/').next().expect("an id");
    assert_eq!(connected["data"]["callConnectionId"], id);

    let (status, call) = engine.request("GET", &format!("/v1/calls/{id}"), None).await;
    assert_eq!((status, &call["state"]), (200, &json!("disconnected")), "{call}");
    let reason = call["endReason"].as_str().unwrap_or_default();
    assert!(reason.contains("engine stopped"), "{call}");
    // Its rules and subscriptions are there, and the next call is taken.
    let (_, rules): (u16, Value) = engine.request("GET", "/v1/rules/app", None).await;
    assert_eq!(rules["name"], "app");
    let mut again = super::phone().await;
    dial(&engine, &again, "100").await;
    webhook.expect("IncomingCall").await;
    again.hang_up().await;
    assert!(!over(&mut again).await.0, "it gave up");
}
