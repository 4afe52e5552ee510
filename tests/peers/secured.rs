//! baresip and linphone with SRTP by SDES (RFC 4568): what they say and play goes encrypted both ways, and what
//! `softphone` measures is the same as without. The keys go over UDP and TCP here, which has to be allowed.

use super::baresip::Baresip;
use super::linphone::Linphone;
use super::sipp::tool::Transport;
use super::softphone::{Caller, Heard, converse_narrow};
use crate::support::Engine;

/// Whoever offers no encryption gets no call.
fn engine() -> Engine {
    Engine::start(&["--codecs", "pcmu,pcma", "--srtp", "required", "--srtp-over-insecure", "true"])
}

fn uri_of(engine: &Engine, transport: Transport) -> String {
    format!("sip:100@{}{}", engine.address(transport.listener()), transport.parameter())
}

fn baresip() -> Baresip {
    Baresip::start_with("PCMU/8000/1", "module srtp.so\n", ";mediaenc=srtp-mand")
}

fn linphone() -> Linphone {
    Linphone::start_with("media_encryption=srtp\nmedia_encryption_mandatory=1\n")
}

pub fn assert_secured(heard: &Heard) {
    let mut agreed = heard.lines.iter().filter(|line| line.starts_with("media agreed: ")).peekable();
    assert!(agreed.peek().is_some() && agreed.all(|line| line.contains(", SRTP ")), "{:#?}", heard.lines);
}

#[tokio::test]
async fn baresip_calls() {
    let engine = engine();
    let caller = Caller::Softphone(uri_of(&engine, Transport::Tcp));
    assert_secured(&converse_narrow(&engine, baresip(), caller).await);
}

#[tokio::test]
async fn baresip_is_called() {
    let (engine, phone) = (engine(), baresip());
    let caller = Caller::Engine(phone.uri(Transport::Udp).await);
    assert_secured(&converse_narrow(&engine, phone, caller).await);
}

#[tokio::test]
async fn linphone_calls() {
    let engine = engine();
    let caller = Caller::Softphone(uri_of(&engine, Transport::Udp));
    assert_secured(&converse_narrow(&engine, linphone(), caller).await);
}

#[tokio::test]
async fn linphone_is_called() {
    let (engine, phone) = (engine(), linphone());
    let caller = Caller::Engine(phone.uri(Transport::Tcp).await);
    assert_secured(&converse_narrow(&engine, phone, caller).await);
}

/// An engine with this suite alone.
fn engine_of(suite: &str) -> Engine {
    let secured = ["--codecs", "pcmu,pcma", "--srtp", "required", "--srtp-over-insecure", "true"];
    Engine::start(&[&secured[..], &["--srtp-suites", suite]].concat())
}

fn assert_suite(heard: &Heard, suite: &str) {
    assert_secured(heard);
    let named = format!(", SRTP {suite}");
    assert!(
        heard.lines.iter().any(|line| line.starts_with("media agreed: ") && line.ends_with(&named)),
        "{:#?}",
        heard.lines
    );
}

/// It answers the suite that it is offered.
async fn baresip_is_called_with(suite: &str) {
    let (engine, phone) = (engine_of(suite), baresip());
    let caller = Caller::Engine(phone.uri(Transport::Udp).await);
    assert_suite(&converse_narrow(&engine, phone, caller).await, suite);
}

#[tokio::test]
async fn baresip_is_called_with_aes_256_gcm() {
    baresip_is_called_with("AEAD_AES_256_GCM").await;
}

#[tokio::test]
async fn baresip_is_called_with_aes_128_gcm() {
    baresip_is_called_with("AEAD_AES_128_GCM").await;
}

#[tokio::test]
async fn baresip_is_called_with_a_tag_of_32_bits() {
    baresip_is_called_with("AES_CM_128_HMAC_SHA1_32").await;
}

/// It offers what its configuration lists; GCM is not among what it has.
async fn linphone_calls_with(suite: &str) {
    let engine = engine_of(suite);
    let lines = format!("media_encryption=srtp\nmedia_encryption_mandatory=1\nsrtp_crypto_suites={suite}\n");
    let caller = Caller::Softphone(uri_of(&engine, Transport::Tcp));
    assert_suite(&converse_narrow(&engine, Linphone::start_with(&lines), caller).await, suite);
}

#[tokio::test]
async fn linphone_calls_with_a_tag_of_32_bits() {
    linphone_calls_with("AES_CM_128_HMAC_SHA1_32").await;
}
