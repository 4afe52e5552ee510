//! A webhook that keeps what it is sent, answers subscription handshakes, and can be told to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Engine, PATIENCE};

/// A listening webhook.
pub struct Webhook {
    /// Where it listens: `http://127.0.0.1:…/events`.
    pub url: String,
    events: mpsc::UnboundedReceiver<Value>,
    status: Arc<AtomicU16>,
}

impl Webhook {
    /// Listens on a free loopback port.
    pub async fn start() -> Webhook {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/events", listener.local_addr().expect("an address"));
        let (sender, events) = mpsc::unbounded_channel();
        let status = Arc::new(AtomicU16::new(200));
        let answer = Arc::clone(&status);
        let hear = move |body: Bytes| async move {
            let status = StatusCode::from_u16(answer.load(Ordering::Relaxed)).expect("a status");
            let mut reply = json!({});
            for event in serde_json::from_slice::<Vec<Value>>(&body).expect("an array of events") {
                if event["eventType"] == "Microsoft.EventGrid.SubscriptionValidationEvent" {
                    reply = json!({ "validationResponse": event["data"]["validationCode"] });
                } else if status.is_success() {
                    let _ = sender.send(event);
                }
            }
            (status, reply.to_string())
        };
        let router = Router::new().route("/events", post(hear));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Webhook { url, events, status }
    }

    /// One that is subscribed to the incoming calls of this engine, and gets all of them by a rule.
    pub async fn subscribed(engine: &Engine) -> Webhook {
        let webhook = Webhook::start().await;
        let subscription = json!({"name": "app", "endpoint": webhook.url});
        let (status, answer) = engine.request("PUT", "/v1/subscriptions/app", Some(subscription)).await;
        assert!(matches!(status, 200 | 201), "{status}: {answer}");
        engine.rule(json!({"name": "app", "priority": 1, "action": {"webhook": {"subscription": "app"}}})).await;
        webhook
    }

    /// Answers with this status from now on; events answered without a 2xx are not kept.
    pub fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// The next event.
    pub async fn event(&mut self) -> Value {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event in time").expect("a webhook that lives")
    }

    /// The next event of this type (its last word); those before it are passed over. Its `data`.
    pub async fn expect(&mut self, wanted: &str) -> Value {
        loop {
            let event = self.event().await;
            let kind = event["type"].as_str().or(event["eventType"].as_str()).unwrap_or_default();
            if kind.rsplit('.').next() == Some(wanted) {
                return event["data"].clone();
            }
        }
    }
}
