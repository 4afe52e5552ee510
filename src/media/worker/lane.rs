//! What one media thread owns: its legs, its grid of twenty one-millisecond slots, their sockets. It reads no clock:
//! the thread (`thread.rs`) or a test (`stepped.rs`) says what time it is.
//!
//! In a slot each leg reads what came, then ticks. A slot that runs late is still run; where a whole frame has passed,
//! the frames between are skipped, so a leg never sends two frames at once. What a panic in one leg's work leaves
//! behind is that leg's end, and nobody else's. Legs that talk with each other: `bridge.rs`.

mod bridge;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ports::Pair;
use super::sockets::{Buffer, Door, MAX_DATAGRAM, Sender, Tally, Watch, drain_stale, read};
use super::{LaneLoad, Shared};
use crate::media::stream::{Stream, StreamConfig};
use crate::media::tap::{Tap, Tapped};
use crate::media::{FRAME_MS, MediaCommand, MediaEvent, StreamStatistics};
use crate::random::Random;
use crate::session::LegId;
use crate::time::Time;

/// Slots of one millisecond in a frame.
const SLOTS: u64 = FRAME_MS;
/// Datagrams read from one RTP socket in one tick; a flood waits in the socket's buffer and overflows there.
const MAX_RTP_READ: usize = 64;
/// Datagrams read from one RTCP socket in one slot.
const MAX_RTCP_READ: usize = 4;
/// How many legs more than the emptiest a near slot may have: what the first packet's haste is worth.
const SLACK: usize = 3;

/// A moment, on the lane's own grid and on the engine's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Milliseconds since the lane began.
    pub grid: u64,
    pub now: Time,
}

struct Leg {
    id: LegId,
    stream: Stream,
    pair: Pair,
    /// Grid millisecond of its next tick; none: not connected, it has no slot.
    due: Option<u64>,
    door: Door,
    /// What its packets are copied to, where somebody wants them.
    tap: Option<Box<Tap>>,
    /// Its RTCP socket is not watched: it is read in every tick.
    read_rtcp: bool,
    /// Place of the leg that it talks with, which has its.
    bridged: Option<usize>,
}

/// A thread's legs.
pub(super) struct Lane {
    shared: Arc<Shared>,
    load: Arc<LaneLoad>,
    random: Random,
    /// Each leg at its place; places are used again. Bounded by `max_legs` over all threads. Boxed: they are large,
    /// and the table grows.
    legs: Vec<Option<Box<Leg>>>,
    free: Vec<usize>,
    places: HashMap<LegId, usize>,
    slots: [Vec<usize>; SLOTS as usize],
    /// The next grid millisecond to run.
    next: u64,
    watch: Watch,
    buffer: Box<Buffer>,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, load: Arc<LaneLoad>, random: Random) -> Self {
        Lane {
            shared,
            load,
            random,
            legs: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            slots: std::array::from_fn(|_| Vec::new()),
            next: 0,
            watch: Watch::new(),
            buffer: Box::new([0; MAX_DATAGRAM]),
        }
    }

    /// The next grid millisecond whose slot has legs: when [`Lane::run_slot`] is to be called.
    pub(super) fn next_occupied(&self) -> Option<u64> {
        (self.next..self.next + SLOTS).find(|ms| !self.slot(*ms).is_empty())
    }

    fn slot(&self, ms: u64) -> &[usize] {
        self.slots.get((ms % SLOTS) as usize).map_or(&[], Vec::as_slice)
    }

    fn leg(&mut self, place: usize) -> Option<&mut Leg> {
        self.legs.get_mut(place)?.as_deref_mut()
    }

    /// Runs the next slot that has legs. After a freeze each slot is run once, not once for each time it was missed.
    pub(super) fn run_slot(&mut self, at: Moment) {
        let Some(ms) = self.next_occupied() else { return };
        self.next = (ms + 1).max((at.grid + 1).saturating_sub(SLOTS));
        let at = Moment { grid: at.grid.max(ms), ..at };
        let mut tally = Tally::default();
        let mut broken = Vec::new();
        for place in self.watch.ready() {
            if let Some(Some(leg)) = self.legs.get_mut(place)
                && catch_unwind(AssertUnwindSafe(|| leg.hear_rtcp(at.now, &mut self.buffer, &mut tally))).is_err()
            {
                broken.push(leg.id);
            }
        }
        for index in 0..self.slot(ms).len() {
            let Some(&place) = self.slot(ms).get(index) else { break };
            let (events, late) = (&self.shared.events, self.shared.late_ms);
            let crossed = catch_unwind(AssertUnwindSafe(|| bridge::cross(&mut self.legs, place, at)));
            let Some(Some(leg)) = self.legs.get_mut(place) else { continue };
            let work = catch_unwind(AssertUnwindSafe(|| {
                leg.work(at, late, &mut self.buffer, &mut tally);
                while let Some(event) = leg.stream.poll_event() {
                    events(event);
                }
                if let Some(tap) = &mut leg.tap {
                    if tap.has_filled() {
                        let text = "the RTP capture reached its bound: later packets are not in it".to_owned();
                        events(MediaEvent::Note { leg: leg.id, text });
                    }
                    tap.due(at.now).into_iter().for_each(|packets| events(MediaEvent::Tapped { leg: leg.id, packets }));
                }
            }));
            if crossed.and(work).is_err() {
                broken.push(leg.id);
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
            self.close(id, at);
        }
    }

    pub(super) fn carry_out(&mut self, command: MediaCommand, at: Moment) {
        let id = command.leg();
        let done = catch_unwind(AssertUnwindSafe(|| match command {
            MediaCommand::Open { leg, .. } => self.open(leg, at),
            MediaCommand::Bridge { leg, with } => self.bridge(leg, with),
            MediaCommand::Close { leg } => self.close(leg, at),
            command => self.change(command, at),
        }));
        if done.is_err() {
            self.shared.counters.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(leg = %id, "a media command panicked; the leg is closed");
            self.close(id, at);
        }
    }

    pub(super) fn close_all(&mut self, at: Moment) {
        for id in self.places.keys().copied().collect::<Vec<_>>() {
            self.close(id, at);
        }
    }

    fn open(&mut self, id: LegId, at: Moment) {
        let shared = self.shared.clone();
        let result = if self.places.contains_key(&id) {
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
                let media = &shared.config;
                let config =
                    StreamConfig { rtp_timeout: media.rtp_timeout, in_band: media.in_band, delay: media.delay };
                let stream = Stream::new(id, config, self.random.fork(), at.now);
                let place = self.free.pop().unwrap_or_else(|| {
                    self.legs.push(None);
                    self.legs.len() - 1
                });
                let read_rtcp = !self.watch.add(&pair.rtcp, place);
                if let Some(seat) = self.legs.get_mut(place) {
                    *seat = Some(Box::new(Leg {
                        id,
                        stream,
                        door: Door::new(&pair),
                        pair,
                        due: None,
                        tap: None,
                        read_rtcp,
                        bridged: None,
                    }));
                }
                self.places.insert(id, place);
                self.tell(MediaEvent::Opened { leg: id, port });
            }
            Err(reason) => {
                shared.counters.open_failures.fetch_add(1, Ordering::Relaxed);
                self.tell(MediaEvent::OpenFailed { leg: id, reason });
            }
        }
    }

    /// Everything but `Open`, `Bridge` and `Close`.
    fn change(&mut self, command: MediaCommand, at: Moment) {
        let Some(&place) = self.places.get(&command.leg()) else { return };
        let Some(Some(leg)) = self.legs.get_mut(place) else { return };
        let stream = &mut leg.stream;
        match command {
            MediaCommand::Connect { media, .. } => {
                let first = leg.due.is_none();
                if first {
                    drain_stale(&leg.pair, &mut self.buffer);
                }
                stream.connect(media, at.now);
                leg.door.open(&leg.pair.rtp, at.grid);
                if first {
                    leg.door.begin(at.grid);
                    self.give_slot(place, at.grid);
                }
                self.prepare_bridge(place);
            }
            MediaCommand::Play { play, clips, repeat, .. } => stream.play(play, clips, repeat),
            MediaCommand::StopPlay { play, .. } => stream.stop_play(play),
            MediaCommand::SendTones { id, digits, tone_ms, gap_ms, .. } => {
                stream.send_tones(id, digits, tone_ms, gap_ms);
            }
            MediaCommand::Detect { in_band, .. } => stream.detect_in_band(in_band),
            MediaCommand::Capture { limit_frames, .. } => stream.capture(limit_frames),
            MediaCommand::Tap { limit, .. } => drop(leg.tap.get_or_insert_with(|| Box::new(Tap::new(limit)))),
            MediaCommand::Open { .. } | MediaCommand::Bridge { .. } | MediaCommand::Close { .. } => {}
        }
    }

    /// Chooses the nearest slot that is not much fuller than the emptiest: the first packet leaves soon, and legs
    /// spread over the frame.
    fn give_slot(&mut self, place: usize, grid_now: u64) {
        if self.next_occupied().is_none() {
            // Nothing ran: the grid's past does not matter.
            self.next = grid_now;
        }
        let least = self.slots.iter().map(Vec::len).min().unwrap_or(0);
        let start = self.next.max(grid_now);
        let fits = |ms: &u64| self.slot(*ms).len() <= least + SLACK;
        let ms = (start..start + SLOTS).find(fits).unwrap_or(start);
        if let Some(slot) = self.slots.get_mut((ms % SLOTS) as usize) {
            slot.push(place);
        }
        if let Some(leg) = self.leg(place) {
            leg.due = Some(ms);
        }
    }

    fn close(&mut self, id: LegId, at: Moment) {
        if let Some(&place) = self.places.get(&id) {
            self.part(place);
        }
        let leg = self.places.remove(&id).and_then(|place| {
            self.free.push(place);
            let leg = self.legs.get_mut(place)?.take()?;
            if let Some(due) = leg.due
                && let Some(slot) = self.slots.get_mut((due % SLOTS) as usize)
            {
                slot.retain(|other| *other != place);
            }
            Some(leg)
        });
        let closed = leg.and_then(|leg| {
            let Leg { mut stream, pair, door, mut tap, .. } = *leg;
            let mut tally = Tally::default();
            // It may be closed because its work panicked: then its end may, too.
            let closed = catch_unwind(AssertUnwindSafe(|| {
                let mut sender = Sender {
                    pair: &pair,
                    connected: door.connected(),
                    tally: &mut tally,
                    tap: tap.as_deref_mut(),
                    now: at.now,
                };
                let closed = stream.close(at.now, &mut sender);
                while let Some(event) = stream.poll_event() {
                    (self.shared.events)(event);
                }
                if let Some(tap) = &mut tap {
                    tap.end().into_iter().for_each(|packets| self.tell(MediaEvent::Tapped { leg: id, packets }));
                }
                closed
            }));
            self.count(&tally);
            self.shared.ports.release(pair);
            self.shared.counters.open_legs.fetch_sub(1, Ordering::AcqRel);
            closed.ok()
        });
        let nothing = || MediaEvent::Closed { leg: id, statistics: StreamStatistics::default(), heard: None };
        self.tell(closed.unwrap_or_else(nothing));
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
        add(&self.load.ticks, tally.ticks);
        add(&self.load.late, tally.late_ticks);
        add(&counters.ticks, tally.ticks);
        add(&counters.late_ticks, tally.late_ticks);
        add(&counters.skipped_frames, tally.skipped_frames);
        add(&counters.rtp_received, tally.rtp_received);
        add(&counters.rtp_sent, tally.rtp_sent);
        add(&counters.rtcp_received, tally.rtcp_received);
        add(&counters.rtcp_sent, tally.rtcp_sent);
        add(&counters.send_errors, tally.send_errors);
        add(&counters.strangers, tally.strangers);
        add(&counters.malformed, tally.malformed);
    }
}

impl Leg {
    /// Reads what came, then ticks if a frame is due.
    fn work(&mut self, at: Moment, late_ms: u64, buffer: &mut Buffer, tally: &mut Tally) {
        let Some(due) = self.due else { return };
        if at.grid < due {
            return;
        }
        let before = self.stream.ignored();
        read(&self.pair.rtp, MAX_RTP_READ, buffer, |bytes, from| {
            tally.rtp_received += 1;
            keep(&mut self.tap, self.pair.port, bytes, from, at.now);
            self.stream.receive_rtp(bytes, from, at.now);
        });
        self.count_ignored(before, tally);
        let strangers = self.stream.ignored().0 > before.0;
        self.door.mind(&self.pair.rtp, self.stream.settled_source(at.now), strangers, at.grid);
        if self.read_rtcp {
            self.hear_rtcp(at.now, buffer, tally);
        }
        let late = at.grid - due;
        let skipped = late / SLOTS;
        tally.ticks += 1;
        tally.late_ticks += u64::from(late > late_ms);
        tally.skipped_frames += skipped;
        self.due = Some(due + (skipped + 1) * SLOTS);
        let frames = u32::try_from(skipped + 1).unwrap_or(u32::MAX);
        let mut sender = Sender {
            pair: &self.pair,
            connected: self.door.connected(),
            tally,
            tap: self.tap.as_deref_mut(),
            now: at.now,
        };
        self.stream.tick(at.now, frames, &mut sender);
    }

    fn hear_rtcp(&mut self, now: Time, buffer: &mut Buffer, tally: &mut Tally) {
        let before = self.stream.ignored();
        read(&self.pair.rtcp, MAX_RTCP_READ, buffer, |bytes, from| {
            tally.rtcp_received += 1;
            keep(&mut self.tap, self.pair.port + 1, bytes, from, now);
            self.stream.receive_rtcp(bytes, from, now);
        });
        self.count_ignored(before, tally);
    }

    fn count_ignored(&self, (strangers, malformed): (u64, u64), tally: &mut Tally) {
        let (strangers_now, malformed_now) = self.stream.ignored();
        tally.strangers += strangers_now - strangers;
        tally.malformed += malformed_now - malformed;
    }
}

/// Copies a packet that came.
fn keep(tap: &mut Option<Box<Tap>>, local_port: u16, bytes: &[u8], remote: SocketAddr, at: Time) {
    if let Some(tap) = tap {
        tap.keep(Tapped { at, sent: false, local_port, remote, bytes });
    }
}
