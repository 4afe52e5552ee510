//! Our SRTP against two implementations that are not ours: libsrtp, which most phones and gateways are built on, for
//! every suite (by `srtp/libsrtp.py`, packet by packet), and ffmpeg with audio, for the suites that it knows.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use strowger::media::codec::g711::{self, Law};
use strowger::phone::find;
use strowger::random::Random;
use strowger::rtp::packet::{HEADER_LENGTH, Header, Packet, write_header};
use strowger::rtp::srtp::{Inbound, MAX_OVERHEAD, MAX_PACKET, Outbound, SrtpError};
use strowger::session::{SrtpKey, SrtpSuite};
use tokio::net::UdpSocket;

use super::sipp::tool::free_address;
use super::softphone::write;
use crate::support::PATIENCE;

/// libsrtp's words for a tampered packet and for one that came before.
const AUTHENTICATION: &str = "error 7";
const REPLAY: &str = "error 9";

/// libsrtp with one key both ways.
struct Libsrtp {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Libsrtp {
    fn start(key: &SrtpKey) -> Libsrtp {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/srtp/libsrtp.py");
        let mut command = Command::new("python3");
        command
            .arg(script)
            .args([key.suite().name(), &hex(key.material())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().expect("python3, which tests/run.sh installs");
        let (input, output) = (process.stdin.take().expect("piped"), process.stdout.take().expect("piped"));
        Libsrtp { process, input, output: BufReader::new(output) }
    }

    fn ask(&mut self, what: &str, packet: &[u8]) -> Result<Vec<u8>, String> {
        writeln!(self.input, "{what} {}", hex(packet)).expect("libsrtp.py reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("libsrtp.py answers");
        let line = line.trim();
        assert!(!line.is_empty(), "libsrtp.py ended: is libsrtp2-1 there, which tests/run.sh installs?");
        if line.starts_with("error") {
            return Err(line.to_owned());
        }
        let digit = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).expect("hexadecimal");
        Ok((0..line.len()).step_by(2).map(digit).collect())
    }
}

impl Drop for Libsrtp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(suite: SrtpSuite, random: &mut Random) -> SrtpKey {
    let material: Vec<u8> = (0..suite.material_length()).map(|_| random.u32() as u8).collect();
    SrtpKey::new(suite, &material, None).expect("its length")
}

/// RTP, now and then with CSRCs and an extension.
fn plain(sequence: u16, ssrc: u32, random: &mut Random) -> Vec<u8> {
    let mut head = [0; HEADER_LENGTH];
    let header = Header { marker: false, payload_type: 0, sequence, timestamp: u32::from(sequence) * 160, ssrc };
    write_header(&header, &mut head);
    let mut packet = head.to_vec();
    if random.below(4) == 0 {
        packet[0] |= 0x12;
        packet.extend([0, 0, 0, 1, 0, 0, 0, 2, 0xBE, 0xDE, 0, 1, 0x10, 0xFF, 0, 0]);
    }
    packet.extend((0..1 + random.below(300)).map(|_| random.u32() as u8));
    packet
}

fn report(ssrc: u32) -> Vec<u8> {
    let mut report = vec![0x80, 201, 0, 1];
    report.extend(ssrc.to_be_bytes());
    report.extend([0x81, 202, 0, 2]);
    report.extend(ssrc.to_be_bytes());
    report.extend([1, 1, b'x', 0]);
    report
}

fn sealed(outbound: &mut Outbound, plain: &[u8], rtcp: bool) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + MAX_OVERHEAD, 0);
    let length = match rtcp {
        true => outbound.protect_rtcp(&mut buffer, plain.len()),
        false => outbound.protect_rtp(&mut buffer, plain.len()),
    };
    buffer.truncate(length.expect("protected"));
    buffer
}

#[test]
fn libsrtp_and_we_understand_each_other_in_every_suite() {
    for suite in SrtpSuite::ALL {
        let mut random = Random::from_number(11);
        let key = key(suite, &mut random);
        let mut libsrtp = Libsrtp::start(&key);
        let (mut outbound, mut inbound) =
            (Outbound::new(&key).expect("a key"), Inbound::new(&key, None).expect("a key"));
        let name = suite.name();
        let mut room = [0; MAX_PACKET];
        // Over a rollover, with every seventh packet lost.
        for step in 0..400u16 {
            let sequence = 65_336u16.wrapping_add(step);
            let packet = plain(sequence, 0xCAFE, &mut random);
            let ours = sealed(&mut outbound, &packet, false);
            let theirs = libsrtp.ask("protect", &packet).expect("libsrtp protects");
            assert_eq!(hex(&ours), hex(&theirs), "{name}: the same packet, {sequence}");
            if step % 7 == 3 {
                continue;
            }
            assert_eq!(libsrtp.ask("unprotect", &ours), Ok(packet.clone()), "{name} {sequence}: we send");
            assert_eq!(inbound.unprotect_rtp(&theirs, &mut room), Ok(&packet[..]), "{name} {sequence}: it sends");
            if step % 50 == 10 {
                // Again, and tampered with: both refuse, for the same reason.
                assert_eq!(libsrtp.ask("unprotect", &ours), Err(REPLAY.to_owned()), "{name}");
                assert_eq!(inbound.unprotect_rtp(&theirs, &mut room), Err(SrtpError::Replayed), "{name}");
                let mut other = Outbound::new(&key).expect("a key");
                let mut bad = sealed(&mut other, &plain(sequence, 0xBEEF, &mut random), false);
                let last = bad.len() - 1;
                bad[last] ^= 1;
                assert_eq!(libsrtp.ask("unprotect", &bad), Err(AUTHENTICATION.to_owned()), "{name}");
                assert_eq!(inbound.unprotect_rtp(&bad, &mut room), Err(SrtpError::Authentication), "{name}");
            }
            let packet = report(0xCAFE);
            let ours = sealed(&mut outbound, &packet, true);
            assert_eq!(libsrtp.ask("unprotect_rtcp", &ours), Ok(packet.clone()), "{name}: our RTCP");
            let theirs = libsrtp.ask("protect_rtcp", &packet).expect("libsrtp protects");
            assert_eq!(inbound.unprotect_rtcp(&theirs, &mut room), Ok(&packet[..]), "{name}: its RTCP");
        }
    }
}

/// The suites of ffmpeg 5.1.
const FFMPEG: [SrtpSuite; 2] = [SrtpSuite::AesCm128HmacSha1_80, SrtpSuite::AesCm128HmacSha1_32];

struct Ffmpeg(Child);

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ffmpeg(arguments: &[&str]) -> Ffmpeg {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]).args(arguments);
    Ffmpeg(command.spawn().expect("ffmpeg, which tests/run.sh installs"))
}

/// Two seconds of noise.
fn noise() -> Vec<i16> {
    let mut random = Random::from_number(3);
    (0..16_000).map(|_| random.below(12_000) as i16 - 6_000).collect()
}

#[tokio::test]
async fn ffmpeg_is_heard_over_srtp() {
    for suite in FFMPEG {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("noise.wav");
        write(&file, &noise(), 8_000);
        let key = key(suite, &mut Random::from_number(5));
        let params = base64::engine::general_purpose::STANDARD.encode(key.material());
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let to = format!("srtp://{}?pkt_size=200", socket.local_addr().expect("its address"));
        let file = file.display().to_string();
        let sends = ["-re", "-i", &file, "-c:a", "pcm_mulaw", "-f", "rtp", "-srtp_out_suite", suite.name()];
        let _process = ffmpeg(&[&sends[..], &["-srtp_out_params", &params, &to]].concat());
        let mut inbound = Inbound::new(&key, None).expect("a key");
        let (mut heard, mut bytes, mut room) = (Vec::new(), [0; 2_048], [0; MAX_PACKET]);
        let all = tokio::time::timeout(PATIENCE, async {
            while heard.len() < 15_000 {
                let length = socket.recv(&mut bytes).await.expect("a packet");
                let opened = inbound.unprotect_rtp(&bytes[..length], &mut room).expect("it is ours to open");
                let packet = Packet::parse(opened).expect("RTP");
                heard.extend(packet.payload.iter().map(|byte| g711::decode(Law::Mu, *byte)));
            }
        });
        all.await.expect("two seconds of audio");
        let (likeness, _) = find(&noise(), &heard).expect("something to hear");
        assert!(likeness > 0.95, "{}: {likeness}", suite.name());
    }
}

#[tokio::test]
async fn ffmpeg_hears_us_over_srtp() {
    for suite in FFMPEG {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (description, heard) = (folder.path().join("offer.sdp"), folder.path().join("heard.raw"));
        let key = key(suite, &mut Random::from_number(6));
        let params = base64::engine::general_purpose::STANDARD.encode(key.material());
        let address = free_address();
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/SAVP 0\r\n\
             a=crypto:1 {} inline:{params}\r\n",
            address.port(),
            suite.name()
        );
        std::fs::write(&description, text).expect("a file");
        let (from, to) = (description.display().to_string(), heard.display().to_string());
        let mut process = ffmpeg(&[
            "-protocol_whitelist",
            "file,rtp,udp,srtp",
            "-i",
            &from,
            "-t",
            "3",
            "-f",
            "s16le",
            "-ar",
            "8000",
            &to,
        ]);
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let mut outbound = Outbound::new(&key).expect("a key");
        let coded: Vec<u8> = noise().iter().map(|sample| g711::encode(Law::Mu, *sample)).collect();
        // Until it has heard enough; whatever of it comes before it listens is lost.
        let sent = tokio::time::timeout(PATIENCE, async {
            for sequence in 0u16.. {
                let at = usize::from(sequence) * 160 % coded.len();
                let mut head = [0; HEADER_LENGTH];
                let timestamp = u32::from(sequence) * 160;
                write_header(&Header { marker: false, payload_type: 0, sequence, timestamp, ssrc: 9 }, &mut head);
                let packet = sealed(&mut outbound, &[&head[..], &coded[at..at + 160]].concat(), false);
                // Nobody listens there yet: that is told at the next send.
                let _ = socket.send_to(&packet, address).await;
                if process.0.try_wait().expect("its state").is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        sent.await.expect("ffmpeg hears three seconds");
        let bytes = std::fs::read(&heard).expect("what it heard");
        let samples: Vec<i16> = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let (likeness, _) = find(&noise(), &samples).expect("something to hear");
        assert!(likeness > 0.95, "{}: {likeness}", suite.name());
    }
}
