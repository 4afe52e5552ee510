//! Attacks from outside, and what the engine owes everybody else meanwhile.

mod bounds;
mod flood;
mod http;
mod injection;
mod prompt;
mod rtp;
mod secrets;
mod sip;
mod store;
mod tolls;
mod webhook;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use strowger::dtmf::{Digit, Way};
use strowger::phone::{Phone, PhoneEvent, find};
use strowger::prompt::{PromptConfig, Prompts, Source};
use strowger::sip::peer::Transport;
use tokio::net::UdpSocket;

use crate::support::{Engine, PATIENCE};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where attacks come from: another host, as far as the engine can tell.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const MENU: &str = "prompt:demo-menu";

/// Whoever calls hears the menu, and is let go after one key.
async fn menu_for_all(engine: &Engine) {
    let collect = json!({"maxTones": 1, "initialSilenceTimeoutInSeconds": 300});
    let action = json!({"answer": {"play": [MENU], "collect": collect}});
    engine.rule(json!({"name": "menu", "priority": 1000, "enabled": true, "match": {}, "action": action})).await;
}

/// Somebody on the phone who has nothing to do with the attack, and must not notice it.
struct Bystander {
    phone: Phone,
}

impl Bystander {
    /// Calls, and is connected to the menu.
    async fn call(engine: &Engine, transport: Transport) -> Bystander {
        let mut phone = phone(HERE).await;
        dial(&phone, engine, "menu", transport).await;
        assert_eq!(outcome(&mut phone).await, Ok(()), "a bystander's call");
        Bystander { phone }
    }

    /// Presses a key, to which the engine hangs up; all of the menu was heard as far as the call lasted.
    async fn press_and_leave(mut self) {
        self.phone.press(Digit::Five, Way::TelephoneEvent).await;
        let heard = self.phone.wait(PATIENCE, |event| match event {
            PhoneEvent::Over { by_peer, heard } => Some((by_peer, heard)),
            _ => None,
        });
        let (by_peer, heard) = heard.await.expect("the engine hangs up after a key");
        assert!(by_peer, "the key was heard, and the engine hung up");
        let prompts = Prompts::new(PromptConfig::default());
        let menu = prompts.load(&Source::parse(MENU).expect("a source")).await.expect("the menu");
        // A key that comes early cuts the menu short.
        if heard.len() > menu.samples().len() * 2 {
            let (likeness, _) = find(menu.samples(), &heard).expect("something to hear");
            // A busy machine makes the phone stretch what it hears, which costs likeness; noise has below 0.3.
            assert!(likeness > 0.7, "the menu was heard: {likeness}");
        }
    }

    /// A whole call.
    async fn visit(engine: &Engine, transport: Transport) {
        Bystander::call(engine, transport).await.press_and_leave().await;
    }
}

async fn phone(ip: IpAddr) -> Phone {
    let seed = strowger::engine::entropy().expect("random numbers");
    Phone::start(ip, seed).await.expect("a phone")
}

/// Dials a user at the engine.
async fn dial(phone: &Phone, engine: &Engine, user: &str, transport: Transport) {
    let to = engine.address(if transport == Transport::Udp { "sipUdp" } else { "sipTcp" });
    phone.dial(&format!("sip:{user}@{to}"), to, transport).await;
}

/// What comes of dialling: talk, or the status of the refusal.
async fn outcome(phone: &mut Phone) -> Result<(), u16> {
    let came = phone.wait(PATIENCE, |event| match event {
        PhoneEvent::Connected => Some(Ok(())),
        PhoneEvent::Failed(status, _) => Some(Err(status)),
        _ => None,
    });
    came.await.expect("an outcome in time")
}

/// An INVITE from a peer written out by hand.
struct Raw {
    socket: UdpSocket,
    engine: SocketAddr,
    /// Makes its Call-IDs its own.
    name: String,
}

impl Raw {
    async fn at(ip: IpAddr, engine: &Engine) -> Raw {
        let socket = UdpSocket::bind((ip, 0)).await.expect("a port");
        let name = socket.local_addr().expect("an address").to_string().replace([':', '.'], "-");
        Raw { socket, engine: engine.address("sipUdp"), name }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    async fn send(&self, bytes: impl AsRef<[u8]>) {
        self.socket.send_to(bytes.as_ref(), self.engine).await.expect("loopback takes it");
    }

    /// A request; `tag` is the engine's, empty outside of a dialog.
    fn request(&self, method: &str, user: &str, id: usize, cseq: u32, tag: &str) -> String {
        let (address, engine) = (self.address(), self.engine);
        request(method, &format!("sip:{user}@{engine}"), address, "UDP", &format!("{}-{id}", self.name), cseq, tag)
    }

    /// The next message from the engine for which `wanted` holds.
    async fn receive(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let found = tokio::time::timeout(PATIENCE, async {
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, _) = self.socket.recv_from(&mut buffer).await.expect("a message");
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if wanted(&text) {
                    return text;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("{what} did not come"))
    }
}

/// A request as a plain phone writes it; an INVITE offers PCMU and telephone-event on the discard port.
fn request(method: &str, uri: &str, from: SocketAddr, via: &str, id: &str, cseq: u32, tag: &str) -> String {
    let ip = from.ip();
    let body = match method {
        "INVITE" => format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\n"
        ),
        _ => String::new(),
    };
    let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    // A CANCEL and the ACK of a refusal belong to the INVITE's branch.
    let branch = if matches!(method, "CANCEL") { "INVITE" } else { method };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {from};branch=z9hG4bK-{id}-{branch}-{cseq};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:raw@{ip}>;tag=raw{id}\r\nTo: <{uri}>{tag}\r\nCall-ID: {id}\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:raw@{from};transport={}>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        via.to_lowercase(),
        body.len()
    )
}

/// The tag that the engine put into To.
fn tag(response: &str) -> &str {
    let to = response.lines().find(|line| line.starts_with("To:")).expect("a To header");
    to.split(";tag=").nth(1).expect("a tag").split(';').next().expect("a tag").trim()
}

/// The newest call of which `wanted` holds.
async fn call_where(engine: &Engine, what: &str, wanted: impl Fn(&Value) -> bool) -> String {
    let found = engine.until(what, async |engine| {
        let (_, calls) = engine.request("GET", "/v1/calls", None).await;
        let calls = calls["value"].as_array().cloned().unwrap_or_default();
        calls.iter().find(|call| wanted(call)).and_then(|call| call["id"].as_str().map(str::to_owned))
    });
    found.await
}

/// Waits for a timeline entry of a call for which `wanted` holds.
async fn on_timeline(engine: &Engine, call: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = engine.until(what, async |engine| {
        let (_, timeline) = engine.request("GET", &format!("/v1/calls/{call}/timeline"), None).await;
        timeline["entries"].as_array().and_then(|entries| entries.iter().find(|entry| wanted(entry)).cloned())
    });
    found.await
}

/// Waits until the engine, too, holds a call to be connected, where no event may tell of it.
async fn is_connected(engine: &Engine, path: &str) {
    let id = path.rsplit('/').next().expect("an id");
    let connected = |entry: &Value| entry["text"].as_str().is_some_and(|text| text.starts_with("CallConnected"));
    on_timeline(engine, id, "the connection", connected).await;
}

/// Nothing inside has failed: no caught panic, no full queue.
async fn nothing_failed(engine: &Engine) {
    let failures = engine.metric("strowger_failures_total").await;
    assert_eq!(failures, 0.0, "internal failures: see strowger_failures_total");
    let panics = engine.metric("strowger_media{kind=\"panics\"}").await;
    assert_eq!(panics, 0.0, "a media thread failed");
}
