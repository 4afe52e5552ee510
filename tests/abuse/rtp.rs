//! On a call's own ports: packets from somebody else.

use serde_json::json;
use strowger::rtp::packet::{HEADER_LENGTH, Header, write_header};

use super::*;
use crate::support::{Client, Webhook};

fn packet(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut fixed = [0; HEADER_LENGTH];
    write_header(&header, &mut fixed);
    [&fixed[..], payload].concat()
}

/// What a stranger may send: sound presses of nine, sound audio, a goodbye, and rubbish.
async fn attack(from: &UdpSocket, port: u16) {
    let rtp = SocketAddr::new(HERE, port);
    let rtcp = SocketAddr::new(HERE, port + 1);
    let mut header = Header { marker: true, payload_type: 101, sequence: 1, timestamp: 160, ssrc: 0xBAD };
    for press in 0..10_u32 {
        header.timestamp = 160 + press * 3_200;
        for update in 1..=6_u8 {
            header.marker = update == 1;
            header.sequence += 1;
            let end = if update > 3 { 0x8A } else { 0x0A };
            from.send_to(&packet(header, &[9, end, update, 0]), rtp).await.expect("loopback takes it");
        }
    }
    let audio = Header { payload_type: 0, marker: false, ..header };
    for number in 0..100 {
        let header = Header { sequence: header.sequence + number, timestamp: u32::from(number) * 160, ..audio };
        from.send_to(&packet(header, &[0x2A; 160]), rtp).await.expect("loopback takes it");
    }
    let goodbye = [[0x80, 201, 0, 1, 0, 0, 0xB, 0xAD], [0x81, 203, 0, 1, 0, 0, 0xB, 0xAD]].concat();
    let breaks_others = [0x90, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xBE, 0xDE, 0, 1, 0x1F, 1, 2, 3];
    for _ in 0..20 {
        from.send_to(&goodbye, rtcp).await.expect("loopback takes it");
        from.send_to(&goodbye, rtp).await.expect("loopback takes it");
        for rubbish in [&breaks_others[..], &[], &[0x80], &[0xFF; 1_400], &[0; 60_000]] {
            from.send_to(rubbish, rtp).await.expect("loopback takes it");
            from.send_to(rubbish, rtcp).await.expect("loopback takes it");
        }
    }
}

#[tokio::test]
async fn strangers_on_a_calls_ports_are_not_heard() {
    let engine = Engine::start(&[]);
    let mut webhook = Webhook::start().await;
    let client = Client::new(&engine);
    let mut callee = phone(HERE).await;
    let target = json!([{"kind": "unknown", "rawId": callee.uri()}]);
    let wish = json!({"targets": target, "callbackUri": webhook.url});
    let call = client.call("/calling/callConnections", wish).await;
    assert_eq!(outcome(&mut callee).await, Ok(()));
    webhook.expect("CallConnected").await;
    let id = call.rsplit('/').next().expect("an id");
    on_timeline(&engine, id, "the lock onto the phone", |entry| {
        entry["text"].as_str().is_some_and(|text| text.contains("first RTP"))
    })
    .await;
    // The port stands in the SDP of the engine's own INVITE.
    let sent = on_timeline(&engine, id, "the INVITE", |entry| {
        entry["text"].as_str().is_some_and(|text| text.starts_with("INVITE")) && entry["detail"].is_string()
    })
    .await;
    let sdp = sent["detail"].as_str().expect("the message").split("m=audio ").nth(1).expect("audio");
    let port: u16 = sdp.split(' ').next().expect("a port").parse().expect("a port");

    let recognise = json!({
        "recognizeInputType": "dtmf",
        "recognizeOptions": {
            "targetParticipant": {"kind": "unknown", "rawId": callee.uri()},
            "initialSilenceTimeoutInSeconds": 60,
            "dtmfOptions": {"maxTonesToCollect": 2, "interToneTimeoutInSeconds": 60},
        },
    });
    client.post(&format!("{call}:recognize"), recognise).await;
    for ip in [ELSEWHERE, HERE] {
        let stranger = UdpSocket::bind((ip, 0)).await.expect("a port");
        attack(&stranger, port).await;
        callee.press(if ip == HERE { Digit::Six } else { Digit::Five }, Way::TelephoneEvent).await;
        let pressed = callee.wait(PATIENCE, |event| (event == PhoneEvent::Pressed).then_some(()));
        pressed.await.expect("the key was sent");
        attack(&stranger, port).await;
    }
    let completed = webhook.expect("RecognizeCompleted").await;
    assert_eq!(completed["dtmfResult"]["tones"], json!(["five", "six"]), "{completed}");
    let strangers = engine.metric("strowger_media{kind=\"strangers\"}").await;
    assert!(strangers > 0.0, "they are counted");
    client.post(&format!("{call}:terminate"), Value::Null).await;
    webhook.expect("CallDisconnected").await;
    nothing_failed(&engine).await;
}
