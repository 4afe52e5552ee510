//! SRTP between the whole engine and the built-in telephone, over TLS: each suite, each policy of the engine, of a
//! trunk and of a user, and that no key goes over UDP without leave.

use std::path::Path;

use serde_json::{Value, json};
use strowger::dtmf::{Digit, Way};
use strowger::phone::{Phone, PhoneConfig, PhoneEvent};
use strowger::session::{SrtpPolicy, SrtpSuite};
use strowger::sip::leg::Credentials;
use strowger::sip::peer::Transport;
use strowger::sip::transport::tls::TlsSettings;

use super::{answering, clip, connected, entry, failure, newest_call, over, phone_with, quiet, share_heard, timeline};
use crate::support::{Client, Engine, PATIENCE, Webhook};
use SrtpPolicy::{Off, Offered, Required};

/// A certificate for 127.0.0.1 that nobody signed but itself, and its key, in this folder.
fn certificate(folder: &Path) -> TlsSettings {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (chain, key) = (folder.join("telephone.pem"), folder.join("telephone.key"));
    std::fs::write(&chain, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    TlsSettings { chain: vec![chain], key, ..TlsSettings::default() }
}

/// An engine that trusts our telephones, and their certificate.
pub(super) struct House {
    pub engine: Engine,
    tls: TlsSettings,
    _folder: tempfile::TempDir,
}

impl House {
    pub fn start(flags: &[&str]) -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let tls = certificate(folder.path());
        let trusted = tls.chain.first().expect("a file").display().to_string();
        let engine = Engine::start(&[&["--codecs", "pcmu,pcma", "--sip-tls-ca", &trusted], flags].concat());
        let tls = TlsSettings { roots: Some(engine.data().join("ca.pem")), ..tls };
        House { engine, tls, _folder: folder }
    }

    fn config(&self, srtp: SrtpPolicy) -> PhoneConfig {
        PhoneConfig { srtp, tls: Some(self.tls.clone()), ..PhoneConfig::default() }
    }

    pub async fn phone(&self, srtp: SrtpPolicy) -> Phone {
        phone_with(self.config(srtp)).await
    }

    pub async fn dial(&self, phone: &Phone) {
        let sip = self.engine.sip_address("tls");
        phone.dial(&format!("sip:100@{sip};transport=tls"), sip, Transport::Tls).await;
    }

    /// How the newest call's audio goes, once it is agreed on.
    async fn agreed(&self) -> String {
        entry(&self.engine, "media agreed: ").await["text"].as_str().expect("a text").to_owned()
    }

    /// Is called, or refused; whether encrypted.
    async fn call(&self, phone: &mut Phone) -> Result<bool, u16> {
        self.dial(phone).await;
        let answered = phone.wait(PATIENCE, |event| match event {
            PhoneEvent::Connected => Some(Ok(())),
            PhoneEvent::Failed(status, _) => Some(Err(status)),
            _ => None,
        });
        answered.await.expect("an answer")?;
        let secure = self.agreed().await.contains(", SRTP ");
        let (_, heard) = over(phone).await;
        assert!(share_heard(clip("prompt:goodbye").await.samples(), &heard) > 0.5, "the goodbye was heard");
        quiet(&self.engine).await;
        Ok(secure)
    }

    /// The engine calls this; whether encrypted.
    async fn calls(&self, phone: &mut Phone, target: Value) -> bool {
        let mut webhook = Webhook::start().await;
        let wish = json!({"targets": [target], "callbackUri": webhook.url});
        Client::new(&self.engine).call("/calling/callConnections", wish).await;
        connected(phone).await;
        webhook.expect("CallConnected").await;
        let secure = self.agreed().await.contains(", SRTP ");
        phone.press(Digit::Five, Way::TelephoneEvent).await;
        entry(&self.engine, "5 pressed, by telephone-event").await;
        phone.hang_up().await;
        over(phone).await;
        webhook.expect("CallDisconnected").await;
        quiet(&self.engine).await;
        secure
    }
}

async fn goodbye(engine: &Engine) {
    engine.rule(answering(&["prompt:goodbye"])).await;
}

fn address(uri: &str) -> Value {
    json!({"kind": "unknown", "rawId": uri})
}

#[tokio::test]
async fn each_suite_carries_a_whole_call_over_tls_whoever_calls() {
    let house = House::start(&["--srtp", "required"]);
    goodbye(&house.engine).await;
    for suite in SrtpSuite::ALL {
        let config = PhoneConfig { srtp_suites: vec![suite], ..house.config(Required) };
        let mut phone = phone_with(config).await;
        assert_eq!(house.call(&mut phone).await, Ok(true), "{suite:?}");
        let agreed = house.agreed().await;
        assert!(agreed.ends_with(&format!(", SRTP {}", suite.name())), "{agreed}");
        let uri = phone.secure_uri().expect("it speaks TLS");
        assert!(house.calls(&mut phone, address(&uri)).await, "{suite:?}");
        let agreed = house.agreed().await;
        assert!(agreed.ends_with(&format!(", SRTP {}", suite.name())), "{agreed}");
    }
}

#[tokio::test]
async fn the_engines_suites_are_a_setting() {
    let house = House::start(&["--srtp", "required", "--srtp-suites", "aes_cm_128_hmac_sha1_80,AEAD_AES_128_GCM"]);
    goodbye(&house.engine).await;
    for (theirs, taken) in [
        (vec![SrtpSuite::AeadAes256Gcm, SrtpSuite::AeadAes128Gcm], Some("AEAD_AES_128_GCM")),
        (vec![SrtpSuite::AesCm128HmacSha1_32, SrtpSuite::AesCm128HmacSha1_80], Some("AES_CM_128_HMAC_SHA1_80")),
        (vec![SrtpSuite::AesCm128HmacSha1_32, SrtpSuite::AeadAes256Gcm], None),
    ] {
        let mut phone = phone_with(PhoneConfig { srtp_suites: theirs, ..house.config(Required) }).await;
        let found = house.call(&mut phone).await;
        assert_eq!(found, taken.map(|_| true).ok_or(488));
        if let Some(suite) = taken {
            assert!(house.agreed().await.ends_with(suite));
        }
    }
}

#[tokio::test]
async fn each_pair_of_policies_has_its_call_or_none() {
    for (ours, table) in [
        ("off", [(Off, Ok(false)), (Offered, Ok(false)), (Required, Err(488))]),
        ("offered", [(Off, Ok(false)), (Offered, Ok(true)), (Required, Ok(true))]),
        ("required", [(Off, Err(488)), (Offered, Ok(true)), (Required, Ok(true))]),
    ] {
        let house = House::start(&["--srtp", ours]);
        goodbye(&house.engine).await;
        for (theirs, expected) in table {
            let mut phone = house.phone(theirs).await;
            assert_eq!(house.call(&mut phone).await, expected, "the engine {ours}, the telephone {theirs:?}");
        }
    }
}

/// The keys of SDES would be read by whoever is on the way.
#[tokio::test]
async fn srtp_is_not_agreed_over_udp_without_leave() {
    for (leave, expected) in [("false", [Ok(false), Err(488)]), ("true", [Ok(true), Ok(true)])] {
        let engine = Engine::start(&["--srtp", "offered", "--srtp-over-insecure", leave]);
        goodbye(&engine).await;
        for (policy, expected) in [Offered, Required].into_iter().zip(expected) {
            let config = PhoneConfig { srtp: policy, srtp_over_insecure: true, ..PhoneConfig::default() };
            let mut phone = phone_with(config).await;
            super::dial(&engine, &phone, "100").await;
            if let Err(status) = expected {
                assert_eq!(failure(&mut phone).await, status, "leave {leave}, the telephone {policy:?}");
                continue;
            }
            connected(&mut phone).await;
            over(&mut phone).await;
            quiet(&engine).await;
            let told = timeline(&engine, &newest_call(&engine).await).await;
            let texts = told.iter().filter_map(|entry| entry["text"].as_str());
            let secure = texts.filter(|text| text.starts_with("media agreed: ")).all(|text| text.contains(", SRTP "));
            assert_eq!(Ok(secure), expected, "leave {leave}, the telephone {policy:?}");
        }
    }
}

/// A trunk's and a user's own word counts, `off` too; without one, the engine's.
#[tokio::test]
async fn trunks_and_users_say_otherwise_than_the_setting() {
    for (setting, table) in [
        ("offered", [(None, Offered, Ok(true)), (Some("off"), Offered, Ok(false)), (Some("off"), Required, Err(488))]),
        ("off", [(None, Offered, Ok(false)), (Some("offered"), Offered, Ok(true)), (Some("required"), Off, Err(488))]),
    ] {
        for (word, theirs, expected) in table {
            let name = format!("setting {setting}, own word {word:?}, the telephone {theirs:?}");
            let house = House::start(&["--srtp", setting]);
            goodbye(&house.engine).await;
            let put = async |path: &str, mut document: Value| {
                if let Some(word) = word {
                    document["srtp"] = json!(word);
                }
                let (status, answer) = house.engine.request("PUT", path, Some(document)).await;
                assert!(matches!(status, 200 | 201), "{status}: {answer}");
            };
            // From a user.
            put("/v1/users/alice", json!({"name": "alice", "password": "wonder"})).await;
            let credentials = Credentials { user: "alice".into(), password: "wonder".into() };
            let config = PhoneConfig { credentials: Some(credentials), ..house.config(theirs) };
            let mut phone = phone_with(config).await;
            assert_eq!(house.call(&mut phone).await, expected, "from a user: {name}");
            // To a trunk, which is the telephone.
            let uri = phone.secure_uri().expect("it speaks TLS").replace("phone@", "");
            put("/v1/trunks/carrier", json!({"name": "carrier", "proxies": [{"uri": uri}]})).await;
            if let Ok(secure) = expected {
                let target = json!({"kind": "phoneNumber", "phoneNumber": {"value": "+442079460000"}});
                assert_eq!(house.calls(&mut phone, target).await, secure, "to a trunk: {name}");
            }
            // And from it.
            let mut phone = house.phone(theirs).await;
            assert_eq!(house.call(&mut phone).await, expected, "from a trunk: {name}");
        }
    }
}
