//! What is wrong with a stream that should carry audio and does not, with the likely cause: one-way audio in either
//! direction, silent audio, payload types and codecs that were not agreed. It watches and says; what the findings
//! change is nobody's business but the reader's of the call's timeline.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::media::source::is_somewhere;
use crate::rtp::rtcp::ReportBlock;
use crate::rtp::statistics::StreamStatistics;
use crate::session::NegotiatedMedia;
use crate::time::Time;

/// How long nothing may come before it is one-way audio: the answer, NAT and slow phones have had their time, and
/// discontinuous transmission sends oftener (Opus each 400 ms).
const NOTHING_AFTER: Duration = Duration::from_secs(5);
/// How long audio may be silent from its start before it is told. Nobody's room is that silent.
const SILENT_FRAMES: u32 = 500;
/// Samples up to this are silence: the quietest step of either law and a bit.
const SILENT_PEAK: u16 = 16;
/// Packets that must have been sent before a peer that reports on none of them is taken to be deaf: 5 s.
const UNREPORTED_PACKETS: u64 = 250;
/// How often the slow checks look.
const EVERY: Duration = Duration::from_secs(1);

/// What a stream had counted when it was negotiated.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    received: u64,
    unknown_payload: u64,
    strangers: u64,
    rtcp_received: u64,
    sent: u64,
}

impl Counted {
    fn now(statistics: &StreamStatistics) -> Self {
        Counted {
            received: statistics.packets_received,
            unknown_payload: statistics.unknown_payload,
            strangers: statistics.strangers,
            rtcp_received: statistics.rtcp_received,
            sent: statistics.packets_sent,
        }
    }

    /// What was counted since `before`.
    fn since(self, before: Self) -> Self {
        Counted {
            received: self.received.saturating_sub(before.received),
            unknown_payload: self.unknown_payload.saturating_sub(before.unknown_payload),
            strangers: self.strangers.saturating_sub(before.strangers),
            rtcp_received: self.rtcp_received.saturating_sub(before.rtcp_received),
            sent: self.sent.saturating_sub(before.sent),
        }
    }
}

/// Watches one stream. Each finding is told once for each negotiation, that audio stopped once for each time.
#[derive(Clone, Debug, Default)]
pub(super) struct Diagnosis {
    /// Since when the present agreement holds; none: not connected, or the peer should not send.
    since: Option<Time>,
    before: Counted,
    next_look: Option<Time>,
    /// When what was last told to be missing was last heard.
    told_missing_since: Option<Time>,
    silent_frames: u32,
    /// Something louder than silence was heard, or its absence has been told.
    level_settled: bool,
    /// What the peer last said it had of ours, and how much had been sent then.
    reported: Option<(u32, u64)>,
    deaf_told: bool,
    /// A payload type, other than comfort noise, that came from the peer and was not agreed.
    unagreed: Option<u8>,
    /// The same from another host.
    strange: Option<u8>,
    /// The peer's payload types that were told of as not agreed, a bit for each.
    told_unagreed: u128,
}

impl Diagnosis {
    /// The stream was negotiated, or renegotiated. It is taken to have been heard now.
    pub(super) fn connected(&mut self, media: &NegotiatedMedia, statistics: &StreamStatistics, now: Time) {
        let level_settled = self.level_settled;
        *self = Diagnosis {
            since: (media.direction.receives() && is_somewhere(media.remote_rtp)).then_some(now),
            before: Counted::now(statistics),
            next_look: Some(now + NOTHING_AFTER),
            level_settled,
            ..Diagnosis::default()
        };
    }

    /// Has nothing come for too long? Cheap in every frame. `heard`: when the last packet came, comfort noise included.
    pub(super) fn look(
        &mut self,
        media: &NegotiatedMedia,
        statistics: &StreamStatistics,
        heard: Time,
        now: Time,
    ) -> Option<String> {
        if self.next_look.is_none_or(|next| now < next) {
            return None;
        }
        self.next_look = Some(now + EVERY);
        let since = self.since?;
        let counted = Counted::now(statistics).since(self.before);
        // What was not agreed cannot be heard, however much of it comes.
        let missing_since = if counted.received == 0 && self.unagreed.is_some() { since } else { heard };
        if self.told_missing_since == Some(missing_since) {
            return None;
        }
        let silence = now.since(missing_since);
        if silence < NOTHING_AFTER {
            self.next_look = Some(missing_since + NOTHING_AFTER);
            return None;
        }
        self.told_missing_since = Some(missing_since);
        let seconds = silence.as_secs();
        if missing_since > since {
            let came = counted.received + counted.unknown_payload;
            return Some(format!(
                "one-way audio: nothing has come from the peer for {seconds} s; {came} packets came before. Likely \
                 cause: the network or the peer stopped, a NAT binding was lost, or the peer suppresses silence or \
                 holds without a re-INVITE"
            ));
        }
        let cause = self.why_nothing(media.remote_rtp, counted);
        Some(format!(
            "one-way audio: nothing has come from the peer in {seconds} s, though it should send; {} packets have \
             gone to {}. Likely cause: {cause}",
            counted.sent, media.remote_rtp,
        ))
    }

    fn why_nothing(&self, signalled: SocketAddr, counted: Counted) -> String {
        if let Some(number) = self.unagreed {
            return format!("all it sends has payload type {number}, which was not agreed");
        }
        if let Some(number) = self.strange {
            return format!(
                "what comes is from a stranger, not from the host that it signalled, and has payload type {number}, \
                 which was not agreed"
            );
        }
        if counted.strangers > 0 {
            return "packets come, but neither from the address it signalled nor in sequence from another: several \
                    senders, or a network that rewrites each packet's source"
                .to_owned();
        }
        if counted.rtcp_received > 0 {
            return "its RTCP arrives and its RTP does not: a firewall that opens only one port of the pair, or a peer \
                    that has nothing to send"
                .to_owned();
        }
        match signalled.ip() {
            ip if ip.is_loopback() => {
                format!("its SDP names the loopback address {ip}: it takes itself for a neighbour on this machine")
            }
            ip if is_private(ip) => format!(
                "its SDP names the private address {ip}: it is behind NAT, and what we send does not reach it to open \
                 the way back"
            ),
            _ => "a firewall between it and our RTP ports, or an address in our SDP that it cannot reach (setting \
                  `advertise`)"
                .to_owned(),
        }
    }

    /// Is the level of what is heard still to be watched?
    pub(super) fn wants_level(&self) -> bool {
        !self.level_settled && self.since.is_some()
    }

    /// A frame of the peer's audio was heard.
    pub(super) fn level(&mut self, frame: &[i16]) -> Option<String> {
        if self.level_settled {
            return None;
        }
        let peak = frame.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        if peak > SILENT_PEAK {
            self.level_settled = true;
            return None;
        }
        self.silent_frames += 1;
        if self.silent_frames < SILENT_FRAMES {
            return None;
        }
        self.level_settled = true;
        Some(format!(
            "silent audio: the peer's packets arrive, but hold nothing but silence for {} s. Likely cause: its \
             microphone is muted or of another device, or the leg behind it is one-way",
            SILENT_FRAMES / 50
        ))
    }

    /// The peer reported by RTCP: on our stream (`block`), or on others or none.
    pub(super) fn peer_report(&mut self, block: Option<&ReportBlock>, packets_sent: u64) -> Option<String> {
        let has = block.map_or(0, |block| block.highest_sequence);
        let Some((had, sent_then)) = self.reported else {
            self.reported = Some((has, packets_sent));
            return None;
        };
        if has != had {
            self.reported = Some((has, packets_sent));
            return None;
        }
        let unheard = packets_sent.saturating_sub(sent_then);
        if self.deaf_told || unheard < UNREPORTED_PACKETS {
            return None;
        }
        self.deaf_told = true;
        Some(if block.is_some() {
            format!(
                "one-way audio: the peer's RTCP reports say that none of our last {unheard} packets came. Likely \
                 cause: a firewall or NAT before it has closed the way"
            )
        } else {
            format!(
                "one-way audio: the peer sends RTCP reports, but none on our stream after {unheard} packets. Likely \
                 cause: our packets do not reach it (firewall, or an address in its SDP that is not its own), or its \
                 RTCP leaves such reports out"
            )
        })
    }

    /// The peer sent a packet whose payload type was not agreed: what it is, by its number and shape, and what that
    /// means. Told once for each payload type.
    pub(super) fn unagreed(&mut self, media: &NegotiatedMedia, number: u8, payload: &[u8]) -> Option<String> {
        if !is_comfort_noise(number) {
            self.unagreed = Some(number);
        }
        let bit = 1 << (number & 0x7F);
        if self.told_unagreed & bit != 0 {
            return None;
        }
        self.told_unagreed |= bit;
        Some(what_is_unagreed(media, number, payload))
    }

    /// A packet whose payload type was not agreed came from a host that is not the peer's.
    pub(super) fn unagreed_from_stranger(&mut self, number: u8) {
        self.strange = Some(number);
    }
}

/// RFC 3389: 13, and 19 before it.
pub(super) fn is_comfort_noise(payload_type: u8) -> bool {
    matches!(payload_type, 13 | 19)
}

fn what_is_unagreed(media: &NegotiatedMedia, number: u8, payload: &[u8]) -> String {
    let agreed = agreed(media);
    if is_comfort_noise(number) {
        return format!(
            "comfort noise (payload type {number}) was not agreed and is taken for silence: the peer suppresses \
             silence"
        );
    }
    if let Some(name) = static_name(number) {
        return format!(
            "RTP in {name} (payload type {number}) ignored: that codec was not agreed ({agreed}). Likely cause: \
             the peer, or a gateway before it, does not keep to the answer"
        );
    }
    if looks_like_event(payload) {
        let ours = media
            .receive_telephone_events
            .first()
            .map_or("it was not agreed".to_owned(), |ours| format!("{ours} was agreed"));
        return format!(
            "RTP with payload type {number} ignored: it looks like telephone-event, for which {ours}; the peer's \
             keys are lost. Likely cause: the peer sends with its own number instead of the agreed one"
        );
    }
    format!(
        "RTP with payload type {number} ({} bytes) ignored: it was not agreed ({agreed}). Likely cause: the peer \
         numbers its codecs otherwise than it was agreed",
        payload.len()
    )
}

fn agreed(media: &NegotiatedMedia) -> String {
    let names = media.receive_payload_types.iter().map(|(number, codec)| format!("{} {number}", codec.encoding_name()));
    let events = media.receive_telephone_events.iter().map(|number| format!("telephone-event {number}"));
    format!("agreed: {}", names.chain(events).collect::<Vec<_>>().join(", "))
}

/// RFC 4733 §2.3: four bytes, or several such blocks, the first with a key and a volume.
fn looks_like_event(payload: &[u8]) -> bool {
    matches!(payload, [event, second, _, _] if *event <= 16 && second & 0x40 == 0)
}

/// RFC 3551 tables 4 and 5: the audio codecs with a number of their own.
fn static_name(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "PCMU",
        3 => "GSM",
        4 => "G.723.1",
        5 | 6 | 16 | 17 => "DVI4",
        7 => "LPC",
        8 => "PCMA",
        9 => "G.722",
        10 | 11 => "L16 at 44.1 kHz",
        12 => "QCELP",
        14 => "MPEG audio",
        15 => "G.728",
        18 => "G.729",
        _ => return None,
    })
}

/// An address that means something only in its own network (RFC 1918, 6598, 3927, 4193, 4291).
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xC0 == 64)
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Codec, Direction, EventFormat};

    fn media(remote: &str) -> NegotiatedMedia {
        NegotiatedMedia {
            remote_rtp: remote.parse().unwrap(),
            remote_rtcp: remote.parse().unwrap(),
            codec: Codec::Pcmu,
            send_payload_type: 0,
            receive_payload_types: vec![(0, Codec::Pcmu), (8, Codec::Pcma)],
            send_telephone_event: Some(EventFormat::narrow(101)),
            receive_telephone_events: vec![EventFormat::narrow(96)],
            direction: Direction::SendRecv,
            ptime_ms: 20,
            send_dtx: false,
            rtcp_mux: false,
            srtp: None,
        }
    }

    fn at(ms: u64) -> Time {
        Time::EPOCH + Duration::from_millis(ms)
    }

    /// What is found in ten seconds in which nothing is received.
    fn after_ten_seconds(remote: &str, prepare: impl Fn(&mut Diagnosis, &mut StreamStatistics)) -> Vec<String> {
        let media = media(remote);
        let mut diagnosis = Diagnosis::default();
        let mut statistics = StreamStatistics { packets_sent: 250, ..StreamStatistics::default() };
        diagnosis.connected(&media, &StreamStatistics::default(), at(0));
        prepare(&mut diagnosis, &mut statistics);
        (0..500).filter_map(|frame| diagnosis.look(&media, &statistics, at(0), at(frame * 20))).collect()
    }

    #[test]
    fn nothing_received_is_told_once_with_its_likely_cause() {
        type Prepare = fn(&mut Diagnosis, &mut StreamStatistics);
        let nothing: Prepare = |_, _| {};
        let cases: [(&str, Prepare, &str); 9] = [
            ("192.168.1.7:4000", nothing, "private address 192.168.1.7"),
            ("100.70.0.1:4000", nothing, "private address 100.70.0.1"),
            ("[fd00::1]:4000", nothing, "private address fd00::1"),
            ("127.0.0.1:4000", nothing, "loopback address"),
            ("203.0.113.5:4000", nothing, "`advertise`"),
            ("203.0.113.5:4000", |_, s| s.rtcp_received = 1, "one port of the pair"),
            ("203.0.113.5:4000", |_, s| s.strangers = 9, "in sequence"),
            ("203.0.113.5:4000", |d, _| _ = d.unagreed(&media("1.2.3.4:5"), 18, &[0; 20]), "payload type 18"),
            ("203.0.113.5:4000", |d, _| d.unagreed_from_stranger(18), "from a stranger"),
        ];
        for (remote, prepare, cause) in cases {
            let found = after_ten_seconds(remote, prepare);
            let [text] = &found[..] else { panic!("{remote}: {found:?}") };
            assert!(text.starts_with("one-way audio") && text.contains(cause), "{remote}: {text}");
        }
    }

    #[test]
    fn a_peer_that_should_not_send_is_no_finding() {
        let nothing = StreamStatistics::default();
        let held = NegotiatedMedia { direction: Direction::SendOnly, ..media("192.168.1.7:4000") };
        for held in [held, media("0.0.0.0:4000")] {
            let mut diagnosis = Diagnosis::default();
            diagnosis.connected(&held, &nothing, at(0));
            assert!((0..500).all(|n| diagnosis.look(&held, &nothing, at(0), at(n * 20)).is_none()));
            assert!(!diagnosis.wants_level());
        }
    }

    #[test]
    fn audio_that_stops_is_told_once_until_it_is_heard_again() {
        let media = media("203.0.113.5:4000");
        let mut diagnosis = Diagnosis::default();
        let mut statistics = StreamStatistics { packets_received: 7, ..StreamStatistics::default() };
        diagnosis.connected(&media, &statistics, at(0));
        let mut heard = at(0);
        let mut found = Vec::new();
        // Heard until 20 s, at 30 s for a moment, from 60 s on each 400 ms, and from 80 s on no more.
        for ms in (0..100_000).step_by(20) {
            if ms < 20_000 || ms == 30_000 || ((60_000..80_000).contains(&ms) && ms % 400 == 0) {
                statistics.packets_received += 1;
                heard = at(ms);
            }
            found.extend(diagnosis.look(&media, &statistics, heard, at(ms)).map(|text| (ms, text)));
        }
        let when: Vec<_> = found.iter().map(|(ms, _)| ms / 1_000).collect();
        assert_eq!(when, [24, 35, 84], "{found:?}");
        assert!(found[0].1.contains("for 5 s; 1000 packets came before"), "{found:?}");

        diagnosis.connected(&media, &statistics, at(100_000));
        let text = (0..500).find_map(|n| diagnosis.look(&media, &statistics, at(100_000), at(100_000 + n * 20)));
        assert!(text.as_ref().is_some_and(|text| text.contains("nothing has come from the peer in 5 s")), "{text:?}");
    }

    #[test]
    fn silence_from_the_start_is_told_once_and_a_sound_settles_it() {
        let mut diagnosis = Diagnosis::default();
        diagnosis.connected(&media("10.0.0.1:4000"), &StreamStatistics::default(), at(0));
        let found: Vec<_> = (0..2_000).filter_map(|_| diagnosis.level(&[8, -8, 0])).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("muted"));

        let mut diagnosis = Diagnosis::default();
        diagnosis.connected(&media("10.0.0.1:4000"), &StreamStatistics::default(), at(0));
        assert!(diagnosis.wants_level());
        assert_eq!(diagnosis.level(&[0, 17]), None);
        assert!(!diagnosis.wants_level());
        assert!((0..2_000).all(|_| diagnosis.level(&[0]).is_none()));
        diagnosis.connected(&media("10.0.0.1:4000"), &StreamStatistics::default(), at(90_000));
        assert!(!diagnosis.wants_level(), "it was heard once: a hold does not make it silent");
    }

    #[test]
    fn a_peer_whose_reports_do_not_move_is_deaf() {
        let block = |highest_sequence| ReportBlock { highest_sequence, ..ReportBlock::default() };
        let mut diagnosis = Diagnosis::default();
        for round in 1..5u32 {
            assert_eq!(diagnosis.peer_report(Some(&block(round * 250)), u64::from(round) * 250), None);
        }
        assert_eq!(diagnosis.peer_report(Some(&block(1_000)), 1_100), None, "too few to tell");
        let text = diagnosis.peer_report(Some(&block(1_000)), 1_400).unwrap();
        assert!(text.contains("none of our last 400 packets"), "{text}");
        assert_eq!(diagnosis.peer_report(Some(&block(1_000)), 2_000), None, "once");

        let mut never = Diagnosis::default();
        assert_eq!(never.peer_report(None, 10), None);
        assert!(never.peer_report(None, 300).unwrap().contains("none on our stream"));
    }

    #[test]
    fn unagreed_payload_types_are_named() {
        let media = media("10.0.0.1:4000");
        let mut diagnosis = Diagnosis::default();
        let cases: [(u8, &[u8], &str); 5] = [
            (18, &[0; 20], "G.729 (payload type 18)"),
            (13, &[0; 1], "comfort noise"),
            (101, &[5, 0x8A, 0, 160], "telephone-event, for which 96 was agreed"),
            (101, &[0xD5; 160], "numbers its codecs otherwise"),
            (3, &[0; 33], "agreed: PCMU 0, PCMA 8, telephone-event 96"),
        ];
        for (number, payload, expected) in cases {
            let text = what_is_unagreed(&media, number, payload);
            assert!(text.contains(expected), "{number}: {text}");
        }
        assert!(diagnosis.unagreed(&media, 127, &[0; 20]).is_some() && diagnosis.unagreed(&media, 18, &[]).is_some());
        assert!(diagnosis.unagreed(&media, 127, &[0; 20]).is_none(), "once");
        diagnosis.connected(&media, &StreamStatistics::default(), at(0));
        assert!(diagnosis.unagreed(&media, 127, &[0; 20]).is_some(), "anew");
    }
}
