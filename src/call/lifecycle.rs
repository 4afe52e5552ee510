//! How a call moves from state to state: ringing, answering, connecting, connected, releasing, ended (see
//! `LIFECYCLE.md`). What runs on a connected call is `operation`'s, keys are `digits`'.

use super::forward::Callee;
use super::machine::Ending;
use super::outcome::MEDIA_LOST;
use super::participants::{Line, Signalling, in_words};
use super::{
    Call, CallDirection, CallState, Context, EndedBy, EventKind, Outcome, Output, Place, Refusal, RejectReason, Reply,
    Topic,
};
use crate::media::{MediaCommand, MediaEvent, StreamStatistics};
use crate::session::NegotiatedMedia;
use crate::sip::leg::{CommandError, EndCause, LegCommand, LegEvent, Side};
use crate::sip::message::reason;
use crate::time::Time;

/// The longest URI that a caller is redirected to, in bytes.
const MAX_URI: usize = 1024;

impl Call {
    // ---- what applications may do with the call itself ----

    pub(super) fn answer(&mut self, context: Context, now: Time) -> Result<Reply, Refusal> {
        if self.state != CallState::Ringing {
            return Err(self.wrong_state("answer"));
        }
        self.context = context;
        self.enter(CallState::Answering, now);
        match self.remote.line {
            // A forwarding that came to nothing had opened it.
            Line::Open(port) => self.accept(port),
            Line::Opening => self.state_deadline = Some(now + self.settings.release_timeout),
            _ => self.open_media(now),
        }
        Ok(Reply::Accepted)
    }

    pub(super) fn reject(&mut self, reason: RejectReason, now: Time) -> Result<Reply, Refusal> {
        if self.state != CallState::Ringing {
            return Err(self.wrong_state("reject"));
        }
        let (status, phrase) = match reason {
            RejectReason::None => (603, "Decline"),
            RejectReason::Busy => (486, "Busy Here"),
            RejectReason::Forbidden => (403, "Forbidden"),
            RejectReason::NotFound => (404, "Not Found"),
            RejectReason::Unavailable => (480, "Temporarily Unavailable"),
            RejectReason::As(status) => (status, ""),
        };
        self.refuse(status);
        self.finish(EndedBy::Application, Outcome::from_sip(status, phrase, None, true), now);
        Ok(Reply::Accepted)
    }

    pub(super) fn redirect(&mut self, to: String, now: Time) -> Result<Reply, Refusal> {
        if self.state != CallState::Ringing {
            return Err(self.wrong_state("redirect"));
        }
        let scheme = to.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default();
        let plain = to.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"'));
        if !matches!(scheme.as_str(), "sip" | "sips" | "tel") || !plain || to.len() > MAX_URI {
            return Err(Refusal::BadArgument {
                field: "target".to_owned(),
                problem: format!("must be a sip:, sips: or tel: URI of at most {MAX_URI} characters"),
            });
        }
        self.remote.signalling = Signalling::Refused;
        self.leg(LegCommand::Redirect { contacts: vec![to] });
        self.finish(EndedBy::Application, Outcome::from_sip(302, "Moved Temporarily", None, true), now);
        Ok(Reply::Accepted)
    }

    /// Leave and terminate: with one other party both end the call. One that rings has to be rejected instead.
    pub(super) fn hang_up(&mut self, now: Time) -> Result<Reply, Refusal> {
        let outcome = match self.state {
            CallState::Connected => Outcome::ended_by_application(),
            CallState::Answering | CallState::Connecting => Outcome::call_canceled(None),
            CallState::Ringing | CallState::Forwarding | CallState::Releasing | CallState::Ended => {
                return Err(self.wrong_state("hang up"));
            }
        };
        self.finish(EndedBy::Application, outcome, now);
        Ok(Reply::Accepted)
    }

    // ---- what the leg tells ----

    pub(super) fn on_leg_event(&mut self, event: LegEvent, now: Time) {
        if event.is_final() {
            self.remote.signalling = Signalling::Over;
        }
        if self.state == CallState::Releasing {
            return self.end_if_free(now);
        }
        match event {
            LegEvent::Ringing { status } => {
                self.note(now, Topic::Signalling, format!("the other side rings ({status})"))
            }
            LegEvent::EarlyMedia { media, proven } => {
                self.remote.proven |= proven;
                let silent = if self.remote.proven { "" } else { ": nothing is sent before the answer" };
                self.note(now, Topic::Signalling, format!("early media{silent}"));
                self.agree(media, now);
            }
            LegEvent::Accepted { media } => {
                if let Some(media) = media {
                    self.agree(media, now);
                }
                self.connect_if_ready(now);
            }
            LegEvent::Confirmed => {
                self.remote.confirmed = true;
                self.start_stream();
                self.connect_if_ready(now);
            }
            LegEvent::MediaChanged { media } => {
                let held = self.remote.on_hold();
                self.agree(media, now);
                if self.state == CallState::Connected {
                    if held != self.remote.on_hold() {
                        self.participants_updated(now);
                    }
                } else {
                    self.connect_if_ready(now);
                }
            }
            LegEvent::ReofferFailed { status } => {
                self.note(now, Topic::Signalling, format!("our re-INVITE was refused with {status}"));
            }
            LegEvent::Info { content_type, body } => {
                if let Some(callee) = self.callee_leg() {
                    self.pass_info(&content_type, &body, self.remote.sends_events(), callee, now);
                }
                self.on_info(&content_type, &body, now);
            }
            LegEvent::InfoAnswered { status } => {
                self.note(now, Topic::Signalling, format!("our INFO was answered with {status}"));
            }
            LegEvent::Redirected { to } => {
                let places: Vec<&str> = to.iter().map(|place| place.uri.as_str()).collect();
                self.note(now, Topic::Signalling, format!("redirected to {}", places.join(", ")));
            }
            LegEvent::Refer(progress) => self.on_refer(progress, now),
            LegEvent::Referred(referral) => self.on_referred(referral, now),
            LegEvent::FollowFailed { status, phrase } => {
                let text = format!("who we were referred to did not answer: {status} {phrase}");
                self.note(now, Topic::Signalling, text);
            }
            LegEvent::Replaced { by, .. } => self.on_replaced(&by, now),
            LegEvent::Failed { status, phrase, reason, local } => {
                let by = if local { EndedBy::Engine } else { EndedBy::Peer };
                self.finish(by, Outcome::from_sip(status, &phrase, reason.as_deref(), local), now);
            }
            LegEvent::Cancelled { reason } => {
                self.finish(EndedBy::Peer, Outcome::call_canceled(reason.as_deref()), now);
            }
            LegEvent::Ended { by, cause, reason } => self.on_leg_ended(by, cause, reason.as_deref(), now),
        }
    }

    fn on_leg_ended(&mut self, by: Side, cause: EndCause, reason: Option<&str>, now: Time) {
        let by_peer = by == Side::Remote;
        let outcome = if self.state == CallState::Connected {
            Outcome::from_end(by_peer, cause, reason)
        } else {
            Outcome::from_end_unconnected(cause, reason)
        };
        self.finish(if by_peer { EndedBy::Peer } else { EndedBy::Engine }, outcome, now);
    }

    pub(super) fn on_leg_refused(&mut self, error: &CommandError, now: Time) {
        self.note(now, Topic::Signalling, format!("the leg refused: {error}"));
        match error {
            // Its last event will not come any more.
            CommandError::NoSuchLeg => {
                let cause = EndCause::DialogLost(481);
                self.on_leg_event(LegEvent::Ended { by: Side::Local, cause, reason: None }, now);
            }
            // Its end follows by itself.
            CommandError::NotAcceptable => {}
            // Of what is said to a leg that stands only a REFER matters.
            CommandError::WrongState { .. } | CommandError::BadValue { .. } if self.state == CallState::Connected => {
                self.not_transferred(Outcome::from_sip(500, "Server Internal Error", None, true), now);
            }
            CommandError::WrongState { .. } | CommandError::BadValue { .. } => match self.state {
                // He cannot be given early media, and hears the callee after the answer.
                CallState::Forwarding => {}
                // The last word to the leg was not taken: hang up, which fits every state. Refused again, the
                // release timer ends the waiting.
                CallState::Releasing if self.remote.signalling == Signalling::Refused => self.hang_up_leg(None),
                // It crossed the leg's own end, or it will never be answered: either way it is over.
                CallState::Answering | CallState::Connecting => {
                    self.finish(EndedBy::Engine, Outcome::from_sip(500, "Server Internal Error", None, true), now);
                }
                _ => {}
            },
        }
    }

    // ---- what media tells ----

    pub(super) fn on_media_event(&mut self, event: MediaEvent, now: Time) {
        match event {
            MediaEvent::Opened { port, .. } => self.on_opened(port, now),
            MediaEvent::OpenFailed { reason, .. } => {
                // Otherwise it crossed the call's end; the answer to Close is waited for.
                if self.remote.line == Line::Opening {
                    self.note(now, Topic::Media, format!("no ports: {reason}"));
                    self.remote.line = Line::Closed;
                    self.not_opened(&reason, now);
                }
            }
            MediaEvent::Closed { statistics, .. } => self.on_closed(statistics, now),
            MediaEvent::Note { text, .. } => self.note(now, Topic::Media, text),
            // The rest crossed the call's end.
            _ if self.state == CallState::Releasing => {}
            MediaEvent::Tone { report, .. } => self.on_report(report, now),
            MediaEvent::PlayFinished { play, .. } => self.on_play_finished(play, now),
            MediaEvent::TonesSent { id, .. } => self.on_tones_sent(id, now),
            MediaEvent::TonesFailed { id, reason, .. } => self.on_tones_failed(id, &reason, now),
            MediaEvent::Silent { for_, .. } => self.on_silent(for_, now),
            // For the capture file, which is not the call's.
            MediaEvent::Tapped { .. } => {}
        }
    }

    fn on_opened(&mut self, port: u16, now: Time) {
        if self.remote.line != Line::Opening {
            return; // It crossed the call's end; Close is under way.
        }
        self.remote.line = Line::Open(port);
        self.note(now, Topic::Media, format!("RTP on port {port}"));
        if self.state == CallState::Forwarding {
            return self.place_callee();
        }
        self.state_deadline = None;
        match self.direction {
            // Not yet where a forwarding that came to nothing had it opened.
            CallDirection::Incoming if self.state == CallState::Ringing => {}
            CallDirection::Incoming => self.accept(port),
            CallDirection::Outgoing => {
                let media = self.local_media(port);
                self.remote.signalling = Signalling::Live;
                self.outputs.push_back(Output::Place(Box::new(Place {
                    leg: self.remote.leg,
                    target: self.target.clone(),
                    from: self.caller_id.clone().or_else(|| self.source.clone()),
                    display: self.source_display.clone(),
                    media,
                    ring_timeout: self.settings.ring_timeout,
                })));
            }
        }
    }

    fn accept(&mut self, port: u16) {
        let media = self.local_media(port);
        self.leg(LegCommand::Accept { media });
    }

    fn on_closed(&mut self, statistics: StreamStatistics, now: Time) {
        self.remote.line = Line::Closed;
        match self.state {
            // Nobody asked for it: the stream failed.
            CallState::Connected => {
                self.finish_as(EndedBy::Engine, Outcome::media_lost("The stream was closed."), Some(statistics), now);
            }
            CallState::Answering | CallState::Connecting => {
                self.finish_as(EndedBy::Engine, Outcome::no_media("The stream was closed."), Some(statistics), now);
            }
            CallState::Releasing => {
                if let Some(ending) = &mut self.ending {
                    ending.statistics = Some(statistics);
                }
                self.end_if_free(now);
            }
            CallState::Ringing | CallState::Forwarding => {
                self.refuse(503);
                self.finish_as(EndedBy::Engine, Outcome::no_media("The stream was closed."), Some(statistics), now);
            }
            CallState::Ended => {}
        }
    }

    /// There are no ports for a call that is about to begin.
    fn not_opened(&mut self, reason: &str, now: Time) {
        if self.direction == CallDirection::Incoming {
            self.refuse(503);
        }
        self.finish(EndedBy::Engine, Outcome::no_media(reason), now);
    }

    fn on_silent(&mut self, silence: std::time::Duration, now: Time) {
        if self.remote.on_hold() {
            return self.note(now, Topic::Media, "silence while on hold: as it should be");
        }
        if matches!(self.state, CallState::Ringing | CallState::Forwarding | CallState::Connecting) {
            return self.note(now, Topic::Media, "early media fell silent");
        }
        let detail = format!("Nothing was heard for {} seconds.", silence.as_secs());
        let outcome = match self.state {
            CallState::Connected => Outcome::media_lost(&detail),
            _ => Outcome::no_media(&detail),
        };
        self.finish(EndedBy::Engine, outcome, now);
    }

    // ---- moving on ----

    pub(super) fn open_media(&mut self, now: Time) {
        self.remote.line = Line::Opening;
        self.state_deadline = Some(now + self.settings.release_timeout);
        self.media(MediaCommand::Open { leg: self.remote.leg, beside: None });
    }

    fn agree(&mut self, media: NegotiatedMedia, now: Time) {
        if !matches!(self.remote.line, Line::Open(_)) {
            return self.note(now, Topic::Media, "media agreed, but there is no stream for it");
        }
        self.note(now, Topic::Media, format!("media agreed: {}", in_words(&media)));
        self.remote.agreed = Some(media);
        self.start_stream();
    }

    /// Audio flows once the three-way handshake is over, or the other side has proved to be where it says: an INVITE
    /// alone, whose source anybody can forge, must not send a stream to the address that it names.
    fn start_stream(&mut self) {
        if (self.remote.confirmed || self.remote.proven)
            && let Some(media) = self.remote.agreed.clone()
        {
            self.media(MediaCommand::Connect { leg: self.remote.leg, media });
        }
    }

    fn connect_if_ready(&mut self, now: Time) {
        let waiting = matches!(self.state, CallState::Answering | CallState::Connecting);
        if waiting && self.remote.confirmed && self.remote.agreed.is_some() {
            self.connected = Some(now);
            self.enter(CallState::Connected, now);
            self.event(EventKind::CallConnected, Outcome::success(), None, None, now);
            self.participants_updated(now);
        }
    }

    /// The call is over for the application: ends its operations, tells it, and lets leg and media go.
    pub(super) fn finish(&mut self, by: EndedBy, outcome: Outcome, now: Time) {
        self.finish_as(by, outcome, None, now);
    }

    pub(super) fn finish_as(&mut self, by: EndedBy, outcome: Outcome, statistics: Option<StreamStatistics>, now: Time) {
        let last = match self.state {
            CallState::Ringing | CallState::Forwarding => None,
            CallState::Answering => Some(EventKind::AnswerFailed),
            CallState::Connecting => Some(EventKind::CreateCallFailed),
            CallState::Connected => Some(EventKind::CallDisconnected),
            CallState::Releasing | CallState::Ended => return,
        };
        self.end_operations(by == EndedBy::Peer, now);
        let reason = match (self.state, by) {
            (CallState::Connected, EndedBy::Application) => Some(reason::q850(16)),
            (CallState::Connected, EndedBy::Engine) if outcome.sub_code == MEDIA_LOST => {
                Some("Q.850;cause=41;text=\"Media lost\"".to_owned())
            }
            (CallState::Connected, EndedBy::Engine) => Some("Q.850;cause=41;text=\"Service shutting down\"".to_owned()),
            // Nobody wants the answer any more: as when a caller hangs up.
            (CallState::Connecting | CallState::Answering, EndedBy::Application) => Some(reason::q850(16)),
            _ => None,
        };
        self.ending = Some(Ending { by, outcome: outcome.clone(), at: now, statistics });
        if let Some(last) = last {
            self.event(last, outcome, None, None, now);
        }
        self.enter(CallState::Releasing, now);
        self.state_deadline = Some(now + self.settings.release_timeout);
        match self.remote.signalling {
            Signalling::Idle => self.remote.signalling = Signalling::Over,
            Signalling::Live => self.hang_up_leg(reason),
            Signalling::Refused | Signalling::HungUp | Signalling::Over => {}
        }
        match self.remote.line {
            Line::Idle => self.remote.line = Line::Closed,
            Line::Opening | Line::Open(_) => {
                self.remote.line = Line::Closing;
                self.media(MediaCommand::Close { leg: self.remote.leg });
            }
            Line::Closing | Line::Closed => {}
        }
        self.let_callee_go();
        self.end_if_free(now);
    }

    pub(super) fn end_if_free(&mut self, now: Time) {
        if self.state == CallState::Releasing
            && self.remote.signalling == Signalling::Over
            && self.remote.line == Line::Closed
            && self.callee.as_ref().is_none_or(Callee::is_free)
        {
            self.end(now);
        }
    }

    fn end(&mut self, now: Time) {
        self.state_deadline = None;
        self.enter(CallState::Ended, now);
        if let Some(ending) = self.ending.take() {
            let record = self.record(ending, now);
            self.outputs.push_back(Output::Ended(Box::new(record)));
        }
    }

    pub(super) fn on_state_deadline(&mut self, now: Time) {
        match self.state {
            CallState::Ringing => {
                self.refuse(480);
                self.finish(EndedBy::Engine, Outcome::not_answered(), now);
            }
            CallState::Forwarding => self.not_forwarded(480, "not in time", now),
            CallState::Answering | CallState::Connecting => {
                self.note(now, Topic::Media, "media did not open in time");
                self.not_opened("The ports were not opened in time.", now);
            }
            CallState::Releasing => {
                let rest = match (self.remote.signalling, self.remote.line) {
                    (Signalling::Over, Line::Closed) => "the callee's leg",
                    (Signalling::Over, _) => "media",
                    (_, Line::Closed) => "a leg",
                    _ => "the leg and media",
                };
                self.note(now, Topic::State, format!("{rest} did not report its end in time: no longer waited for"));
                self.end(now);
            }
            CallState::Connected | CallState::Ended => {}
        }
    }

    /// Refuses an incoming leg that has not been accepted.
    pub(super) fn refuse(&mut self, status: u16) {
        self.remote.signalling = Signalling::Refused;
        self.leg(LegCommand::Refuse { status, phrase: None, retry_after: None });
    }

    fn hang_up_leg(&mut self, reason: Option<String>) {
        self.remote.signalling = Signalling::HungUp;
        self.leg(LegCommand::Hangup { reason });
    }

    pub(super) fn enter(&mut self, state: CallState, now: Time) {
        self.state = state;
        self.state_deadline = None;
        self.note_state(now);
    }
}
