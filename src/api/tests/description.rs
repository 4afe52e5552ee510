//! The OpenAPI document: the same as the router, and the same as the committed one.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;

use super::{Client, KEY, signed};

async fn document() -> String {
    Client::new().send(Request::get("/openapi.json").body(Body::empty()).unwrap()).await.text
}

#[tokio::test]
async fn the_document_is_the_committed_one() {
    let path = format!("{}/tests/data/openapi.json", env!("CARGO_MANIFEST_DIR"));
    let now = document().await;
    if std::env::var_os("STROWGER_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == now, "the API changed; run with STROWGER_UPDATE_SNAPSHOTS=1 and commit {path}");
}

/// Method and path of each operation in the document.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = ["get", "put", "post", "delete", "patch", "head", "options", "trace"];
    let of = |path: &String, item: &Value| -> Vec<(String, String)> {
        let item = item.as_object().unwrap();
        let here = item.keys().filter(|key| methods.contains(&key.as_str()));
        here.map(|method| (method.to_uppercase(), path.clone())).collect()
    };
    paths.iter().flat_map(|(path, item)| of(path, item)).collect()
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_routed() {
    let client = Client::new();
    let document: Value = serde_json::from_str(&document().await).unwrap();
    let described = operations(&document);
    let routed: BTreeSet<_> = client.api.endpoints.iter().map(|row| (row.method.to_string(), row.template())).collect();
    assert_eq!(described, routed);
    assert_eq!(routed.len(), client.api.endpoints.len(), "no row twice");
    for (method, template) in described {
        let path: String = template.split('{').enumerate().fold(String::new(), |path, (index, part)| {
            if index == 0 { part.to_owned() } else { format!("{path}x{}", part.split_once('}').unwrap().1) }
        });
        let method: Method = method.parse().unwrap();
        let mut request = signed(method, &format!("{path}?api-version=1"), b"{}", &[]);
        if path.starts_with("/v1/") && !path.starts_with("/v1/objects") {
            request.headers_mut().insert("authorization", format!("Bearer {KEY}").parse().unwrap());
        }
        let answer = client.send(request).await;
        let reached = !matches!(answer.status, 401 | 405) && !answer.text.contains("/openapi.json lists");
        assert!(reached, "{template}: {} {}", answer.status, answer.text);
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(&document().await).unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

/// Everything in the contract's own list of operations is routed, as 501 at least.
#[tokio::test]
async fn every_recorded_operation_is_known() {
    let client = Client::new();
    for file in ["acs/requests-python.json", "acs/requests-js.json"] {
        for recorded in serde_json::from_str::<Vec<Value>>(&super::data(file)).unwrap() {
            let target = recorded["target"].as_str().unwrap();
            let method = recorded["method"].as_str().unwrap().parse::<Method>().unwrap();
            let path = target.split('?').next().unwrap();
            let found = crate::api::endpoint::find(&client.api.endpoints, &method, path).unwrap();
            assert!(matches!(found, crate::api::endpoint::Found::Endpoint(..)), "{method} {target}");
        }
    }
}
