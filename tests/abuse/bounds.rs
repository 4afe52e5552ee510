//! What happens at each limit; and that nothing is left when the calls are gone.

use std::net::UdpSocket as StdUdpSocket;

use serde_json::json;
use strowger::sip::peer::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::*;
use crate::support::{Client, Webhook};

/// Subscribes a webhook, and gives it the calls to users that begin with its name.
pub(super) async fn subscribe(engine: &Engine, name: &str, webhook: &Webhook) {
    let subscription = json!({"name": name, "endpoint": webhook.url});
    let (status, answer) = engine.request("PUT", &format!("/v1/subscriptions/{name}"), Some(subscription)).await;
    assert!(matches!(status, 200 | 201), "{answer}");
    let matches = json!({"to": {"prefix": format!("sip:{name}@")}});
    let action = json!({"webhook": {"subscription": name}});
    engine.rule(json!({"name": name, "priority": 1, "enabled": true, "match": matches, "action": action})).await;
    engine
        .until("the subscription", async |engine| {
            let (_, found) = engine.request("GET", &format!("/v1/subscriptions/{name}"), None).await;
            (found["state"] == "validated").then_some(())
        })
        .await;
}

/// An even port that is free together with the next one, where the system itself gives none out.
fn free_pair() -> u16 {
    let first = 10_000 + (std::process::id() % 5_000) as u16 * 2;
    let free = |port: u16| {
        let both = [port, port + 1].map(|port| StdUdpSocket::bind((HERE, port)));
        both.iter().all(Result::is_ok)
    };
    (first..30_000).step_by(2).find(|port| free(*port)).expect("a free pair of ports")
}

#[tokio::test]
async fn without_rtp_ports_a_call_is_refused_and_the_others_go_on() {
    let port = free_pair();
    let range = format!("{port}-{}", port + 1);
    let engine = Engine::start(&["--rtp-ports", &range]);
    menu_for_all(&engine).await;
    let mut webhook = Webhook::start().await;
    subscribe(&engine, "app", &webhook).await;
    let client = Client::new(&engine);
    // Over TCP, where no table has to wait for repetitions.
    let friend = Bystander::call(&engine, Transport::Tcp).await;
    assert_eq!(engine.metric("strowger_media{kind=\"free_port_pairs\"}").await, 0.0);
    // By a rule.
    let mut second = phone(HERE).await;
    dial(&second, &engine, "menu", Transport::Tcp).await;
    assert_eq!(outcome(&mut second).await, Err(503));
    // By an application that answers.
    let mut third = phone(HERE).await;
    dial(&third, &engine, "app", Transport::Tcp).await;
    let incoming = webhook.expect("IncomingCall").await;
    let context = incoming["incomingCallContext"].clone();
    let wish = json!({"incomingCallContext": context, "callbackUri": webhook.url});
    client.call("/calling/callConnections:answer", wish).await;
    webhook.expect("AnswerFailed").await;
    assert_eq!(outcome(&mut third).await, Err(503));
    // By an application that calls.
    let callee = phone(HERE).await;
    let targets = json!([{"kind": "unknown", "rawId": callee.uri()}]);
    let wish = json!({"targets": targets, "callbackUri": webhook.url});
    client.call("/calling/callConnections", wish).await;
    let failed = webhook.expect("CreateCallFailed").await;
    assert_eq!(failed["resultInformation"]["code"], 503, "{failed}");
    assert_eq!(engine.metric("strowger_media{kind=\"open_failures\"}").await, 3.0);
    friend.press_and_leave().await;
    // And once the port is back, so are the calls.
    let freed =
        async |engine: &Engine| (engine.metric("strowger_media{kind=\"free_port_pairs\"}").await == 1.0).then_some(());
    engine.until("the pair of ports", freed).await;
    Bystander::visit(&engine, Transport::Tcp).await;
    all_empty(&engine).await;
    nothing_failed(&engine).await;
}

#[tokio::test]
async fn more_calls_than_allowed_are_refused_and_the_others_go_on() {
    let engine = Engine::start(&["--max-calls", "1"]);
    menu_for_all(&engine).await;
    let webhook = Webhook::start().await;
    let client = Client::new(&engine);
    let friend = Bystander::call(&engine, Transport::Udp).await;
    let mut second = phone(HERE).await;
    dial(&second, &engine, "menu", Transport::Udp).await;
    assert_eq!(outcome(&mut second).await, Err(503));
    let targets = json!([{"kind": "unknown", "rawId": second.uri()}]);
    let wish = json!({"targets": targets, "callbackUri": webhook.url});
    let (status, answer) = client.request("POST", "/calling/callConnections", wish).await;
    assert_eq!(status, 503, "{answer}");
    assert!(engine.metric("strowger_calls_refused_total{kind=\"too many calls\"}").await >= 1.0);
    friend.press_and_leave().await;
    let none = async |engine: &Engine| (engine.metric("strowger_calls_active").await == 0.0).then_some(());
    engine.until("the end of the call", none).await;
    Bystander::visit(&engine, Transport::Udp).await;
    nothing_failed(&engine).await;
}

#[tokio::test]
async fn connections_of_strangers_leave_files_for_calls() {
    let engine = Engine::start_with_open_files(256, &["--log", "error"]);
    menu_for_all(&engine).await;
    let friend = Bystander::call(&engine, Transport::Udp).await;
    let mut held = Vec::new();
    for number in 0..600 {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((IpAddr::from([127, 0, 0, 2 + number as u8 % 5]), 0).into()).expect("an address of ours");
        let to = engine.address(["http", "https", "sipTcp"][number % 3]);
        held.push(socket.connect(to).await.expect("a connection, if only for a moment"));
    }
    for _ in 0..3 {
        Bystander::visit(&engine, Transport::Udp).await;
    }
    friend.press_and_leave().await;
    drop(held);
    nothing_failed(&engine).await;
}

/// Answered, talked, and ended by the caller.
async fn talks(engine: &Engine, count: usize) {
    let peer = Raw::at(ELSEWHERE, engine).await;
    for id in 0..count {
        peer.send(peer.request("INVITE", "menu", id, 1, "")).await;
        let is_mine = |text: &str, cseq: &str| text.contains(&format!("-{id}\r\n")) && text.contains(cseq);
        let answered = peer.receive("a 200", |text| text.starts_with("SIP/2.0 200") && is_mine(text, "1 INVITE")).await;
        peer.send(peer.request("ACK", "menu", id, 1, tag(&answered))).await;
        peer.send(peer.request("BYE", "menu", id, 2, tag(&answered))).await;
        peer.receive("a 200", |text| text.starts_with("SIP/2.0 200") && is_mine(text, "2 BYE")).await;
    }
}

/// Given up by the caller while it rings.
async fn cancels(engine: &Engine, count: usize) {
    let peer = Raw::at(ELSEWHERE, engine).await;
    for id in 0..count {
        let is_mine = |text: &str, status: &str| text.starts_with(status) && text.contains(&format!("-{id}\r\n"));
        peer.send(peer.request("INVITE", "idle", id, 1, "")).await;
        peer.receive("a 180", |text| is_mine(text, "SIP/2.0 180")).await;
        peer.send(peer.request("CANCEL", "idle", id, 1, "")).await;
        let refused = peer.receive("a 487", |text| is_mine(text, "SIP/2.0 487")).await;
        peer.acknowledge_refusal("idle", id, &refused).await;
    }
}

/// Refused by a rule; `polite` peers acknowledge it.
async fn is_refused(engine: &Engine, count: usize, polite: bool) {
    let peer = Raw::at(ELSEWHERE, engine).await;
    for id in 0..count {
        peer.send(peer.request("INVITE", "busy", id, 1, "")).await;
        let mine = |text: &str| text.starts_with("SIP/2.0 486") && text.contains(&format!("-{id}\r\n"));
        let refused = peer.receive("a 486", mine).await;
        if polite {
            peer.acknowledge_refusal("busy", id, &refused).await;
        }
    }
}

/// Refused over TCP, where each transaction ends with its ACK.
async fn is_refused_on_a_stream(engine: &Engine, count: usize) {
    let to = engine.address("sipTcp");
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    let from = stream.local_addr().expect("an address");
    let uri = format!("sip:busy@{to}");
    for id in 0..count {
        let id = format!("stream-{id}");
        let invite = request("INVITE", &uri, from, "TCP", &id, 1, "");
        stream.write_all(invite.as_bytes()).await.expect("the engine reads");
        let mut text = String::new();
        while !text.contains("SIP/2.0 486") || !text.ends_with("\r\n\r\n") {
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).await.expect("an answer");
            assert!(length > 0, "the engine closed: {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        let refusal = &text[text.find("SIP/2.0 486").expect("a 486")..];
        let ack = request("ACK", &uri, from, "TCP", &id, 1, tag(refusal)).replace("-ACK-1;", "-INVITE-1;");
        stream.write_all(ack.as_bytes()).await.expect("the engine reads");
    }
}

/// Answered, and never heard of again: the engine's BYE finds nobody.
async fn vanishes(engine: &Engine, count: usize) {
    let peer = Raw::at(ELSEWHERE, engine).await;
    for id in 0..count {
        peer.send(peer.request("INVITE", "menu", id, 1, "")).await;
        let mine = |text: &str| text.starts_with("SIP/2.0 200") && text.contains(&format!("-{id}\r\n"));
        let answered = peer.receive("a 200", mine).await;
        peer.send(peer.request("ACK", "menu", id, 1, tag(&answered))).await;
    }
}

impl Raw {
    /// The ACK of a refusal is part of the INVITE's transaction (RFC 3261 §17.1.1.3).
    async fn acknowledge_refusal(&self, user: &str, id: usize, refusal: &str) {
        let ack = self.request("ACK", user, id, 1, tag(refusal));
        self.send(ack.replace("-ACK-1;", "-INVITE-1;")).await;
    }
}

const TABLES: [&str; 9] = [
    "strowger_calls_active",
    "strowger_events_pending",
    "strowger_media{kind=\"open_legs\"}",
    "strowger_sip_state{kind=\"legs\"}",
    "strowger_sip_state{kind=\"client_transactions\"}",
    "strowger_sip_state{kind=\"server_transactions\"}",
    "strowger_sip_state{kind=\"half_open\"}",
    "strowger_sip_state{kind=\"indexed\"}",
    "strowger_sip_state{kind=\"owned_legs\"}",
];

async fn all_empty(engine: &Engine) {
    for table in TABLES {
        let empty = async |engine: &Engine| (engine.metric(table).await == 0.0).then_some(());
        engine.until(&format!("that {table} is 0"), empty).await;
    }
}

fn open_files(engine: &Engine) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", engine.pid())).expect("the process's files").count()
}

/// Resident memory in MiB.
fn memory(engine: &Engine) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine.pid())).expect("the process's status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
}

#[tokio::test]
async fn nothing_is_left_of_calls_that_are_gone() {
    let engine = Engine::start(&["--rtp-timeout-seconds", "2", "--log", "error"]);
    menu_for_all(&engine).await;
    let webhook = Webhook::start().await;
    subscribe(&engine, "idle", &webhook).await;
    let busy = json!({"name": "busy", "priority": 2, "enabled": true, "match": {"to": {"prefix": "sip:busy@"}},
        "action": {"reject": {"reason": "busy"}}});
    engine.rule(busy).await;
    // Pools and caches have their size once each kind of call has been.
    tokio::join!(talks(&engine, 5), cancels(&engine, 5), is_refused(&engine, 5, true));
    Bystander::visit(&engine, Transport::Tcp).await;
    let (files, resident) = (open_files(&engine), memory(&engine));

    tokio::join!(
        talks(&engine, 60),
        cancels(&engine, 50),
        is_refused(&engine, 40, true),
        is_refused(&engine, 25, false),
        is_refused_on_a_stream(&engine, 200),
        vanishes(&engine, 25),
    );
    Bystander::visit(&engine, Transport::Udp).await;
    let started = engine.metric("strowger_calls_started_total{kind=\"inbound\"}").await;
    assert!(started >= 417.0, "{started}");
    // The slowest table waits 64·T1 = 32 s for the ACKs and answers that never come.
    all_empty(&engine).await;
    let (files_now, resident_now) = (open_files(&engine), memory(&engine));
    // Up to 32 idle connections to the webhook wait for the next event; one file a call would be four hundred.
    assert!(files_now <= files + 40, "open files: {files}, then {files_now}");
    assert!(resident_now <= resident + 48, "MiB of memory: {resident}, then {resident_now}");
    nothing_failed(&engine).await;
}
