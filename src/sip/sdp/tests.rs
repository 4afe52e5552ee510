//! Offers and answers as phones, carriers and attackers write them.

use super::*;
use crate::random::Random;
use crate::session::{LocalMedia, NegotiatedMedia, SrtpPolicy};

fn ours(codecs: &[Codec]) -> LocalMedia {
    LocalMedia {
        address: "192.0.2.1".parse().unwrap(),
        port: 20000,
        codecs: codecs.to_vec(),
        direction: Direction::SendRecv,
        srtp: SrtpPolicy::Off,
    }
}

pub(super) fn both() -> LocalMedia {
    ours(&[Codec::Pcmu, Codec::Pcma])
}

fn answer(offer: &str, media: &LocalMedia) -> Result<(String, NegotiatedMedia), SdpError> {
    let (body, negotiated) = LocalDescription::new(4000).answer(&Description::parse(offer.as_bytes())?, media)?;
    Ok((String::from_utf8(body).unwrap(), negotiated))
}

pub(super) const HEAD: &str = "v=0\r\no=alice 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n";

#[test]
fn static_numbers_need_no_rtpmap_and_the_offers_order_wins() {
    let (body, agreed) = answer(&format!("{HEAD}m=audio 4000 RTP/AVP 8 0 18\r\n"), &both()).unwrap();
    assert_eq!(agreed.codec, Codec::Pcma);
    assert_eq!(agreed.send_payload_type, 8);
    assert_eq!(agreed.receive_payload_types, vec![(8, Codec::Pcma), (0, Codec::Pcmu)]);
    assert_eq!(agreed.send_telephone_event, None);
    assert_eq!(agreed.remote_rtp, "198.51.100.7:4000".parse().unwrap());
    assert_eq!(agreed.remote_rtcp, "198.51.100.7:4001".parse().unwrap());
    assert!(body.contains("m=audio 20000 RTP/AVP 8 0\r\n"), "{body}");
    assert!(!body.contains("telephone-event"));
}

#[test]
fn dynamic_numbers_and_telephone_event_keep_the_peers_numbers() {
    let (body, agreed) = answer(
        &format!(
            "{HEAD}m=audio 4000 RTP/AVP 111 97 96\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:97 pcmu/8000/1\r\n\
             a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15\r\na=ptime:30\r\na=rtcp:53020 IN IP4 203.0.113.9\r\n"
        ),
        &both(),
    )
    .unwrap();
    assert_eq!((agreed.codec, agreed.send_payload_type), (Codec::Pcmu, 97));
    assert_eq!(agreed.send_telephone_event, Some(EventFormat::narrow(96)));
    assert_eq!(agreed.receive_telephone_events, [EventFormat::narrow(96)]);
    assert_eq!(agreed.ptime_ms, 30);
    assert_eq!(agreed.remote_rtcp, "203.0.113.9:53020".parse().unwrap());
    assert!(body.contains("m=audio 20000 RTP/AVP 97 96\r\n"), "{body}");
    assert!(body.contains("a=fmtp:96 0-15\r\n"));
}

#[test]
fn a_telephone_event_at_another_rate_is_not_ours() {
    let offer = format!(
        "{HEAD}m=audio 4000 RTP/AVP 0 100 101\r\na=rtpmap:100 telephone-event/48000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-11,16\r\n"
    );
    let (body, agreed) = answer(&offer, &both()).unwrap();
    assert_eq!(agreed.send_telephone_event, Some(EventFormat::narrow(101)));
    assert!(body.contains("a=fmtp:101 0-16\r\n"));
}

#[test]
fn other_lines_are_refused_in_their_place() {
    let offer = format!(
        "{HEAD}m=video 5000 RTP/AVP 96 97\r\na=rtpmap:96 H264/90000\r\nm=audio 4000 RTP/AVP 0\r\n\
         m=audio 4002 RTP/AVP 8\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
    );
    let (body, _) = answer(&offer, &both()).unwrap();
    let lines: Vec<_> = body.lines().filter(|l| l.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=video 0 RTP/AVP 96 97",
            "m=audio 20000 RTP/AVP 0",
            "m=audio 0 RTP/AVP 8",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel"
        ]
    );
}

#[test]
fn an_offer_without_anything_of_ours_is_refused() {
    for media in [
        "m=audio 4000 RTP/AVP 9 18\r\n",
        "m=audio 0 RTP/AVP 0\r\n",
        "m=audio 4000 RTP/SAVP 0\r\n",
        "m=video 4000 RTP/AVP 0\r\n",
        "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 G729/8000\r\n",
        "m=audio 4000 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127\r\n",
        "",
    ] {
        assert_eq!(answer(&format!("{HEAD}{media}"), &both()).unwrap_err(), SdpError::NothingInCommon, "{media}");
    }
    let only_a = ours(&[Codec::Pcma]);
    assert!(answer(&format!("{HEAD}m=audio 4000 RTP/AVP 0\r\n"), &only_a).is_err());
    let many = format!("{HEAD}{}", "m=audio 4000 RTP/AVP 0\r\n".repeat(33));
    assert_eq!(answer(&many, &both()).unwrap_err(), SdpError::TooManyLines);
}

#[test]
fn hold_in_every_style_is_mirrored() {
    let cases = [
        ("a=sendonly\r\n", "", Direction::RecvOnly, "a=recvonly"),
        ("a=recvonly\r\n", "", Direction::SendOnly, "a=sendonly"),
        ("a=inactive\r\n", "", Direction::Inactive, "a=inactive"),
        ("a=sendrecv\r\n", "", Direction::SendRecv, "a=sendrecv"),
        ("", "c=IN IP4 0.0.0.0\r\n", Direction::RecvOnly, "a=recvonly"),
        ("a=inactive\r\n", "c=IN IP4 0.0.0.0\r\n", Direction::Inactive, "a=inactive"),
    ];
    for (attribute, connection, direction, written) in cases {
        let offer = format!("{HEAD}m=audio 4000 RTP/AVP 0\r\n{connection}{attribute}");
        let (body, agreed) = answer(&offer, &both()).unwrap();
        assert_eq!(agreed.direction, direction, "{offer}");
        assert!(body.contains(written), "{body}");
    }
    // At session level it holds for every line, and a line's own word wins.
    let held =
        "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\na=sendonly\r\nm=audio 4000 RTP/AVP 0\r\n";
    assert_eq!(answer(held, &both()).unwrap().1.direction, Direction::RecvOnly);
    assert_eq!(answer(&format!("{held}a=sendrecv\r\n"), &both()).unwrap().1.direction, Direction::SendRecv);
}

#[test]
fn our_own_direction_narrows_the_answer() {
    let media = LocalMedia { direction: Direction::SendOnly, ..both() };
    let (_, agreed) = answer(&format!("{HEAD}m=audio 4000 RTP/AVP 0\r\n"), &media).unwrap();
    assert_eq!(agreed.direction, Direction::SendOnly);
    let (body, agreed) = answer(&format!("{HEAD}m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n"), &media).unwrap();
    assert_eq!(agreed.direction, Direction::Inactive);
    assert!(body.contains("a=inactive"));
}

#[test]
fn ipv6_goes_both_ways() {
    let offer =
        "v=0\r\no=- 1 1 IN IP6 2001:db8::7\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::7\r\n";
    let media = LocalMedia { address: "2001:db8::1".parse().unwrap(), ..both() };
    let (body, agreed) = answer(offer, &media).unwrap();
    assert_eq!(agreed.remote_rtp, "[2001:db8::7]:4000".parse().unwrap());
    assert!(body.contains("c=IN IP6 2001:db8::1\r\n"));
    assert!(body.contains("IN IP6 2001:db8::1\r\ns="));
}

#[test]
fn an_address_of_the_other_family_is_no_address() {
    const V6: &str = "c=IN IP6 2001:db8::7\r\n";
    let six = LocalMedia { address: "2001:db8::1".parse().unwrap(), ..both() };
    let only_v6 = format!("{HEAD}m=audio 4000 RTP/AVP 0\r\n{V6}");
    assert_eq!(answer(&only_v6, &both()).unwrap_err(), SdpError::NothingInCommon);
    assert!(answer(&only_v6, &six).is_ok());
    assert_eq!(answer(&format!("{HEAD}m=audio 4000 RTP/AVP 0\r\n"), &six).unwrap_err(), SdpError::NothingInCommon);
    let offer = Description::parse(only_v6.as_bytes()).unwrap();
    assert_eq!(offer.in_common(&both().codecs, Family::V4), None);
    // The next line may do.
    let (body, agreed) = answer(&format!("{only_v6}m=audio 4002 RTP/AVP 0\r\n"), &both()).unwrap();
    assert_eq!(agreed.remote_rtp, "198.51.100.7:4002".parse().unwrap());
    assert!(body.contains("m=audio 0 RTP/AVP 0\r\nm=audio 20000 RTP/AVP 0\r\n"), "{body}");
    // Answers likewise; and RTCP goes where RTP goes.
    let mut local = LocalDescription::new(1);
    local.offer(&both());
    assert_eq!(local.accept(&offer), Err(SdpError::NothingInCommon));
    local.offer(&six);
    assert!(local.accept(&offer).is_ok());
    let rtcp = format!("{HEAD}m=audio 4000 RTP/AVP 0\r\na=rtcp:4005 IN IP6 2001:db8::7\r\n");
    assert_eq!(answer(&rtcp, &both()).unwrap().1.remote_rtcp, "198.51.100.7:4005".parse().unwrap());
    // Old-style hold is nowhere in both families.
    let held = format!("{HEAD}m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n");
    assert_eq!(answer(&held, &six).unwrap().1.direction, Direction::RecvOnly);
}

#[test]
fn bare_line_feeds_unknown_lines_and_missing_s_are_read() {
    let offer = "v=0\no=- 1 1 IN IP4 1.2.3.4\nc=IN IP4 1.2.3.4\nt=0 0\nm=audio 4000 RTP/AVP 0\na=X-nat:0\na=silenceSupp:off - - - -\nx=odd\n";
    assert!(answer(offer, &both()).is_ok());
}

#[test]
fn the_version_moves_only_with_the_description() {
    let version = |body: &[u8]| {
        let text = std::str::from_utf8(body).unwrap();
        text.lines().nth(1).unwrap().split(' ').nth(2).unwrap().parse::<u64>().unwrap()
    };
    let offer = Description::parse(format!("{HEAD}m=audio 4000 RTP/AVP 0\r\n").as_bytes()).unwrap();
    let held = Description::parse(format!("{HEAD}m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n").as_bytes()).unwrap();
    let mut local = LocalDescription::new(4000);
    let first = local.answer(&offer, &both()).unwrap().0;
    assert_eq!(version(&first), version(&local.answer(&offer, &both()).unwrap().0));
    assert_eq!(version(&first) + 1, version(&local.answer(&held, &both()).unwrap().0));
    assert_eq!(version(&first) + 2, version(&local.offer(&both())));
    assert_eq!(version(&first) + 2, version(&local.offer(&both())));
}

#[test]
fn our_offer_and_the_peers_answer_meet_on_each_ones_numbers() {
    let mut local = LocalDescription::new(1);
    let offer = String::from_utf8(local.offer(&both())).unwrap();
    assert!(offer.contains("m=audio 20000 RTP/AVP 0 8 101\r\n"), "{offer}");
    let reply = format!("{HEAD}m=audio 4000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n");
    let agreed = local.accept(&Description::parse(reply.as_bytes()).unwrap()).unwrap();
    assert_eq!((agreed.codec, agreed.send_payload_type), (Codec::Pcma, 8));
    assert_eq!(agreed.receive_payload_types, vec![(8, Codec::Pcma)]);
    assert_eq!(agreed.send_telephone_event, Some(EventFormat::narrow(96)));
    assert_eq!(agreed.receive_telephone_events, [EventFormat::narrow(101)]);
    for refused in ["m=audio 0 RTP/AVP 0\r\n", "m=audio 4000 RTP/AVP 9\r\n", ""] {
        let refused = Description::parse(format!("{HEAD}{refused}").as_bytes()).unwrap();
        assert_eq!(local.accept(&refused), Err(SdpError::NothingInCommon));
    }
}

#[test]
fn a_new_offer_keeps_the_sessions_lines_and_numbers() {
    let mut local = LocalDescription::new(1);
    let first = format!(
        "{HEAD}m=video 5000 RTP/AVP 96\r\nm=audio 4000 RTP/AVP 97 99\r\na=rtpmap:97 PCMU/8000\r\na=rtpmap:99 telephone-event/8000\r\n"
    );
    local.answer(&Description::parse(first.as_bytes()).unwrap(), &both()).unwrap();
    let body = String::from_utf8(local.offer(&both())).unwrap();
    assert!(body.contains("m=video 0 RTP/AVP 96\r\nm=audio 20000 RTP/AVP 97 8 99\r\n"), "{body}");
}

#[test]
fn a_refused_offer_leaves_the_session_as_it_was() {
    let mut local = LocalDescription::new(1);
    let first = format!("{HEAD}m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 PCMU/8000\r\n");
    local.answer(&Description::parse(first.as_bytes()).unwrap(), &both()).unwrap();
    let before = local.clone();
    let body = String::from_utf8(local.offer(&both())).unwrap();
    assert!(body.contains("m=audio 20000 RTP/AVP 101 8 102\r\n"), "a number keeps its meaning: {body}");
    local.roll_back(&before);
    assert_eq!((&local.numbers, &local.events), (&vec![(101, Codec::Pcmu)], &vec![]));
    assert!(local.version > before.version, "a version once shown is not shown again");
}

#[test]
fn two_of_ours_understand_each_other() {
    let mut caller = LocalDescription::new(1);
    let mut callee = LocalDescription::new(2);
    let offer = caller.offer(&both());
    let (reply, theirs) = callee
        .answer(&Description::parse(&offer).unwrap(), &LocalMedia { port: 30000, ..ours(&[Codec::Pcma]) })
        .unwrap();
    let mine = caller.accept(&Description::parse(&reply).unwrap()).unwrap();
    assert_eq!((mine.codec, theirs.codec), (Codec::Pcma, Codec::Pcma));
    assert_eq!(mine.remote_rtp.port(), 30000);
    assert_eq!(theirs.remote_rtp.port(), 20000);
    assert_eq!(mine.send_telephone_event, theirs.receive_telephone_events.first().copied());
}

pub(super) fn wide() -> LocalMedia {
    ours(&[Codec::Opus, Codec::G722, Codec::Pcmu, Codec::Pcma])
}

#[test]
fn our_order_decides_and_the_offers_between_the_laws_of_g711() {
    // Offered numbers; what we answer with.
    for (offered, answered) in [
        ("0 8 9", "9 0 8"),
        ("8 0", "8 0"),
        ("8 9 0 111", "111 9 8 0"),
        ("111 9", "111 9"),
        ("9 111", "111 9"),
        ("0 112", "0"),
        ("0 113 114", "0"),
        ("8 115 0", "8 0"),
    ] {
        let offer = format!(
            "{HEAD}m=audio 4000 RTP/AVP {offered}\r\na=rtpmap:111 OPUS/48000/2\r\na=rtpmap:112 opus/48000\r\n\
             a=rtpmap:113 opus/16000/2\r\na=rtpmap:114 G722/16000\r\na=rtpmap:115 L16/16000\r\n"
        );
        let (body, agreed) = answer(&offer, &wide()).unwrap();
        assert!(body.contains(&format!("m=audio 20000 RTP/AVP {answered}\r\n")), "{offered}: {body}");
        assert_eq!(agreed.receive_payload_types.first(), Some(&(agreed.send_payload_type, agreed.codec)));
    }
    let narrow_first = ours(&[Codec::Pcma, Codec::Pcmu, Codec::G722]);
    let (body, _) = answer(&format!("{HEAD}m=audio 4000 RTP/AVP 9 0 8\r\n"), &narrow_first).unwrap();
    assert!(body.contains("m=audio 20000 RTP/AVP 0 8 9\r\n"), "{body}");
    let linear = ours(&[Codec::L16, Codec::Pcmu]);
    let offer = format!("{HEAD}m=audio 4000 RTP/AVP 0 11 115\r\na=rtpmap:115 L16/16000/1\r\n");
    assert_eq!(answer(&offer, &linear).unwrap().1.codec, Codec::L16);
    let stereo = format!("{HEAD}m=audio 4000 RTP/AVP 0 115\r\na=rtpmap:115 L16/16000/2\r\n");
    assert_eq!(answer(&stereo, &linear).unwrap().1.codec, Codec::Pcmu);
}

#[test]
fn an_offer_of_all_codecs_has_an_event_for_each_clock() {
    let mut local = LocalDescription::new(1);
    let offer = String::from_utf8(local.offer(&ours(&Codec::ALL))).unwrap();
    for line in [
        "m=audio 20000 RTP/AVP 0 8 9 97 111 101 102 103",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:97 L16/16000",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1;maxplaybackrate=16000",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:102 telephone-event/16000",
        "a=rtpmap:103 telephone-event/48000",
        "a=fmtp:103 0-16",
    ] {
        assert!(offer.contains(&format!("{line}\r\n")), "{line}: {offer}");
    }
    assert_eq!(local.offer(&ours(&Codec::ALL)), offer.as_bytes(), "the same again has the same numbers");
    // The answer's numbers differ by direction, and its event's clock goes by its codec.
    let reply = format!(
        "{HEAD}m=audio 4000 RTP/AVP 96 98 99\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:98 telephone-event/8000\r\n\
         a=rtpmap:99 telephone-event/48000\r\n"
    );
    let agreed = local.accept(&Description::parse(reply.as_bytes()).unwrap()).unwrap();
    assert_eq!((agreed.codec, agreed.send_payload_type), (Codec::Opus, 96));
    assert_eq!(agreed.receive_payload_types, [(111, Codec::Opus)]);
    assert_eq!(agreed.send_telephone_event, Some(EventFormat { payload_type: 99, clock_rate: 48_000 }));
    assert_eq!(
        agreed.receive_telephone_events,
        [(101, 8_000), (102, 16_000), (103, 48_000)]
            .map(|(payload_type, clock_rate)| EventFormat { payload_type, clock_rate })
    );
}

#[test]
fn events_go_at_the_codecs_clock_or_at_the_only_one_there_is() {
    let map =
        "a=rtpmap:111 opus/48000/2\r\na=rtpmap:110 telephone-event/48000\r\na=rtpmap:101 telephone-event/8000\r\n";
    // Offered numbers, the events of our answer, the event that we send.
    for (offered, events, sent) in [
        ("111 0 110 101", "110 101", Some((110, 48_000))),
        ("0 101 110", "101", Some((101, 8_000))),
        ("111 101", "101", Some((101, 8_000))),
        ("111 110", "110", Some((110, 48_000))),
        ("0 110", "", None),
        ("9 101 110", "101", Some((101, 8_000))),
    ] {
        let (body, agreed) = answer(&format!("{HEAD}m=audio 4000 RTP/AVP {offered}\r\n{map}"), &wide()).unwrap();
        let sent = sent.map(|(payload_type, clock_rate)| EventFormat { payload_type, clock_rate });
        assert_eq!(agreed.send_telephone_event, sent, "{offered}");
        let line = body.lines().find(|line| line.starts_with("m=")).unwrap();
        assert!(line.ends_with(events), "{offered}: {line}");
        assert_eq!(agreed.receive_telephone_events.len(), events.split_ascii_whitespace().count(), "{offered}");
    }
}

#[test]
fn garbage_is_refused_without_a_panic() {
    let mut random = Random::from_number(7);
    let seed = format!(
        "{HEAD}m=audio 4000 RTP/AVP 97 0 99\r\nc=IN IP6 2001:db8::1\r\na=rtpmap:97 PCMU/8000/1\r\na=fmtp:99 0-15,16\r\na=rtcp:1 IN IP4 1.2.3.4\r\na=ptime:20\r\na=sendonly\r\n"
    )
    .into_bytes();
    for _ in 0..20_000 {
        let mut bytes = seed.clone();
        for _ in 0..=random.below(12) {
            if bytes.len() < 2 {
                break;
            }
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => {
                    bytes.remove(at);
                }
                2 => bytes.insert(at, b"/- :=\r\n09"[random.below(9) as usize]),
                _ => bytes.truncate(at.max(1)),
            }
        }
        if let Ok(description) = Description::parse(&bytes) {
            let mut local = LocalDescription::new(random.u64());
            let _ = local.answer(&description, &both());
            local.offer(&both());
            let _ = local.accept(&description);
        }
    }
}

#[test]
fn opus_without_silence_is_as_the_peer_asks() {
    for (parameters, dtx) in
        [("usedtx=1", true), ("minptime=10; usedtx=1;useinbandfec=1", true), ("usedtx=0", false), ("stereo=1", false)]
    {
        let offer =
            format!("{HEAD}m=audio 4000 RTP/AVP 0 111\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 {parameters}\r\n");
        let (_, agreed) = answer(&offer, &ours(&[Codec::Opus, Codec::Pcmu])).unwrap();
        assert_eq!((agreed.codec, agreed.send_dtx), (Codec::Opus, dtx), "{parameters}");
        let (_, narrow) = answer(&offer, &both()).unwrap();
        assert!(!narrow.send_dtx, "of Opus only");
    }
}
