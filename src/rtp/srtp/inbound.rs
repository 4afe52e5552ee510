//! Opening what the peer sends (RFC 3711 §3.3, §3.4; RFC 7714 §8, §9): authentic, new, and in its place, or not at all.

use super::index::Received;
use super::outbound::{sequence_and_ssrc, written};
use super::transform::{ENCRYPTED, Place, RTCP_HEADER, RTCP_INDEX, Transform};
use super::{MAX_PACKET, SrtpError, header_length};
use crate::session::{Mki, SrtpKey};

/// SSRCs that one key's packets are told apart by; of a further one the source that was heard longest ago is forgotten.
pub const MAX_SOURCES: usize = 4;

/// One SSRC.
#[derive(Clone, Copy)]
struct Source {
    ssrc: u32,
    rtp: Option<Received>,
    rtcp: Option<Received>,
}

/// The receiving half of a stream.
pub struct Inbound {
    transform: Transform,
    mki: Option<Mki>,
    /// The newest heard first.
    sources: [Option<Source>; MAX_SOURCES],
    /// What was heard under the key before: an SSRC may go on with its rollover counter.
    before: [Option<(u32, u32)>; MAX_SOURCES],
}

impl Inbound {
    /// With that key, before its first packet. `earlier`: under which key the peer sent until now.
    ///
    /// # Errors
    /// `Cipher`: the suite's ciphers cannot be had.
    pub fn new(key: &SrtpKey, earlier: Option<&Inbound>) -> Result<Self, SrtpError> {
        let rollovers = |source: Source| Some((source.ssrc, source.rtp?.rollovers()));
        let before = earlier.map_or([None; MAX_SOURCES], |earlier| earlier.sources.map(|source| rollovers(source?)));
        Ok(Inbound { transform: Transform::new(key)?, mki: key.mki(), sources: [None; MAX_SOURCES], before })
    }

    /// Checks and opens an SRTP packet into `plain`.
    ///
    /// # Errors
    /// Whatever is not an authentic packet that has not come yet; nothing is remembered of it.
    pub fn unprotect_rtp<'a>(&mut self, packet: &[u8], plain: &'a mut [u8; MAX_PACKET]) -> Result<&'a [u8], SrtpError> {
        let header = header_length(packet)?;
        let (sequence, ssrc) = sequence_and_ssrc(packet)?;
        let tag_length = self.transform.rtp_tag();
        let mut mark = [0; 4];
        let mark = written(self.mki, &mut mark);
        let rest = packet.len().checked_sub(tag_length + mark.len()).ok_or(SrtpError::Length)?;
        if rest < header || packet.len() > MAX_PACKET {
            return Err(SrtpError::Length);
        }
        let galois = self.transform.rtcp_tags().0 > 0;
        let (tag_at, mark_at) = if galois { (rest, rest + tag_length) } else { (rest + mark.len(), rest) };
        if packet.get(mark_at..mark_at + mark.len()) != Some(mark) {
            return Err(SrtpError::MasterKey);
        }
        let (body, tag) = (packet.get(..rest), packet.get(tag_at..tag_at + tag_length));
        let (Some(body), Some(tag)) = (body, tag) else { return Err(SrtpError::Length) };
        let mut open = |index: u64| -> Result<(), SrtpError> {
            let plain = plain.get_mut(..rest).ok_or(SrtpError::Length)?;
            plain.copy_from_slice(body);
            self.transform.open_rtp(Place { ssrc, index }, plain, header, tag)
        };
        let known = self.sources.iter().flatten().find(|source| source.ssrc == ssrc).and_then(|source| source.rtp);
        let index = if let Some(received) = known {
            let index = received.index_of(sequence).ok_or(SrtpError::Old)?;
            received.check(index)?;
            open(index)?;
            index
        } else {
            let before = self.before.iter().flatten().find(|(other, _)| *other == ssrc).map(|(_, roc)| *roc);
            let likely = [Some(0), Some(1), before, before.and_then(|roc| roc.checked_add(1))];
            let indices = likely.into_iter().flatten().map(|roc: u32| u64::from(roc) << 16 | u64::from(sequence));
            let mut found = Err(SrtpError::Authentication);
            for index in indices {
                if open(index).is_ok() {
                    found = Ok(index);
                    break;
                }
            }
            found?
        };
        accept(&mut self.source(ssrc).rtp, index);
        plain.get(..rest).ok_or(SrtpError::Length)
    }

    /// The same for SRTCP.
    ///
    /// # Errors
    /// As with [`unprotect_rtp`](Self::unprotect_rtp), and `NotEncrypted`.
    pub fn unprotect_rtcp<'a>(
        &mut self,
        packet: &[u8],
        plain: &'a mut [u8; MAX_PACKET],
    ) -> Result<&'a [u8], SrtpError> {
        let Some(&[first, _, _, _, a, b, c, d]) = packet.first_chunk::<RTCP_HEADER>() else {
            return Err(SrtpError::Length);
        };
        if first >> 6 != 2 {
            return Err(SrtpError::Header);
        }
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        let (inner, outer) = self.transform.rtcp_tags();
        let mut mark = [0; 4];
        let mark = written(self.mki, &mut mark);
        let rest = packet.len().checked_sub(inner + RTCP_INDEX + mark.len() + outer).ok_or(SrtpError::Length)?;
        if rest < RTCP_HEADER || packet.len() > MAX_PACKET {
            return Err(SrtpError::Length);
        }
        let (body, tail) = packet.split_at_checked(rest).ok_or(SrtpError::Length)?;
        let (inner, tail) = tail.split_at_checked(inner).ok_or(SrtpError::Length)?;
        let (word, tail) = tail.split_first_chunk::<RTCP_INDEX>().ok_or(SrtpError::Length)?;
        let (theirs, outer) = tail.split_at_checked(mark.len()).ok_or(SrtpError::Length)?;
        if theirs != mark {
            return Err(SrtpError::MasterKey);
        }
        let word = u32::from_be_bytes(*word);
        if word & ENCRYPTED == 0 {
            return Err(SrtpError::NotEncrypted);
        }
        let index = u64::from(word & !ENCRYPTED);
        let known = self.sources.iter().flatten().find(|source| source.ssrc == ssrc).and_then(|source| source.rtcp);
        if let Some(received) = known {
            received.check(index)?;
        }
        let plain = plain.get_mut(..rest).ok_or(SrtpError::Length)?;
        plain.copy_from_slice(body);
        self.transform.open_rtcp(Place { ssrc, index }, plain, inner, outer)?;
        accept(&mut self.source(ssrc).rtcp, index);
        Ok(plain)
    }

    /// The state of an SSRC that has been authenticated, put in front.
    fn source(&mut self, ssrc: u32) -> &mut Source {
        let at = self.sources.iter().position(|source| source.is_some_and(|source| source.ssrc == ssrc));
        let last = at.unwrap_or(MAX_SOURCES - 1);
        if let Some(up_to) = self.sources.get_mut(..=last) {
            up_to.rotate_right(1);
        }
        let [first, ..] = &mut self.sources;
        if at.is_none() {
            *first = None;
        }
        first.get_or_insert(Source { ssrc, rtp: None, rtcp: None })
    }
}

fn accept(received: &mut Option<Received>, index: u64) {
    match received {
        Some(received) => received.accept(index),
        None => *received = Some(Received::new(index)),
    }
}
