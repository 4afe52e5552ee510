//! The wrong SDP that peers send, as a table: each row is an offer and what is agreed on, or that nothing is. The RTP
//! that follows such SDP is in `media::stream`'s table.

use super::tests::{both, wide};
use super::*;
use crate::session::{LocalMedia, NegotiatedMedia};

/// What of an agreement a row looks at.
#[derive(Debug, PartialEq)]
struct Seen {
    /// The answer's media lines.
    lines: Vec<String>,
    /// Where RTP and RTCP go.
    to: (String, String),
    /// Payload type sent.
    sends: u8,
    /// Telephone-event sent: number and clock.
    event: Option<(u8, u32)>,
    ptime: u32,
    direction: Direction,
}

fn see(body: &[u8], agreed: &NegotiatedMedia) -> Seen {
    let text = String::from_utf8(body.to_vec()).unwrap();
    Seen {
        lines: text.lines().filter(|line| line.starts_with("m=")).map(str::to_owned).collect(),
        to: (agreed.remote_rtp.to_string(), agreed.remote_rtcp.to_string()),
        sends: agreed.send_payload_type,
        event: agreed.send_telephone_event.map(|event| (event.payload_type, event.clock_rate)),
        ptime: agreed.ptime_ms,
        direction: agreed.direction,
    }
}

/// The usual agreement with `m=audio 4000 RTP/AVP 0` at 198.51.100.7.
fn usual() -> Seen {
    Seen {
        lines: vec!["m=audio 20000 RTP/AVP 0".into()],
        to: ("198.51.100.7:4000".into(), "198.51.100.7:4001".into()),
        sends: 0,
        event: None,
        ptime: 20,
        direction: Direction::SendRecv,
    }
}

/// A name, the offer after `v=`, `o=`, `s=` (`;` ends a line), what becomes of it; none: 488.
type Row = (&'static str, &'static str, Option<fn(&mut Seen)>);

const C: &str = "c=IN IP4 198.51.100.7;t=0 0;";

const TABLE: &[Row] = &[
    ("the usual", "{C}m=audio 4000 RTP/AVP 0", Some(|_| {})),
    ("c= at the media only", "t=0 0;m=audio 4000 RTP/AVP 0;c=IN IP4 198.51.100.7", Some(|_| {})),
    ("the media's c= wins", "c=IN IP4 10.0.0.1;t=0 0;m=audio 4000 RTP/AVP 0;c=IN IP4 198.51.100.7", Some(|_| {})),
    (
        "another media's c= does not count",
        "{C}m=video 5000 RTP/AVP 31;c=IN IP4 10.9.9.9;m=audio 4000 RTP/AVP 0",
        Some(|s| {
            s.lines.insert(0, "m=video 0 RTP/AVP 31".into());
        }),
    ),
    ("no c= at all", "t=0 0;m=audio 4000 RTP/AVP 0", None),
    ("a name in c=", "c=IN IP4 phone.example.com;t=0 0;m=audio 4000 RTP/AVP 0", None),
    (
        "a private address is taken as it is",
        "c=IN IP4 192.168.1.9;t=0 0;m=audio 4000 RTP/AVP 0",
        Some(|s| {
            s.to = ("192.168.1.9:4000".into(), "192.168.1.9:4001".into());
        }),
    ),
    (
        "0.0.0.0 is a hold",
        "c=IN IP4 0.0.0.0;t=0 0;m=audio 4000 RTP/AVP 0",
        Some(|s| {
            s.to = ("0.0.0.0:4000".into(), "0.0.0.0:4001".into());
            s.direction = Direction::RecvOnly;
        }),
    ),
    ("IPv6 to an IPv4 line", "c=IN IP6 2001:db8::1;t=0 0;m=audio 4000 RTP/AVP 0", None),
    (
        "IPv6 first, IPv4 second",
        "{C}m=audio 4002 RTP/AVP 0;c=IN IP6 2001:db8::1;m=audio 4000 RTP/AVP 0",
        Some(|s| {
            s.lines.insert(0, "m=audio 0 RTP/AVP 0".into());
        }),
    ),
    ("a=rtcp with a port", "{C}m=audio 4000 RTP/AVP 0;a=rtcp:5555", Some(|s| s.to.1 = "198.51.100.7:5555".into())),
    (
        "a=rtcp with an address",
        "{C}m=audio 4000 RTP/AVP 0;a=rtcp:5555 IN IP4 203.0.113.5",
        Some(|s| {
            s.to.1 = "203.0.113.5:5555".into();
        }),
    ),
    ("a=rtcp of nonsense", "{C}m=audio 4000 RTP/AVP 0;a=rtcp:0;a=rtcp:x", Some(|_| {})),
    ("rtcp-mux", "{C}m=audio 4000 RTP/AVP 0;a=rtcp-mux", Some(|s| s.to.1 = "198.51.100.7:4000".into())),
    (
        "rtcp-mux beats a=rtcp",
        "{C}m=audio 4000 RTP/AVP 0;a=rtcp:5555;a=RTCP-MUX",
        Some(|s| {
            s.to.1 = "198.51.100.7:4000".into();
        }),
    ),
    ("ptime 10", "{C}m=audio 4000 RTP/AVP 0;a=ptime:10", Some(|s| s.ptime = 10)),
    ("ptime 30", "{C}m=audio 4000 RTP/AVP 0;a=ptime: 30 ", Some(|s| s.ptime = 30)),
    ("ptime 60 of the session", "{C}a=ptime:60;m=audio 4000 RTP/AVP 0", Some(|s| s.ptime = 60)),
    ("maxptime holds", "{C}m=audio 4000 RTP/AVP 0;a=ptime:60;a=maxptime:40", Some(|s| s.ptime = 40)),
    ("maxptime alone", "{C}m=audio 4000 RTP/AVP 0;a=maxptime:10", Some(|s| s.ptime = 10)),
    ("a generous maxptime", "{C}m=audio 4000 RTP/AVP 0;a=maxptime:150", Some(|_| {})),
    ("a fraction in ptime", "{C}m=audio 4000 RTP/AVP 0;a=ptime:30.0", Some(|s| s.ptime = 30)),
    ("ptime of nonsense", "{C}m=audio 4000 RTP/AVP 0;a=ptime:0;a=ptime:-1", Some(|_| {})),
    (
        "static numbers without rtpmap",
        "{C}m=audio 4000 RTP/AVP 8 18 3",
        Some(|s| {
            s.lines = vec!["m=audio 20000 RTP/AVP 8".into()];
            s.sends = 8;
        }),
    ),
    ("a number twice in m=", "{C}m=audio 4000 RTP/AVP 0 0 0", Some(|_| {})),
    ("one codec under two numbers", "{C}m=audio 4000 RTP/AVP 0 100;a=rtpmap:100 PCMU/8000", Some(|_| {})),
    (
        "a number with two rtpmaps: the first counts",
        "{C}m=audio 4000 RTP/AVP 98;a=rtpmap:98 PCMU/8000;a=rtpmap:98 G729/8000",
        Some(|s| {
            s.lines = vec!["m=audio 20000 RTP/AVP 98".into()];
            s.sends = 98;
        }),
    ),
    ("an rtpmap for a number that is not listed", "{C}m=audio 4000 RTP/AVP 0;a=rtpmap:98 PCMA/8000", Some(|_| {})),
    ("a number out of range", "{C}m=audio 4000 RTP/AVP 300 0 x", Some(|_| {})),
    (
        "telephone-event at 16 kHz beside G.711",
        "{C}m=audio 4000 RTP/AVP 0 101;a=rtpmap:101 telephone-event/16000",
        Some(|_| {}),
    ),
    (
        "telephone-event at 8 kHz in capitals",
        "{C}m=audio 4000 RTP/AVP 0 101;a=RTPMAP:101 TELEPHONE-EVENT/8000",
        Some(|s| {
            s.lines = vec!["m=audio 20000 RTP/AVP 0 101".into()];
            s.event = Some((101, 8_000));
        }),
    ),
    (
        "port 0, then a live line",
        "{C}m=audio 0 RTP/AVP 0;m=audio 4000 RTP/AVP 0",
        Some(|s| {
            s.lines.insert(0, "m=audio 0 RTP/AVP 0".into());
        }),
    ),
    (
        "video, image and application around it",
        "{C}m=video 1 RTP/AVP 31;m=audio 4000 RTP/AVP 0;m=image 2 udptl t38;m=application 3 TCP/BFCP *",
        Some(|s| {
            s.lines = [
                "m=video 0 RTP/AVP 31",
                "m=audio 20000 RTP/AVP 0",
                "m=image 0 udptl t38",
                "m=application 0 TCP/BFCP *",
            ]
            .map(str::to_owned)
            .to_vec();
        }),
    ),
    ("bandwidth lines", "{C}b=AS:84;m=audio 4000 RTP/AVP 0;b=TIAS:64000", Some(|_| {})),
    ("inactive", "{C}m=audio 4000 RTP/AVP 0;a=inactive", Some(|s| s.direction = Direction::Inactive)),
    (
        "a direction of the session, in capitals",
        "{C}a=SENDONLY;m=audio 4000 RTP/AVP 0",
        Some(|s| s.direction = Direction::RecvOnly),
    ),
    (
        "two directions: the first",
        "{C}m=audio 4000 RTP/AVP 0;a=recvonly;a=sendrecv",
        Some(|s| s.direction = Direction::SendOnly),
    ),
    (
        "names in other cases",
        "{C}m=AUDIO 4000 rtp/avp 0;a=rtpmap:0 pcmu/8000",
        Some(|s| s.lines = vec!["m=AUDIO 20000 rtp/avp 0".into()]),
    ),
    (
        "ICE, DTLS and other attributes that may be left",
        "{C}a=ice-ufrag:x;a=ice-pwd:y;a=ice-lite;m=audio 4000 RTP/AVP 0;a=candidate:1 1 UDP 1 10.0.0.1 9 typ host;a=setup:actpass;a=fingerprint:sha-1 AA;a=ssrc:1 cname:x;a=mid:0",
        Some(|_| {}),
    ),
    ("DTLS that must be", "{C}m=audio 4000 UDP/TLS/RTP/SAVP 0;a=setup:actpass;a=fingerprint:sha-1 AA", None),
    (
        "fmtp without a value, of others, twice",
        "{C}m=audio 4000 RTP/AVP 0;a=fmtp:0;a=fmtp:18 annexb=no;a=fmtp:0 x;a=fmtp",
        Some(|_| {}),
    ),
];

fn answered(offer: &str, end: &str, ours: &LocalMedia) -> Option<Seen> {
    let text = format!("v=0;o=- 1 1 IN IP4 198.51.100.7;s=-;{};", offer.replace("{C}", C));
    let offer = Description::parse(text.replace(';', end).as_bytes()).ok()?;
    let (body, agreed) = LocalDescription::new(1).answer(&offer, ours).ok()?;
    Some(see(&body, &agreed))
}

#[test]
fn each_oddity_has_its_answer_whatever_ends_the_lines() {
    for (name, offer, expected) in TABLE {
        let expected = expected.map(|change| {
            let mut seen = usual();
            change(&mut seen);
            seen
        });
        for end in ["\r\n", "\n"] {
            assert_eq!(answered(offer, end, &both()), expected, "{name} ({end:?})");
        }
    }
}

#[test]
fn numbers_and_clocks_differ_by_direction() {
    let mut local = LocalDescription::new(1);
    let offer = String::from_utf8(local.offer(&wide())).unwrap();
    assert!(offer.contains("a=rtpmap:111 opus/48000/2") && offer.contains("a=rtcp-mux"), "{offer}");
    let answer = "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\nm=audio 4000 RTP/AVP 120 121\r\n\
                  a=rtpmap:120 opus/48000/2\r\na=rtpmap:121 telephone-event/48000\r\na=ptime:40\r\na=rtcp-mux\r\n";
    let agreed = local.accept(&Description::parse(answer.as_bytes()).unwrap()).unwrap();
    assert_eq!((agreed.send_payload_type, &agreed.receive_payload_types[..]), (120, &[(111, Codec::Opus)][..]));
    assert_eq!(agreed.send_telephone_event, Some(EventFormat { payload_type: 121, clock_rate: 48_000 }));
    assert_eq!((agreed.ptime_ms, agreed.rtcp_mux, agreed.remote_rtcp), (40, true, agreed.remote_rtp));
}

#[test]
fn a_200_that_changes_what_its_183_said_is_what_holds() {
    let mut local = LocalDescription::new(1);
    local.offer(&both());
    let said = |port: u16, number: u8| {
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\nm=audio {port} RTP/AVP {number}\r\n"
        );
        Description::parse(text.as_bytes()).unwrap()
    };
    let early = local.accept(&said(4000, 0)).unwrap();
    let late = local.accept(&said(6000, 8)).unwrap();
    assert_eq!((early.codec, early.remote_rtp.port()), (Codec::Pcmu, 4000));
    assert_eq!((late.codec, late.remote_rtp.port()), (Codec::Pcma, 6000));
}
