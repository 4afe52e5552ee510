//! Secrets stay where they belong: with the log at its loudest, none is in the log, the timelines, the captures, the
//! metrics or in anything that the REST API shows.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;
use crate::support::{Client, Webhook};

const USER: &str = "telltale-user-password";
const TRUNK: &str = "telltale-trunk-password";
const INBOUND: &str = "telltale-inbound-password";
const WEBHOOK: &str = "telltale-webhook-key";

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A parameter of the SHA-256 challenge of a response.
fn challenge<'a>(response: &'a str, name: &str) -> &'a str {
    let line = response.lines().find(|l| l.contains("-Authenticate:") && l.contains("SHA-256")).expect("a challenge");
    let value = line.split(&format!("{name}=\"")).nth(1).unwrap_or_else(|| panic!("no {name} in {line}"));
    value.split('"').next().expect("a value")
}

/// The crypto key that an SDP carries.
fn key(message: &str) -> &str {
    let after = message.split("inline:").nth(1).unwrap_or_else(|| panic!("no key in {message}"));
    after.split(['|', '\r', ' ']).next().expect("a key")
}

#[tokio::test]
async fn nothing_that_can_be_read_holds_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).expect("a file");
    let flags = [
        "--log",
        "trace",
        "--srtp",
        "offered",
        "--srtp-over-insecure",
        "true",
        "--capture-rtp",
        "true",
        "--realm",
        "home.example",
        "--sip-domains",
        "home.example",
    ];
    let engine = Engine::start_logging(&folder.path().join("data"), &flags, file);
    menu_for_all(&engine).await;
    let hook = Webhook::start().await;
    let carrier = Raw::at(HERE, &engine).await;
    let put = async |path: &str, document| {
        let (status, answer) = engine.request("PUT", path, Some(document)).await;
        assert!(matches!(status, 200 | 201), "{path}: {status} {answer}");
        answer
    };
    let mut shown = Vec::new();
    shown.push(put("/v1/users/alice", json!({"password": USER})).await);
    let trunk = json!({
        "uri": format!("sip:{}", carrier.address()), "username": "acct", "password": TRUNK, "srtp": "offered",
        "inbound": {"username": "carrier-in", "password": INBOUND},
    });
    shown.push(put("/v1/trunks/carrier", trunk).await);

    // A user calls, with credentials and SRTP keys.
    let user = Raw::at(ELSEWHERE, &engine).await;
    let own_key = "dGVsbHRhbGUtY3J5cHRvLWtleS1vZi10aGlydHkh";
    let with_key = |text: String| {
        let line = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{own_key}\r\n");
        let text =
            text.replace("RTP/AVP", "RTP/SAVP").replace("From: <sip:raw@127.0.0.2>", "From: <sip:alice@home.example>");
        let (head, body) = text.split_once("\r\n\r\n").expect("a body");
        let length = body.len() + line.len();
        let head = head.lines().filter(|l| !l.starts_with("Content-Length")).collect::<Vec<_>>().join("\r\n");
        format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}{line}")
    };
    user.send(with_key(user.request("INVITE", "menu", 0, 1, ""))).await;
    let asked = user.receive("a challenge", |text| text.starts_with("SIP/2.0 401")).await;
    let uri = format!("sip:menu@{}", user.engine);
    let nonce = challenge(&asked, "nonce");
    let ha1 = sha256(&format!("alice:home.example:{USER}"));
    let response = sha256(&format!("{ha1}:{nonce}:00000001:c:auth:{}", sha256(&format!("INVITE:{uri}"))));
    let credentials = format!(
        "Authorization: Digest username=\"alice\", realm=\"home.example\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\"\r\nContact:"
    );
    user.send(with_key(user.request("INVITE", "menu", 0, 2, "")).replace("Contact:", &credentials)).await;
    let answered = user.receive("an answer", |text| text.contains("2 INVITE") && !text.starts_with("SIP/2.0 1")).await;
    assert!(answered.starts_with("SIP/2.0 200") && answered.contains("RTP/SAVP"), "{answered}");
    user.send(user.request("ACK", "menu", 0, 2, tag(&answered))).await;

    // An application calls by the trunk, which asks for credentials.
    let client = Client::new(&engine);
    let wish = json!({
        "targets": [{"phoneNumber": {"value": "+442079460000"}}],
        "callbackUri": format!("{}?code={WEBHOOK}", hook.url),
        "sourceCallerIdNumber": {"value": "+4420"},
    });
    let (status, placed) = client.request("POST", "/calling/callConnections", wish).await;
    assert_eq!(status, 201, "{placed}");
    let invite = carrier.receive("an INVITE", |text| text.starts_with("INVITE")).await;
    let refuse = |status: &str, invite: &str, more: &str| {
        let wanted = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
        let copied: Vec<&str> = invite.lines().filter(|l| wanted.iter().any(|name| l.starts_with(name))).collect();
        format!("SIP/2.0 {status}\r\n{}\r\n{more}Content-Length: 0\r\n\r\n", copied.join("\r\n"))
            .replace("To: <sip:+442079460000@", "To: <sip:+442079460000@")
            .replace("\r\nCall-ID", ";tag=there\r\nCall-ID")
    };
    let demand = "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256\r\n";
    carrier.send(refuse("407 Proxy Authentication Required", &invite, demand)).await;
    let proved = carrier.receive("credentials", |text| text.contains("Proxy-Authorization:")).await;
    let theirs = proved.split("response=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a response");
    carrier.send(refuse("486 Busy Here", &proved, "")).await;

    let call = call_where(&engine, "the user's call", |call| call["direction"] == "inbound").await;
    user.send(user.request("BYE", "menu", 0, 3, tag(&answered))).await;
    user.receive("the end", |text| text.contains("3 BYE")).await;
    let told = |event: &'static str| move |entry: &Value| entry["text"].as_str().is_some_and(|t| t.starts_with(event));
    on_timeline(&engine, &call, "the end of the call", told("CallDisconnected")).await;
    let placed = placed["callConnectionId"].as_str().expect("an id").to_owned();
    on_timeline(&engine, &placed, "the end of the placed call", told("CreateCallFailed")).await;

    let mut secrets = vec![
        ("the user's password", USER.to_owned()),
        ("the user's HA1", ha1),
        ("the trunk's password", TRUNK.to_owned()),
        ("the trunk's inbound password", INBOUND.to_owned()),
        ("its HA1", sha256(&format!("carrier-in:home.example:{INBOUND}"))),
        ("its HA1 by the old realm", sha256(&format!("carrier-in:strowger:{INBOUND}"))),
        ("the user's digest response", response),
        ("our digest response", theirs.to_owned()),
        ("the caller's SRTP key", own_key.to_owned()),
        ("our SRTP key", key(&answered).to_owned()),
        (
            "our SRTP key by the trunk",
            if proved.contains("inline:") { key(&proved).to_owned() } else { "-no-".to_owned() },
        ),
        ("the webhook's key", WEBHOOK.to_owned()),
    ];
    let keys = std::fs::read_to_string(engine.data().join("access-key")).expect("the keys");
    secrets.extend(keys.lines().filter(|line| !line.is_empty()).map(|line| ("an access key", line.to_owned())));

    let (_, description) = engine.request("GET", "/openapi.json", None).await;
    let mut places: Vec<(String, Vec<u8>)> = vec![("an answer to PUT".into(), json!(shown).to_string().into_bytes())];
    for (path, operations) in description["paths"].as_object().expect("paths") {
        if operations.get("get").is_none() || !(path.starts_with("/v1/") || path == "/metrics") {
            continue;
        }
        for (id, name) in [(&call, "alice"), (&placed, "carrier")] {
            let path = path.replace("{id}", id).replace("{name}", name);
            let url = format!("http://{}{path}", engine.address("http"));
            let answer =
                crate::support::http_client().get(url).bearer_auth(engine.key()).send().await.expect("an answer");
            places.push((path, answer.bytes().await.expect("a body").to_vec()));
        }
    }
    for wanted in ["/timeline", "/pcap", "/v1/trunks/carrier", "/v1/users/alice", "/v1/users", "/v1/trunks"] {
        assert!(places.iter().any(|(path, bytes)| path.ends_with(wanted) && bytes.len() > 30), "{wanted} is looked at");
    }
    let metrics = http_metrics(&engine).await;
    places.push(("/metrics".into(), metrics));
    places.push(("the log".into(), std::fs::read(&log).expect("the log")));
    let mut found = Vec::new();
    for (place, bytes) in &places {
        let text = String::from_utf8_lossy(bytes);
        for (what, secret) in &secrets {
            if text.contains(secret.as_str()) {
                let at = text.find(secret.as_str()).unwrap_or_default();
                let around: String =
                    text.chars().skip(text[..at].chars().count().saturating_sub(200)).take(400).collect();
                found.push(format!("{what} in {place}: {around}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    let log = places.last().map(|(_, bytes)| bytes.len()).unwrap_or_default();
    assert!(log > 10_000, "the log is at its loudest: {log} bytes");
}

async fn http_metrics(engine: &Engine) -> Vec<u8> {
    let url = format!("http://{}/metrics", engine.address("http"));
    let answer = crate::support::http_client().get(url).send().await.expect("an answer");
    answer.bytes().await.expect("a body").to_vec()
}
