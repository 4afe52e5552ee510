//! When to send which telephone-event packet (RFC 4733 §2.5.1), on a 20 ms tick.
//! The sender of RTP puts header, sequence number and base timestamp around what comes out.

use serde::{Deserialize, Serialize};

use super::EventPayload;
use crate::dtmf::Digit;

/// RTP timestamp units a tick: 20 ms at telephone-event's usual 8000 Hz.
const TICK: u64 = 160;
/// A press is never shorter: 50 ms, in timestamp units (what receivers are sure to take).
const MIN_DURATION: u64 = 400;
/// A press is never longer: a minute, in timestamp units.
const MAX_DURATION: u64 = 60 * 8000;
/// The pause after a press is never shorter: 60 ms, so that the end's retransmissions are out before the next start.
const MIN_GAP: u64 = 480;
/// How often the end is sent in all (RFC 4733 §2.5.1.4).
const END_PACKETS: u64 = 3;
/// The most a segment can last: durations are 16 bits (RFC 4733 §2.5.1.3).
const SEGMENT: u64 = 0xFFFF;
/// Announced power in −dBm0.
const VOLUME: u8 = 10;

/// What to send on a tick, instead of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPacket {
    /// The RTP marker bit: a new press begins.
    pub marker: bool,
    /// To be added to the RTP timestamp that the stream had at the sender's first tick. All packets of a press have
    /// the same (but for presses above 8.19 s, whose segments have their own).
    pub timestamp_offset: u32,
    /// The RTP payload.
    pub payload: [u8; 4],
}

/// Sends digits one after the other: each is updated every tick, its end is sent three times, then comes a pause.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventSender {
    digits: Vec<Digit>,
    /// Timestamp units of a press.
    duration: u64,
    /// Ticks from one press's start to the next one's.
    period: u64,
    /// The digit being sent.
    index: usize,
    /// Ticks since that digit's start.
    tick: u64,
    /// Timestamp offset of that digit's start.
    start: u32,
}

impl EventSender {
    /// Presses of `duration_ms` (50 ms to a minute) each, with a pause of `gap_ms` (at least 60 ms) after each, rounded
    /// up to the tick.
    pub fn new(digits: impl Into<Vec<Digit>>, duration_ms: u32, gap_ms: u32) -> Self {
        let duration = (u64::from(duration_ms) * 8).clamp(MIN_DURATION, MAX_DURATION);
        let gap = (u64::from(gap_ms) * 8).max(MIN_GAP);
        EventSender {
            digits: digits.into(),
            duration,
            period: duration.div_ceil(TICK) + gap.div_ceil(TICK),
            index: 0,
            tick: 0,
            start: 0,
        }
    }

    /// Has everything been sent, the last pause included?
    pub fn is_done(&self) -> bool {
        self.index >= self.digits.len()
    }

    /// To be called once every 20 ms until [`is_done`](Self::is_done): the packet of this tick, or none in a pause.
    ///
    /// The first packet tells of the 20 ms that begin now, as an audio packet of this tick would.
    #[expect(clippy::should_implement_trait, reason = "none in a pause is not the end")]
    pub fn next(&mut self) -> Option<EventPacket> {
        let digit = self.digits.get(self.index).copied()?;
        let packet = self.packet(digit);
        self.tick += 1;
        if self.tick >= self.period {
            self.index += 1;
            self.tick = 0;
            self.start = self.start.wrapping_add((self.period * TICK) as u32); // a minute and a pause fit
        }
        packet
    }

    fn packet(&self, digit: Digit) -> Option<EventPacket> {
        let end_tick = self.duration.div_ceil(TICK) - 1; // the tick in which the press ends; duration is at least 400
        if self.tick >= end_tick + END_PACKETS {
            return None;
        }
        let elapsed = ((self.tick + 1) * TICK).min(self.duration);
        // A segment holds 1..=0xFFFF units, so that a full one is told of before the next begins.
        let segment = (elapsed - 1) / SEGMENT;
        let payload = EventPayload {
            event: digit.event_code(),
            end: self.tick >= end_tick,
            volume: VOLUME,
            duration: (elapsed - segment * SEGMENT) as u16,
        };
        Some(EventPacket {
            marker: self.tick == 0,
            timestamp_offset: self.start.wrapping_add((segment * SEGMENT) as u32),
            payload: payload.to_bytes(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(sender: &mut EventSender) -> Vec<Option<(bool, u32, bool, u16)>> {
        let mut all = Vec::new();
        while !sender.is_done() {
            all.push(sender.next().map(|p| {
                let payload = EventPayload::parse(&p.payload).unwrap();
                (p.marker, p.timestamp_offset, payload.end, payload.duration)
            }));
        }
        all
    }

    #[test]
    fn a_press_is_updates_and_three_ends() {
        let press = |start| {
            vec![
                Some((true, start, false, 160)),
                Some((false, start, false, 320)),
                Some((false, start, false, 480)),
                Some((false, start, true, 640)),
                Some((false, start, true, 640)),
                Some((false, start, true, 640)),
                None,
                None,
            ]
        };
        let mut sender = EventSender::new([Digit::Five, Digit::Five], 80, 75);
        assert_eq!(ticks(&mut sender), [press(0), press(8 * 160)].concat());
        assert_eq!(sender.next(), None);
    }

    #[test]
    fn short_presses_are_made_long_enough() {
        let all = ticks(&mut EventSender::new([Digit::One], 0, 0));
        let ends: Vec<_> = all.iter().flatten().filter(|p| p.2).collect();
        assert_eq!(ends, [&(false, 0, true, 400); 3]);
        assert_eq!(all.len(), 6, "50 ms and 60 ms, each rounded up to ticks");
        assert!(EventSender::new([], 100, 100).is_done());
    }

    #[test]
    fn a_long_press_goes_in_segments() {
        let all: Vec<_> = ticks(&mut EventSender::new([Digit::One], 20_000, 100)).into_iter().flatten().collect();
        assert_eq!(all.iter().filter(|p| p.0).count(), 1, "one marker");
        let segments: Vec<u32> =
            all.iter().map(|p| p.1).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        assert_eq!(segments, [0, 65_535, 131_070]);
        assert_eq!(all.last(), Some(&(false, 131_070, true, (160_000u32 - 131_070) as u16)));
        assert_eq!(all.iter().filter(|p| p.2).count(), 3);
        assert!(all.iter().all(|p| p.3 > 0));
    }
}
