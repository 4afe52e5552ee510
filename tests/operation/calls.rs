//! Calls as an operator sees them: what the caller heard and pressed, lists, timelines, log lines.

use serde_json::{Value, json};
use strowger::dtmf::{Digit, Way};
use strowger::phone::PhoneEvent;

use super::{
    answering, clip, connected, dial, entry, list, newest_call, over, phone, quiet, refused, share_heard, timeline,
};
use crate::support::{Engine, PATIENCE};

#[tokio::test]
async fn a_rule_answers_plays_and_collects() {
    let engine = Engine::start(&[]);
    let collect = json!({"maxTones": 3, "interruptPrompt": true});
    let action = json!({"answer": {"play": ["prompt:welcome"], "collect": collect}});
    engine.rule(json!({"name": "ask", "priority": 1, "action": action})).await;
    let mut phone = phone().await;
    dial(&engine, &phone, "100").await;
    connected(&mut phone).await;
    entry(&engine, "PlayStarted").await;
    for (digit, way) in [(Digit::Four, Way::TelephoneEvent), (Digit::Two, Way::Info), (Digit::Nine, Way::InBand)] {
        phone.press(digit, way).await;
        // Only when it has been heard the next one is pressed: three ways of a different pace.
        entry(&engine, &format!("{digit} pressed, by {way}")).await;
    }
    let (by_engine, _) = over(&mut phone).await;
    assert!(by_engine, "three digits, and the rule hangs up");
    quiet(&engine).await;
    let call = newest_call(&engine).await;
    assert_eq!((&call["rule"], &call["state"]), (&json!("ask"), &json!("disconnected")));
    for time in ["startedAt", "connectedAt", "endedAt"] {
        assert!(call[time].as_str().is_some_and(|at| at.starts_with("20") && at.ends_with('Z')), "{call}");
    }
    let texts: Vec<String> =
        timeline(&engine, &call).await.iter().map(|e| e["text"].as_str().unwrap_or_default().to_owned()).collect();
    let at =
        |part: &str| texts.iter().position(|text| text.contains(part)).unwrap_or_else(|| panic!("{part}: {texts:#?}"));
    let order = ["INVITE", "CallConnected", "PlayStarted", "4 pressed", "2 pressed", "9 pressed", "RecognizeCompleted"];
    let places: Vec<usize> = order.iter().map(|part| at(part)).collect();
    assert!(places.is_sorted(), "{order:?} at {places:?} of {texts:#?}");
}

#[tokio::test]
async fn a_caller_hears_the_prompt_to_its_end() {
    let engine = Engine::start(&[]);
    engine.rule(answering(&["prompt:beep", "prompt:goodbye"])).await;
    let mut phone = phone().await;
    dial(&engine, &phone, "100").await;
    connected(&mut phone).await;
    let (by_engine, heard) = over(&mut phone).await;
    assert!(by_engine);
    let share = share_heard(clip("prompt:goodbye").await.samples(), &heard);
    assert!(share > 0.5, "{share} of the goodbye was heard");
}

#[tokio::test]
async fn lists_come_in_pages_and_timelines_outlive_the_engine() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut engine = Engine::start_in(&data, &[]);
    for extension in ["1", "2", "3", "4", "5"] {
        assert_eq!(refused(&engine, extension).await, 404);
    }
    quiet(&engine).await;
    let all = list(&engine, "/v1/calls").await;
    assert_eq!(all.len(), 5);
    let to: Vec<&str> = all.iter().map(|call| call["to"].as_str().expect("a callee")).collect();
    assert!(to[0].contains(":5@") && to[4].contains(":1@"), "newest first: {to:?}");
    // Page by page, by the links.
    let (mut next, mut paged) = (Some("/v1/calls?top=2".to_owned()), Vec::new());
    while let Some(path) = next {
        let (status, page) = engine.request("GET", &path, None).await;
        assert_eq!(status, 200, "{page}");
        let calls = page["value"].as_array().expect("a page").clone();
        assert!((1..=2).contains(&calls.len()));
        paged.extend(calls);
        next = page["nextLink"].as_str().map(|link| link[link.find("/v1/").expect("a path")..].to_owned());
    }
    assert_eq!(paged, all);
    let (status, answer) = engine.request("GET", "/v1/calls?top=none", None).await;
    assert_eq!(status, 400, "{answer}");
    let id = all[2]["id"].as_str().expect("an id");
    assert_eq!(engine.request("GET", &format!("/v1/calls/{id}"), None).await, (200, all[2].clone()));
    assert_eq!(engine.request("GET", "/v1/calls/nobody/timeline", None).await.0, 404);

    let before = timeline(&engine, &all[2]).await;
    assert!(before.iter().any(|e| e["kind"] == "sip") && before.iter().any(|e| e["kind"] == "rule"), "{before:#?}");
    engine.signal("TERM");
    assert!(engine.wait().success());
    let engine = Engine::start_in(&data, &[]);
    assert_eq!(list(&engine, "/v1/calls").await, all);
    assert_eq!(timeline(&engine, &all[2]).await, before);
}

/// Every line that a call causes names it, whatever its level.
#[tokio::test]
async fn log_lines_of_a_call_name_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let flags = ["--log", "strowger=trace,warn", "--log-format", "json"];
    let file = std::fs::File::create(&log).expect("a file");
    let mut engine = Engine::start_logging(&folder.path().join("data"), &flags, file);
    engine.rule(answering(&["prompt:beep"])).await;
    let mut phone = phone().await;
    dial(&engine, &phone, "100").await;
    connected(&mut phone).await;
    over(&mut phone).await;
    quiet(&engine).await;
    let id = newest_call(&engine).await["id"].as_str().expect("an id").to_owned();
    engine.signal("TERM");
    assert!(engine.wait().success());

    let text = std::fs::read_to_string(&log).expect("the log");
    let lines: Vec<Value> =
        text.lines().filter(|l| l.starts_with('{')).map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let (mut of_call, mut topics) = (0, std::collections::BTreeSet::new());
    for line in &lines {
        let target = line["target"].as_str().unwrap_or_default();
        let request = line["spans"][0]["name"] == "request";
        // What belongs to no call: start and stop, requests, connections.
        let other = target.starts_with("strowger::engine::start") || target.starts_with("strowger::store");
        let named = line["span"]["id"] == id.as_str() || line["fields"]["id"] == id.as_str();
        assert!(named || request || other, "a line without its call: {line}");
        of_call += u32::from(named);
        topics.extend(line["fields"]["topic"].as_str().map(str::to_owned));
    }
    assert!(of_call > 10, "{lines:#?}");
    for topic in ["signalling", "media", "state", "event", "rule"] {
        assert!(topics.contains(topic), "{topic} is not in {topics:?}");
    }
}

#[tokio::test]
async fn a_full_engine_says_so() {
    let engine = Engine::start(&["--max-calls", "1"]);
    engine.rule(answering(&["prompt:demo-menu", "prompt:demo-menu"])).await;
    let (mut first, other) = (phone().await, "200");
    dial(&engine, &first, "100").await;
    connected(&mut first).await;
    assert_eq!(refused(&engine, other).await, 503);
    first.hang_up().await;
    assert!(!over(&mut first).await.0);
    quiet(&engine).await;
    // There is room again, as soon as everything of the first is freed.
    let mut again = phone().await;
    dial(&engine, &again, "100").await;
    let rings = again.wait(PATIENCE, |event| matches!(event, PhoneEvent::Connected).then_some(()));
    rings.await.expect("room again");
}
