//! Offer and answer over one audio stream (RFC 3264, RFC 8866, RFC 4733 §2.4): reading a peer's description, writing
//! ours, and what both then agree on. Bytes are parsed by `sdp-types`; which message carries which description is
//! `leg`'s business, sockets are `media`'s.
//!
//! # Choices
//! - One audio line is taken, the first that we can answer; every other line is refused with port 0, in its place.
//! - An answer lists what both speak with the offer's payload numbers (RFC 3264 §6.1) in the configured order, as our
//!   offers do: with wide-band codecs in front a phone that can is heard well though it lists G.711 first out of habit.
//!   Of the two laws of G.711, which sound the same, the one that the offer prefers is taken: it spares the peer's
//!   network a conversion.
//! - Opus is `opus/48000/2` whatever is in it (RFC 7587 §7); G.722 is `G722/8000` (RFC 3551 §4.5.2). A codec by another
//!   rate or number of channels is not ours.
//! - There is a telephone-event for each clock rate among the codecs of an offer; we send the one at the clock of the
//!   codec in use, and to peers who have only another one, that one.
//! - `c=0.0.0.0` (hold after RFC 2543) is read as "send me nothing", whatever the direction says.
//! - A line at an address of the other family (IPv4, IPv6) than ours cannot be answered: no packet would get there.
//! - `o=` keeps its id for the dialog's life; its version moves only when our description differs from the last one.

pub mod secrets;

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::session::{Codec, Direction, EventFormat, LocalMedia, NegotiatedMedia};

/// The only body type that we negotiate with.
pub const CONTENT_TYPE: &str = "application/sdp";

/// Media lines that we look at in one description; more: [`SdpError::TooManyLines`].
const MAX_MEDIA_LINES: usize = 32;

/// Formats that we look at in one media line; what follows is ignored.
const MAX_FORMATS: usize = 64;

/// The payload number of telephone-event/8000 in our own offers, unless the session has another already; other clock
/// rates follow.
const TELEPHONE_EVENT: u8 = 101;

/// The payload numbers of codecs without a static one in our own offers: those that most phones use.
const OPUS: u8 = 111;
const L16: u8 = 97;

/// What we tell of Opus (RFC 7587 §6.1): packets of 10 ms or more, FEC is of use, and nothing above 8 kHz of audio is.
const OPUS_PARAMETERS: &str = "minptime=10;useinbandfec=1;maxplaybackrate=16000";

/// Why a description led to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Not SDP.
    #[error("the session description cannot be read: {0}")]
    Syntax(String),
    /// More media lines than we care to answer.
    #[error("the session description has more than {MAX_MEDIA_LINES} media lines")]
    TooManyLines,
    /// No audio over plain RTP, at an address of our family, in a codec of ours.
    #[error("no audio stream in common")]
    NothingInCommon,
}

/// Which addresses a stream of ours can reach: `IP4` or `IP6` in `c=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// `IP4`.
    V4,
    /// `IP6`.
    V6,
}

impl From<IpAddr> for Family {
    fn from(ip: IpAddr) -> Family {
        if ip.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Family::V4 => "IP4",
            Family::V6 => "IP6",
        }
    }

    /// Nowhere (old-style hold) is as near to one family as to the other.
    fn reaches(self, ip: IpAddr) -> bool {
        ip.is_unspecified() || self == ip.into()
    }
}

/// A peer's description: what we need of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Every media line, in order.
    lines: Vec<MediaLine>,
    /// Its `t=`; an answer repeats the offer's (RFC 3264 §6).
    #[serde(default)]
    time: (u64, u64),
}

/// One `m=` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MediaLine {
    kind: String,
    proto: String,
    fmt: String,
    /// What we could answer; none: anything else than live audio over plain RTP.
    audio: Option<AudioLine>,
}

/// An `m=audio` line over RTP/AVP with a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct AudioLine {
    rtp: SocketAddr,
    rtcp: SocketAddr,
    /// As the peer wrote it: seen from the peer's side.
    direction: Direction,
    /// Payload numbers and codecs of ours, in the peer's order.
    codecs: Vec<(u8, Codec)>,
    /// One for each clock rate at most, in the peer's order.
    events: Vec<EventLine>,
    ptime_ms: u32,
    /// Does its Opus ask for nothing in silence?
    #[serde(default)]
    dtx: bool,
}

/// A telephone-event format of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EventLine {
    format: EventFormat,
    /// Does the peer take event 16 (flash)?
    flash: bool,
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
        let (_, audio) = self.choose(ours, family)?;
        let codecs = common(audio, ours).into_iter().map(|(_, codec)| codec).collect();
        Some((codecs, !audio.events.is_empty(), seen_from_here(audio), audio.rtp))
    }

    fn choose(&self, ours: &[Codec], family: Family) -> Option<(usize, &AudioLine)> {
        self.lines.iter().enumerate().find_map(|(index, line)| {
            let audio = line.audio.as_ref().filter(|audio| family.reaches(audio.rtp.ip()))?;
            audio.codecs.iter().any(|(_, codec)| ours.contains(codec)).then_some((index, audio))
        })
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
        let plain_rtp = ["RTP/AVP", "RTP/AVPF"].iter().any(|p| media.proto.eq_ignore_ascii_case(p));
        if !media.media.eq_ignore_ascii_case("audio") || !plain_rtp || media.port == 0 {
            return None;
        }
        let connection = media.connections.first().or(session.connection.as_ref())?;
        let address = connection.try_address().ok()?.ip;
        if address.is_multicast() {
            return None;
        }
        let rtp = SocketAddr::new(address, media.port);
        let mut line = AudioLine {
            rtp,
            rtcp: rtcp_address(media, rtp),
            direction: direction_of(&media.attributes)
                .or_else(|| direction_of(&session.attributes))
                .unwrap_or_default(),
            codecs: Vec::new(),
            events: Vec::new(),
            ptime_ms: value_of(&media.attributes, "ptime")
                .or_else(|| value_of(&session.attributes, "ptime"))
                .and_then(|v| v.trim().parse().ok())
                .filter(|ms| (10..=200).contains(ms))
                .unwrap_or(20),
            dtx: false,
        };
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
fn channels_of(codec: Codec) -> &'static str {
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

fn from_parts(sends: bool, receives: bool) -> Direction {
    match (sends, receives) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

/// The peer's direction, turned round; old-style hold takes our sending away.
fn seen_from_here(audio: &AudioLine) -> Direction {
    let nowhere = audio.rtp.ip().is_unspecified();
    from_parts(audio.direction.receives() && !nowhere, audio.direction.sends())
}

fn narrowed(a: Direction, b: Direction) -> Direction {
    from_parts(a.sends() && b.sends(), a.receives() && b.receives())
}

/// The place of a codec in our order. The two laws of G.711 share the better one's.
fn preference(codec: Codec, ours: &[Codec]) -> Option<usize> {
    let law = |codec| matches!(codec, Codec::Pcmu | Codec::Pcma);
    ours.iter().position(|own| *own == codec || law(*own) && law(codec))
}

fn common(audio: &AudioLine, ours: &[Codec]) -> Vec<(u8, Codec)> {
    let mut common: Vec<_> = audio.codecs.iter().copied().filter(|(_, codec)| ours.contains(codec)).collect();
    // Stable: among equals the offer's order stays.
    common.sort_by_key(|(_, codec)| preference(*codec, ours));
    common
}

/// The telephone-events that go with these codecs; where none has the clock of one of them, what there is.
fn events_for(audio: &AudioLine, formats: &[(u8, Codec)]) -> Vec<EventLine> {
    let fits = |event: &&EventLine| formats.iter().any(|(_, codec)| codec.clock_rate() == event.format.clock_rate);
    let fitting: Vec<_> = audio.events.iter().filter(fits).copied().collect();
    // 8 kHz beside Opus alone is common, and understood by both; 48 kHz beside G.711 is neither.
    let narrow = audio.events.iter().filter(|event| event.format.clock_rate == 8_000).copied();
    if fitting.is_empty() { narrow.collect() } else { fitting }
}

/// The one to send beside `codec`.
fn event_beside(codec: Codec, events: &[EventLine]) -> Option<EventFormat> {
    let same_clock = events.iter().find(|event| event.format.clock_rate == codec.clock_rate());
    same_clock.or(events.first()).map(|event| event.format)
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::SendRecv => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::Inactive => "inactive",
    }
}

/// Our half of a dialog's offer/answer: our `o=`, the lines of the session in their order, and the payload numbers
/// that the session has fixed (they may not change meaning within it, RFC 3264 §8.3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalDescription {
    id: u64,
    version: u64,
    /// Our last description without its `o=`, to see whether the next one differs.
    last: Option<String>,
    /// Kind, protocol and formats of every line; ours is `active`. Empty before the first description.
    lines: Vec<(String, String, String)>,
    active: usize,
    /// `t=` of the session: the offerer's.
    #[serde(default)]
    time: (u64, u64),
    /// The numbers of codecs and of telephone-event as this session uses them on our side.
    numbers: Vec<(u8, Codec)>,
    events: Vec<EventFormat>,
    /// What our last offer held, until its answer came.
    offered: Vec<(u8, Codec)>,
    offered_direction: Direction,
    offered_family: Family,
}

impl LocalDescription {
    /// A new session; `id` is random, and what `o=` shows.
    pub fn new(id: u64) -> Self {
        // RFC 8866 wants digits only; below 2^62 no reader of signed numbers is led astray.
        let id = id >> 2;
        LocalDescription {
            id,
            version: id,
            last: None,
            lines: Vec::new(),
            active: 0,
            time: (0, 0),
            numbers: Vec::new(),
            events: Vec::new(),
            offered: Vec::new(),
            offered_direction: Direction::SendRecv,
            offered_family: Family::V4,
        }
    }

    /// Our offer. In a session that stands it keeps that session's lines and payload numbers.
    pub fn offer(&mut self, media: &LocalMedia) -> Vec<u8> {
        if self.lines.is_empty() {
            self.lines.push(("audio".into(), "RTP/AVP".into(), String::new()));
            self.active = 0;
        }
        let mut formats: Vec<(u8, Codec)> = Vec::new();
        for codec in &media.codecs {
            let wanted = match codec {
                Codec::Opus => OPUS,
                _ => codec.static_payload_type().unwrap_or(L16),
            };
            let number = self.number_of(*codec).unwrap_or_else(|| self.free_number(wanted, &formats));
            formats.push((number, *codec));
        }
        let events = self.events_of_an_offer(&formats);
        self.offered = formats.clone();
        self.offered_direction = media.direction;
        self.offered_family = media.address.into();
        self.events.clone_from(&events);
        let events: Vec<_> = events.into_iter().map(|format| EventLine { format, flash: true }).collect();
        self.write(media, &formats, &events, media.direction)
    }

    /// Our answer to `offer`, and what is then agreed.
    pub fn answer(&mut self, offer: &Description, media: &LocalMedia) -> Result<(Vec<u8>, NegotiatedMedia), SdpError> {
        let (index, audio) = offer.choose(&media.codecs, media.address.into()).ok_or(SdpError::NothingInCommon)?;
        let formats = common(audio, &media.codecs);
        let direction = narrowed(seen_from_here(audio), media.direction);
        let (number, codec) = *formats.first().ok_or(SdpError::NothingInCommon)?;
        self.lines = offer.lines.iter().map(|l| (l.kind.clone(), l.proto.clone(), l.fmt.clone())).collect();
        self.active = index;
        self.time = offer.time;
        self.numbers = formats.clone();
        let events = events_for(audio, &formats);
        self.events = events.iter().map(|event| event.format).collect();
        let body = self.write(media, &formats, &events, direction);
        let negotiated = NegotiatedMedia {
            remote_rtp: audio.rtp,
            remote_rtcp: audio.rtcp,
            codec,
            send_payload_type: number,
            receive_payload_types: formats,
            send_telephone_event: event_beside(codec, &events),
            receive_telephone_events: self.events.clone(),
            direction,
            ptime_ms: audio.ptime_ms,
            send_dtx: audio.dtx && codec == Codec::Opus,
            rtcp_mux: false,
            srtp: None,
        };
        Ok((body, negotiated))
    }

    /// What is agreed when `answer` answers our last offer.
    pub fn accept(&mut self, answer: &Description) -> Result<NegotiatedMedia, SdpError> {
        let line = answer.lines.get(self.active).ok_or(SdpError::NothingInCommon)?;
        let reachable = |audio: &&AudioLine| self.offered_family.reaches(audio.rtp.ip());
        let audio = line.audio.as_ref().filter(reachable).ok_or(SdpError::NothingInCommon)?;
        let (number, codec) = audio
            .codecs
            .iter()
            .copied()
            .find(|(_, codec)| self.offered.iter().any(|(_, c)| c == codec))
            .ok_or(SdpError::NothingInCommon)?;
        let receive: Vec<_> =
            self.offered.iter().copied().filter(|(_, codec)| audio.codecs.iter().any(|(_, c)| c == codec)).collect();
        let events = events_for(audio, &[(number, codec)]);
        self.numbers = self.offered.clone();
        Ok(NegotiatedMedia {
            remote_rtp: audio.rtp,
            remote_rtcp: audio.rtcp,
            codec,
            send_payload_type: number,
            receive_payload_types: receive,
            send_telephone_event: event_beside(codec, &events),
            receive_telephone_events: if events.is_empty() { Vec::new() } else { self.events.clone() },
            direction: narrowed(seen_from_here(audio), self.offered_direction),
            ptime_ms: audio.ptime_ms,
            send_dtx: audio.dtx && codec == Codec::Opus,
            rtcp_mux: false,
            srtp: None,
        })
    }

    /// Our last offer was refused: the session stands as in `before`. The version stays where it is, for a version
    /// once shown must not come back with other content.
    pub fn roll_back(&mut self, before: &LocalDescription) {
        self.lines.clone_from(&before.lines);
        self.active = before.active;
        self.numbers.clone_from(&before.numbers);
        self.events.clone_from(&before.events);
    }

    /// One for each clock rate among the codecs, in their order: those that the session has, and new ones.
    fn events_of_an_offer(&self, formats: &[(u8, Codec)]) -> Vec<EventFormat> {
        let mut events: Vec<EventFormat> = Vec::new();
        let mut taken = formats.to_vec();
        for (_, codec) in formats {
            let clock_rate = codec.clock_rate();
            if events.iter().any(|event| event.clock_rate == clock_rate) {
                continue;
            }
            let known = self.events.iter().find(|event| event.clock_rate == clock_rate);
            let payload_type =
                known.map_or_else(|| self.free_number(TELEPHONE_EVENT, &taken), |known| known.payload_type);
            taken.push((payload_type, *codec));
            events.push(EventFormat { payload_type, clock_rate });
        }
        events
    }

    /// `wanted`, or the next number up that means nothing else in this session.
    fn free_number(&self, wanted: u8, formats: &[(u8, Codec)]) -> u8 {
        let taken = |n: u8| {
            self.events.iter().any(|event| event.payload_type == n)
                || self.numbers.iter().chain(formats).any(|(number, _)| *number == n)
        };
        std::iter::once(wanted).chain(wanted.max(96)..128).chain(96..128).find(|n| !taken(*n)).unwrap_or(wanted)
    }

    fn number_of(&self, codec: Codec) -> Option<u8> {
        self.numbers.iter().find(|(_, c)| *c == codec).map(|(n, _)| *n)
    }

    fn write(
        &mut self,
        media: &LocalMedia,
        formats: &[(u8, Codec)],
        events: &[EventLine],
        direction: Direction,
    ) -> Vec<u8> {
        use std::fmt::Write as _;
        let family = Family::from(media.address).name();
        let (start, stop) = self.time;
        let mut rest = format!("s=-\r\nc=IN {family} {}\r\nt={start} {stop}\r\n", media.address);
        for (index, (kind, proto, fmt)) in self.lines.iter().enumerate() {
            if index != self.active {
                let fmt = if fmt.is_empty() { "0" } else { fmt };
                let _ = write!(rest, "m={kind} 0 {proto} {fmt}\r\n");
                continue;
            }
            let _ = write!(rest, "m={kind} {} {proto}", media.port);
            for (number, _) in formats {
                let _ = write!(rest, " {number}");
            }
            for event in events {
                let _ = write!(rest, " {}", event.format.payload_type);
            }
            rest.push_str("\r\n");
            for (number, codec) in formats {
                let _ = write!(rest, "a=rtpmap:{number} {}/{}", codec.encoding_name(), codec.clock_rate());
                let _ = match codec {
                    Codec::Opus => write!(rest, "/{}\r\na=fmtp:{number} {OPUS_PARAMETERS}\r\n", channels_of(*codec)),
                    _ => write!(rest, "\r\n"),
                };
            }
            for EventLine { format: EventFormat { payload_type, clock_rate }, flash } in events {
                let last = if *flash { 16 } else { 15 };
                let _ = write!(
                    rest,
                    "a=rtpmap:{payload_type} telephone-event/{clock_rate}\r\na=fmtp:{payload_type} 0-{last}\r\n"
                );
            }
            let _ = write!(rest, "a=ptime:20\r\na={}\r\n", direction_name(direction));
        }
        if self.last.as_ref().is_some_and(|last| *last != rest) {
            self.version = self.version.wrapping_add(1);
        }
        let body = format!("v=0\r\no=strowger {} {} IN {family} {}\r\n{rest}", self.id, self.version, media.address);
        self.last = Some(rest);
        body.into_bytes()
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
