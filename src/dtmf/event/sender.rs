//! When to send which telephone-event packet (RFC 4733 §2.5.1), on a 20 ms tick.
//! The sender of RTP puts header, sequence number and base timestamp around what comes out.

use serde::{Deserialize, Serialize};

use super::EventPayload;
use crate::dtmf::Digit;

/// Ticks a second.
const TICKS: u64 = 50;
/// Of telephone-event's payload type, unless said otherwise: timestamp units a second.
const CLOCK_RATE: u32 = 8000;
/// A press is never shorter: what receivers are sure to take, in ms.
const MIN_DURATION: u32 = 50;
/// A press is never longer: a minute, in ms.
const MAX_DURATION: u32 = 60_000;
/// The pause after a press is never shorter: 60 ms, so that the end's retransmissions are out before the next start.
const MIN_GAP: u32 = 60;
/// Milliseconds of a tick.
const TICK_MS: u32 = 20;
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
    /// Timestamp units a tick.
    unit: u64,
    /// Length of a press in ms.
    milliseconds: u32,
    /// Timestamp units of a press.
    duration: u64,
    /// Ticks from one press's start to the next one's.
    period: u64,
    /// The digit being sent.
    index: usize,
    /// Ticks since that digit's start.
    tick: u64,
    /// How often its end has been sent.
    ends: u64,
    /// Where its present segment begins, in timestamp units since its start.
    segment: u64,
    /// Timestamp offset of that digit's start.
    start: u32,
    /// The key is down, for nobody knows how long.
    held: bool,
}

impl EventSender {
    /// Presses of `duration_ms` (50 ms to a minute) each, with a pause of `gap_ms` (at least 60 ms) after each, rounded
    /// up to the tick.
    pub fn new(digits: impl Into<Vec<Digit>>, duration_ms: u32, gap_ms: u32) -> Self {
        let milliseconds = duration_ms.clamp(MIN_DURATION, MAX_DURATION);
        let gap_ms = gap_ms.max(MIN_GAP);
        let sender = EventSender {
            digits: digits.into(),
            unit: 0,
            milliseconds,
            duration: 0,
            period: u64::from(milliseconds.div_ceil(TICK_MS)) + u64::from(gap_ms.div_ceil(TICK_MS)),
            index: 0,
            tick: 0,
            ends: 0,
            segment: 0,
            start: 0,
            held: false,
        };
        sender.with_clock_rate(CLOCK_RATE)
    }

    /// One press of a key that is down until [`release`](Self::release) (or a minute has passed).
    pub fn held(digit: Digit) -> Self {
        EventSender { held: true, ..EventSender::new([digit], MAX_DURATION, MIN_GAP) }
    }

    /// The key that was [`held`](Self::held) is up, after so many milliseconds (at least 50, and what has been told of
    /// already). Nothing for one that was not, or was released before.
    pub fn release(&mut self, duration_ms: u32) {
        if !std::mem::take(&mut self.held) || self.ends > 0 {
            return;
        }
        self.milliseconds = duration_ms.clamp(MIN_DURATION, MAX_DURATION);
        let wanted = u64::from(self.milliseconds) * self.unit * TICKS / 1000;
        // The end is told of what was told, or more; a full segment has been left behind.
        let least = (self.tick * self.unit).max(if self.segment > 0 { self.segment + 1 } else { 1 });
        self.duration = wanted.max(least);
        let ticks = self.duration.div_ceil(self.unit).max(self.tick + 1);
        self.period = ticks + u64::from(MIN_GAP.div_ceil(TICK_MS));
    }

    /// The same for a payload type whose clock has so many units a second, a multiple of 1000 (RFC 4733 §2.1 wants the
    /// audio's, so beside Opus it is 48000). To be said before the first packet.
    pub fn with_clock_rate(mut self, clock_rate: u32) -> Self {
        self.unit = (u64::from(clock_rate) / TICKS).max(1);
        self.duration = (u64::from(self.milliseconds) * u64::from(clock_rate) / 1000).max(1);
        self
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
            (self.tick, self.ends, self.segment) = (0, 0, 0);
            self.start = self.start.wrapping_add((self.period * self.unit) as u32); // wraps, as timestamps do
        }
        packet
    }

    fn packet(&mut self, digit: Digit) -> Option<EventPacket> {
        if self.ends >= END_PACKETS {
            return None;
        }
        let elapsed = ((self.tick + 1) * self.unit).min(self.duration);
        // A full segment is told of as such, and the next begins with the next tick.
        let full = self.segment + SEGMENT;
        let told = elapsed.min(full);
        let end = told == self.duration;
        let payload = EventPayload {
            event: digit.event_code(),
            end,
            volume: VOLUME,
            duration: (told - self.segment) as u16, // at most 0xFFFF
        };
        let packet = EventPacket {
            marker: self.tick == 0,
            timestamp_offset: self.start.wrapping_add(self.segment as u32),
            payload: payload.to_bytes(),
        };
        if end {
            self.ends += 1;
        } else if told == full {
            self.segment = full;
        }
        Some(packet)
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
    fn a_held_key_lasts_until_it_is_released() {
        // Released before its length is over, at it, and (the news came late) after it.
        for (held, released, length) in [(0, 120, 960), (6, 120, 960), (7, 130, 1_120), (9, 120, 1_440), (1, 1, 400)] {
            let mut sender = EventSender::held(Digit::Nine);
            let mut all: Vec<_> = (0..held).map(|_| sender.next()).collect();
            sender.release(released);
            sender.release(5_000);
            while !sender.is_done() {
                all.push(sender.next());
                assert!(all.len() < 20, "{held} {released}");
            }
            let told: Vec<_> = all.iter().flatten().map(|p| EventPayload::parse(&p.payload).unwrap()).collect();
            assert_eq!(told.iter().filter(|p| p.end).count(), 3, "{held} {released}");
            assert!(told.iter().all(|p| p.duration <= length), "{held} {released}: {told:?}");
            assert!(told.iter().all(|p| !p.end || p.duration == length), "{held} {released}: {told:?}");
            assert!(told.windows(2).all(|pair| pair[0].duration <= pair[1].duration));
            assert_eq!(all.iter().flatten().filter(|p| p.marker).count(), 1);
        }
        let mut forgotten = EventSender::held(Digit::One);
        let mut packets = 0;
        while !forgotten.is_done() {
            packets += usize::from(forgotten.next().is_some());
        }
        assert_eq!(packets, 60_000 / 20 + 2, "a minute");
        // Through the segments of a long press, released where one is full.
        for ticks in 408..414 {
            let mut long = EventSender::held(Digit::One);
            (0..ticks).for_each(|_| _ = long.next());
            long.release(100);
            let mut last = None;
            while !long.is_done() {
                last = long.next().or(last);
            }
            let last = last.unwrap();
            let payload = EventPayload::parse(&last.payload).unwrap();
            let length = last.timestamp_offset + u32::from(payload.duration);
            assert!(payload.end && payload.duration > 0 && length.abs_diff(ticks * 160) <= 160, "{ticks} {last:?}");
        }
    }

    #[test]
    fn a_long_press_goes_in_full_segments() {
        let all: Vec<_> = ticks(&mut EventSender::new([Digit::One], 20_000, 100)).into_iter().flatten().collect();
        assert_eq!(all.iter().filter(|p| p.0).count(), 1, "one marker");
        let segments: Vec<u32> =
            all.iter().map(|p| p.1).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        assert_eq!(segments, [0, 65_535, 131_070]);
        for full in [0, 65_535] {
            let last = all.iter().rfind(|p| p.1 == full);
            assert_eq!(last, Some(&(false, full, false, 0xFFFF)), "a full segment is told of, and is no end");
        }
        assert_eq!(all.last(), Some(&(false, 131_070, true, (160_000u32 - 131_070) as u16)));
        assert_eq!(all.iter().filter(|p| p.2).count(), 3);
        assert!(all.iter().all(|p| p.3 > 0));
    }

    /// What RFC 4733 §2.5.1 wants of every press, whatever its length, pause and clock.
    #[test]
    fn every_press_is_sent_by_the_book() {
        // Around full segments too: 8191.875 ms at 8 kHz, 1365.3 ms at 48 kHz.
        let lengths =
            [50, 55, 60, 99, 100, 1000, 1365, 1366, 2730, 2731, 8180, 8191, 8192, 8200, 16_383, 16_384, 60_000];
        for (rate, ms, gap) in lengths.iter().flat_map(|ms| [(8000, *ms, 60), (16_000, *ms, 85), (48_000, *ms, 61)]) {
            let case = format!("{ms} ms, {gap} ms at {rate} Hz");
            let digits = [Digit::Nine, Digit::Nine, Digit::D];
            let mut sender = EventSender::new(digits, ms, gap).with_clock_rate(rate);
            let all = ticks(&mut sender);
            let period = (ms.div_ceil(20) + gap.div_ceil(20)) as usize;
            assert_eq!(all.len(), 3 * period, "{case}: 20 ms a tick");
            let (unit, units) = (rate / 50, ms * (rate / 1000));
            for (press, sent) in all.chunks(period).enumerate() {
                let start = press as u32 * period as u32 * unit;
                let count = sent.iter().flatten().count();
                assert!(sent[..count].iter().all(Option::is_some), "{case}: a packet each tick, then the pause");
                assert!(count < sent.len() || gap <= 80, "{case}: a pause");
                let packets: Vec<_> = sent.iter().flatten().copied().collect();
                assert!(packets.iter().enumerate().all(|(n, p)| p.0 == (n == 0)), "{case}: the marker is the first's");
                let (updates, ends) = packets.split_at(count - 3);
                assert!(updates.iter().all(|p| !p.2) && ends.iter().all(|p| *p == (false, ends[0].1, true, ends[0].3)));
                assert_eq!(ends[0].1 - start + u32::from(ends[0].3), units, "{case}: the whole length at the end");
                let mut before = 0;
                for (n, &(_, timestamp, _, duration)) in updates.iter().enumerate() {
                    assert_eq!((timestamp - start) % 0xFFFF, 0, "{case}: segments begin where full ones ended");
                    let told = timestamp - start + u32::from(duration);
                    let elapsed = (n as u32 + 1) * unit;
                    assert!(told > before && told <= elapsed, "{case}: {told} of {elapsed} units");
                    assert!(told == elapsed || duration == 0xFFFF, "{case}: only a full segment holds time back");
                    before = told;
                }
            }
        }
    }

    /// Any one packet of a press may be lost, and the press arrives once and whole.
    #[test]
    fn our_receiver_takes_each_press_once_whichever_packet_is_lost() {
        use crate::dtmf::event::EventArrival;
        use crate::dtmf::{EventReceiver, Phase};
        use crate::time::Time;
        for (rate, ms) in [(8000, 60), (8000, 8200), (48_000, 100), (48_000, 1400)] {
            let digits = [Digit::Seven, Digit::Seven, Digit::A];
            let packets = EventSender::new(digits, ms, 60).with_clock_rate(rate);
            let count = ticks(&mut packets.clone()).len();
            for lost in 0..=count {
                let mut sender = packets.clone();
                let mut receiver = EventReceiver::new(rate);
                let mut heard = Vec::new();
                let mut sequence = 65_530u16;
                for tick in 0..count {
                    let now = Time::from_micros(tick as u64 * 20_000);
                    let mut note = |report: crate::dtmf::Report| match report.phase {
                        Phase::Start => {}
                        Phase::End { duration } => heard.push((report.digit, duration.as_millis() as u32)),
                    };
                    receiver.poll(now, &mut note);
                    let Some(packet) = sender.next() else { continue };
                    sequence = sequence.wrapping_add(1);
                    if tick != lost {
                        let arrival = EventArrival {
                            payload: &packet.payload,
                            timestamp: packet.timestamp_offset.wrapping_add(u32::MAX - 5000),
                            sequence,
                            marker: packet.marker,
                        };
                        receiver.receive(arrival, now, &mut note).unwrap();
                    }
                }
                receiver.reset(Time::from_micros(count as u64 * 20_000), &mut |_| {});
                assert_eq!(heard, digits.map(|digit| (digit, ms)), "{ms} ms at {rate} Hz, packet {lost} lost");
            }
        }
    }
}
