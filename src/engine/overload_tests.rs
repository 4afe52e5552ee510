//! An overloaded engine as its callers, applications and operators meet it. That it becomes so is told by hand: what
//! makes it so is the state machine's own test.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::UdpSocket;

use super::overload::{Change, enact};
use super::{Engine, Hub};
use crate::api::auth::{Signed, sign};
use crate::api::service::{Administration, Collection, Existing};
use crate::config::{Config, Values};
use crate::phone::{Phone, PhoneEvent};
use crate::sip::peer::Transport;

const PATIENCE: Duration = Duration::from_secs(60);

/// An INVITE by hand: the head of its first final answer.
async fn invite(engine: &Engine, number: u32) -> String {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (us, them) = (socket.local_addr().unwrap(), engine.listeners().sip_udp);
    let body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";
    let request = format!(
        "INVITE sip:1000@{them} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK-{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@{us}>;tag=t{number}\r\nTo: <sip:1000@{them}>\r\nCall-ID: c{number}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:a@{us}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.send_to(request.as_bytes(), them).await.unwrap();
    let mut buffer = [0; 4_096];
    loop {
        let length = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("an answer").unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if !text.starts_with("SIP/2.0 1") {
            return text;
        }
    }
}

/// A GET: status and body.
async fn get(engine: &Engine, path: &str) -> (u16, String) {
    let url = format!("http://{}{path}", engine.listeners().http);
    let response = reqwest::get(url).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// An application's wish for a call: status, `Retry-After` and body.
async fn call_out(engine: &Engine) -> (u16, Option<String>, Value) {
    let listener = engine.listeners().http;
    let wish = json!({
        "targets": [{"kind": "unknown", "rawId": "sip:nobody@127.0.0.1:9"}],
        "callbackUri": "http://127.0.0.1:9/events",
    });
    let body = wish.to_string().into_bytes();
    let target = "/calling/callConnections?api-version=2026-03-12";
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-ms-date", date.as_str()),
        ("host", &listener.to_string()),
        ("x-ms-content-sha256", &STANDARD.encode(Sha256::digest(&body))),
        ("content-type", "application/json"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let signed = Signed { method: "POST", target, headers: &headers, body: &body };
    let authorization = sign(engine.access_key(), &signed).unwrap();
    headers.insert("authorization", authorization.parse().unwrap());
    let request = reqwest::Client::new().post(format!("http://{listener}{target}")).headers(headers).body(body);
    let response = request.send().await.unwrap();
    let after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), after, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_calls_are_refused_and_the_running_one_goes_on_until_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut values = Values::default();
    let data = folder.path().display().to_string();
    // No real lateness may interfere, whatever this machine does.
    for (name, value) in [
        ("http", "0"),
        ("https", "0"),
        ("sip", "0"),
        ("rtp-ports", "0"),
        ("data-dir", &data),
        ("overload-late-percent", "0"),
        ("drain-seconds", "0"),
    ] {
        values.offer(name, value.to_owned(), "test");
    }
    let engine = Engine::start(Config::from_values(&values).unwrap()).await.unwrap();
    let hub: Arc<Hub> = Arc::clone(&engine.hub);
    let rule = json!({
        "name": "all", "priority": 1, "enabled": true, "match": {},
        "action": {"answer": {"play": ["prompt:en/digits/1"], "collect": {"maxTones": 1}}},
    });
    engine.put(Collection::Rules, "all", rule, Existing::Keep).await.unwrap();

    let mut phone = Phone::start(IpAddr::V4(Ipv4Addr::LOCALHOST), [7; 32]).await.unwrap();
    phone.dial("sip:1000@engine", engine.listeners().sip_udp, Transport::Udp).await;
    let connected = phone.wait(PATIENCE, |event| (event == PhoneEvent::Connected).then_some(())).await;
    assert_eq!((connected, hub.calls.len()), (Some(()), 1));
    assert_eq!(get(&engine, "/readyz").await.0, 200);

    enact(&hub, Change::Overloaded { share: 0.5 });
    let answer = invite(&engine, 1).await;
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    assert!(answer.contains("\r\nRetry-After: 10\r\n"), "{answer}");
    let (status, after, body) = call_out(&engine).await;
    assert_eq!((status, after.as_deref()), (503, Some("10")), "{body}");
    assert_eq!(body["error"]["code"], "ServiceUnavailable");
    let (status, why) = get(&engine, "/readyz").await;
    assert!(status == 503 && why.contains("overloaded"), "{status} {why}");
    let (_, metrics) = get(&engine, "/metrics").await;
    for line in ["strowger_overloaded 1", "strowger_overloads_total 1", "calls_refused_total{kind=\"overloaded\"} 2"] {
        assert!(metrics.contains(line), "{line}");
    }
    assert_eq!((get(&engine, "/healthz").await.0, hub.calls.len()), (200, 1), "alive, with its call");

    enact(&hub, Change::Recovered { after: Duration::from_secs(5) });
    assert_eq!(get(&engine, "/readyz").await.0, 200);
    assert!(get(&engine, "/metrics").await.1.contains("strowger_overloaded 0"));
    let answer = invite(&engine, 2).await;
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert_eq!(call_out(&engine).await.0, 201);
    phone.hang_up().await;
    engine.stop().await;
}
