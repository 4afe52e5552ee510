//! Toll fraud: calls to numbers cost somebody money. Strangers cause none unless a route opens a number to them, then few,
//! and to some numbers nobody gets.

use super::*;
use crate::support::{Carrier, Client, Manner};

const NUMBER: &str = "+442079460000";

/// An engine that sends whoever calls on to a number, by a carrier that answers.
async fn engine(flags: &[&str]) -> (Engine, Carrier) {
    let engine = Engine::start(flags);
    let carrier = Carrier::start(Manner { invite: 200, rings: true, grants: 600, ..Manner::default() }).await;
    let trunk = json!({"proxies": [{"uri": carrier.uri()}], "prefix": "+"});
    assert_eq!(engine.request("PUT", "/v1/trunks/carrier", Some(trunk)).await.0, 201);
    engine.rule(json!({"name": "on", "priority": 1, "action": {"forward": {"to": NUMBER}}})).await;
    (engine, carrier)
}

async fn open_to_strangers(engine: &Engine) {
    let route = json!({"prefix": "+44", "trunks": [{"name": "carrier"}], "allow": {"strangers": true}});
    assert_eq!(engine.request("PUT", "/v1/routes/uk", Some(route)).await.0, 201);
}

/// A stranger who calls the engine from elsewhere: what comes of it.
async fn stranger(engine: &Engine) -> (Phone, Result<(), u16>) {
    let mut phone = phone(ELSEWHERE).await;
    dial(&phone, engine, "100", Transport::Udp).await;
    let outcome = outcome(&mut phone).await;
    (phone, outcome)
}

#[tokio::test]
async fn strangers_reach_numbers_only_by_a_route_that_is_open_to_them_and_then_few() {
    let (engine, carrier) = engine(&[]).await;
    let (_, outcome) = stranger(&engine).await;
    assert!(matches!(outcome, Err(403 | 404)), "{outcome:?}");
    assert_eq!(carrier.requests("INVITE").len(), 0, "nothing is spent");

    open_to_strangers(&engine).await;
    let (_first, outcome) = stranger(&engine).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(carrier.until("INVITE", 1).await.len(), 1);
    // One at a time for all strangers together, and one a minute: however many addresses they have.
    let (_, outcome) = stranger(&engine).await;
    assert!(matches!(outcome, Err(403 | 404)), "{outcome:?}");
    assert_eq!(carrier.requests("INVITE").len(), 1);
    nothing_failed(&engine).await;
}

#[tokio::test]
async fn some_numbers_nobody_calls() {
    let (engine, carrier) = engine(&["--toll-denied", "+4420,+4490"]).await;
    open_to_strangers(&engine).await;
    let (_, outcome) = stranger(&engine).await;
    assert!(matches!(outcome, Err(403 | 404)), "{outcome:?}");
    let target = json!({"kind": "phoneNumber", "phoneNumber": {"value": NUMBER}});
    let wish = json!({"targets": [target], "callbackUri": "http://127.0.0.1:9/"});
    let (status, problem) = Client::new(&engine).request("POST", "/calling/callConnections", wish).await;
    assert_eq!(status, 400, "{problem}");
    assert!(problem.to_string().contains("+4420"), "{problem}");
    assert_eq!(carrier.requests("INVITE").len(), 0);
}

#[tokio::test]
async fn a_denied_number_is_denied_however_it_is_written() {
    let engine = Engine::start(&["--toll-denied", "+4490"]);
    let carrier = Carrier::start(Manner { invite: 200, rings: true, grants: 600, ..Manner::default() }).await;
    let numbers = json!({"countryCode": "44", "nationalPrefix": "0", "internationalPrefix": "00"});
    let trunk = json!({"uri": carrier.uri(), "numbers": numbers});
    assert_eq!(engine.request("PUT", "/v1/trunks/carrier", Some(trunk)).await.0, 201);
    let client = Client::new(&engine);
    let wish = |target: Value| json!({"targets": [target], "callbackUri": "http://127.0.0.1:9/"});
    let phone = |number: &str| json!({"kind": "phoneNumber", "phoneNumber": {"value": number}});
    for number in ["+44900123", "0044900123", "0900123", "900123", "+44 (0)900 123"] {
        let (status, problem) = client.request("POST", "/calling/callConnections", wish(phone(number))).await;
        assert_eq!(status, 400, "{number}: {problem}");
        assert!(problem.to_string().contains("+4490"), "{number}: {problem}");
    }
    let raw = [format!("sip:0900123@{}", carrier.address), format!("sip:%2B44900123@{}", carrier.address)];
    for address in raw.iter().map(String::as_str).chain(["4:0900123"]) {
        let target = json!({"kind": "unknown", "rawId": address});
        let (status, problem) = client.request("POST", "/calling/callConnections", wish(target)).await;
        assert_eq!(status, 400, "{address}: {problem}");
        assert!(problem.to_string().contains("+4490"), "{address}: {problem}");
    }
    assert_eq!(carrier.requests("INVITE").len(), 0, "nothing is spent");

    client.call("/calling/callConnections", wish(phone("02079460000"))).await;
    assert_eq!(carrier.until("INVITE", 1).await.len(), 1, "other numbers within the country are called");
}
