//! Who is let in.

use axum::body::Body;
use axum::http::{Method, Request};

use super::{ANY_CALL, Client, DATE, KEY, OTHER_KEY, noon, signed};
use crate::api::auth::{AccessKeys, Denied, Signed, sign};
use std::time::Duration;

const TARGET: &str = "/calling/callConnections/x/participants/4%3A%2B1555?api-version=2026-03-12&a=%2f";

/// What the keys say of a request after something was done to it.
fn verdict(change: impl FnOnce(&mut Request<Body>), method: &str, target: &str, body: &[u8]) -> Result<(), Denied> {
    let mut request = signed(Method::PUT, TARGET, b"body", &[]);
    change(&mut request);
    let keys = AccessKeys::new(OTHER_KEY, KEY).unwrap();
    keys.check_signature(&Signed { method, target, headers: request.headers(), body }, noon())
}

#[test]
fn a_signature_covers_everything() {
    let put = |name: &'static str, value: &'static str| {
        move |request: &mut Request<Body>| {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
    };
    let same = |_: &mut Request<Body>| {};
    assert_eq!(verdict(same, "PUT", TARGET, b"body"), Ok(()), "the second key opens too");
    assert_eq!(verdict(same, "POST", TARGET, b"body"), Err(Denied::WrongSignature));
    assert_eq!(verdict(same, "PUT", &TARGET.replace("%2f", "%2F"), b"body"), Err(Denied::WrongSignature));
    assert_eq!(verdict(same, "PUT", TARGET, b"bodY"), Err(Denied::BodyHash));
    assert_eq!(verdict(same, "PUT", TARGET, b""), Err(Denied::BodyHash));
    assert_eq!(verdict(put("host", "other:18443"), "PUT", TARGET, b"body"), Err(Denied::WrongSignature));
    assert_eq!(
        verdict(put("x-ms-date", "Sun, 22 Nov 2026 09:26:05 GMT"), "PUT", TARGET, b"body"),
        Err(Denied::WrongSignature)
    );
    assert_eq!(verdict(put("x-ms-date", "yesterday"), "PUT", TARGET, b"body"), Err(Denied::NoDate));
    assert_eq!(verdict(put("x-ms-content-sha256", "AAAA"), "PUT", TARGET, b"body"), Err(Denied::BodyHash));
    for (text, wanted) in [
        ("Basic abc", Denied::NoSignature),
        ("HMAC-SHA256", Denied::NoSignature),
        ("HMAC-SHA256 SignedHeaders=host&Signature=AAAA", Denied::SignedHeaders),
        ("HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=!", Denied::NoSignature),
        ("HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=AAAA", Denied::WrongSignature),
        ("Bearer ey", Denied::TokensComeLater),
    ] {
        assert_eq!(verdict(put("authorization", text), "PUT", TARGET, b"body"), Err(wanted), "{text}");
    }
}

#[test]
fn the_recorded_hosts_are_tried() {
    let keys = AccessKeys::new(KEY, OTHER_KEY).unwrap();
    for (host, other, signed_for) in [
        ("localhost:18443", None, "localhost:18443"),
        ("rec.asm.skype.com:18443", Some("localhost:18443"), "localhost:18443"),
        ("rec.asm.skype.com:18443", Some("localhost"), "localhost:18443"),
    ] {
        let mut request = signed(Method::GET, "/", b"", &[]);
        request.headers_mut().insert("host", signed_for.parse().unwrap());
        let text = sign(KEY, &Signed { method: "GET", target: "/", headers: request.headers(), body: b"" }).unwrap();
        request.headers_mut().insert("authorization", text.parse().unwrap());
        request.headers_mut().insert("host", host.parse().unwrap());
        if let Some(other) = other {
            request.headers_mut().insert("x-ms-host", other.parse().unwrap());
        }
        let about = Signed { method: "GET", target: "/", headers: request.headers(), body: b"" };
        assert_eq!(keys.check_signature(&about, noon()), Ok(()), "{host} {other:?}");
    }
}

#[test]
fn a_date_is_good_for_five_minutes_either_way() {
    let keys = AccessKeys::new(KEY, OTHER_KEY).unwrap();
    let request = signed(Method::GET, "/", b"", &[]);
    assert_eq!(request.headers()["x-ms-date"], DATE);
    let about = Signed { method: "GET", target: "/", headers: request.headers(), body: b"" };
    for (seconds, wanted) in [(299, Ok(())), (300, Ok(())), (301, Err(Denied::OldDate))] {
        let off = Duration::from_secs(seconds);
        assert_eq!(keys.check_signature(&about, noon() + off), wanted);
        assert_eq!(keys.check_signature(&about, noon() - off), wanted);
    }
}

#[tokio::test]
async fn refusals_are_401_with_the_contracts_body() {
    let client = Client::new();
    let target = format!("{ANY_CALL}?api-version=1");
    let mut request = signed(Method::GET, &target, b"", &[]);
    request.headers_mut().insert("host", "elsewhere".parse().unwrap());
    let refused = client.send(request).await;
    assert_eq!(refused.error(), (401, "7509".into(), None));
    assert_eq!(refused.headers["www-authenticate"], "HMAC-SHA256");
    let refused = client.send(Request::get(&target).body(Body::empty()).unwrap()).await;
    assert_eq!(refused.error(), (401, "Unauthorized".into(), None));
}

#[tokio::test]
async fn a_bearer_key_opens_v1_and_nothing_else() {
    let client = Client::new();
    let get = async |path: &str, authorization: &str| {
        let request = Request::get(path).header("authorization", authorization).body(Body::empty()).unwrap();
        client.send(request).await.status
    };
    assert_eq!(get("/v1/rules", &format!("Bearer {KEY}")).await, 200);
    assert_eq!(get("/v1/rules", &format!("bearer {OTHER_KEY}")).await, 200);
    assert_eq!(get("/v1/rules", "Bearer x").await, 401);
    assert_eq!(get("/v1/rules", "Bearer ").await, 401);
    assert_eq!(get("/v1/rules", "Bearer").await, 401);
    assert_eq!(get("/v1/rules", &format!("Basic {KEY}")).await, 401);
    assert_eq!(get(&format!("{ANY_CALL}?api-version=1"), &format!("Bearer {KEY}")).await, 401);
    assert!(AccessKeys::new("short", KEY).is_err() && AccessKeys::new(KEY, "").is_err());
    assert_eq!(format!("{:?}", AccessKeys::new(KEY, KEY).unwrap()), "AccessKeys(…)");
}
