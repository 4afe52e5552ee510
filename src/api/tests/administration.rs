//! `/v1` as an operator's curl sees it.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Client, HOST};

#[tokio::test]
async fn a_document_lives_its_life() {
    let client = Client::new();
    let call = async |method: Method, path: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        client.bearer(method, path, body).await
    };
    for kind in ["rules", "subscriptions", "trunks", "users"] {
        let (list, one) = (format!("/v1/{kind}"), format!("/v1/{kind}/a"));
        assert_eq!(call(Method::GET, &one, Value::Null).await.error(), (404, "NotFound".into(), None));
        assert_eq!(call(Method::POST, &list, json!({"name": "a", "priority": 1})).await.status, 201);
        let twice = call(Method::POST, &list, json!({"name": "a", "priority": 2})).await;
        assert_eq!(twice.error(), (409, "AlreadyExists".into(), None));
        assert_eq!(call(Method::GET, &one, Value::Null).await.json(), json!({"name": "a", "priority": 1}));
        assert_eq!(call(Method::PUT, &one, json!({"priority": 3})).await.status, 200);
        assert_eq!(call(Method::GET, &one, Value::Null).await.json()["priority"], 3);
        assert_eq!(call(Method::PUT, &format!("/v1/{kind}/b"), json!({"name": "b"})).await.status, 201);
        let page = call(Method::GET, &format!("{list}?top=1"), Value::Null).await.json();
        assert_eq!(page["value"].as_array().unwrap().len(), 1);
        let next = format!("https://{HOST}/v1/{kind}?skip=1&top=1");
        assert_eq!(page["nextLink"], next);
        let page = call(Method::GET, next.strip_prefix(&format!("https://{HOST}")).unwrap(), Value::Null).await.json();
        assert_eq!((page["value"][0]["name"].as_str(), page.get("nextLink")), (Some("b"), None));
        assert_eq!(call(Method::DELETE, &one, Value::Null).await.status, 204);
        assert_eq!(call(Method::DELETE, &one, Value::Null).await.status, 404);
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let client = Client::new();
    let post = async |body: &str| client.bearer(Method::POST, "/v1/rules", body.to_owned()).await;
    let wrong = post(r#"{"name":"a","match":{"to":{"regex":"("}}}"#).await;
    assert_eq!(wrong.error(), (400, "InvalidDocument".into(), Some("match.to.regex".into())));
    assert_eq!(wrong.json()["error"]["details"][1]["target"], "action");
    for body in ["{}", r#"{"name":"a b"}"#, r#"{"name":7}"#] {
        assert_eq!(post(body).await.error(), (400, "8523".into(), Some("name".into())), "{body}");
    }
    for body in ["", "[]", "7", "{"] {
        assert_eq!(post(body).await.error().0, 400, "{body}");
    }
    let put = client.bearer(Method::PUT, "/v1/rules/a", r#"{"name":"b"}"#.to_owned()).await;
    assert_eq!(put.error().2.as_deref(), Some("name"));
    assert_eq!(client.bearer(Method::PUT, "/v1/rules/a%2Fb", "{}").await.status, 400);
    for query in ["top=0", "top=x", "skip=-1"] {
        assert_eq!(client.bearer(Method::GET, &format!("/v1/rules?{query}"), "").await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn passwords_are_never_shown() {
    let client = Client::new();
    let body = json!({"name": "t", "uri": "sip:c", "password": "hush", "more": [{"Password": "hush"}]}).to_string();
    let created = client.bearer(Method::POST, "/v1/trunks", body).await;
    assert_eq!(created.status, 201);
    for answer in [
        created,
        client.bearer(Method::GET, "/v1/trunks", "").await,
        client.bearer(Method::GET, "/v1/trunks/t", "").await,
        client.bearer(Method::PUT, "/v1/trunks/t", r#"{"password":"hush"}"#).await,
    ] {
        assert!(answer.status < 300 && !answer.text.contains("hush"), "{}", answer.text);
    }
}

#[tokio::test]
async fn prompts_are_bytes() {
    let client = Client::new();
    assert_eq!(client.bearer(Method::PUT, "/v1/prompts/hello", "RIFF").await.status, 201);
    let replaced = client.bearer(Method::PUT, "/v1/prompts/hello", "RIFFx").await;
    assert_eq!((replaced.status, replaced.json()["sizeBytes"].as_u64()), (200, Some(5)));
    let got = client.bearer(Method::GET, "/v1/prompts/hello", "").await;
    assert_eq!(
        (got.text.as_str(), &got.headers["content-type"]),
        ("RIFFx", &"application/octet-stream".parse().unwrap())
    );
    assert_eq!(client.bearer(Method::PUT, "/v1/prompts/x", "noise").await.error().2.as_deref(), Some("body"));
    assert_eq!(client.bearer(Method::PUT, "/v1/prompts/x", "").await.status, 400);
    assert_eq!(client.bearer(Method::GET, "/v1/prompts", "").await.json()["value"][0]["name"], "hello");
    assert_eq!(client.bearer(Method::DELETE, "/v1/prompts/hello", "").await.status, 204);
    assert_eq!(client.bearer(Method::GET, "/v1/prompts/hello", "").await.status, 404);
    // Audio may be longer than JSON.
    let long = vec![0; 2 * 1024 * 1024];
    assert_eq!(client.bearer(Method::PUT, "/v1/prompts/long", long).await.status, 201);
}

#[tokio::test]
async fn calls_are_shown() {
    let client = Client::new();
    let get = async |path: &str| client.bearer(Method::GET, path, "").await;
    assert_eq!(get("/v1/calls").await.json()["value"][1]["id"], "two");
    assert_eq!(get("/v1/calls/one").await.json()["state"], "connected");
    assert_eq!(get("/v1/calls/missing").await.status, 404);
    let timeline = get("/v1/calls/one/timeline").await.json();
    assert_eq!(timeline["entries"][0].get("detail"), None);
    assert_eq!(timeline["entries"][1]["detail"]["a"], 1);
    let pcap = get("/v1/calls/one/pcap").await;
    assert_eq!(pcap.headers["content-type"], "application/x-pcapng");
    assert_eq!(pcap.headers["content-disposition"], "attachment; filename=\"one.pcapng\"");
    assert_eq!(get("/v1/calls/two/pcap").await.status, 404);
    assert_eq!(get("/v1/events/dead").await.json(), json!({"value": []}));
    let explained = client.bearer(Method::POST, "/v1/rules:explain", r#"{"to":"+1"}"#).await;
    assert_eq!(explained.json(), json!({"rule": null, "to": "+1"}));
}
