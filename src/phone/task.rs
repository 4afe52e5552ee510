//! The phone's task: one line between the SIP stack, media, and whoever holds the phone.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{EARS, PhoneEvent, Wish};
use crate::clock::Clock;
use crate::dtmf::{Digit, Phase, ToneGenerator, Way};
use crate::media::worker::MediaPlane;
use crate::media::{Captured, Clip, MediaCommand, MediaEvent, PlayId};
use crate::session::{LegId, LocalMedia};
use crate::sip::agent::{AgentOutput, UserAgent};
use crate::sip::leg::{Credentials, LegCommand, LegEvent, OutgoingInvite, Party, Side};
use crate::sip::peer::Transport;
use crate::sip::transport::{Inbound, Transports};

/// How long a key is held, and the pause after it, in milliseconds.
const KEY_MS: u32 = 200;

pub(super) struct Task {
    agent: UserAgent,
    transports: Transports,
    media: MediaPlane,
    /// Our side of every call, but for its port.
    own: LocalMedia,
    credentials: Option<Credentials>,
    clock: Clock,
    events: mpsc::Sender<PhoneEvent>,
    line: Option<Line>,
    plays: u64,
}

/// The one call.
struct Line {
    leg: LegId,
    stage: Stage,
    over: Option<Over>,
}

enum Stage {
    /// Waits for a port to dial with.
    Dialling { uri: String, destination: std::net::SocketAddr, transport: Transport },
    /// Waits for a port to answer with.
    Answering,
    /// INVITE or 200 is out.
    Open,
}

enum Over {
    Failed(u16, String),
    Ended { by_peer: bool },
}

impl Task {
    pub(super) fn new(
        agent: UserAgent,
        transports: Transports,
        media: MediaPlane,
        (own, credentials): (LocalMedia, Option<Credentials>),
        clock: Clock,
        events: mpsc::Sender<PhoneEvent>,
    ) -> Self {
        Task { agent, transports, media, own, credentials, clock, events, line: None, plays: 0 }
    }

    pub(super) async fn run(
        mut self,
        mut inbound: mpsc::Receiver<Inbound>,
        mut media: mpsc::Receiver<MediaEvent>,
        mut wishes: mpsc::Receiver<Wish>,
    ) {
        let mut held = true;
        while held || self.line.is_some() {
            let deadline = self.agent.deadline().map(|at| self.clock.instant(at));
            let alarm = async move {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(arrived) = inbound.recv() => self.arrived(arrived),
                Some(event) = media.recv() => self.heard(event),
                wish = wishes.recv(), if held => match wish {
                    Some(wish) => self.wish(wish),
                    None => {
                        held = false;
                        self.wish(Wish::HangUp);
                    }
                },
                () = alarm => self.agent.timeout(self.clock.now()),
            }
            while let Some(output) = self.agent.poll() {
                self.carry_out(output);
            }
        }
    }

    fn arrived(&mut self, inbound: Inbound) {
        let now = self.clock.now();
        match inbound {
            Inbound::Message { peer, bytes } => self.agent.receive(peer, &bytes, now),
            Inbound::Lost { peer } => self.agent.connection_lost(&peer, now),
            Inbound::Identified { .. } => {}
        }
    }

    fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Dial { uri, destination, transport } => {
                let leg = self.agent.new_leg();
                self.line = Some(Line { leg, stage: Stage::Dialling { uri, destination, transport }, over: None });
                self.tell_media(MediaCommand::Open { leg, beside: None });
            }
            Wish::Press(digit, way) => self.press(digit, way),
            Wish::Say(clip) => self.say(clip),
            Wish::HangUp => {
                if let Some(leg) = self.line.as_ref().map(|line| line.leg) {
                    let _ = self.agent.command(leg, LegCommand::Hangup { reason: None }, self.clock.now());
                }
            }
        }
    }

    fn press(&mut self, digit: Digit, way: Way) {
        let Some(leg) = self.line.as_ref().map(|line| line.leg) else { return };
        match way {
            Way::TelephoneEvent => {
                self.plays += 1;
                let id = self.plays;
                let digits = vec![digit];
                self.tell_media(MediaCommand::SendTones { leg, id, digits, tone_ms: KEY_MS, gap_ms: KEY_MS });
            }
            Way::InBand => {
                let mut tones = ToneGenerator::new([digit], KEY_MS, KEY_MS);
                let mut samples = vec![0; 8 * 2 * KEY_MS as usize];
                tones.fill(&mut samples);
                self.say(Arc::new(Clip::new(samples)));
            }
            Way::Info => {
                let command = LegCommand::Info {
                    content_type: "application/dtmf-relay".to_owned(),
                    body: format!("Signal={}\r\nDuration={KEY_MS}\r\n", digit.as_char()).into_bytes(),
                };
                let _ = self.agent.command(leg, command, self.clock.now());
            }
        }
    }

    fn say(&mut self, clip: Arc<Clip>) {
        let Some(leg) = self.line.as_ref().map(|line| line.leg) else { return };
        self.plays += 1;
        let play = PlayId(self.plays);
        self.tell_media(MediaCommand::Play { leg, play, clips: vec![clip], repeat: false });
    }

    fn tell_media(&mut self, command: MediaCommand) {
        let leg = command.leg();
        if self.media.send(leg.0, command).is_err() {
            tracing::warn!(%leg, "the phone's media is too busy");
        }
    }

    fn heard(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Opened { leg, port } => self.opened(leg, port),
            MediaEvent::OpenFailed { leg, reason } => {
                let _ = self.agent.command(leg, LegCommand::Hangup { reason: None }, self.clock.now());
                self.line = None;
                self.tell(PhoneEvent::Failed(503, reason));
            }
            MediaEvent::Tone { report, .. } => {
                if report.phase == Phase::Start {
                    self.tell(PhoneEvent::Heard(report.digit, report.way));
                }
            }
            MediaEvent::TonesSent { .. } | MediaEvent::PlayFinished { .. } => self.tell(PhoneEvent::Pressed),
            MediaEvent::Closed { heard, .. } => {
                let over = self.line.take().and_then(|line| line.over);
                match over {
                    Some(Over::Failed(status, phrase)) => self.tell(PhoneEvent::Failed(status, phrase)),
                    Some(Over::Ended { by_peer }) => {
                        self.tell(PhoneEvent::Over { by_peer, heard: heard.map(Captured::at_8k).unwrap_or_default() });
                    }
                    None => {}
                }
            }
            MediaEvent::TonesFailed { reason, .. } => tracing::warn!(reason, "a key was not sent"),
            MediaEvent::Silent { .. } | MediaEvent::Note { .. } | MediaEvent::Tapped { .. } => {}
        }
    }

    fn opened(&mut self, leg: LegId, port: u16) {
        let now = self.clock.now();
        let media = LocalMedia { port, ..self.own.clone() };
        let user = self.credentials.as_ref().map_or("phone", |credentials| credentials.user.as_str());
        let Some(line) = self.line.as_mut().filter(|line| line.leg == leg) else { return };
        match std::mem::replace(&mut line.stage, Stage::Open) {
            Stage::Dialling { uri, destination, transport } => {
                let invite = OutgoingInvite {
                    target: uri,
                    from: Party {
                        display: Some("Built-in phone".to_owned()),
                        uri: format!("sip:{user}@{}", crate::sip::message::Host::from(self.own.address)),
                    },
                    to: None,
                    destination,
                    transport,
                    credentials: self.credentials.clone(),
                    media,
                    headers: Vec::new(),
                    ring_timeout: std::time::Duration::from_secs(60),
                };
                self.agent.place(leg, invite, now);
            }
            Stage::Answering => {
                let _ = self.agent.command(leg, LegCommand::Accept { media }, now);
            }
            Stage::Open => {}
        }
    }

    fn carry_out(&mut self, output: AgentOutput) {
        let now = self.clock.now();
        match output {
            AgentOutput::Send { peer, bytes, .. } => {
                if self.transports.send(&peer, bytes).is_err() {
                    self.agent.transport_lost(&peer, now);
                }
            }
            AgentOutput::Incoming(invitation) => {
                let leg = invitation.leg;
                if self.line.is_some() {
                    let busy = LegCommand::Refuse { status: 486, phrase: None, retry_after: None };
                    let _ = self.agent.command(leg, busy, now);
                    return;
                }
                let _ = self.agent.command(leg, LegCommand::Ring, now);
                self.line = Some(Line { leg, stage: Stage::Answering, over: None });
                self.tell(PhoneEvent::Called { from: invitation.from.uri });
                self.tell_media(MediaCommand::Open { leg, beside: None });
            }
            AgentOutput::Leg(leg, event) => self.leg(leg, event),
            AgentOutput::Trace { .. }
            | AgentOutput::Gone(_)
            | AgentOutput::Ban(_)
            | AgentOutput::Counter(_)
            | AgentOutput::Answered { .. }
            | AgentOutput::Registrations { .. } => {}
        }
    }

    fn leg(&mut self, leg: LegId, event: LegEvent) {
        if self.line.as_ref().is_none_or(|line| line.leg != leg) {
            return;
        }
        match event {
            LegEvent::Ringing { status } => self.tell(PhoneEvent::Ringing(status)),
            LegEvent::Accepted { media } => {
                self.tell_media(MediaCommand::Capture { leg, limit_frames: EARS });
                if let Some(media) = media {
                    self.tell_media(MediaCommand::Connect { leg, media });
                }
                self.tell(PhoneEvent::Connected);
            }
            LegEvent::Referred(referral) => {
                let now = self.clock.now();
                let command = super::referral::decide(&referral, &self.own);
                let _ = self.agent.command(leg, command, now);
            }
            LegEvent::MediaChanged { media } => self.tell_media(MediaCommand::Connect { leg, media }),
            LegEvent::Failed { status, phrase, .. } => self.over(leg, Over::Failed(status, phrase)),
            LegEvent::Cancelled { .. } => self.over(leg, Over::Failed(487, "Request Terminated".to_owned())),
            LegEvent::Ended { by, .. } => self.over(leg, Over::Ended { by_peer: by == Side::Remote }),
            _ => {}
        }
    }

    fn over(&mut self, leg: LegId, over: Over) {
        if let Some(line) = &mut self.line {
            line.over = Some(over);
        }
        self.tell_media(MediaCommand::Close { leg });
    }

    fn tell(&self, event: PhoneEvent) {
        if self.events.try_send(event).is_err() {
            tracing::warn!("nobody looks at the phone");
        }
    }
}
