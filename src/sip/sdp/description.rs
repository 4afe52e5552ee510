//! A peer's description read: its media lines, and of those that carry live audio what an answer needs (RFC 8866, RFC
//! 3551, RFC 4733 §2.4, RFC 3605, RFC 5761). What is then agreed on is `local`'s.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::crypto::Crypto;
use super::{Family, MAX_FORMATS, MAX_MEDIA_LINES, SdpError, common, seen_from_here};
use crate::session::{Codec, Direction, EventFormat, SrtpPolicy, SrtpSuite};

/// A peer's description: what we need of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Every media line, in order.
    pub(super) lines: Vec<MediaLine>,
    /// Its `t=`; an answer repeats the offer's (RFC 3264 §6).
    #[serde(default)]
    pub(super) time: (u64, u64),
}

/// One `m=` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MediaLine {
    pub kind: String,
    pub proto: String,
    pub fmt: String,
    /// What we could answer; none: anything else than live audio over RTP.
    pub audio: Option<AudioLine>,
}

/// An `m=audio` line over RTP with a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AudioLine {
    pub rtp: SocketAddr,
    pub rtcp: SocketAddr,
    /// As the peer wrote it: seen from the peer's side.
    pub direction: Direction,
    /// Payload numbers and codecs of ours, in the peer's order.
    pub codecs: Vec<(u8, Codec)>,
    /// One for each clock rate at most, in the peer's order.
    pub events: Vec<EventLine>,
    /// What it wants a packet to hold: `a=ptime`, and never more than `a=maxptime`.
    pub ptime_ms: u32,
    /// Does its Opus ask for nothing in silence?
    #[serde(default)]
    pub dtx: bool,
    /// RTCP may come on the RTP port (RFC 5761).
    #[serde(default)]
    pub mux: bool,
    /// RTP/SAVP: nothing but SRTP will do.
    #[serde(default)]
    pub secure: bool,
    /// The `a=crypto` lines that we can use. Not saved: they are secret.
    #[serde(skip)]
    pub crypto: Vec<Crypto>,
    /// There were others.
    #[serde(skip)]
    pub other_crypto: bool,
}

/// A telephone-event format of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EventLine {
    pub format: EventFormat,
    /// Does the peer take event 16 (flash)?
    pub flash: bool,
}

impl Description {
    /// Reads a body of type `application/sdp`.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        let session = sdp_types::Session::parse(body).map_err(|e| SdpError::Syntax(e.to_string()))?;
        if session.medias.len() > MAX_MEDIA_LINES {
            return Err(SdpError::TooManyLines);
        }
        let lines = session.medias.iter().map(|media| MediaLine::read(&session, media)).collect();
        let time = session.times.first().map_or((0, 0), |time| (time.start_time, time.stop_time));
        Ok(Description { lines, time })
    }

    /// What of `ours` the peer also speaks, by the first line that we, with addresses of `family`, would answer: codecs
    /// in our answer's order, telephone-event, direction seen from our side, and its RTP address.
    pub fn in_common(&self, ours: &[Codec], family: Family) -> Option<(Vec<Codec>, bool, Direction, SocketAddr)> {
        // Whether SRTP is wanted is not known yet: what an answer could take is taken here.
        let audio = [SrtpPolicy::Off, SrtpPolicy::Required].into_iter();
        let taken = audio.filter_map(|policy| self.choose(ours, family, policy, &SrtpSuite::ALL));
        let (_, audio, _) = taken.min_by_key(|(at, ..)| *at)?;
        let codecs = common(audio, ours).into_iter().map(|(_, codec)| codec).collect();
        Some((codecs, !audio.events.is_empty(), seen_from_here(audio), audio.rtp))
    }

    /// The line to answer, and whether with SRTP: the first that can be answered so, else the first without. An offer
    /// may hold its stream twice, encrypted and plain.
    pub(super) fn choose(
        &self,
        ours: &[Codec],
        family: Family,
        policy: SrtpPolicy,
        suites: &[SrtpSuite],
    ) -> Option<(usize, &AudioLine, bool)> {
        let first = |encrypted: bool| {
            self.lines.iter().enumerate().find_map(|(index, line)| {
                let audio = line.audio.as_ref().filter(|audio| family.reaches(audio.rtp.ip()))?;
                let suited = || audio.crypto.iter().any(|line| suites.contains(&line.key.suite()));
                let fits = if encrypted { suited() } else { !audio.secure };
                (fits && audio.codecs.iter().any(|(_, codec)| ours.contains(codec)))
                    .then_some((index, audio, encrypted))
            })
        };
        match policy {
            SrtpPolicy::Off => first(false),
            SrtpPolicy::Offered => first(true).or_else(|| first(false)),
            SrtpPolicy::Required => first(true),
        }
    }
}

impl MediaLine {
    fn read(session: &sdp_types::Session, media: &sdp_types::Media) -> Self {
        MediaLine {
            kind: media.media.clone(),
            proto: media.proto.clone(),
            fmt: media.fmt.clone(),
            audio: AudioLine::read(session, media),
        }
    }
}

impl AudioLine {
    fn read(session: &sdp_types::Session, media: &sdp_types::Media) -> Option<Self> {
        let is = |names: [&str; 2]| names.iter().any(|name| media.proto.eq_ignore_ascii_case(name));
        let secure = is(["RTP/SAVP", "RTP/SAVPF"]);
        let rtp = secure || is(["RTP/AVP", "RTP/AVPF"]);
        if !media.media.eq_ignore_ascii_case("audio") || !rtp || media.port == 0 {
            return None;
        }
        let connection = media.connections.first().or(session.connection.as_ref())?;
        let address = connection.try_address().ok()?.ip;
        if address.is_multicast() {
            return None;
        }
        let rtp = SocketAddr::new(address, media.port);
        let (crypto, other_crypto) = Crypto::read(named(&media.attributes, "crypto"));
        let mut line = AudioLine {
            rtp,
            rtcp: rtcp_address(media, rtp),
            direction: direction_of(&media.attributes)
                .or_else(|| direction_of(&session.attributes))
                .unwrap_or_default(),
            codecs: Vec::new(),
            events: Vec::new(),
            ptime_ms: ptime_of(session, media),
            dtx: false,
            mux: has(&media.attributes, "rtcp-mux"),
            secure,
            crypto,
            other_crypto,
        };
        if line.mux {
            line.rtcp = rtp;
        }
        for number in media.fmt.split_ascii_whitespace().take(MAX_FORMATS) {
            let Some(number) = number.parse::<u8>().ok().filter(|n| *n < 128) else { continue };
            match encoding_of(media, number) {
                Some(Encoding::Audio(codec)) if !line.codecs.iter().any(|(_, c)| *c == codec) => {
                    line.codecs.push((number, codec));
                    line.dtx |= codec == Codec::Opus && wants_dtx(media, number);
                }
                Some(Encoding::TelephoneEvent(clock_rate))
                    if !line.events.iter().any(|event| event.format.clock_rate == clock_rate) =>
                {
                    let format = EventFormat { payload_type: number, clock_rate };
                    line.events.push(EventLine { format, flash: takes_flash(media, number) });
                }
                _ => {}
            }
        }
        Some(line)
    }
}

enum Encoding {
    Audio(Codec),
    /// At this clock rate, which is that of a codec of ours.
    TelephoneEvent(u32),
}

/// What a payload number stands for: by its `a=rtpmap`, else by RFC 3551's table.
fn encoding_of(media: &sdp_types::Media, number: u8) -> Option<Encoding> {
    for attribute in named(&media.attributes, "rtpmap") {
        let Some((n, map)) = attribute.split_once(|c: char| c.is_ascii_whitespace()) else { continue };
        if n.trim().parse::<u8>().ok() != Some(number) {
            continue;
        }
        let mut parts = map.trim().split('/');
        let name = parts.next().unwrap_or_default().trim();
        let rate: u32 = parts.next().unwrap_or_default().trim().parse().ok()?;
        let channels = parts.next().map_or("1", str::trim);
        if name.eq_ignore_ascii_case("telephone-event") {
            let known = channels == "1" && Codec::ALL.iter().any(|codec| codec.clock_rate() == rate);
            return known.then_some(Encoding::TelephoneEvent(rate));
        }
        return Codec::ALL
            .into_iter()
            .find(|codec| name.eq_ignore_ascii_case(codec.encoding_name()))
            .filter(|codec| rate == codec.clock_rate() && channels == channels_of(*codec))
            .map(Encoding::Audio);
    }
    Codec::ALL.into_iter().find(|codec| codec.static_payload_type() == Some(number)).map(Encoding::Audio)
}

/// The channels in `a=rtpmap`: always two for Opus, of which each side sends what it has (RFC 7587 §7).
pub(super) fn channels_of(codec: Codec) -> &'static str {
    if codec == Codec::Opus { "2" } else { "1" }
}

/// Does `a=fmtp` of Opus say that the peer prefers discontinuous transmission (RFC 7587 §6.1)?
fn wants_dtx(media: &sdp_types::Media, number: u8) -> bool {
    named(&media.attributes, "fmtp")
        .filter_map(|value| value.split_once(|c: char| c.is_ascii_whitespace()))
        .filter(|(n, _)| n.trim().parse::<u8>().ok() == Some(number))
        .flat_map(|(_, parameters)| parameters.split(';'))
        .filter_map(|parameter| parameter.split_once('='))
        .any(|(name, value)| name.trim().eq_ignore_ascii_case("usedtx") && value.trim() == "1")
}

/// Does `a=fmtp` of telephone-event name event 16? Without fmtp only 0–15 are meant (RFC 4733 §2.4.1).
fn takes_flash(media: &sdp_types::Media, number: u8) -> bool {
    named(&media.attributes, "fmtp")
        .filter_map(|value| value.split_once(|c: char| c.is_ascii_whitespace()))
        .filter(|(n, _)| n.trim().parse::<u8>().ok() == Some(number))
        .flat_map(|(_, events)| events.split(','))
        .any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
                (Ok(first), Ok(last)) => (first..=last).contains(&16),
                _ => false,
            }
        })
}

/// Where RTCP goes: `a=rtcp:port [IN IP4 address]` (RFC 3605), else the next port. An address of another family than
/// RTP's is passed over.
fn rtcp_address(media: &sdp_types::Media, rtp: SocketAddr) -> SocketAddr {
    let next = SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1));
    let Some(value) = value_of(&media.attributes, "rtcp") else { return next };
    let mut words = value.split_ascii_whitespace();
    let Some(port) = words.next().and_then(|p| p.parse::<u16>().ok()).filter(|p| *p != 0) else { return next };
    let address = words.nth(2).and_then(|a| a.parse::<IpAddr>().ok()).filter(|a| a.is_ipv4() == rtp.is_ipv4());
    SocketAddr::new(address.unwrap_or(rtp.ip()), port)
}

fn named<'a>(attributes: &'a [sdp_types::Attribute], name: &'a str) -> impl Iterator<Item = &'a str> {
    attributes.iter().filter(move |a| a.attribute.eq_ignore_ascii_case(name)).filter_map(|a| a.value.as_deref())
}

fn value_of<'a>(attributes: &'a [sdp_types::Attribute], name: &'a str) -> Option<&'a str> {
    named(attributes, name).next()
}

fn has(attributes: &[sdp_types::Attribute], name: &str) -> bool {
    attributes.iter().any(|a| a.attribute.eq_ignore_ascii_case(name))
}

/// Milliseconds of audio in a packet that the peer wants. Some write fractions; nonsense is as good as nothing.
fn ptime_of(session: &sdp_types::Session, media: &sdp_types::Media) -> u32 {
    let read = |name: &str| {
        let value = value_of(&media.attributes, name).or_else(|| value_of(&session.attributes, name))?;
        let whole = value.trim().split('.').next().unwrap_or_default();
        whole.parse::<u32>().ok().filter(|ms| (10..=200).contains(ms))
    };
    let wanted = read("ptime").unwrap_or(20);
    read("maxptime").map_or(wanted, |most| wanted.min(most))
}

fn direction_of(attributes: &[sdp_types::Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|a| {
        [
            ("sendrecv", Direction::SendRecv),
            ("sendonly", Direction::SendOnly),
            ("recvonly", Direction::RecvOnly),
            ("inactive", Direction::Inactive),
        ]
        .into_iter()
        .find(|(name, _)| a.attribute.eq_ignore_ascii_case(name))
        .map(|(_, direction)| direction)
    })
}
