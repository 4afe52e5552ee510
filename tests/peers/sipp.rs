//! SIPp with scenarios of our own (`tests/peers/sipp/*.xml`) against the engine. SIPp checks what it is sent; the test
//! checks what the engine says of the same call: events, record, timeline, metrics.

pub mod tool;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Client, Engine, Lossy, Packet, RtpPort, Webhook};
use tool::{Sipp, Transport, free_address};

/// The number that our callers show.
const CALLER: &str = "+15551230009";

/// The rule `answer` with this in it.
pub async fn rule_answer(engine: &Engine, answer: Value) {
    engine.rule(json!({"name": "answer", "priority": 1, "action": {"answer": answer}})).await;
}

/// A rule that answers and then waits for a key for longer than any test takes.
pub async fn rule_wait(engine: &Engine) {
    rule_answer(
        engine,
        json!({"play": ["prompt:beep"], "collect": {"maxTones": 1, "initialSilenceTimeoutInSeconds": 300}}),
    )
    .await;
}

/// What the engine says of an ended call.
pub struct Ended {
    pub record: Value,
    /// Kind and text.
    pub entries: Vec<(String, String)>,
    pub timeline: Value,
}

impl Ended {
    /// Such entries are there, in this order.
    pub fn assert_order(&self, wanted: &[(&str, &str)]) {
        let mut from = 0;
        for (kind, text) in wanted {
            let found = self.entries[from..].iter().position(|entry| entry.0 == *kind && entry.1.contains(text));
            let found = found.unwrap_or_else(|| panic!("no {kind} {text:?} after entry {from} in\n{self}"));
            from += found + 1;
        }
    }

    /// The whole SIP messages whose first line contains this, retransmissions left out.
    pub fn messages(&self, first_line: &str) -> Vec<&str> {
        let entries = self.timeline["entries"].as_array().expect("entries").iter();
        let sip = entries.filter(|entry| entry["kind"] == "sip");
        let texts = sip.filter(|entry| {
            let text = entry["text"].as_str().unwrap_or_default();
            text.contains(first_line) && !text.ends_with("(again)")
        });
        texts.filter_map(|entry| entry["detail"].as_str()).collect()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.entries.iter().try_for_each(|(kind, text)| writeln!(f, "{kind:<10} {text}"))
    }
}

/// The engine's calls once `count` of them are over, newest first, and nothing of them lives any more.
pub async fn ended(engine: &Engine, count: usize) -> Vec<Ended> {
    let records = engine.until("the end of the calls", async |engine| {
        let (_, answer) = engine.request("GET", "/v1/calls?maxPageSize=100", None).await;
        let records = answer["value"].as_array()?.clone();
        (records.len() == count && records.iter().all(|record| record["endedAt"].is_string())).then_some(records)
    });
    let mut all = Vec::new();
    for record in records.await {
        let path = format!("/v1/calls/{}/timeline", record["id"].as_str().expect("an id"));
        let (_, timeline) = engine.request("GET", &path, None).await;
        let entries = timeline["entries"].as_array().expect("entries").iter();
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let entries = entries.map(|entry| (text(entry, "kind"), text(entry, "text"))).collect();
        all.push(Ended { record, entries, timeline });
    }
    // Transactions linger as RFC 3261 wants it; calls, their legs and their ports do not.
    for gauge in
        ["strowger_calls_active", "strowger_media{kind=\"open_legs\"}", "strowger_sip_state{kind=\"half_open\"}"]
    {
        engine.until(gauge, async |engine| (engine.metric(gauge).await == 0.0).then_some(())).await;
    }
    assert_eq!(engine.metric("strowger_failures").await, 0.0);
    all
}

pub async fn only_one(engine: &Engine) -> Ended {
    ended(engine, 1).await.pop().expect("one call")
}

pub fn key(name: &'static str, port: u16) -> [String; 3] {
    ["-key".to_owned(), name.to_owned(), port.to_string()]
}

pub fn flags(keys: &[[String; 3]]) -> Vec<&str> {
    keys.iter().flatten().map(String::as_str).collect()
}

/// One stream, without a gap in what was sent: a lost packet would be our own, on loopback.
pub fn assert_steady(packets: &[Packet], payload_type: u8) {
    assert!(packets[0].marker, "the first packet begins a talkspurt: {:?}", packets[0]);
    for pair in packets.windows(2) {
        assert_eq!((pair[1].payload_type, pair[1].ssrc, pair[1].payload), (payload_type, pair[0].ssrc, 160));
        assert_eq!(pair[1].packets_since(&pair[0]), 1, "{pair:?}");
        // A late machine may pass over frames, but the media clock runs on in whole frames.
        let samples = pair[1].samples_since(&pair[0]);
        assert!(samples >= 160 && samples % 160 == 0, "{pair:?}");
    }
}

async fn answer(transport: Transport) {
    let engine = Engine::start(&[]);
    rule_answer(&engine, json!({"play": ["prompt:thank-you"]})).await;
    let mut ear = RtpPort::open().await;
    let keys = [key("rtp_port", ear.port())];
    let mut sipp = Sipp::call(&engine, "answer", transport, &flags(&keys));
    assert_steady(&sipp.meanwhile(ear.packets(25)).await, 8);
    sipp.succeeds().await;
    let call = only_one(&engine).await;
    assert_eq!(call.record["from"], CALLER);
    assert_eq!(call.record["rule"], "answer");
    assert!(call.record["connectedAt"].is_string(), "{}", call.record);
    call.assert_order(&[
        ("rule", "rule answer matches"),
        ("media", "media agreed: PCMA"),
        ("state", "connected"),
        ("sip", "BYE"),
        ("state", "ended"),
    ]);
    assert_eq!(engine.metric("strowger_calls_ended_total{kind=\"application\"}").await, 1.0);
}

#[tokio::test]
async fn a_call_is_answered_and_hung_up_over_udp() {
    answer(Transport::Udp).await;
}

#[tokio::test]
async fn a_call_is_answered_and_hung_up_over_tcp() {
    answer(Transport::Tcp).await;
}

#[tokio::test]
async fn sipps_own_caller_is_answered() {
    let engine = Engine::start(&[]);
    rule_wait(&engine).await;
    for transport in [Transport::Udp, Transport::Tcp] {
        Sipp::call(&engine, "-sn uac", transport, &["-m", "5", "-r", "10", "-d", "200"]).succeeds().await;
    }
    for call in ended(&engine, 10).await {
        call.assert_order(&[
            ("media", "media agreed: PCMU"),
            ("state", "connected"),
            ("sip", "BYE"),
            ("state", "ended"),
        ]);
    }
    assert_eq!(engine.metric("strowger_calls_ended_total{kind=\"peer\"}").await, 10.0);
}

async fn gives_up(scenario: &str, transport: Transport, request: &str) {
    let engine = Engine::start(&[]);
    let mut application = Webhook::subscribed(&engine).await;
    let keys = [key("rtp_port", 9)];
    let mut sipp = Sipp::call(&engine, scenario, transport, &flags(&keys));
    let incoming = sipp.meanwhile(application.expect("IncomingCall")).await;
    assert_eq!(incoming["from"]["phoneNumber"]["value"], CALLER);
    sipp.succeeds().await;
    let call = only_one(&engine).await;
    assert!(call.record["connectedAt"].is_null(), "{}", call.record);
    call.assert_order(&[
        ("sip", "180 Ringing"),
        ("sip", request),
        ("sip", "487 Request Terminated"),
        ("state", "ended"),
    ]);
    assert_eq!(engine.metric("strowger_calls_ended_total{kind=\"peer\"}").await, 1.0);
    // Too late to answer.
    let answer = json!({"incomingCallContext": incoming["incomingCallContext"], "callbackUri": application.url});
    let (status, body) = Client::new(&engine).request("POST", "/calling/callConnections:answer", answer).await;
    assert!((400..500).contains(&status), "{status}: {body}");
}

#[tokio::test]
async fn a_caller_cancels_over_udp() {
    gives_up("cancel", Transport::Udp, "CANCEL").await;
}

#[tokio::test]
async fn a_caller_cancels_over_tcp() {
    gives_up("cancel", Transport::Tcp, "CANCEL").await;
}

#[tokio::test]
async fn a_caller_hangs_up_while_it_rings_over_udp() {
    gives_up("early-bye", Transport::Udp, "BYE").await;
}

#[tokio::test]
async fn a_caller_hangs_up_while_it_rings_over_tcp() {
    gives_up("early-bye", Transport::Tcp, "BYE").await;
}

async fn hold(transport: Transport) {
    let engine = Engine::start(&[]);
    rule_wait(&engine).await;
    let (mut first, mut second) = (RtpPort::open().await, RtpPort::open().await);
    let keys = [key("rtp_port", first.port()), key("second_port", second.port())];
    let mut sipp = Sipp::call(&engine, "hold", transport, &flags(&keys));
    assert_steady(&sipp.meanwhile(first.packets(5)).await, 0);
    let after = sipp.meanwhile(second.packets(5)).await;
    assert_steady(&after, 0);
    sipp.succeeds().await;
    // The hold lasted a second. Nothing was sent in it, which the two clocks of the stream tell: the sequence numbers
    // run on without a hole while the timestamps leave one.
    let last = *first
        .until("the last packet before the hold", {
            |heard| heard.iter().find(|packet| after[0].packets_since(packet) == 1).map(|packet| Box::new(*packet))
        })
        .await;
    assert_eq!(after[0].ssrc, last.ssrc);
    let silent = after[0].samples_since(&last);
    assert!(silent >= 8_000 / 2, "only {silent} samples of silence on hold");
    let call = only_one(&engine).await;
    let agreed = |port: u16, direction: &str| format!("media agreed: PCMU to 127.0.0.1:{port}, {direction},");
    call.assert_order(&[
        ("media", &agreed(first.port(), "SendRecv")),
        ("state", "connected"),
        ("media", &agreed(first.port(), "RecvOnly")),
        ("media", &agreed(second.port(), "SendRecv")),
        ("sip", "BYE"),
    ]);
}

#[tokio::test]
async fn a_caller_holds_and_resumes_over_udp() {
    hold(Transport::Udp).await;
}

#[tokio::test]
async fn a_caller_holds_and_resumes_over_tcp() {
    hold(Transport::Tcp).await;
}

async fn offerless(transport: Transport) {
    let engine = Engine::start(&[]);
    rule_answer(&engine, json!({"play": ["prompt:thank-you"]})).await;
    let mut ear = RtpPort::open().await;
    let keys = [key("rtp_port", ear.port())];
    let mut sipp = Sipp::call(&engine, "offerless", transport, &flags(&keys));
    // The ACK took PCMA and no telephone-event.
    assert_steady(&sipp.meanwhile(ear.packets(25)).await, 8);
    sipp.succeeds().await;
    let call = only_one(&engine).await;
    let agreed = format!("media agreed: PCMA to {}, SendRecv, telephone-event not agreed", ear.address());
    call.assert_order(&[("sip", "200 OK"), ("sip", "ACK"), ("media", &agreed), ("state", "connected")]);
}

#[tokio::test]
async fn an_invite_without_an_offer_gets_one_over_udp() {
    offerless(Transport::Udp).await;
}

#[tokio::test]
async fn an_invite_without_an_offer_gets_one_over_tcp() {
    offerless(Transport::Tcp).await;
}

#[tokio::test]
async fn calls_in_survive_the_loss_of_each_message() {
    let engine = Engine::start(&[]);
    rule_wait(&engine).await;
    let relay = Lossy::to(engine.address("sipUdp")).await;
    Sipp::call_at(relay.address(), "loss", Transport::Udp, &["-m", "5"]).succeeds().await;
    for call in ended(&engine, 5).await {
        // The ACK came because the 200 came again; our answer to BYE because BYE came again.
        call.assert_order(&[
            ("sip", "200 OK"),
            ("sip", "(again)"),
            ("state", "connected"),
            ("sip", "BYE"),
            ("state", "ended"),
        ]);
    }
    assert_eq!(engine.metric("strowger_calls_ended_total{kind=\"peer\"}").await, 5.0);
}

/// Answers the incoming call and listens for five keys; the call's path.
async fn listen_for_keys(client: &Client, application: &mut Webhook) -> String {
    let incoming = application.expect("IncomingCall").await;
    let context = &incoming["incomingCallContext"];
    let answer = json!({"incomingCallContext": context, "callbackUri": application.url});
    let call = client.call("/calling/callConnections:answer", answer).await;
    application.expect("CallConnected").await;
    let wish = json!({
        "recognizeInputType": "dtmf",
        "recognizeOptions": {
            "targetParticipant": incoming["from"],
            "initialSilenceTimeoutInSeconds": 60,
            "dtmfOptions": {"maxTonesToCollect": 5, "interToneTimeoutInSeconds": 30},
        },
    });
    client.post(&format!("{call}:recognize"), wish).await;
    call
}

async fn keys(scenario: &str, way: &str) {
    let engine = Engine::start(&[]);
    let client = Client::new(&engine);
    let mut application = Webhook::subscribed(&engine).await;
    let mut sipp = Sipp::call(&engine, scenario, Transport::Udp, &[]);
    let call = sipp.meanwhile(listen_for_keys(&client, &mut application)).await;
    sipp.go_on();
    let completed = sipp.meanwhile(application.expect("RecognizeCompleted")).await;
    assert_eq!(completed["dtmfResult"]["tones"], json!(["four", "seven", "one", "one", "pound"]));
    client.post(&format!("{call}:terminate"), Value::Null).await;
    application.expect("CallDisconnected").await;
    sipp.succeeds().await;
    let call = only_one(&engine).await;
    let heard: Vec<&str> =
        call.entries.iter().filter(|entry| entry.0 == "dtmf").map(|entry| entry.1.as_str()).collect();
    assert_eq!(heard.len(), 5, "{heard:?}");
    assert!(heard.iter().all(|text| text.contains(way)), "{heard:?}");
}

#[tokio::test]
async fn keys_come_by_rfc_4733() {
    keys("dtmf-events", "pressed, by telephone-event").await;
}

#[tokio::test]
async fn keys_come_by_info() {
    keys("dtmf-info", "pressed, by info").await;
}

/// Has the engine call `target`; the webhook and the call's path.
pub async fn place(client: &Client, target: Value) -> (Webhook, String) {
    let webhook = Webhook::start().await;
    let wish = json!({"targets": [target], "callbackUri": webhook.url});
    let call = client.call("/calling/callConnections", wish).await;
    (webhook, call)
}

/// Places so many calls to this address; the webhook and the path of each.
async fn place_all(engine: &Engine, uri: &str, calls: usize) -> Vec<(Webhook, String)> {
    let client = Client::new(engine);
    let mut placed = Vec::new();
    for _ in 0..calls {
        let target = json!({"kind": "unknown", "rawId": uri});
        placed.push(place(&client, target).await);
    }
    placed
}

async fn call_sipps_own(engine: &Engine, transport: Transport) {
    let mut sipp = Sipp::listen("-sn uas", transport, &["-m", "2"]).await;
    for (application, call) in &mut place_all(engine, &sipp.uri(), 2).await {
        sipp.meanwhile(application.expect("CallConnected")).await;
        Client::new(engine).post(&format!("{call}:terminate"), Value::Null).await;
        let over = application.expect("CallDisconnected").await;
        assert_eq!(over["resultInformation"]["code"], 200, "{over}");
    }
    sipp.succeeds().await;
}

#[tokio::test]
async fn sipps_own_callee_is_called() {
    let engine = Engine::start(&[]);
    tokio::join!(call_sipps_own(&engine, Transport::Udp), call_sipps_own(&engine, Transport::Tcp));
    for call in ended(&engine, 4).await {
        assert_eq!(call.record["direction"], "outbound");
        call.assert_order(&[("sip", "180 Ringing"), ("sip", "200 OK"), ("state", "connected"), ("sip", "BYE")]);
    }
}

#[tokio::test]
async fn calls_out_survive_the_loss_of_each_message() {
    let engine = Engine::start(&[]);
    let address = free_address();
    let relay = Lossy::to(address).await;
    let contact = relay.address().to_string();
    let flags = ["-m", "5", "-key", "relay", &contact];
    let mut sipp = Sipp::listen_at(address, "loss-callee", Transport::Udp, &flags).await;
    for (application, _) in &mut place_all(&engine, &format!("sip:callee@{contact}"), 5).await {
        sipp.meanwhile(application.expect("CallConnected")).await;
        sipp.meanwhile(application.expect("CallDisconnected")).await;
    }
    sipp.succeeds().await;
    for call in ended(&engine, 5).await {
        call.assert_order(&[
            ("sip", "INVITE"),
            ("sip", "(again)"),
            ("state", "connected"),
            ("sip", "BYE"),
            ("state", "ended"),
        ]);
    }
    assert_eq!(engine.metric("strowger_calls_ended_total{kind=\"peer\"}").await, 5.0);
}

/// A trunk to this carrier, and a call to a number through it.
pub async fn through_carrier(engine: &Engine, carrier: &Sipp) -> (Webhook, String) {
    let trunk = json!({"name": "carrier", "uri": carrier.uri(), "username": "engine", "password": "secret"});
    let (status, answer) = engine.request("PUT", "/v1/trunks/carrier", Some(trunk)).await;
    assert!(matches!(status, 200 | 201), "{status}: {answer}");
    let target = json!({"kind": "phoneNumber", "phoneNumber": {"value": "+442079460000"}});
    place(&Client::new(engine), target).await
}

/// The carrier asks for credentials, the call comes about and is heard; its record, and what SIPp saw of it.
async fn carrier(scenario: &str, transport: Transport) -> (Ended, String) {
    let engine = Engine::start(&[]);
    let mut ear = RtpPort::open().await;
    let keys = [key("rtp_port", ear.port())];
    let mut sipp = Sipp::listen(scenario, transport, &flags(&keys)).await;
    let (mut application, call) = through_carrier(&engine, &sipp).await;
    sipp.meanwhile(application.expect("CallConnected")).await;
    assert_steady(&sipp.meanwhile(ear.packets(5)).await, 0);
    Client::new(&engine).post(&format!("{call}:terminate"), Value::Null).await;
    application.expect("CallDisconnected").await;
    let messages = sipp.succeeds().await;
    (only_one(&engine).await, messages)
}

#[tokio::test]
async fn a_carrier_asks_by_md5_and_finds_the_nonce_stale() {
    let (call, _) = carrier("carrier-md5", Transport::Udp).await;
    // Asked, stale, taken.
    assert_eq!(call.messages("INVITE sip:").len(), 3, "{call}");
    assert_eq!(call.messages("401 Unauthorized").len(), 2, "{call}");
}

#[tokio::test]
async fn a_carrier_asks_by_sha_256() {
    let (call, seen) = carrier("carrier-sha256", Transport::Tcp).await;
    assert_eq!(call.messages("INVITE sip:").len(), 2, "{call}");
    assert!(!call.timeline.to_string().contains("cnonce"), "credentials are kept on the timeline");
    // RFC 7616 §3.4.1, written out.
    let header = seen.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: Digest "));
    let header = header.unwrap_or_else(|| panic!("no answer to the challenge in\n{seen}"));
    let value = |name: &str| {
        let rest = header.split_once(&format!("{name}=")).expect(name).1;
        match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => rest.split(',').next(),
        }
        .expect(name)
        .to_owned()
    };
    let hash = |text: String| -> String { Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect() };
    let uri = seen.lines().find_map(|line| line.strip_prefix("INVITE ")).and_then(|line| line.split(' ').next());
    let uri = uri.expect("a Request-URI");
    assert_eq!(
        (value("username"), value("realm"), value(" uri")),
        ("engine".into(), "carrier.example".into(), uri.into())
    );
    assert_eq!((value(" nonce"), value("nc"), value("qop")), ("sha-nonce".into(), "00000001".into(), "auth".into()));
    let secret = hash("engine:carrier.example:secret".into());
    let request = hash(format!("INVITE:{uri}"));
    let expected = hash(format!("{secret}:sha-nonce:00000001:{}:auth:{request}", value("cnonce")));
    assert_eq!(value("response"), expected);
}

async fn call_fails(scenario: &str, code: u16) -> (Value, Ended) {
    let engine = Engine::start(&[]);
    let mut sipp = Sipp::listen(scenario, Transport::Udp, &[]).await;
    let (mut application, _) = through_carrier(&engine, &sipp).await;
    let failed = sipp.meanwhile(application.expect("CreateCallFailed")).await;
    assert_eq!(failed["resultInformation"]["sipDetails"]["code"], code, "{failed}");
    sipp.succeeds().await;
    (failed, only_one(&engine).await)
}

#[tokio::test]
async fn a_carrier_that_refuses_the_password_is_asked_no_more() {
    let (_, call) = call_fails("carrier-refuses", 401).await;
    assert_eq!(call.messages("INVITE sip:").len(), 2, "{call}");
}

#[tokio::test]
async fn a_busy_callee_is_reported_with_its_reason() {
    let (failed, call) = call_fails("busy", 486).await;
    assert_eq!(failed["resultInformation"]["code"], 486, "{failed}");
    call.assert_order(&[("sip", "486 Busy Here"), ("sip", "ACK"), ("event", "CreateCallFailed")]);
}

#[tokio::test]
async fn an_application_gives_up_while_the_callee_rings() {
    let engine = Engine::start(&[]);
    let sipp = Sipp::listen("ring", Transport::Udp, &[]).await;
    let (mut application, call) = through_carrier(&engine, &sipp).await;
    let rings = "strowger_sip_state{kind=\"legs\"}";
    engine.until(rings, async |engine| (engine.metric(rings).await > 0.0).then_some(())).await;
    Client::new(&engine).post(&format!("{call}:terminate"), Value::Null).await;
    application.expect("CreateCallFailed").await;
    sipp.succeeds().await;
    // The peer's 487 comes when the call is over for the application, and still belongs onto its timeline.
    let (call, refused) = (only_one(&engine).await, "487 Request Terminated");
    call.assert_order(&[("sip", "180 Ringing"), ("sip", "CANCEL")]);
    let path = format!("/v1/calls/{}/timeline", call.record["id"].as_str().expect("an id"));
    engine
        .until(refused, async |engine| {
            engine.request("GET", &path, None).await.1.to_string().contains(refused).then_some(())
        })
        .await;
}
