//! baresip, a softphone that is not ours, calls the engine in G.722, Opus and PCMA: its own recording shows what it
//! heard, keys go once each by telephone-event (RFC 4733) either way, and so do those that it plays as tones.

use std::f64::consts::TAU;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::json;
use strowger::media::resample::Resampler;
use strowger::phone::find;
use strowger::prompt::{PromptConfig, Prompts, Source};

use super::audio::KEYS;
use crate::support::{Client, Engine, PATIENCE, Webhook, http_client};

/// Speech that the engine plays first.
const SPEECH: &str = "prompt:please-enter-your-pin";

/// Hz of the tone that it plays next: no 8 kHz codec carries it.
const WIDE: f64 = 5_000.0;

/// Its peak.
const LOUDNESS: f64 = 8_000.0;

/// What is typed on baresip's keypad, and how the engine calls it.
const TYPED: [(&str, &str); 4] = [("4", "four"), ("4", "four"), ("*", "asterisk"), ("#", "pound")];

/// What the engine presses, and how baresip calls it.
const PRESSED: [(&str, char); 3] = [("seven", '7'), ("seven", '7'), ("asterisk", '*')];

/// baresip as a process, with one account and its files in a folder of its own.
struct Baresip {
    process: Child,
    keyboard: ChildStdin,
    folder: tempfile::TempDir,
}

impl Baresip {
    /// Starts one that offers this codec only, and sends silence. Its commands may be typed at once.
    fn start(codec: &str) -> Baresip {
        let (program, modules) = program();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        let (module, rate) = match codec {
            "opus/48000/2" => ("opus", 48_000),
            "G722/16000/1" => ("g722", 16_000),
            _ => ("g711", 8_000),
        };
        // It hangs up when a file that it plays is over: two minutes are more than any test takes. A file of another
        // rate than the codec's it would resample, and not well: high tones come out 18 dB too faint.
        write(&at("silence.wav"), &vec![0; rate as usize * 120], rate);
        write(&at("keys.wav"), &resampled(&recorded_keys(), 8_000, rate), rate);
        let config = format!(
            "net_interface 127.0.0.1\nsip_listen 127.0.0.1:0\nsnd_path {}\naudio_source aufile,{}\nausrc_srate {rate}\n\
             ausrc_channels 1\naudio_player nothing,\nopus_inbandfec yes\nmodule_path {}\nmodule stdio.so\nmodule {module}.so\n\
             module aufile.so\nmodule sndfile.so\nmodule_tmp account.so\nmodule_app menu.so\n",
            folder.path().display(),
            at("silence.wav").display(),
            modules.display(),
        );
        std::fs::write(at("config"), config).expect("its configuration");
        let account = format!("<sip:baresip@127.0.0.1>;regint=0;audio_codecs={codec}\n");
        std::fs::write(at("accounts"), account).expect("its account");
        let log = std::fs::File::create(at("log")).expect("its log");
        let mut command = Command::new(program);
        // With the keys that it hears, and all that it sends and receives in SIP.
        command.args(["-4", "-v", "-s", "-f"]).arg(folder.path()).current_dir(folder.path()).stdin(Stdio::piped());
        command.stderr(log.try_clone().expect("its log")).stdout(log);
        let mut process = command.spawn().expect("baresip");
        let keyboard = process.stdin.take().expect("its standard input");
        Baresip { process, keyboard, folder }
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("a baresip that reads");
    }

    /// Sends the tones of [`KEYS`] in the place of silence, and hangs up after them.
    fn play_keys(&mut self) {
        let file = self.folder.path().join("keys.wav");
        self.type_in(&format!("/ausrc aufile,{}\n", file.display()));
    }

    /// Ends it; what it heard, at 16 kHz, and the keys.
    async fn quit(mut self) -> (Vec<i16>, Vec<char>) {
        self.type_in("/quit\n");
        let ended = tokio::time::timeout(PATIENCE, async {
            while self.process.try_wait().expect("its state").is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        ended.await.expect("baresip ends");
        let files = std::fs::read_dir(self.folder.path()).expect("its folder");
        let recording = files
            .map(|file| file.expect("a file").path())
            .find(|path| path.to_string_lossy().ends_with("dec.wav"))
            .expect("a recording");
        let reader = hound::WavReader::open(recording).expect("its recording");
        let spec = reader.spec();
        let samples: Vec<i16> = reader.into_samples().collect::<Result<_, _>>().expect("samples");
        let left: Vec<i16> = samples.iter().step_by(usize::from(spec.channels)).copied().collect();
        let log = self.log();
        let pressed = log.lines().filter_map(|line| line.strip_suffix("' (end=0)")?.split_once("received event: '"));
        let keys = pressed.filter_map(|(_, key)| key.chars().next()).collect();
        (resampled(&left, spec.sample_rate, 16_000), keys)
    }

    /// What it said so far.
    fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("baresip's log:\n{}", self.log());
        }
    }
}

/// baresip on PATH, and its modules beside it.
fn program() -> (PathBuf, PathBuf) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find_map(|folder| {
        let (program, modules) = (folder.join("baresip"), folder.parent()?.join("lib/baresip/modules"));
        (program.is_file() && modules.is_dir()).then_some((program, modules))
    });
    found.unwrap_or_else(|| panic!("baresip (Debian: baresip-core) is not installed: tests/run.sh does that"))
}

/// What `audio` has the engine listen to.
fn recorded_keys() -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/audio/dtmf-and-speech.wav");
    let reader = hound::WavReader::open(path).expect("the audio file");
    reader.into_samples().collect::<Result<_, _>>().expect("samples")
}

/// A WAV file, mono.
fn write(path: &Path, samples: &[i16], rate: u32) {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec).expect("a WAV file");
    for sample in samples {
        writer.write_sample(*sample).expect("a sample");
    }
    writer.finalize().expect("a WAV file");
}

fn resampled(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to).expect("its rate");
    resampler.push_pcm(samples).expect("samples");
    resampler.finish().expect("samples")
}

/// A prompt of one's own, at 16 kHz: half a second of a tone.
async fn upload_tone(engine: &Engine) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("tone.wav");
    let tone = (0..8_000).map(|at| (LOUDNESS * (TAU * WIDE * f64::from(at) / 16_000.0).sin()) as i16);
    write(&file, &tone.collect::<Vec<_>>(), 16_000);
    let url = format!("http://{}/v1/prompts/tone", engine.address("http"));
    let request = http_client().put(url).bearer_auth(engine.key()).header("content-type", "audio/wav");
    let answer = request.body(std::fs::read(file).expect("the file")).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 201);
}

/// The highest peak of a tone of [`WIDE`] Hz in any tenth of a second of this, at 16 kHz.
fn loudest(heard: &[i16]) -> f64 {
    let peaks = heard.chunks_exact(1_600).map(|window| {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (at, sample) in window.iter().enumerate() {
            let (sine, cosine) = (TAU * WIDE * at as f64 / 16_000.0).sin_cos();
            real += f64::from(*sample) * cosine;
            imaginary += f64::from(*sample) * sine;
        }
        f64::hypot(real, imaginary) * 2.0 / window.len() as f64
    });
    peaks.fold(0.0, f64::max)
}

/// A call from the first prompt to the last key. How like the speech is what baresip heard, and the peak of the tone in
/// it.
async fn call(name: &str, account: &str) -> (f64, f64) {
    let engine = Engine::start(&["--codecs", "opus,g722,pcmu,pcma"]);
    upload_tone(&engine).await;
    let client = Client::new(&engine);
    let mut application = Webhook::subscribed(&engine).await;
    let mut phone = Baresip::start(account);
    phone.type_in(&format!("/dial sip:100@{}\n", engine.address("sipUdp")));

    let incoming = application.expect("IncomingCall").await;
    let answer = json!({"incomingCallContext": incoming["incomingCallContext"], "callbackUri": application.url});
    let call = client.call("/calling/callConnections:answer", answer).await;
    application.expect("CallConnected").await;
    let sources = [SPEECH, "prompt:tone"].map(|uri| json!({"kind": "file", "file": {"uri": uri}}));
    client.post(&format!("{call}:play"), json!({"playSources": sources, "playTo": []})).await;
    application.expect("PlayCompleted").await;

    let listen = json!({"targetParticipant": incoming["from"]});
    client.post(&format!("{call}:startContinuousDtmfRecognition"), listen).await;
    let mut told = Vec::new();
    for (key, tone) in TYPED {
        phone.type_in(key);
        let event = application.expect("ContinuousDtmfRecognitionToneReceived").await;
        assert_eq!(event["tone"], tone, "{event}");
        told.push(tone.to_owned());
    }
    let press = json!({"tones": PRESSED.map(|(tone, _)| tone), "targetParticipant": incoming["from"]});
    client.post(&format!("{call}:sendDtmfTones"), press).await;
    application.expect("SendDtmfTonesCompleted").await;
    // When the file is over it hangs up: so many keys come and no more.
    phone.play_keys();
    loop {
        let event = application.event().await;
        match event["type"].as_str().and_then(|kind| kind.rsplit('.').next()) {
            Some("ContinuousDtmfRecognitionToneReceived") => {
                told.push(event["data"]["tone"].as_str().expect("a tone").to_owned());
                assert_eq!(event["data"]["sequenceId"], told.len(), "{event}");
            }
            Some("CallDisconnected") => break,
            _ => {}
        }
    }

    let id = call.rsplit('/').next().expect("an id");
    let (_, timeline) = engine.request("GET", &format!("/v1/calls/{id}/timeline"), None).await;
    let lines: Vec<&str> =
        timeline["entries"].as_array().expect("entries").iter().filter_map(|entry| entry["text"].as_str()).collect();
    let typed = TYPED.iter().map(|(_, tone)| *tone);
    assert!(told.iter().map(String::as_str).eq(typed.chain(KEYS)), "{told:?} {lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with(&format!("media agreed: {name} "))), "{lines:#?}");
    let count = |way: &str| lines.iter().filter(|line| line.contains(&format!(" pressed, by {way}"))).count();
    assert_eq!((count("telephone-event"), count("in-band")), (TYPED.len(), KEYS.len()), "{lines:#?}");

    let (heard, keys) = phone.quit().await;
    assert_eq!(keys, PRESSED.map(|(_, key)| key), "{lines:#?}");
    let prompts = Prompts::new(PromptConfig::default());
    let clip = prompts.load(&Source::parse(SPEECH).expect("a source")).await.expect("the prompt");
    assert_eq!(clip.rate_hz(), 8_000);
    let (likeness, _) = find(clip.samples(), &resampled(&heard, 16_000, 8_000)).expect("something to hear");
    println!("{name}: likeness {likeness:.3}, tone {:.0}", loudest(&heard));
    (likeness, loudest(&heard))
}

#[tokio::test]
async fn it_calls_in_g722() {
    let (likeness, tone) = call("G722", "G722/16000/1").await;
    assert!(likeness > 0.95, "likeness {likeness}");
    assert!((0.8..1.2).contains(&(tone / LOUDNESS)), "a tone of {WIDE} Hz with a peak of {tone}");
}

#[tokio::test]
async fn it_calls_in_opus() {
    let (likeness, tone) = call("opus", "opus/48000/2").await;
    // Opus keeps what ears need, not the wave itself.
    assert!(likeness > 0.8, "likeness {likeness}");
    assert!((0.5..1.5).contains(&(tone / LOUDNESS)), "a tone of {WIDE} Hz with a peak of {tone}");
}

/// The control: what is narrow arrives narrow.
#[tokio::test]
async fn it_calls_in_pcma() {
    let (likeness, tone) = call("PCMA", "PCMA/8000/1").await;
    assert!(likeness > 0.95, "likeness {likeness}");
    assert!(tone < LOUDNESS * 0.02, "a tone of {WIDE} Hz with a peak of {tone}");
}
