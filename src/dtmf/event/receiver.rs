//! Makes presses of telephone-event packets (RFC 4733 §2.5.2): each key's press is reported exactly once, whatever
//! the network lost, repeated or reordered. Whether another way told of the same press is the arbiter's question.
//!
//! # What makes two packets one press
//! 1. Equal event and timestamp: the rule of the RFC; it covers lost starts, lost markers, retransmitted ends,
//!    duplicates and reordering. (Only a marker with a shorter duration, after the press is over, begins a new one: a
//!    sender that never moves its timestamp.)
//! 2. A timestamp within the extent (start to start + duration) that the other packet told of: one key cannot be
//!    pressed twice at a time. This covers senders that move the timestamp with every packet, and late packets.
//! 3. A timestamp just behind the extent of a press that has not ended, without a marker: its next segment (§2.5.1.3).
//! 4. The timestamp jumps while the key is down, but the sequence goes on (at most [`NEAR`] packets), the duration grows
//!    no faster than packets can come, and there is no marker: a stream whose timestamps were rebased.
//!
//! Anything else is a new press, which also ends the one before; and a key that nothing is heard of for
//! [`TIMEOUT`] has been released.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EventPayload, PayloadError};
use crate::dtmf::{Digit, Phase, Report, Way};
use crate::time::Time;

/// A key that no packet tells of for so long has been released (all its end packets were lost).
const TIMEOUT: Duration = Duration::from_millis(200);
/// How long a finished press is remembered, to know its late and repeated packets.
const MEMORY: Duration = Duration::from_secs(3);
/// How many finished presses are remembered; the oldest is forgotten first.
const MAX_FINISHED: usize = 16;
/// A packet may hold several events (§2.5.1.5); no more than so many are read of one.
const MAX_EVENTS: usize = 8;
/// Packets further apart in sequence are not taken for one press when the timestamp jumps.
const NEAR: u32 = 3;
/// A segment that long may be the last before a new one.
const FULL: u16 = 0xF000;
/// A later packet that is so far back in sequence is a late one, not one of another stream.
const LATE: u16 = 100;
/// Between two presses lies a longer pause than so many milliseconds; two packets nearer than that are one press.
const MIN_PAUSE_MS: u32 = 30;
/// The longest interval between two updates of a press, in milliseconds (§2.5.1.2 recommends 50).
const MAX_INTERVAL_MS: u32 = 120;

/// A telephone-event packet, as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct EventArrival<'a> {
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// RTP marker bit.
    pub marker: bool,
    /// RTP payload.
    pub payload: &'a [u8],
}

/// A press: packets of it are known by where it lies on the timestamp's line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Press {
    digit: Digit,
    /// Timestamp of the present segment.
    timestamp: u32,
    /// Duration of the present segment so far.
    duration: u16,
    /// Timestamp units of the segments before.
    before: u64,
    /// The newest sequence number.
    sequence: u16,
    /// Was the E bit seen?
    ended: bool,
    /// When the last packet of it came.
    seen: Time,
}

/// How a packet relates to a press.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// Tells (again) of the same segment.
    Same,
    /// Tells again of an earlier segment of the same press.
    Earlier,
    /// Tells of the next segment of the same press.
    NextSegment,
    /// The same press after its timestamps were rebased.
    Rebased,
    /// Another press.
    Other,
}

/// Receives one stream's telephone events. One for each leg; kept over re-negotiations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventReceiver {
    /// Timestamp units a second.
    clock_rate: u32,
    /// The key that is down.
    current: Option<Press>,
    /// Presses that are over, newest last; at most [`MAX_FINISHED`].
    finished: VecDeque<Press>,
}

impl EventReceiver {
    /// For events whose payload type has that clock rate in Hz (8000 as a rule; 0 is taken as 8000).
    pub fn new(clock_rate: u32) -> Self {
        let clock_rate = if clock_rate == 0 { 8000 } else { clock_rate };
        EventReceiver { clock_rate, current: None, finished: VecDeque::with_capacity(MAX_FINISHED) }
    }

    /// The events that come from now on have a payload type with that clock rate in Hz (0 is taken as 8000).
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        self.clock_rate = if clock_rate == 0 { 8000 } else { clock_rate };
    }

    /// Takes a packet; `report` is called for each edge it makes known, in order (at most a few times).
    ///
    /// Events other than the sixteen digits are passed over. An error means that nothing was taken.
    pub fn receive(
        &mut self,
        packet: EventArrival<'_>,
        now: Time,
        report: &mut impl FnMut(Report),
    ) -> Result<(), PayloadError> {
        self.poll(now, report);
        let mut payload = EventPayload::parse(packet.payload)?;
        let mut timestamp = packet.timestamp;
        let mut marker = packet.marker;
        let mut rest = packet.payload;
        for _ in 0..MAX_EVENTS {
            if let Some(digit) = Digit::from_event_code(payload.event) {
                let press = Press {
                    digit,
                    timestamp,
                    duration: payload.duration,
                    before: 0,
                    sequence: packet.sequence,
                    ended: payload.end,
                    seen: now,
                };
                self.take(press, marker, report);
            }
            rest = rest.get(4..).unwrap_or_default();
            let Ok(next) = EventPayload::parse(rest) else { break };
            // §2.5.1.5: the next event follows at once on the one before.
            timestamp = timestamp.wrapping_add(u32::from(payload.duration));
            marker = false;
            payload = next;
        }
        Ok(())
    }

    /// Reports the end of a key that nothing was heard of for too long. To be called now and then (each tick, say).
    pub fn poll(&mut self, now: Time, report: &mut impl FnMut(Report)) {
        if let Some(press) = self.current
            && now.since(press.seen) >= TIMEOUT
        {
            self.finish(press, now, report);
        }
    }

    /// When [`poll`](Self::poll) is due; none: no key is down.
    pub fn deadline(&self) -> Option<Time> {
        self.current.map(|press| press.seen + TIMEOUT)
    }

    /// The stream is over (BYE, or another source): a key that is down is released, and the past forgotten.
    pub fn reset(&mut self, now: Time, report: &mut impl FnMut(Report)) {
        if let Some(press) = self.current {
            self.finish(press, now, report);
        }
        self.finished.clear();
    }

    fn take(&mut self, packet: Press, marker: bool, report: &mut impl FnMut(Report)) {
        let now = packet.seen;
        if let Some(current) = &mut self.current {
            let relation = relation(current, &packet, marker, self.clock_rate);
            if relation != Relation::Other {
                current.absorb(&packet, relation);
                let press = *current;
                if press.ended {
                    self.finish(press, now, report);
                }
                return;
            }
        }
        // Of a press that is over? Newest first: that is what a continued one would continue.
        for finished in self.finished.iter_mut().rev() {
            if now.since(finished.seen) > MEMORY {
                continue;
            }
            match relation(finished, &packet, marker, self.clock_rate) {
                Relation::Other => {}
                // A frozen timestamp: a fresh marker on what is no end tells a new press from a repeated packet.
                Relation::Same
                    if marker
                        && !packet.ended
                        && packet.duration < finished.duration
                        && newer(packet.sequence, finished.sequence) =>
                {
                    break;
                }
                // Rebasing is only believed while the key is down.
                Relation::Rebased => {}
                known => {
                    finished.absorb(&packet, known);
                    return;
                }
            }
        }
        // The first packets may be lost: the duration tells when it began.
        let delay = self.length(u64::from(packet.duration));
        let start = Report { digit: packet.digit, way: Way::TelephoneEvent, phase: Phase::Start, at: now, delay };
        match self.current {
            // A packet from before the key that is down: a press whose other packets were lost. Told of late, but once.
            Some(current) if (1..LATE).contains(&current.sequence.wrapping_sub(packet.sequence)) => {
                report(start);
                self.remember(packet, now, report);
                return;
            }
            Some(current) => self.finish(current, now, report),
            None => {}
        }
        report(start);
        self.current = Some(packet);
        if packet.ended {
            self.finish(packet, now, report);
        }
    }

    /// So many timestamp units as time.
    fn length(&self, units: u64) -> Duration {
        Duration::from_micros(units.saturating_mul(1_000_000) / u64::from(self.clock_rate))
    }

    /// The key that is down comes up.
    fn finish(&mut self, press: Press, now: Time, report: &mut impl FnMut(Report)) {
        self.current = None;
        self.remember(press, now, report);
    }

    /// Reports the end of `press` and keeps it in mind.
    fn remember(&mut self, press: Press, now: Time, report: &mut impl FnMut(Report)) {
        let duration = self.length(press.before + u64::from(press.duration));
        let phase = Phase::End { duration };
        let delay = Duration::ZERO;
        report(Report { digit: press.digit, way: Way::TelephoneEvent, phase, at: now, delay });
        if self.finished.len() >= MAX_FINISHED {
            self.finished.pop_front();
        }
        self.finished.push_back(press);
    }
}

impl Press {
    /// Learns from a packet of the same press.
    fn absorb(&mut self, packet: &Press, relation: Relation) {
        match relation {
            Relation::NextSegment => {
                self.before += u64::from(packet.timestamp.wrapping_sub(self.timestamp));
                self.timestamp = packet.timestamp;
                self.duration = packet.duration;
            }
            Relation::Rebased => {
                self.timestamp = packet.timestamp;
                self.duration = packet.duration;
            }
            Relation::Same => {
                self.duration = self.duration.max(packet.duration);
                if newer(packet.sequence, self.sequence) {
                    self.timestamp = packet.timestamp; // follows a sender that moves it with every packet
                }
            }
            Relation::Earlier | Relation::Other => {}
        }
        self.ended |= packet.ended;
        if newer(packet.sequence, self.sequence) {
            self.sequence = packet.sequence;
        }
        self.seen = self.seen.max(packet.seen);
    }
}

/// Is sequence number `a` after `b` (RFC 1982 comparison)?
fn newer(a: u16, b: u16) -> bool {
    a.wrapping_sub(b) as i16 > 0
}

fn relation(known: &Press, packet: &Press, marker: bool, clock_rate: u32) -> Relation {
    if known.digit != packet.digit {
        return Relation::Other;
    }
    let ahead = packet.timestamp.wrapping_sub(known.timestamp);
    if ahead == 0 {
        return Relation::Same;
    }
    let fresh = newer(packet.sequence, known.sequence);
    if marker && fresh {
        return Relation::Other;
    }
    // Within what the known press told of, or what it told of lies within the packet's extent.
    let behind = known.timestamp.wrapping_sub(packet.timestamp);
    if ahead < u32::from(known.duration) || behind < u32::from(packet.duration) {
        return Relation::Same;
    }
    if u64::from(behind) <= known.before {
        return Relation::Earlier;
    }
    if known.ended || !fresh {
        return Relation::Other;
    }
    let millisecond = (clock_rate / 1000).max(1);
    let step = u32::from(packet.sequence.wrapping_sub(known.sequence));
    if let Some(growth) = packet.duration.checked_sub(known.duration)
        && growth > 0
        && step <= NEAR
        && u32::from(growth) <= step * millisecond * MAX_INTERVAL_MS
    {
        return Relation::Rebased;
    }
    let pause = ahead.saturating_sub(u32::from(known.duration));
    // Senders cut a long press at 0xFFFF or at their last update before it; the last updates may be lost.
    let full = known.duration >= FULL && ahead <= u32::from(u16::MAX);
    if pause < millisecond * MIN_PAUSE_MS || full {
        return Relation::NextSegment;
    }
    Relation::Other
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
