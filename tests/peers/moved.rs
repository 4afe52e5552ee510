//! baresip and linphone with calls that move on: they send the engine on to somebody (REFER), and are sent on by it.

use serde_json::{Value, json};

use super::baresip::Baresip;
use super::linphone::Linphone;
use super::sipp::place;
use super::sipp::tool::{Sipp, Transport};
use super::softphone::Softphone;
use crate::support::{Client, Engine, Webhook};

const FOLLOWS: &[&str] = &["--codecs", "pcmu,pcma", "--follow-transfers", "strangers"];

/// The phone calls the engine and sends it on to SIPp.
async fn sends_us_on(mut phone: impl Softphone) {
    let engine = Engine::start(FOLLOWS);
    let client = Client::new(&engine);
    let mut application = Webhook::subscribed(&engine).await;
    let mut target = Sipp::listen("-sn uas", Transport::Udp, &[]).await;
    phone.dial(&format!("sip:100@{}", engine.address("sipUdp")));
    let incoming = application.expect("IncomingCall").await;
    let wish = json!({"incomingCallContext": incoming["incomingCallContext"], "callbackUri": application.url});
    let call = client.call("/calling/callConnections:answer", wish).await;
    application.expect("CallConnected").await;
    phone.transfer(&target.uri());
    let id = call.rsplit('/').next().expect("an id").to_owned();
    let path = format!("/v1/calls/{id}/timeline");
    // Its NOTIFYs are answered, and it leaves.
    let moved = async |engine: &Engine| {
        let told = engine.request("GET", &path, None).await.1.to_string();
        (told.contains("takes the place of") && told.contains("BYE")).then_some(())
    };
    target.meanwhile(engine.until("the transfer", moved)).await;
    client.post(&format!("{call}:terminate"), Value::Null).await;
    target.meanwhile(application.expect("CallDisconnected")).await;
    target.succeeds().await;
    phone.quit().await;
}

#[tokio::test]
async fn baresip_sends_us_on() {
    sends_us_on(Baresip::start("PCMU/8000/1")).await;
}

#[tokio::test]
async fn linphone_sends_us_on() {
    sends_us_on(Linphone::start()).await;
}

/// The engine calls the phone and sends it on to SIPp.
async fn is_sent_on(phone: impl Softphone, uri: String) {
    let engine = Engine::start(&["--codecs", "pcmu,pcma"]);
    let client = Client::new(&engine);
    let mut target = Sipp::listen("-sn uas", Transport::Udp, &[]).await;
    let (mut application, call) = place(&client, json!({"kind": "unknown", "rawId": uri})).await;
    application.expect("CallConnected").await;
    let wish = json!({"targetParticipant": {"kind": "unknown", "rawId": target.uri()}});
    client.post(&format!("{call}:transferToParticipant"), wish).await;
    target.meanwhile(application.expect("CallTransferAccepted")).await;
    target.meanwhile(application.expect("CallDisconnected")).await;
    // Those two talk, until one hangs up.
    phone.quit().await;
    target.succeeds().await;
}

#[tokio::test]
async fn baresip_is_sent_on() {
    let phone = Baresip::start("PCMU/8000/1");
    let uri = phone.uri(Transport::Udp).await;
    is_sent_on(phone, uri).await;
}

#[tokio::test]
async fn linphone_is_sent_on() {
    let phone = Linphone::start();
    let uri = phone.uri(Transport::Udp).await;
    is_sent_on(phone, uri).await;
}
