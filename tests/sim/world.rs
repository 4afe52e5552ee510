//! The simulated world: our end (SIP stack, call, streams), a telephone at the other end, the network between them and
//! the one clock. It carries out what the call asks as the engine does, and checks the promises of every call as it
//! goes: one last event an operation, nothing after the call's last, and at the end nothing left anywhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strowger::call::{
    Call, CallId, CallRecord, CallSettings, Clips, Command, Event, EventKind, IncomingCall, LoadFailure,
    LoadFailureKind, LoadId, OutgoingCall, Output, Party, Play, Recognize, RecognizeInput, Refusal, TimelineEntry,
    Topic,
};
use strowger::dtmf::{Digit, Phase, ToneGenerator, Way};
use strowger::flow::AnswerFlow;
use strowger::media::stream::StreamConfig;
use strowger::media::{Captured, Clip, DelayBounds, MediaCommand, MediaEvent, PlayId};
use strowger::random::Random;
use strowger::session::{Codec, Direction, LegId, SrtpKey};
use strowger::sip::agent::{AgentOutput, Census};
use strowger::sip::leg::{LegCommand, LegEvent, OutgoingInvite, Party as SipParty};
use strowger::sip::peer::{Peer, Transport};
use strowger::time::Time;

use super::network::{Kind, Network, Packet, Weather};
use super::side::{Encryption, Line, Side};

/// How long RTP may be silent before our stream says so.
pub const RTP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an incoming call rings before our call gives it up.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an outgoing call may ring.
pub const RING_TIMEOUT: Duration = Duration::from_secs(25);
/// The longest that a scenario waits for anything.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the telephone does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Rings, and is picked up after so many milliseconds.
    Answers(u64),
    /// Rings, and is declined with that status after so many milliseconds.
    Refuses(u16, u64),
    /// Rings for ever.
    Rings,
}

/// Something that is due at a moment.
enum Due {
    Loaded(LoadId, Result<Clips, LoadFailure>),
    PhoneAnswers(LegId),
    PhoneRefuses(LegId, u16),
}

/// See the module.
pub struct World {
    pub now: Time,
    pub random: Random,
    pub network: Network,
    pub ours: Side,
    pub phone: Side,
    /// Our call; there is at most one at a time.
    pub call: Option<Call>,
    pub flow: Option<AnswerFlow>,
    pub events: Vec<(Time, Event)>,
    pub notes: Vec<TimelineEntry>,
    pub records: Vec<CallRecord>,
    pub phone_leg: Option<LegId>,
    pub phone_events: Vec<(Time, LegEvent)>,
    /// Keys that the telephone heard.
    pub phone_heard: Vec<Digit>,
    pub manner: Manner,
    /// No more ports on our end.
    pub no_ports: bool,
    /// Whether our streams listen for tones in the audio: half of a simulation's work, so only where some are made.
    pub in_band: bool,
    /// The telephone's own key from its next offer on: the text in its SDP, the new one's, and that as a key.
    pub rekeyed: Option<(String, String, SrtpKey)>,
    /// What the telephone heard, where it captures.
    pub phone_captured: Vec<Captured>,
    /// Every SIP message that was sent.
    pub sip: Vec<Vec<u8>>,
    due: BTreeMap<(Time, u64), Due>,
    number: u64,
    /// Last events of each operation, by its context.
    operations: BTreeMap<String, usize>,
    over: bool,
    info_unanswered: usize,
}

impl World {
    /// In some weather of the seed's.
    pub fn new(seed: u64) -> World {
        let mut random = Random::from_number(seed);
        let weather = Weather::some(&mut random);
        World::with(random, weather, [Encryption::default(), Encryption::default()])
    }

    /// Where the network does nothing but take 5 ms.
    pub fn clear(seed: u64) -> World {
        World::encrypted(seed, [Encryption::default(), Encryption::default()])
    }

    /// The same where our end and the telephone want this of SRTP.
    pub fn encrypted(seed: u64, ends: [Encryption; 2]) -> World {
        World::with(Random::from_number(seed), Weather::clear(), ends)
    }

    fn with(mut random: Random, weather: Weather, [ours, phone]: [Encryption; 2]) -> World {
        World {
            now: Time::EPOCH + Duration::from_secs(1_000_000),
            network: Network::new(weather, random.fork()),
            ours: Side::new(1, random.fork(), ours),
            phone: Side::new(2, random.fork(), phone),
            call: None,
            flow: None,
            events: Vec::new(),
            notes: Vec::new(),
            records: Vec::new(),
            phone_leg: None,
            phone_events: Vec::new(),
            phone_heard: Vec::new(),
            manner: Manner::Answers(1000),
            no_ports: false,
            in_band: false,
            rekeyed: None,
            phone_captured: Vec::new(),
            sip: Vec::new(),
            due: BTreeMap::new(),
            number: 0,
            operations: BTreeMap::new(),
            over: false,
            info_unanswered: 0,
            random,
        }
    }

    // ---- what scenarios do ----

    /// The telephone dials us.
    pub fn dial(&mut self) {
        let leg = self.phone.agent.new_leg();
        self.phone_leg = Some(leg);
        let port = self.phone.open(leg, phone_stream(), self.now);
        let invite = OutgoingInvite {
            target: format!("sip:+442079460000@{}", self.ours.sip),
            from: SipParty { display: Some("Ann".into()), uri: "sip:+15551230009@192.0.2.2".into() },
            to: None,
            destination: self.ours.sip,
            transport: Transport::Udp,
            credentials: None,
            media: self.phone.media(port, Direction::SendRecv),
            headers: Vec::new(),
            ring_timeout: Duration::from_secs(60),
        };
        self.phone.agent.place(leg, invite, self.now);
        self.settle();
    }

    /// Dials, is answered after a moment, and waits until both ends talk.
    pub fn answered_call(&mut self) {
        self.dial();
        self.until("the call arrives", |w| w.call.is_some());
        let pause = self.random.below(3000);
        self.run_ms(pause);
        self.command(Command::Answer { context: Some("the call".into()) });
        self.until_event("CallConnected");
        self.until("the telephone is connected", |w| w.phone_line().is_some_and(|line| line.due.is_some()));
    }

    /// We call the telephone.
    pub fn call_out(&mut self) {
        let leg = self.ours.agent.new_leg();
        let setup = OutgoingCall {
            id: CallId(self.random.uuid()),
            leg,
            target: peer(),
            source: None,
            caller_id: Some(Party::Phone("+442079460000".into())),
            source_display: "Strowger".into(),
            context: Some("the call".into()),
            correlation_id: "correlation".into(),
            server_call_id: "server".into(),
        };
        self.call = Some(Call::outgoing(setup, self.settings(), self.now));
        self.settle();
    }

    /// The application says something that must be taken.
    pub fn command(&mut self, command: Command) {
        self.try_command(command).expect("the command is taken");
    }

    /// The application says something.
    pub fn try_command(&mut self, command: Command) -> Result<(), Refusal> {
        let context = match &command {
            Command::Play(play) => play.context.clone(),
            Command::Recognize(recognize) => recognize.context.clone(),
            Command::SendTones { context, .. } => context.clone(),
            _ => None,
        };
        // Before the outputs are carried out: an operation may end at once.
        let call = self.call.as_mut().expect("a call");
        let done = call.command(command, self.now).map(|_| ());
        if let (Ok(()), Some(context)) = (&done, context) {
            assert!(self.operations.insert(context, 0).is_none(), "contexts are used once");
        }
        self.settle();
        done
    }

    /// Plays; the operation's context.
    pub fn play(&mut self, sources: &[&str], repeat: bool, interrupt: bool) -> String {
        let context = self.context("play");
        let sources = sources.iter().map(ToString::to_string).collect();
        let wish = Play { sources, to: vec![], repeat, interrupt, context: Some(context.clone()), callback: None };
        self.command(Command::Play(wish));
        context
    }

    /// Recognises; the operation's context.
    pub fn recognize(&mut self, change: impl FnOnce(&mut Recognize)) -> String {
        let context = self.context("recognize");
        let mut wish = Recognize {
            party: self.call.as_ref().expect("a call").remote_party().clone(),
            sources: vec![],
            interrupt_prompt: true,
            interrupt: false,
            initial_silence: Duration::from_secs(5),
            input: digits(4, Duration::from_secs(2)),
            context: Some(context.clone()),
            callback: None,
        };
        change(&mut wish);
        self.command(Command::Recognize(wish));
        context
    }

    fn context(&mut self, of: &str) -> String {
        self.number += 1;
        format!("{of} {}", self.number)
    }

    /// The telephone's key goes down now, for so long; told by that way.
    pub fn press(&mut self, digit: Digit, way: Way, ms: u32) {
        self.number += 1;
        let number = self.number;
        let leg = self.phone_leg.expect("a telephone that talks");
        match way {
            Way::TelephoneEvent => {
                self.phone_stream(|line| line.stream.send_tones(number, vec![digit], ms, 40));
            }
            Way::InBand => {
                let mut samples = vec![0; 8 * ms as usize];
                ToneGenerator::new(&[digit][..], ms, 0).fill(&mut samples);
                let clips = vec![Arc::new(Clip::new(samples))];
                self.phone_stream(|line| line.stream.play(PlayId(number), clips, false));
            }
            Way::Info => {
                let body = format!("Signal={}\r\nDuration={ms}\r\n", digit.as_char()).into_bytes();
                let info = LegCommand::Info { content_type: "application/dtmf-relay".into(), body };
                self.info_unanswered += 1;
                self.phone.agent.command(leg, info, self.now).expect("a confirmed leg");
            }
        }
        self.settle();
    }

    /// Is an INFO of the telephone's still on its way?
    pub fn info_pending(&self) -> bool {
        self.info_unanswered > 0
    }

    /// The telephone tells its leg something.
    pub fn phone_command(&mut self, command: LegCommand) {
        let leg = self.phone_leg.expect("a telephone that talks");
        let _ = self.phone.agent.command(leg, command, self.now);
        self.settle();
    }

    /// The telephone offers a new direction, as it sees it.
    pub fn phone_reoffers(&mut self, direction: Direction) {
        let port = self.phone_line().expect("an open line").port;
        let media = self.phone.media(port, direction);
        self.phone_command(LegCommand::Reoffer { media });
    }

    pub fn phone_line(&self) -> Option<&Line> {
        self.phone.lines.get(&self.phone_leg?)
    }

    /// Our line.
    pub fn line(&self) -> &Line {
        let leg = self.call.as_ref().expect("a call").leg_id();
        self.ours.lines.get(&leg).expect("an open line")
    }

    pub fn phone_stream(&mut self, act: impl FnOnce(&mut Line)) {
        if let Some(line) = self.phone_leg.and_then(|leg| self.phone.lines.get_mut(&leg)) {
            act(line);
        }
    }

    // ---- what scenarios look at ----

    /// Waits for the next event of that name from `from` in the list on; its index.
    pub fn until_event_from(&mut self, from: usize, name: &str) -> usize {
        let found = |w: &World| w.events.iter().skip(from).position(|(_, e)| e.kind.name() == name);
        self.until(name, |w| found(w).is_some());
        found(self).expect("it is there") + from
    }

    /// Waits for the first event of that name.
    pub fn until_event(&mut self, name: &str) -> (Time, Event) {
        let at = self.until_event_from(0, name);
        self.events[at].clone()
    }

    /// Waits for the last event of an operation.
    pub fn until_end_of(&mut self, context: &str) -> (Time, Event) {
        self.until(context, |w| w.operations.get(context) == Some(&1));
        let mut of = self.events.iter().rev().filter(|(_, e)| e.context.as_deref() == Some(context));
        of.next().expect("it has an event").clone()
    }

    /// Names of the events so far.
    pub fn names(&self) -> Vec<&'static str> {
        self.events.iter().map(|(_, e)| e.kind.name()).collect()
    }

    /// Keys that our call took for pressed, by the timeline: when, which, by which way.
    pub fn presses(&self) -> Vec<(Time, String)> {
        let of_dtmf = self.notes.iter().filter(|note| note.topic == Topic::Dtmf && note.text.contains(" pressed, by "));
        of_dtmf.map(|note| (note.at, note.text.replace(" pressed, by ", " "))).collect()
    }

    // ---- time ----

    /// Lets so many milliseconds pass.
    pub fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.step(end) {}
    }

    /// Lets time pass until something holds.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&World) -> bool) {
        let end = self.now + PATIENCE;
        while !holds(self) {
            assert!(self.step(end), "{what} does not happen\n{}", self.story());
        }
    }

    /// What has happened, for a person.
    pub fn story(&self) -> String {
        let mut lines: Vec<String> = self.notes.iter().map(ToString::to_string).collect();
        lines.extend(self.phone_events.iter().map(|(at, event)| format!("{at} telephone: {event:?}")));
        lines.sort();
        format!("{:?}\n{}", self.network.weather, lines.join("\n"))
    }

    /// The next thing that happens, if it does before `end`.
    fn step(&mut self, end: Time) -> bool {
        let lines = self.ours.lines.values().chain(self.phone.lines.values());
        let next = [
            self.network.next(),
            self.due.keys().next().map(|(at, _)| *at),
            lines.filter_map(|line| line.due).min(),
            self.ours.agent.deadline(),
            self.phone.agent.deadline(),
            self.call.as_ref().and_then(Call::deadline),
        ];
        let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(next);
        // What comes from outside is heard before the timers of that moment.
        if let Some(packet) = self.network.arrived(self.now) {
            self.deliver(packet);
        } else if self.due.keys().next().is_some_and(|(at, _)| *at <= self.now) {
            if let Some((_, due)) = self.due.pop_first() {
                self.carry_out_due(due);
            }
        } else {
            self.frames();
            if self.ours.agent.deadline().is_some_and(|at| at <= self.now) {
                self.ours.agent.timeout(self.now);
            }
            if self.phone.agent.deadline().is_some_and(|at| at <= self.now) {
                self.phone.agent.timeout(self.now);
            }
            self.settle();
            if let Some(call) = self.call.as_mut().filter(|c| c.deadline().is_some_and(|at| at <= self.now)) {
                call.timeout(self.now);
            }
        }
        self.settle();
        true
    }

    fn deliver(&mut self, packet: Packet) {
        let side = if packet.to.ip() == self.ours.sip.ip() { &mut self.ours } else { &mut self.phone };
        if packet.kind == Kind::Sip {
            let peer = Peer { transport: Transport::Udp, remote: packet.from, local: packet.to, connection: None };
            side.agent.receive(peer, &packet.bytes, self.now);
            return;
        }
        let rtcp = packet.kind == Kind::Rtcp;
        let port = packet.to.port() - u16::from(rtcp);
        // For a closed port nobody is there.
        if let Some(line) = side.lines.values_mut().find(|line| line.port == port && line.due.is_some()) {
            line.inbox.push_back((rtcp, packet.bytes, packet.from));
        }
    }

    fn frames(&mut self) {
        for side in [&mut self.ours, &mut self.phone] {
            let due = side.lines.iter().filter(|(_, line)| line.due.is_some_and(|at| at <= self.now));
            for leg in due.map(|(leg, _)| *leg).collect::<Vec<_>>() {
                let Some((port, frame)) = side.frame(leg, self.now) else { continue };
                let ip = side.sip.ip();
                let from = |port| SocketAddr::new(ip, port);
                for (to, bytes) in frame.rtp {
                    self.network.send(Packet { from: from(port), to, kind: Kind::Rtp, bytes }, self.now);
                }
                for (to, bytes) in frame.rtcp {
                    self.network.send(Packet { from: from(port + 1), to, kind: Kind::Rtcp, bytes }, self.now);
                }
            }
        }
    }

    fn carry_out_due(&mut self, due: Due) {
        match due {
            Due::Loaded(load, result) => {
                if let Some(call) = &mut self.call {
                    call.loaded(load, result, self.now);
                }
            }
            Due::PhoneAnswers(leg) => {
                let port = self.phone.open(leg, phone_stream(), self.now);
                let media = self.phone.media(port, Direction::SendRecv);
                if self.phone.agent.command(leg, LegCommand::Accept { media }, self.now).is_err() {
                    self.phone.lines.remove(&leg);
                }
            }
            Due::PhoneRefuses(leg, status) => {
                let refuse = LegCommand::Refuse { status, phrase: None, retry_after: None };
                let _ = self.phone.agent.command(leg, refuse, self.now);
            }
        }
    }

    // ---- carrying out what both ends ask ----

    /// Until nobody asks for anything more.
    fn settle(&mut self) {
        loop {
            if let Some(output) = self.ours.agent.poll() {
                self.our_agent(output);
            } else if let Some(output) = self.phone.agent.poll() {
                self.phone_agent(output);
            } else if let Some(event) = self.ours.lines.values_mut().find_map(|line| line.stream.poll_event()) {
                if let Some(call) = &mut self.call {
                    call.media_event(event, self.now);
                }
            } else if let Some(event) = self.phone.lines.values_mut().find_map(|line| line.stream.poll_event()) {
                if let MediaEvent::Tone { report, .. } = event
                    && report.phase == Phase::Start
                {
                    self.phone_heard.push(report.digit);
                }
            } else if let Some(output) = self.call.as_mut().and_then(Call::poll) {
                self.our_call(output);
            } else {
                break;
            }
        }
        // A call is data: now and then it is written down and read back.
        if self.random.below(500) == 0
            && let Some(call) = &mut self.call
        {
            let text = serde_json::to_string(call).expect("a call can be written");
            *call = serde_json::from_str(&text).expect("and read");
        }
    }

    fn our_agent(&mut self, output: AgentOutput) {
        match output {
            AgentOutput::Send { peer, bytes, .. } => self.send_sip(self.ours.sip, peer, bytes.to_vec()),
            AgentOutput::Incoming(invitation) => {
                assert!(self.call.is_none(), "one INVITE, one call");
                let setup = IncomingCall {
                    id: CallId(self.random.uuid()),
                    leg: invitation.leg,
                    from: peer(),
                    to: Party::Phone("+442079460000".into()),
                    from_display: invitation.from.display.clone().unwrap_or_default(),
                    correlation_id: "correlation".into(),
                    server_call_id: "server".into(),
                };
                self.call = Some(Call::incoming(setup, self.settings(), self.now));
                if let Some(flow) = &self.flow {
                    let start = flow.start();
                    self.call.as_mut().expect("just made").command(start, self.now).expect("it may answer");
                }
            }
            AgentOutput::Leg(leg, event) => {
                if let Some(call) = &mut self.call {
                    call.leg_event(leg, event, self.now);
                }
            }
            AgentOutput::Trace { leg, flow, first_line, retransmission, .. } => {
                let again = if retransmission { " (again)" } else { "" };
                let text = format!("{flow:?} {first_line}{again}");
                self.notes.push(TimelineEntry::new(self.now, Topic::Signalling, text).on(leg));
            }
            AgentOutput::Gone(_)
            | AgentOutput::Ban(_)
            | AgentOutput::Counter(_)
            | AgentOutput::Answered { .. }
            | AgentOutput::Registrations { .. } => {}
        }
    }

    fn phone_agent(&mut self, output: AgentOutput) {
        match output {
            AgentOutput::Send { peer, bytes, .. } => {
                let mut bytes = bytes.to_vec();
                if let Some((old, new, _)) = &self.rekeyed {
                    assert_eq!(old.len(), new.len(), "Content-Length stays");
                    bytes = String::from_utf8(bytes).expect("text").replace(old, new).into_bytes();
                }
                self.send_sip(self.phone.sip, peer, bytes);
            }
            AgentOutput::Incoming(invitation) => {
                let leg = invitation.leg;
                self.phone_leg = Some(leg);
                let _ = self.phone.agent.command(leg, LegCommand::Ring, self.now);
                let (after, due) = match self.manner {
                    Manner::Answers(after) => (after, Due::PhoneAnswers(leg)),
                    Manner::Refuses(status, after) => (after, Due::PhoneRefuses(leg, status)),
                    Manner::Rings => return,
                };
                self.schedule(after, due);
            }
            AgentOutput::Leg(leg, event) => self.phone_leg_event(leg, event),
            AgentOutput::Trace { .. }
            | AgentOutput::Gone(_)
            | AgentOutput::Ban(_)
            | AgentOutput::Counter(_)
            | AgentOutput::Answered { .. }
            | AgentOutput::Registrations { .. } => {}
        }
    }

    fn phone_leg_event(&mut self, leg: LegId, event: LegEvent) {
        match &event {
            LegEvent::Accepted { media: Some(media) } | LegEvent::MediaChanged { media } => {
                let mut media = media.clone();
                if let (Some((.., key)), Some(keys)) = (&self.rekeyed, &mut media.srtp) {
                    keys.send = key.clone();
                }
                self.phone.connect(leg, media, self.now);
            }
            LegEvent::InfoAnswered { .. } => self.info_unanswered -= 1,
            event if event.is_final() => {
                let line = self.phone.lines.remove(&leg);
                let mut nowhere = super::side::Frame::default();
                let closed = line.map(|mut line| line.stream.close(self.now, &mut nowhere));
                if let Some(MediaEvent::Closed { heard: Some(heard), .. }) = closed {
                    self.phone_captured.push(heard);
                }
                self.info_unanswered = 0;
            }
            _ => {}
        }
        self.phone_events.push((self.now, event));
    }

    fn our_call(&mut self, output: Output) {
        assert!(self.records.is_empty(), "nothing follows the end: {output:?}");
        match output {
            Output::Leg(leg, command) => {
                let done = self.ours.agent.command(leg, command, self.now);
                if let (Err(error), Some(call)) = (done, &mut self.call) {
                    call.leg_refused(leg, &error, self.now);
                }
            }
            Output::Place(place) => {
                let invite = OutgoingInvite {
                    target: place.target.as_str().to_owned(),
                    from: SipParty { display: Some(place.display), uri: "sip:+442079460000@192.0.2.1".into() },
                    to: None,
                    destination: self.phone.sip,
                    transport: Transport::Udp,
                    credentials: None,
                    media: place.media,
                    headers: Vec::new(),
                    ring_timeout: place.ring_timeout,
                };
                self.ours.agent.place(place.leg, invite, self.now);
            }
            Output::Follow(..) => unreachable!("nobody refers us here"),
            Output::Media(command) => self.our_media(command),
            Output::Load { load, sources } => {
                let wait = self.random.below(150);
                self.schedule(wait, Due::Loaded(load, load_all(&sources)));
            }
            Output::Event(event) => self.tell(*event),
            Output::Note(note) => self.notes.push(note),
            // No scenario forwards.
            Output::Reach { .. } | Output::NotForwarded { .. } => unreachable!(),
            Output::Ended(record) => self.records.push(*record),
        }
    }

    fn our_media(&mut self, command: MediaCommand) {
        let leg = command.leg();
        let event = match command {
            MediaCommand::Open { leg, .. } if self.no_ports => {
                Some(MediaEvent::OpenFailed { leg, reason: "all ports are taken".into() })
            }
            MediaCommand::Open { leg, .. } => {
                let port = self.ours.open(
                    leg,
                    StreamConfig { rtp_timeout: RTP_TIMEOUT, in_band: self.in_band, delay: DelayBounds::default() },
                    self.now,
                );
                Some(MediaEvent::Opened { leg, port })
            }
            MediaCommand::Bridge { leg, with } => {
                self.ours.bridge(leg, with);
                None
            }
            MediaCommand::Close { leg } => {
                self.ours.bridge(leg, None);
                let line = self.ours.lines.remove(&leg);
                let (statistics, heard) = (Default::default(), None);
                Some(line.map_or(MediaEvent::Closed { leg, statistics, heard }, |mut line| {
                    line.stream.close(self.now, &mut super::side::Frame::default())
                }))
            }
            MediaCommand::Connect { leg, media } => {
                self.ours.connect(leg, media, self.now);
                None
            }
            command => {
                if let Some(line) = self.ours.lines.get_mut(&leg) {
                    let stream = &mut line.stream;
                    match command {
                        MediaCommand::Play { play, clips, repeat, .. } => stream.play(play, clips, repeat),
                        MediaCommand::StopPlay { play, .. } => stream.stop_play(play),
                        MediaCommand::SendTones { id, digits, tone_ms, gap_ms, .. } => {
                            stream.send_tones(id, digits, tone_ms, gap_ms);
                        }
                        MediaCommand::Detect { in_band, .. } => stream.detect_in_band(in_band),
                        other => panic!("a call does not ask for {other:?}"),
                    }
                }
                None
            }
        };
        if let (Some(event), Some(call)) = (event, &mut self.call) {
            call.media_event(event, self.now);
        }
    }

    fn tell(&mut self, event: Event) {
        assert!(!self.over, "after the call's last event came {:?}\n{}", event.kind, self.story());
        self.over = event.kind.ends_the_call();
        let last = matches!(
            event.kind,
            EventKind::PlayCompleted
                | EventKind::PlayFailed { .. }
                | EventKind::PlayCanceled
                | EventKind::RecognizeCompleted(_)
                | EventKind::RecognizeFailed { .. }
                | EventKind::RecognizeCanceled
                | EventKind::SendTonesCompleted
                | EventKind::SendTonesFailed
        );
        if last && self.flow.is_none() {
            let context = event.context.clone().expect("an operation has a context");
            let count = self.operations.get_mut(&context).expect("an operation that was asked for");
            *count += 1;
            assert_eq!(*count, 1, "{context} ends once\n{:?}", event.kind);
        }
        if let Some(command) = self.flow.as_ref().and_then(|flow| flow.next(&event.kind)) {
            let call = self.call.as_mut().expect("a call that tells");
            call.command(command, self.now).expect("a flow knows what it may do");
        }
        self.events.push((self.now, event));
    }

    fn schedule(&mut self, after_ms: u64, due: Due) {
        self.number += 1;
        self.due.insert((self.now + Duration::from_millis(after_ms), self.number), due);
    }

    fn send_sip(&mut self, from: SocketAddr, peer: Peer, bytes: Vec<u8>) {
        self.sip.push(bytes.clone());
        self.network.send(Packet { from, to: peer.remote, kind: Kind::Sip, bytes }, self.now);
    }

    fn settings(&self) -> CallSettings {
        CallSettings {
            answer_timeout: ANSWER_TIMEOUT,
            ring_timeout: RING_TIMEOUT,
            srtp: self.ours.srtp,
            ..CallSettings::new(self.ours.sip.ip())
        }
    }

    // ---- the end ----

    /// Waits until everything has ended; the call's record. Nothing may be left: no operation without its last event,
    /// no leg, no transaction, no stream, no timer.
    pub fn finish(mut self) -> World {
        self.until("the call ends", |w| w.records.len() == 1);
        // The longest that SIP remembers: 64 T1, twice for a BYE that nobody answers.
        self.run_ms(200_000);
        let open: Vec<_> = self.operations.iter().filter(|(_, count)| **count != 1).collect();
        assert!(open.is_empty(), "operations without their last event: {open:?}\n{}", self.story());
        let call = self.call.as_ref().expect("the call");
        assert_eq!((call.operations_under_way(), call.deadline()), (0, None));
        assert!(self.ours.lines.is_empty(), "our streams are closed");
        assert_eq!(self.ours.agent.census(), Census::default(), "our SIP stack is empty\n{}", self.story());
        assert_eq!(self.ours.agent.deadline(), None);
        assert!(self.phone.lines.is_empty(), "the telephone's stream is closed\n{}", self.story());
        assert_eq!(self.phone.agent.census(), Census::default(), "the telephone's SIP stack is empty");
        assert_eq!(self.records.len(), 1, "a call has one record");
        self
    }

    /// The call's record.
    pub fn record(&self) -> &CallRecord {
        self.records.first().expect("a call that has ended")
    }
}

fn phone_stream() -> StreamConfig {
    StreamConfig { rtp_timeout: Duration::ZERO, in_band: false, delay: DelayBounds::default() }
}

/// The telephone, as our call names it.
pub fn peer() -> Party {
    Party::Sip("sip:ann@192.0.2.2:5060".into())
}

/// Digits are looked for, `#` ends them.
pub fn digits(max_tones: usize, inter_tone: Duration) -> RecognizeInput {
    RecognizeInput::Dtmf { max_tones, stop_tones: vec![Digit::Pound], inter_tone }
}

/// A prompt by its source: `prompt:name/milliseconds` is noise of that length, `prompt:missing` is not there.
pub fn prompt(source: &str) -> Option<Arc<Clip>> {
    static LOADED: Mutex<BTreeMap<String, Arc<Clip>>> = Mutex::new(BTreeMap::new());
    let ms: usize = source.strip_prefix("prompt:")?.split_once('/')?.1.parse().ok()?;
    let mut loaded = LOADED.lock().ok()?;
    let clip = loaded.entry(source.to_owned()).or_insert_with(|| {
        let seed = source.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let mut random = Random::from_number(seed);
        let samples: Vec<i16> = (0..ms * 8).map(|_| random.below(16_000) as i16 - 8_000).collect();
        let clip = Clip::new(samples);
        clip.encoded(Codec::Pcmu);
        Arc::new(clip)
    });
    Some(Arc::clone(clip))
}

fn load_all(sources: &[String]) -> Result<Clips, LoadFailure> {
    let load = |(index, source): (usize, &String)| {
        prompt(source).ok_or(LoadFailure {
            index,
            kind: LoadFailureKind::DownloadFailed,
            message: format!("{source} is not there"),
        })
    };
    sources.iter().enumerate().map(load).collect()
}
