//! The call itself: its data, the inputs it takes and the outputs it gives. Where each input leads is told in
//! `lifecycle` (states), `digits` (keys) and `operation` (what applications ask for).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::forward::Callee;
use super::operation::Operations;
use super::participants::{Remote, Signalling};
use super::{
    CallDirection, CallId, CallRecord, CallSettings, CallState, Clips, Command, Context, EndedBy, Event, EventKind,
    IncomingCall, LoadFailure, LoadId, Outcome, OutgoingCall, Output, Participant, Party, Refusal, Reply,
    TimelineEntry, Topic,
};
use crate::media::{MediaCommand, MediaEvent, StreamStatistics};
use crate::session::LegId;
use crate::sip::leg::{CommandError, LegCommand, LegEvent};
use crate::time::Time;

/// A call: one leg to a remote party, its stream, and the operations that an application runs on it.
///
/// Outputs wait in the call until they are polled; poll until there are none before saving it, since they are not
/// part of what is saved (nor are loaded clips: a call read back loads them again when it needs them).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    pub(super) id: CallId,
    pub(super) direction: CallDirection,
    pub(super) state: CallState,
    pub(super) settings: CallSettings,
    /// The called one, outgoing; who was called, incoming.
    pub(super) target: Party,
    /// Outgoing: the application's own identity. Incoming: who calls.
    pub(super) source: Option<Party>,
    pub(super) caller_id: Option<Party>,
    pub(super) source_display: String,
    pub(super) correlation_id: String,
    pub(super) server_call_id: String,
    pub(super) context: Context,
    pub(super) remote: Remote,
    /// Incoming: the one whom it went on to, where it did.
    #[serde(default)]
    pub(super) callee: Option<Callee>,
    pub(super) operations: Operations,
    /// When the state is given up: ringing, opening media, releasing.
    pub(super) state_deadline: Option<Time>,
    pub(super) started: Time,
    pub(super) connected: Option<Time>,
    pub(super) ending: Option<Ending>,
    /// The `sequence_number` of the last `ParticipantsUpdated`.
    pub(super) sequence_number: u32,
    /// The last number given to a load, play or sending of tones.
    pub(super) last_number: u64,
    /// Bounded by what one input can cause: some messages for each waiting operation.
    #[serde(skip)]
    pub(super) outputs: VecDeque<Output>,
}

/// Whom an input is about.
enum Whose {
    Remote,
    Callee,
}

/// How a call came to be over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ending {
    pub(super) by: EndedBy,
    pub(super) outcome: Outcome,
    pub(super) at: Time,
    pub(super) statistics: Option<StreamStatistics>,
}

impl Call {
    /// A call that arrived. It rings until a command decides, at most [`CallSettings::answer_timeout`].
    pub fn incoming(setup: IncomingCall, settings: CallSettings, now: Time) -> Call {
        let mut call = Call {
            id: setup.id,
            direction: CallDirection::Incoming,
            state: CallState::Ringing,
            state_deadline: Some(now + settings.answer_timeout),
            settings,
            target: setup.to,
            source: Some(setup.from.clone()),
            caller_id: None,
            source_display: setup.from_display,
            correlation_id: setup.correlation_id,
            server_call_id: setup.server_call_id,
            context: None,
            remote: Remote::new(setup.leg, setup.from, Signalling::Live),
            callee: None,
            operations: Operations::default(),
            started: now,
            connected: None,
            ending: None,
            sequence_number: 0,
            last_number: 0,
            outputs: VecDeque::new(),
        };
        call.note_state(now);
        call.leg(LegCommand::Ring);
        call
    }

    /// A call to be placed. Media is opened first, then [`Output::Place`] comes.
    pub fn outgoing(setup: OutgoingCall, settings: CallSettings, now: Time) -> Call {
        let mut call = Call {
            id: setup.id,
            direction: CallDirection::Outgoing,
            state: CallState::Connecting,
            state_deadline: None,
            settings,
            target: setup.target.clone(),
            source: setup.source,
            caller_id: setup.caller_id,
            source_display: setup.source_display,
            correlation_id: setup.correlation_id,
            server_call_id: setup.server_call_id,
            context: setup.context,
            remote: Remote::new(setup.leg, setup.target, Signalling::Idle),
            callee: None,
            operations: Operations::default(),
            started: now,
            connected: None,
            ending: None,
            sequence_number: 0,
            last_number: 0,
            outputs: VecDeque::new(),
        };
        call.note_state(now);
        call.open_media(now);
        call
    }

    /// Carries out what an application wishes, or refuses it and changes nothing.
    pub fn command(&mut self, command: Command, now: Time) -> Result<Reply, Refusal> {
        self.expire(now);
        // Nothing follows the end, not even a note.
        let over = self.state == CallState::Ended;
        if !over {
            self.note(now, Topic::Command, command.to_string());
        }
        let result = match command {
            Command::Answer { context } => self.answer(context, now),
            Command::Reject { reason } => self.reject(reason, now),
            Command::Redirect { to } => self.redirect(to, now),
            Command::Forward { to } => self.forward(to, now),
            Command::Leave | Command::Terminate => self.hang_up(now),
            Command::Play(play) => self.play(play, now),
            Command::Recognize(recognize) => self.recognize(recognize, now),
            Command::CancelMedia => self.cancel_media(now),
            Command::StartContinuousDtmf { party, context, callback } => {
                self.start_continuous_dtmf(party, context, callback, now)
            }
            Command::StopContinuousDtmf { party, context, callback } => {
                self.stop_continuous_dtmf(party, context, callback, now)
            }
            Command::Transfer(transfer) => self.transfer(transfer, now),
            Command::SendTones { party, tones, context, callback } => {
                self.send_tones(party, tones, context, callback, now)
            }
        };
        if let Err(refusal) = &result
            && !over
        {
            self.note(now, Topic::Command, format!("refused: {refusal}"));
        }
        result
    }

    /// What a leg tells. Of a leg that is not this call's, and after [`Output::Ended`]: nothing happens.
    pub fn leg_event(&mut self, leg: LegId, event: LegEvent, now: Time) {
        match self.whose(leg, now) {
            Some(Whose::Remote) => self.on_leg_event(event, now),
            Some(Whose::Callee) => self.on_callee_event(event, now),
            None => {}
        }
    }

    /// A leg did not take a [`LegCommand`] of this call.
    pub fn leg_refused(&mut self, leg: LegId, error: &CommandError, now: Time) {
        match self.whose(leg, now) {
            Some(Whose::Remote) => self.on_leg_refused(error, now),
            Some(Whose::Callee) => self.on_callee_refused(error, now),
            None => {}
        }
    }

    /// What media tells. Of a leg that is not this call's, and after [`Output::Ended`]: nothing happens.
    pub fn media_event(&mut self, event: MediaEvent, now: Time) {
        match self.whose(event.leg(), now) {
            Some(Whose::Remote) => self.on_media_event(event, now),
            Some(Whose::Callee) => self.on_callee_media(event, now),
            None => {}
        }
    }

    /// What became of an [`Output::Load`]: as many clips as there were sources, in order. What nobody waits for any
    /// more is dropped.
    pub fn loaded(&mut self, load: LoadId, result: Result<Clips, LoadFailure>, now: Time) {
        self.expire(now);
        self.on_loaded(load, result, now);
    }

    /// The engine is being drained: hangs up, or refuses a call that nobody has answered.
    pub fn shut_down(&mut self, now: Time) {
        self.expire(now);
        match self.state {
            CallState::Ringing | CallState::Forwarding => {
                self.refuse(503);
                self.finish(EndedBy::Engine, Outcome::from_sip(503, "Service Unavailable", None, true), now);
            }
            CallState::Answering | CallState::Connecting | CallState::Connected => {
                self.finish(EndedBy::Engine, Outcome::shut_down(), now);
            }
            CallState::Releasing | CallState::Ended => {}
        }
    }

    /// When [`Call::timeout`] is wanted; none: no timer runs.
    pub fn deadline(&self) -> Option<Time> {
        let timers = [self.state_deadline, self.operations.deadline(), self.turn_deadline()];
        timers.into_iter().flatten().min()
    }

    /// Lets every timer fire that is due at `now`. Too early: nothing happens.
    pub fn timeout(&mut self, now: Time) {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            self.fire(now);
        }
    }

    /// The next thing to carry out; none: nothing more until the next input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The call's name.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Who began it.
    pub fn direction(&self) -> CallDirection {
        self.direction
    }

    /// Where it stands.
    pub fn state(&self) -> CallState {
        self.state
    }

    /// Its leg.
    pub fn leg_id(&self) -> LegId {
        self.remote.leg
    }

    /// The party at the other end: the caller of an incoming call, the target of an outgoing one.
    pub fn remote_party(&self) -> &Party {
        &self.remote.party
    }

    /// Who is on the call: nobody before it is connected and after it is over.
    pub fn participants(&self) -> Vec<Participant> {
        let connected = self.state == CallState::Connected;
        let all = [Some(&self.remote), self.callee_remote()];
        all.into_iter().flatten().filter(|_| connected).map(Remote::participant).collect()
    }

    /// Who was called.
    pub fn targets(&self) -> std::slice::Iter<'_, Party> {
        std::slice::from_ref(&self.target).iter()
    }

    /// Incoming: the caller. Outgoing: the application's own identity, where it gave one.
    pub fn source(&self) -> Option<&Party> {
        self.source.as_ref()
    }

    /// Outgoing: the number that the called one sees.
    pub fn caller_id(&self) -> Option<&Party> {
        self.caller_id.as_ref()
    }

    /// The calling side's display name; empty: none.
    pub fn source_display(&self) -> &str {
        &self.source_display
    }

    /// Incoming and answered: for whom it was answered, the one who was called.
    pub fn answered_for(&self) -> Option<&Party> {
        let answered = self.direction == CallDirection::Incoming && self.connected.is_some();
        answered.then_some(&self.target)
    }

    /// The same in all events of this call.
    pub fn correlation_id(&self) -> &str {
        &self.correlation_id
    }

    /// Names the call towards features that outlive a connection.
    pub fn server_call_id(&self) -> &str {
        &self.server_call_id
    }

    /// The call's own context.
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// When the call began.
    pub fn started(&self) -> Time {
        self.started
    }

    /// When both ends talked; none: not (yet).
    pub fn connected(&self) -> Option<Time> {
        self.connected
    }

    /// How many plays and recognitions run or wait, how many sendings of tones, and on how many parties digits are
    /// reported continuously: for a metric, and for tests that watch for leaks.
    pub fn operations_under_way(&self) -> usize {
        self.operations.len()
    }

    /// Whose leg that is, once the timers that were due before the input have fired; none: it does not count.
    fn whose(&mut self, leg: LegId, now: Time) -> Option<Whose> {
        self.expire(now);
        match self.state {
            CallState::Ended => None,
            _ if leg == self.remote.leg => Some(Whose::Remote),
            _ => (self.callee_leg() == Some(leg)).then_some(Whose::Callee),
        }
    }

    /// Timers that were due before an input count first, whatever order the shell serves them in; at the same moment
    /// the input wins (a digit in the last instant is a digit).
    pub(super) fn expire(&mut self, now: Time) {
        while self.deadline().is_some_and(|deadline| deadline < now) {
            self.fire(now);
        }
    }

    /// When a key that waits for its turn is told; keys count only while both ends talk.
    fn turn_deadline(&self) -> Option<Time> {
        self.remote.arbiter.deadline().filter(|_| self.state == CallState::Connected)
    }

    /// Fires the timer that is due first; the caller has seen that one is due.
    fn fire(&mut self, now: Time) {
        if self.turn_deadline().is_some() {
            // A key that went down before an operation's time is up counts in it, though its turn be later.
            if self.turn_deadline().is_some_and(|at| at > now) {
                self.remote.arbiter.hurry();
            }
            self.on_turns(now);
        } else if self.state_deadline.is_some_and(|at| self.operations.deadline().is_none_or(|other| at <= other)) {
            self.state_deadline = None;
            self.on_state_deadline(now);
        } else {
            self.on_operation_deadline(now);
        }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn leg(&mut self, command: LegCommand) {
        self.outputs.push_back(Output::Leg(self.remote.leg, command));
    }

    pub(super) fn media(&mut self, command: MediaCommand) {
        self.outputs.push_back(Output::Media(command));
    }

    pub(super) fn note(&mut self, now: Time, topic: Topic, text: impl Into<String>) {
        self.outputs.push_back(Output::Note(TimelineEntry::new(now, topic, text).on(self.remote.leg)));
    }

    pub(super) fn note_state(&mut self, now: Time) {
        let text = match self.state {
            CallState::Ringing => format!("ringing: {} calls {}", self.remote.party.as_str(), self.target.as_str()),
            CallState::Connecting => format!("connecting to {}", self.target.as_str()),
            other => other.to_string(),
        };
        self.outputs.push_back(Output::Note(TimelineEntry::new(now, Topic::State, text)));
    }

    /// Tells the application; `context` and `callback` are the operation's, where it has one.
    pub(super) fn event(
        &mut self,
        kind: EventKind,
        outcome: Outcome,
        context: Context,
        callback: Option<String>,
        now: Time,
    ) {
        let text = format!("{} {}/{} {}", kind.name(), outcome.code, outcome.sub_code, outcome.message);
        self.note(now, Topic::Event, text.trim_end());
        // An operation that was given no context has none; the call's own goes with the call's own events.
        let context = if kind.is_of_the_call() { self.context.clone() } else { context };
        self.outputs.push_back(Output::Event(Box::new(Event { kind, outcome, context, callback })));
    }

    pub(super) fn wrong_state(&self, wish: &str) -> Refusal {
        Refusal::WrongState { state: self.state.to_string(), wish: wish.to_owned() }
    }

    /// Refuses what needs both ends to talk.
    pub(super) fn must_be_connected(&self, wish: &str) -> Result<(), Refusal> {
        if self.state == CallState::Connected { Ok(()) } else { Err(self.wrong_state(wish)) }
    }

    pub(super) fn record(&self, ending: Ending, now: Time) -> CallRecord {
        let from = match self.direction {
            CallDirection::Incoming => self.source.clone(),
            CallDirection::Outgoing => self.caller_id.clone().or_else(|| self.source.clone()),
        };
        CallRecord {
            id: self.id,
            direction: self.direction,
            from,
            to: self.target.clone(),
            correlation_id: self.correlation_id.clone(),
            server_call_id: self.server_call_id.clone(),
            context: self.context.clone(),
            started: self.started,
            connected: self.connected,
            over: ending.at,
            ended: now,
            ended_by: ending.by,
            outcome: ending.outcome,
            statistics: ending.statistics,
        }
    }
}
