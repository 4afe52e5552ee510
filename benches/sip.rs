//! What SIP costs: reading and writing an INVITE and its 200 as carriers send them, and a whole call between two user
//! agents (INVITE, 100, 180, 200, ACK, BYE, 200, and every timer until nothing is left). `cargo bench --bench sip`.

use std::net::SocketAddr;
use std::time::Duration;

use divan::{Bencher, black_box};
use strowger::random::Random;
use strowger::session::{Codec, Direction, LocalMedia, SrtpPolicy};
use strowger::sip::agent::{AgentConfig, AgentLimits, AgentOutput, Census, ContactAddress, TimerConfig, UserAgent};
use strowger::sip::leg::{LegCommand, OutgoingInvite, Party};
use strowger::sip::message::Message;
use strowger::sip::peer::{Peer, Transport};
use strowger::time::Time;

fn main() {
    divan::main();
}

const SDP: &str = "v=0\r\no=- 3849117713 3849117713 IN IP4 203.0.113.7\r\ns=-\r\nc=IN IP4 203.0.113.7\r\nt=0 0\r\n\
    m=audio 41234 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

/// As a carrier's border controller sends it: two Vias, a Record-Route, identities, SDP.
fn invite() -> Vec<u8> {
    format!(
        "INVITE sip:+442079460000@192.0.2.1:5060;user=phone SIP/2.0\r\n\
         Via: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bK2d4c.8f0b1c7e;rport\r\n\
         Via: SIP/2.0/UDP 203.0.113.7:5060;received=203.0.113.7;branch=z9hG4bK776asdhds\r\n\
         Record-Route: <sip:203.0.113.5;lr;ftag=1928301774>\r\nMax-Forwards: 69\r\n\
         From: \"Alice Example\" <sip:+15551230001@carrier.example;user=phone>;tag=1928301774\r\n\
         To: <sip:+442079460000@192.0.2.1;user=phone>\r\nCall-ID: a84b4c76e66710@203.0.113.7\r\nCSeq: 314159 INVITE\r\n\
         Contact: <sip:+15551230001@203.0.113.7:5060;transport=udp>\r\n\
         P-Asserted-Identity: <sip:+15551230001@carrier.example>\r\nUser-Agent: Carrier SBC 9.1\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK\r\nSupported: timer, 100rel\r\n\
         Session-Expires: 1800\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
    .into_bytes()
}

fn ok() -> Vec<u8> {
    format!(
        "SIP/2.0 200 OK\r\n\
         Via: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bK2d4c.8f0b1c7e;rport=5060;received=203.0.113.5\r\n\
         Via: SIP/2.0/UDP 203.0.113.7:5060;received=203.0.113.7;branch=z9hG4bK776asdhds\r\n\
         Record-Route: <sip:203.0.113.5;lr;ftag=1928301774>\r\n\
         From: \"Alice Example\" <sip:+15551230001@carrier.example;user=phone>;tag=1928301774\r\n\
         To: <sip:+442079460000@192.0.2.1;user=phone>;tag=a6c85cf\r\nCall-ID: a84b4c76e66710@203.0.113.7\r\n\
         CSeq: 314159 INVITE\r\nContact: <sip:strowger@192.0.2.1:5060>\r\nServer: Strowger\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
    .into_bytes()
}

fn both() -> [(&'static str, Vec<u8>); 2] {
    [("INVITE", invite()), ("200", ok())]
}

/// The bytes of one of [`both`].
fn sample(name: &str) -> Vec<u8> {
    both().into_iter().find(|(known, _)| *known == name).map(|(_, bytes)| bytes).expect("one of both")
}

/// Start line and header lines, nothing read of their values.
#[divan::bench(args = ["INVITE", "200"])]
fn parse(bencher: Bencher, name: &str) {
    let bytes = sample(name);
    bencher.bench(|| Message::parse(black_box(&bytes)));
}

/// And every value that a transaction and a dialog need.
#[divan::bench(args = ["INVITE", "200"])]
fn parse_and_read(bencher: Bencher, name: &str) {
    let bytes = sample(name);
    bencher.bench(|| {
        let message = Message::parse(black_box(&bytes)).expect("a sound message");
        message.check().expect("a sound message");
        let headers = message.headers();
        black_box((headers.top_via().is_ok(), headers.from().is_ok(), headers.to().is_ok(), headers.cseq().is_ok()));
        black_box((headers.contact().is_ok(), headers.record_route().is_ok()));
        message
    });
}

#[divan::bench(args = ["INVITE", "200"])]
fn serialise(bencher: Bencher, name: &str) {
    let message = Message::parse(&sample(name)).expect("a sound message");
    bencher.bench(|| black_box(&message).to_bytes());
}

fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, side as u8 + 1], 5060))
}

fn media(side: usize) -> LocalMedia {
    let codecs = vec![Codec::Pcmu, Codec::Pcma];
    LocalMedia {
        address: address(side).ip(),
        port: 20_000,
        codecs,
        direction: Direction::SendRecv,
        srtp: SrtpPolicy::Off,
    }
}

fn agent(side: usize) -> UserAgent {
    let contact = ContactAddress {
        transport: Transport::Udp,
        local: address(side),
        host: address(side).ip().to_string(),
        port: address(side).port(),
    };
    let config = AgentConfig {
        contacts: vec![contact],
        user: "strowger".into(),
        product: "Strowger".into(),
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        info_types: &[],
        srtp_over_insecure: false,
        srtp_suites: Vec::new(),
        timers: TimerConfig::default(),
        limits: AgentLimits::default(),
    };
    UserAgent::new(config, Random::from_number(side as u64))
}

/// Carries messages between both until neither has anything to say; how many.
fn exchange(agents: &mut [UserAgent; 2], now: Time) -> usize {
    let mut messages = 0;
    loop {
        let mut quiet = true;
        for side in [0, 1] {
            while let Some(output) = agents[side].poll() {
                quiet = false;
                match output {
                    AgentOutput::Send { bytes, .. } => {
                        messages += 1;
                        let other = 1 - side;
                        let (remote, local) = (address(side), address(other));
                        let peer = Peer { transport: Transport::Udp, remote, local, connection: None };
                        agents[other].receive(peer, &bytes, now);
                    }
                    AgentOutput::Incoming(invitation) => {
                        let leg = invitation.leg;
                        agents[side].command(leg, LegCommand::Ring, now).expect("it rings");
                        let accept = LegCommand::Accept { media: media(side) };
                        agents[side].command(leg, accept, now).expect("it answers");
                    }
                    _ => {}
                }
            }
        }
        if quiet {
            return messages;
        }
    }
}

/// Both sides of a call, all state made and freed: half of this is what one of them costs.
#[divan::bench]
fn whole_call_both_sides(bencher: Bencher) {
    let mut agents = [agent(0), agent(1)];
    let mut now = Time::EPOCH + Duration::from_secs(1000);
    bencher.bench_local(|| {
        let leg = agents[0].new_leg();
        let invite = OutgoingInvite {
            target: "sip:bob@192.0.2.2:5060".into(),
            from: Party { display: Some("Alice".into()), uri: "sip:alice@192.0.2.1".into() },
            to: None,
            destination: address(1),
            transport: Transport::Udp,
            credentials: None,
            media: media(0),
            headers: Vec::new(),
            ring_timeout: Duration::from_secs(60),
        };
        agents[0].place(leg, invite, now);
        let setup = exchange(&mut agents, now);
        now += Duration::from_secs(1);
        agents[0].command(leg, LegCommand::Hangup { reason: None }, now).expect("it hangs up");
        let all = setup + exchange(&mut agents, now);
        assert_eq!(all, 7, "INVITE, 100, 180, 200, ACK, BYE, 200");
        while let Some(at) = agents.iter().filter_map(UserAgent::deadline).min() {
            now = now.max(at);
            agents.iter_mut().for_each(|agent| agent.timeout(now));
            exchange(&mut agents, now);
        }
        assert!(agents.iter().all(|agent| agent.census() == Census::default()));
    });
}
