//! RTCP (RFC 3550 §6): reading compound packets safely, writing SR/RR with SDES CNAME and BYE, and the sums that
//! go with them: reporting interval (§6.2, appendix A.7), interarrival jitter (A.8) and round trip (§6.4.1).

use std::time::Duration;

use crate::random::Random;
use crate::time::Time;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const CNAME: u8 = 1;
/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_OFFSET: u64 = 2_208_988_800;
/// RFC 3550 §6.2: the least interval, halved before the first report.
const MINIMUM_INTERVAL: Duration = Duration::from_secs(5);
/// Longest CNAME that is written; a longer one is cut.
pub const MAX_CNAME: usize = 64;
/// Room that [`write`] needs at most: SR with one block (52), SDES (8 + 2 + 64 + padding), BYE (8).
pub const MAX_WRITTEN: usize = 52 + 80 + 8;

/// What a sender says of itself (§6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall clock, NTP format (32.32 seconds since 1900).
    pub ntp: u64,
    /// The same moment on the stream's clock.
    pub rtp_timestamp: u32,
    /// RTP packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// What a receiver says of one source (§6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source it is about.
    pub ssrc: u32,
    /// Part lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the start, 24 bits signed.
    pub cumulative_lost: i32,
    /// Wraps and highest sequence number.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the stream's clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last SR from that source; 0: none.
    pub last_sr: u32,
    /// Time since that SR in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// One packet of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpPacket<'a> {
    /// SR.
    SenderReport {
        /// Who reports.
        ssrc: u32,
        /// What it sent.
        info: SenderInfo,
        /// What it received.
        blocks: Blocks<'a>,
    },
    /// RR.
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// What it received.
        blocks: Blocks<'a>,
    },
    /// BYE; of several sources the first.
    Goodbye {
        /// Who leaves; none: an empty BYE.
        ssrc: Option<u32>,
    },
    /// SDES, APP, feedback, XR…: well-framed, not read.
    Other(u8),
}

/// The reception reports of one SR or RR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks<'a>(&'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.0.split_first_chunk::<24>()?;
        self.0 = rest;
        let word = |n: usize| word(block, n * 4).unwrap_or(0);
        let lost = word(1);
        Some(ReportBlock {
            ssrc: word(0),
            fraction_lost: (lost >> 24) as u8,
            // Sign-extends 24 bits.
            cumulative_lost: ((lost << 8) as i32) >> 8,
            highest_sequence: word(2),
            jitter: word(3),
            last_sr: word(4),
            delay_since_last_sr: word(5),
        })
    }
}

/// Why bytes are not an RTCP compound packet (RFC 3550 appendix A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// A length runs out of the datagram, or it is empty.
    #[error("RTCP packet is truncated")]
    Truncated,
    /// A version is not 2.
    #[error("RTCP version is not 2")]
    Version,
    /// It does not begin with SR or RR.
    #[error("RTCP compound does not begin with a report")]
    NoReport,
    /// Padding elsewhere than in the last packet, or more than there is.
    #[error("RTCP padding is malformed")]
    Padding,
    /// Fewer blocks or sources than counted.
    #[error("RTCP report is too short for its count")]
    Count,
}

/// A compound whose structure is sound; iterate over its packets.
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a>(&'a [u8]);

impl<'a> Compound<'a> {
    /// Checks a whole datagram.
    ///
    /// # Errors
    /// When it breaks RFC 3550 appendix A.2 or a count does not fit its packet.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtcpError> {
        let kind = *bytes.get(1).ok_or(RtcpError::Truncated)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (_, _, after) = read(rest)?;
            rest = after;
        }
        if !matches!(kind, SENDER_REPORT | RECEIVER_REPORT) {
            return Err(RtcpError::NoReport);
        }
        Ok(Compound(bytes))
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = RtcpPacket<'a>;

    fn next(&mut self) -> Option<RtcpPacket<'a>> {
        let (packet, _, rest) = read(self.0).ok()?;
        self.0 = rest;
        Some(packet)
    }
}

/// One packet off the front: it, its length in bytes, and the rest.
fn read(bytes: &[u8]) -> Result<(RtcpPacket<'_>, usize, &[u8]), RtcpError> {
    let (head, _) = bytes.split_first_chunk::<4>().ok_or(RtcpError::Truncated)?;
    let [first, kind, l0, l1] = *head;
    if first >> 6 != 2 {
        return Err(RtcpError::Version);
    }
    let length = (usize::from(u16::from_be_bytes([l0, l1])) + 1) * 4;
    let mut body = bytes.get(4..length).ok_or(RtcpError::Truncated)?;
    let rest = bytes.get(length..).ok_or(RtcpError::Truncated)?;
    if first & 0x20 != 0 {
        let padding = usize::from(*body.last().ok_or(RtcpError::Padding)?);
        if padding == 0 || padding % 4 != 0 || !rest.is_empty() {
            return Err(RtcpError::Padding);
        }
        let kept = body.len().checked_sub(padding).ok_or(RtcpError::Padding)?;
        body = body.get(..kept).ok_or(RtcpError::Padding)?;
    }
    let count = usize::from(first & 0x1F);
    let blocks = |from: usize| body.get(from..from + count * 24).map(Blocks).ok_or(RtcpError::Count);
    let packet = match kind {
        SENDER_REPORT => {
            let word = |at: usize| word(body, at).ok_or(RtcpError::Count);
            RtcpPacket::SenderReport {
                ssrc: word(0)?,
                info: SenderInfo {
                    ntp: u64::from(word(4)?) << 32 | u64::from(word(8)?),
                    rtp_timestamp: word(12)?,
                    packets: word(16)?,
                    octets: word(20)?,
                },
                blocks: blocks(24)?,
            }
        }
        RECEIVER_REPORT => {
            RtcpPacket::ReceiverReport { ssrc: word(body, 0).ok_or(RtcpError::Count)?, blocks: blocks(4)? }
        }
        GOODBYE => {
            if body.len() < count * 4 {
                return Err(RtcpError::Count);
            }
            RtcpPacket::Goodbye { ssrc: if count > 0 { word(body, 0) } else { None } }
        }
        other => RtcpPacket::Other(other),
    };
    Ok((packet, length, rest))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*four))
}

/// What goes into a compound that we send.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// Us.
    pub ssrc: u32,
    /// Present: an SR, else an RR.
    pub sender: Option<SenderInfo>,
    /// What we received, of whom.
    pub report: Option<ReportBlock>,
    /// Our canonical name; at most [`MAX_CNAME`] bytes are written.
    pub cname: &'a [u8],
    /// Say goodbye.
    pub goodbye: bool,
}

/// Writes a compound: SR or RR, SDES with CNAME, and BYE if wanted. Returns its length.
pub fn write(what: &Written<'_>, out: &mut [u8; MAX_WRITTEN]) -> usize {
    let mut cursor = Cursor { out, at: 0 };
    let blocks = u8::from(what.report.is_some());
    let (kind, words) = if what.sender.is_some() { (SENDER_REPORT, 6) } else { (RECEIVER_REPORT, 1) };
    cursor.head(blocks, kind, words + u16::from(blocks) * 6);
    cursor.word(what.ssrc);
    if let Some(info) = &what.sender {
        cursor.word((info.ntp >> 32) as u32);
        cursor.word(info.ntp as u32);
        cursor.word(info.rtp_timestamp);
        cursor.word(info.packets);
        cursor.word(info.octets);
    }
    if let Some(report) = &what.report {
        cursor.word(report.ssrc);
        cursor.word(u32::from(report.fraction_lost) << 24 | report.cumulative_lost as u32 & 0xFF_FFFF);
        cursor.word(report.highest_sequence);
        cursor.word(report.jitter);
        cursor.word(report.last_sr);
        cursor.word(report.delay_since_last_sr);
    }
    let cname = what.cname.get(..MAX_CNAME).unwrap_or(what.cname);
    // SSRC, item header, text, and at least one zero byte that ends the chunk on a word boundary (§6.5).
    let chunk = (4 + 2 + cname.len() + 1).next_multiple_of(4);
    cursor.head(1, SOURCE_DESCRIPTION, (chunk / 4) as u16);
    let chunk_end = cursor.at + chunk;
    cursor.word(what.ssrc);
    cursor.bytes(&[CNAME, cname.len() as u8]);
    cursor.bytes(cname);
    while cursor.at < chunk_end {
        cursor.bytes(&[0]);
    }
    if what.goodbye {
        cursor.head(1, GOODBYE, 1);
        cursor.word(what.ssrc);
    }
    cursor.at
}

struct Cursor<'a> {
    out: &'a mut [u8; MAX_WRITTEN],
    at: usize,
}

impl Cursor<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(room) = self.out.get_mut(self.at..self.at + bytes.len()) {
            room.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }

    fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }

    fn head(&mut self, count: u8, kind: u8, words: u16) {
        let [high, low] = words.to_be_bytes();
        self.bytes(&[0x80 | count, kind, high, low]);
    }
}

/// The moment in NTP format.
pub fn ntp(now: Time) -> u64 {
    let micros = now.as_micros();
    let seconds = micros / 1_000_000 + NTP_OFFSET;
    let fraction = ((micros % 1_000_000) << 32) / 1_000_000;
    seconds << 32 | fraction
}

/// The middle 32 bits of an NTP time: 16.16 seconds.
pub fn ntp_middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// Round trip by a report on us that came at `now` (§6.4.1). None: it answers no SR of ours, or is nonsense
/// (negative, or more than a minute).
pub fn round_trip(report: &ReportBlock, now: Time) -> Option<Duration> {
    if report.last_sr == 0 {
        return None;
    }
    let arrival = ntp_middle(ntp(now));
    let trip = arrival.wrapping_sub(report.last_sr).wrapping_sub(report.delay_since_last_sr);
    // Rounding of the two clocks' fractions may make a loopback trip come out at minus one unit.
    let trip = if trip == u32::MAX { 0 } else { trip };
    (trip < 60 << 16).then(|| Duration::from_micros((u64::from(trip) * 1_000_000) >> 16))
}

/// Time to the next report (§6.2, A.7). Two members on a 64 kbit/s stream never reach the bandwidth limit, so it is
/// the minimum (halved before the first), randomised over 0.5–1.5 and divided by e − 3/2.
pub fn interval(first: bool, random: &mut Random) -> Duration {
    let base = if first { MINIMUM_INTERVAL / 2 } else { MINIMUM_INTERVAL };
    let factor = (500 + random.below(1_001)) as f64 / 1_000.0 / (std::f64::consts::E - 1.5);
    base.mul_f64(factor)
}

/// Interarrival jitter (appendix A.8).
#[derive(Clone, Debug, Default)]
pub struct Jitter {
    /// Of the timestamps, Hz; 0: nothing has come.
    clock_rate: u32,
    last_transit: Option<i64>,
    /// Scaled by 16.
    estimate: u64,
    highest: u64,
}

impl Jitter {
    /// A packet with new audio came; its timestamp is of a clock of `clock_rate` Hz.
    pub fn update(&mut self, timestamp: u32, clock_rate: u32, now: Time) {
        if clock_rate != self.clock_rate {
            *self = Jitter { clock_rate, ..Jitter::default() };
        }
        let arrival = now.as_micros() * (u64::from(clock_rate) / 1_000) / 1_000;
        let transit = i64::from((arrival as u32).wrapping_sub(timestamp) as i32);
        if let Some(last) = self.last_transit {
            let difference = (transit - last).unsigned_abs();
            // A jump of the timestamp by more than a second is not jitter.
            if difference < u64::from(clock_rate) {
                self.estimate = self.estimate + difference - ((self.estimate + 8) >> 4);
                self.highest = self.highest.max(self.estimate);
            }
        }
        self.last_transit = Some(transit);
    }

    /// In units of the clock, as a report wants it.
    pub fn units(&self) -> u32 {
        u32::try_from(self.estimate >> 4).unwrap_or(u32::MAX)
    }

    /// In milliseconds.
    pub fn milliseconds(&self) -> f64 {
        self.in_milliseconds(self.estimate)
    }

    /// The highest so far, in milliseconds.
    pub fn highest_milliseconds(&self) -> f64 {
        self.in_milliseconds(self.highest)
    }

    fn in_milliseconds(&self, scaled: u64) -> f64 {
        scaled as f64 / 16.0 * 1_000.0 / f64::from(self.clock_rate.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> ReportBlock {
        ReportBlock {
            ssrc: 0x2222_2222,
            fraction_lost: 12,
            cumulative_lost: -3,
            highest_sequence: 0x0001_0002,
            jitter: 77,
            last_sr: 0x1234_5678,
            delay_since_last_sr: 0x10000,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let info = SenderInfo { ntp: ntp(Time::from_micros(1_500_000)), rtp_timestamp: 5, packets: 6, octets: 7 };
        for (sender, report, goodbye, cname) in [
            (Some(info), Some(block()), true, &b"abc"[..]),
            (Some(info), None, false, b""),
            (None, Some(block()), false, b"abcdefg"),
            (None, None, true, &[b'x'; 100]),
        ] {
            let mut out = [0; MAX_WRITTEN];
            let what = Written { ssrc: 0x1111_1111, sender, report, cname, goodbye };
            let length = write(&what, &mut out);
            assert_eq!(length % 4, 0);
            let packets: Vec<_> = Compound::parse(&out[..length]).unwrap().collect();
            assert_eq!(packets.len(), 2 + usize::from(goodbye));
            match packets[0] {
                RtcpPacket::SenderReport { ssrc, info: read, blocks } => {
                    assert_eq!((ssrc, Some(read)), (0x1111_1111, sender));
                    assert_eq!(blocks.collect::<Vec<_>>(), report.into_iter().collect::<Vec<_>>());
                }
                RtcpPacket::ReceiverReport { ssrc, blocks } => {
                    assert_eq!((ssrc, None), (0x1111_1111, sender));
                    assert_eq!(blocks.collect::<Vec<_>>(), report.into_iter().collect::<Vec<_>>());
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(packets[1], RtcpPacket::Other(SOURCE_DESCRIPTION));
            if goodbye {
                assert_eq!(packets[2], RtcpPacket::Goodbye { ssrc: Some(0x1111_1111) });
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_rfc() {
        let mut out = [0; MAX_WRITTEN];
        let what = Written { ssrc: 1, sender: None, report: None, cname: b"ab", goodbye: true };
        let length = write(&what, &mut out);
        let expected = [
            0x80, 201, 0, 1, 0, 0, 0, 1, // RR
            0x81, 202, 0, 3, 0, 0, 0, 1, 1, 2, b'a', b'b', 0, 0, 0, 0, // SDES
            0x81, 203, 0, 1, 0, 0, 0, 1, // BYE
        ];
        assert_eq!(out[..length], expected);
    }

    #[test]
    fn malformed_compounds_are_refused() {
        let rr = [0x80, 201, 0, 1, 0, 0, 0, 1];
        assert!(Compound::parse(&rr).is_ok());
        let error = |bytes: &[u8]| Compound::parse(bytes).err();
        assert_eq!(error(&[]), Some(RtcpError::Truncated));
        assert_eq!(error(&rr[..7]), Some(RtcpError::Truncated));
        assert_eq!(error(&[0x40, 201, 0, 1, 0, 0, 0, 1]), Some(RtcpError::Version));
        assert_eq!(error(&[0x81, 201, 0, 1, 0, 0, 0, 1]), Some(RtcpError::Count));
        assert_eq!(error(&[0x80, 200, 0, 1, 0, 0, 0, 1]), Some(RtcpError::Count));
        assert_eq!(error(&[0x80, 202, 0, 0]), Some(RtcpError::NoReport));
        assert_eq!(error(&[&rr[..], &[0x80, 203, 0, 9]].concat()), Some(RtcpError::Truncated));
        assert_eq!(error(&[&rr[..], &[0x85, 203, 0, 0]].concat()), Some(RtcpError::Count));
        // Padding in the first of two, and more than there is.
        assert_eq!(error(&[&[0xA0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4][..], &rr].concat()), Some(RtcpError::Padding));
        assert_eq!(error(&[0xA0, 201, 0, 1, 0, 0, 0, 8]), Some(RtcpError::Padding));
        assert!(Compound::parse(&[0xA0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4]).is_ok());
    }

    #[test]
    fn ntp_and_round_trip() {
        let sent = Time::from_micros(1_700_000_000_250_000);
        assert_eq!(ntp(sent) >> 32, 1_700_000_000 + NTP_OFFSET);
        assert_eq!(ntp(sent) as u32, 1 << 30);
        let report = ReportBlock { last_sr: ntp_middle(ntp(sent)), delay_since_last_sr: 2 << 16, ..block() };
        let trip = round_trip(&report, sent + Duration::from_millis(2_080)).unwrap();
        assert!((79_900..80_100).contains(&trip.as_micros()), "{trip:?}");
        assert_eq!(round_trip(&report, sent + Duration::from_secs(1)), None, "negative");
        assert_eq!(round_trip(&ReportBlock { last_sr: 0, ..report }, sent), None);
    }

    #[test]
    fn intervals_lie_where_the_rfc_wants_them() {
        let mut random = Random::from_number(4);
        let mut sum = Duration::ZERO;
        for _ in 0..1_000 {
            let next = interval(false, &mut random);
            assert!(next >= Duration::from_millis(2_050) && next <= Duration::from_millis(6_160), "{next:?}");
            sum += next;
            assert!(interval(true, &mut random) <= Duration::from_millis(3_080));
        }
        assert!((3_900..4_300).contains(&(sum / 1_000).as_millis()), "{sum:?}");
    }

    #[test]
    fn jitter_by_the_book() {
        let mut jitter = Jitter::default();
        let mut now = Time::from_micros(1_000_000_000);
        for packet in 0..500u32 {
            jitter.update(packet.wrapping_mul(160).wrapping_sub(8_000), 8_000, now);
            now += Duration::from_millis(20);
        }
        assert_eq!(jitter.units(), 0);
        // Alternately 10 ms early and late: every difference is 10 ms (80 units), to which the estimate converges.
        for packet in 500..1_000u32 {
            now += Duration::from_millis(if packet % 2 == 0 { 10 } else { 30 });
            jitter.update(packet.wrapping_mul(160).wrapping_sub(8_000), 8_000, now);
        }
        assert!((78..=80).contains(&jitter.units()), "{}", jitter.units());
        assert!((jitter.milliseconds() - 10.0).abs() < 0.5);
    }

    #[test]
    fn random_compounds_never_panic() {
        let mut random = Random::from_number(11);
        let mut sound = 0;
        for _ in 0..200_000 {
            let mut bytes: Vec<u8> = (0..random.below(20) * 4).map(|_| random.u32() as u8).collect();
            if bytes.len() > 4 && random.below(8) != 0 {
                bytes[0] = 0x80 | bytes[0] & 0x21;
                bytes[1] = 200 + bytes[1] % 5;
                bytes[2] = 0;
                bytes[3] = random.below(bytes.len() as u64 / 4) as u8;
            }
            if let Ok(compound) = Compound::parse(&bytes) {
                sound += 1;
                for packet in compound {
                    if let RtcpPacket::SenderReport { blocks, .. } | RtcpPacket::ReceiverReport { blocks, .. } = packet
                    {
                        blocks.for_each(drop);
                    }
                }
            }
        }
        assert!(sound > 1_000, "{sound}");
    }
}
