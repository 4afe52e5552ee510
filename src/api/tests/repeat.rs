//! The same id never places a second call.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::Method;

use super::{AccessKeys, Api, Client, KEY, OTHER_KEY, Scheme, noon, signed};

const CREATE: &str = "/calling/callConnections?api-version=1";
const BODY: &str = r#"{"targets":[{"rawId":"4:+1"}],"callbackUri":"http://a/"}"#;
const ID: (&str, &str) = ("Repeatability-Request-ID", "dff102e8-4697-4305-8aa5-1f5b1a4fd949");
const SENT: (&str, &str) = ("Repeatability-First-Sent", "Sun, 22 Nov 2026 09:26:04 GMT");

#[tokio::test]
async fn the_first_answer_is_given_again() {
    let client = Client::new();
    let first = client.signed_with(Method::POST, CREATE, BODY, &[ID, SENT]).await;
    let again = client.signed_with(Method::POST, CREATE, BODY, &[ID, SENT]).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.text, again.text);
    for answer in [&first, &again] {
        assert_eq!(answer.headers["repeatability-result"], "accepted");
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    assert_ne!(first.headers["x-ms-request-id"], again.headers["x-ms-request-id"]);
    assert_eq!(client.fake.created().len(), 1);
    assert_eq!(client.api.repeatability.in_flight(), 0);
}

#[tokio::test]
async fn another_id_or_none_is_another_call() {
    let client = Client::new();
    client.signed_with(Method::POST, CREATE, BODY, &[ID]).await;
    client.signed_with(Method::POST, CREATE, BODY, &[(ID.0, "other")]).await;
    let plain = client.signed(Method::POST, CREATE, BODY).await;
    assert!(!plain.headers.contains_key("repeatability-result"));
    assert_eq!(client.fake.created().len(), 3);
}

#[tokio::test]
async fn another_body_is_a_mistake() {
    let client = Client::new();
    client.signed_with(Method::POST, CREATE, BODY, &[ID]).await;
    let other = client.signed_with(Method::POST, CREATE, &BODY.replace("+1", "+2"), &[ID]).await;
    assert_eq!(other.error(), (400, "8523".into(), Some("Repeatability-Request-ID".into())));
    assert_eq!(other.headers["repeatability-result"], "rejected");
    let long = "x".repeat(201);
    assert_eq!(client.signed_with(Method::POST, CREATE, BODY, &[(ID.0, &long)]).await.status, 400);
    assert_eq!(client.fake.created().len(), 1);
}

#[tokio::test]
async fn a_repetition_waits_for_the_first_that_is_still_at_work() {
    let client = Arc::new(Client::new());
    client.fake.gate.store(true, Ordering::Relaxed);
    let send = || {
        let client = client.clone();
        tokio::spawn(async move { client.send(signed(Method::POST, CREATE, BODY.as_bytes(), &[ID])).await.text })
    };
    let all = [send(), send(), send()];
    while client.api.repeatability.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    client.fake.open.notify_one();
    let mut answers = Vec::new();
    for one in all {
        answers.push(one.await.unwrap());
    }
    answers.dedup();
    assert_eq!((answers.len(), client.fake.created().len()), (1, 1));
    assert_eq!(client.api.repeatability.in_flight(), 0);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_half_done() {
    let client = Arc::new(Client::new());
    client.fake.gate.store(true, Ordering::Relaxed);
    let first = {
        let client = client.clone();
        tokio::spawn(async move { client.send(signed(Method::POST, CREATE, BODY.as_bytes(), &[ID])).await.status })
    };
    while client.api.repeatability.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(client.api.places.available_permits(), crate::api::MAX_AT_WORK - 1, "still at work");
    client.fake.open.notify_one();
    let again = client.signed_with(Method::POST, CREATE, BODY, &[ID]).await;
    assert_eq!((again.status, client.fake.created().len()), (201, 1));
    while client.api.places.available_permits() < crate::api::MAX_AT_WORK {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_did_not_happen_is_tried_again() {
    let client = Client::new();
    client.fake.busy.store(true, Ordering::Relaxed);
    assert_eq!(client.signed_with(Method::POST, CREATE, BODY, &[ID]).await.status, 503);
    assert_eq!(client.fake.created().len(), 0);
    assert_eq!(client.signed_with(Method::POST, CREATE, BODY, &[ID]).await.status, 201);
    assert_eq!(client.fake.created().len(), 1);
}

#[tokio::test]
async fn without_the_store_nothing_is_done() {
    let client = Client::new();
    client.fake.store_down.store(true, Ordering::Relaxed);
    let refused = client.signed_with(Method::POST, CREATE, BODY, &[ID]).await;
    assert_eq!(refused.status, 503);
    assert!(!refused.text.contains("secret"));
    assert_eq!(client.fake.created().len(), 0);
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let client = Client::new();
    let first = client.signed_with(Method::POST, CREATE, BODY, &[ID]).await;
    let fake = Arc::new(client.fake.restarted());
    let keys = AccessKeys::new(KEY, OTHER_KEY).unwrap();
    let api = Api::new(fake.clone(), fake.clone(), keys, Arc::new(noon));
    let after = Client { router: api.router(Scheme::Https), fake, api };
    let again = after.signed_with(Method::POST, CREATE, BODY, &[ID]).await;
    assert_eq!((again.status, again.text), (first.status, first.text));
    assert_eq!(after.fake.created().len(), 0);
}

#[tokio::test]
async fn the_first_that_crashed_is_not_tried_again() {
    let client = Client::new();
    let target = "/calling/callConnections/panic:terminate?api-version=1";
    for _ in 0..2 {
        let answer = client.signed_with(Method::POST, target, "", &[ID]).await;
        assert_eq!(answer.status, 500);
    }
    assert_eq!(client.api.repeatability.in_flight(), 0);
    // An id counts within its operation.
    assert_eq!(client.signed_with(Method::POST, CREATE, BODY, &[ID]).await.status, 201);
}
