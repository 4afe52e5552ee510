//! The demo's application: a webhook and a client of the automation API, as anybody would write them.

use std::time::Duration;

use axum::Json;
use axum::http::HeaderMap;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{Outcome, PATIENCE};
use crate::api::auth::{Signed, sign};
use crate::engine::Engine;

/// How often the API may be asked the same thing before it counts as silent.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A running application.
pub struct Application {
    client: reqwest::Client,
    /// The API, `http://host:port`.
    api: String,
    key: String,
    /// Where this application hears of events.
    callback: String,
    events: mpsc::Receiver<(String, Value)>,
}

impl Application {
    /// Listens on a free loopback port for events of this engine.
    pub async fn start(engine: &Engine) -> Outcome<Application> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let callback = format!("http://{}/events", listener.local_addr()?);
        let (sender, events) = mpsc::channel(1024);
        let router = axum::Router::new().route("/events", post(move |Json(body): Json<Value>| hear(body, sender)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Application {
            client: reqwest::Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build()?,
            api: format!("http://{}", engine.listeners().http),
            key: engine.access_key().to_owned(),
            callback,
            events,
        })
    }

    /// Asks for incoming calls, and for a rule that gives them to us.
    pub async fn subscribe(&self) -> Outcome<()> {
        let subscription = json!({"name": "demo", "endpoint": self.callback});
        self.operate("subscriptions/demo", &subscription).await?;
        let rule = json!({"name": "demo", "priority": 1, "action": {"webhook": {"subscription": "demo"}}});
        self.operate("rules/demo", &rule).await
    }

    async fn operate(&self, what: &str, document: &Value) -> Outcome<()> {
        let request = self.client.put(format!("{}/v1/{what}", self.api)).bearer_auth(&self.key);
        let request = request.header("content-type", "application/json").body(document.to_string());
        answer(request.send().await?).await.map(|_| ())
    }

    /// What an operator's GET shows.
    pub async fn look(&self, path: &str) -> Outcome<Value> {
        let request = self.client.get(format!("{}{path}", self.api)).bearer_auth(&self.key);
        answer(request.send().await?).await
    }

    /// A second handle for looking only.
    pub fn looker(&self) -> Application {
        Application {
            client: self.client.clone(),
            api: self.api.clone(),
            key: self.key.clone(),
            callback: String::new(),
            events: mpsc::channel(1).1,
        }
    }

    /// Posts to the automation API, signed as the SDKs sign. Where events are to go is added for whoever asks for a call.
    pub async fn post(&self, path: &str, mut body: Value) -> Outcome<Value> {
        if path == "/calling/callConnections" || path.ends_with(":answer") {
            body["callbackUri"] = json!(self.callback);
        }
        let target = format!("{path}?api-version=2026-03-12");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let host = self.api.trim_start_matches("http://");
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-date", date.parse()?);
        headers.insert("host", host.parse()?);
        headers.insert("x-ms-content-sha256", STANDARD.encode(Sha256::digest(&body)).parse()?);
        headers.insert("content-type", "application/json".parse()?);
        let signed = Signed { method: "POST", target: &target, headers: &headers, body: body.as_bytes() };
        headers.insert("authorization", sign(&self.key, &signed)?.parse()?);
        let request = self.client.post(format!("{}{target}", self.api)).headers(headers).body(body);
        answer(request.send().await?).await
    }

    /// The path of a call's operations, from what answering or creating it gave back.
    pub fn path_of(&self, properties: &Value) -> Outcome<String> {
        let id = properties["callConnectionId"].as_str().ok_or("the answer names no call")?;
        Ok(format!("/calling/callConnections/{id}"))
    }

    /// Waits for an event of this type (its last word); others are passed over, failures end the wait.
    pub async fn expect(&mut self, wanted: &str) -> Outcome<Value> {
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some((kind, data)) = self.events.recv().await {
                if kind == wanted {
                    return Ok(data);
                }
                if kind.ends_with("Failed") {
                    return Err(format!("{kind}: {}", data["resultInformation"]["message"]));
                }
            }
            Err("the application's webhook is gone".to_owned())
        });
        match found.await {
            Ok(Ok(data)) => {
                println!("  application was told: {wanted}");
                Ok(data)
            }
            Ok(Err(problem)) => Err(problem.into()),
            Err(_) => Err(format!("{wanted} did not come").into()),
        }
    }
}

/// Takes a delivery: CloudEvents or Event Grid events, or the handshake of a subscription.
async fn hear(body: Value, events: mpsc::Sender<(String, Value)>) -> Json<Value> {
    for event in body.as_array().into_iter().flatten() {
        let kind = event["type"].as_str().or(event["eventType"].as_str()).unwrap_or_default();
        if kind.ends_with("SubscriptionValidationEvent") {
            return Json(json!({"validationResponse": event["data"]["validationCode"]}));
        }
        let short = kind.rsplit('.').next().unwrap_or_default().to_owned();
        let _ = events.send((short, event["data"].clone())).await;
    }
    Json(json!({}))
}

async fn answer(response: reqwest::Response) -> Outcome<Value> {
    let (status, url) = (response.status(), response.url().path().to_owned());
    let text = response.text().await?;
    if !status.is_success() {
        return Err(format!("{url} answered {status}: {text}").into());
    }
    Ok(serde_json::from_str(&text).unwrap_or_default())
}
