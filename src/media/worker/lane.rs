//! One media thread: its legs, its grid of twenty one-millisecond slots, its sockets.
//!
//! The thread sleeps in its command queue until the next slot that has legs, on an absolute grid (deadlines never
//! drift), so a command is carried out at once and an idle thread costs nothing. In a slot each leg reads what came,
//! then ticks. A slot that runs late is still run; where a whole frame has passed, the frames between are skipped.
//! What a panic in one leg's work leaves behind is that leg's end, and nobody else's.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Shared;
use super::ports::Pair;
use crate::media::stream::{PacketSink, Stream, StreamConfig};
use crate::media::{FRAME_MS, MediaCommand, MediaEvent, StreamStatistics};
use crate::random::Random;
use crate::session::LegId;
use crate::time::Time;

/// Slots of one millisecond in a frame.
const SLOTS: u64 = FRAME_MS;
/// Datagrams read from one RTP socket in one tick; a flood waits in the socket's buffer and overflows there.
const MAX_RTP_READ: usize = 64;
/// Datagrams read from one RTCP socket in one tick.
const MAX_RTCP_READ: usize = 8;
/// Datagrams thrown away when a stream starts: what came while nobody listened is no news.
const MAX_STALE: usize = 1_024;
/// Longest datagram read; longer ones are cut and then fail their check or lose their tail.
const MAX_DATAGRAM: usize = 2_048;
/// Lateness of a tick that is counted.
const LATE: u64 = 5;
/// How many legs more than the emptiest a near slot may have: what the first packet's haste is worth.
const SLACK: usize = 3;

struct Leg {
    stream: Stream,
    pair: Pair,
    /// Grid millisecond of its next tick; none: not connected, it has no slot.
    due: Option<u64>,
}

/// What one slot counted, added to the shared counters once.
#[derive(Default)]
struct Tally {
    rtp_received: u64,
    rtp_sent: u64,
    rtcp_received: u64,
    rtcp_sent: u64,
    send_errors: u64,
    strangers: u64,
    malformed: u64,
    late_ticks: u64,
    skipped_frames: u64,
}

/// A thread's state.
pub(super) struct Lane {
    shared: Arc<Shared>,
    random: Random,
    /// Bounded by `max_legs` over all threads.
    legs: HashMap<LegId, Leg>,
    slots: [Vec<LegId>; SLOTS as usize],
    /// Grid millisecond 0.
    epoch: Instant,
    /// The next grid millisecond to run.
    next: u64,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, random: Random) -> Self {
        Lane {
            shared,
            random,
            legs: HashMap::new(),
            slots: std::array::from_fn(|_| Vec::new()),
            epoch: Instant::now(),
            next: 0,
        }
    }

    /// Works until the queue is closed; then closes all legs.
    pub(super) fn run(mut self, queue: &Receiver<MediaCommand>) {
        while self.wait(queue) {
            self.run_slot();
        }
        for leg in self.legs.keys().copied().collect::<Vec<_>>() {
            self.close(leg);
        }
    }

    /// Carries out commands until the next slot with legs is due. False: the queue is closed.
    fn wait(&mut self, queue: &Receiver<MediaCommand>) -> bool {
        loop {
            let received = match self.next_occupied() {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(slot) => {
                    let left = (self.epoch + Duration::from_millis(slot)).saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        self.next = slot;
                        return true;
                    }
                    queue.recv_timeout(left)
                }
            };
            match received {
                Ok(command) => self.carry_out(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// The first grid millisecond from `next` on whose slot has legs.
    fn next_occupied(&self) -> Option<u64> {
        (self.next..self.next + SLOTS).find(|ms| !self.slot(*ms).is_empty())
    }

    fn slot(&self, ms: u64) -> &[LegId] {
        self.slots.get((ms % SLOTS) as usize).map_or(&[], Vec::as_slice)
    }

    fn grid_now(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64
    }

    fn run_slot(&mut self) {
        let ms = self.next;
        let grid_now = self.grid_now();
        // After a freeze each slot is run once, not once for each time it was missed.
        self.next = (ms + 1).max((grid_now + 1).saturating_sub(SLOTS));
        let now = self.shared.config.clock.now();
        let mut tally = Tally::default();
        let mut broken = Vec::new();
        for index in 0..self.slot(ms).len() {
            let Some(&id) = self.slot(ms).get(index) else { break };
            let Some(leg) = self.legs.get_mut(&id) else { continue };
            let events = &self.shared.events;
            let work = catch_unwind(AssertUnwindSafe(|| {
                leg.work(grid_now.max(ms), now, &mut tally);
                while let Some(event) = leg.stream.poll_event() {
                    events(event);
                }
            }));
            if work.is_err() {
                broken.push(id);
            }
        }
        self.count(&tally);
        for id in broken {
            self.shared.counters.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(leg = %id, "a leg's media work panicked; the leg is closed");
            self.tell(MediaEvent::Note {
                leg: id,
                text: "media failed (an internal error); the leg is closed".to_owned(),
            });
            self.close(id);
        }
    }

    fn carry_out(&mut self, command: MediaCommand) {
        let id = command.leg();
        let done = catch_unwind(AssertUnwindSafe(|| match command {
            MediaCommand::Open { leg } => self.open(leg),
            MediaCommand::Close { leg } => self.close(leg),
            command => self.change(command),
        }));
        if done.is_err() {
            self.shared.counters.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(leg = %id, "a media command panicked; the leg is closed");
            self.close(id);
        }
    }

    fn open(&mut self, id: LegId) {
        let shared = self.shared.clone();
        let result = if self.legs.contains_key(&id) {
            Err("the leg is already open".to_owned())
        } else if shared.counters.open_legs.fetch_add(1, Ordering::AcqRel) >= shared.config.max_legs {
            shared.counters.open_legs.fetch_sub(1, Ordering::AcqRel);
            Err(format!("{} legs are open, which is the limit", shared.config.max_legs))
        } else {
            shared.ports.open(shared.config.bind).inspect_err(|_| {
                shared.counters.open_legs.fetch_sub(1, Ordering::AcqRel);
            })
        };
        match result {
            Ok(pair) => {
                let port = pair.port;
                let config = StreamConfig { rtp_timeout: shared.config.rtp_timeout, in_band: shared.config.in_band };
                let stream = Stream::new(id, config, self.random.fork(), shared.config.clock.now());
                self.legs.insert(id, Leg { stream, pair, due: None });
                self.tell(MediaEvent::Opened { leg: id, port });
            }
            Err(reason) => {
                shared.counters.open_failures.fetch_add(1, Ordering::Relaxed);
                self.tell(MediaEvent::OpenFailed { leg: id, reason });
            }
        }
    }

    /// Everything but `Open` and `Close`.
    fn change(&mut self, command: MediaCommand) {
        let now = self.shared.config.clock.now();
        let Some(leg) = self.legs.get_mut(&command.leg()) else { return };
        let stream = &mut leg.stream;
        match command {
            MediaCommand::Connect { leg: id, media } => {
                if leg.due.is_none() {
                    drain_stale(&leg.pair);
                }
                stream.connect(media, now);
                if leg.due.is_none() {
                    self.give_slot(id);
                }
            }
            MediaCommand::Play { play, clips, repeat, .. } => stream.play(play, clips, repeat),
            MediaCommand::StopPlay { play, .. } => stream.stop_play(play),
            MediaCommand::SendTones { id, digits, tone_ms, gap_ms, .. } => {
                stream.send_tones(id, digits, tone_ms, gap_ms);
            }
            MediaCommand::Detect { in_band, .. } => stream.detect_in_band(in_band),
            MediaCommand::Capture { limit_frames, .. } => stream.capture(limit_frames),
            MediaCommand::Open { .. } | MediaCommand::Close { .. } => {}
        }
    }

    /// Chooses the nearest slot that is not much fuller than the emptiest: the first packet leaves soon, and legs
    /// spread over the frame.
    fn give_slot(&mut self, id: LegId) {
        let grid_now = self.grid_now();
        if self.next_occupied().is_none() {
            // Nothing ran: the grid's past does not matter.
            self.next = grid_now;
        }
        let least = self.slots.iter().map(Vec::len).min().unwrap_or(0);
        let start = self.next.max(grid_now);
        let fits = |ms: &u64| self.slot(*ms).len() <= least + SLACK;
        let ms = (start..start + SLOTS).find(fits).unwrap_or(start);
        if let Some(slot) = self.slots.get_mut((ms % SLOTS) as usize) {
            slot.push(id);
        }
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.due = Some(ms);
        }
    }

    fn close(&mut self, id: LegId) {
        let closed = match self.legs.remove(&id) {
            None => MediaEvent::Closed { leg: id, statistics: StreamStatistics::default(), heard: None },
            Some(leg) => {
                if let Some(due) = leg.due
                    && let Some(slot) = self.slots.get_mut((due % SLOTS) as usize)
                {
                    slot.retain(|other| *other != id);
                }
                let now = self.shared.config.clock.now();
                let Leg { mut stream, pair, .. } = leg;
                let mut tally = Tally::default();
                // It may be closed because its work panicked: then its end may, too.
                let closed = catch_unwind(AssertUnwindSafe(|| {
                    let closed = stream.close(now, &mut Sockets { pair: &pair, tally: &mut tally });
                    while let Some(event) = stream.poll_event() {
                        (self.shared.events)(event);
                    }
                    closed
                }));
                self.count(&tally);
                self.shared.ports.release(pair);
                self.shared.counters.open_legs.fetch_sub(1, Ordering::AcqRel);
                closed.unwrap_or(MediaEvent::Closed { leg: id, statistics: StreamStatistics::default(), heard: None })
            }
        };
        self.tell(closed);
    }

    fn tell(&self, event: MediaEvent) {
        (self.shared.events)(event);
    }

    fn count(&self, tally: &Tally) {
        let counters = &self.shared.counters;
        let add = |counter: &AtomicU64, value: u64| {
            if value > 0 {
                counter.fetch_add(value, Ordering::Relaxed);
            }
        };
        add(&counters.rtp_received, tally.rtp_received);
        add(&counters.rtp_sent, tally.rtp_sent);
        add(&counters.rtcp_received, tally.rtcp_received);
        add(&counters.rtcp_sent, tally.rtcp_sent);
        add(&counters.send_errors, tally.send_errors);
        add(&counters.strangers, tally.strangers);
        add(&counters.malformed, tally.malformed);
        add(&counters.late_ticks, tally.late_ticks);
        add(&counters.skipped_frames, tally.skipped_frames);
    }
}

impl Leg {
    /// Reads what came, then ticks if a frame is due at grid millisecond `grid_now`.
    fn work(&mut self, grid_now: u64, now: Time, tally: &mut Tally) {
        let Some(due) = self.due else { return };
        if grid_now < due {
            return;
        }
        let (strangers, malformed) = self.stream.ignored();
        read(&self.pair.rtp, MAX_RTP_READ, |bytes, from| {
            tally.rtp_received += 1;
            self.stream.receive_rtp(bytes, from, now);
        });
        // Looked at in every tick (125 ns when empty), so that round trips are right to a frame.
        read(&self.pair.rtcp, MAX_RTCP_READ, |bytes, from| {
            tally.rtcp_received += 1;
            self.stream.receive_rtcp(bytes, from, now);
        });
        let late = grid_now - due;
        let skipped = late / SLOTS;
        tally.late_ticks += u64::from(late > LATE);
        tally.skipped_frames += skipped;
        self.due = Some(due + (skipped + 1) * SLOTS);
        let frames = u32::try_from(skipped + 1).unwrap_or(u32::MAX);
        self.stream.tick(now, frames, &mut Sockets { pair: &self.pair, tally });
        let (strangers_now, malformed_now) = self.stream.ignored();
        tally.strangers += strangers_now - strangers;
        tally.malformed += malformed_now - malformed;
    }
}

/// Sends a stream's packets.
struct Sockets<'a> {
    pair: &'a Pair,
    tally: &'a mut Tally,
}

impl PacketSink for Sockets<'_> {
    fn rtp(&mut self, to: SocketAddr, packet: &[u8]) {
        match send(&self.pair.rtp, self.pair.ipv6, to, packet) {
            true => self.tally.rtp_sent += 1,
            false => self.tally.send_errors += 1,
        }
    }

    fn rtcp(&mut self, to: SocketAddr, packet: &[u8]) {
        match send(&self.pair.rtcp, self.pair.ipv6, to, packet) {
            true => self.tally.rtcp_sent += 1,
            false => self.tally.send_errors += 1,
        }
    }
}

/// A datagram that cannot leave now is of no use later: it is dropped.
fn send(socket: &UdpSocket, mapped: bool, to: SocketAddr, packet: &[u8]) -> bool {
    let to = match to.ip() {
        IpAddr::V4(ip) if mapped => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        _ => to,
    };
    socket.send_to(packet, to).is_ok()
}

/// Reads at most `most` datagrams.
fn read(socket: &UdpSocket, most: usize, mut take: impl FnMut(&[u8], SocketAddr)) {
    let mut buffer = [0; MAX_DATAGRAM];
    for _ in 0..most {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                // A socket for both families gives IPv4 as mapped IPv6.
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                take(buffer.get(..length).unwrap_or(&[]), from);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // An ICMP answer to what we sent (nobody listens there yet), or an interruption: read on.
            Err(_) => {}
        }
    }
}

fn drain_stale(pair: &Pair) {
    read(&pair.rtp, MAX_STALE, |_, _| {});
    read(&pair.rtcp, MAX_STALE, |_, _| {});
}
