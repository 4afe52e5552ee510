//! baresip, a softphone that is not ours, calls the engine in G.722, Opus and PCMA, and is called by it, over UDP and
//! TCP: see `softphone` for what both do.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::sipp::tool::{Transport, free_address, listening};
use super::softphone::{Caller, LOUDNESS, Softphone, converse, converse_narrow, read, recorded_keys, resampled, write};
use crate::support::{Engine, PATIENCE};

/// Hz of a tone that no 8 kHz codec carries.
const WIDE: f64 = 5_000.0;

/// baresip as a process, with one account and its files in a folder of its own.
pub struct Baresip {
    process: Child,
    keyboard: ChildStdin,
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Baresip {
    /// Starts one that offers this codec only, sends silence, and answers who calls it. Its commands may be typed at
    /// once.
    pub fn start(codec: &str) -> Baresip {
        Baresip::start_with(codec, "", "")
    }

    /// The same with further lines of configuration, and parameters of its account.
    pub fn start_with(codec: &str, lines: &str, parameters: &str) -> Baresip {
        let account = format!("<sip:baresip@127.0.0.1>;regint=0;answermode=auto;audio_codecs={codec}{parameters}\n");
        Baresip::start_as(codec, lines, &account)
    }

    /// The same with an account of its own.
    pub fn start_with_account(codec: &str, account: &str) -> Baresip {
        Baresip::start_as(codec, "", account)
    }

    fn start_as(codec: &str, lines: &str, account: &str) -> Baresip {
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
        let mut keys = resampled(&recorded_keys(), 8_000, rate);
        keys.resize(keys.len() + rate as usize * 60, 0);
        write(&at("keys.wav"), &keys, rate);
        let address = free_address();
        let config = format!(
            "net_interface 127.0.0.1\nsip_listen {address}\nsnd_path {}\naudio_source aufile,{}\nausrc_srate {rate}\n\
             ausrc_channels 1\naudio_player nothing,\nopus_inbandfec yes\nmodule_path {}\nmodule stdio.so\nmodule {module}.so\n\
             module aufile.so\nmodule sndfile.so\n{lines}module_tmp account.so\nmodule_app menu.so\n",
            folder.path().display(),
            at("silence.wav").display(),
            modules.display(),
        );
        std::fs::write(at("config"), config).expect("its configuration");
        std::fs::write(at("accounts"), account).expect("its account");
        let log = std::fs::File::create(at("log")).expect("its log");
        let mut command = Command::new(program);
        // With the keys that it hears, and all that it sends and receives in SIP.
        command.args(["-4", "-v", "-s", "-f"]).arg(folder.path()).current_dir(folder.path()).stdin(Stdio::piped());
        command.stderr(log.try_clone().expect("its log")).stdout(log);
        let mut process = command.spawn().expect("baresip");
        let keyboard = process.stdin.take().expect("its standard input");
        Baresip { process, keyboard, folder, address }
    }

    /// Where it can be called, once it listens there.
    pub async fn uri(&self, transport: Transport) -> String {
        listening(transport, self.address.port()).await;
        format!("sip:baresip@{}{}", self.address, transport.parameter())
    }

    /// Where it can be called over TLS, once it listens there: on the next port.
    pub async fn secure_uri(&self) -> String {
        let port = self.address.port() + 1;
        listening(Transport::Tcp, port).await;
        format!("sip:baresip@127.0.0.1:{port};transport=tls")
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("a baresip that reads");
    }

    /// What it said so far.
    fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Softphone for Baresip {
    fn dial(&mut self, uri: &str) {
        self.type_in(&format!("/dial {uri}\n"));
    }

    fn press(&mut self, key: char) {
        self.type_in(&key.to_string());
    }

    fn transfer(&mut self, uri: &str) {
        self.type_in(&format!("/transfer {uri}\n"));
    }

    /// It hangs up a minute after them.
    fn play_keys(&mut self) {
        let file = self.folder.path().join("keys.wav");
        self.type_in(&format!("/ausrc aufile,{}\n", file.display()));
    }

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
        let log = self.log();
        let pressed = log.lines().filter_map(|line| line.strip_suffix("' (end=0)")?.split_once("received event: '"));
        let keys = pressed.filter_map(|(_, key)| key.chars().next()).collect();
        (read(&recording), keys)
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

/// It calls in this codec; how like the speech is what it heard, and the peak of the tone of [`WIDE`] Hz in it.
async fn calls_in(name: &str, account: &str) -> (f64, f64) {
    let engine = Engine::start(&["--codecs", "opus,g722,pcmu,pcma"]);
    let caller = Caller::Softphone(format!("sip:100@{}", engine.address("sipUdp")));
    let heard = converse(&engine, Baresip::start(account), caller, WIDE).await;
    let agreed = format!("media agreed: {name} ");
    assert!(heard.lines.iter().any(|line| line.starts_with(&agreed)), "{:#?}", heard.lines);
    (heard.likeness, heard.tone)
}

#[tokio::test]
async fn it_calls_in_g722() {
    let (likeness, tone) = calls_in("G722", "G722/16000/1").await;
    assert!(likeness > 0.95, "likeness {likeness}");
    assert!((0.8..1.2).contains(&(tone / LOUDNESS)), "a tone of {WIDE} Hz with a peak of {tone}");
}

#[tokio::test]
async fn it_calls_in_opus() {
    let (likeness, tone) = calls_in("opus", "opus/48000/2").await;
    // Opus keeps what ears need, not the wave itself.
    assert!(likeness > 0.8, "likeness {likeness}");
    assert!((0.5..1.5).contains(&(tone / LOUDNESS)), "a tone of {WIDE} Hz with a peak of {tone}");
}

/// The control: what is narrow arrives narrow.
#[tokio::test]
async fn it_calls_in_pcma() {
    let (likeness, tone) = calls_in("PCMA", "PCMA/8000/1").await;
    assert!(likeness > 0.95, "likeness {likeness}");
    assert!(tone < LOUDNESS * 0.02, "a tone of {WIDE} Hz with a peak of {tone}");
}

#[tokio::test]
async fn it_calls_over_tcp() {
    let engine = Engine::start(&[]);
    let caller = Caller::Softphone(format!("sip:100@{};transport=tcp", engine.address("sipTcp")));
    converse_narrow(&engine, Baresip::start("PCMU/8000/1"), caller).await;
}

async fn is_called(transport: Transport) {
    let engine = Engine::start(&[]);
    let phone = Baresip::start("PCMU/8000/1");
    let caller = Caller::Engine(phone.uri(transport).await);
    converse_narrow(&engine, phone, caller).await;
}

#[tokio::test]
async fn it_is_called_over_udp() {
    is_called(Transport::Udp).await;
}

#[tokio::test]
async fn it_is_called_over_tcp() {
    is_called(Transport::Tcp).await;
}
