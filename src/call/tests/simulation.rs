//! 2,000 calls with whatever may come, in whatever order: promises of `LIFECYCLE.md` that must hold all the same.
//! A failure names its seed.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::super::*;
use super::world::*;
use crate::dtmf::{Digit, Phase, Report, Way};
use crate::media::{MediaCommand, MediaEvent, PlayId, StreamStatistics};
use crate::random::Random;
use crate::session::{Direction, LegId};
use crate::sip::leg::{CommandError, EndCause, LegCommand, LegEvent, Side};
use crate::time::Time;

const SEEDS: u64 = 2000;
const STEPS: usize = 150;

struct Simulation {
    random: Random,
    call: Call,
    now: Time,
    /// Answers that the world owes; given in random order, or never.
    owed: Vec<Owed>,
    /// Accepted operations by their context: how many last events each has had.
    operations: HashMap<String, (&'static str, usize)>,
    /// Contexts in the order in which the queue took them.
    order: VecDeque<String>,
    number: u64,
    last_event: Option<&'static str>,
    closes: usize,
    opens: usize,
    ended: usize,
    hung_up: bool,
    /// Callees that were looked for.
    sought: u64,
}

enum Owed {
    Leg(LegId, LegEvent),
    Reached(LegId),
    NotReached,
    Media(MediaEvent),
    Load(LoadId, Result<Clips, LoadFailure>),
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random::from_number(seed);
        let call = if random.below(2) == 0 {
            Call::incoming(incoming(), settings(), Time::EPOCH)
        } else {
            Call::outgoing(outgoing(), settings(), Time::EPOCH)
        };
        Simulation {
            random,
            call,
            now: Time::EPOCH,
            owed: Vec::new(),
            operations: HashMap::new(),
            order: VecDeque::new(),
            number: 0,
            last_event: None,
            closes: 0,
            opens: 0,
            ended: 0,
            hung_up: false,
            sought: 0,
        }
    }

    fn run(&mut self) {
        self.drain();
        for _ in 0..STEPS {
            self.step();
            self.drain();
            if self.random.below(20) == 0 {
                let text = serde_json::to_string(&self.call).unwrap();
                self.call = serde_json::from_str(&text).unwrap();
            }
        }
        self.call.shut_down(self.now);
        self.drain();
        // The world may answer or not: the release timer sees to the end.
        while let Some(deadline) = self.call.deadline() {
            if let Some(owed) = self.owed.pop() {
                self.give(owed);
            } else {
                self.now = self.now.max(deadline);
                self.call.timeout(self.now);
            }
            self.drain();
        }
        assert_eq!(self.ended, 1);
        assert_eq!(self.call.state(), CallState::Ended);
        assert_eq!(self.call.operations_under_way(), 0);
        assert!(self.opens <= 1 && self.closes <= self.opens);
        for (context, (name, ends)) in &self.operations {
            assert_eq!(*ends, 1, "{name} {context} ended {ends} times");
        }
        for _ in 0..20 {
            self.step();
            assert!(self.call.poll().is_none());
        }
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..=2 if !self.owed.is_empty() => {
                // Mostly in order, as one leg and one stream would.
                let index =
                    if self.random.below(4) == 0 { self.random.below(self.owed.len() as u64) as usize } else { 0 };
                let owed = self.owed.remove(index);
                self.give(owed);
            }
            3 | 4 => {
                let command = self.command();
                self.obey(command);
            }
            5 => {
                let event = self.leg_event();
                let leg = match (self.random.below(10), self.call.callee_leg()) {
                    (0, _) => LegId(99),
                    (1..=4, Some(callee)) => callee,
                    _ => LEG,
                };
                // Legs end rarely here, or no call would ever be connected.
                if !event.is_final() || self.random.below(8) == 0 {
                    self.call.leg_event(leg, event, self.now);
                }
            }
            6 => {
                let event = self.media_event();
                self.call.media_event(event, self.now);
            }
            7 => {
                let deadline = self.call.deadline();
                if let Some(deadline) = deadline.filter(|_| self.random.below(2) == 0) {
                    self.now = self.now.max(deadline);
                }
                self.call.timeout(self.now);
                assert!(self.call.deadline().is_none_or(|at| at > self.now), "a due timer did not fire");
            }
            8 => self.press(),
            _ => {
                let ms = self.random.below(3000);
                self.now += Duration::from_millis(ms);
            }
        }
    }

    fn give(&mut self, owed: Owed) {
        match owed {
            Owed::Leg(leg, event) => self.call.leg_event(leg, event, self.now),
            Owed::Reached(leg) => self.call.reached(leg, true, self.now),
            Owed::NotReached => self.call.not_reached(404, "nobody", self.now),
            Owed::Media(event) => self.call.media_event(event, self.now),
            Owed::Load(load, result) => self.call.loaded(load, result, self.now),
        }
    }

    fn obey(&mut self, command: Command) {
        let name: Option<(&'static str, String)> = match &command {
            Command::Play(Play { context: Some(context), .. }) => Some(("Play", context.clone())),
            Command::Recognize(Recognize { context: Some(context), .. }) => Some(("Recognize", context.clone())),
            Command::SendTones { context: Some(context), .. } => Some(("SendTones", context.clone())),
            _ => None,
        };
        let hangs_up = matches!(command, Command::Leave | Command::Terminate);
        let before = (self.call.state(), self.call.operations_under_way());
        match self.call.command(command, self.now) {
            Ok(Reply::Accepted) => {
                self.hung_up |= hangs_up;
                if let Some((name, context)) = name {
                    if name != "SendTones" {
                        self.order.push_back(context.clone());
                    }
                    self.operations.insert(context, (name, 0));
                }
            }
            Err(_) => {
                // A timer that was due before may have ended something; nothing else may.
                let after = (self.call.state(), self.call.operations_under_way());
                assert!(after.1 <= before.1, "a refused command left something behind");
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.call.poll() {
            assert_eq!(self.ended, 0, "after the end: {output:?}");
            match output {
                Output::Leg(leg, command) => {
                    assert!(leg == LEG || leg.0 > 100 && leg.0 <= 100 + self.sought);
                    self.on_leg_command(leg, command);
                }
                Output::Place(place) => {
                    self.owe(Owed::Leg(place.leg, LegEvent::Ringing { status: 180 }));
                    let media = negotiated(Direction::SendRecv);
                    self.owe(Owed::Leg(place.leg, LegEvent::EarlyMedia { media, proven: true }));
                    match self.random.below(4) {
                        0 if place.leg != LEG => {
                            let (phrase, reason) = ("Busy Here".to_owned(), None);
                            let failed = LegEvent::Failed { status: 486, phrase, reason, local: false };
                            self.owe(Owed::Leg(place.leg, failed));
                        }
                        _ => self.owe_acceptance(place.leg),
                    }
                }
                Output::Reach { .. } => {
                    self.sought += 1;
                    let found = self.random.below(5) != 0;
                    self.owe(if found { Owed::Reached(LegId(100 + self.sought)) } else { Owed::NotReached });
                }
                Output::NotForwarded { status } => assert!((400..700).contains(&status)),
                Output::Follow(..) => {}
                Output::Media(command) => self.on_media_command(command),
                Output::Load { load, sources } => {
                    if let Some(result) = load_sources(&sources) {
                        self.owe(Owed::Load(load, result));
                    }
                }
                Output::Event(event) => self.on_event(&event),
                Output::Note(_) => {}
                Output::Ended(record) => {
                    self.ended += 1;
                    assert!(record.started <= record.over && record.over <= record.ended);
                    if self.hung_up {
                        assert_ne!(record.ended_by, EndedBy::Engine);
                    }
                }
            }
        }
    }

    fn on_event(&mut self, event: &Event) {
        assert_eq!(self.last_event, None, "{} after the last event", event.kind.name());
        if event.kind.ends_the_call() {
            self.last_event = Some(event.kind.name());
            assert!(self.operations.values().all(|(_, ends)| *ends == 1), "the call ended before its operations");
        }
        let ends = match &event.kind {
            EventKind::PlayCompleted | EventKind::PlayFailed { .. } | EventKind::PlayCanceled => "Play",
            EventKind::RecognizeCompleted(_) | EventKind::RecognizeFailed { .. } | EventKind::RecognizeCanceled => {
                "Recognize"
            }
            EventKind::SendTonesCompleted | EventKind::SendTonesFailed => "SendTones",
            _ => return,
        };
        let context = event.context.clone().unwrap();
        // An operation may end within its own command: it is then not known yet.
        let entry = self.operations.entry(context.clone()).or_insert((ends, 0));
        assert_eq!(entry.0, ends);
        entry.1 += 1;
        if ends != "SendTones" {
            assert_eq!(self.order.pop_front(), Some(context), "out of order");
        }
    }

    fn owe(&mut self, owed: Owed) {
        // Some answers never come.
        if self.random.below(30) != 0 {
            self.owed.push(owed);
        }
    }

    fn owe_acceptance(&mut self, leg: LegId) {
        let media = Some(negotiated(Direction::SendRecv));
        self.owe(Owed::Leg(leg, LegEvent::Accepted { media }));
        self.owe(Owed::Leg(leg, LegEvent::Confirmed));
    }

    fn on_leg_command(&mut self, leg: LegId, command: LegCommand) {
        let cause = match command {
            LegCommand::Accept { .. } => return self.owe_acceptance(leg),
            LegCommand::Progress { .. } => {
                let (media, proven) = (negotiated(Direction::SendRecv), self.random.below(2) == 0);
                return self.owe(Owed::Leg(leg, LegEvent::EarlyMedia { media, proven }));
            }
            LegCommand::Refuse { status, .. } => EndCause::Refused(status),
            LegCommand::Redirect { .. } => EndCause::Refused(302),
            LegCommand::Hangup { .. } => EndCause::Bye,
            _ => return,
        };
        if self.random.below(10) == 0 {
            self.call.leg_refused(leg, &CommandError::WrongState { state: "odd" }, self.now);
        }
        self.owe(Owed::Leg(leg, LegEvent::Ended { by: Side::Local, cause, reason: None }));
    }

    fn on_media_command(&mut self, command: MediaCommand) {
        let leg = command.leg();
        let answer = match command {
            MediaCommand::Open { .. } => {
                self.opens += usize::from(leg == LEG);
                if self.random.below(20) == 0 {
                    MediaEvent::OpenFailed { leg, reason: "none left".to_owned() }
                } else {
                    MediaEvent::Opened { leg, port: 20_000 }
                }
            }
            MediaCommand::Play { play, repeat: false, ref clips, .. } => {
                assert!(!clips.is_empty());
                MediaEvent::PlayFinished { leg, play }
            }
            MediaCommand::SendTones { id, .. } if self.random.below(5) == 0 => {
                MediaEvent::TonesFailed { leg, id, reason: "would not".to_owned() }
            }
            MediaCommand::SendTones { id, .. } => MediaEvent::TonesSent { leg, id },
            MediaCommand::Close { .. } => {
                self.closes += usize::from(leg == LEG);
                MediaEvent::Closed { leg, statistics: StreamStatistics::default(), heard: None }
            }
            _ => return,
        };
        self.owe(Owed::Media(answer));
    }

    fn digit(&mut self) -> Digit {
        Digit::ALL[self.random.below(16) as usize]
    }

    fn press(&mut self) {
        let (digit, way) = (self.digit(), Way::ALL[self.random.below(2) as usize]);
        for phase in [Phase::Start, Phase::End { duration: Duration::from_millis(80) }] {
            let report = Report { digit, way, phase, at: self.now, delay: Duration::ZERO };
            self.call.media_event(MediaEvent::Tone { leg: LEG, report }, self.now);
        }
    }

    fn context(&mut self) -> Context {
        self.number += 1;
        Some(format!("op-{}", self.number))
    }

    fn sources(&mut self, least: u64) -> Vec<String> {
        let names = ["prompt:100", "prompt:2000", "prompt:0", "prompt:bad", "prompt:gone", "prompt:never", "nothing"];
        let count = least + self.random.below(3);
        let likely = [0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 4, 5, 6];
        (0..count).map(|_| names[likely[self.random.below(13) as usize]].to_owned()).collect()
    }

    fn party(&mut self) -> Party {
        if self.random.below(12) == 0 { stranger() } else { caller() }
    }

    fn command(&mut self) -> Command {
        let context = self.context();
        match self.random.below(40) {
            0..=5 => Command::Answer { context: Some("call".to_owned()) },
            6 if self.random.below(10) == 0 => Command::Reject { reason: RejectReason::Busy },
            7 if self.random.below(10) == 0 => Command::Redirect { to: "sip:a@b".to_owned() },
            8 if self.random.below(4) == 0 => Command::Leave,
            9 if self.random.below(4) == 0 => Command::Terminate,
            10..=17 => Command::Play(Play {
                to: if self.random.below(2) == 0 { vec![self.party()] } else { Vec::new() },
                repeat: self.random.below(5) == 0,
                interrupt: self.random.below(5) == 0,
                context,
                ..Play { sources: self.sources(1), ..play(&[], "") }
            }),
            18..=27 => {
                let input = if self.random.below(2) == 0 {
                    dtmf(&[], 1 + self.random.below(4) as usize, "#", "").input
                } else {
                    choices(&[], &[("a", '1'), ("b", '2')], "").input
                };
                Command::Recognize(Recognize {
                    party: self.party(),
                    sources: self.sources(0),
                    interrupt_prompt: self.random.below(2) == 0,
                    interrupt: self.random.below(5) == 0,
                    initial_silence: Duration::from_secs(self.random.below(8)),
                    input,
                    context,
                    callback: None,
                })
            }
            28 => Command::CancelMedia,
            29 => Command::Forward { to: stranger() },
            30..=32 => Command::StartContinuousDtmf { party: self.party(), context, callback: None },
            33 => Command::StopContinuousDtmf { party: self.party(), context, callback: None },
            _ => {
                let tones = vec![self.digit(); self.random.below(200) as usize];
                Command::SendTones { party: self.party(), tones, context, callback: None }
            }
        }
    }

    fn leg_event(&mut self) -> LegEvent {
        let direction = match self.random.below(3) {
            0 => Direction::SendOnly,
            1 => Direction::Inactive,
            _ => Direction::SendRecv,
        };
        let media = negotiated(direction);
        match self.random.below(12) {
            0 => LegEvent::Ringing { status: 183 },
            1 => LegEvent::EarlyMedia { media, proven: true },
            2 => LegEvent::Accepted { media: (self.random.below(2) == 0).then_some(media) },
            3 => LegEvent::Confirmed,
            4 | 5 => LegEvent::MediaChanged { media },
            6 => LegEvent::ReofferFailed { status: 491 },
            7 => LegEvent::Info { content_type: "application/dtmf".to_owned(), body: b"5".to_vec() },
            8 => LegEvent::Info { content_type: "text/plain".to_owned(), body: vec![0xff; 9] },
            9 => LegEvent::Failed { status: 486, phrase: "Busy Here".to_owned(), reason: None, local: false },
            10 => LegEvent::Cancelled { reason: None },
            _ => LegEvent::Ended { by: Side::Remote, cause: EndCause::Bye, reason: None },
        }
    }

    fn media_event(&mut self) -> MediaEvent {
        let leg = self.call.callee_leg().filter(|_| self.random.below(3) == 0).unwrap_or(LEG);
        let number = self.random.below(40);
        match self.random.below(60) {
            0 => MediaEvent::Silent { leg, for_: Duration::from_secs(30) },
            1 => MediaEvent::Closed { leg, statistics: StreamStatistics::default(), heard: None },
            2 => MediaEvent::OpenFailed { leg, reason: "late".to_owned() },
            3..=6 => MediaEvent::Opened { leg, port: 2 },
            7..=20 => MediaEvent::PlayFinished { leg, play: PlayId(number) },
            21..=30 => MediaEvent::TonesSent { leg, id: number },
            31..=35 => MediaEvent::TonesFailed { leg, id: number, reason: "odd".to_owned() },
            _ => MediaEvent::Note { leg, text: "first packet".to_owned() },
        }
    }
}

#[test]
fn promises_hold_whatever_comes() {
    let mut reached = HashMap::<&'static str, usize>::new();
    for seed in 0..SEEDS {
        let result = std::panic::catch_unwind(|| {
            let mut simulation = Simulation::new(seed);
            simulation.run();
            (simulation.last_event, simulation.operations.len())
        });
        match result {
            Ok((last, operations)) => {
                *reached.entry(last.unwrap_or("none")).or_default() += 1;
                *reached.entry("operations").or_default() += operations;
            }
            Err(_) => panic!("seed {seed}"),
        }
    }
    // The simulation is worth something only if it gets everywhere.
    for (what, least) in
        [("CallDisconnected", 400), ("CreateCallFailed", 50), ("AnswerFailed", 50), ("none", 20), ("operations", 5000)]
    {
        let count = reached.get(what).copied().unwrap_or(0);
        assert!(count >= least, "{what}: {count} of {SEEDS} ({reached:?})");
    }
}
