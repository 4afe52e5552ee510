//! Our half of a session: offers written, offers answered, answers taken (RFC 3264).

use std::hash::{DefaultHasher, Hasher};

use serde::{Deserialize, Serialize};

use std::net::IpAddr;

use super::crypto::{Crypto, Keying};
use super::description::{AudioLine, Description, EventLine, channels_of};
use super::{
    Family, L16, OPUS, OPUS_PARAMETERS, SdpError, TELEPHONE_EVENT, common, direction_name, event_beside, events_for,
    narrowed, seen_from_here,
};
use crate::random::Random;
use crate::session::{Codec, Direction, EventFormat, LocalMedia, NegotiatedMedia, SrtpPolicy, SrtpSuite};

/// Our half of a dialog's offer/answer: our `o=`, the lines of the session in their order, and the payload numbers
/// that the session has fixed (they may not change meaning within it, RFC 3264 §8.3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalDescription {
    id: u64,
    pub(super) version: u64,
    /// A hash of our last description without its `o=`, to see whether the next one differs. The text holds keys.
    last: Option<u64>,
    /// Kind, protocol and formats of every line; ours is `active`. Empty before the first description.
    lines: Vec<(String, String, String)>,
    active: usize,
    /// `t=` of the session: the offerer's.
    #[serde(default)]
    time: (u64, u64),
    /// The numbers of codecs and of telephone-event as this session uses them on our side.
    pub(super) numbers: Vec<(u8, Codec)>,
    pub(super) events: Vec<EventFormat>,
    /// What our last offer held, until its answer came.
    offered: Vec<(u8, Codec)>,
    offered_direction: Direction,
    offered_family: Family,
    /// Our last offer was one of SRTP or nothing.
    #[serde(default)]
    offered_secure_only: bool,
    /// Where our last offer or answer wants its audio.
    #[serde(default)]
    offered_address: Option<IpAddr>,
    /// Keys of ours; not saved.
    #[serde(skip)]
    keying: Keying,
    /// Our last description, until it is known whether it holds; not saved, for it may have keys in it.
    #[serde(skip)]
    written: Text,
    /// What holds of ours, by an answer of ours or by the peer's to our offer; not saved.
    #[serde(skip)]
    standing: Option<Standing>,
}

/// A description without its `o=`. Shown to nobody: there may be keys in it.
#[derive(Clone, Default, PartialEq, Eq)]
struct Text(String);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A description of ours that the peer knows and that an answer goes with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    text: Text,
    address: IpAddr,
    formats: Vec<(u8, Codec)>,
    direction: Direction,
    crypto: Vec<Crypto>,
    secure_only: bool,
}

/// What a description may hold beside formats.
#[derive(Default)]
struct Extras {
    /// The values of `a=crypto`.
    crypto: Vec<String>,
    mux: bool,
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
            offered_secure_only: false,
            offered_address: None,
            keying: Keying::default(),
            written: Text::default(),
            standing: None,
        }
    }

    /// The signalling of this session is secure enough for keys, which are drawn from `random` (a generator of its own,
    /// unguessable): SRTP may be offered and answered with these suites, the most wanted first.
    pub fn allow_keys(&mut self, random: Random, suites: &[SrtpSuite]) {
        self.keying = Keying::new(random, suites);
    }

    /// # Errors
    /// `InsecureHop`: `media` is to be encrypted, and keys must not be sent here.
    pub fn check(&self, media: &LocalMedia) -> Result<(), SdpError> {
        self.keying.feasible(media.srtp).map(drop).ok_or(SdpError::InsecureHop)
    }

    /// Our offer. In a session that stands it keeps that session's lines, payload numbers and keys.
    ///
    /// SRTP that need not be is offered as RTP/AVP with `a=crypto`: one line, which those who do not know it answer as
    /// plain RTP. Two lines (RTP/SAVP and RTP/AVP) would be RFC 3264's own way, but many phones and gateways take the
    /// first line only or answer with another number of lines. SRTP that must be is RTP/SAVP.
    ///
    /// Media that [`check`](Self::check) refuses is offered as RTP/SAVP without keys, which nobody can accept.
    pub fn offer(&mut self, media: &LocalMedia) -> Vec<u8> {
        let policy = self.keying.feasible(media.srtp).unwrap_or(SrtpPolicy::Required);
        let crypto = self.keying.offer(policy);
        self.offered_secure_only = policy == SrtpPolicy::Required;
        if self.lines.is_empty() {
            self.lines.push(("audio".into(), "RTP/AVP".into(), String::new()));
            self.active = 0;
            if let Some((_, proto, _)) = self.lines.first_mut().filter(|_| policy == SrtpPolicy::Required) {
                *proto = "RTP/SAVP".into();
            }
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
        self.offered_address = Some(media.address);
        self.events.clone_from(&events);
        let events: Vec<_> = events.into_iter().map(|format| EventLine { format, flash: true }).collect();
        self.write(media, &formats, &events, media.direction, &Extras { crypto, mux: true })
    }

    /// Our answer to `offer`, and what is then agreed.
    pub fn answer(&mut self, offer: &Description, media: &LocalMedia) -> Result<(Vec<u8>, NegotiatedMedia), SdpError> {
        let policy = self.keying.feasible(media.srtp).ok_or(SdpError::InsecureHop)?;
        let family = Family::from(media.address);
        let chosen = offer.choose(&media.codecs, family, policy, self.keying.suites());
        let (index, audio, encrypted) = chosen.ok_or(SdpError::NothingInCommon)?;
        let formats = common(audio, &media.codecs);
        let direction = narrowed(seen_from_here(audio), media.direction);
        let (number, codec) = *formats.first().ok_or(SdpError::NothingInCommon)?;
        self.lines = offer.lines.iter().map(|l| (l.kind.clone(), l.proto.clone(), l.fmt.clone())).collect();
        self.active = index;
        self.time = offer.time;
        self.numbers = formats.clone();
        let events = events_for(audio, &formats);
        self.events = events.iter().map(|event| event.format).collect();
        let srtp = match encrypted {
            true => Some(self.keying.answer(&audio.crypto).ok_or(SdpError::NothingInCommon)?),
            false => {
                self.keying.answered_plainly();
                None
            }
        };
        let (crypto, srtp) = srtp.unzip();
        let extras = Extras { crypto: crypto.into_iter().collect(), mux: audio.mux };
        let body = self.write(media, &formats, &events, direction, &extras);
        self.offered = formats.clone();
        self.offered_direction = direction;
        self.offered_family = family;
        self.offered_address = Some(media.address);
        self.offered_secure_only = encrypted && audio.secure;
        self.stand();
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
            rtcp_mux: audio.mux,
            srtp,
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
        let keys = self.keying.accept(&audio.crypto, audio.other_crypto, audio.secure);
        let srtp = keys.map_err(|()| SdpError::BadKeys)?;
        if self.offered_secure_only && srtp.is_none() {
            return Err(SdpError::BadKeys);
        }
        let events = events_for(audio, &[(number, codec)]);
        self.numbers = self.offered.clone();
        self.stand();
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
            rtcp_mux: audio.mux,
            srtp,
        })
    }

    /// The description that holds, once more: an offer that changes nothing (RFC 4028 §7.4), or an answer that is
    /// repeated. None: nothing holds yet.
    pub fn repeat(&mut self) -> Option<Vec<u8>> {
        let Standing { text, address, formats, direction, crypto, secure_only } = self.standing.clone()?;
        self.offered = formats;
        self.offered_direction = direction;
        self.offered_family = address.into();
        self.offered_address = Some(address);
        self.offered_secure_only = secure_only;
        self.keying.hold(crypto);
        Some(self.stamp(text.0, address))
    }

    /// Our last description is the one that holds.
    fn stand(&mut self) {
        self.standing = self.offered_address.map(|address| Standing {
            text: self.written.clone(),
            address,
            formats: self.offered.clone(),
            direction: self.offered_direction,
            crypto: self.keying.held(),
            secure_only: self.offered_secure_only,
        });
    }

    /// Our last offer was refused: the session stands as in `before`. The version stays where it is, for a version
    /// once shown must not come back with other content.
    pub fn roll_back(&mut self, before: &LocalDescription) {
        self.lines.clone_from(&before.lines);
        self.active = before.active;
        self.numbers.clone_from(&before.numbers);
        self.events.clone_from(&before.events);
        self.keying.roll_back(&before.keying);
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
        extras: &Extras,
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
            for line in &extras.crypto {
                let _ = write!(rest, "a=crypto:{line}\r\n");
            }
            if extras.mux {
                rest.push_str("a=rtcp-mux\r\n");
            }
            let _ = write!(rest, "a=ptime:20\r\na={}\r\n", direction_name(direction));
        }
        self.stamp(rest, media.address)
    }

    /// The description with its `o=`, whose version moves where the rest is not the last one's.
    fn stamp(&mut self, rest: String, address: IpAddr) -> Vec<u8> {
        let family = Family::from(address).name();
        let mut hasher = DefaultHasher::new();
        hasher.write(rest.as_bytes());
        if self.last.replace(hasher.finish()).is_some_and(|last| last != hasher.finish()) {
            self.version = self.version.wrapping_add(1);
        }
        let body = format!("v=0\r\no=strowger {} {} IN {family} {address}\r\n{rest}", self.id, self.version);
        self.written = Text(rest);
        body.into_bytes()
    }
}
