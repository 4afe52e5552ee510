//! sipsak, an administrator's tool: it asks for capabilities, floods, and sends what it has broken, while a call of
//! somebody else goes on.

use std::process::Command;

use super::sipp::tool::{Sipp, Transport};
use super::sipp::{flags, key, only_one, rule_wait};
use crate::support::{Engine, RtpPort};

/// The address that it sends from: not the one of the good call.
const SOURCE: &str = "127.0.0.7";

/// Runs it to its end; what it printed, and its exit code.
async fn sipsak(engine: &Engine, flags: &[&str]) -> (String, Option<i32>) {
    let uri = format!("sip:100@{}", engine.address("sipUdp"));
    let mut command = Command::new("sipsak");
    command.args(flags).args(["--sip-uri", &uri]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread that waits");
    let output = output.unwrap_or_else(|error| panic!("sipsak, which tests/run.sh installs: {error}"));
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.code())
}

#[tokio::test]
async fn it_asks_what_the_engine_can_do() {
    let engine = Engine::start(&[]);
    for transport in ["udp", "tcp"] {
        let (said, code) = sipsak(&engine, &["-vv", "--transport", transport]).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("SIP/2.0 200 OK") && said.contains("Allow: INVITE, ACK,"), "{said}");
    }
}

/// A call that is set up, held, resumed and hung up while this goes on.
async fn beside_a_call(attack: impl AsyncFnOnce(&Engine)) {
    let engine = Engine::start(&[]);
    rule_wait(&engine).await;
    let (mut first, mut second) = (RtpPort::open().await, RtpPort::open().await);
    let keys = [key("rtp_port", first.port()), key("second_port", second.port())];
    let mut sipp = Sipp::call(&engine, "hold", Transport::Udp, &flags(&keys));
    sipp.meanwhile(first.packets(1)).await;
    attack(&engine).await;
    sipp.meanwhile(second.packets(1)).await;
    sipp.succeeds().await;
    only_one(&engine).await.assert_order(&[("media", "RecvOnly"), ("media", "SendRecv"), ("sip", "BYE")]);
}

#[tokio::test]
async fn it_floods_beside_a_call() {
    beside_a_call(async |engine| {
        let flood = ["--flood-mode", "--appendix-end", "5000", "--local-ip", SOURCE];
        let (said, code) = sipsak(engine, &flood).await;
        assert_eq!(code, Some(0), "{said}");
        engine
            .until("a flood", async |engine| {
                (engine.metric("strowger_sip_transport{kind=\"datagrams_received\"}").await > 1_000.0).then_some(())
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn it_sends_broken_requests_beside_a_call() {
    beside_a_call(async |engine| {
        // Each run ends with the first request that is too broken to be answered, after 3 s.
        let runs = [5, 20, 60].map(|broken| async move {
            let broken = broken.to_string();
            let random = ["--random-mode", "--trash-chars", &broken, "--local-ip", SOURCE];
            sipsak(engine, &random).await
        });
        let [a, b, c] = runs;
        let ended = tokio::join!(a, b, c);
        println!("{ended:?}");
        assert!(engine.metric("strowger_sip_total{kind=\"malformed\"}").await >= 1.0);
    })
    .await;
}
