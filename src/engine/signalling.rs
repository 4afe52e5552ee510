//! The task that owns the SIP stack: it carries messages between transports, the user agent and the calls' tasks.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Hub;
use super::following::Follows;
use super::hunting::{Doing, HuntWish, Hunts};
use super::metrics::count;
use super::registry::{note, offer};
use super::running_call::CallMessage;
use super::trunks::Permit;
use crate::call::{TimelineEntry, Topic};
use crate::media::MediaEvent;
use crate::session::LegId;
use crate::sip::access::Policy;
use crate::sip::agent::{AgentOutput, Flow, OutgoingRequest, RequestId, RequestOutcome, UserAgent};
use crate::sip::hunt::{Attempt, Round};
use crate::sip::leg::{Invitation, LegCommand, LegEvent};
use crate::sip::registrar::Binding;
use crate::sip::transport::{Inbound, Transports};

/// Signals that may wait for the task. When full, a signal is dropped and counted; the calls' own timers free them.
pub const QUEUE: usize = 65_536;

/// Inputs taken in one go before the stack's outputs are carried out.
const BATCH: usize = 64;

/// What the signalling task is told from inside.
#[expect(clippy::large_enum_variant, reason = "what is large is rare: a box gains nothing")]
pub enum Signal {
    /// For a leg.
    Command(LegId, LegCommand),
    /// Send this request outside of any dialog; its outcome goes there.
    Request(Box<OutgoingRequest>, oneshot::Sender<RequestOutcome>),
    /// Find somebody who answers for this leg.
    Hunt(LegId, Box<HuntWish>),
    /// This leg follows the REFER that it waits with, perhaps to this user of ours.
    Follow(LegId, Box<HuntWish>, Option<String>),
    /// Where a redirection of a hunt's attempt leads.
    Resolved(LegId, Attempt, Vec<Round>),
    /// Reserve a leg for the call with this id, whose events go to this inbox.
    NewLeg(String, mpsc::Sender<CallMessage>, oneshot::Sender<LegId>),
    /// From the media threads, for the call that has the leg.
    Media(MediaEvent),
    /// The call that had the leg is gone: nobody listens to it any more.
    Released(LegId),
    /// What this user has registered.
    Registrations(String, oneshot::Sender<Vec<Binding>>),
    /// Remove the registrations of this user with this id, or all; whether there were any.
    Unregister(String, Option<String>, oneshot::Sender<bool>),
    /// Who is known from now on.
    Policy(Arc<Policy>),
    /// A wish about bans.
    Bans(super::bans::BanWish),
    /// Take no new calls.
    Drain,
}

/// The task's state.
pub struct Signalling {
    hub: Arc<Hub>,
    pub(super) agent: UserAgent,
    transports: Transports,
    /// Who owns each leg: at most one entry a leg, removed when both the stack and media have let go.
    legs: HashMap<LegId, Owner>,
    /// Who waits for the outcomes of requests outside of dialogs: as many as the stack has under way.
    requests: HashMap<RequestId, oneshot::Sender<RequestOutcome>>,
    /// Calls' legs that several of the stack's stand for.
    pub(super) hunts: Hunts,
    /// Those of them that look for somebody whom a peer referred us to.
    pub(super) follows: Follows,
    /// Messages of legs whose call is not born yet: emptied after each batch of outputs.
    early: Vec<(LegId, TimelineEntry)>,
}

struct Owner {
    /// The call's id.
    call: String,
    inbox: mpsc::Sender<CallMessage>,
    /// The stack may still tell of the leg.
    in_stack: bool,
    /// Media may still tell of the leg, or the call that would listen is not gone.
    in_media: bool,
    /// The place on a trunk of somebody whom it followed a REFER to.
    permit: Option<Permit>,
}

impl Signalling {
    /// Around a stack and its transports.
    pub fn new(hub: Arc<Hub>, agent: UserAgent, transports: Transports) -> Self {
        Signalling {
            hub,
            agent,
            transports,
            legs: HashMap::new(),
            requests: HashMap::new(),
            hunts: Hunts::default(),
            follows: Follows::default(),
            early: Vec::new(),
        }
    }

    /// Runs until the signals' senders are gone.
    pub async fn run(mut self, mut inbound: mpsc::Receiver<Inbound>, mut signals: mpsc::Receiver<Signal>) {
        loop {
            let deadline = self.agent.deadline().into_iter().chain(self.hunts.deadline()).min();
            let clock = self.hub.clock;
            let alarm = async move {
                match deadline {
                    Some(at) => tokio::time::sleep_until(clock.instant(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                signal = signals.recv() => {
                    let Some(signal) = signal else { return };
                    self.signal(signal);
                    for _ in 1..BATCH {
                        let Ok(signal) = signals.try_recv() else { break };
                        self.signal(signal);
                    }
                }
                arrived = inbound.recv() => {
                    let Some(arrived) = arrived else { return };
                    self.arrived(arrived);
                    for _ in 1..BATCH {
                        let Ok(arrived) = inbound.try_recv() else { break };
                        self.arrived(arrived);
                    }
                }
                () = alarm => {
                    let now = self.hub.clock.now();
                    self.guarded(|agent| agent.timeout(now));
                    for leg in self.hunts.timeout(now) {
                        self.hunt_on(leg);
                    }
                }
            }
            self.carry_out();
        }
    }

    /// Runs the stack so that a fault in it costs one message, not the engine.
    pub(super) fn guarded<T>(&mut self, work: impl FnOnce(&mut UserAgent) -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(|| work(&mut self.agent)));
        if done.is_err() {
            count(&self.hub.metrics.failures, "sip stack");
            tracing::error!("the SIP stack failed on one input; it goes on with the next");
        }
        done.ok()
    }

    fn arrived(&mut self, inbound: Inbound) {
        let now = self.hub.clock.now();
        match inbound {
            Inbound::Message { peer, bytes } => {
                self.guarded(|agent| agent.receive(peer, &bytes, now));
            }
            Inbound::Lost { peer } => {
                self.guarded(|agent| agent.connection_lost(&peer, now));
                if peer.connection.is_some() {
                    let trunks = self.hub.trunks.load();
                    self.hub.random(|random| trunks.connection_lost(peer.remote, now, random));
                }
            }
            Inbound::Identified { peer, names } => {
                if let Some(connection) = peer.connection {
                    self.guarded(|agent| agent.identified(connection, names));
                }
            }
        }
        self.carry_out();
    }

    fn signal(&mut self, signal: Signal) {
        let now = self.hub.clock.now();
        match signal {
            Signal::Command(leg, mut command) => {
                if let LegCommand::Refer(wish) = &mut command {
                    wish.replaces = wish.replaces.map(|other| self.hunts.stack_leg(other));
                }
                if let Some(done) = self.hunts.command(leg, &command, now) {
                    if let Err(error) = done {
                        self.tell(leg, CallMessage::LegRefused(leg, error));
                    }
                    return self.hunt_on(leg);
                }
                if let Some(Err(error)) = self.guarded(|agent| agent.command(leg, command, now)) {
                    self.tell(leg, CallMessage::LegRefused(leg, error));
                }
            }
            Signal::Request(request, reply) => {
                if let Some(id) = self.guarded(|agent| agent.request(*request, now)) {
                    self.requests.insert(id, reply);
                }
            }
            Signal::Hunt(leg, wish) => {
                if let Some(owner) = self.legs.get_mut(&leg) {
                    owner.in_stack = true;
                }
                self.hunts.begin(leg, *wish, now);
                self.hunt_on(leg);
            }
            Signal::Follow(leg, wish, user) => self.follow(leg, *wish, user, now),
            Signal::Resolved(leg, attempt, rounds) => {
                self.hunts.resolved(leg, attempt, rounds, now);
                self.hunt_on(leg);
            }
            Signal::NewLeg(call, inbox, reply) => {
                let leg = self.agent.new_leg();
                // The stack hears of it when it is placed, which may never be.
                self.legs.insert(leg, Owner { call, inbox, in_stack: false, in_media: true, permit: None });
                if reply.send(leg).is_err() {
                    self.legs.remove(&leg);
                }
            }
            Signal::Media(event) => {
                let leg = event.leg();
                let last = matches!(event, MediaEvent::Closed { .. });
                self.tell(leg, CallMessage::Media(event));
                if last {
                    self.let_go(leg, |owner| owner.in_media = false);
                }
            }
            Signal::Released(leg) => self.let_go(leg, |owner| owner.in_media = false),
            Signal::Policy(policy) => self.agent.set_policy(policy),
            Signal::Bans(wish) => super::bans::grant(wish, &mut self.agent, self.transports.gate(), now),
            // Who no longer waits needs no answer.
            Signal::Registrations(user, reply) => drop(reply.send(self.agent.registrations(&user).to_vec())),
            Signal::Unregister(user, id, reply) => {
                let _ = reply.send(self.agent.remove_registrations(&user, id.as_deref()));
            }
            Signal::Drain => self.agent.set_draining(true),
        }
    }

    pub(super) fn tell(&self, leg: LegId, message: CallMessage) {
        if let Some(owner) = self.legs.get(&leg) {
            offer(&self.hub, &owner.inbox, message);
        }
    }

    /// A call's leg keeps the place on a trunk of the leg of a hunt's that goes on in its stead.
    pub(super) fn hold_permit(&mut self, call_leg: LegId, attempt: LegId) {
        let permit = self.hunts.take_permit(attempt);
        if let Some(owner) = self.legs.get_mut(&call_leg) {
            owner.permit = permit;
        }
    }

    /// Tells a call of its leg. One that is over takes no place on a trunk, though the stack keeps it for a while.
    fn tell_event(&mut self, leg: LegId, event: LegEvent) {
        if event.is_final()
            && let Some(owner) = self.legs.get_mut(&leg)
        {
            owner.permit = None;
        }
        self.tell(leg, CallMessage::Leg(leg, event));
    }

    /// Forgets a leg that nobody will tell of any more. A leg whose call never opened media is let go with its call.
    fn let_go(&mut self, leg: LegId, change: impl FnOnce(&mut Owner)) {
        if let Some(owner) = self.legs.get_mut(&leg) {
            change(owner);
            if !owner.in_stack && (!owner.in_media || owner.inbox.is_closed()) {
                self.legs.remove(&leg);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.guarded(UserAgent::poll).flatten() {
            self.output(output);
        }
        self.early.clear();
        let census = self.agent.census();
        self.hub.metrics.sip_tables.publish([
            census.legs,
            census.client_transactions,
            census.server_transactions,
            census.half_open,
            census.indexed,
            self.legs.len(),
        ]);
    }

    fn output(&mut self, output: AgentOutput) {
        match output {
            AgentOutput::Send { peer, bytes, leg } => {
                if let Err(error) = self.transports.send(&peer, bytes) {
                    let now = self.hub.clock.now();
                    match leg {
                        // On the call's timeline, and by that in the log under the call's id.
                        Some(leg) => {
                            let leg = self.follows.call_leg(self.hunts.call_leg(leg));
                            let text = format!("not sent to {peer}: {error}");
                            self.tell(leg, CallMessage::Note(TimelineEntry::new(now, Topic::Signalling, text).on(leg)));
                        }
                        None => tracing::debug!(%peer, %error, "a SIP message was not sent"),
                    }
                    self.guarded(|agent| agent.transport_lost(&peer, now));
                }
            }
            AgentOutput::Incoming(invitation) => self.incoming(*invitation),
            AgentOutput::Leg(leg, event) => {
                let now = self.hub.clock.now();
                self.needs_nobody(leg, &event, now);
                if self.hunts.event(&self.hub, leg, &event, now) {
                    return self.hunt_on(self.hunts.call_leg(leg));
                }
                self.tell_event(leg, event);
            }
            AgentOutput::Trace { leg, flow, peer, first_line, retransmission, bytes } => {
                if flow == Flow::Received {
                    self.hunts.heard(leg);
                }
                let leg = self.follows.call_leg(self.hunts.call_leg(leg));
                let arrow = match flow {
                    Flow::Sent => "to",
                    Flow::Received => "from",
                };
                let again = if retransmission { " (again)" } else { "" };
                let entry = TimelineEntry::new(
                    self.hub.clock.now(),
                    Topic::Signalling,
                    format!("{first_line} {arrow} {peer}{again}"),
                );
                let ours = self.hub.reached_at(peer.local);
                let (source, destination) = match flow {
                    Flow::Sent => (ours, peer.remote),
                    Flow::Received => (peer.remote, ours),
                };
                let entry = entry.on(leg).with_message(&bytes, peer.transport, source, destination);
                match self.legs.get(&leg) {
                    Some(owner) => note(&self.hub, &owner.call, Some(&owner.inbox), entry),
                    None => self.early.push((leg, entry)),
                }
            }
            AgentOutput::Answered { id, outcome } => {
                if let Some(waiting) = self.requests.remove(&id) {
                    // Who no longer waits needs no answer.
                    let _ = waiting.send(*outcome);
                }
            }
            AgentOutput::Gone(leg) => {
                let call_leg = self.hunts.call_leg(leg);
                if self.hunts.gone(leg, self.hub.clock.now()) {
                    return self.hunt_on(call_leg);
                }
                self.let_go(leg, |owner| owner.in_stack = false);
            }
            AgentOutput::Ban(change) => super::bans::enact(&change, self.transports.gate()),
            AgentOutput::Registrations { user, bindings } => self.hub.keep_registrations(user, &bindings),
            AgentOutput::Counter(counter) => count(&self.hub.metrics.sip, counter.name()),
        }
    }

    /// Carries out what a hunt wants.
    pub(super) fn hunt_on(&mut self, leg: LegId) {
        let now = self.hub.clock.now();
        loop {
            let agent = &mut self.agent;
            let Some(doing) = self.hunts.poll(&self.hub, leg, now, || agent.new_leg()) else { return };
            match doing {
                Doing::Place(leg, invite, way) => {
                    self.guarded(|agent| agent.place_by(leg, *invite, &way, now));
                }
                Doing::Command(stack_leg, command) => {
                    if let Some(Err(error)) = self.guarded(|agent| agent.command(stack_leg, command, now))
                        && self.hunts.stack_leg(leg) == stack_leg
                    {
                        self.tell(leg, CallMessage::LegRefused(leg, error));
                    }
                }
                Doing::Tell(leg, event) => {
                    if !self.followed(leg, &event, now) {
                        self.tell_event(leg, event);
                    }
                }
                Doing::Note(leg, text) => {
                    let leg = self.follows.call_leg(leg);
                    let entry = TimelineEntry::new(now, Topic::Signalling, text).on(leg);
                    self.tell(leg, CallMessage::Note(entry));
                }
                Doing::Resolve(leg, attempt, redirection) => {
                    let hub = Arc::clone(&self.hub);
                    // Bounded by the hunts' attempts, and each by its lookup's time.
                    tokio::spawn(async move {
                        let rounds = super::outgoing::follow(&hub, redirection).await;
                        hub.signal(Signal::Resolved(leg, attempt, rounds));
                    });
                }
                Doing::Over(leg) => {
                    self.follows.over(leg);
                    self.let_go(leg, |owner| owner.in_stack = false);
                }
            }
        }
    }

    fn incoming(&mut self, invitation: Invitation) {
        let leg = invitation.leg;
        match super::incoming::begin(&self.hub, invitation) {
            Ok((call, inbox)) => {
                for (_, entry) in self.early.extract_if(.., |(early, _)| *early == leg) {
                    offer(&self.hub, &inbox, CallMessage::Note(entry));
                }
                self.legs.insert(leg, Owner { call, inbox, in_stack: true, in_media: true, permit: None });
            }
            Err(refusal) => {
                let now = self.hub.clock.now();
                self.guarded(|agent| agent.command(leg, refusal, now));
            }
        }
    }
}
