//! A call's capture file, as tshark reads it.

use std::process::Command;

use serde_json::json;
use strowger::dtmf::{Digit, Way};
use strowger::phone::PhoneConfig;
use strowger::session::SrtpPolicy;
use strowger::sip::peer::Transport;

use super::encrypted::House;
use super::{answering, connected, dial, entry, newest_call, over, phone, phone_with, quiet};
use crate::support::{Client, Engine, Webhook};

const PLACE: &str = "/calling/callConnections";

/// What tshark says of a capture file.
fn tshark(file: &[u8], arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("call.pcapng");
    std::fs::write(&path, file).expect("the file");
    let output = Command::new("tshark").arg("-r").arg(&path).args(arguments).output().expect("tshark");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

async fn file_of(engine: &Engine) -> Vec<u8> {
    let call = newest_call(engine).await;
    engine.bytes(&format!("/v1/calls/{}/pcap", call["id"].as_str().expect("an id"))).await
}

#[tokio::test]
async fn a_capture_shows_the_sip_and_the_rtp_of_a_call() {
    let engine = Engine::start(&["--capture-rtp", "true"]);
    let collect = json!({"maxTones": 1});
    engine.rule(json!({"name": "ask", "priority": 1, "action": {"answer": {"play": ["prompt:welcome"], "collect": collect}}})).await;
    let mut phone = phone().await;
    dial(&engine, &phone, "100").await;
    connected(&mut phone).await;
    let running = tshark(&file_of(&engine).await, &["-q", "-z", "sip,stat"]);
    assert!(running.contains("INVITE"), "a running call has its file, too: {running}");
    phone.press(Digit::Seven, Way::TelephoneEvent).await;
    over(&mut phone).await;
    quiet(&engine).await;
    let file = file_of(&engine).await;

    let sip = tshark(&file, &["-q", "-z", "sip,stat"]);
    for (what, count) in [("INVITE", 1), ("ACK", 1), ("BYE", 1), ("200 OK", 2)] {
        let line = sip.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what} in {sip}"));
        let found = line.split_whitespace().filter_map(|word| word.parse::<u32>().ok()).next_back();
        assert_eq!(found, Some(count), "{line} in {sip}");
    }
    let rtp = tshark(&file, &["-q", "-z", "rtp,streams"]);
    let streams: Vec<&str> = rtp.lines().filter(|line| line.contains("g711")).collect();
    assert_eq!(streams.len(), 2, "both ways: {rtp}");
    assert!(streams.iter().all(|stream| stream.contains("(0.0%)")), "nothing is missing: {rtp}");
    let digits = tshark(&file, &["-Y", "rtpevent", "-T", "fields", "-e", "rtpevent.event_id"]);
    assert!(digits.lines().count() > 0 && digits.lines().all(|digit| digit == "7"), "{digits}");
    let broken = tshark(&file, &["-Y", "_ws.malformed or udp.checksum.status == 0", "-o", "udp.check_checksum:TRUE"]);
    assert_eq!(broken, "");
}

#[tokio::test]
async fn without_being_asked_a_capture_is_sip_alone_and_over_tcp_it_is_a_stream() {
    let engine = Engine::start(&[]);
    engine.rule(answering(&["prompt:beep"])).await;
    let mut phone = phone().await;
    let sip = engine.address("sipTcp");
    phone.dial(&format!("sip:100@{sip};transport=tcp"), sip, Transport::Tcp).await;
    connected(&mut phone).await;
    over(&mut phone).await;
    quiet(&engine).await;
    let file = file_of(&engine).await;
    let methods = tshark(&file, &["-Y", "tcp and sip", "-T", "fields", "-e", "sip.Method", "-e", "sip.Status-Code"]);
    let methods: Vec<&str> = methods.split_whitespace().collect();
    assert_eq!(methods.iter().filter(|m| **m == "INVITE").count(), 1, "{methods:?}");
    assert_eq!(methods.iter().filter(|m| **m == "200").count(), 2, "{methods:?}");
    let odd = tshark(&file, &["-Y", "udp or tcp.analysis.flags or _ws.malformed"]);
    assert_eq!(odd, "", "no RTP, and a stream without holes");
}

#[tokio::test]
async fn an_application_asks_for_a_calls_rtp_and_the_bound_holds() {
    let engine = Engine::start(&["--capture-bytes", "65536"]);
    let mut webhook = Webhook::start().await;
    let mut callee = phone().await;
    let wish = json!({"targets": [{"kind": "unknown", "rawId": callee.uri()}], "callbackUri": webhook.url});
    let (status, refusal) =
        Client::new(&engine).with_header("x-strowger-capture", "everything").request("POST", PLACE, wish.clone()).await;
    assert_eq!((status, &refusal["error"]["target"]), (400, &json!("x-strowger-capture")), "{refusal}");

    let call = Client::new(&engine).with_header("x-strowger-capture", "rtp").call(PLACE, wish).await;
    connected(&mut callee).await;
    webhook.expect("CallConnected").await;
    let id = call.rsplit('/').next().expect("an id");
    let path = format!("/v1/calls/{id}/pcap");
    // 64 KiB are full after some three seconds of both ways.
    entry(&engine, "the RTP capture reached its bound").await;
    callee.hang_up().await;
    over(&mut callee).await;
    quiet(&engine).await;
    let file = engine.bytes(&path).await;
    assert!((65_536..120_000).contains(&file.len()), "{} bytes", file.len());
    let rtp = tshark(&file, &["-q", "-z", "rtp,streams"]);
    assert_eq!(rtp.lines().filter(|line| line.contains("g711")).count(), 2, "{rtp}");
    assert!(rtp.lines().filter(|line| line.contains("g711")).all(|stream| stream.contains("(0.0%)")), "{rtp}");
}

/// Blanked keys are still keys for whoever reads the file: the SDP is read, and nothing is malformed.
#[tokio::test]
async fn the_capture_of_an_encrypted_call_is_read_and_has_no_keys() {
    // A suite whose keys tshark takes apart.
    let suite = ["--srtp-suites", "AES_CM_128_HMAC_SHA1_80"];
    // Over UDP.
    let insecure = ["--srtp", "offered", "--srtp-over-insecure", "true", "--capture-rtp", "true"];
    let engine = Engine::start(&[&insecure[..], &suite].concat());
    engine.rule(answering(&["prompt:beep"])).await;
    let mut phone =
        phone_with(PhoneConfig { srtp: SrtpPolicy::Required, srtp_over_insecure: true, ..PhoneConfig::default() })
            .await;
    dial(&engine, &phone, "100").await;
    connected(&mut phone).await;
    over(&mut phone).await;
    quiet(&engine).await;
    without_keys(&file_of(&engine).await);
    // Over TLS.
    let house = House::start(&[&["--srtp", "required"][..], &suite].concat());
    house.engine.rule(answering(&["prompt:beep"])).await;
    let mut phone = house.phone(SrtpPolicy::Required).await;
    house.dial(&phone).await;
    connected(&mut phone).await;
    over(&mut phone).await;
    quiet(&house.engine).await;
    without_keys(&file_of(&house.engine).await);
}

fn without_keys(file: &[u8]) {
    let odd = tshark(file, &["-Y", "_ws.malformed or (sip and _ws.expert.severity >= 6291456)"]);
    assert_eq!(odd, "", "nothing is malformed, and nothing warned of");
    let fields = [
        "-e",
        "sdp.crypto.crypto_suite",
        "-e",
        "sdp.crypto.master_key",
        "-e",
        "sdp.crypto.master_salt",
        "-e",
        "sdp.media",
    ];
    let told = tshark(file, &[&["-Y", "sdp", "-T", "fields"], &fields[..]].concat());
    let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 2, "an offer and an answer: {told}");
    for line in lines {
        let [suites, keys, salts, media] = line[..] else { panic!("{told}") };
        assert!(suites.contains("AES_CM_128_HMAC_SHA1_80"), "{told}");
        let blank = |bytes: &str| !bytes.is_empty() && bytes.chars().all(|c| matches!(c, '0' | ','));
        assert!(blank(keys) && blank(salts), "{told}");
        assert!(media.contains("RTP/SAVP"), "{told}");
    }
}
