//! What the media threads cost and how punctual they are, sockets included.
//!
//! - `cargo bench --bench lane -- frames [LEGS [FRAMES]]`: the whole work of a leg for a frame (a packet received,
//!   buffered, decoded, listened to for tones; a prompt's packet sent; RTCP, statistics) on a clock turned by hand, so
//!   that every run does the same. CPU time beside the floor, a bare send and receive on as many sockets, in turns in
//!   one run; p25 and median of the ratios.
//! - `valgrind --tool=callgrind --toggle-collect='*SteppedLane*run*' BINARY count LEGS FRAMES`: the same without a
//!   clock; instructions (user space only), which repeat exactly.
//! - `cargo bench --bench lane -- bridged [LEGS [FRAMES]]`: the same work of legs that talk in pairs, by the codecs of
//!   the two, beside the same legs that only listen. CPU time, median.
//! - `cargo bench --bench lane -- pacing [LEGS [SECONDS]]`: |arrival gap − timestamp step| of a running media thread's
//!   packets beside those of a bare thread that only sleeps to the same grid, in the same run. Arrivals are the
//!   kernel's stamps, which on loopback are taken inside the sender's call: they show its pacing and not the reader's.

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::socket::{CmsgIterator, ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Socket, Type};
use strowger::media::codec::{Encoder, MAX_FRAME_BYTES};
use strowger::media::worker::{EventSink, MediaConfig, MediaPlane, SteppedLane};
use strowger::media::{Clip, FRAME, FRAME_MS, FRAME_SAMPLES, MediaCommand, MediaEvent, PlayId};
use strowger::random::Random;
use strowger::rtp::packet::{HEADER_LENGTH, Header, Packet, write_header};
use strowger::session::{Codec, LegId, NegotiatedMedia};
use strowger::time::Time;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let number = |at: usize, default: u64| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    match words.first().map(String::as_str) {
        Some("pacing") => pacing(number(1, 1_000), number(2, 10)),
        Some("bridged") => bridged(number(1, 200), number(2, 200)),
        // Without words all benches run: a short one then.
        Some("count") => frames(number(1, 50), number(2, 200), || 0),
        Some("frames") => frames(number(1, 1_000), number(2, 400), cpu),
        _ => frames(200, 100, cpu),
    }
}

/// A sink that keeps events, and where they are kept.
fn events() -> (EventSink, Receiver<MediaEvent>) {
    let (sender, events) = channel();
    (Box::new(move |event| drop(sender.send(event))), events)
}

fn config() -> MediaConfig {
    MediaConfig { threads: 1, ports: 0..=0, rtp_timeout: Duration::ZERO, ..MediaConfig::default() }
}

fn media(peer: u16) -> NegotiatedMedia {
    let peer = SocketAddr::from(([127, 0, 0, 1], peer));
    NegotiatedMedia { remote_rtcp: peer, ..NegotiatedMedia::plain(peer) }
}

fn prompt() -> Arc<Clip> {
    let sound = |n: usize| {
        let t = n as f64 / 8_000.0 * std::f64::consts::TAU;
        ([130.0, 260.0, 390.0, 1_210.0, 2_400.0].iter().map(|f| (t * f).sin()).sum::<f64>() * 3_000.0) as i16
    };
    Arc::new(Clip::new((0..80_000).map(sound).collect::<Vec<_>>()))
}

fn socket() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_nonblocking(true).expect("a mode");
    let port = socket.local_addr().expect("an address").port();
    (socket, port)
}

/// CPU time of this thread in nanoseconds.
fn cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The sorted list's value below which this share of it lies.
fn share<T: Copy>(sorted: &[T], share: f64) -> T {
    *sorted.get((sorted.len() as f64 * share) as usize).or(sorted.last()).expect("a value")
}

struct Far {
    socket: UdpSocket,
    leg: SocketAddr,
}

/// The packet that each peer sends in its turn: speech-like sound, the worst case for a detector with a gate.
fn packet(bytes: &mut [u8; HEADER_LENGTH + FRAME_SAMPLES], sequence: u16) {
    let (head, _) = bytes.split_first_chunk_mut().expect("a header's room");
    let timestamp = u32::from(sequence).wrapping_mul(FRAME_SAMPLES as u32);
    write_header(&Header { marker: false, payload_type: 0, sequence, timestamp, ssrc: 9 }, head);
}

fn frames(legs: u64, frames: u64, cpu: fn() -> u64) {
    let (sink, events) = events();
    let started = Time::EPOCH + Duration::from_secs(1_700_000_000);
    let mut lane = SteppedLane::new(config(), Random::from_number(1), sink, started).expect("a lane");
    let clip = prompt();
    let mut peers = Vec::new();
    for leg in (0..legs).map(LegId) {
        let (socket, port) = socket();
        lane.command(MediaCommand::Open { leg, beside: None });
        let opened = events.try_iter().find_map(|event| match event {
            MediaEvent::Opened { port, .. } => Some(port),
            _ => None,
        });
        lane.command(MediaCommand::Connect { leg, media: media(port) });
        lane.command(MediaCommand::Play { leg, play: PlayId(1), clips: vec![Arc::clone(&clip)], repeat: true });
        let opened = opened.expect("a port");
        peers.push(Far { socket, leg: SocketAddr::from(([127, 0, 0, 1], opened)) });
    }
    // The floor: as many sockets, each reading one packet and sending one.
    let near: Vec<(UdpSocket, u16)> = peers.iter().map(|_| socket()).collect();
    for (near, far) in near.iter().zip(&peers) {
        near.0.connect(far.socket.local_addr().expect("an address")).expect("a peer");
    }
    let mut bytes = [0; HEADER_LENGTH + FRAME_SAMPLES];
    let mut noise = 1_u32;
    let mut buffer = [0; 2_048];
    let mut drain = |peers: &[Far]| peers.iter().for_each(|peer| while peer.socket.recv(&mut buffer).is_ok() {});
    let mut kept = Vec::new();
    let mut floor_buffer = [0; 2_048];
    for frame in 0..frames + 100 {
        for byte in &mut bytes[HEADER_LENGTH..] {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Loud and quiet by turns.
            *byte = ((noise >> 24) as u8 & 0x9F) | if frame % 40 < 30 { 0 } else { 0x60 };
        }
        packet(&mut bytes, frame as u16);
        for peer in &peers {
            peer.socket.send_to(&bytes, peer.leg).expect("a packet sent");
        }
        let before = cpu();
        lane.run(FRAME_MS);
        let work = cpu() - before;
        drain(&peers);
        for (peer, near) in peers.iter().zip(&near) {
            peer.socket.send_to(&bytes, SocketAddr::from(([127, 0, 0, 1], near.1))).expect("a packet sent");
        }
        let before = cpu();
        for (near, _) in &near {
            near.recv(&mut floor_buffer).expect("a packet");
            near.send(&bytes).expect("a packet sent");
        }
        let floor = cpu() - before;
        drain(&peers);
        if frame >= 100 {
            kept.push((work as f64 / legs as f64, floor as f64 / legs as f64));
        }
    }
    let counters = lane.counters();
    let sorted = |of: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = kept.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (work, floor, ratio) = (sorted(|k| k.0), sorted(|k| k.1), sorted(|k| k.0 / k.1));
    println!("{legs} legs, {} ticks, {} received, {} sent", counters.ticks, counters.rtp_received, counters.rtp_sent);
    for (name, values) in [("a leg's frame", &work), ("the floor", &floor)] {
        println!("{name:14} p25 {:7.0} ns  median {:7.0} ns", share(values, 0.25), share(values, 0.5));
    }
    println!("ratio          p25 {:7.2}     median {:7.2}", share(&ratio, 0.25), share(&ratio, 0.5));
}

/// Legs in pairs of these codecs, first side by side, then bridged.
fn bridged(legs: u64, frames: u64) {
    use Codec::{G722, Opus, Pcma, Pcmu};
    println!("{legs} legs; ns of a leg's frame, listening only and bridged");
    for codecs in [(Pcmu, Pcmu), (Pcmu, Pcma), (Pcmu, G722), (G722, G722), (Pcmu, Opus), (Opus, Opus)] {
        let [alone, talking] = [false, true].map(|talk| bridged_frame(legs / 2, frames, codecs, talk));
        println!("{:5} - {:5} {alone:8.0} {talking:8.0}", codecs.0.encoding_name(), codecs.1.encoding_name());
    }
}

fn bridged_frame(pairs: u64, frames: u64, (near, far): (Codec, Codec), talk: bool) -> f64 {
    let (sink, events) = events();
    let started = Time::EPOCH + Duration::from_secs(1_700_000_000);
    let mut lane = SteppedLane::new(config(), Random::from_number(1), sink, started).expect("a lane");
    let sound = |codec: Codec| {
        let clip = Clip::at_rate(prompt().samples().to_vec(), codec.sample_rate());
        let mut encoder = Encoder::new(codec);
        let mut bytes = [0; MAX_FRAME_BYTES];
        let frames = clip.samples().chunks_exact(encoder.frame_samples()).take(100);
        let encoded = frames.map(|frame| {
            let length = encoder.encode(frame, &mut bytes).expect("a frame");
            bytes[..length].to_vec()
        });
        encoded.collect::<Vec<_>>()
    };
    let sounds = [(near, sound(near)), (far, sound(far))];
    let mut peers = Vec::new();
    for leg in 0..pairs * 2 {
        let (socket, port) = socket();
        let (codec, sound) = &sounds[leg as usize % 2];
        let leg = LegId(leg);
        lane.command(MediaCommand::Open { leg, beside: None });
        let opened = events.try_iter().find_map(|event| match event {
            MediaEvent::Opened { port, .. } => Some(port),
            _ => None,
        });
        let receive_payload_types = vec![(96, *codec)];
        let media = NegotiatedMedia { codec: *codec, send_payload_type: 96, receive_payload_types, ..media(port) };
        lane.command(MediaCommand::Connect { leg, media });
        if talk && leg.0 % 2 == 1 {
            lane.command(MediaCommand::Bridge { leg, with: Some(LegId(leg.0 - 1)) });
        }
        let opened = opened.expect("a port");
        peers.push((Far { socket, leg: SocketAddr::from(([127, 0, 0, 1], opened)) }, codec.clock_rate() / 50, sound));
    }
    let mut kept = Vec::new();
    let mut bytes = [0; HEADER_LENGTH + MAX_FRAME_BYTES];
    for frame in 0..frames + 50 {
        for (peer, step, sound) in &peers {
            let payload = &sound[frame as usize % sound.len()];
            let (head, room) = bytes.split_first_chunk_mut().expect("a header's room");
            let timestamp = (frame as u32).wrapping_mul(*step);
            let header = Header { marker: false, payload_type: 96, sequence: frame as u16, timestamp, ssrc: 9 };
            write_header(&header, head);
            room[..payload.len()].copy_from_slice(payload);
            peer.socket.send_to(&bytes[..HEADER_LENGTH + payload.len()], peer.leg).expect("a packet sent");
        }
        let before = cpu();
        lane.run(FRAME_MS);
        if frame >= 50 {
            kept.push((cpu() - before) as f64 / peers.len() as f64);
        }
        let mut buffer = [0; 2_048];
        peers.iter().for_each(|(peer, ..)| while peer.socket.recv(&mut buffer).is_ok() {});
    }
    kept.sort_by(f64::total_cmp);
    share(&kept, 0.5)
}

/// How far each packet came from where its timestamp says, in milliseconds, by which of the two sent it.
#[derive(Default)]
struct Deviations {
    lane: Vec<f64>,
    bare: Vec<f64>,
}

/// Reads both senders' packets from one socket until told to stop.
fn arrivals(socket: &UdpSocket, stop: &AtomicBool) -> Deviations {
    let mut last: HashMap<u32, (i64, u32)> = HashMap::new();
    let mut deviations = Deviations::default();
    let mut buffer = [0; 2_048];
    let mut control = nix::cmsg_space!(TimeSpec);
    while !stop.load(Ordering::Relaxed) {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty());
        let Ok((length, at)) = message.map(|message| (message.bytes, message.cmsgs().ok().and_then(stamp))) else {
            continue;
        };
        let at = at.expect("the kernel's stamp");
        let Ok(Packet { header, .. }) = Packet::parse(&buffer[..length]) else { continue };
        if let Some((before_at, before)) = last.insert(header.ssrc, (at, header.timestamp)) {
            let step = f64::from(header.timestamp.wrapping_sub(before)) / 8.0;
            let deviation = ((at - before_at) as f64 / 1e6 - step).abs();
            let of = if header.ssrc < BARE_SSRCS { &mut deviations.bare } else { &mut deviations.lane };
            of.push(deviation);
        }
    }
    deviations
}

/// Nanoseconds of the kernel's clock at which a datagram came.
fn stamp(mut parts: CmsgIterator<'_>) -> Option<i64> {
    parts.find_map(|part| match part {
        ControlMessageOwned::ScmTimestampns(at) => Some(at.tv_sec() * 1_000_000_000 + at.tv_nsec()),
        _ => None,
    })
}

/// The bare thread's SSRCs are below this: one for each slot of the grid. The lane's are random 32 bits.
const BARE_SSRCS: u32 = FRAME_MS as u32;

/// Sleeps to each millisecond of a grid and sends one packet; nothing else.
fn bare_thread(to: SocketAddr, stop: &AtomicBool) {
    let (socket, _) = socket();
    let mut bytes = [0; HEADER_LENGTH + FRAME_SAMPLES];
    let epoch = Instant::now();
    let mut ms = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let (frame, slot) = (ms / FRAME_MS, (ms % FRAME_MS) as u32);
        let (head, _) = bytes.split_first_chunk_mut().expect("a header's room");
        let timestamp = (frame as u32).wrapping_mul(FRAME_SAMPLES as u32);
        write_header(&Header { marker: false, payload_type: 0, sequence: frame as u16, timestamp, ssrc: slot }, head);
        socket.send_to(&bytes, to).expect("a packet sent");
        // After a freeze it skips what it missed, as the lane does.
        ms = (ms + 1).max((epoch.elapsed().as_millis() as u64 + 1).saturating_sub(FRAME_MS));
        let left = (epoch + Duration::from_millis(ms)).saturating_duration_since(Instant::now());
        if !left.is_zero() {
            std::thread::sleep(left);
        }
    }
}

fn pacing(legs: u64, seconds: u64) {
    let far = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    far.set_recv_buffer_size(8 << 20).expect("a large buffer");
    far.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("an address");
    let far = UdpSocket::from(far);
    far.set_read_timeout(Some(FRAME)).expect("a mode");
    setsockopt(&far, sockopt::ReceiveTimestampns, &true).expect("stamps");
    let to = far.local_addr().expect("an address");
    let (sink, events) = events();
    let plane = MediaPlane::start(config(), Random::from_number(1), sink).expect("a media plane");
    let clip = prompt();
    for leg in (0..legs).map(LegId) {
        let send = |command| plane.send(leg.0, command).expect("room in the queue");
        send(MediaCommand::Open { leg, beside: None });
        send(MediaCommand::Connect { leg, media: media(to.port()) });
        send(MediaCommand::Play { leg, play: PlayId(1), clips: vec![Arc::clone(&clip)], repeat: true });
        // Calls do not come all at once.
        while !events.recv().is_ok_and(|event| matches!(event, MediaEvent::Opened { .. })) {}
    }
    let stop = AtomicBool::new(false);
    let mut deviations = std::thread::scope(|threads| {
        let ears = threads.spawn(|| arrivals(&far, &stop));
        threads.spawn(|| bare_thread(to, &stop));
        std::thread::sleep(Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        ears.join().expect("what came")
    });
    for (name, of) in [("media thread", &mut deviations.lane), ("bare thread", &mut deviations.bare)] {
        of.sort_by(f64::total_cmp);
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| share(of, part));
        println!("{name:13} {:7} packets  |gap - step| p50 {p50:.3}  p99 {p99:.3}  p99.9 {p999:.3} ms", of.len());
    }
    let counters = plane.counters();
    println!(
        "{legs} legs: {} of {} ticks late, {} skipped",
        counters.late_ticks, counters.ticks, counters.skipped_frames
    );
}
