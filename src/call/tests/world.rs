//! A world around one call that behaves as the real ones do: ports open, legs answer, prompts load and play for as
//! long as they last, all on a virtual clock. A source's name says what becomes of it: `prompt:1500` plays 1,500 ms,
//! `prompt:bad` is no audio, `prompt:gone` cannot be had, `prompt:never` does not finish loading.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::super::*;
use crate::dtmf::{Digit, Phase, Report, Way};
use crate::media::{Clip, MediaCommand, MediaEvent, StreamStatistics};
use crate::session::{Codec, Direction, EventFormat, LegId, NegotiatedMedia};
use crate::sip::leg::{EndCause, LegCommand, LegEvent, Side};
use crate::time::Time;

pub const LEG: LegId = LegId(7);
/// Of the one whom a call is forwarded to.
pub const CALLEE: LegId = LegId(8);

pub fn caller() -> Party {
    Party::Phone("+15550100".to_owned())
}

pub fn stranger() -> Party {
    Party::Phone("+15550199".to_owned())
}

pub fn settings() -> CallSettings {
    CallSettings::new(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

pub fn incoming() -> IncomingCall {
    IncomingCall {
        id: CallId(Uuid::from_u128(1)),
        leg: LEG,
        from: caller(),
        to: Party::Phone("+15550123".to_owned()),
        from_display: "Alice".to_owned(),
        correlation_id: "c".to_owned(),
        server_call_id: "s".to_owned(),
    }
}

pub fn outgoing() -> OutgoingCall {
    OutgoingCall {
        id: CallId(Uuid::from_u128(2)),
        leg: LEG,
        target: caller(),
        source: None,
        caller_id: Some(Party::Phone("+15550123".to_owned())),
        source_display: String::new(),
        context: Some("call".to_owned()),
        correlation_id: "c".to_owned(),
        server_call_id: "s".to_owned(),
    }
}

pub fn negotiated(direction: Direction) -> NegotiatedMedia {
    NegotiatedMedia {
        remote_rtp: SocketAddr::from(([127, 0, 0, 1], 4000)),
        remote_rtcp: SocketAddr::from(([127, 0, 0, 1], 4001)),
        codec: Codec::Pcmu,
        send_payload_type: 0,
        receive_payload_types: vec![(0, Codec::Pcmu)],
        send_telephone_event: Some(EventFormat::narrow(101)),
        receive_telephone_events: vec![EventFormat::narrow(101)],
        direction,
        ptime_ms: 20,
        send_dtx: false,
        rtcp_mux: false,
        srtp: None,
    }
}

/// What the far end does when an outgoing call reaches it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Callee {
    Answers,
    Refuses(u16),
    OnlyRings,
}

#[derive(Clone, Debug)]
pub enum Input {
    Leg(LegId, LegEvent),
    Reached,
    Media(MediaEvent),
    Loaded(LoadId, Result<Clips, LoadFailure>),
    Press(Digit),
}

pub struct World {
    pub call: Call,
    pub now: Time,
    pub ports: bool,
    /// Our caller is known to be where he says.
    pub proven: bool,
    pub callee: Callee,
    /// How long a load takes.
    pub load_time: Duration,
    /// The events, with their milliseconds since the epoch.
    pub events: Vec<(u64, Event)>,
    pub notes: Vec<TimelineEntry>,
    pub leg_commands: Vec<LegCommand>,
    pub media_commands: Vec<MediaCommand>,
    pub placed: Vec<Place>,
    /// What a callee's leg was told.
    pub callee_commands: Vec<LegCommand>,
    /// Whom the call is to go on to, and what the caller was to be refused with where he is not to be had.
    pub sought: Vec<Party>,
    pub not_forwarded: Vec<u16>,
    pub followed: Vec<crate::sip::leg::Referral>,
    pub ended: Vec<CallRecord>,
    scheduled: BTreeMap<(Time, u64), Input>,
    number: u64,
}

impl World {
    pub fn new(call: Call) -> World {
        World {
            call,
            now: Time::EPOCH,
            ports: true,
            proven: true,
            callee: Callee::Answers,
            load_time: Duration::ZERO,
            events: Vec::new(),
            notes: Vec::new(),
            leg_commands: Vec::new(),
            media_commands: Vec::new(),
            placed: Vec::new(),
            callee_commands: Vec::new(),
            sought: Vec::new(),
            not_forwarded: Vec::new(),
            followed: Vec::new(),
            ended: Vec::new(),
            scheduled: BTreeMap::new(),
            number: 0,
        }
    }

    pub fn incoming() -> World {
        let mut world = World::new(Call::incoming(incoming(), settings(), Time::EPOCH));
        world.carry_out();
        world
    }

    pub fn outgoing() -> World {
        World::new(Call::outgoing(outgoing(), settings(), Time::EPOCH))
    }

    /// A call that was answered at time zero, with the events of that forgotten.
    pub fn connected() -> World {
        let mut world = World::incoming();
        world.command(Command::Answer { context: Some("call".to_owned()) }).unwrap();
        world.run(0);
        assert_eq!(world.call.state(), CallState::Connected);
        world.events.clear();
        world
    }

    pub fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        let result = self.call.command(command, self.now);
        self.carry_out();
        result
    }

    pub fn at(&mut self, after: Duration, input: Input) {
        self.number += 1;
        self.scheduled.insert((self.now + after, self.number), input);
    }

    pub fn leg_event(&mut self, event: LegEvent) {
        self.at(Duration::ZERO, Input::Leg(LEG, event));
        self.run(0);
    }

    pub fn callee_event(&mut self, event: LegEvent) {
        self.at(Duration::ZERO, Input::Leg(CALLEE, event));
        self.run(0);
    }

    pub fn media_event(&mut self, event: MediaEvent) {
        self.at(Duration::ZERO, Input::Media(event));
        self.run(0);
    }

    /// Presses these keys now, one after another at the same moment.
    pub fn press(&mut self, keys: &str) {
        for key in keys.chars() {
            self.at(Duration::ZERO, Input::Press(Digit::from_char(key).unwrap()));
        }
        self.run(0);
    }

    /// Lets so many milliseconds pass, with all that happens in them.
    pub fn run(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        self.carry_out();
        loop {
            let input = self.scheduled.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= until);
            let timer = self.call.deadline().filter(|at| *at <= until);
            match (input, timer) {
                (None, None) => break,
                (Some(at), timer) if timer.is_none_or(|timer| at <= timer) => {
                    self.now = self.now.max(at);
                    let (_, input) = self.scheduled.pop_first().unwrap();
                    self.give(input);
                }
                (_, Some(at)) => {
                    self.now = self.now.max(at);
                    self.call.timeout(self.now);
                }
                (Some(_), None) => unreachable!(),
            }
            self.carry_out();
        }
        self.now = until;
    }

    fn give(&mut self, input: Input) {
        match input {
            Input::Leg(leg, event) => self.call.leg_event(leg, event, self.now),
            Input::Reached => self.call.reached(CALLEE, true, self.now),
            Input::Media(event) => self.call.media_event(event, self.now),
            Input::Loaded(load, result) => self.call.loaded(load, result, self.now),
            Input::Press(digit) => {
                for phase in [Phase::Start, Phase::End { duration: Duration::from_millis(100) }] {
                    let report = Report { digit, way: Way::TelephoneEvent, phase, at: self.now, delay: Duration::ZERO };
                    self.call.media_event(MediaEvent::Tone { leg: LEG, report }, self.now);
                }
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.call.poll() {
            assert!(self.ended.is_empty(), "after the end: {output:?}");
            match output {
                Output::Leg(leg, command) => {
                    self.leg_command(leg, &command);
                    match leg {
                        LEG => self.leg_commands.push(command),
                        _ => self.callee_commands.push(command),
                    }
                }
                Output::Reach { to } => {
                    self.sought.push(to);
                    self.soon(Input::Reached);
                }
                Output::NotForwarded { status } => self.not_forwarded.push(status),
                Output::Place(place) => {
                    let leg = place.leg;
                    match self.callee {
                        Callee::Answers => {
                            self.soon(Input::Leg(leg, LegEvent::Ringing { status: 180 }));
                            self.accepted(leg);
                        }
                        Callee::Refuses(status) => {
                            let (phrase, reason) = ("Words".to_owned(), Some("Q.850;cause=17".to_owned()));
                            self.soon(Input::Leg(leg, LegEvent::Failed { status, phrase, reason, local: false }));
                        }
                        Callee::OnlyRings => self.soon(Input::Leg(leg, LegEvent::Ringing { status: 180 })),
                    }
                    self.placed.push(*place);
                }
                Output::Follow(_, referral) => self.followed.push(*referral),
                Output::Media(command) => {
                    self.media_command(&command);
                    self.media_commands.push(command);
                }
                Output::Load { load, sources } => {
                    if let Some(result) = load_sources(&sources) {
                        self.at(self.load_time, Input::Loaded(load, result));
                    }
                }
                Output::Event(event) => self.events.push((self.now.as_micros() / 1000, *event)),
                Output::Note(entry) => self.notes.push(entry),
                Output::Ended(record) => self.ended.push(*record),
            }
        }
    }

    fn soon(&mut self, input: Input) {
        self.at(Duration::ZERO, input);
    }

    fn accepted(&mut self, leg: LegId) {
        self.soon(Input::Leg(leg, LegEvent::Accepted { media: Some(negotiated(Direction::SendRecv)) }));
        self.soon(Input::Leg(leg, LegEvent::Confirmed));
    }

    fn leg_command(&mut self, leg: LegId, command: &LegCommand) {
        let cause = match command {
            LegCommand::Accept { .. } => return self.accepted(leg),
            LegCommand::Progress { .. } => {
                let media = negotiated(Direction::SendRecv);
                return self.soon(Input::Leg(leg, LegEvent::EarlyMedia { media, proven: self.proven }));
            }
            LegCommand::Refuse { status, .. } => EndCause::Refused(*status),
            LegCommand::Redirect { .. } => EndCause::Refused(302),
            LegCommand::Hangup { .. } => EndCause::Bye,
            _ => return,
        };
        self.soon(Input::Leg(leg, LegEvent::Ended { by: Side::Local, cause, reason: None }));
    }

    fn media_command(&mut self, command: &MediaCommand) {
        let leg = command.leg();
        match command {
            MediaCommand::Open { .. } if self.ports => {
                self.soon(Input::Media(MediaEvent::Opened { leg, port: 20_000 + if leg == CALLEE { 2 } else { 0 } }))
            }
            MediaCommand::Open { .. } => {
                self.soon(Input::Media(MediaEvent::OpenFailed { leg, reason: "no ports left".to_owned() }));
            }
            MediaCommand::Play { play, clips, repeat: false, .. } => {
                self.scheduled.retain(|_, input| !matches!(input, Input::Media(MediaEvent::PlayFinished { .. })));
                let length = clips.iter().map(|clip| clip.duration()).sum();
                self.at(length, Input::Media(MediaEvent::PlayFinished { leg, play: *play }));
            }
            MediaCommand::StopPlay { play, .. } => {
                let stopped = MediaEvent::PlayFinished { leg, play: *play };
                self.scheduled.retain(|_, input| !matches!(input, Input::Media(event) if *event == stopped));
            }
            MediaCommand::SendTones { id, digits, tone_ms, gap_ms, .. } => {
                let length = Duration::from_millis(u64::from(tone_ms + gap_ms) * digits.len() as u64);
                self.at(length, Input::Media(MediaEvent::TonesSent { leg, id: *id }));
            }
            MediaCommand::Close { .. } => {
                let statistics = StreamStatistics::default();
                self.soon(Input::Media(MediaEvent::Closed { leg, statistics, heard: None }));
            }
            _ => {}
        }
    }

    /// The events so far in short, and forgets them: milliseconds, name, codes, what was heard, context.
    pub fn told(&mut self) -> Vec<String> {
        self.events.drain(..).map(|(at, event)| format!("{at} {}", in_short(&event))).collect()
    }

    /// The names and codes of the events so far, and forgets them.
    pub fn names(&mut self) -> Vec<String> {
        let name = |event: &Event| format!("{} {}/{}", event.kind.name(), event.outcome.code, event.outcome.sub_code);
        self.events.drain(..).map(|(_, event)| name(&event)).collect()
    }

    pub fn noted(&self, text: &str) -> bool {
        self.notes.iter().any(|entry| entry.text.contains(text))
    }

    /// The call is over and left nothing behind.
    pub fn must_be_over(&self) -> &CallRecord {
        assert_eq!(self.call.state(), CallState::Ended);
        assert_eq!(self.call.deadline(), None);
        assert_eq!(self.call.operations_under_way(), 0);
        assert_eq!(self.ended.len(), 1);
        &self.ended[0]
    }
}

pub fn in_short(event: &Event) -> String {
    let detail = match &event.kind {
        EventKind::RecognizeCompleted(Recognized::Dtmf(digits)) => {
            format!(" [{}]", digits.iter().map(|digit| digit.as_char()).collect::<String>())
        }
        EventKind::RecognizeCompleted(Recognized::Choice { label, .. }) => format!(" [{label}]"),
        EventKind::PlayFailed { failed_source: Some(index) }
        | EventKind::RecognizeFailed { failed_source: Some(index) } => format!(" #{index}"),
        EventKind::ContinuousDtmfTone { sequence_id, tone } => format!(" {sequence_id}:{tone}"),
        _ => String::new(),
    };
    let context = event.context.as_deref().unwrap_or("-");
    let Outcome { code, sub_code, .. } = event.outcome;
    format!("{} {code}/{sub_code}{detail} {context}", event.kind.name())
}

pub fn load_sources(sources: &[String]) -> Option<Result<Clips, LoadFailure>> {
    let mut clips = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let failure = |kind| Some(Err(LoadFailure { index, kind, message: "as its name says".to_owned() }));
        match source.trim_start_matches("prompt:") {
            "bad" => return failure(LoadFailureKind::BadFormat),
            "gone" => return failure(LoadFailureKind::DownloadFailed),
            "never" => return None,
            name => {
                let ms: usize = name.parse().unwrap_or(1000);
                clips.push(Arc::new(Clip::new(vec![0; ms * 8])));
            }
        }
    }
    Some(Ok(clips))
}

pub fn play(sources: &[&str], context: &str) -> Play {
    Play {
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        to: Vec::new(),
        repeat: false,
        interrupt: false,
        context: Some(context.to_owned()),
        callback: None,
    }
}

pub fn dtmf(sources: &[&str], max_tones: usize, stop_tones: &str, context: &str) -> Recognize {
    Recognize {
        party: caller(),
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        interrupt_prompt: true,
        interrupt: false,
        initial_silence: Duration::from_secs(5),
        input: RecognizeInput::Dtmf {
            max_tones,
            stop_tones: stop_tones.chars().filter_map(Digit::from_char).collect(),
            inter_tone: Duration::from_secs(2),
        },
        context: Some(context.to_owned()),
        callback: None,
    }
}

pub fn choices(sources: &[&str], labels: &[(&str, char)], context: &str) -> Recognize {
    let choice = |(label, key): &(&str, char)| Choice {
        label: (*label).to_owned(),
        phrases: Vec::new(),
        tone: Digit::from_char(*key),
    };
    Recognize { input: RecognizeInput::Choices(labels.iter().map(choice).collect()), ..dtmf(sources, 1, "", context) }
}
