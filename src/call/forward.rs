//! Forwarding: an incoming call goes on to somebody whom we call for the caller, on a second leg (a back-to-back user
//! agent, RFC 3261 §6). The callee's early media and answer are passed to the caller, what each says is heard by the
//! other, and when one leaves the other is let go. Finding the callee, and ringing all of his devices, is the engine's.

use serde::{Deserialize, Serialize};

use super::participants::{Line, Remote, Signalling, in_words};
use super::{Call, CallState, EndedBy, Outcome, Output, Party, Place, Refusal, Reply, Topic};
use crate::dtmf::info::InfoDigit;
use crate::dtmf::{Phase, Report};
use crate::media::{MediaCommand, MediaEvent};
use crate::session::{LegId, NegotiatedMedia};
use crate::sip::leg::{CommandError, EndCause, LegCommand, LegEvent, Referral, Side};
use crate::sip::message::reason;
use crate::time::Time;

/// What a REFER that is not allowed is refused with.
const DECLINED: u16 = 603;

/// The one whom an incoming call went on to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Callee {
    pub to: Party,
    /// None: the way to him is being looked for.
    pub remote: Option<Remote>,
    /// The caller was told to listen before the answer.
    early: bool,
    /// He may send us on by REFER.
    pub may_refer: bool,
}

impl Callee {
    /// Nothing of him has to be waited for.
    pub fn is_free(&self) -> bool {
        let free = |remote: &Remote| remote.signalling == Signalling::Over && remote.line == Line::Closed;
        self.remote.as_ref().is_none_or(free)
    }

    fn open_port(&self) -> Option<u16> {
        match self.remote.as_ref()?.line {
            Line::Open(port) => Some(port),
            _ => None,
        }
    }
}

impl Call {
    pub(super) fn forward(&mut self, to: Party, now: Time) -> Result<Reply, Refusal> {
        if self.state != CallState::Ringing {
            return Err(self.wrong_state("forward"));
        }
        self.callee = Some(Callee { to: to.clone(), remote: None, early: false, may_refer: false });
        self.enter(CallState::Forwarding, now);
        self.state_deadline = Some(now + self.settings.load_timeout);
        self.outputs.push_back(Output::Reach { to });
        Ok(Reply::Accepted)
    }

    /// The way to the one whom [`Output::Reach`] names is known, and this leg is reserved for him. `may_refer`: he may
    /// send us on by REFER. What nobody waits for any more is dropped.
    pub fn reached(&mut self, leg: LegId, may_refer: bool, now: Time) {
        self.expire(now);
        let Some(callee) = self.callee.as_mut().filter(|callee| callee.remote.is_none()) else { return };
        if self.state != CallState::Forwarding {
            return;
        }
        callee.may_refer = may_refer;
        let mut remote = Remote::new(leg, callee.to.clone(), Signalling::Idle);
        remote.line = Line::Opening;
        callee.remote = Some(remote);
        if self.remote.line == Line::Idle {
            self.remote.line = Line::Opening;
            self.media(MediaCommand::Open { leg: self.remote.leg, beside: None });
        }
        self.state_deadline = Some(now + self.settings.release_timeout);
        self.media(MediaCommand::Open { leg, beside: Some(self.remote.leg) });
    }

    /// There is no way to the one whom [`Output::Reach`] names, as the status for the caller says.
    pub fn not_reached(&mut self, status: u16, problem: &str, now: Time) {
        self.expire(now);
        if self.state == CallState::Forwarding && self.callee.as_ref().is_some_and(|callee| callee.remote.is_none()) {
            self.not_forwarded(status, problem, now);
        }
    }

    /// The leg of the one whom the call went on to.
    pub fn callee_leg(&self) -> Option<LegId> {
        Some(self.callee.as_ref()?.remote.as_ref()?.leg)
    }

    // ---- what his leg tells ----

    pub(super) fn on_callee_event(&mut self, event: LegEvent, now: Time) {
        let Some(remote) = self.callee.as_mut().and_then(|callee| callee.remote.as_mut()) else { return };
        if event.is_final() {
            remote.signalling = Signalling::Over;
        }
        if self.state == CallState::Releasing {
            return self.end_if_free(now);
        }
        match event {
            LegEvent::Ringing { status } => {
                self.note_callee(now, Topic::Signalling, format!("rings ({status})"));
                if status == 180 && self.state == CallState::Forwarding {
                    self.leg(LegCommand::Ring);
                }
            }
            LegEvent::EarlyMedia { media, .. } => {
                self.agree_with_callee(media, now);
                self.connect_callee();
                self.pass_early_media();
            }
            LegEvent::Accepted { media } => {
                if let Some(media) = media {
                    self.agree_with_callee(media, now);
                }
                self.pass_answer(now);
            }
            LegEvent::Confirmed => {
                remote.confirmed = true;
                self.connect_callee();
            }
            LegEvent::MediaChanged { media } => {
                let held = remote.on_hold();
                self.agree_with_callee(media, now);
                self.connect_callee();
                if self.state == CallState::Connected && Some(held) != self.callee_remote().map(Remote::on_hold) {
                    self.participants_updated(now);
                }
            }
            LegEvent::Info { content_type, body } => {
                let tones_come = remote.sends_events();
                self.pass_info(&content_type, &body, tones_come, self.remote.leg, now);
            }
            LegEvent::Referred(referral) => self.on_callee_refers(referral, now),
            LegEvent::Replaced { by, .. } => {
                let party = Party::of_sip(&by);
                let text = format!("{} takes the place of {}", party.as_str(), remote.party.as_str());
                remote.party = party;
                self.note_callee(now, Topic::Signalling, text);
                if self.state == CallState::Connected {
                    self.participants_updated(now);
                }
            }
            LegEvent::FollowFailed { status, phrase } => {
                let text = format!("who we were referred to did not answer: {status} {phrase}");
                self.note_callee(now, Topic::Signalling, text);
            }
            LegEvent::Redirected { to } => {
                let places: Vec<&str> = to.iter().map(|place| place.uri.as_str()).collect();
                self.note_callee(now, Topic::Signalling, format!("redirected to {}", places.join(", ")));
            }
            LegEvent::ReofferFailed { status } | LegEvent::InfoAnswered { status } => {
                self.note_callee(now, Topic::Signalling, format!("answered with {status}"));
            }
            // We refer nobody on this leg.
            LegEvent::Refer(_) => {}
            LegEvent::Failed { status, phrase, local, .. } if self.state == CallState::Forwarding => {
                let status = for_the_caller(status, local);
                self.not_forwarded(status, &phrase, now);
            }
            LegEvent::Failed { status, phrase, reason, local } => {
                let by = if local { EndedBy::Engine } else { EndedBy::Peer };
                self.finish(by, Outcome::from_sip(status, &phrase, reason.as_deref(), local), now);
            }
            LegEvent::Cancelled { reason } => {
                self.finish(EndedBy::Peer, Outcome::call_canceled(reason.as_deref()), now);
            }
            LegEvent::Ended { cause, .. } if self.state == CallState::Forwarding => {
                let status = if let EndCause::Refused(status) = cause { for_the_caller(status, true) } else { 480 };
                self.not_forwarded(status, "the leg ended", now);
            }
            LegEvent::Ended { by, cause, reason } => {
                let by_peer = by == Side::Remote;
                let outcome = match self.state {
                    CallState::Connected => Outcome::from_end(by_peer, cause, reason.as_deref()),
                    _ => Outcome::from_end_unconnected(cause, reason.as_deref()),
                };
                self.finish(if by_peer { EndedBy::Peer } else { EndedBy::Engine }, outcome, now);
            }
        }
    }

    pub(super) fn on_callee_refused(&mut self, error: &CommandError, now: Time) {
        self.note_callee(now, Topic::Signalling, format!("the leg refused: {error}"));
        if *error == CommandError::NoSuchLeg {
            let cause = EndCause::DialogLost(481);
            self.on_callee_event(LegEvent::Ended { by: Side::Local, cause, reason: None }, now);
        }
    }

    fn on_callee_refers(&mut self, referral: Referral, now: Time) {
        let Some(leg) = self.callee_leg() else { return };
        let target = referral.target.uri.clone();
        let allowed = self.callee.as_ref().is_some_and(|callee| callee.may_refer);
        // He has answered, though the caller's handshake may not be over yet.
        if matches!(self.state, CallState::Answering | CallState::Connected) && allowed {
            self.note_callee(now, Topic::Signalling, format!("refers us to {target}"));
            self.outputs.push_back(Output::Follow(leg, Box::new(referral)));
        } else {
            self.note_callee(now, Topic::Signalling, format!("may not refer us to {target}: declined"));
            self.outputs.push_back(Output::Leg(leg, LegCommand::RefuseReferral { status: DECLINED }));
        }
    }

    // ---- what his media tell ----

    pub(super) fn on_callee_media(&mut self, event: MediaEvent, now: Time) {
        let Some(remote) = self.callee.as_mut().and_then(|callee| callee.remote.as_mut()) else { return };
        match event {
            MediaEvent::Opened { port, .. } if remote.line == Line::Opening => {
                remote.line = Line::Open(port);
                self.note_callee(now, Topic::Media, format!("RTP on port {port}"));
                self.place_callee();
            }
            MediaEvent::OpenFailed { reason, .. } if remote.line == Line::Opening => {
                remote.line = Line::Closed;
                remote.signalling = Signalling::Over;
                self.not_forwarded(503, &format!("no ports: {reason}"), now);
            }
            MediaEvent::Closed { statistics, .. } => {
                remote.line = Line::Closed;
                match self.state {
                    CallState::Releasing => self.end_if_free(now),
                    _ => {
                        let outcome = Outcome::media_lost("The callee's stream was closed.");
                        self.finish_as(EndedBy::Engine, outcome, Some(statistics), now);
                    }
                }
            }
            MediaEvent::Note { text, .. } => self.note_callee(now, Topic::Media, text),
            MediaEvent::Silent { for_, .. } if self.state == CallState::Connected && !remote.on_hold() => {
                let text = format!("Nothing was heard of the callee for {} seconds.", for_.as_secs());
                self.finish(EndedBy::Engine, Outcome::media_lost(&text), now);
            }
            // Media passes his digits to the caller; nobody else listens to them.
            MediaEvent::Tone { report: Report { digit, way, phase: Phase::Start, .. }, .. } => {
                self.note_callee(now, Topic::Dtmf, format!("{digit} pressed, by {way}"));
            }
            _ => {}
        }
    }

    // ---- between the two ----

    /// Both streams have their ports: the callee is called.
    pub(super) fn place_callee(&mut self) {
        let (Line::Open(_), Some(callee)) = (self.remote.line, &self.callee) else { return };
        let (Some(port), Some(leg), to) = (callee.open_port(), self.callee_leg(), callee.to.clone()) else { return };
        self.state_deadline = None;
        self.media(MediaCommand::Bridge { leg: self.remote.leg, with: Some(leg) });
        let place = Place {
            leg,
            target: to,
            from: Some(self.remote.party.clone()),
            display: self.source_display.clone(),
            media: self.local_media(port),
            ring_timeout: self.settings.ring_timeout,
        };
        if let Some(remote) = self.callee.as_mut().and_then(|callee| callee.remote.as_mut()) {
            remote.signalling = Signalling::Live;
        }
        self.outputs.push_back(Output::Place(Box::new(place)));
    }

    fn pass_early_media(&mut self) {
        let Line::Open(port) = self.remote.line else { return };
        let Some(callee) = self.callee.as_mut().filter(|callee| !callee.early) else { return };
        callee.early = true;
        let media = self.local_media(port);
        self.leg(LegCommand::Progress { media });
    }

    fn pass_answer(&mut self, now: Time) {
        let Line::Open(port) = self.remote.line else { return };
        if self.state != CallState::Forwarding {
            return;
        }
        self.enter(CallState::Answering, now);
        let media = self.local_media(port);
        self.leg(LegCommand::Accept { media });
    }

    /// A digit that came by INFO goes on as tones, since audio does not have it; `tones_come`: it comes by RFC 4733
    /// as well, which media pass on.
    pub(super) fn pass_info(&mut self, content_type: &str, body: &[u8], tones_come: bool, to: LegId, now: Time) {
        if tones_come {
            return;
        }
        let Ok(pressed) = InfoDigit::parse(content_type, body) else {
            return self.note(now, Topic::Dtmf, "INFO that is no digit is not passed on");
        };
        let (digits, tone_ms, gap_ms) = (vec![pressed.digit], self.settings.tone_ms, self.settings.tone_gap_ms);
        self.note(now, Topic::Dtmf, format!("{} by INFO is passed on", pressed.digit));
        let id = self.next_number();
        self.media(MediaCommand::SendTones { leg: to, id, digits, tone_ms, gap_ms });
    }

    /// The callee is not to be had: his stream goes, the call rings as before, and the engine decides.
    pub(super) fn not_forwarded(&mut self, status: u16, phrase: &str, now: Time) {
        let Some(callee) = self.callee.take() else { return };
        self.note(now, Topic::Signalling, format!("{} is not reached: {status} {phrase}", callee.to.as_str()));
        if let Some(remote) = callee.remote {
            if remote.signalling == Signalling::Live {
                self.outputs.push_back(Output::Leg(remote.leg, LegCommand::Hangup { reason: None }));
            }
            if matches!(remote.line, Line::Opening | Line::Open(_)) {
                self.media(MediaCommand::Close { leg: remote.leg });
            }
        }
        self.enter(CallState::Ringing, now);
        self.state_deadline = Some(now + self.settings.answer_timeout);
        self.outputs.push_back(Output::NotForwarded { status });
    }

    /// The call is over: lets the callee go.
    pub(super) fn let_callee_go(&mut self) {
        let Some(remote) = self.callee.as_mut().and_then(|callee| callee.remote.as_mut()) else { return };
        let leg = remote.leg;
        let (live, open) =
            (remote.signalling == Signalling::Live, matches!(remote.line, Line::Opening | Line::Open(_)));
        remote.signalling = if live { Signalling::HungUp } else { Signalling::Over };
        if open {
            remote.line = Line::Closing;
        }
        if live {
            let reason = Some(reason::q850(16));
            self.outputs.push_back(Output::Leg(leg, LegCommand::Hangup { reason }));
        }
        if open {
            self.media(MediaCommand::Close { leg });
        }
    }

    fn agree_with_callee(&mut self, media: NegotiatedMedia, now: Time) {
        self.note_callee(now, Topic::Media, format!("media agreed: {}", in_words(&media)));
        if let Some(remote) = self.callee.as_mut().and_then(|callee| callee.remote.as_mut()) {
            remote.agreed = Some(media);
        }
    }

    /// An answer came from him, early or not, so that he is where he says.
    fn connect_callee(&mut self) {
        let Some(remote) = self.callee_remote() else { return };
        if let Some(media) = remote.agreed.clone() {
            let leg = remote.leg;
            self.media(MediaCommand::Connect { leg, media });
        }
    }

    pub(super) fn callee_remote(&self) -> Option<&Remote> {
        self.callee.as_ref()?.remote.as_ref()
    }

    fn note_callee(&mut self, now: Time, topic: Topic, text: impl Into<String>) {
        let who = self.callee.as_ref().map_or("", |callee| callee.to.as_str());
        let entry = super::TimelineEntry::new(now, topic, format!("{who}: {}", text.into()));
        let entry = match self.callee_leg() {
            Some(leg) => entry.on(leg),
            None => entry,
        };
        self.outputs.push_back(Output::Note(entry));
    }
}

/// The caller is told what the callee said, unless it was meant for us or is our own fault.
fn for_the_caller(status: u16, local: bool) -> u16 {
    match status {
        408 | 487 => 480,
        401 | 407 | 481 | 482 | 483 | 491 | 494 => 502,
        400..=699 if !local || status == 503 || status == 404 => status,
        _ => 480,
    }
}
