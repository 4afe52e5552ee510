//! A client of the automation API, signing its requests as the official SDKs do.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use strowger::api::auth::{Signed, sign};

use super::{Engine, http_client};

/// Where an application sends its wishes.
pub struct Client {
    http: reqwest::Client,
    /// `host:port`.
    host: String,
    key: String,
    /// Headers that are none of the API's own signature.
    more: HeaderMap,
}

impl Client {
    /// A client of this engine, with its first access key.
    pub fn new(engine: &Engine) -> Client {
        Client {
            http: http_client(),
            host: engine.address("http").to_string(),
            key: engine.key().to_owned(),
            more: HeaderMap::new(),
        }
    }

    /// The same, with this header on each request.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Client {
        self.more.insert(name, value.parse().expect("a header value"));
        self
    }

    /// A signed request; status and JSON (null where there is none). A null `body` sends none.
    pub async fn request(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.bytes(method, path, body.into_bytes()).await;
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// A signed request whose body need not be JSON; status and text.
    pub async fn bytes(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, String) {
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{separator}api-version=2026-03-12");
        let mut headers = self.more.clone();
        let mut add = |name: &'static str, value: &str| headers.insert(name, value.parse().expect("a header value"));
        add("x-ms-date", &jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        add("host", &self.host);
        add("x-ms-content-sha256", &STANDARD.encode(Sha256::digest(&body)));
        add("content-type", "application/json");
        let signed = Signed { method, target: &target, headers: &headers, body: &body };
        let authorization = sign(&self.key, &signed).expect("a key that signs");
        headers.insert("authorization", authorization.parse().expect("a header value"));
        let url = format!("http://{}{target}", self.host);
        let request = self.http.request(method.parse().expect("a method"), url).headers(headers).body(body);
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, response.text().await.expect("a body"))
    }

    /// A POST that must be taken; its answer.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.request("POST", path, body).await;
        assert!((200..300).contains(&status), "POST {path}: {status} {answer}");
        answer
    }

    /// Answers or places a call (`/calling/callConnections:answer`, `/calling/callConnections`); the path of its
    /// operations.
    pub async fn call(&self, path: &str, body: Value) -> String {
        let properties = self.post(path, body).await;
        let id = properties["callConnectionId"].as_str().expect("the id of a call");
        format!("/calling/callConnections/{id}")
    }
}
