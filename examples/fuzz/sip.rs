//! SIP messages, streams of them, whole dialogs, challenges and session descriptions.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use strowger::random::Random;
use strowger::session::{Codec, Direction, LegId, LocalMedia, SrtpPolicy, SrtpSuite};
use strowger::sip::agent::{AgentConfig, AgentLimits, AgentOutput, ContactAddress, TimerConfig, UserAgent};
use strowger::sip::digest::{Authenticator, Rounds, challenges};
use strowger::sip::leg::{Credentials, LegCommand, OutgoingInvite, Party};
use strowger::sip::message::stream::{Framed, Framer};
use strowger::sip::message::{
    Headers, Message, Name, NameAddr, Replaces, Response, Uri, Via, diversions, history, read_sipfrag, reason, via,
};
use strowger::sip::peer::{Peer, Transport};
use strowger::sip::sdp::{Description, Family, LocalDescription};
use strowger::time::Time;

use super::Target;
use super::mutate::files;

const SPICE: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\"",
    b"<",
    b">",
    b",",
    b";",
    b":",
    b"=",
    b"\\",
    b"%",
    b"%00",
    b"@",
    b"?",
    b"[",
    b"]",
    b"*",
    b"\0",
    b"\xff",
    b"\xc3\xbc",
    b"\r\n ",
    b"\r\n\r\n",
    b"SIP/2.0",
    b"99999999999999999999",
    b"Content-Length: 3\r\n",
    b";tag=",
    b";branch=z9hG4bK",
    b";rport",
    b";lr",
    b"sips:",
    b"tel:+1",
    b"INVITE ",
    b"CANCEL",
    b"RSeq: 1\r\n",
    b"RAck: 1 1 INVITE\r\n",
    b"Require: 100rel\r\n",
    b"Session-Expires: 90;refresher=uac\r\n",
    b"Min-SE: 90\r\n",
];

const INVITE: &str = "INVITE sip:strowger@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKa;rport\r\n\
    Record-Route: <sip:198.51.100.9;lr>\r\nFrom: \"Carol\" <sip:carol@far.example>;tag=fara\r\nTo: <sip:strowger@192.0.2.1>\r\n\
    Call-ID: call-a\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
    Supported: 100rel, timer\r\nSession-Expires: 90;refresher=uas\r\nMin-SE: 90\r\nAllow: UPDATE, PRACK\r\n\
    Contact: \"A, B\" <sip:carol@198.51.100.7:5070;ob>;+sip.instance=\"<urn:x>\"\r\n\
    Subject: x\r\n y\r\nContent-Type: application/sdp\r\nContent-Length: LENGTH\r\n\r\nBODY";

const REFER: &str = "REFER sip:strowger@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKr;rport\r\n\
    From: <sip:carol@far.example>;tag=fara\r\nTo: <sip:strowger@192.0.2.1>;tag=t\r\nCall-ID: call-a\r\nCSeq: 7 REFER\r\n\
    Max-Forwards: 70\r\nContact: <sip:carol@198.51.100.7:5070>\r\nRefer-Sub: false\r\n\
    Refer-To: \"D\" <sip:dave@far.example?Replaces=c%3Bto-tag%3Da%3Bfrom-tag%3Db&User-to-User=x>\r\n\
    Referred-By: <sip:carol@far.example>;cid=\"1@x\"\r\nReplaces: c;to-tag=a;from-tag=b;early-only\r\n\
    Diversion: <sip:e@far.example>;reason=user-busy;counter=1;privacy=off\r\n\
    History-Info: <sip:e@far.example?Reason=SIP%3Bcause%3D302>;index=1, <sip:f@far.example;cause=486>;index=1.1;mp=1\r\n\
    Reason: SIP;cause=200;text=\"Call completed elsewhere\", Q.850;cause=16\r\nContent-Length: 0\r\n\r\n";

const NOTIFY: &str = "NOTIFY sip:strowger@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKn;rport\r\n\
    From: <sip:carol@far.example>;tag=fara\r\nTo: <sip:strowger@192.0.2.1>;tag=t\r\nCall-ID: call-a\r\nCSeq: 8 NOTIFY\r\n\
    Max-Forwards: 70\r\nEvent: refer;id=7\r\nSubscription-State: terminated;reason=noresource\r\n\
    Content-Type: message/sipfrag;version=2.0\r\nContent-Length: 16\r\n\r\nSIP/2.0 200 OK\r\n";

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

const HOLD: &str = "v=0\r\no=- 1 2 IN IP6 2001:db8::1\r\ns=-\r\nt=0 0\r\nm=video 9 RTP/SAVPF 96\r\nm=audio 4000 RTP/AVP 96 0\r\n\
    c=IN IP4 0.0.0.0\r\nb=AS:64\r\na=rtpmap:96 opus/48000/2\r\na=rtcp:4001 IN IP4 198.51.100.8\r\na=inactive\r\n";

fn invite() -> String {
    INVITE.replace("LENGTH", &OFFER.len().to_string()).replace("BODY", OFFER)
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = files("tests/data/torture");
    seeds.push(invite().into_bytes());
    seeds.push(REFER.into());
    seeds.push(NOTIFY.into());
    seeds
}

/// Datagrams: every typed header, and that what is accepted survives writing and reading.
pub fn messages() -> Target {
    Target { name: "sip", seeds: seeds(), spice: SPICE, read: Box::new(read_message) }
}

fn read_message(bytes: &[u8]) -> bool {
    let _ = (Uri::parse(bytes), NameAddr::parse(bytes), Via::parse(bytes));
    let mut message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(error) => {
            if let Some(response) = error.response() {
                Message::parse(&response.to_bytes()).expect("our own answer can be read");
            }
            return false;
        }
    };
    let checked = message.check().is_ok();
    let headers = message.headers();
    let _ = (headers.via(), headers.contacts(), headers.route(), headers.record_route(), headers.cseq());
    let _ = (headers.call_id(), headers.max_forwards(), headers.expires(), headers.content_type());
    let _ = (headers.require(), headers.allow(), headers.retry_after());
    let _ = (headers.www_authenticate(), headers.authorization());
    let _ = (headers.refer_to(), headers.referred_by(), headers.event(), headers.subscription_state());
    let _ = (headers.without_subscription(), read_sipfrag(message.body()));
    if let Ok(Some(replaces)) = headers.replaces() {
        assert_eq!(Replaces::parse(replaces.to_string().as_bytes()).as_ref(), Ok(&replaces));
    }
    let lines: Vec<_> = headers.iter().map(|h| (h.name().to_string(), h.text().into_owned())).collect();
    let lines = || lines.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let _ = (diversions(lines()), history(lines()));
    if let Some(value) = headers.text(&Name::Reason) {
        let _ = reason::read(&value);
    }
    let _ = (headers.rseq(), headers.min_se());
    if let Ok(rack) = headers.rack() {
        let written = rack.to_string();
        let mut headers = Headers::new();
        headers.push(Name::RAck, &written).expect("numbers and a token");
        assert_eq!(headers.rack(), Ok(rack));
    }
    let _ = headers.session_expires().map(|expires| expires.map(|e| e.to_string()));
    if let Ok(from) = headers.from() {
        assert_eq!(NameAddr::parse(from.to_string().as_bytes()).as_ref(), Ok(&from));
    }
    if let Ok(via) = headers.top_via() {
        assert_eq!(Via::parse(via.to_string().as_bytes()).as_ref(), Ok(&via));
    }
    let mut again = Message::parse(&message.to_bytes()).expect("what we write we can read");
    // We write it where it was missing.
    again.headers_mut().remove(&Name::ContentLength);
    message.headers_mut().remove(&Name::ContentLength);
    assert_eq!(message, again);
    if let (Message::Request(request), true) = (&message, checked) {
        let mut response = Response::for_request(request, 200);
        response.set_to_tag("t").expect("a checked request has a To");
        response.check().expect("an answer to a checked request is sound");
        let mut headers = request.headers.clone();
        via::mark_source(&mut headers, SocketAddr::from(([192, 0, 2, 77], 7))).expect("a checked request has a Via");
        headers.remove_top_via();
    }
    checked
}

/// Streams, in pieces.
pub fn streams() -> Target {
    let mut random = Random::from_number(3261);
    let read = move |input: &[u8]| {
        let mut framer = Framer::new();
        let (mut whole, mut rest) = (0, input);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
            rest = after;
            framer.push(piece);
            while let Some(framed) = framer.next() {
                match framed {
                    Framed::Message(bytes) => {
                        whole += 1;
                        let _ = Message::parse(&bytes);
                    }
                    Framed::Ping => {}
                    Framed::Broken(error) => {
                        let _ = error.response().map(|response| response.to_bytes());
                    }
                }
            }
        }
        whole > 0
    };
    let mut all = seeds();
    all.push([invite().as_bytes(), b"\r\n\r\n", invite().as_bytes()].concat());
    Target { name: "sip-stream", seeds: all, spice: SPICE, read: Box::new(read) }
}

fn ours() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5060))
}

fn media() -> LocalMedia {
    let codecs = vec![Codec::Pcmu, Codec::Pcma];
    LocalMedia { address: ours().ip(), port: 20_000, codecs, direction: Direction::SendRecv, srtp: SrtpPolicy::Off }
}

/// A user agent in the middle of calls: damaged messages of dialogs that stand, over UDP and TCP, while time passes.
struct Agent {
    agent: UserAgent,
    now: Time,
    random: Random,
    /// The newest answers and requests of ours, to be answered.
    sent: Vec<Vec<u8>>,
    legs: Vec<LegId>,
}

impl Agent {
    fn new() -> Agent {
        let contact = |transport| ContactAddress { transport, local: ours(), host: "192.0.2.1".into(), port: 5060 };
        let config = AgentConfig {
            contacts: vec![contact(Transport::Udp), contact(Transport::Tcp)],
            user: "strowger".into(),
            product: "Strowger/fuzz".into(),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            info_types: &["application/dtmf-relay", "application/dtmf"],
            srtp_over_insecure: false,
            srtp_suites: SrtpSuite::ALL.to_vec(),
            timers: TimerConfig::default(),
            limits: AgentLimits { legs: 200, half_open: 100, server_transactions: 500, ..AgentLimits::default() },
        };
        Agent {
            agent: UserAgent::new(config, Random::from_number(1)),
            now: Time::EPOCH + Duration::from_secs(1000),
            random: Random::from_number(2),
            sent: Vec::new(),
            legs: Vec::new(),
        }
    }

    fn poll(&mut self) {
        let mut steps = 0;
        while let Some(output) = self.agent.poll() {
            steps += 1;
            assert!(steps < 10_000, "a storm");
            match output {
                AgentOutput::Send { bytes, .. } => {
                    Message::parse(&bytes).expect("what we send can be read");
                    self.sent.push(bytes.to_vec());
                    if self.sent.len() > 8 {
                        self.sent.remove(0);
                    }
                }
                AgentOutput::Incoming(invitation) => self.legs.push(invitation.leg),
                AgentOutput::Gone(leg) => self.legs.retain(|known| *known != leg),
                AgentOutput::Leg(..)
                | AgentOutput::Trace { .. }
                | AgentOutput::Ban(_)
                | AgentOutput::Counter(_)
                | AgentOutput::Answered { .. }
                | AgentOutput::Registrations { .. } => {}
            }
        }
    }

    /// Something that an application may wish.
    fn wish(&mut self) {
        let Some(&leg) = self.legs.get(self.random.below(self.legs.len().max(1) as u64) as usize) else { return };
        let command = match self.random.below(9) {
            0 => LegCommand::Ring,
            8 => LegCommand::Progress { media: media() },
            1..=3 => LegCommand::Accept { media: media() },
            4 => LegCommand::Refuse { status: 486, phrase: None, retry_after: None },
            5 => LegCommand::Reoffer { media: media() },
            6 => LegCommand::Info { content_type: "application/dtmf".into(), body: b"5".to_vec() },
            _ => LegCommand::Hangup { reason: None },
        };
        let _ = self.agent.command(leg, command, self.now);
        self.poll();
    }

    fn call_out(&mut self) {
        let leg = self.agent.new_leg();
        let invite = OutgoingInvite {
            target: "sip:bob@198.51.100.7:5070".into(),
            from: Party { display: None, uri: "sip:alice@192.0.2.1".into() },
            to: None,
            destination: SocketAddr::from(([198, 51, 100, 7], 5070)),
            transport: Transport::Udp,
            credentials: Some(Credentials { user: "u".into(), password: "p".into() }),
            media: media(),
            headers: Vec::new(),
            ring_timeout: Duration::from_secs(60),
        };
        self.agent.place(leg, invite, self.now);
        self.legs.push(leg);
        self.poll();
    }

    /// The bytes, with what they say of tags and branches made to fit something that stands.
    fn fitted(&mut self, input: &[u8]) -> Vec<u8> {
        let pick = self.random.below(self.sent.len().max(1) as u64) as usize;
        let Some(Ok(known)) = self.sent.get(pick).map(|bytes| Message::parse(bytes)) else { return input.to_vec() };
        let Ok(mut message) = Message::parse(input) else { return input.to_vec() };
        let names: &[Name] = match (&message, &known) {
            // An answer to what we asked.
            (Message::Response(_), Message::Request(_)) => &[Name::Via, Name::From, Name::CallId, Name::CSeq],
            // A request within the dialog that we answered.
            (Message::Request(_), Message::Response(_)) => &[Name::From, Name::To, Name::CallId],
            _ => return input.to_vec(),
        };
        for name in names {
            message.headers_mut().remove(name);
            message.headers_mut().copy_all(name, known.headers());
        }
        message.to_bytes()
    }

    fn read(&mut self, input: &[u8]) -> bool {
        let bytes = if self.random.below(2) == 0 { self.fitted(input) } else { input.to_vec() };
        let transport = if self.random.below(4) == 0 { Transport::Tcp } else { Transport::Udp };
        let remote = SocketAddr::from(([198, 51, 100, 7 + self.random.below(3) as u8], 5070));
        let connection = transport.is_reliable().then_some(self.random.below(3));
        let peer = Peer { transport, remote, local: ours(), connection };
        self.agent.receive(peer, &bytes, self.now);
        self.poll();
        match self.random.below(16) {
            0..=2 => self.wish(),
            3 if self.legs.len() < 50 => self.call_out(),
            4 => {
                self.agent.transport_lost(&peer, self.now);
                self.poll();
            }
            5 => self.now += Duration::from_millis(self.random.below(2_000)),
            _ => {}
        }
        let mut turns = 0;
        while self.agent.deadline().is_some_and(|at| at <= self.now) {
            turns += 1;
            assert!(turns < 10_000, "timers without end");
            self.agent.timeout(self.now);
            self.poll();
        }
        let census = self.agent.census();
        assert!(census.legs <= 260 && census.server_transactions <= 600, "{census:?}");
        Message::parse(&bytes).is_ok_and(|message| message.check().is_ok())
    }
}

/// See [`Agent`].
pub fn agent() -> Target {
    let mut agent = Agent::new();
    let mut seeds = vec![invite().into_bytes(), invite().replace("UDP", "TCP").into_bytes()];
    for (method, number) in [("ACK", 1), ("BYE", 2), ("CANCEL", 1), ("INVITE", 2), ("INFO", 3), ("OPTIONS", 4)] {
        let again =
            invite().replace("INVITE sip", &format!("{method} sip")).replace("1 INVITE", &format!("{number} {method}"));
        seeds.push(again.replace("To: <sip:strowger@192.0.2.1>", "To: <sip:strowger@192.0.2.1>;tag=ours").into_bytes());
        seeds.push(again.into_bytes());
    }
    for (status, extra) in [
        ("100 Trying", ""),
        ("180 Ringing", ""),
        ("200 OK", ""),
        ("302 Moved", ""),
        ("401 Unauthorized", "WWW-Authenticate: Digest realm=\"a\", nonce=\"b\", qop=\"auth\"\r\n"),
        ("486 Busy", "Reason: Q.850;cause=17\r\n"),
        ("491 Request Pending", ""),
    ] {
        let response = invite().replace("INVITE sip:strowger@192.0.2.1 SIP/2.0", &format!("SIP/2.0 {status}"));
        let response = response.replace("To: <sip:strowger@192.0.2.1>", "To: <sip:strowger@192.0.2.1>;tag=theirs");
        seeds.push(response.replace("Subject: x\r\n y\r\n", extra).into_bytes());
    }
    Target { name: "sip-agent", seeds, spice: SPICE, read: Box::new(move |input| agent.read(input)) }
}

/// `WWW-Authenticate` values.
pub fn digest() -> Target {
    let mut random = Random::from_number(7616);
    let credentials = Credentials { user: "al\"ice".into(), password: "secret".into() };
    let read = move |input: &[u8]| {
        let found = challenges(input.split(|byte| *byte == b'\n'), input.len().is_multiple_of(2));
        let some = !found.is_empty();
        let (mut authenticator, mut rounds) = (Authenticator::default(), Rounds::default());
        for _ in 0..3 {
            if authenticator.challenged(found.clone(), &mut rounds, &mut random).is_ok() {
                authenticator.authorizations(&credentials, "INVITE", "sip:a@b");
            }
        }
        some
    };
    let seeds = [
        "Digest realm=\"a\", nonce=\"b\", qop=\"auth,auth-int\", algorithm=SHA-256, opaque=\"c\", stale=TRUE",
        "Digest realm=\"a\",nonce=\"b\"\nBasic realm=\"x\", Digest realm=\"y, z\", nonce=\"\\\"\", algorithm=MD5-sess, qop=auth",
    ];
    let seeds = seeds.map(|text| text.as_bytes().to_vec()).to_vec();
    Target { name: "digest", seeds, spice: SPICE, read: Box::new(read) }
}

/// Offers and answers.
pub fn sdp() -> Target {
    let read = |input: &[u8]| {
        let Ok(description) = Description::parse(input) else { return false };
        let mine = media();
        let _ = description.in_common(&mine.codecs, Family::V4);
        let mut local = LocalDescription::new(7);
        if let Ok((body, agreed)) = local.answer(&description, &mine) {
            Description::parse(&body).expect("our own answer can be read");
            assert!(!agreed.receive_payload_types.is_empty());
        }
        let mut offering = LocalDescription::new(8);
        let body = offering.offer(&LocalMedia { address: IpAddr::from([0; 8]), ..mine });
        Description::parse(&body).expect("our own offer can be read");
        let _ = offering.accept(&description);
        true
    };
    let mut seeds = vec![OFFER.as_bytes().to_vec(), HOLD.as_bytes().to_vec()];
    for file in files("tests/data/torture") {
        if let Some(at) = file.windows(4).position(|four| four == b"\r\n\r\n") {
            seeds.extend(file.get(at + 4..).filter(|body| body.starts_with(b"v=")).map(<[u8]>::to_vec));
        }
    }
    const LINES: &[&[u8]] = &[
        b"\r\n",
        b"a=",
        b"m=audio ",
        b"c=IN IP4 ",
        b"IP6 ::1",
        b"RTP/AVP",
        b"a=rtpmap:",
        b"/8000",
        b"a=fmtp:101 ",
        b" ",
        b":",
        b"/",
        b"=",
        b"-1",
        b"65536",
        b"4294967296",
        b"a=sendonly\r\n",
        b"a=ptime:0\r\n",
        b"a=rtcp:",
        b"\xff",
        b"\0",
    ];
    Target { name: "sdp", seeds, spice: LINES, read: Box::new(read) }
}
