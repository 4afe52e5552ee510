//! A call while it lives: one task that owns the pure [`Call`], feeds it what happens and carries out what it asks.
//!
//! Everything reaches it by message and leaves by message; it never waits for a webhook, a socket or the store. If it
//! fails, its leg and its media are freed and no other call notices.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::Hub;
use super::forwarding::{self, Reached, Unreached};
use super::metrics::count;
use super::outgoing::Route;
use super::signalling::Signal;
use super::timeline::Timeline;
use crate::api::calling::events::CallNames;
use crate::api::service::{CallError, CallProperties, CallRecord, ConnectionState, Timeline as ShownTimeline};
use crate::call::{
    Call, CallState, Clips, Command, Event, EventKind, LoadFailure, LoadId, Output, Participant, Party, Place, Refusal,
    RejectReason, Reply, TimelineEntry, Topic,
};
use crate::flow::AnswerFlow;
use crate::media::{Clip, MediaCommand, MediaEvent};
use crate::rules::Action;
use crate::session::{Codec, LegId};
use crate::sip::access::Identity;
use crate::sip::leg::{CommandError, LegCommand, LegEvent};
use crate::time::Time;
use crate::trunk::route::Asker;

/// Messages that may wait for a call. A full inbox means that the task is stuck or flooded: the sender drops the
/// message and counts a failure; media and signalling never wait for a call.
pub const INBOX: usize = 1024;

/// What a call's task is told.
pub enum CallMessage {
    /// An application's wish.
    Command(Command, oneshot::Sender<Result<Reply, CallError>>),
    /// A remote application takes the incoming call, on these terms.
    Take(Box<Terms>, oneshot::Sender<Result<CallProperties, CallError>>),
    /// From signalling.
    Leg(LegId, LegEvent),
    /// Signalling could not carry out a leg command.
    LegRefused(LegId, CommandError),
    /// Who the call is to go on to was found, or not.
    Reached(Result<Box<Reached>, Unreached>),
    /// For the timeline.
    Note(TimelineEntry),
    /// From the media threads.
    Media(MediaEvent),
    /// Prompts are ready, or not.
    Loaded(LoadId, Result<Clips, LoadFailure>),
    /// What the API shows of the call.
    Properties(oneshot::Sender<CallProperties>),
    /// Who is on it.
    Participants(oneshot::Sender<Vec<Participant>>),
    /// What an operator sees.
    Record(oneshot::Sender<CallRecord>),
    /// What happened so far.
    Timeline(oneshot::Sender<ShownTimeline>),
    /// The event that tells of the incoming call cannot be delivered.
    NotAnnounced,
    /// The engine stops: hang up.
    ShutDown,
}

/// The terms on which a remote application runs a call.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Where events go.
    pub callback: String,
    /// Comes back in events without a context of their own.
    pub context: Option<String>,
    /// The application's name for itself.
    pub answered_by: Option<Party>,
    /// Echoed in events.
    pub api_version: String,
    /// Its RTP is to be kept.
    pub capture_rtp: bool,
}

/// Who runs a call.
pub enum Application {
    /// Nobody yet: an application has been told of the incoming call and may answer.
    Awaited,
    /// A remote application, by webhooks.
    Remote(Terms),
    /// A flow of the engine's own.
    Local(AnswerFlow),
}

/// What is known of a call from its beginning.
#[derive(Clone, Debug)]
pub struct About {
    /// The call connection id.
    pub id: String,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// Its leg.
    pub leg: LegId,
    /// Who calls.
    pub from: Party,
    /// Who is called.
    pub to: Party,
    /// Names the call towards features that outlive a connection.
    pub server_call_id: String,
    /// Ties together what belongs to one call.
    pub correlation_id: String,
    /// The number shown to the callee.
    pub caller_id: Option<String>,
    /// The name shown to the callee.
    pub display_name: Option<String>,
    /// The calling application's name for itself (outgoing), or the caller.
    pub source: Option<Party>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// When it began.
    pub started: Time,
    /// Who is at the other end, as far as it is proved (incoming) or chosen (outgoing).
    pub peer: Identity,
    /// Headers for the callee: the application's own (outgoing), or the caller's for whom the call goes on to.
    pub headers: Vec<(String, String)>,
    /// The way to the callee (outgoing).
    pub route: Option<Route>,
    /// The caller is not to be shown to whom the call goes on to (incoming).
    pub private: bool,
    /// How many more hands the call may go through (incoming).
    pub hops: u8,
}

/// What else a call starts with.
pub struct Beginning {
    /// Who runs it.
    pub application: Application,
    /// Commands to give at once (a rule's own reject or redirect).
    pub first: Vec<Command>,
    /// Timeline entries from before the call was born (the rules' verdict).
    pub notes: Vec<TimelineEntry>,
    /// What is done when nobody has answered by then.
    pub fallback: Option<(Time, Action)>,
    /// Its place among the calls of the trunk that it came in by.
    pub permit: Option<super::trunks::Permit>,
}

/// Starts the task; it ends with the call. The call must be registered under `inbox`'s sender already.
pub fn spawn(hub: Arc<Hub>, call: Call, about: About, beginning: Beginning, inbox: mpsc::Receiver<CallMessage>) {
    // An error's span: whatever level is logged, a call's lines name it.
    let span = tracing::error_span!("call", id = %about.id);
    let timeline = Timeline::new(hub.config.timeline_entries);
    let guard = Release { hub: Arc::clone(&hub), id: about.id.clone(), legs: vec![about.leg], ended: false };
    let mut running = RunningCall {
        hub,
        call,
        about,
        application: beginning.application,
        fallback: beginning.fallback,
        wishes: beginning.first.into(),
        timeline,
        connected: None,
        guard,
        on_behalf: None,
        callee: None,
        placed: false,
        codec: None,
        playing: Vec::new(),
    };
    let (notes, permit) = (beginning.notes, beginning.permit);
    super::archive::begin(&running.hub, &running.record(), running.about.started);
    tokio::spawn(
        async move {
            notes.into_iter().for_each(|note| running.note(note));
            running.run(inbox).await;
            drop(permit);
        }
        .instrument(span),
    );
}

struct RunningCall {
    hub: Arc<Hub>,
    call: Call,
    about: About,
    application: Application,
    fallback: Option<(Time, Action)>,
    /// Commands that a rule or a local flow gives, in order.
    wishes: VecDeque<Command>,
    timeline: Timeline,
    connected: Option<Time>,
    guard: Release,
    /// Who had the call forwarded, where it was not a rule.
    on_behalf: Option<Asker>,
    /// The one whom the call goes on to.
    callee: Option<(Route, Identity)>,
    /// Whether a leg command has been given already.
    placed: bool,
    /// The codec that the leg is sent, once there is one.
    codec: Option<Codec>,
    /// What plays, or played last.
    playing: Vec<Arc<Clip>>,
}

impl RunningCall {
    async fn run(mut self, mut inbox: mpsc::Receiver<CallMessage>) {
        self.carry_out();
        while !self.guard.ended {
            let forwarded = self.call.state() == CallState::Forwarding;
            let fallback = self.fallback.as_ref().filter(|_| !forwarded).map(|(at, _)| *at);
            let deadline = [self.call.deadline(), fallback].into_iter().flatten().min();
            let alarm = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(self.hub.clock.instant(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => self.call.shut_down(self.hub.clock.now()),
                },
                () = alarm => self.alarm(),
            }
            self.carry_out();
        }
        // What reached the call while it ended still belongs onto its timeline.
        inbox.close();
        while let Ok(message) = inbox.try_recv() {
            match message {
                CallMessage::Note(entry) => {
                    super::archive::add_late(&self.hub, &self.about.id, &entry);
                }
                // Reserved in vain.
                CallMessage::Reached(Ok(reached)) => self.guard.legs.push(reached.leg),
                _ => {}
            }
        }
    }

    fn alarm(&mut self) {
        let now = self.hub.clock.now();
        // A call that goes on to somebody falls back when he is not reached.
        let forwarded = self.call.state() == CallState::Forwarding;
        if let Some((at, action)) = self.fallback.take() {
            if at <= now && !forwarded {
                self.fall_back(action, now);
            } else {
                self.fallback = Some((at, action));
            }
        }
        self.call.timeout(now);
    }

    /// Nobody answered: what the rule wants then.
    fn fall_back(&mut self, action: Action, now: Time) {
        if self.call.state() != CallState::Ringing {
            return;
        }
        self.note(TimelineEntry::new(now, Topic::Rule, format!("nobody answered: on failure, {}", action.kind())));
        match super::incoming::local_application(action, &self.about.from) {
            Ok((Some(flow), first)) => {
                self.application = Application::Local(flow);
                self.wishes.extend(first);
            }
            Ok((None, first)) => self.wishes.extend(first),
            Err(problem) => {
                self.note(TimelineEntry::new(now, Topic::Rule, problem));
                self.wishes.push_back(Command::Reject { reason: RejectReason::Unavailable });
            }
        }
    }

    fn take(&mut self, message: CallMessage) {
        let now = self.hub.clock.now();
        match message {
            CallMessage::Command(command, reply) => {
                if matches!(command, Command::Forward { .. }) {
                    self.on_behalf = Some(Asker::Application);
                }
                let answer = self.command(command, now).map_err(CallError::from);
                let _ = reply.send(answer);
            }
            CallMessage::Take(terms, reply) => {
                let answer = self.answer_for(*terms, now);
                let _ = reply.send(answer);
            }
            CallMessage::Leg(leg, event) => {
                if let LegEvent::Replaced { identity, .. } = &event {
                    let who = match &mut self.callee {
                        Some((_, who)) if leg != self.about.leg => who,
                        _ => &mut self.about.peer,
                    };
                    who.clone_from(identity);
                    self.call.let_refer(leg, super::referral::may_refer(&self.hub, identity));
                }
                self.call.leg_event(leg, event, now);
            }
            CallMessage::LegRefused(leg, error) => self.call.leg_refused(leg, &error, now),
            CallMessage::Reached(found) => self.reached(found, now),
            CallMessage::Note(entry) => self.note(entry),
            CallMessage::Media(MediaEvent::Tapped { packets, .. }) => {
                if !self.hub.captures.append(&self.about.id, packets) {
                    count(&self.hub.metrics.failures, "capture");
                }
            }
            CallMessage::Media(event) => self.call.media_event(event, now),
            CallMessage::Loaded(load, result) => {
                count(&self.hub.metrics.prompts, if result.is_ok() { "ok" } else { "failed" });
                self.call.loaded(load, result, now);
            }
            CallMessage::Properties(reply) => {
                let _ = reply.send(self.properties());
            }
            CallMessage::Participants(reply) => {
                let _ = reply.send(self.call.participants());
            }
            CallMessage::Record(reply) => {
                let _ = reply.send(self.record());
            }
            CallMessage::Timeline(reply) => {
                let shown = super::archive::shown_timeline(&self.about.id, &self.timeline);
                let _ = reply.send(shown);
            }
            CallMessage::NotAnnounced => {
                let unavailable = Action::Reject { reason: crate::rules::RejectReason::Unavailable };
                let action = self.fallback.take().map_or(unavailable, |(_, action)| action);
                self.fall_back(action, now);
            }
            CallMessage::ShutDown => self.call.shut_down(now),
        }
    }

    /// A remote application takes the incoming call.
    fn answer_for(&mut self, terms: Terms, now: Time) -> Result<CallProperties, CallError> {
        if !matches!(self.application, Application::Awaited) {
            return Err(CallError::BadToken("the incomingCallContext has been used already".into()));
        }
        let context = terms.context.clone();
        self.application = Application::Remote(terms);
        match self.command(Command::Answer { context }, now) {
            Ok(_) => {
                self.fallback = None;
                Ok(self.properties())
            }
            Err(refusal) => {
                self.application = Application::Awaited;
                Err(match refusal {
                    Refusal::WrongState { .. } => CallError::NoSuchCall,
                    other => other.into(),
                })
            }
        }
    }

    fn command(&mut self, command: Command, now: Time) -> Result<Reply, Refusal> {
        let ends_ringing = matches!(command, Command::Reject { .. } | Command::Redirect { .. });
        let result = self.call.command(command, now);
        if ends_ringing && result.is_ok() {
            self.fallback = None;
        }
        result
    }

    /// The way to the one whom the call goes on to.
    fn reached(&mut self, found: Result<Box<Reached>, Unreached>, now: Time) {
        match found {
            Ok(reached) => {
                let Reached { leg, route, who } = *reached;
                self.guard.legs.push(leg);
                let may_refer = super::referral::may_refer(&self.hub, &who);
                self.callee = Some((route, who));
                self.call.reached(leg, may_refer, now);
            }
            Err(Unreached { status, problem }) => self.call.not_reached(status, &problem, now),
        }
    }

    /// The way that a leg of the call's takes; the callee's address may be of another network than the caller's.
    fn way_of(&self, mut place: Place) -> (Option<Route>, Place) {
        let Some((route, _)) = self.callee.as_ref().filter(|_| place.leg != self.about.leg) else {
            return (self.about.route.clone(), place);
        };
        if let Some(first) = route.leads.first().and_then(|lead| lead.round.branches.first()) {
            place.media.address = self.hub.settings_towards(first.destination.ip()).advertised;
        }
        // The caller's policy is not his.
        place.media.srtp = self.hub.call_settings.srtp;
        (Some(route.clone()), place)
    }

    /// Carries out what the call asks, until it asks nothing more.
    fn carry_out(&mut self) {
        loop {
            if let Some(output) = self.call.poll() {
                self.output(output);
            } else if let Some(wish) = self.wishes.pop_front() {
                let now = self.hub.clock.now();
                if self.command(wish, now).is_err() {
                    self.end_what_cannot_go_on(now);
                }
            } else {
                return;
            }
        }
    }

    /// A rule's or flow's command was refused, as the timeline says. Nobody else would end the call, and a caller is
    /// not left in silence.
    fn end_what_cannot_go_on(&mut self, now: Time) {
        self.wishes.clear();
        let last = match self.call.state() {
            CallState::Ringing => Command::Reject { reason: RejectReason::Unavailable },
            _ => Command::Terminate,
        };
        // Refused only where the call is over already.
        let _ = self.command(last, now);
    }

    fn output(&mut self, output: Output) {
        match output {
            // A rule that rejects or redirects does so without ringing first; one that forwards rings when the callee does.
            Output::Leg(_, LegCommand::Ring)
                if !self.placed
                    && matches!(
                        self.wishes.front(),
                        Some(
                            Command::Reject { .. }
                                | Command::Redirect { .. }
                                | Command::Forward { .. }
                                | Command::Answer { .. }
                        )
                    ) => {}
            Output::Leg(leg, command) => {
                self.placed = true;
                self.hub.signal(Signal::Command(leg, command));
            }
            Output::Place(place) => {
                let leg = place.leg;
                let (route, place) = self.way_of(*place);
                let entries = super::outgoing::place(&self.hub, &self.about, route, place);
                entries.into_iter().for_each(|entry| self.note(entry.on(leg)));
            }
            Output::Reach { to } => {
                let asker = self.on_behalf.take().unwrap_or_else(|| forwarding::asker(&self.about.peer));
                forwarding::reach(&self.hub, &self.about, asker, to);
            }
            Output::NotForwarded { status } => {
                self.callee = None;
                let now = self.hub.clock.now();
                match self.fallback.take() {
                    Some((_, action)) => self.fall_back(action, now),
                    None => self.wishes.push_back(Command::Reject { reason: RejectReason::As(status) }),
                }
            }
            Output::Follow(leg, referral) => {
                let callee = self.callee.as_ref().filter(|_| leg != self.about.leg);
                let who = callee.map_or(&self.about.peer, |(_, who)| who).clone();
                super::referral::follow(&self.hub, &self.about, who, leg, *referral);
            }
            Output::Media(command) => self.media(command),
            Output::Load { load, sources } => self.load(load, sources),
            Output::Event(event) => self.tell(*event),
            Output::Note(entry) => self.note(entry),
            Output::Ended(record) => {
                count(&self.hub.metrics.calls_ended, record.ended_by.name());
                if let Some(statistics) = &record.statistics {
                    self.hub.metrics.rate_call(statistics);
                }
                tracing::info!(outcome = %record.outcome.message, "call ended");
                let shown = self.ended_record(&record);
                super::archive::keep(&self.hub, shown, self.about.started, &self.timeline, record.ended);
                self.guard.ended = true;
            }
        }
    }

    /// Sees to it that what plays is encoded for the codec in use, off the media thread and off this task. Until it is,
    /// the media thread encodes live.
    fn encode_ahead(&mut self, command: &MediaCommand) {
        match command {
            MediaCommand::Connect { leg, media } if *leg == self.about.leg => self.codec = Some(media.codec),
            MediaCommand::Play { clips, .. } => self.playing.clone_from(clips),
            _ => return,
        }
        let Some(codec) = self.codec else { return };
        let missing: Vec<_> = self.playing.iter().filter(|clip| clip.ready(codec).is_none()).cloned().collect();
        if !missing.is_empty() {
            tokio::task::spawn_blocking(move || missing.iter().for_each(|clip| drop(clip.encoded(codec).clone())));
        }
    }

    fn media(&mut self, command: MediaCommand) {
        self.encode_ahead(&command);
        let leg = command.leg();
        let opens = matches!(command, MediaCommand::Open { .. });
        let failed = match &command {
            MediaCommand::Open { .. } => {
                Some(MediaEvent::OpenFailed { leg, reason: "the media thread is too busy".into() })
            }
            _ => None,
        };
        // All legs of a call are on one thread: that of its first.
        if let Err(error) = self.hub.media.send(self.about.leg.0, command) {
            count(&self.hub.metrics.failures, "media");
            tracing::warn!(%error, "media command not taken");
            if let Some(event) = failed {
                let now = self.hub.clock.now();
                self.call.media_event(event, now);
            }
        } else if opens && self.captures_rtp() {
            self.media(MediaCommand::Tap { leg, limit: self.hub.config.capture_bytes });
        }
    }

    fn captures_rtp(&self) -> bool {
        self.hub.config.capture_rtp || matches!(&self.application, Application::Remote(terms) if terms.capture_rtp)
    }

    fn load(&self, load: LoadId, sources: Vec<String>) {
        let hub = Arc::clone(&self.hub);
        let (id, codec) = (self.about.id.clone(), self.codec);
        tokio::spawn(
            async move {
                let result = super::prompts::load_all(&hub.prompts, &sources, codec).await;
                hub.calls.tell(&hub, &id, CallMessage::Loaded(load, result));
            }
            .in_current_span(),
        );
    }

    /// Tells the application what happened.
    fn tell(&mut self, event: Event) {
        let now = self.hub.clock.now();
        match event.kind {
            EventKind::CallConnected => self.connected = Some(now),
            EventKind::CallDisconnected => {
                self.fallback = None;
                // What a rule or flow still wanted has no call any more to be done on.
                self.wishes.clear();
            }
            _ => {}
        }
        match &self.application {
            Application::Awaited => {}
            Application::Local(flow) => self.wishes.extend(flow.next(&event.kind)),
            Application::Remote(terms) => {
                let names = CallNames {
                    call_connection_id: &self.about.id,
                    server_call_id: &self.about.server_call_id,
                    correlation_id: &self.about.correlation_id,
                    api_version: &terms.api_version,
                };
                let url = event.callback.clone().unwrap_or_else(|| terms.callback.clone());
                if let Err(problem) = super::deliveries::post_callback(&self.hub, url, &names, &event) {
                    self.note(problem);
                }
            }
        }
    }

    fn note(&mut self, entry: TimelineEntry) {
        tracing::debug!(topic = %entry.topic, "{}", entry.text);
        if entry.topic == Topic::Dtmf {
            let word = ["pressed", "dropped", "discarded"].into_iter().find(|word| entry.text.contains(word));
            count(&self.hub.metrics.digits, word.unwrap_or("other"));
        }
        self.timeline.push(entry);
    }

    fn state(&self) -> ConnectionState {
        match self.call.state() {
            CallState::Ringing | CallState::Forwarding | CallState::Answering | CallState::Connecting => {
                ConnectionState::Connecting
            }
            CallState::Connected => ConnectionState::Connected,
            CallState::Releasing => ConnectionState::Disconnecting,
            CallState::Ended => ConnectionState::Disconnected,
        }
    }

    fn properties(&self) -> CallProperties {
        let about = &self.about;
        let (callback, answered_by) = match &self.application {
            Application::Remote(terms) => (terms.callback.clone(), terms.answered_by.clone()),
            _ => (String::new(), None),
        };
        let answered_for = match (&about.to, about.direction) {
            (Party::Phone(number), "inbound") => Some(number.clone()),
            _ => None,
        };
        CallProperties {
            id: about.id.clone(),
            server_call_id: about.server_call_id.clone(),
            correlation_id: about.correlation_id.clone(),
            targets: vec![about.to.clone()],
            state: self.state(),
            callback,
            caller_id: about.caller_id.clone(),
            display_name: about.display_name.clone(),
            source: about.source.clone(),
            answered_by,
            answered_for,
        }
    }

    fn record(&self) -> CallRecord {
        let about = &self.about;
        CallRecord {
            id: about.id.clone(),
            direction: about.direction.to_owned(),
            state: self.state(),
            from: about.from.as_str().to_owned(),
            to: about.to.as_str().to_owned(),
            server_call_id: about.server_call_id.clone(),
            correlation_id: about.correlation_id.clone(),
            rule: about.rule.clone(),
            started_at: about.started.to_rfc3339(),
            connected_at: self.connected.map(Time::to_rfc3339),
            ended_at: None,
            end_reason: None,
            media: None,
        }
    }

    fn ended_record(&self, record: &crate::call::CallRecord) -> CallRecord {
        CallRecord {
            state: ConnectionState::Disconnected,
            connected_at: record.connected.map(Time::to_rfc3339),
            ended_at: Some(record.over.to_rfc3339()),
            end_reason: Some(record.outcome.message.clone()),
            media: record.statistics.as_ref().map(super::archive::media_figures),
            ..self.record()
        }
    }
}

/// Takes the call out of the tables however its task ends; if it ended by a fault, frees its leg and media as well.
struct Release {
    hub: Arc<Hub>,
    id: String,
    /// The first is the one whose thread media are on.
    legs: Vec<LegId>,
    ended: bool,
}

impl Drop for Release {
    fn drop(&mut self) {
        if !self.ended {
            count(&self.hub.metrics.failures, "call task");
            tracing::error!(id = %self.id, "a call's task failed; its leg and media are freed");
            let thread = self.legs.first().map_or(0, |leg| leg.0);
            for leg in self.legs.iter().copied() {
                self.hub.signal(Signal::Command(leg, LegCommand::Hangup { reason: None }));
                let _ = self.hub.media.send(thread, MediaCommand::Close { leg });
            }
        }
        // Its owner's entry goes with whoever is last, the stack or the call.
        self.legs.iter().for_each(|leg| self.hub.signal(Signal::Released(*leg)));
        self.hub.calls.remove(&self.id);
        self.hub.metrics.calls_active.dec();
    }
}
