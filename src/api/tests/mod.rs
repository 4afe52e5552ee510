//! The router as a client sees it, before a fake engine.

mod administration;
mod description;
mod events;
mod fake;
mod hostile;
mod repeat;
mod sdk;
mod serving;
mod signature;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use self::fake::Fake;
use super::auth::{AccessKeys, Signed, sign};
use super::{Api, Scheme};
use crate::time::Time;

const KEY: &str = "cHJpbWFyeS1rZXktZm9yLXRlc3Rz";
const OTHER_KEY: &str = "c2Vjb25kYXJ5LWtleS1mb3ItdGVzdHM=";
const DATE: &str = "Sun, 22 Nov 2026 09:26:04 GMT";
const HOST: &str = "localhost:18443";
const ANY_CALL: &str = "/calling/callConnections/411f0200-e97f-4ad2-9614-9e2e7d1cb5d5";

/// The moment of [`DATE`].
fn noon() -> Time {
    Time::from_micros(1_795_339_564_000_000)
}

struct Client {
    router: Router,
    fake: Arc<Fake>,
    api: Arc<Api>,
}

struct Answered {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }

    /// Status, code and target of an error.
    fn error(&self) -> (u16, String, Option<String>) {
        let error = &self.json()["error"];
        assert!(!error["message"].as_str().unwrap().is_empty());
        let target = error["target"].as_str().map(str::to_owned);
        (self.status, error["code"].as_str().unwrap().to_owned(), target)
    }
}

impl Client {
    fn new() -> Client {
        let fake = Arc::new(Fake::default());
        let keys = AccessKeys::new(KEY, OTHER_KEY).unwrap();
        let api = Api::new(fake.clone(), fake.clone(), keys, Arc::new(noon));
        Client { router: api.router(Scheme::Https), fake, api }
    }

    async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        assert!(parts.headers.contains_key("x-ms-request-id"));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answered { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// As an SDK sends it.
    async fn signed(&self, method: Method, target: &str, body: &str) -> Answered {
        self.signed_with(method, target, body, &[]).await
    }

    async fn signed_with(&self, method: Method, target: &str, body: &str, more: &[(&str, &str)]) -> Answered {
        self.send(signed(method, target, body.as_bytes(), more)).await
    }

    /// As curl sends it to `/v1`.
    async fn bearer(&self, method: Method, target: &str, body: impl Into<Body>) -> Answered {
        let request = Request::builder().method(method).uri(target).header("host", HOST);
        self.send(request.header("authorization", format!("Bearer {KEY}")).body(body.into()).unwrap()).await
    }
}

fn signed(method: Method, target: &str, body: &[u8], more: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method.clone()).uri(target).header("host", HOST);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let hash = BASE64.encode(Sha256::digest(body));
    let mut request =
        request.header("x-ms-date", DATE).header("x-ms-content-sha256", hash).body(Body::from(body.to_vec())).unwrap();
    let about = Signed { method: method.as_str(), target, headers: request.headers(), body };
    let authorization = sign(KEY, &about).unwrap();
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    request
}

fn data(name: &str) -> String {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[tokio::test]
async fn what_is_not_there_says_so_in_json() {
    let client = Client::new();
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(client.send(get("/nothing")).await.error(), (404, "NotFound".into(), None));
    assert_eq!(client.signed(Method::POST, &format!("{ANY_CALL}:dance?api-version=1"), "{}").await.status, 404);
    let wrong = client.send(get("/calling/callConnections:answer")).await;
    assert_eq!(wrong.error(), (405, "MethodNotAllowed".into(), None));
    assert_eq!(wrong.headers["allow"], "POST");
}

#[tokio::test]
async fn a_version_is_wanted_and_any_is_taken() {
    let client = Client::new();
    let missing = client.signed(Method::GET, ANY_CALL, "").await;
    assert_eq!(missing.error(), (400, "MissingApiVersionParameter".into(), Some("api-version".into())));
    assert_eq!(client.signed(Method::GET, &format!("{ANY_CALL}?api-version=2099-01-01-beta"), "").await.status, 200);
    let body = r#"{"targets":[{"rawId":"4:+1"}],"callbackUri":"http://a/"}"#;
    client.signed(Method::POST, "/calling/callConnections?api-version=2023-10-15", body).await;
    assert_eq!(client.fake.created()[0].api_version, "2023-10-15");
}

#[tokio::test]
async fn a_client_gets_its_request_id_back_when_it_asks() {
    let client = Client::new();
    let target = format!("{ANY_CALL}?api-version=1");
    let id = ("x-ms-client-request-id", "mine");
    let asked = client.signed_with(Method::GET, &target, "", &[id, ("x-ms-return-client-request-id", "true")]).await;
    assert_eq!(asked.headers["x-ms-client-request-id"], "mine");
    let not_asked = client.signed_with(Method::GET, &target, "", &[id]).await;
    assert!(!not_asked.headers.contains_key("x-ms-client-request-id"));
}

#[tokio::test]
async fn bodies_are_bounded() {
    let client = Client::new();
    let long = "x".repeat(1024 * 1024 + 1);
    let refused = client.signed(Method::POST, "/calling/callConnections?api-version=1", &long).await;
    assert_eq!(refused.error().0, 413);
    // One that announces too much is refused before it is read.
    let request = Request::post("/v1/rules").header("authorization", format!("Bearer {KEY}"));
    let announced = request.header("content-length", "9999999").body(Body::empty()).unwrap();
    assert_eq!(client.send(announced).await.error().0, 413);
}

#[tokio::test]
async fn a_crash_is_one_requests_own() {
    let client = Client::new();
    let crashed = client.signed(Method::GET, "/calling/callConnections/panic?api-version=1", "").await;
    assert_eq!(crashed.error(), (500, "InternalServerError".into(), None));
    assert!(!crashed.text.contains("fake"), "the cause stays inside");
    assert_eq!(client.signed(Method::GET, &format!("{ANY_CALL}?api-version=1"), "").await.status, 200);
}

#[tokio::test]
async fn health_needs_no_key() {
    let client = Client::new();
    let get = |path: &str| client.send(Request::get(path).body(Body::empty()).unwrap());
    assert_eq!(get("/healthz").await.json()["status"], "ok");
    assert_eq!(get("/readyz").await.json()["status"], "ready");
    client.fake.drain();
    assert_eq!(get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE.as_u16());
    let metrics = get("/metrics").await;
    assert_eq!(metrics.text, "calls 1\n");
    assert!(metrics.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
}

/// What each refusal of the engine is on the wire.
#[tokio::test]
async fn refusals_have_the_contracts_codes() {
    let client = Client::new();
    let terminate = async |call: &str| {
        client.signed(Method::POST, &format!("/calling/callConnections/{call}:terminate?api-version=1"), "").await
    };
    for (call, status, code) in [
        ("missing", 404, "8522"),
        ("ended", 400, "8528"),
        ("early", 400, "8501"),
        ("queue", 409, "8519"),
        ("stranger", 400, "8523"),
        ("full", 503, "ServiceUnavailable"),
        ("broken", 500, "InternalServerError"),
    ] {
        let answer = terminate(call).await;
        assert_eq!((answer.status, answer.error().1.as_str()), (status, code), "{call}");
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503);
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
}
