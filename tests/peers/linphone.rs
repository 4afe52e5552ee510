//! linphone, the other softphone that is not ours, calls the engine and is called by it, over UDP and TCP: see
//! `softphone` for what both do. It runs as Debian's console program, with files in the place of a sound card.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::sipp::tool::{Transport, free_address, listening};
use super::softphone::{Caller, Softphone, converse_narrow, read, recorded_keys, write};
use crate::support::{Engine, PATIENCE};

/// linphonec as a process, with its configuration and its files in a folder of its own.
pub struct Linphone {
    process: Child,
    keyboard: ChildStdin,
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Linphone {
    /// Starts one that answers who calls it. Its commands may be typed at once.
    pub fn start() -> Linphone {
        Linphone::start_with("")
    }

    /// The same with further lines in the section `sip` of its configuration.
    pub fn start_with(lines: &str) -> Linphone {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        // It does not start without a place for its database, and does not make it.
        std::fs::create_dir_all(at(".local/share/linphone")).expect("its folder");
        write(&at("keys.wav"), &recorded_keys(), 8_000);
        let address = free_address();
        let port = address.port();
        // Without all three words of 127.0.0.1, it takes the machine's own address into its SDP, IPv6 first.
        let configuration = format!(
            "[sip]\nsip_port={port}\nsip_tcp_port={port}\nsip_tls_port=-1\nguess_hostname=0\nbind_address=127.0.0.1\n\
             use_ipv6=0\n{lines}[net]\nnat_address=127.0.0.1\nfirewall_policy=1\n[rtp]\nbind_address=127.0.0.1\n\
             audio_rtp_port=-1\n"
        );
        std::fs::write(at("rc"), configuration).expect("its configuration");
        let screen = std::fs::File::create(at("screen")).expect("a file");
        let mut command = Command::new("linphonec");
        command.arg("-a").arg("-c").arg(at("rc")).args(["-d", "6", "-l"]).arg(at("log"));
        command.env("HOME", folder.path()).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        command.current_dir(folder.path()).stdin(Stdio::piped());
        command.stderr(screen.try_clone().expect("a file")).stdout(screen);
        let process = command.spawn();
        let mut process = process
            .unwrap_or_else(|error| panic!("linphonec (Debian: linphone-cli), which tests/run.sh installs: {error}"));
        let keyboard = process.stdin.take().expect("its standard input");
        let mut phone = Linphone { process, keyboard, folder, address };
        let recording = phone.folder.path().join("heard.wav");
        phone.type_in(&format!("soundcard use files\nipv6 disable\nrecord {}\n", recording.display()));
        phone
    }

    /// Where it can be called, once it listens there.
    pub async fn uri(&self, transport: Transport) -> String {
        listening(transport, self.address.port()).await;
        format!("sip:linphone@{}{}", self.address, transport.parameter())
    }

    /// Has it register, and call from there on as this identity.
    pub fn register(&mut self, identity: &str, registrar: &str, password: &str) {
        self.type_in(&format!("register {identity} {registrar} {password}\n"));
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("a linphonec that reads");
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Softphone for Linphone {
    fn dial(&mut self, uri: &str) {
        self.type_in(&format!("call {uri}\n"));
    }

    fn press(&mut self, key: char) {
        self.type_in(&format!("{key}\n"));
    }

    fn transfer(&mut self, uri: &str) {
        self.type_in(&format!("transfer {uri}\n"));
    }

    fn play_keys(&mut self) {
        let file = self.folder.path().join("keys.wav");
        self.type_in(&format!("play {}\n", file.display()));
    }

    async fn quit(mut self) -> (Vec<i16>, Vec<char>) {
        self.type_in("quit\n");
        let ended = tokio::time::timeout(PATIENCE, async {
            while self.process.try_wait().expect("its state").is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        ended.await.expect("linphonec ends");
        let screen = self.read("screen");
        let pressed = screen.lines().filter_map(|line| line.split_once("Receiving tone "));
        let keys = pressed.filter_map(|(_, key)| key.chars().next()).collect();
        (read(&self.folder.path().join("heard.wav")), keys)
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("linphone's screen:\n{}\nlog:\n{}", self.read("screen"), self.read("log"));
        }
    }
}

async fn calls(transport: Transport) {
    let engine = Engine::start(&["--codecs", "pcmu,pcma"]);
    let address = engine.address(transport.listener());
    let caller = Caller::Softphone(format!("sip:100@{address}{}", transport.parameter()));
    converse_narrow(&engine, Linphone::start(), caller).await;
}

#[tokio::test]
async fn it_calls_over_udp() {
    calls(Transport::Udp).await;
}

#[tokio::test]
async fn it_calls_over_tcp() {
    calls(Transport::Tcp).await;
}

async fn is_called(transport: Transport) {
    let engine = Engine::start(&["--codecs", "pcmu,pcma"]);
    let phone = Linphone::start();
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
