//! The rules of RFC 3264, and the cases of RFC 6337 that one description can show, as tables: what we answer to each
//! offer, and what we offer and answer next in a session that stands. Which message carries what is the agent's tests'.

use super::*;
use crate::session::LocalMedia;

/// What becomes of an offer.
enum Verdict {
    /// Answered with these lines (those that begin with `m=`, `c=`, `t=`, and the direction), in their order.
    Answer(&'static str),
    /// Refused as a whole: 488, or a session that stays as it was.
    Refuse,
}
use Verdict::*;

const HEAD: &str = "v=0\r\no=peer 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\n";

fn ours(direction: Direction) -> LocalMedia {
    LocalMedia {
        address: "192.0.2.1".parse().unwrap(),
        port: 20_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        direction,
        srtp: Default::default(),
    }
}

/// The lines of a description that a table shows, one after the other.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let directions = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
    let wanted =
        |line: &&str| ["m=", "c=", "t="].iter().any(|start| line.starts_with(start)) || directions.contains(line);
    text.lines().filter(wanted).collect::<Vec<_>>().join(" | ")
}

/// Section, what it says, our direction, the offer from `t=` on (`;` ends a line), verdict.
type Row = (&'static str, &'static str, Direction, &'static str, Verdict);

const ANSWERS: &[Row] = {
    use Direction::*;
    &[
        (
            "5.1",
            "formats are numbers of the offer",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 8 0",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 8 0 | a=sendrecv"),
        ),
        (
            "6",
            "t= equals the offer's",
            SendRecv,
            "t=2873397496 2873404696;m=audio 4000 RTP/AVP 0",
            Answer("c=IN IP4 192.0.2.1 | t=2873397496 2873404696 | m=audio 20000 RTP/AVP 0 | a=sendrecv"),
        ),
        (
            "6",
            "as many lines as in the offer, in their order",
            SendRecv,
            "t=0 0;m=video 5000 RTP/AVP 31;m=audio 4000 RTP/AVP 0;m=text 6000 RTP/AVP 98;a=rtpmap:98 t140/1000",
            Answer(
                "c=IN IP4 192.0.2.1 | t=0 0 | m=video 0 RTP/AVP 31 | m=audio 20000 RTP/AVP 0 | a=sendrecv | \
                    m=text 0 RTP/AVP 98",
            ),
        ),
        (
            "6",
            "a second stream of the kind is refused by port 0",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 0;m=audio 4002 RTP/AVP 0",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=sendrecv | m=audio 0 RTP/AVP 0"),
        ),
        (
            "6",
            "a line of port 0 stays refused, the next one is taken",
            SendRecv,
            "t=0 0;m=audio 0 RTP/AVP 0;m=audio 4002 RTP/AVP 0",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 0 RTP/AVP 0 | m=audio 20000 RTP/AVP 0 | a=sendrecv"),
        ),
        ("6", "nothing in common", SendRecv, "t=0 0;m=audio 4000 RTP/AVP 18", Refuse),
        ("6", "no line at all", SendRecv, "t=0 0", Refuse),
        ("6", "all lines refused by the offerer", SendRecv, "t=0 0;m=audio 0 RTP/AVP 0", Refuse),
        (
            "6.1",
            "sendonly is answered recvonly",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 0;a=sendonly",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=recvonly"),
        ),
        (
            "6.1",
            "recvonly is answered sendonly",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 0;a=recvonly",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=sendonly"),
        ),
        (
            "6.1",
            "inactive is answered inactive",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 0;a=inactive",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=inactive"),
        ),
        (
            "6.1",
            "sendonly to whom sends only",
            SendOnly,
            "t=0 0;m=audio 4000 RTP/AVP 0;a=sendonly",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=inactive"),
        ),
        (
            "6.1",
            "sendrecv to whom sends only",
            SendOnly,
            "t=0 0;m=audio 4000 RTP/AVP 0",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=sendonly"),
        ),
        (
            "6.1",
            "sendrecv to whom receives only",
            RecvOnly,
            "t=0 0;m=audio 4000 RTP/AVP 0",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=recvonly"),
        ),
        (
            "6.1",
            "a direction of the session holds for its lines",
            SendRecv,
            "t=0 0;a=sendonly;m=audio 4000 RTP/AVP 0",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=recvonly"),
        ),
        (
            "6.1",
            "what is not in common is left out",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 18 0 97;a=rtpmap:97 iLBC/8000",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=sendrecv"),
        ),
        (
            "6.1",
            "a static number with another meaning is not ours",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 0;a=rtpmap:0 GSM/8000",
            Refuse,
        ),
        (
            "6.1",
            "a dynamic number keeps the offer's",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 122;a=rtpmap:122 PCMA/8000",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 122 | a=sendrecv"),
        ),
        (
            "6.1",
            "telephone-event is a format like others, but not alone",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 101;a=rtpmap:101 telephone-event/8000",
            Refuse,
        ),
        (
            "6.2",
            "a multicast stream is not ours",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 0;c=IN IP4 224.2.1.1/127",
            Refuse,
        ),
        (
            "8.4",
            "hold with c=0.0.0.0 (RFC 2543)",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 0;c=IN IP4 0.0.0.0",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=recvonly"),
        ),
        (
            "8.4",
            "hold in both directions",
            SendRecv,
            "t=0 0;m=audio 4000 RTP/AVP 0;c=IN IP4 0.0.0.0;a=inactive",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=inactive"),
        ),
    ]
};

fn described(rest: &str) -> Description {
    let rest: String = rest.split(';').map(|line| format!("{line}\r\n")).collect();
    Description::parse(format!("{HEAD}{rest}").as_bytes()).unwrap()
}

#[test]
fn every_offer_gets_its_answer() {
    for (section, rule, direction, offer, verdict) in ANSWERS {
        let answered = LocalDescription::new(1).answer(&described(offer), &ours(*direction));
        match (verdict, answered) {
            (Answer(expected), Ok((body, _))) => assert_eq!(shown(&body), *expected, "§{section}: {rule}"),
            (Refuse, Err(SdpError::NothingInCommon)) => {}
            (_, answered) => panic!("§{section}: {rule}: {answered:?}"),
        }
    }
}

/// A step in a session that began with the offer `t=0 0;m=audio 4000 RTP/AVP 8 0 96;a=rtpmap:96 telephone-event/8000`
/// of the peer's.
enum Step {
    /// The peer offers this; verdict.
    Theirs(&'static str, Verdict),
    /// We offer, in this direction: such lines.
    Ours(Direction, &'static str),
}
use Step::*;

/// Section, what it says, the steps, by how much the version in `o=` has moved at the end.
type Session = (&'static str, &'static str, &'static [Step], u64);

const SESSIONS: &[Session] = &[
    (
        "8",
        "the same again moves no version",
        &[Theirs(
            "t=0 0;m=audio 4000 RTP/AVP 8 0 96;a=rtpmap:96 telephone-event/8000",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 8 0 96 | a=sendrecv"),
        )],
        0,
    ),
    (
        "8",
        "our offer keeps the line and the numbers",
        &[Ours(Direction::SendRecv, "c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 8 96 | a=sendrecv")],
        1,
    ),
    (
        "8.1",
        "a stream that is added is refused, and stays in its place in our offers",
        &[
            Theirs(
                "t=0 0;m=audio 4000 RTP/AVP 0;m=video 5000 RTP/AVP 31",
                Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=sendrecv | m=video 0 RTP/AVP 31"),
            ),
            Ours(
                Direction::SendRecv,
                "c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 8 101 | a=sendrecv | m=video 0 RTP/AVP 31",
            ),
        ],
        2,
    ),
    (
        "8.2",
        "a stream that is removed may come back in the next line",
        &[Theirs(
            "t=0 0;m=audio 0 RTP/AVP 0;m=audio 4002 RTP/AVP 0",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 0 RTP/AVP 0 | m=audio 20000 RTP/AVP 0 | a=sendrecv"),
        )],
        1,
    ),
    (
        "8.2",
        "the only stream is not removed: the session stays as it was",
        &[
            Theirs("t=0 0;m=audio 0 RTP/AVP 0", Refuse),
            Theirs(
                "t=0 0;m=audio 4000 RTP/AVP 8 0 96;a=rtpmap:96 telephone-event/8000",
                Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 8 0 96 | a=sendrecv"),
            ),
        ],
        0,
    ),
    (
        "8.3.2",
        "a codec is changed",
        &[Theirs(
            "t=0 0;m=audio 4000 RTP/AVP 0",
            Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 | a=sendrecv"),
        )],
        1,
    ),
    (
        "8.4",
        "hold, resume, and hold of our own",
        &[
            Theirs(
                "t=0 0;m=audio 4000 RTP/AVP 8 0 96;a=rtpmap:96 telephone-event/8000;a=sendonly",
                Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 8 0 96 | a=recvonly"),
            ),
            Theirs(
                "t=0 0;m=audio 4000 RTP/AVP 8 0 96;a=rtpmap:96 telephone-event/8000",
                Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 8 0 96 | a=sendrecv"),
            ),
            Ours(Direction::SendOnly, "c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 8 96 | a=sendonly"),
        ],
        3,
    ),
    (
        "RFC 6337 5.3",
        "on hold of the peer's, our offer asks for both directions again",
        &[
            Theirs(
                "t=0 0;m=audio 4000 RTP/AVP 8 0 96;a=rtpmap:96 telephone-event/8000;a=sendonly",
                Answer("c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 8 0 96 | a=recvonly"),
            ),
            Ours(Direction::SendRecv, "c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 8 96 | a=sendrecv"),
        ],
        2,
    ),
    (
        "RFC 6337 3.4",
        "an offer that is refused changes nothing",
        &[
            Theirs("t=0 0;m=audio 4000 RTP/AVP 18", Refuse),
            Ours(Direction::SendRecv, "c=IN IP4 192.0.2.1 | t=0 0 | m=audio 20000 RTP/AVP 0 8 96 | a=sendrecv"),
        ],
        1,
    ),
];

/// Session id and version of `o=`.
fn origin(body: &[u8]) -> (u64, u64) {
    let text = std::str::from_utf8(body).unwrap();
    let mut fields = text.lines().nth(1).unwrap().split(' ').skip(1).map(|field| field.parse().unwrap());
    (fields.next().unwrap(), fields.next().unwrap())
}

#[test]
fn every_session_goes_on_by_the_rules() {
    for (section, rule, steps, moved) in SESSIONS {
        let mut local = LocalDescription::new(4000);
        let first = described("t=0 0;m=audio 4000 RTP/AVP 8 0 96;a=rtpmap:96 telephone-event/8000");
        let (body, _) = local.answer(&first, &ours(Direction::SendRecv)).unwrap();
        let (id, version) = origin(&body);
        let mut last = body;
        for step in *steps {
            let (body, expected) = match step {
                Theirs(offer, verdict) => {
                    match (verdict, local.answer(&described(offer), &ours(Direction::SendRecv))) {
                        (Answer(expected), Ok((body, _))) => (body, expected),
                        (Refuse, Err(SdpError::NothingInCommon)) => continue,
                        (_, answered) => panic!("§{section}: {rule}: {answered:?}"),
                    }
                }
                Ours(direction, expected) => (local.offer(&ours(*direction)), expected),
            };
            assert_eq!(shown(&body), *expected, "§{section}: {rule}");
            assert_eq!(origin(&body).0, id, "§{section}: {rule}");
            last = body;
        }
        assert_eq!(origin(&last).1, version + moved, "§{section}: {rule}");
    }
}

/// Answers to our offer `0 8 101`: section, what it says, the answer, codec and direction that follow; none: the call
/// ends.
#[test]
fn every_answer_has_its_meaning() {
    use Direction::*;
    let table: &[(&str, &str, &str, Option<(Codec, u8, Direction)>)] = &[
        ("6.1", "the first format of the answer is sent", "m=audio 4000 RTP/AVP 8 0", Some((Codec::Pcma, 8, SendRecv))),
        ("7", "what was not offered is not sent", "m=audio 4000 RTP/AVP 18 0", Some((Codec::Pcmu, 0, SendRecv))),
        (
            "7",
            "the answer's own number is sent to it",
            "m=audio 4000 RTP/AVP 96;a=rtpmap:96 PCMA/8000",
            Some((Codec::Pcma, 96, SendRecv)),
        ),
        ("6.1", "recvonly: we send only", "m=audio 4000 RTP/AVP 0;a=recvonly", Some((Codec::Pcmu, 0, SendOnly))),
        ("6.1", "sendonly: we receive only", "m=audio 4000 RTP/AVP 0;a=sendonly", Some((Codec::Pcmu, 0, RecvOnly))),
        ("6.1", "inactive", "m=audio 4000 RTP/AVP 0;a=inactive", Some((Codec::Pcmu, 0, Inactive))),
        ("6", "the stream is refused", "m=audio 0 RTP/AVP 0", None),
        ("6", "another stream in its place", "m=video 4000 RTP/AVP 31", None),
        ("6", "no line at all", "a=tool:x", None),
        ("7", "nothing of what was offered", "m=audio 4000 RTP/AVP 18", None),
        (
            "6",
            "a line more than was offered is not looked at",
            "m=audio 4000 RTP/AVP 0;m=video 4002 RTP/AVP 31",
            Some((Codec::Pcmu, 0, SendRecv)),
        ),
    ];
    for (section, rule, answer, expected) in table {
        let mut local = LocalDescription::new(1);
        local.offer(&ours(SendRecv));
        let agreed = local.accept(&described(&format!("t=0 0;{answer}")));
        let found = agreed.ok().map(|media| (media.codec, media.send_payload_type, media.direction));
        assert_eq!(found, *expected, "§{section}: {rule}");
    }
}
