//! The RTCP side of a stream (RFC 3550 §6): reports on a randomised interval, the peer's reports read, goodbye.
//! RTCP goes on during a hold (RFC 3264 §8.4 leaves it running), so that the peer knows us alive.

use std::net::SocketAddr;

use super::{PacketSink, Stream};
use crate::media::source::is_somewhere;
use crate::rtp::rtcp::{self, Compound, ReportBlock, RtcpPacket, SenderInfo, Written};
use crate::rtp::srtp::MAX_OVERHEAD;
use crate::session::Codec;
use crate::time::Time;

impl Stream {
    /// A datagram came on the RTCP port.
    pub fn receive_rtcp(&mut self, bytes: &[u8], from: SocketAddr, now: Time) {
        if self.media.is_none() || self.broken {
            return;
        }
        if !self.rules.is_peer_host(from) {
            self.statistics.strangers += 1;
            return;
        }
        self.opened(bytes, from, now, true, |stream, plain| stream.receive_plain_rtcp(plain, from, now));
    }

    fn receive_plain_rtcp(&mut self, bytes: &[u8], from: SocketAddr, now: Time) {
        let Ok(compound) = Compound::parse(bytes) else {
            self.statistics.malformed += 1;
            return;
        };
        self.statistics.rtcp_received += 1;
        self.peer_rtcp = Some(from);
        let mut on_us = None;
        for packet in compound {
            match packet {
                RtcpPacket::SenderReport { ssrc, info, blocks } => {
                    if let Some(received) = self.received.as_mut().filter(|received| received.ssrc == ssrc) {
                        received.last_sr = Some((rtcp::ntp_middle(info.ntp), now));
                    }
                    blocks.for_each(|block| on_us = self.read_report(&block, now).or(on_us));
                }
                RtcpPacket::ReceiverReport { blocks, .. } => {
                    blocks.for_each(|block| on_us = self.read_report(&block, now).or(on_us));
                }
                RtcpPacket::Goodbye { ssrc } => {
                    if ssrc.is_some() && ssrc == self.received.as_ref().map(|received| received.ssrc) {
                        // Its dialog says when the call is over; a new SSRC may follow.
                        self.note("the peer's RTP source said goodbye (RTCP BYE)".to_owned());
                    }
                }
                RtcpPacket::Other(_) => {}
            }
        }
        if let Some(finding) = self.diagnosis.peer_report(on_us.as_ref(), self.statistics.packets_sent) {
            self.note(finding);
        }
    }

    /// Sends a report when its time has come.
    pub(super) fn report_when_due(&mut self, now: Time, sink: &mut impl PacketSink) {
        if now >= self.next_report {
            self.next_report = now + rtcp::interval(false, &mut self.random);
            self.send_report(now, false, sink);
        }
    }

    /// Says goodbye, where the peer can know us (§6.3.7).
    pub(super) fn say_goodbye(&mut self, now: Time, sink: &mut impl PacketSink) {
        if self.statistics.packets_sent > 0 || self.statistics.rtcp_sent > 0 {
            self.send_report(now, true, sink);
        }
    }

    fn send_report(&mut self, now: Time, goodbye: bool, sink: &mut impl PacketSink) {
        let Some(destination) = self.rtcp_destination().filter(|_| !self.broken) else { return };
        let sent = self.statistics.packets_sent;
        // §6.4: an SR from whoever has sent since the last report but one; since the last is near enough.
        let sender = (sent > self.reported_packets.unwrap_or(0)).then(|| SenderInfo {
            ntp: rtcp::ntp(now),
            rtp_timestamp: self.timestamp,
            packets: sent as u32,
            octets: self.statistics.octets_sent as u32,
        });
        self.reported_packets = Some(sent);
        let report = self.received.as_mut().map(|received| {
            let loss = received.sequence.report();
            let (last_sr, since) = received.last_sr.map_or((0, 0), |(ntp, at)| {
                let since = (now.since(at).as_micros() << 16) / 1_000_000;
                (ntp, u32::try_from(since).unwrap_or(u32::MAX))
            });
            ReportBlock {
                ssrc: received.ssrc,
                fraction_lost: loss.fraction_lost,
                cumulative_lost: loss.cumulative_lost,
                highest_sequence: loss.highest,
                jitter: received.jitter.units(),
                last_sr,
                delay_since_last_sr: since,
            }
        });
        let what = Written { ssrc: self.ssrc, sender, report, cname: self.cname.as_bytes(), goodbye };
        let mut out = [0; rtcp::MAX_WRITTEN + MAX_OVERHEAD];
        let Some(plain) = out.first_chunk_mut::<{ rtcp::MAX_WRITTEN }>() else { return };
        let mut length = rtcp::write(&what, plain);
        if let Some(secured) = &mut self.srtp {
            let Ok(protected) = secured.outbound.protect_rtcp(&mut out, length) else { return };
            length = protected;
        }
        if let Some(bytes) = out.get(..length) {
            match self.multiplexes() {
                true => sink.rtp(destination, bytes),
                false => sink.rtcp(destination, bytes),
            }
            self.statistics.rtcp_sent += 1;
        }
    }

    fn multiplexes(&self) -> bool {
        self.media.as_ref().is_some_and(|media| media.rtcp_mux)
    }

    /// Where its RTCP came from, else the port after a source that is not the signalled one, else what was signalled.
    fn rtcp_destination(&self) -> Option<SocketAddr> {
        let media = self.media.as_ref()?;
        if media.rtcp_mux {
            return self.rules.destination();
        }
        if let Some(from) = self.peer_rtcp.filter(|from| self.rules.is_peer_host(*from)) {
            return Some(from);
        }
        let destination = match self.rules.source() {
            Some(source) if source != media.remote_rtp => SocketAddr::new(source.ip(), source.port().checked_add(1)?),
            _ => media.remote_rtcp,
        };
        is_somewhere(destination).then_some(destination)
    }

    /// Takes a report block; it comes back where it is on our stream.
    fn read_report(&mut self, block: &ReportBlock, now: Time) -> Option<ReportBlock> {
        if block.ssrc != self.ssrc {
            return None;
        }
        self.statistics.remote_lost = Some(block.cumulative_lost);
        let clock_rate = self.statistics.codec.map_or(8_000, Codec::clock_rate);
        self.statistics.remote_jitter_ms = Some(f64::from(block.jitter) * 1_000.0 / f64::from(clock_rate));
        if let Some(trip) = rtcp::round_trip(block, now) {
            self.statistics.round_trip_ms = Some(trip.as_secs_f64() * 1_000.0);
        }
        Some(*block)
    }
}
