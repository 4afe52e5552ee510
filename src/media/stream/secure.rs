//! The encrypted side of a stream: SRTP and SRTCP (`rtp::srtp`) around what `receive`, `send` and `report` do, and what
//! is told where nothing can be decrypted. Nothing that is not authentic is heard, answered, or locked to.

use std::net::SocketAddr;

use super::{NoteKind, Stream};
use crate::rtp::packet::Packet;
use crate::rtp::srtp::{Inbound, MAX_PACKET, Outbound, SrtpError};
use crate::session::{NegotiatedMedia, SrtpKeys};
use crate::time::Time;

/// How long packets under the key that held before a re-INVITE are still taken: those on their way.
const OLD_KEY: std::time::Duration = std::time::Duration::from_secs(2);
/// Packets that could not be authenticated, with none that could between them, after which it is told.
const UNDECRYPTED: u64 = 25;

/// A stream's SRTP.
pub(super) struct Secured {
    keys: SrtpKeys,
    pub outbound: Outbound,
    inbound: Inbound,
    /// The key before, and until when it is of use.
    before: Option<(Inbound, Time)>,
    plain: [u8; MAX_PACKET],
    /// Failures since the last success.
    failed: u64,
}

impl Secured {
    fn open(&mut self, packet: &[u8], rtcp: bool, now: Time) -> Result<usize, SrtpError> {
        let mut open = |inbound: &mut Inbound| {
            let opened = match rtcp {
                true => inbound.unprotect_rtcp(packet, &mut self.plain),
                false => inbound.unprotect_rtp(packet, &mut self.plain),
            };
            opened.map(<[u8]>::len)
        };
        let opened = match (open(&mut self.inbound), &mut self.before) {
            (Err(SrtpError::Authentication | SrtpError::MasterKey | SrtpError::Length), Some((before, until)))
                if now < *until =>
            {
                open(before)
            }
            (opened, _) => opened,
        };
        if opened.is_ok() {
            self.failed = 0;
        }
        opened
    }
}

impl Stream {
    /// Takes up the keys that were negotiated, or lets go of them. What has not changed goes on with its counters.
    pub(super) fn take_keys(&mut self, media: &NegotiatedMedia, now: Time) {
        let Some(keys) = &media.srtp else {
            self.broken = false;
            if self.srtp.take().is_some() {
                self.note("media is no longer encrypted".to_owned());
            }
            return;
        };
        if self.srtp.as_ref().is_some_and(|secured| secured.keys == *keys) {
            return;
        }
        let before = self.srtp.take();
        let same_sending = before.as_ref().is_some_and(|before| before.keys.send == keys.send);
        if !same_sending {
            // A source of its own for a key of its own, beginning in the lower half of the numbers: its rollover
            // counter cannot be mistaken (RFC 3711 §3.3.1).
            if self.statistics.packets_sent > 0 {
                self.ssrc = self.random.u32();
            }
            self.sequence &= 0x7FFF;
        }
        let earlier = before.as_ref().map(|before| &before.inbound);
        let (Ok(outbound), Ok(inbound)) = (Outbound::new(&keys.send), Inbound::new(&keys.receive, earlier)) else {
            // Ciphers are compiled in; without them nothing may leave or be heard.
            self.note("media: the ciphers of SRTP cannot be set up; nothing is sent or heard".to_owned());
            self.broken = true;
            return;
        };
        self.note(format!("media is encrypted: SRTP with {}", keys.send.suite().name()));
        self.broken = false;
        let (outbound, inbound, before) = match before {
            Some(before) => {
                let Secured { outbound: old, inbound: heard, before: earlier, keys: held, .. } = *before;
                let outbound = if same_sending { old } else { outbound };
                // The same key goes on with what it has seen, or all of that could be replayed.
                match held.receive == keys.receive {
                    true => (outbound, heard, earlier),
                    false => (outbound, inbound, Some((heard, now + OLD_KEY))),
                }
            }
            None => (outbound, inbound, None),
        };
        self.srtp = Some(Box::new(Secured {
            keys: keys.clone(),
            outbound,
            inbound,
            before,
            plain: [0; MAX_PACKET],
            failed: 0,
        }));
    }

    /// Hands what an SRTP or SRTCP packet holds to `take`; of what cannot be opened it is counted and, where it lasts,
    /// told.
    pub(super) fn opened(
        &mut self,
        packet: &[u8],
        from: SocketAddr,
        now: Time,
        rtcp: bool,
        take: impl FnOnce(&mut Self, &[u8]),
    ) {
        // Taken out while the rest changes; put back below.
        let Some(mut secured) = self.srtp.take() else { return take(self, packet) };
        match secured.open(packet, rtcp, now) {
            Ok(length) => take(self, secured.plain.get(..length).unwrap_or_default()),
            Err(SrtpError::Replayed | SrtpError::Old) => self.statistics.replayed += 1,
            Err(error) => {
                self.statistics.undecrypted += 1;
                // A stranger's packets say nothing of the peer.
                if self.rules.is_peer_host(from) || self.rules.source().is_none() {
                    secured.failed += 1;
                    if secured.failed == UNDECRYPTED {
                        self.tell_undecrypted(&secured, packet, from, error, now);
                    }
                }
            }
        }
        self.srtp = Some(secured);
    }

    fn tell_undecrypted(&mut self, secured: &Secured, packet: &[u8], from: SocketAddr, error: SrtpError, now: Time) {
        let suite = secured.keys.receive.suite().name();
        let agreed = |number: u8| {
            self.media
                .as_ref()
                .is_some_and(|media| media.receive_payload_types.iter().any(|(known, _)| *known == number))
        };
        // An SRTP packet of G.711 is longer by its tag, so that its payload is no whole number of milliseconds.
        let looks_plain =
            Packet::parse(packet).is_ok_and(|plain| agreed(plain.header.payload_type) && plain.payload.len() % 80 == 0);
        let cause = match error {
            SrtpError::MasterKey => "its packets name another master key (MKI) than its SDP",
            SrtpError::Length | SrtpError::Header => "what it sends is no SRTP of that suite",
            SrtpError::NotEncrypted => "it does not encrypt its RTCP, though that was agreed",
            _ if looks_plain => "it sends plain RTP, though SRTP was agreed",
            _ => "it does not use the key of its SDP: a proxy that rewrites SDP, or a suite that it takes for another",
        };
        self.note_limited(NoteKind::Undecrypted, now, |_| {
            format!(
                "SRTP: none of the last {UNDECRYPTED} packets from {from} could be authenticated with the key that was \
                 agreed ({suite}); they are dropped. Likely cause: {cause}"
            )
        });
    }
}
