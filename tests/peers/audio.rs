//! In-band digits from a real audio file through G.711: a caller plays what another tool made, the engine collects.
//! The file is made by sox (`tests/data/audio/make.sh`); speech without digits is that of the prompts we ship.

use std::path::Path;

use serde_json::{Value, json};
use strowger::media::Clip;
use strowger::prompt::{PromptConfig, Prompts, Source};
use strowger::session::Codec;

use super::sipp::tool::{Sipp, Transport};
use crate::support::{Client, Engine, RtpPort, Webhook};

/// The keys in `dtmf-and-speech.wav`.
pub const KEYS: [&str; 17] = [
    "one", "nine", "seven", "three", "zero", "zero", "five", "two", "four", "eight", "six", "asterisk", "a", "b", "c",
    "d", "pound",
];

/// The key that ends a test, by RFC 4733; not the last one of the file, or it could be taken for its echo.
const LAST: u8 = 9;

/// A caller plays this, the application has every key reported. The keys that it was told of, and the timeline's lines
/// about keys.
async fn hear(codec: Codec, samples: &[i16]) -> (Vec<String>, Vec<String>) {
    let (name, payload_type) = match codec {
        Codec::Pcmu => ("pcmu", 0),
        Codec::Pcma => ("pcma", 8),
        other => panic!("no capture for {}", other.encoding_name()),
    };
    // The engine takes but this codec, whatever the caller prefers.
    let engine = Engine::start(&["--codecs", name]);
    let client = Client::new(&engine);
    let mut application = Webhook::subscribed(&engine).await;
    let mut rtp = RtpPort::open().await;
    let port = rtp.port().to_string();
    let mut sipp = Sipp::call(&engine, "answer", Transport::Udp, &["-key", "rtp_port", &port]);
    let incoming = sipp.meanwhile(application.expect("IncomingCall")).await;
    let context = &incoming["incomingCallContext"];
    let answer = json!({"incomingCallContext": context, "callbackUri": application.url});
    let call = client.call("/calling/callConnections:answer", answer).await;
    sipp.meanwhile(application.expect("CallConnected")).await;
    let listen = json!({"targetParticipant": incoming["from"]});
    client.post(&format!("{call}:startContinuousDtmfRecognition"), listen).await;

    rtp.packets(1).await;
    // Then silence, for longer than the jitter buffer is deep: telephone events do not wait in it.
    let mut samples = samples.to_vec();
    samples.resize(samples.len() + 4_000, 0);
    rtp.say(payload_type, Clip::new(samples).encoded(codec)).await;
    rtp.press(101, LAST).await;

    let id = call.rsplit('/').next().expect("an id");
    let mut told = Vec::new();
    loop {
        let tone = application.expect("ContinuousDtmfRecognitionToneReceived").await;
        told.push(tone["tone"].as_str().expect("a tone").to_owned());
        assert_eq!(tone["sequenceId"], told.len(), "{tone}");
        let (_, timeline) = engine.request("GET", &format!("/v1/calls/{id}/timeline"), None).await;
        let lines = keys(&timeline);
        let pressed = lines.iter().filter(|line| line.contains(" pressed, by ")).count();
        if told.len() == pressed && lines.iter().any(|line| line.contains("by telephone-event")) {
            client.post(&format!("{call}:terminate"), Value::Null).await;
            sipp.succeeds().await;
            told.pop();
            return (told, lines);
        }
    }
}

fn keys(timeline: &Value) -> Vec<String> {
    let entries = timeline["entries"].as_array().expect("entries").iter();
    let keys = entries.filter(|entry| entry["kind"] == "dtmf");
    keys.filter_map(|entry| entry["text"].as_str()).map(str::to_owned).collect()
}

async fn every_key_once(codec: Codec) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/audio/dtmf-and-speech.wav");
    let reader = hound::WavReader::open(&path).expect("the audio file");
    let spec = reader.spec();
    assert_eq!((spec.sample_rate, spec.channels, spec.bits_per_sample), (8000, 1, 16));
    let samples: Vec<i16> = reader.into_samples().collect::<Result<_, _>>().expect("samples");
    let (told, lines) = hear(codec, &samples).await;
    assert_eq!(told, KEYS, "{lines:#?}");
    let in_band = lines.iter().filter(|line| line.contains("pressed, by in-band")).count();
    assert_eq!(in_band, KEYS.len(), "{lines:#?}");
}

#[tokio::test]
async fn keys_in_an_audio_file_are_heard_through_pcmu() {
    every_key_once(Codec::Pcmu).await;
}

#[tokio::test]
async fn keys_in_an_audio_file_are_heard_through_pcma() {
    every_key_once(Codec::Pcma).await;
}

/// Ten seconds of speech.
const SPEECH: [&str; 4] = [
    "prompt:technical-difficulties",
    "prompt:press-1-for-yes-2-for-no",
    "prompt:transferring",
    "prompt:too-many-attempts",
];

async fn no_key(codec: Codec) {
    let prompts = Prompts::new(PromptConfig::default());
    let mut speech = Vec::new();
    for prompt in SPEECH {
        let source = Source::parse(prompt).expect("a source");
        speech.extend_from_slice(prompts.load(&source).await.expect(prompt).samples());
    }
    let (told, lines) = hear(codec, &speech).await;
    assert!(told.is_empty(), "{lines:#?}");
}

#[tokio::test]
async fn speech_is_no_key_through_pcmu() {
    no_key(Codec::Pcmu).await;
}

#[tokio::test]
async fn speech_is_no_key_through_pcma() {
    no_key(Codec::Pcma).await;
}
