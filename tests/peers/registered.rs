//! baresip and linphone register with the engine by digest, call it as users, and are called by it where they
//! registered from: over TCP that is the connection that they opened (RFC 5626), for nobody could open one to them.

use serde_json::json;

use super::baresip::Baresip;
use super::linphone::Linphone;
use super::sipp::tool::Transport;
use super::softphone::{Caller, converse_narrow};
use crate::support::Engine;

/// The user, and the password of his phone.
const USER: &str = "alice";
const PASSWORD: &str = "correct-horse";

/// All that baresip 1.0.0 knows; it gives up where another algorithm is asked for as well.
const MD5: &str = "md5";

/// An engine that knows the user, and asks to prove it with such algorithms.
async fn engine(algorithms: &str) -> Engine {
    let engine = Engine::start(&["--codecs", "pcmu,pcma", "--digest-algorithms", algorithms]);
    let user = json!({"name": USER, "password": PASSWORD});
    let (status, answer) = engine.request("PUT", "/v1/users/alice", Some(user)).await;
    assert!(matches!(status, 200 | 201), "{status}: {answer}");
    engine
}

/// The user's address, with the port and transport of the registrar.
fn address(engine: &Engine, transport: Transport) -> String {
    format!("{}{}", engine.address(transport.listener()), transport.parameter())
}

/// Waits until a phone has registered.
async fn registered(engine: &Engine) {
    let found = async |engine: &Engine| {
        let (_, answer) = engine.request("GET", "/v1/users/alice/registrations", None).await;
        (answer["value"].as_array()?.len() == 1).then_some(())
    };
    engine.until("a registration", found).await;
}

/// Whom the engine calls: the user, wherever he is.
fn user(engine: &Engine) -> Caller {
    Caller::Engine(format!("sip:{USER}@{}", engine.address("sipUdp").ip()))
}

fn baresip(engine: &Engine, transport: Transport) -> Baresip {
    let account = format!(
        "<sip:{USER}@{}>;auth_user={USER};auth_pass={PASSWORD};regint=60;answermode=auto;audio_codecs=PCMU/8000/1\n",
        address(engine, transport)
    );
    Baresip::start_with_account("PCMU/8000/1", &account)
}

fn linphone(engine: &Engine, transport: Transport) -> Linphone {
    let mut phone = Linphone::start();
    let identity = format!("sip:{USER}@{}", engine.address("sipUdp").ip());
    phone.register(&identity, &format!("sip:{}", address(engine, transport)), PASSWORD);
    phone
}

async fn baresip_is_called(transport: Transport) {
    let engine = engine(MD5).await;
    let phone = baresip(&engine, transport);
    registered(&engine).await;
    converse_narrow(&engine, phone, user(&engine)).await;
}

#[tokio::test]
async fn baresip_registers_and_is_called_over_udp() {
    baresip_is_called(Transport::Udp).await;
}

#[tokio::test]
async fn baresip_registers_and_is_called_over_tcp() {
    baresip_is_called(Transport::Tcp).await;
}

async fn linphone_is_called(transport: Transport) {
    let engine = engine("sha-256,md5").await;
    let phone = linphone(&engine, transport);
    registered(&engine).await;
    converse_narrow(&engine, phone, user(&engine)).await;
}

#[tokio::test]
async fn linphone_registers_and_is_called_over_udp() {
    linphone_is_called(Transport::Udp).await;
}

#[tokio::test]
async fn linphone_registers_and_is_called_over_tcp() {
    linphone_is_called(Transport::Tcp).await;
}

/// Who says that he is a user has to prove it for the call, too.
#[tokio::test]
async fn baresip_calls_as_the_user() {
    let engine = engine(MD5).await;
    let phone = baresip(&engine, Transport::Udp);
    registered(&engine).await;
    let caller = Caller::Softphone(format!("sip:100@{}", engine.address("sipUdp")));
    let heard = converse_narrow(&engine, phone, caller).await;
    assert!(heard.lines.iter().any(|line| line.contains(USER)), "{:#?}", heard.lines);
}
