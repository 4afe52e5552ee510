//! Incoming calls that go on to users: all of a user's devices ring, early media reaches the caller before the answer,
//! and telephones that are not ours talk with each other through the engine.

use std::net::SocketAddr;

use serde_json::json;
use strowger::media::codec::g711::{self, Law};

use strowger::phone::find;

use super::audio::KEYS;
use super::baresip::Baresip;
use super::linphone::Linphone;
use super::sipp::tool::{Sipp, Transport, free_address};
use super::sipp::{flags, key, only_one};
use super::softphone::{Softphone, recorded_keys, resampled};
use crate::support::{Engine, Packet, RtpPort};

/// What the callee says, over and over: an octet of PCMU.
const SAID: u8 = 0x9a;

/// An engine with the user alice, and a rule that sends every call on to her number; `otherwise`: what is done when she
/// is not to be had.
async fn engine(otherwise: Option<serde_json::Value>) -> Engine {
    engine_with(&[], otherwise).await
}

async fn engine_with(flags: &[&str], otherwise: Option<serde_json::Value>) -> Engine {
    let engine = Engine::start(&[&["--digest-algorithms", "md5"], flags].concat());
    let user = json!({"name": "alice", "password": "wonder", "numbers": ["7001"]});
    let (status, answer) = engine.request("POST", "/v1/users", Some(user)).await;
    assert_eq!(status, 201, "{answer}");
    let mut rule = json!({"name": "alice", "priority": 1, "action": {"forward": {"to": "7001"}}});
    if let Some(action) = otherwise {
        rule["onFailure"] = action;
    }
    engine.rule(rule).await;
    engine
}

/// Registers a device that will be at this address.
async fn register(engine: &Engine, address: SocketAddr) {
    let to = engine.address(Transport::Udp.listener());
    Sipp::call_from(address, to, "register", Transport::Udp, &[]).succeeds().await;
}

#[tokio::test]
async fn all_devices_ring_and_the_first_that_answers_has_the_call() {
    let engine = engine(None).await;
    let (answers, rings) = (free_address(), free_address());
    register(&engine, answers).await;
    register(&engine, rings).await;
    let winner = Sipp::listen_at(answers, "-sn uas", Transport::Udp, &[]).await;
    let loser = Sipp::listen_at(rings, "rings-in-vain", Transport::Udp, &[]).await;
    let caller = Sipp::call(&engine, "-sn uac", Transport::Udp, &["-d", "500"]);
    loser.succeeds().await;
    caller.succeeds().await;
    winner.succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("rule", "forward"),
        ("state", "being forwarded"),
        ("sip", "user alice is rung on 2 registered devices"),
        ("state", "being answered"),
        ("state", "connected"),
        ("sip", "BYE"),
        ("sip", "BYE"),
    ]);
}

#[tokio::test]
async fn where_nobody_answers_the_rule_says_what_is_done() {
    let engine = engine(Some(json!({"answer": {"play": ["prompt:thank-you"]}}))).await;
    let address = free_address();
    register(&engine, address).await;
    let callee = Sipp::listen_at(address, "busy", Transport::Udp, &[]).await;
    let ear = RtpPort::open().await;
    let caller = Sipp::call(&engine, "answer", Transport::Udp, &flags(&[key("rtp_port", ear.port())]));
    callee.succeeds().await;
    caller.succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("sip", "486 Busy Here"),
        ("sip", "is not reached: 486"),
        ("rule", "on failure, answer"),
        ("state", "connected"),
        ("sip", "BYE"),
    ]);
}

#[tokio::test]
async fn a_caller_who_wants_to_be_private_is_not_shown() {
    let engine = engine(None).await;
    let address = free_address();
    register(&engine, address).await;
    for (caller, shown) in [("busy-caller", "sip:+15551230009@"), ("private-caller", "sip:anonymous@anonymous.invalid")]
    {
        let callee = Sipp::listen_at(address, "busy", Transport::Udp, &[]).await;
        Sipp::call(&engine, caller, Transport::Udp, &[]).succeeds().await;
        let messages = callee.succeeds().await;
        assert!(messages.contains(shown), "{messages}");
        assert_eq!(messages.contains("+15551230009"), caller == "busy-caller", "{messages}");
    }
}

#[tokio::test]
async fn who_proves_to_be_a_user_is_shown_as_that_user() {
    let engine = engine_with(&["--authenticate", "all"], None).await;
    let address = free_address();
    register(&engine, address).await;
    let callee = Sipp::listen_at(address, "busy", Transport::Udp, &[]).await;
    // SIPp leaves the user out of the URI that it proves, unless it is told.
    let uri = format!("100@{}", engine.address("sipUdp"));
    Sipp::call(&engine, "spoofing-caller", Transport::Udp, &["-auth_uri", &uri]).succeeds().await;
    let messages = callee.succeeds().await;
    assert!(messages.contains("<sip:alice@") && !messages.contains("+442071111111"), "{messages}");
    only_one(&engine).await.assert_order(&[("sip", "whatever sip:+442071111111@far.example says")]);
}

#[tokio::test]
async fn without_a_device_the_caller_is_told() {
    let engine = engine(None).await;
    let from = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let caller = Sipp::call_from(from, engine.address("sipUdp"), "unavailable-caller", Transport::Udp, &[]);
    caller.succeeds().await;
    only_one(&engine).await.assert_order(&[("sip", "is not reached: 480"), ("state", "ended")]);
}

#[tokio::test]
async fn a_callee_sends_the_caller_on() {
    let engine = engine(None).await;
    let address = free_address();
    register(&engine, address).await;
    let target = Sipp::listen("-sn uas", Transport::Udp, &[]).await;
    let uri = target.uri();
    let phone = Sipp::listen_at(address, "refer-callee", Transport::Udp, &["-key", "target", &uri]).await;
    let caller = Sipp::call(&engine, "-sn uac", Transport::Udp, &["-d", "8000"]);
    // The telephone has hung up, and the caller talks on with whom it named, until he has had enough.
    phone.succeeds().await;
    caller.succeeds().await;
    target.succeeds().await;
    only_one(&engine).await.assert_order(&[
        ("sip", "7001: refers us to"),
        ("sip", "takes the place of 7001"),
        ("state", "being released"),
    ]);
}

#[tokio::test]
async fn early_media_reaches_the_caller() {
    let engine = engine(None).await;
    let address = free_address();
    register(&engine, address).await;
    let (mut ear, mut voice) = (RtpPort::open().await, RtpPort::open().await);
    let callee =
        Sipp::listen_at(address, "early-callee", Transport::Udp, &flags(&[key("rtp_port", voice.port())])).await;
    let mut caller = Sipp::call(&engine, "early-caller", Transport::Tcp, &flags(&[key("rtp_port", ear.port())]));
    // What the callee says in PCMU is heard in PCMA; nobody has answered, and nobody will.
    let loud = g711::encode(Law::A, g711::decode(Law::Mu, SAID));
    let heard = async {
        voice.packets(1).await;
        tokio::join!(
            voice.say(0, &[SAID; 160 * 100]),
            ear.until("what is said", |heard| {
                let is_loud = |packet: &&Packet| packet.payload_type == 8 && packet.first == loud;
                (heard.iter().filter(is_loud).count() >= 5).then_some(())
            }),
        )
    };
    caller.meanwhile(heard).await;
    caller.succeeds().await;
    callee.succeeds().await;
    let call = only_one(&engine).await;
    call.assert_order(&[
        ("sip", "183 Session Progress"),
        ("sip", "early media"),
        ("sip", "CANCEL"),
        ("state", "ended"),
    ]);
    assert!(call.record["connectedAt"].is_null());
}

/// A telephone calls the engine, which calls alice's for it: what is played and pressed at each end is heard at the other.
async fn telephones_talk(engine: &Engine, mut caller: impl Softphone, mut callee: impl Softphone, dialled: &str) {
    caller.dial(dialled);
    let id = engine.until("a call", async |engine| {
        let (_, calls) = engine.request("GET", "/v1/calls", None).await;
        let call = calls["value"].as_array()?.first()?.clone();
        (call["callState"] == "connected" || call["connectedAt"].is_string())
            .then(|| call["id"].as_str().map(str::to_owned))?
    });
    let timeline = format!("/v1/calls/{}/timeline", id.await);
    let pressed = async |count: usize, way: &str, whose: &str| {
        engine
            .until(&format!("{count} keys of {whose} by {way}"), async |engine| {
                let (_, timeline) = engine.request("GET", &timeline, None).await;
                let entries = timeline["entries"].as_array()?;
                let is = |text: &str| {
                    text.ends_with(&format!("pressed, by {way}")) && text.starts_with("7001: ") == (whose == "callee")
                };
                (entries.iter().filter(|entry| is(entry["text"].as_str().unwrap_or_default())).count() >= count)
                    .then_some(())
            })
            .await;
    };
    caller.press('4');
    pressed(1, "telephone-event", "caller").await;
    callee.press('7');
    pressed(1, "telephone-event", "callee").await;
    callee.play_keys();
    pressed(KEYS.len(), "in-band", "callee").await;
    caller.play_keys();
    pressed(KEYS.len(), "in-band", "caller").await;
    let ((caller_heard, caller_keys), (callee_heard, callee_keys)) = tokio::join!(caller.quit(), callee.quit());
    assert_eq!((caller_keys, callee_keys), (vec!['7'], vec!['4']));
    for (who, heard) in [("caller", caller_heard), ("callee", callee_heard)] {
        let (likeness, _) = find(&recorded_keys(), &resampled(&heard, 16_000, 8_000)).expect("something to hear");
        println!("the {who} heard with a likeness of {likeness:.3}");
        // Two jitter buffers on a busy machine stretch it, which costs likeness; noise has below 0.3.
        assert!(likeness > 0.7, "the {who} heard something else: {likeness}");
    }
}

async fn registered(engine: &Engine) {
    let found = async |engine: &Engine| {
        let (_, answer) = engine.request("GET", "/v1/users/alice/registrations", None).await;
        (answer["value"].as_array()?.len() == 1).then_some(())
    };
    engine.until("a registration", found).await;
}

fn registering(engine: &Engine, transport: Transport, codec: &str) -> Baresip {
    let (address, transport) = (engine.address(transport.listener()), transport.parameter());
    let account = format!(
        "<sip:alice@{address}{transport}>;auth_user=alice;auth_pass=wonder;regint=60;answermode=auto;audio_codecs={codec}\n"
    );
    Baresip::start_with_account(codec, &account)
}

#[tokio::test]
async fn baresip_talks_with_baresip_in_other_codecs_over_other_transports() {
    let engine = engine(None).await;
    let callee = registering(&engine, Transport::Tcp, "PCMA/8000/1");
    registered(&engine).await;
    let dialled = format!("sip:100@{}", engine.address("sipUdp"));
    // Somebody of our own domain would have to prove it.
    let account = "<sip:bob@elsewhere.example>;regint=0;audio_codecs=G722/16000/1\n";
    telephones_talk(&engine, Baresip::start_with_account("G722/16000/1", account), callee, &dialled).await;
}

#[tokio::test]
async fn linphone_talks_with_baresip() {
    let engine = engine(None).await;
    let callee = registering(&engine, Transport::Udp, "PCMU/8000/1");
    registered(&engine).await;
    let dialled = format!("sip:100@{};transport=tcp", engine.address("sipTcp"));
    telephones_talk(&engine, Linphone::start(), callee, &dialled).await;
}
