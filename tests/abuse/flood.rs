//! Floods from one source: limits, bans, and everybody else's calls meanwhile.

use std::time::Duration;

use strowger::sip::peer::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::support::Webhook;

/// Another host yet, which only asks whether the engine is there, as often as the flood is long: it is exempt.
const WATCHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

/// As many as fit into the socket's buffer, whatever the kernel grants, so that what is dropped is dropped by us.
const BATCH: usize = 50;

/// Sends INVITEs as fast as the engine reads: after each batch a third party's OPTIONS is answered.
struct Flood {
    attacker: Raw,
    watcher: Raw,
    user: &'static str,
    sent: usize,
}

impl Flood {
    async fn new(engine: &Engine, user: &'static str) -> Flood {
        Flood { attacker: Raw::at(ELSEWHERE, engine).await, watcher: Raw::at(WATCHER, engine).await, user, sent: 0 }
    }

    async fn batch(&mut self) {
        for _ in 0..BATCH {
            self.attacker.send(self.attacker.request("INVITE", self.user, self.sent, 1, "")).await;
            self.sent += 1;
        }
        let mine = format!("{}-OPTIONS", self.sent);
        let ask = self.watcher.request("OPTIONS", "x", self.sent, 1, "");
        loop {
            // A datagram may be lost among so many: asked again, as a phone would.
            self.watcher.send(&ask).await;
            let answer = self.watcher.receive("an answer to OPTIONS", |text| text.contains(&mine));
            if tokio::time::timeout(Duration::from_secs(2), answer).await.is_ok() {
                return;
            }
        }
    }
}

async fn bans(engine: &Engine) -> Vec<Value> {
    let (status, bans) = engine.request("GET", "/v1/bans", None).await;
    assert_eq!(status, 200);
    bans["value"].as_array().cloned().expect("a list")
}

/// Calls of others while the flood goes on: each is answered, heard and ended.
async fn others_are_served(engine: &Engine, flood: &mut Flood, batches: usize) {
    let calls = async {
        for transport in [Transport::Udp, Transport::Tcp, Transport::Udp] {
            Bystander::visit(engine, transport).await;
        }
    };
    let mut calls = std::pin::pin!(calls);
    let mut served = false;
    for _ in 0..batches {
        tokio::select! {
            () = &mut calls, if !served => served = true,
            () = flood.batch() => {}
        }
    }
    while !served {
        tokio::select! {
            () = &mut calls => served = true,
            () = flood.batch() => {}
        }
    }
}

#[tokio::test]
async fn a_flood_of_invites_is_banned_and_the_others_are_answered() {
    // A call that is refused by a rule costs a call: on a slow machine the default limit would hardly be crossed.
    let engine = Engine::start(&["--guard-requests", "250", "--guard-exempt", "127.0.0.9", "--log", "error"]);
    menu_for_all(&engine).await;
    let nobody = json!({"name": "nobody", "priority": 1, "enabled": true, "match": {"to": {"prefix": "sip:nobody@"}},
        "action": {"reject": {"reason": "forbidden"}}});
    engine.rule(nobody).await;
    let friend = Bystander::call(&engine, Transport::Udp).await;
    let mut flood = Flood::new(&engine, "nobody").await;
    others_are_served(&engine, &mut flood, 100).await;
    assert!(flood.sent >= 5_000);
    // However slow this machine is: each INVITE was refused, dropped at its limit, or dropped at the socket.
    let half_open = engine.metric("strowger_sip_state{kind=\"half_open\"}").await;
    assert!(half_open <= 1_000.0, "{half_open}");
    Bystander::visit(&engine, Transport::Udp).await;
    friend.press_and_leave().await;
    nothing_failed(&engine).await;
}

#[tokio::test]
async fn a_source_beyond_its_limit_is_not_heard_and_an_operator_sees_and_lifts_the_ban() {
    let engine = Engine::start(&["--guard-requests", "100", "--guard-exempt", "127.0.0.9", "--log", "error"]);
    menu_for_all(&engine).await;
    let friend = Bystander::call(&engine, Transport::Udp).await;
    let mut flood = Flood::new(&engine, "menu").await;
    others_are_served(&engine, &mut flood, 40).await;
    let ban = engine.until("the ban", async |engine| bans(engine).await.into_iter().next()).await;
    assert_eq!(ban["source"], "127.0.0.2", "{ban}");
    assert_eq!(ban["reason"], "too many requests (source not proven)");
    assert!(ban["automatic"] == true && ban["since"].as_str() < ban["until"].as_str(), "{ban}");
    assert!(engine.metric("strowger_sip_transport{kind=\"datagrams_banned\"}").await > 0.0);
    assert!(ban["dropped"].as_u64() > Some(0), "{ban}");
    assert!(engine.metric("strowger_sip_total{kind=\"banned\"}").await >= 1.0);
    // Nothing is made of what it sends; its connections are closed at once.
    let stream = tokio::net::TcpSocket::new_v4().expect("a socket");
    stream.bind((ELSEWHERE, 0).into()).expect("an address of ours");
    let mut stream = stream.connect(engine.address("sipTcp")).await.expect("the kernel accepts");
    assert_eq!(stream.read(&mut [0; 100]).await.unwrap_or_default(), 0);
    // By hand it is lifted, and made.
    let before = engine.metric("strowger_sip_transport{kind=\"datagrams_banned\"}").await;
    assert_eq!(engine.request("DELETE", "/v1/bans/127.0.0.2", None).await.0, 204);
    assert_eq!(engine.request("DELETE", "/v1/bans/127.0.0.2", None).await.0, 404);
    let back = Raw::at(ELSEWHERE, &engine).await;
    back.send(back.request("OPTIONS", "x", 0, 1, "")).await;
    back.receive("an answer", |text| text.starts_with("SIP/2.0 200")).await;
    let by_hand = json!({"source": "127.0.0.2", "seconds": 600, "reason": "known for it"});
    let (status, ban) = engine.request("POST", "/v1/bans", Some(by_hand)).await;
    assert_eq!((status, &ban["reason"], &ban["automatic"]), (201, &json!("known for it"), &json!(false)), "{ban}");
    for wrong in [
        json!({"source": "localhost"}),
        json!({"source": "127.0.0.0/8"}),
        json!({}),
        json!({"source": "127.0.0.4", "seconds": 0}),
        json!({"source": "127.0.0.4", "reason": "a\r\nb"}),
    ] {
        let (status, problem) = engine.request("POST", "/v1/bans", Some(wrong)).await;
        assert_eq!((status, problem["error"]["message"].is_string()), (400, true), "{problem}");
    }
    let (status, ban) = engine.request("POST", "/v1/bans", Some(json!({"source": "2001:db8:1:2:3::4"}))).await;
    assert_eq!((status, ban["source"].as_str()), (201, Some("2001:db8:1:2::/64")));
    assert_eq!(engine.request("DELETE", "/v1/bans/2001:db8:1:2::%2F64", None).await.0, 204);
    back.send(back.request("OPTIONS", "x", 1, 1, "")).await;
    engine
        .until("the drop", async |engine| {
            let dropped = engine.metric("strowger_sip_transport{kind=\"datagrams_banned\"}").await;
            (dropped > before).then_some(())
        })
        .await;
    friend.press_and_leave().await;
    nothing_failed(&engine).await;
}

#[tokio::test]
async fn a_source_that_must_not_be_banned_takes_no_more_than_its_share() {
    // As a trunk is treated.
    let engine = Engine::start(&["--guard-exempt", "127.0.0.2,127.0.0.9", "--guard-half-open", "50", "--log", "error"]);
    menu_for_all(&engine).await;
    let webhook = Webhook::start().await;
    bounds::subscribe(&engine, "idle", &webhook).await;
    let friend = Bystander::call(&engine, Transport::Udp).await;
    let mut flood = Flood::new(&engine, "idle").await;
    others_are_served(&engine, &mut flood, 40).await;
    assert_eq!(bans(&engine).await, Vec::<Value>::new());
    let half_open = engine.metric("strowger_sip_state{kind=\"half_open\"}").await;
    assert!(half_open <= 51.0, "{half_open}");
    assert!(engine.metric("strowger_sip_total{kind=\"overloaded\"}").await > 0.0);
    friend.press_and_leave().await;
    nothing_failed(&engine).await;
}

#[tokio::test]
async fn connections_that_flood_are_closed_and_the_others_are_served() {
    let engine = Engine::start(&["--guard-requests", "200", "--log", "error"]);
    menu_for_all(&engine).await;
    let friend = Bystander::call(&engine, Transport::Tcp).await;
    let to = engine.address("sipTcp");
    let mut flooding = Vec::new();
    for connection in 0..20 {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind((ELSEWHERE, 0).into()).expect("an address of ours");
        let mut stream = socket.connect(to).await.expect("a connection");
        flooding.push(tokio::spawn(async move {
            let from = stream.local_addr().expect("an address");
            let mut buffer = [0; 4096];
            for n in 0.. {
                let options = request("OPTIONS", "sip:x@engine", from, "TCP", &format!("{connection}-{n}"), 1, "");
                if stream.write_all(options.as_bytes()).await.is_err() {
                    return;
                }
                while let Ok(length) = stream.try_read(&mut buffer) {
                    if length == 0 {
                        return;
                    }
                }
            }
        }));
    }
    Bystander::visit(&engine, Transport::Tcp).await;
    Bystander::visit(&engine, Transport::Udp).await;
    for connection in flooding {
        tokio::time::timeout(PATIENCE, connection).await.expect("it is closed").expect("no panic");
    }
    let bans = bans(&engine).await;
    assert_eq!(
        (&bans[0]["source"], &bans[0]["reason"]),
        (&json!("127.0.0.2"), &json!("too many requests")),
        "{bans:?}"
    );
    friend.press_and_leave().await;
    nothing_failed(&engine).await;
}
