//! What every softphone goes through with the engine, whoever calls: speech and a tone that it must hear, keys by
//! telephone-event (RFC 4733) either way, and keys that it plays as tones.

use std::f64::consts::TAU;
use std::path::Path;

use serde_json::{Value, json};
use strowger::media::resample::Resampler;
use strowger::phone::find;
use strowger::prompt::{PromptConfig, Prompts, Source};

use super::audio::KEYS;
use super::sipp::place;
use crate::support::{Client, Engine, Webhook, http_client};

/// Speech that the engine plays first.
const SPEECH: &str = "prompt:please-enter-your-pin";

/// The peak of the tone that it plays next.
pub const LOUDNESS: f64 = 8_000.0;

/// Hz of that tone where the codec is narrow.
pub const NARROW: f64 = 1_000.0;

/// What is typed on the softphone's keypad, and how the engine calls it.
const TYPED: [(char, &str); 4] = [('4', "four"), ('4', "four"), ('*', "asterisk"), ('#', "pound")];

/// What the engine presses, and how the softphone calls it.
const PRESSED: [(&str, char); 3] = [("seven", '7'), ("seven", '7'), ("asterisk", '*')];

/// A softphone as a process.
pub trait Softphone {
    /// Calls this SIP URI.
    fn dial(&mut self, uri: &str);
    /// Presses a key.
    fn press(&mut self, key: char);
    /// Sends who it talks to on to this address.
    fn transfer(&mut self, uri: &str);
    /// Sends the tones of [`KEYS`], from [`recorded_keys`], in the place of silence.
    fn play_keys(&mut self);
    /// Ends it; what it heard, at 16 kHz, and the keys.
    fn quit(self) -> impl Future<Output = (Vec<i16>, Vec<char>)>;
}

/// Who calls.
pub enum Caller {
    /// The softphone calls this URI.
    Softphone(String),
    /// The engine calls this URI.
    Engine(String),
}

/// How a call went.
pub struct Heard {
    /// How like the engine's speech is what the softphone heard; 1: the same.
    pub likeness: f64,
    /// The peak of the tone in it.
    pub tone: f64,
    /// The call's timeline.
    pub lines: Vec<String>,
}

/// A call from the first prompt to the last key; the tone has so many Hz.
pub async fn converse(engine: &Engine, mut phone: impl Softphone, caller: Caller, hz: f64) -> Heard {
    upload_tone(engine, hz).await;
    let client = Client::new(engine);
    let (mut application, call, target) = match caller {
        Caller::Softphone(uri) => {
            let mut application = Webhook::subscribed(engine).await;
            phone.dial(&uri);
            let incoming = application.expect("IncomingCall").await;
            let context = &incoming["incomingCallContext"];
            let answer = json!({"incomingCallContext": context, "callbackUri": application.url});
            let call = client.call("/calling/callConnections:answer", answer).await;
            (application, call, incoming["from"].clone())
        }
        Caller::Engine(uri) => {
            let target = json!({"kind": "unknown", "rawId": uri});
            let (application, call) = place(&client, target.clone()).await;
            (application, call, target)
        }
    };
    application.expect("CallConnected").await;
    let sources = [SPEECH, "prompt:tone"].map(|uri| json!({"kind": "file", "file": {"uri": uri}}));
    client.post(&format!("{call}:play"), json!({"playSources": sources, "playTo": []})).await;
    application.expect("PlayCompleted").await;

    client.post(&format!("{call}:startContinuousDtmfRecognition"), json!({"targetParticipant": target})).await;
    let mut told = Vec::new();
    for (key, tone) in TYPED {
        phone.press(key);
        let event = application.expect("ContinuousDtmfRecognitionToneReceived").await;
        assert_eq!(event["tone"], tone, "{event}");
        told.push(tone.to_owned());
    }
    let press = json!({"tones": PRESSED.map(|(tone, _)| tone), "targetParticipant": target});
    client.post(&format!("{call}:sendDtmfTones"), press).await;
    application.expect("SendDtmfTonesCompleted").await;
    phone.play_keys();
    while told.len() < TYPED.len() + KEYS.len() {
        let event = application.expect("ContinuousDtmfRecognitionToneReceived").await;
        told.push(event["tone"].as_str().expect("a tone").to_owned());
        assert_eq!(event["sequenceId"], told.len(), "{event}");
    }
    // A softphone may hang up by itself when what it plays is over.
    client.request("POST", &format!("{call}:terminate"), Value::Null).await;
    application.expect("CallDisconnected").await;

    let id = call.rsplit('/').next().expect("an id");
    let (_, timeline) = engine.request("GET", &format!("/v1/calls/{id}/timeline"), None).await;
    let entries = timeline["entries"].as_array().expect("entries").iter();
    let lines: Vec<String> = entries.filter_map(|entry| entry["text"].as_str()).map(str::to_owned).collect();
    let typed = TYPED.iter().map(|(_, tone)| *tone);
    assert!(told.iter().map(String::as_str).eq(typed.chain(KEYS)), "{told:?} {lines:#?}");
    let count = |way: &str| lines.iter().filter(|line| line.contains(&format!(" pressed, by {way}"))).count();
    assert_eq!((count("telephone-event"), count("in-band")), (TYPED.len(), KEYS.len()), "{lines:#?}");

    let (heard, keys) = phone.quit().await;
    assert_eq!(keys, PRESSED.map(|(_, key)| key), "{lines:#?}");
    let prompts = Prompts::new(PromptConfig::default());
    let clip = prompts.load(&Source::parse(SPEECH).expect("a source")).await.expect("the prompt");
    assert_eq!(clip.rate_hz(), 8_000);
    let (likeness, _) = find(clip.samples(), &resampled(&heard, 16_000, 8_000)).expect("something to hear");
    let tone = loudest(&heard, hz);
    println!("likeness {likeness:.3}, tone {tone:.0}");
    Heard { likeness, tone, lines }
}

/// The same in a narrow codec, of which nothing may be missing.
pub async fn converse_narrow(engine: &Engine, phone: impl Softphone, caller: Caller) -> Heard {
    let heard = converse(engine, phone, caller, NARROW).await;
    assert!(heard.likeness > 0.95, "likeness {} {:#?}", heard.likeness, heard.lines);
    assert!((0.8..1.2).contains(&(heard.tone / LOUDNESS)), "a tone with a peak of {}", heard.tone);
    heard
}

/// What [`KEYS`] sound like, with speech between them, at 8 kHz.
pub fn recorded_keys() -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/audio/dtmf-and-speech.wav");
    let reader = hound::WavReader::open(path).expect("the audio file");
    reader.into_samples().collect::<Result<_, _>>().expect("samples")
}

/// A WAV file, mono.
pub fn write(path: &Path, samples: &[i16], rate: u32) {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec).expect("a WAV file");
    for sample in samples {
        writer.write_sample(*sample).expect("a sample");
    }
    writer.finalize().expect("a WAV file");
}

/// A softphone's recording, at 16 kHz; of two channels the left one.
pub fn read(path: &Path) -> Vec<i16> {
    let reader = hound::WavReader::open(path).expect("its recording");
    let spec = reader.spec();
    // linphone's header tells of more than there is.
    let samples: Vec<i16> = reader.into_samples().map_while(Result::ok).collect();
    let left: Vec<i16> = samples.iter().step_by(usize::from(spec.channels)).copied().collect();
    resampled(&left, spec.sample_rate, 16_000)
}

/// The same sound at another rate.
pub fn resampled(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to).expect("its rate");
    resampler.push_pcm(samples).expect("samples");
    resampler.finish().expect("samples")
}

/// A prompt of one's own, at 16 kHz: half a second of a tone.
async fn upload_tone(engine: &Engine, hz: f64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("tone.wav");
    let tone = (0..8_000).map(|at| (LOUDNESS * (TAU * hz * f64::from(at) / 16_000.0).sin()) as i16);
    write(&file, &tone.collect::<Vec<_>>(), 16_000);
    let url = format!("http://{}/v1/prompts/tone", engine.address("http"));
    let request = http_client().put(url).bearer_auth(engine.key()).header("content-type", "audio/wav");
    let answer = request.body(std::fs::read(file).expect("the file")).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 201);
}

/// The highest peak of a tone of so many Hz in any tenth of a second of this, at 16 kHz.
fn loudest(heard: &[i16], hz: f64) -> f64 {
    let peaks = heard.chunks_exact(1_600).map(|window| {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (at, sample) in window.iter().enumerate() {
            let (sine, cosine) = (TAU * hz * at as f64 / 16_000.0).sin_cos();
            real += f64::from(*sample) * cosine;
            imaginary += f64::from(*sample) * sine;
        }
        f64::hypot(real, imaginary) * 2.0 / window.len() as f64
    });
    peaks.fold(0.0, f64::max)
}
