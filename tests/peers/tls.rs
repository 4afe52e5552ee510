//! baresip and linphone over TLS with SRTP, as they would be used: each checks the engine's certificate, and the engine
//! checks baresip's where it calls it.

use std::path::Path;

use serde_json::json;

use super::baresip::Baresip;
use super::linphone::Linphone;
use super::secured::assert_secured;
use super::softphone::{Caller, converse_narrow};
use crate::support::{Carrier, Engine, Manner};

/// Whoever offers no encryption gets no call.
const SECURED: [&str; 4] = ["--codecs", "pcmu,pcma", "--srtp", "required"];

fn uri_of(engine: &Engine) -> String {
    format!("sip:100@{};transport=tls", engine.sip_address("tls"))
}

/// The authority that signed the engine's certificate.
fn authority(engine: &Engine) -> String {
    engine.data().join("ca.pem").display().to_string()
}

#[tokio::test]
async fn baresip_calls() {
    let engine = Engine::start(&SECURED);
    let lines = format!("module srtp.so\nsip_cafile {}\n", authority(&engine));
    let phone = Baresip::start_with("PCMU/8000/1", &lines, ";mediaenc=srtp-mand");
    assert_secured(&converse_narrow(&engine, phone, Caller::Softphone(uri_of(&engine))).await);
}

/// A carrier proves who it is by its certificate; all others are asked for credentials.
#[tokio::test]
async fn baresip_calls_as_a_trunk_that_its_certificate_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (both, alone) = certificate(folder.path(), "sbc.carrier.example");
    let asked = ["--authenticate", "all", "--sip-tls-clients", "asked", "--sip-tls-client-ca", &alone];
    let engine = Engine::start(&[&SECURED[..], &asked].concat());
    let trunk = json!({"uri": "sip:192.0.2.77", "certificateNames": ["sbc.carrier.example"]});
    let (status, answer) = engine.request("PUT", "/v1/trunks/sbc", Some(trunk)).await;
    assert!(matches!(status, 200 | 201), "{status}: {answer}");
    let stranger = Carrier::start(Manner::default()).await;
    assert_eq!(stranger.call(engine.address("sipUdp"), "sip:100@h", "sip:+331@c", "sip:100@h").await, 407);
    let lines = format!("module srtp.so\nsip_cafile {}\nsip_certificate {both}\n", authority(&engine));
    let phone = Baresip::start_with("PCMU/8000/1", &lines, ";mediaenc=srtp-mand");
    assert_secured(&converse_narrow(&engine, phone, Caller::Softphone(uri_of(&engine))).await);
}

/// A certificate for a name or address that nobody signed but itself: the file with its key, and the one without.
fn certificate(folder: &Path, name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let (both, alone) = (folder.join("both.pem"), folder.join("alone.pem"));
    let (key, certificate) = (made.signing_key.serialize_pem(), made.cert.pem());
    std::fs::write(&both, format!("{key}{certificate}")).expect("a file");
    std::fs::write(&alone, certificate).expect("a file");
    (both.display().to_string(), alone.display().to_string())
}

#[tokio::test]
async fn baresip_is_called() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (both, alone) = certificate(folder.path(), "127.0.0.1");
    let engine = Engine::start(&[&SECURED[..], &["--sip-tls-ca", &alone]].concat());
    let lines = format!("module srtp.so\nsip_certificate {both}\n");
    let phone = Baresip::start_with("PCMU/8000/1", &lines, ";mediaenc=srtp-mand");
    let caller = Caller::Engine(phone.secure_uri().await);
    assert_secured(&converse_narrow(&engine, phone, caller).await);
}

/// It knows names only, no addresses, in a certificate.
fn named(engine: &Engine) -> String {
    format!("localhost:{};transport=tls", engine.sip_address("tls").port())
}

fn linphone(engine: &Engine) -> Linphone {
    Linphone::start_with(&format!(
        "media_encryption=srtp\nmedia_encryption_mandatory=1\nverify_server_certs=1\nverify_server_cn=1\nroot_ca={}\n",
        authority(engine)
    ))
}

#[tokio::test]
async fn linphone_calls() {
    let engine = Engine::start(&SECURED);
    let caller = Caller::Softphone(format!("sip:100@{}", named(&engine)));
    assert_secured(&converse_narrow(&engine, linphone(&engine), caller).await);
}

/// Nobody can connect to it: it is called on the connection that it registered by.
#[tokio::test]
async fn linphone_registers_and_is_called() {
    // The user's own word counts, not the setting.
    let engine = Engine::start(&["--codecs", "pcmu,pcma", "--srtp", "off"]);
    let user = json!({"name": "alice", "password": "correct-horse", "srtp": "required"});
    let (status, answer) = engine.request("PUT", "/v1/users/alice", Some(user)).await;
    assert!(matches!(status, 200 | 201), "{status}: {answer}");
    let mut phone = linphone(&engine);
    phone.register("sip:alice@127.0.0.1", &format!("sip:{}", named(&engine)), "correct-horse");
    let registered = async |engine: &Engine| {
        let (_, answer) = engine.request("GET", "/v1/users/alice/registrations", None).await;
        (answer["value"].as_array()?.len() == 1).then_some(())
    };
    engine.until("a registration", registered).await;
    assert_secured(&converse_narrow(&engine, phone, Caller::Engine("sip:alice@127.0.0.1".to_owned())).await);
}
