//! Packets as long as the peer asked for (`a=ptime`, `a=maxptime`): the frames of 20 ms that the grid makes are cut and
//! joined into packets of 10–60 ms, each with the timestamp of its first sample.
//!
//! The grid stays what it is: a packet leaves in the tick in which its last sample was made. So 10 ms are two packets
//! at once, 30 ms are two packets in three ticks, 40 and 60 ms one in every second and third. Opus keeps its 20 ms: its
//! frames cannot be cut, and every decoder takes them (RFC 7587 §7.1 makes `ptime` a wish).

use std::net::SocketAddr;

use super::{PacketSink, Stream};
use crate::rtp::packet::{HEADER_LENGTH, Header, write_header};
use crate::rtp::srtp::MAX_OVERHEAD;
use crate::session::{Codec, NegotiatedMedia};

/// The longest payload that is gathered, so that a packet fits every network's MTU.
const MAX_GATHERED: usize = 1_280;
/// The longest packet that is made, in pieces of 10 ms.
const MAX_PIECES: usize = 6;

/// Audio that waits for its packet to be full; a packet's length at the most, and a frame.
pub(super) struct Gathered {
    bytes: [u8; MAX_GATHERED + 640],
    length: usize,
    codec: Codec,
    payload_type: u8,
    /// Of its first sample.
    timestamp: u32,
}

/// A packet but for its sequence number and SSRC.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub marker: bool,
    pub payload_type: u8,
    pub timestamp: u32,
}

impl Default for Gathered {
    fn default() -> Self {
        Gathered { bytes: [0; MAX_GATHERED + 640], length: 0, codec: Codec::Pcmu, payload_type: 0, timestamp: 0 }
    }
}

/// Bytes of a packet and of 10 ms in it; none: frames are sent as they are.
fn lengths(media: &NegotiatedMedia) -> Option<(usize, usize)> {
    let piece = match media.codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 => 80,
        Codec::L16 => 320,
        Codec::Opus => return None,
    };
    let pieces = (media.ptime_ms as usize / 10).clamp(1, MAX_PIECES).min(MAX_GATHERED / piece);
    (pieces != 2).then_some((pieces * piece, piece))
}

impl Stream {
    /// Takes a frame of audio for packets of another length than the frame's; false: it is to be sent as it is.
    pub(super) fn gather(
        &mut self,
        media: &NegotiatedMedia,
        frame: &[u8],
        destination: SocketAddr,
        sink: &mut impl PacketSink,
    ) -> bool {
        let lengths = lengths(media).filter(|(_, piece)| frame.len() == 2 * piece);
        let ticks = media.codec.clock_rate() / 100;
        let span = |length: usize, piece: usize| (length / piece) as u32 * ticks;
        // What does not go on from what waits begins anew.
        let goes_on = lengths.is_some_and(|(_, piece)| {
            let gathered = &self.gathered;
            (gathered.codec, gathered.payload_type) == (media.codec, media.send_payload_type)
                && gathered.timestamp.wrapping_add(span(gathered.length, piece)) == self.timestamp
        });
        if !goes_on {
            self.send_gathered(destination, sink);
        }
        let Some((packet, piece)) = lengths else { return false };
        if self.gathered.length == 0 {
            (self.gathered.codec, self.gathered.payload_type) = (media.codec, media.send_payload_type);
            self.gathered.timestamp = self.timestamp;
        }
        let end = self.gathered.length + frame.len();
        let Some(room) = self.gathered.bytes.get_mut(self.gathered.length..end) else { return false };
        room.copy_from_slice(frame);
        self.gathered.length = end;
        while self.gathered.length >= packet {
            self.send_first(packet, destination, sink);
            let left = self.gathered.length - packet;
            self.gathered.bytes.copy_within(packet..packet + left, 0);
            self.gathered.length = left;
            self.gathered.timestamp = self.gathered.timestamp.wrapping_add(span(packet, piece));
        }
        true
    }

    /// Sends what waits, though it is no whole packet: something else follows.
    pub(super) fn send_gathered(&mut self, destination: SocketAddr, sink: &mut impl PacketSink) {
        if self.gathered.length > 0 {
            self.send_first(self.gathered.length, destination, sink);
            self.gathered.length = 0;
        }
    }

    /// Nothing may be sent now: what waits is not sent later.
    pub(super) fn drop_gathered(&mut self) {
        self.gathered.length = 0;
    }

    fn send_first(&mut self, length: usize, destination: SocketAddr, sink: &mut impl PacketSink) {
        let mut packet = [0; HEADER_LENGTH + MAX_GATHERED + MAX_OVERHEAD];
        let payload = self.gathered.bytes.get(..length);
        if let (Some(room), Some(payload)) = (packet.get_mut(HEADER_LENGTH..HEADER_LENGTH + length), payload) {
            room.copy_from_slice(payload);
            let marker = std::mem::take(&mut self.paused);
            let (payload_type, timestamp) = (self.gathered.payload_type, self.gathered.timestamp);
            self.send_packet(Plan { marker, payload_type, timestamp }, &mut packet, length, destination, sink);
        }
    }

    /// Sends the packet whose payload of `length` bytes stands behind room for the header and before room for
    /// protection.
    pub(super) fn send_packet(
        &mut self,
        plan: Plan,
        packet: &mut [u8],
        length: usize,
        destination: SocketAddr,
        sink: &mut impl PacketSink,
    ) {
        let header = Header {
            marker: plan.marker,
            payload_type: plan.payload_type,
            sequence: self.sequence,
            timestamp: plan.timestamp,
            ssrc: self.ssrc,
        };
        let Some(head) = packet.first_chunk_mut::<HEADER_LENGTH>() else { return };
        write_header(&header, head);
        let mut whole = HEADER_LENGTH + length;
        if let Some(secured) = &mut self.srtp {
            // Only a key that is used up is refused, after 2^48 packets.
            whole = secured.outbound.protect_rtp(packet, whole).unwrap_or(0);
        }
        if let Some(bytes) = packet.get(..whole).filter(|bytes| !bytes.is_empty()) {
            sink.rtp(destination, bytes);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.statistics.packets_sent += 1;
        self.statistics.octets_sent += length as u64;
    }
}
