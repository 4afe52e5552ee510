//! Bodies and paths that nobody meant.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;

use super::{Client, KEY, data, signed};
use crate::random::Random;

/// Changes a few bytes: flips, cuts, doubles, and puts in pieces that JSON parsers stumble over.
fn mutate(random: &mut Random, body: &mut Vec<u8>) {
    const PIECES: [&[u8]; 12] = [
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
    ];
    for _ in 0..=random.below(4) {
        let at = random.below(body.len() as u64 + 1) as usize;
        match random.below(5) {
            0 if at < body.len() => body[at] ^= 1 << random.below(8),
            1 => body.truncate(at),
            2 if at < body.len() => drop(body.remove(at)),
            3 => {
                let piece = PIECES[random.below(PIECES.len() as u64) as usize];
                body.splice(at..at, piece.iter().copied());
            }
            _ => {
                let to = (at + random.below(16) as usize).min(body.len());
                let piece = body[at..to].to_vec();
                body.splice(at..at, piece);
            }
        }
    }
}

#[tokio::test]
async fn no_body_brings_the_api_down() {
    let client = Client::new();
    let mut requests: Vec<(Method, String, Vec<u8>)> = Vec::new();
    for file in ["acs/requests-python.json", "acs/requests-js.json"] {
        for recorded in serde_json::from_str::<Vec<Value>>(&data(file)).unwrap() {
            if recorded["body"].is_object() && recorded["target"].as_str().unwrap().starts_with("/calling/callCon") {
                let method = recorded["method"].as_str().unwrap().parse().unwrap();
                let target = recorded["target"].as_str().unwrap().to_owned();
                requests.push((method, target, recorded["body"].to_string().into_bytes()));
            }
        }
    }
    let rule = br#"{"name":"a","priority":1,"match":{"to":{"prefix":"+44"}},"action":{"reject":{"reason":"busy"}}}"#;
    requests.push((Method::POST, "/v1/rules".into(), rule.to_vec()));
    requests.push((Method::PUT, "/v1/trunks/a".into(), br#"{"uri":"sip:a","password":"x"}"#.to_vec()));
    let mut random = Random::from_number(5060);
    for round in 0..20_000 {
        let (method, target, body) = &requests[random.below(requests.len() as u64) as usize];
        let mut body = body.clone();
        mutate(&mut random, &mut body);
        let mut request = signed(method.clone(), target, &body, &[]);
        if target.starts_with("/v1/") {
            request.headers_mut().insert("authorization", format!("Bearer {KEY}").parse().unwrap());
        }
        let status = client.send(request).await.status;
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(status < 500 || status == 501, "round {round}: {method} {target} {text}: {status}");
    }
}

#[tokio::test]
async fn no_path_or_header_brings_the_api_down() {
    let client = Client::new();
    let mut random = Random::from_number(5061);
    let paths: Vec<&str> = client.api.endpoints.iter().map(|row| row.path).collect();
    let mut sent = 0;
    while sent < 5_000 {
        let mut path = paths[random.below(paths.len() as u64) as usize].as_bytes().to_vec();
        path.extend_from_slice(b"?api-version=1");
        for _ in 0..=random.below(3) {
            let at = 1 + random.below(path.len() as u64 - 1) as usize;
            let byte = b"%/:{}?&=+.;~a\x80"[random.below(14) as usize];
            path.insert(at, byte);
        }
        let mut request = Request::builder().method(["GET", "POST", "PUT", "DELETE"][random.below(4) as usize]);
        for name in ["authorization", "x-ms-date", "x-ms-content-sha256", "host", "repeatability-request-id"] {
            let value: Vec<u8> = (0..random.below(40)).map(|_| random.below(256) as u8).collect();
            if let (true, Ok(value)) = (random.below(2) == 0, axum::http::HeaderValue::from_bytes(&value)) {
                request = request.header(name, value);
            }
        }
        let Ok(request) = request.uri(path.as_slice()).body(Body::empty()) else { continue };
        sent += 1;
        assert!(client.send(request).await.status < 500);
    }
}
