//! Bodies of the REST API, through the real router: signature, door, JSON, checks. The engine behind it agrees to all.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Method, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use strowger::api::auth::{AccessKeys, Signed, sign};
use strowger::api::service::*;
use strowger::api::{Api, Scheme};
use strowger::call::{Command, Participant, Party, RejectReason, Reply};
use strowger::rules::{ExplainRequest, Rule};
use strowger::time::Time;
use tower::ServiceExt;

use super::Target;

const KEY: &str = "cHJpbWFyeS1rZXktZm9yLXRlc3Rz";
const DATE: &str = "Sun, 22 Nov 2026 09:26:04 GMT";

/// The moment of [`DATE`].
fn noon() -> Time {
    Time::from_micros(1_795_339_564_000_000)
}

const SPICE: &[&[u8]] = &[
    b"null",
    b"{}",
    b"[]",
    b"\"",
    b"-1",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
    b"99999999999999999999",
    b"\xff",
    b"[[[[",
    b",",
    b":",
    b"true",
    b"4:+1",
    b"8:acs:",
    b"sip:",
    b"http://[",
    b"prompt:",
    b"\"kind\":",
    b"\"playSources\":[",
    b"\"operationContext\":",
    b"0.5",
    b"\\\"",
    b"}",
];

/// Every body that the SDKs were seen to send, and the documents of operators.
pub fn json() -> Target {
    let mut requests: Vec<(Method, String)> = Vec::new();
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let mut add = |method: &str, target: &str, body: String| {
        let method: Method = method.parse().expect("a method");
        let at = requests.iter().position(|known| known.0 == method && known.1 == target).unwrap_or(requests.len());
        if at == requests.len() {
            requests.push((method, target.to_owned()));
        }
        // The first byte says where the body goes.
        let mut seed = vec![at as u8];
        seed.extend(body.bytes());
        seeds.push(seed);
    };
    for file in ["requests-python.json", "requests-js.json"] {
        let path = format!("{}/tests/data/acs/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        for recorded in serde_json::from_str::<Vec<Value>>(&text).expect("recorded requests") {
            if recorded["body"].is_object() {
                let text = |name: &str| recorded[name].as_str().unwrap_or_default();
                add(text("method"), text("target"), recorded["body"].to_string());
            }
        }
    }
    let rule = json!({"name":"a","priority":1,"match":{"to":{"prefix":"+44"}},"action":{"reject":{"reason":"busy"}}});
    add("POST", "/v1/rules", rule.to_string());
    add("PUT", "/v1/rules/a", rule.to_string());
    add("PUT", "/v1/trunks/a", json!({"uri":"sip:a","user":"u","password":"x","prefix":"+1","priority":1}).to_string());
    add("POST", "/v1/subscriptions", json!({"name":"a","endpoint":"https://a/","eventTypes":["x"]}).to_string());
    add("POST", "/v1/rules:explain", json!({"to":"+44","from":"+1","headers":{"a":"b"}}).to_string());
    assert!(requests.len() < 256);

    let engine = Arc::new(Agreeable);
    let keys = AccessKeys::new(KEY, KEY).expect("a key");
    let router = Api::new(engine.clone(), engine, keys, Arc::new(noon)).router(Scheme::Https);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let read = move |input: &[u8]| {
        let Some((&at, body)) = input.split_first() else { return false };
        let (method, target) = &requests[usize::from(at) % requests.len()];
        let status = runtime.block_on(answer(&router, method, target, body));
        // 501 says what comes later; anything else of ours would be a fault, a caught panic among them.
        assert!(status < 500 || status == 501, "{method} {target}: {status}");
        status < 300
    };
    Target { name: "api-json", seeds, spice: SPICE, read: Box::new(read) }
}

async fn answer(router: &Router, method: &Method, target: &str, body: &[u8]) -> u16 {
    let request = Request::builder().method(method.clone()).uri(target).header("host", "localhost:8443");
    let request = if target.starts_with("/v1/") {
        request.header("authorization", format!("Bearer {KEY}"))
    } else {
        request.header("x-ms-date", DATE).header("x-ms-content-sha256", BASE64.encode(Sha256::digest(body)))
    };
    let mut request = request.body(Body::from(body.to_vec())).expect("a request");
    if !target.starts_with("/v1/") {
        let about = Signed { method: method.as_str(), target, headers: request.headers(), body };
        let signature = sign(KEY, &about).expect("a signature").parse().expect("a header");
        request.headers_mut().insert("authorization", signature);
    }
    let response = router.clone().oneshot(request).await.expect("the router always answers");
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    if !body.is_empty() {
        serde_json::from_slice::<Value>(&body).expect("every answer is JSON");
    }
    status
}

/// An engine to which everything is right, so that every wish gets as far as it can.
struct Agreeable;

fn ready<'a, T: Send + 'a, E: Send + 'a>(result: Result<T, E>) -> Pending<'a, T, E> {
    Box::pin(std::future::ready(result))
}

fn properties(callback: String) -> CallProperties {
    CallProperties {
        id: "411f0200-e97f-4ad2-9614-9e2e7d1cb5d5".into(),
        server_call_id: "c2VydmVyLWNhbGw".into(),
        correlation_id: "9d635abd-341d-4c37-8be0-584b9d54f897".into(),
        targets: vec![Party::Phone("+15551230001".into())],
        state: ConnectionState::Connected,
        callback,
        caller_id: None,
        display_name: None,
        source: None,
        answered_by: None,
        answered_for: None,
    }
}

impl Calls for Agreeable {
    fn create_call(&self, wish: CreateCall) -> Pending<'_, CallProperties, CallError> {
        ready(Ok(CallProperties { targets: wish.targets, ..properties(wish.callback.into()) }))
    }
    fn answer(&self, wish: AnswerCall) -> Pending<'_, CallProperties, CallError> {
        ready(Ok(properties(wish.callback.into())))
    }
    fn redirect(&self, _: String, _: Party) -> Pending<'_, (), CallError> {
        ready(Ok(()))
    }
    fn reject(&self, _: String, _: RejectReason) -> Pending<'_, (), CallError> {
        ready(Ok(()))
    }
    fn properties<'a>(&'a self, _: &'a str) -> Pending<'a, CallProperties, CallError> {
        ready(Ok(properties(String::new())))
    }
    fn participants<'a>(&'a self, _: &'a str) -> Pending<'a, Vec<Participant>, CallError> {
        ready(Ok(Vec::new()))
    }
    fn command<'a>(&'a self, _: &'a str, _: Command) -> Pending<'a, Reply, CallError> {
        ready(Ok(Reply::Accepted))
    }
    fn claim<'a>(&'a self, _: &'a str, _: &'a str, _: Time) -> Pending<'a, Claim, StoreError> {
        ready(Ok(Claim::New))
    }
    fn record<'a>(&'a self, _: &'a str, _: Recorded) -> Pending<'a, (), StoreError> {
        ready(Ok(()))
    }
    fn release<'a>(&'a self, _: &'a str) -> Pending<'a, (), StoreError> {
        ready(Ok(()))
    }
}

fn wrong(problem: impl std::fmt::Display) -> AdminError {
    AdminError::invalid("document", problem.to_string())
}

impl Administration for Agreeable {
    fn documents(&self, _: Collection, _: Page) -> Pending<'_, Listing<Value>, AdminError> {
        ready(Ok(Listing { items: Vec::new(), more: false }))
    }
    fn document<'a>(&'a self, _: Collection, name: &'a str) -> Pending<'a, Value, AdminError> {
        ready(Err(AdminError::NotFound(name.to_owned())))
    }
    fn put<'a>(&'a self, of: Collection, _: &'a str, document: Value, _: Existing) -> Pending<'a, Stored, AdminError> {
        let checked = match of {
            Collection::Rules => Rule::from_json(&document).map(|_| ()).map_err(wrong),
            _ => Ok(()),
        };
        ready(checked.map(|()| Stored { document, created: true }))
    }
    fn delete<'a>(&'a self, _: Collection, _: &'a str) -> Pending<'a, (), AdminError> {
        ready(Ok(()))
    }
    fn explain(&self, would_be_call: Value) -> Pending<'_, Value, AdminError> {
        let asked = serde_json::from_value::<ExplainRequest>(would_be_call).map_err(wrong);
        ready(asked.and_then(|asked| asked.into_candidate(noon()).map_err(wrong)).map(|_| json!({})))
    }
    fn registrations<'a>(&'a self, _: &'a str) -> Pending<'a, Vec<Registration>, AdminError> {
        ready(Ok(Vec::new()))
    }
    fn remove_registrations<'a>(&'a self, _: &'a str, _: Option<String>) -> Pending<'a, (), AdminError> {
        ready(Ok(()))
    }
    fn explain_route(&self, would_be_call: Value) -> Pending<'_, Value, AdminError> {
        let asked = serde_json::from_value::<ExplainRequest>(would_be_call).map_err(wrong);
        ready(asked.and_then(|asked| asked.into_candidate(noon()).map_err(wrong)).map(|_| json!({})))
    }
    fn validate_subscription<'a>(&'a self, _: &'a str, _: &'a str) -> Pending<'a, (), AdminError> {
        ready(Ok(()))
    }
    fn prompts(&self, _: Page) -> Pending<'_, Listing<Prompt>, AdminError> {
        ready(Ok(Listing { items: Vec::new(), more: false }))
    }
    fn prompt<'a>(&'a self, name: &'a str) -> Pending<'a, PromptAudio, AdminError> {
        ready(Err(AdminError::NotFound(name.to_owned())))
    }
    fn put_prompt<'a>(&'a self, name: &'a str, _: PromptAudio) -> Pending<'a, PromptStored, AdminError> {
        ready(Err(AdminError::NotFound(name.to_owned())))
    }
    fn delete_prompt<'a>(&'a self, _: &'a str) -> Pending<'a, (), AdminError> {
        ready(Ok(()))
    }
    fn calls(&self, _: Page) -> Pending<'_, Listing<CallRecord>, AdminError> {
        ready(Ok(Listing { items: Vec::new(), more: false }))
    }
    fn call<'a>(&'a self, id: &'a str) -> Pending<'a, CallRecord, AdminError> {
        ready(Err(AdminError::NotFound(id.to_owned())))
    }
    fn timeline<'a>(&'a self, id: &'a str) -> Pending<'a, Timeline, AdminError> {
        ready(Err(AdminError::NotFound(id.to_owned())))
    }
    fn pcap<'a>(&'a self, id: &'a str) -> Pending<'a, Bytes, AdminError> {
        Box::pin(async move { Err(AdminError::NotFound(format!("call {id}"))) })
    }

    fn dead_events(&self, _: Page) -> Pending<'_, Listing<DeadEvent>, AdminError> {
        ready(Ok(Listing { items: Vec::new(), more: false }))
    }
    fn bans(&self) -> Pending<'_, Vec<Ban>, AdminError> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn ban(&self, new: NewBan) -> Pending<'_, Ban, AdminError> {
        let reason = new.reason.unwrap_or_default();
        let (since, until) = (String::new(), String::new());
        let ban = Ban { source: new.source, reason, automatic: false, since, until, count: 1, dropped: 0 };
        Box::pin(async { Ok(ban) })
    }

    fn lift_ban<'a>(&'a self, _source: &'a str) -> Pending<'a, (), AdminError> {
        Box::pin(async { Ok(()) })
    }

    fn metrics(&self) -> String {
        String::new()
    }
    fn ready(&self) -> Pending<'_, (), String> {
        Box::pin(std::future::ready(Ok(())))
    }
}
