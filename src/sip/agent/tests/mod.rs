//! The agent against itself over a bad network, and against peers written out by hand; all on a virtual clock.

mod addresses;
mod calls;
mod client;
mod handover;
mod injection;
mod offer_answer;
mod overload;
mod oversize;
mod register;
mod reliable;
mod request;
mod server;
mod session_timer;
mod simulation;
mod stateless;
mod torture;
mod transfer;
mod update;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::random::Random;
use crate::session::{Codec, Direction, LegId, LocalMedia, SrtpPolicy, SrtpSuite};
use crate::sip::leg::{Invitation, LegCommand, LegEvent, OutgoingInvite, Party};
use crate::sip::message::{Message, Request, Response};
use crate::sip::peer::{Peer, Transport};
use crate::time::Time;

pub(super) const A: usize = 0;
pub(super) const B: usize = 1;

pub(super) fn address(side: usize) -> SocketAddr {
    SocketAddr::new([192, 0, 2, side as u8 + 1].into(), 5060)
}

pub(super) fn config(side: usize) -> AgentConfig {
    let contact = |transport| ContactAddress {
        transport,
        local: address(side),
        host: address(side).ip().to_string(),
        port: 5060,
    };
    AgentConfig {
        contacts: vec![contact(Transport::Udp), contact(Transport::Tcp)],
        user: "strowger".into(),
        product: "Strowger/test".into(),
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        info_types: &["application/dtmf-relay", "application/dtmf"],
        srtp_over_insecure: false,
        srtp_suites: SrtpSuite::ALL.to_vec(),
        timers: TimerConfig::default(),
        limits: AgentLimits::default(),
    }
}

pub(super) fn media(side: usize) -> LocalMedia {
    LocalMedia {
        address: address(side).ip(),
        port: 20_000 + 2 * side as u16,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        direction: Direction::SendRecv,
        srtp: SrtpPolicy::Off,
    }
}

pub(super) fn invite(transport: Transport) -> OutgoingInvite {
    OutgoingInvite {
        target: "sip:bob@192.0.2.2".into(),
        from: Party { display: Some("Alice".into()), uri: "sip:alice@192.0.2.1".into() },
        to: None,
        destination: address(B),
        transport,
        credentials: None,
        media: media(A),
        headers: vec![("X-Campaign".into(), "spring".into())],
        ring_timeout: Duration::from_secs(60),
    }
}

/// How bad the network is, in thousandths.
#[derive(Clone, Copy, Default)]
pub(super) struct Weather {
    pub loss: u64,
    pub duplicate: u64,
    pub jitter_ms: u64,
}

/// When it arrives, its number, at whom, what, and whether over TCP.
type Packet = (Time, u64, usize, Vec<u8>, bool);

/// Two agents and what is between them.
pub(super) struct Net {
    pub agents: [UserAgent; 2],
    pub now: Time,
    pub random: Random,
    pub weather: Weather,
    /// Lose exactly this packet (counted from 0).
    pub lose: Option<usize>,
    /// Lose what this says, by first line.
    pub lose_lines: Vec<(String, usize)>,
    pub sent: usize,
    on_the_way: BinaryHeap<Reverse<Packet>>,
    count: u64,
    pub incoming: [Vec<Invitation>; 2],
    pub events: [Vec<(LegId, LegEvent)>; 2],
    pub gone: [Vec<LegId>; 2],
    /// Who sent what: `A INVITE sip:…`.
    pub log: Vec<(Time, usize, String)>,
}

impl Net {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::from_number(seed);
        Net {
            agents: [UserAgent::new(config(A), random.fork()), UserAgent::new(config(B), random.fork())],
            now: Time::EPOCH + Duration::from_secs(1000),
            random,
            weather: Weather::default(),
            lose: None,
            lose_lines: Vec::new(),
            sent: 0,
            on_the_way: BinaryHeap::new(),
            count: 0,
            incoming: Default::default(),
            events: Default::default(),
            gone: Default::default(),
            log: Vec::new(),
        }
    }

    pub fn place(&mut self, side: usize, transport: Transport) -> LegId {
        let leg = self.agents[side].new_leg();
        let other = 1 - side;
        let mut invite = invite(transport);
        invite.destination = address(other);
        invite.target = format!("sip:bob@{}", address(other));
        invite.media = media(side);
        self.agents[side].place(leg, invite, self.now);
        self.drain();
        leg
    }

    pub fn command(&mut self, side: usize, leg: LegId, command: LegCommand) {
        self.try_command(side, leg, command).unwrap();
    }

    pub fn try_command(
        &mut self,
        side: usize,
        leg: LegId,
        command: LegCommand,
    ) -> Result<(), crate::sip::leg::CommandError> {
        let done = self.agents[side].command(leg, command, self.now);
        self.drain();
        done
    }

    pub fn drain(&mut self) {
        for side in [A, B] {
            while let Some(output) = self.agents[side].poll() {
                match output {
                    AgentOutput::Send { peer, bytes, .. } => self.carry(side, peer, &bytes),
                    AgentOutput::Incoming(invitation) => self.incoming[side].push(*invitation),
                    AgentOutput::Leg(leg, event) => {
                        let over = self.events[side].iter().any(|(l, e)| *l == leg && e.is_final());
                        assert!(!over, "an event after the last one: {event:?}");
                        self.events[side].push((leg, event));
                    }
                    AgentOutput::Gone(leg) => {
                        assert!(!self.gone[side].contains(&leg));
                        self.gone[side].push(leg);
                    }
                    AgentOutput::Trace { .. }
                    | AgentOutput::Ban(_)
                    | AgentOutput::Counter(_)
                    | AgentOutput::Answered { .. }
                    | AgentOutput::Registrations { .. } => {}
                }
            }
        }
    }

    fn carry(&mut self, side: usize, peer: Peer, bytes: &[u8]) {
        let line = String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned();
        let packet = self.sent;
        self.sent += 1;
        self.log.push((self.now, side, line.clone()));
        if self.log.len() > 4000 {
            panic!("a storm: {:?}", &self.log[3950..]);
        }
        if self.lose == Some(packet) {
            return;
        }
        if let Some((_, times)) = self.lose_lines.iter_mut().find(|(l, n)| line.starts_with(l.as_str()) && *n > 0) {
            *times -= 1;
            return;
        }
        let reliable = peer.transport.is_reliable();
        assert_eq!(peer.remote.ip(), address(1 - side).ip(), "sent astray: {line}");
        let copies = if reliable {
            1
        } else if self.random.below(1000) < self.weather.loss {
            0
        } else if self.random.below(1000) < self.weather.duplicate {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let jitter = if reliable { 0 } else { self.random.below(self.weather.jitter_ms + 1) };
            let at = self.now + Duration::from_millis(10 + jitter);
            self.count += 1;
            self.on_the_way.push(Reverse((at, self.count, 1 - side, bytes.to_vec(), reliable)));
        }
    }

    /// Does the next thing that is due before `end`; false: there is none.
    pub fn step(&mut self, end: Time) -> bool {
        let packet = self.on_the_way.peek().map(|Reverse((at, ..))| *at);
        let timers = self.agents.iter().filter_map(UserAgent::deadline).min();
        let Some(next) = packet.into_iter().chain(timers).min().filter(|at| *at <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(next);
        if packet == Some(next) {
            if let Some(Reverse((_, _, side, bytes, reliable))) = self.on_the_way.pop() {
                let peer = Peer {
                    transport: if reliable { Transport::Tcp } else { Transport::Udp },
                    remote: address(1 - side),
                    local: address(side),
                    connection: reliable.then_some(7),
                };
                self.agents[side].receive(peer, &bytes, self.now);
            }
        } else {
            for agent in &mut self.agents {
                agent.timeout(self.now);
            }
        }
        self.drain();
        true
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    pub fn ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    pub fn has(&self, side: usize, wanted: impl Fn(&LegEvent) -> bool) -> bool {
        self.events[side].iter().any(|(_, e)| wanted(e))
    }

    pub fn of(&self, side: usize, leg: LegId) -> Vec<&LegEvent> {
        self.events[side].iter().filter(|(l, _)| *l == leg).map(|(_, e)| e).collect()
    }

    pub fn lines(&self, side: usize, start: &str) -> usize {
        self.log.iter().filter(|(_, s, l)| *s == side && l.starts_with(start)).count()
    }

    pub fn assert_empty(&self) {
        for agent in &self.agents {
            assert_eq!(agent.census(), Census::default(), "{:#?}", self.log);
        }
    }

    /// A calls, B rings and answers: both legs.
    pub fn call(&mut self, transport: Transport) -> (LegId, LegId) {
        let a = self.place(A, transport);
        self.ms(50);
        let b = self.incoming[B].last().expect("the INVITE arrives").leg;
        self.command(B, b, LegCommand::Ring);
        self.ms(50);
        self.command(B, b, LegCommand::Accept { media: media(B) });
        self.ms(50);
        (a, b)
    }
}

/// One agent, its peer written out by hand.
pub(super) struct Bench {
    pub agent: UserAgent,
    pub now: Time,
    pub peer: Peer,
}

pub(super) fn far() -> SocketAddr {
    "198.51.100.7:5070".parse().unwrap()
}

pub(super) const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
     m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// What an agent did in answer to one input.
#[derive(Default)]
pub(super) struct Done {
    pub requests: Vec<(Peer, Request)>,
    pub responses: Vec<(Peer, Response)>,
    pub incoming: Vec<Invitation>,
    pub events: Vec<LegEvent>,
    pub gone: Vec<LegId>,
    pub counters: Vec<Counter>,
    pub bans: Vec<crate::sip::guard::Change>,
    pub traces: Vec<String>,
    pub registrations: Vec<(String, Vec<crate::sip::registrar::Binding>)>,
    pub answered: Vec<(RequestId, RequestOutcome)>,
}

impl Done {
    pub fn statuses(&self) -> Vec<u16> {
        self.responses.iter().map(|(_, r)| r.status()).collect()
    }

    pub fn methods(&self) -> Vec<String> {
        self.requests.iter().map(|(_, r)| r.method.to_string()).collect()
    }

    pub fn response(&self, status: u16) -> &Response {
        self.responses.iter().map(|(_, r)| r).find(|r| r.status() == status).expect("that response")
    }

    pub fn request(&self, method: &str) -> &Request {
        self.requests.iter().map(|(_, r)| r).find(|r| r.method.as_str() == method).expect("that request")
    }
}

impl Bench {
    pub fn new() -> Self {
        Self::with(config(A))
    }

    pub fn with(config: AgentConfig) -> Self {
        Bench {
            agent: UserAgent::new(config, Random::from_number(5)),
            now: Time::EPOCH + Duration::from_secs(1000),
            peer: Peer { transport: Transport::Udp, remote: far(), local: address(A), connection: None },
        }
    }

    pub fn receive(&mut self, text: &str) -> Done {
        self.receive_bytes(text.as_bytes())
    }

    pub fn receive_bytes(&mut self, bytes: &[u8]) -> Done {
        self.agent.receive(self.peer, bytes, self.now);
        self.done()
    }

    pub fn command(&mut self, leg: LegId, command: LegCommand) -> Done {
        self.agent.command(leg, command, self.now).unwrap();
        self.done()
    }

    pub fn wait(&mut self, time: Duration) -> Done {
        let end = self.now + time;
        let mut all = Done::default();
        while let Some(at) = self.agent.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.agent.timeout(self.now);
            let done = self.done();
            all.requests.extend(done.requests);
            all.responses.extend(done.responses);
            all.events.extend(done.events);
            all.gone.extend(done.gone);
            all.answered.extend(done.answered);
            all.counters.extend(done.counters);
            all.bans.extend(done.bans);
        }
        self.now = end;
        all
    }

    pub fn done(&mut self) -> Done {
        let mut done = Done::default();
        while let Some(output) = self.agent.poll() {
            match output {
                AgentOutput::Send { peer, bytes, .. } => {
                    match Message::parse(&bytes).expect("we write what we can read") {
                        Message::Request(request) => done.requests.push((peer, request)),
                        Message::Response(response) => done.responses.push((peer, response)),
                    }
                }
                AgentOutput::Incoming(invitation) => done.incoming.push(*invitation),
                AgentOutput::Leg(_, event) => done.events.push(event),
                AgentOutput::Gone(leg) => done.gone.push(leg),
                AgentOutput::Counter(counter) => done.counters.push(counter),
                AgentOutput::Answered { id, outcome } => done.answered.push((id, *outcome)),
                AgentOutput::Ban(change) => done.bans.push(change),
                AgentOutput::Registrations { user, bindings } => done.registrations.push((user, bindings)),
                AgentOutput::Trace { bytes, .. } => done.traces.push(String::from_utf8_lossy(&bytes).into_owned()),
            }
        }
        done
    }

    /// An INVITE from the hand-written peer.
    pub fn invite(&mut self, id: &str, extra: &str, body: &str) -> Done {
        self.receive(&self.request("INVITE", id, "", 1, extra, body))
    }

    /// A request from the hand-written peer; `to_tag` empty: outside of a dialog.
    pub fn request(&self, method: &str, id: &str, to_tag: &str, cseq: u32, extra: &str, body: &str) -> String {
        let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        let kind =
            if body.is_empty() || extra.contains("Content-Type") { "" } else { "Content-Type: application/sdp\r\n" };
        let contact = if extra.contains("Contact:") { "" } else { "Contact: <sip:carol@198.51.100.7:5070>\r\n" };
        let contact = if extra.contains("No-Contact") { "" } else { contact };
        let transport = self.peer.transport;
        format!(
            "{method} sip:strowger@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/{transport} 198.51.100.7:5070;branch=z9hG4bK{id}-{method}-{cseq}\r\n\
             From: \"Carol\" <sip:carol@far.example>;tag=far{id}\r\nTo: <sip:strowger@192.0.2.1>{tag}\r\nCall-ID: call-{id}\r\n\
             CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n{contact}{kind}{extra}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// A call of the hand-written peer's, answered and acknowledged: the leg and our tag.
    pub fn established(&mut self, id: &str) -> (LegId, String) {
        let leg = self.invite(id, "", OFFER).incoming.remove(0).leg;
        let done = self.command(leg, LegCommand::Accept { media: media(A) });
        let tag = done.response(200).headers.to().unwrap().tag().unwrap().to_owned();
        let ack = self.request("ACK", id, &tag, 1, "", "");
        assert_eq!(self.receive(&ack).events, vec![LegEvent::Confirmed]);
        (leg, tag)
    }

    /// A response of the hand-written peer's to a request of ours.
    pub fn reply(&mut self, request: &Request, status: u16, tag: &str, extra: &str, body: &str) -> Done {
        let mut response = Response::for_request(request, status);
        if !tag.is_empty() {
            response.set_to_tag(tag).unwrap();
        }
        for line in extra.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            response.headers.push(name.parse().unwrap(), value).unwrap();
        }
        if !body.is_empty() {
            response.set_body("application/sdp", body).unwrap();
        }
        self.receive_bytes(&response.to_bytes())
    }
}
