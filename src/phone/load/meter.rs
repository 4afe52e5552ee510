//! What comes to one call, measured: how much, what is missing, and how far its pacing is off its own timestamps.

use super::figures::Histogram;
use super::socket::{Stamp, milliseconds};
use crate::rtp::packet::Packet;
use crate::rtp::sequence::{Arrival, Sequence};

/// Every so many-th packet's loudness is looked at.
const LOOK: u64 = 8;
/// Mean square of samples below which a packet is silence: an RMS of 50.
const SILENT: f64 = 2_500.0;

/// What all calls of a run share.
#[derive(Debug, Default)]
pub struct Gaps {
    /// When measuring began; none: not yet.
    pub from: Option<Stamp>,
    /// When it ended.
    pub to: Option<Stamp>,
    /// |gap between two arrivals − their timestamps' step| in milliseconds.
    pub deviation: Histogram,
    /// The longest gap between two packets of a call, in milliseconds.
    pub longest: f64,
}

impl Gaps {
    fn covers(&self, stamp: Stamp) -> bool {
        self.from.is_some_and(|from| stamp >= from) && self.to.is_none_or(|to| stamp < to)
    }
}

/// One call's meter.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// When the first packet came.
    pub first: Option<Stamp>,
    /// Packets since the call's beginning.
    pub received: u64,
    /// Packets that our own socket lost, as it told last, and as it told before measuring.
    dropped: u32,
    dropped_before: u32,
    last: Option<Last>,
    ssrc: u32,
    window: Window,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    stamp: Stamp,
    timestamp: u32,
    /// The sequence number, counted on past its wrap.
    number: i64,
}

/// What came while it was measured.
#[derive(Clone, Debug, Default)]
struct Window {
    packets: u64,
    sequence: Option<Sequence>,
    repeated: u64,
    looked: u64,
    energy: f64,
}

/// What a call's meter says of the time that was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Packets received.
    pub packets: u64,
    /// Packets that never came, by their sequence numbers.
    pub lost: u64,
    /// Packets that came twice.
    pub repeated: u64,
    /// Packets that our own socket lost.
    pub dropped: u64,
    /// Was there anything to hear?
    pub silent: bool,
}

impl Meter {
    /// A packet came, whose audio is G.711 in this decoder's hands; `dropped` is what the socket has lost so far.
    pub fn receive(&mut self, packet: &Packet<'_>, stamp: Stamp, dropped: u32, gaps: &mut Gaps, decode: fn(u8) -> i16) {
        let header = packet.header;
        self.received += 1;
        self.first.get_or_insert(stamp);
        if header.ssrc != self.ssrc {
            self.ssrc = header.ssrc;
            self.last = None;
            self.window.sequence = None;
        }
        let number = self.last.map_or(i64::from(header.sequence), |last| {
            last.number + i64::from(header.sequence.wrapping_sub(last.number as u16) as i16)
        });
        if gaps.covers(stamp) {
            self.dropped = dropped;
            if let Some(last) = self.last
                && number == last.number + 1
            {
                let gap = milliseconds(last.stamp, stamp);
                let step = f64::from(header.timestamp.wrapping_sub(last.timestamp) as i32) / 8.0;
                // The packets of one telephone event share a timestamp: they say nothing of pacing.
                if step > 0.0 {
                    gaps.deviation.add((gap - step).abs());
                }
                gaps.longest = gaps.longest.max(gap);
            }
            self.count(packet, decode);
        } else if gaps.from.is_none() {
            self.dropped_before = dropped;
            self.dropped = dropped;
        }
        if self.last.is_none_or(|last| number > last.number) {
            self.last = Some(Last { stamp, timestamp: header.timestamp, number });
        }
    }

    fn count(&mut self, packet: &Packet<'_>, decode: fn(u8) -> i16) {
        let window = &mut self.window;
        window.packets += 1;
        match &mut window.sequence {
            Some(sequence) => {
                window.repeated += u64::from(sequence.update(packet.header.sequence) == Arrival::Duplicate);
            }
            None => window.sequence = Some(Sequence::new(packet.header.sequence)),
        }
        if window.packets % LOOK == 1 && !packet.payload.is_empty() {
            let square = |byte: &u8| f64::from(decode(*byte)).powi(2);
            window.energy += packet.payload.iter().map(square).sum::<f64>() / packet.payload.len() as f64;
            window.looked += 1;
        }
    }

    /// What was measured.
    pub fn reading(&self) -> Reading {
        let window = &self.window;
        Reading {
            packets: window.packets,
            lost: window.sequence.as_ref().map_or(0, Sequence::lost),
            repeated: window.repeated,
            dropped: u64::from(self.dropped.wrapping_sub(self.dropped_before)),
            silent: window.energy / (window.looked.max(1) as f64) < SILENT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::packet::Header;

    const MS: u64 = 1_000_000;

    fn feed(meter: &mut Meter, gaps: &mut Gaps, number: u16, at_ms: u64) {
        let header =
            Header { marker: false, payload_type: 0, sequence: number, timestamp: u32::from(number) * 160, ssrc: 7 };
        let packet = Packet { header, payload: &[0x10; 160] };
        meter.receive(&packet, at_ms * MS, 0, gaps, |byte| i16::from(byte) * 100);
    }

    #[test]
    fn loss_repetition_and_pacing_are_those_of_the_window() {
        let (mut meter, mut gaps) = (Meter::default(), Gaps::default());
        feed(&mut meter, &mut gaps, 65_533, 0);
        gaps.from = Some(10 * MS);
        // 0 comes late, 2 comes twice; then the window is over.
        for (number, at) in [(65_535, 40), (1, 80), (0, 81), (2, 103), (2, 104), (3, 120)] {
            feed(&mut meter, &mut gaps, number, at);
        }
        gaps.to = Some(130 * MS);
        feed(&mut meter, &mut gaps, 4, 140);
        let reading = meter.reading();
        assert_eq!(reading, Reading { packets: 6, lost: 0, repeated: 1, dropped: 0, silent: false });
        assert_eq!((meter.first, meter.received), (Some(0), 8));
        // Measured gaps: 1→2 (23 ms for 20) and 2→3 (17 ms for 20).
        assert!((gaps.deviation.highest().unwrap() - 3.0).abs() < 1e-9 && gaps.longest == 23.0);
    }

    #[test]
    fn what_never_came_is_lost_and_zeros_are_silence() {
        let (mut meter, mut gaps) = (Meter::default(), Gaps { from: Some(0), ..Gaps::default() });
        feed(&mut meter, &mut gaps, 10, 0);
        feed(&mut meter, &mut gaps, 15, 100);
        assert_eq!((meter.reading().packets, meter.reading().lost), (2, 4));
        assert!(Meter::default().reading().silent);
    }
}
