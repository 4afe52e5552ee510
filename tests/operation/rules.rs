//! The rules table: kept, checked, explained, and obeyed by the next call.

use serde_json::{Value, json};

use super::{entry, list, newest_call, quiet, refused};
use crate::support::Engine;

fn reject(name: &str, priority: u32, matches: Value, reason: &str) -> Value {
    json!({"name": name, "priority": priority, "match": matches, "action": {"reject": {"reason": reason}}})
}

#[tokio::test]
async fn rules_are_created_read_replaced_listed_and_deleted() {
    let engine = Engine::start(&[]);
    let rule = reject("night", 20, json!({"to": {"prefix": "+44"}}), "busy");
    let (status, created) = engine.request("POST", "/v1/rules", Some(rule.clone())).await;
    assert_eq!((status, &created["name"], &created["enabled"]), (201, &json!("night"), &json!(true)));
    assert_eq!(engine.request("POST", "/v1/rules", Some(rule.clone())).await.0, 409, "the name is taken");
    assert_eq!(engine.request("GET", "/v1/rules/night", None).await, (200, created.clone()));
    engine.rule(reject("day", 10, json!({}), "forbidden")).await;
    let names: Vec<Value> = list(&engine, "/v1/rules").await.iter().map(|rule| rule["name"].clone()).collect();
    assert_eq!(names, ["day", "night"], "by priority");
    let changed = reject("night", 30, json!({"to": {"prefix": "+49"}}), "busy");
    let (status, changed) = engine.request("PUT", "/v1/rules/night", Some(changed)).await;
    assert_eq!((status, &changed["priority"]), (200, &json!(30)));
    assert_eq!(engine.request("DELETE", "/v1/rules/night", None).await.0, 204);
    for method in ["GET", "DELETE"] {
        assert_eq!(engine.request(method, "/v1/rules/night", None).await.0, 404);
    }
}

#[tokio::test]
async fn a_wrong_rule_names_its_field() {
    let engine = Engine::start(&[]);
    let put = async |name: &str, rule: Value| engine.request("PUT", &format!("/v1/rules/{name}"), Some(rule)).await;
    for (field, rule) in [
        ("match.to.regex", reject("x", 1, json!({"to": {"regex": "("}}), "busy")),
        ("match.source[0]", reject("x", 1, json!({"source": ["10.0.0.0/99"]}), "busy")),
        ("match.time.zone", reject("x", 1, json!({"time": {"zone": "Mars/Base"}}), "busy")),
        ("action.reject.reason", reject("x", 1, json!({}), "tired")),
        ("match.colour", reject("x", 1, json!({"colour": "red"}), "busy")),
        ("name", reject("y", 1, json!({}), "busy")),
    ] {
        let (status, answer) = put("x", rule).await;
        assert_eq!(status, 400, "{field}: {answer}");
        let text = answer.to_string();
        assert!(text.contains(field), "{field} is not named: {text}");
    }
    // Two that can never be told apart.
    engine.rule(reject("one", 5, json!({"to": {"prefix": "+44"}}), "busy")).await;
    let (status, answer) = put("two", reject("two", 5, json!({"to": {"prefix": "+44"}}), "forbidden")).await;
    assert_eq!(status, 409, "{answer}");
    let message = answer["error"]["message"].as_str().expect("a message");
    assert!(message.contains("one") && message.contains("two"), "{message}");
    assert_eq!(list(&engine, "/v1/rules").await.len(), 1);
}

#[tokio::test]
async fn a_change_acts_on_the_next_call() {
    let engine = Engine::start(&[]);
    assert_eq!(refused(&engine, "100").await, 404, "no rule");
    for (reason, status) in [("busy", 486), ("forbidden", 403), ("unavailable", 480), ("declined", 603)] {
        engine.rule(reject("only", 10, json!({}), reason)).await;
        assert_eq!(refused(&engine, "100").await, status, "{reason}");
    }
    engine
        .rule(json!({"name": "only", "priority": 10, "enabled": false, "action": {"reject": {"reason": "busy"}}}))
        .await;
    assert_eq!(refused(&engine, "100").await, 404, "the rule is off");
    engine
        .rule(json!({"name": "only", "priority": 10, "action": {"redirect": {"to": "sip:elsewhere@192.0.2.9"}}}))
        .await;
    assert_eq!(refused(&engine, "100").await, 302);
    let moved = entry(&engine, "SIP/2.0 302").await;
    assert!(moved["detail"].as_str().expect("the message").contains("<sip:elsewhere@192.0.2.9>"), "{moved}");
    assert_eq!(engine.request("DELETE", "/v1/rules/only", None).await.0, 204);
    assert_eq!(refused(&engine, "100").await, 404);
}

#[tokio::test]
async fn a_call_without_a_rule_is_explained() {
    let engine = Engine::start(&[]);
    engine.rule(reject("elsewhere", 10, json!({"to": {"exact": "999"}}), "busy")).await;
    assert_eq!(refused(&engine, "100").await, 404);
    quiet(&engine).await;
    let call = newest_call(&engine).await;
    assert_eq!((&call["direction"], call.get("rule")), (&json!("inbound"), None));
    let verdict = entry(&engine, "no rule").await;
    assert_eq!(verdict["kind"], "rule");
    let explained = verdict["detail"].to_string();
    assert!(explained.contains("elsewhere") && explained.contains("to"), "{explained}");

    let wish = json!({"to": "sip:100@127.0.0.1", "from": "+15551230009"});
    let (status, answer) = engine.request("POST", "/v1/rules:explain", Some(wish)).await;
    assert_eq!(status, 200, "{answer}");
    let rows = answer["explanation"].as_array().expect("a row a rule");
    assert_eq!((rows.len(), answer.get("rule").filter(|rule| !rule.is_null())), (1, None), "{answer}");
    engine.rule(reject("wins", 20, json!({}), "busy")).await;
    let wish = json!({"to": "sip:100@127.0.0.1"});
    let (_, answer) = engine.request("POST", "/v1/rules:explain", Some(wish)).await;
    assert_eq!(answer["rule"], "wins", "{answer}");
    let (status, answer) = engine.request("POST", "/v1/rules:explain", Some(json!({"from": "x"}))).await;
    assert_eq!(status, 400, "{answer}");
}
