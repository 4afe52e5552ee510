//! On the SIP port: noise, torture, slow streams, peers that vanish, floods.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use strowger::random::Random;
use strowger::sip::peer::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::*;
use crate::support::Webhook;

/// The messages of RFC 4475.
fn torture() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torture");
    let files = std::fs::read_dir(folder).expect("the torture messages");
    files.map(|file| std::fs::read(file.expect("a file").path()).expect("a file")).collect()
}

/// Noise, pieces of sound messages, sound ones with injuries, and datagrams as long as they come.
fn rubbish(random: &mut Random, sound: &[Vec<u8>]) -> Vec<u8> {
    let pick = |random: &mut Random, below: usize| random.below(below as u64) as usize;
    let noise = |random: &mut Random, length: usize| (0..length).map(|_| random.u32() as u8).collect::<Vec<u8>>();
    let mut message = sound[pick(random, sound.len())].clone();
    match random.below(6) {
        0 => {
            let length = pick(random, 400);
            noise(random, length)
        }
        1 => {
            message.truncate(pick(random, message.len()));
            message
        }
        2 => {
            for _ in 0..5 {
                let at = pick(random, message.len());
                message[at] = random.u32() as u8;
            }
            message
        }
        3 if random.below(20) == 0 => {
            message.resize(60_000, b'x');
            message
        }
        4 => vec![b"\r\n\0 "[pick(random, 4)]; pick(random, 64)],
        _ => message,
    }
}

async fn tcp(from: IpAddr, to: SocketAddr) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of ours");
    socket.connect(to).await.expect("a connection")
}

#[tokio::test]
async fn rubbish_in_datagrams_disturbs_nobody() {
    // Not banned for it: here the parsers are tried.
    let engine = Engine::start(&["--guard-exempt", "127.0.0.2"]);
    menu_for_all(&engine).await;
    let friend = Bystander::call(&engine, Transport::Udp).await;
    let attacker = Raw::at(ELSEWHERE, &engine).await;
    let mut sound = torture();
    sound.push(attacker.request("INVITE", "menu", 0, 1, "").into_bytes());
    let mut random = Random::from_number(4475);
    for round in 0..5_000 {
        attacker.send(rubbish(&mut random, &sound)).await;
        if round % 50 == 0 {
            // At the engine's pace: an OPTIONS is answered only after what came before it.
            attacker.send(attacker.request("OPTIONS", "menu", round, 1, "")).await;
            attacker.receive("an answer", |text| text.contains(&format!("{round}-OPTIONS"))).await;
        }
    }
    Bystander::visit(&engine, Transport::Udp).await;
    friend.press_and_leave().await;
    nothing_failed(&engine).await;
}

#[tokio::test]
async fn slow_and_broken_streams_are_closed_and_hold_up_nobody() {
    let engine = Engine::start(&[]);
    menu_for_all(&engine).await;
    let to = engine.address("sipTcp");
    let friend = Bystander::call(&engine, Transport::Tcp).await;
    let invite = request("INVITE", "sip:menu@engine", (ELSEWHERE, 9).into(), "TCP", "slow", 1, "");
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = tcp(ELSEWHERE, to).await;
        // One that is over the limit of its source may be gone already.
        let _ = stream.write_all(&invite.as_bytes()[..invite.len() / 2]).await;
        slow.push(stream);
    }
    // A length that lies, one that is too long, a head without end, noise.
    let mut head = b"INVITE sip:menu@engine SIP/2.0\r\n".to_vec();
    head.resize(200_000, b'a');
    let lies = invite.replace("Content-Length: ", "Content-Length: 99999999999");
    for broken in [lies.as_bytes(), &head, &[0xFF; 70_000], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = tcp(IpAddr::from([127, 0, 0, 3]), to).await;
        let _ = stream.write_all(broken).await;
        slow.push(stream);
    }
    Bystander::visit(&engine, Transport::Tcp).await;
    // Not one of them is kept: the engine closes each, without a word or with one.
    for (number, stream) in slow.iter_mut().enumerate() {
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "stream {number} is still open");
    }
    // And an operator sees it.
    for kind in ["connections_refused", "slow_peers", "broken_streams"] {
        let count = engine.metric(&format!("strowger_sip_transport{{kind=\"{kind}\"}}")).await;
        assert!(count > 0.0, "{kind}");
    }
    Bystander::visit(&engine, Transport::Tcp).await;
    friend.press_and_leave().await;
    nothing_failed(&engine).await;
}

#[tokio::test]
async fn a_peer_that_vanishes_is_forgotten() {
    let engine = Engine::start(&["--rtp-timeout-seconds", "1"]);
    menu_for_all(&engine).await;
    let friend = Bystander::call(&engine, Transport::Udp).await;
    // Over TCP, gone once it is connected: no BYE, and nobody takes the engine's.
    let to = engine.address("sipTcp");
    let mut stream = tcp(ELSEWHERE, to).await;
    let uri = format!("sip:menu@{to}");
    let from = stream.local_addr().expect("an address");
    stream.write_all(request("INVITE", &uri, from, "TCP", "gone", 1, "").as_bytes()).await.expect("it is taken");
    let mut text = String::new();
    while !text.contains("SIP/2.0 200") || !text.contains("m=audio") {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.expect("an answer");
        assert!(length > 0, "the engine closed: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    let answered = &text[text.find("SIP/2.0 200").expect("a 200")..];
    stream.write_all(request("ACK", &uri, from, "TCP", "gone", 1, tag(answered)).as_bytes()).await.expect("taken");
    drop(stream);
    // Over UDP, gone before its ACK; and gone after it.
    let never_acked = Raw::at(ELSEWHERE, &engine).await;
    never_acked.send(never_acked.request("INVITE", "menu", 0, 1, "")).await;
    never_acked.receive("a 200", |text| text.starts_with("SIP/2.0 200")).await;
    let silent = Raw::at(ELSEWHERE, &engine).await;
    silent.send(silent.request("INVITE", "menu", 0, 1, "")).await;
    let answered = silent.receive("a 200", |text| text.starts_with("SIP/2.0 200")).await;
    silent.send(silent.request("ACK", "menu", 0, 1, tag(&answered))).await;
    drop((never_acked, silent));
    engine
        .until("the end of the three calls", async |engine| {
            let calls = engine.metric("strowger_calls_active").await;
            let legs = engine.metric("strowger_media{kind=\"open_legs\"}").await;
            (calls == 1.0 && legs == 1.0).then_some(())
        })
        .await;
    Bystander::visit(&engine, Transport::Udp).await;
    friend.press_and_leave().await;
    nothing_failed(&engine).await;
}

/// INVITEs of a peer that never says anything again; what the first answer to each was.
async fn flood(attacker: &Raw, user: &str, count: usize) -> HashMap<String, usize> {
    let mut first = vec![String::new(); count];
    let mut buffer = vec![0; 65_536];
    let mut answered = 0;
    for id in 0..count {
        attacker.send(attacker.request("INVITE", user, id, 1, "")).await;
        // No faster than the engine answers, so that no kernel drops what is to be counted.
        while answered + 50 < id || (id + 1 == count && answered < count) {
            let next = tokio::time::timeout(Duration::from_secs(20), attacker.socket.recv_from(&mut buffer)).await;
            let Ok(Ok((length, _))) = next else { panic!("{answered} of {id} INVITEs were answered") };
            let text = String::from_utf8_lossy(&buffer[..length]);
            let status = text.split(' ').nth(1).unwrap_or_default();
            let of = text.lines().find_map(|line| line.strip_prefix("Call-ID: ")).and_then(|id| id.rsplit('-').next());
            let Some(of) = of.and_then(|id| first.get_mut(id.parse::<usize>().ok()?)) else { continue };
            if status != "100" && of.is_empty() {
                *of = status.to_owned();
                answered += 1;
            }
        }
    }
    first.into_iter().fold(HashMap::new(), |mut counts, status| {
        *counts.entry(status).or_insert(0) += 1;
        counts
    })
}

#[tokio::test]
async fn ten_thousand_half_open_calls_are_bounded_and_spare_the_others() {
    // Not banned for it: here the bounds of the tables are tried.
    let exempt = "127.0.0.2,127.0.0.3";
    let engine = Engine::start(&["--answer-timeout-seconds", "20", "--log", "error", "--guard-exempt", exempt]);
    menu_for_all(&engine).await;
    // An application that never answers.
    let webhook = Webhook::start().await;
    bounds::subscribe(&engine, "idle", &webhook).await;
    let friend = Bystander::call(&engine, Transport::Udp).await;
    let attacker = Raw::at(ELSEWHERE, &engine).await;
    let counts = flood(&attacker, "idle", 10_000).await;
    // A thousand from one source, or a little more where the first ones' time was up before the last one came.
    let refused = counts.get("503").copied().unwrap_or_default();
    let ringing = counts.get("180").copied().unwrap_or_default();
    assert!(refused + ringing == 10_000 && (1..=3_000).contains(&ringing), "{counts:?}");
    let half_open = engine.metric("strowger_sip_state{kind=\"half_open\"}").await;
    assert!(half_open <= 1_000.0, "{half_open}");
    assert!(engine.metric("strowger_sip_total{kind=\"overloaded\"}").await >= refused as f64);
    Bystander::visit(&engine, Transport::Udp).await;
    // A second attacker takes what was left; the callers who talk go on talking.
    let other = Raw::at(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), &engine).await;
    flood(&other, "idle", 1_200).await;
    friend.press_and_leave().await;
    // Their time is up, and everybody gets through.
    engine
        .until("the end of the half-open calls", async |engine| {
            (engine.metric("strowger_sip_state{kind=\"half_open\"}").await == 0.0).then_some(())
        })
        .await;
    Bystander::visit(&engine, Transport::Udp).await;
    nothing_failed(&engine).await;
}
