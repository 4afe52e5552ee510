//! The agent's tables and its clock: where legs and transactions live, how they are found, when they are woken and
//! when they are forgotten. What they do is in the neighbouring files.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::register::Answered;
use super::request::Requests;
use super::stateless::PATIENCE;
use super::{AgentConfig, AgentOutput, ContactAddress, Counter};
use crate::random::Random;
use crate::session::LegId;
use crate::sip::access::{Entrance, Policy};
use crate::sip::digest::Rounds;
use crate::sip::guard::{Guard, GuardSettings, Source};
use crate::sip::leg::LegEvent;
use crate::sip::leg::state::{Incoming, Leg, State};
use crate::sip::message::{Host, NameAddr, Request, Uri};
use crate::sip::peer::{Peer, Transport};
use crate::sip::registrar::Registrar;
use crate::sip::transaction::{Client, ClientKey, InviteClient, InviteServer, MergeKey, Server, ServerKey, Tick};
use crate::time::Time;

/// The SIP stack of one engine: see the module.
pub struct UserAgent {
    pub(super) config: AgentConfig,
    pub(super) contacts: Vec<Contact>,
    pub(super) random: Random,
    /// For the tags of answers that leave no state behind.
    pub(super) secret: u64,
    pub(super) draining: bool,
    /// Who asks too much.
    pub(super) guard: Guard,
    /// Who is known, and what was proved of connections.
    pub(super) policy: Arc<Policy>,
    pub(super) entrance: Entrance,
    /// Where users are reached.
    pub(super) registrar: Registrar,
    pub(super) answered: Answered,
    next_leg: u64,
    next_transaction: u64,
    /// Bound: `limits.legs`.
    pub(super) legs: HashMap<LegId, Box<Leg>>,
    /// Our tag → leg; as many as legs.
    pub(super) by_tag: HashMap<String, LegId>,
    /// Requests outside of any dialog.
    pub(super) requests: Requests,
    /// Transactions of each leg.
    references: HashMap<LegId, u32>,
    /// Bound: a few for each leg, and each lives 64·T1 at most after its last word.
    pub(super) clients: HashMap<u64, ClientTransaction>,
    client_keys: HashMap<ClientKey, u64>,
    /// Bound: `limits.server_transactions` and a tenth.
    pub(super) servers: HashMap<u64, ServerTransaction>,
    pub(super) server_keys: HashMap<ServerKey, u64>,
    pub(super) merges: HashMap<MergeKey, u64>,
    /// Transactions by the far end, to find those that a lost connection takes down.
    by_remote: HashMap<(Transport, SocketAddr), HashSet<u64>>,
    /// Places that do not take TCP, and how long that is held of them; bounded in `oversize`.
    pub(super) without_tcp: HashMap<SocketAddr, Time>,
    /// Names proved by certificate, by connection; bounded in `identified`.
    pub(super) identified: HashMap<u64, Vec<String>>,
    /// Incoming legs without final answer or without its ACK, by source. Bound: `limits.half_open`.
    half_open: HashMap<Source, usize>,
    half_open_total: usize,
    /// At most one live entry for each leg and transaction; stale ones go when their time comes, or when they are most.
    wakeups: BinaryHeap<Reverse<(Time, u64, Wake)>>,
    wakeup_count: u64,
    outputs: VecDeque<AgentOutput>,
    /// Legs that work for another one (a REFER that is followed, a dialog that was replaced): call control knows that
    /// one only. As many as legs.
    pub(super) serving: HashMap<LegId, LegId>,
    /// What happened on those: (for whom, on which, what; none: the one it works for is gone). Emptied by `sweep`.
    served: VecDeque<(LegId, LegId, Option<LegEvent>)>,
    /// The time of the input that is being worked on.
    pub(super) moment: Time,
    /// Legs that may have nothing left.
    ending: Vec<LegId>,
}

/// One address of ours, ready to be written.
pub(super) struct Contact {
    pub address: ContactAddress,
    pub host: Host,
    pub header: NameAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Client(u64),
    Server(u64),
    Leg(LegId),
}

pub(super) enum ClientMachine {
    Invite(InviteClient),
    Other(Client),
}

/// What a client transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Invite,
    Reinvite,
    Update,
    Prack,
    Info,
    Refer,
    Notify,
    Bye,
    Cancel,
    /// Outside of any dialog: its "leg" is a request's name.
    Outside,
}

pub(super) struct ClientTransaction {
    pub key: ClientKey,
    pub machine: ClientMachine,
    pub request: Request,
    pub bytes: Bytes,
    pub peer: Peer,
    pub leg: LegId,
    pub purpose: Purpose,
    pub rounds: Rounds,
    /// The ACK of a refusal, to be repeated.
    pub ack: Option<Bytes>,
    /// It has been sent anew because its connection was gone; that is done once.
    pub moved: bool,
    /// It goes by TCP for its size alone; where it would have gone.
    pub datagram: Option<Peer>,
    /// When it began.
    since: Time,
    scheduled: Option<Time>,
}

pub(super) enum ServerMachine {
    Invite(InviteServer),
    Other(Server),
}

pub(super) struct ServerTransaction {
    pub key: ServerKey,
    pub merge: Option<MergeKey>,
    pub machine: ServerMachine,
    /// Where responses go.
    pub peer: Peer,
    /// Where they go when the connection is gone (RFC 3261 §18.2.2).
    pub fallback: Peer,
    pub last: Option<Bytes>,
    pub leg: LegId,
    scheduled: Option<Time>,
}

/// How much is alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Legs, those included that only wait for their last transactions.
    pub legs: usize,
    /// Client transactions.
    pub client_transactions: usize,
    /// Server transactions.
    pub server_transactions: usize,
    /// Incoming legs without final answer, or without its ACK.
    pub half_open: usize,
    /// All other tables' entries, which must be none when there are no legs.
    pub indexed: usize,
}

impl UserAgent {
    /// An agent with nothing alive. A contact whose host cannot be written falls back on its local address.
    pub fn new(config: AgentConfig, mut random: Random) -> Self {
        let contacts = config
            .contacts
            .iter()
            .map(|address| {
                let host = address.host.parse::<Host>().unwrap_or_else(|_| address.local.ip().into());
                let mut uri = Uri::sip(Some(&config.user), host.clone(), Some(address.port));
                if address.transport != Transport::Udp {
                    uri = uri.with_param("transport", Some(address.transport.uri_name()));
                }
                Contact { address: address.clone(), host, header: NameAddr::new(uri) }
            })
            .collect();
        UserAgent {
            secret: random.u64(),
            entrance: Entrance::new(&mut random),
            config,
            contacts,
            random,
            draining: false,
            guard: Guard::new(GuardSettings::off()),
            policy: Arc::default(),
            registrar: Registrar::default(),
            answered: Answered::default(),
            next_leg: 1,
            next_transaction: 1,
            legs: HashMap::new(),
            by_tag: HashMap::new(),
            requests: Requests::default(),
            references: HashMap::new(),
            clients: HashMap::new(),
            client_keys: HashMap::new(),
            servers: HashMap::new(),
            server_keys: HashMap::new(),
            merges: HashMap::new(),
            by_remote: HashMap::new(),
            identified: HashMap::new(),
            without_tcp: HashMap::new(),
            half_open: HashMap::new(),
            half_open_total: 0,
            wakeups: BinaryHeap::new(),
            wakeup_count: 0,
            outputs: VecDeque::new(),
            serving: HashMap::new(),
            served: VecDeque::new(),
            moment: Time::EPOCH,
            ending: Vec::new(),
        }
    }

    /// A name for a leg that is about to be placed.
    pub fn new_leg(&mut self) -> LegId {
        let id = LegId(self.next_leg);
        self.next_leg += 1;
        id
    }

    /// While true, new INVITEs are answered 503; what runs goes on.
    pub fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// The next thing to do, in order; none: nothing until the next input or deadline.
    pub fn poll(&mut self) -> Option<AgentOutput> {
        self.outputs.pop_front()
    }

    /// When [`UserAgent::timeout`] wants to be called. It may turn out that nothing was due.
    pub fn deadline(&self) -> Option<Time> {
        let wakeup = self.wakeups.peek().map(|Reverse((at, ..))| *at);
        wakeup.into_iter().chain(self.guard.deadline()).chain(self.registrar.deadline()).min()
    }

    /// How much is alive.
    pub fn census(&self) -> Census {
        Census {
            legs: self.legs.len(),
            client_transactions: self.clients.len(),
            server_transactions: self.servers.len(),
            half_open: self.half_open_total,
            indexed: self.by_tag.len()
                + self.requests.len()
                + self.references.len()
                + self.client_keys.len()
                + self.server_keys.len()
                + self.merges.len()
                + self.by_remote.len()
                + self.half_open.len(),
        }
    }

    /// Time has moved to `now`: everything that is due is done.
    pub fn timeout(&mut self, now: Time) {
        self.guard.timeout(now);
        self.tell_bans();
        self.registrar_timeout(now);
        self.moment = now;
        while let Some(Reverse((at, _, wake))) = self.wakeups.peek().copied() {
            if at > now {
                break;
            }
            self.wakeups.pop();
            match wake {
                Wake::Client(id) => self.wake_client(id, at, now),
                Wake::Server(id) => self.wake_server(id, at, now),
                Wake::Leg(id) => self.wake_leg(id, at, now),
            }
        }
        self.sweep();
    }

    fn wake_client(&mut self, id: u64, at: Time, now: Time) {
        let Some(transaction) = self.clients.get_mut(&id) else { return };
        if transaction.scheduled != Some(at) {
            return;
        }
        transaction.scheduled = None;
        let tick = match &mut transaction.machine {
            ClientMachine::Invite(machine) => machine.timeout(now),
            ClientMachine::Other(machine) => machine.timeout(now),
        };
        match tick {
            Tick::Idle => {}
            Tick::Retransmit => {
                let (peer, bytes, leg) = (transaction.peer, transaction.bytes.clone(), transaction.leg);
                let (bye, since) = (transaction.purpose == Purpose::Bye, transaction.since);
                if !bye || self.may_repeat(peer, since, PATIENCE, now) {
                    self.send(peer, bytes, Some(leg), true);
                }
            }
            Tick::TimedOut => {
                self.count(Counter::TransactionTimeout);
                self.client_failed(id, 408, now);
            }
            Tick::Over => self.remove_client(id),
        }
        self.schedule_client(id);
    }

    fn wake_server(&mut self, id: u64, at: Time, now: Time) {
        let Some(transaction) = self.servers.get_mut(&id) else { return };
        if transaction.scheduled != Some(at) {
            return;
        }
        transaction.scheduled = None;
        let tick = match &mut transaction.machine {
            ServerMachine::Invite(machine) => machine.timeout(now),
            ServerMachine::Other(machine) => machine.timeout(now),
        };
        match tick {
            Tick::Idle => {}
            Tick::Retransmit => {
                let (peer, last, leg) = (transaction.peer, transaction.last.clone(), transaction.leg);
                let since = match &transaction.machine {
                    ServerMachine::Invite(machine) => machine.completed(&self.config.timers),
                    ServerMachine::Other(_) => None,
                };
                let may = since.is_none_or(|since| self.may_repeat(peer, since, PATIENCE, now));
                if let Some(bytes) = last.filter(|_| may) {
                    self.send(peer, bytes, Some(leg), true);
                }
            }
            Tick::TimedOut => {
                self.count(Counter::TransactionTimeout);
                self.remove_server(id);
            }
            Tick::Over => self.remove_server(id),
        }
        self.schedule_server(id);
    }

    fn wake_leg(&mut self, id: LegId, at: Time, now: Time) {
        let Some(mut leg) = self.take(id) else { return };
        if leg.scheduled == Some(at) {
            leg.scheduled = None;
            self.leg_timeout(&mut leg, now);
        }
        self.put(leg);
    }

    /// Takes a leg out, to work on it beside the tables; [`UserAgent::put`] must follow.
    pub(super) fn take(&mut self, id: LegId) -> Option<Box<Leg>> {
        self.legs.remove(&id)
    }

    pub(super) fn put(&mut self, mut leg: Box<Leg>) {
        self.close_half(&mut leg);
        if let Some(at) = leg.deadline()
            && leg.scheduled.is_none_or(|already| at < already)
        {
            leg.scheduled = Some(at);
            self.wake_at(at, Wake::Leg(leg.id));
        }
        if leg.state == State::Over {
            self.ending.push(leg.id);
        }
        self.legs.insert(leg.id, leg);
    }

    /// A leg comes into being.
    pub(super) fn register(&mut self, leg: Leg) {
        self.by_tag.insert(leg.local_tag.clone(), leg.id);
        self.references.entry(leg.id).or_insert(0);
        self.put(Box::new(leg));
    }

    fn wake_at(&mut self, at: Time, wake: Wake) {
        self.wakeup_count += 1;
        self.wakeups.push(Reverse((at, self.wakeup_count, wake)));
    }

    pub(super) fn schedule_client(&mut self, id: u64) {
        let Some(transaction) = self.clients.get_mut(&id) else { return };
        let deadline = match &transaction.machine {
            ClientMachine::Invite(machine) => machine.deadline(),
            ClientMachine::Other(machine) => machine.deadline(),
        };
        if let Some(at) = deadline
            && transaction.scheduled.is_none_or(|already| at < already)
        {
            transaction.scheduled = Some(at);
            self.wake_at(at, Wake::Client(id));
        }
    }

    pub(super) fn schedule_server(&mut self, id: u64) {
        let Some(transaction) = self.servers.get_mut(&id) else { return };
        let deadline = match &transaction.machine {
            ServerMachine::Invite(machine) => machine.deadline(),
            ServerMachine::Other(machine) => machine.deadline(),
        };
        if let Some(at) = deadline
            && transaction.scheduled.is_none_or(|already| at < already)
        {
            transaction.scheduled = Some(at);
            self.wake_at(at, Wake::Server(id));
        }
    }

    pub(super) fn add_client(&mut self, new: NewClient) -> u64 {
        let id = self.next_transaction;
        self.next_transaction += 1;
        self.client_keys.insert(new.key.clone(), id);
        self.by_remote.entry((new.peer.transport, new.peer.remote)).or_default().insert(id);
        *self.references.entry(new.leg).or_insert(0) += 1;
        self.clients.insert(
            id,
            ClientTransaction {
                key: new.key,
                machine: new.machine,
                request: new.request,
                bytes: new.bytes,
                peer: new.peer,
                leg: new.leg,
                purpose: new.purpose,
                rounds: new.rounds,
                ack: None,
                moved: new.moved,
                datagram: None,
                since: self.moment,
                scheduled: None,
            },
        );
        self.schedule_client(id);
        id
    }

    /// A transaction goes on elsewhere, from the start.
    pub(super) fn moved_to(&mut self, id: u64, old: Peer, new: Peer) {
        self.forget_remote(&old, id);
        self.by_remote.entry((new.transport, new.remote)).or_default().insert(id);
        if let Some(transaction) = self.clients.get_mut(&id) {
            transaction.scheduled = None;
        }
        self.schedule_client(id);
    }

    pub(super) fn find_client(&self, key: &ClientKey) -> Option<u64> {
        self.client_keys.get(key).copied()
    }

    pub(super) fn remove_client(&mut self, id: u64) {
        if let Some(transaction) = self.clients.remove(&id) {
            self.client_keys.remove(&transaction.key);
            self.forget_remote(&transaction.peer, id);
            self.release(transaction.leg);
        }
    }

    pub(super) fn add_server(
        &mut self,
        key: ServerKey,
        merge: Option<MergeKey>,
        machine: ServerMachine,
        (peer, fallback): (Peer, Peer),
        leg: LegId,
    ) -> u64 {
        let id = self.next_transaction;
        self.next_transaction += 1;
        self.server_keys.insert(key.clone(), id);
        if let Some(merge) = &merge {
            self.merges.insert(merge.clone(), id);
        }
        self.by_remote.entry((peer.transport, peer.remote)).or_default().insert(id);
        *self.references.entry(leg).or_insert(0) += 1;
        self.servers
            .insert(id, ServerTransaction { key, merge, machine, peer, fallback, last: None, leg, scheduled: None });
        id
    }

    pub(super) fn remove_server(&mut self, id: u64) {
        if let Some(transaction) = self.servers.remove(&id) {
            self.server_keys.remove(&transaction.key);
            if let Some(merge) = &transaction.merge {
                self.merges.remove(merge);
            }
            self.forget_remote(&transaction.peer, id);
            self.release(transaction.leg);
        }
    }

    fn forget_remote(&mut self, peer: &Peer, id: u64) {
        let key = (peer.transport, peer.remote);
        if let Some(ids) = self.by_remote.get_mut(&key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_remote.remove(&key);
            }
        }
    }

    fn release(&mut self, leg: LegId) {
        if let Some(count) = self.references.get_mut(&leg) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.ending.push(leg);
            }
        }
    }

    /// Forgets legs that are over and have no transaction left.
    pub(super) fn sweep(&mut self) {
        while let Some((master, follower, event)) = self.served.pop_front() {
            self.served(master, follower, event, self.moment);
        }
        while let Some(id) = self.ending.pop() {
            let over = self.legs.get(&id).is_some_and(|leg| leg.state == State::Over);
            if over && self.references.get(&id).copied().unwrap_or(0) == 0 {
                if let Some(leg) = self.legs.remove(&id) {
                    self.by_tag.remove(&leg.local_tag);
                    if let Some(follower) = leg.referrals.theirs.and_then(|theirs| theirs.follower) {
                        self.served.push_back((id, follower, None));
                    }
                }
                self.references.remove(&id);
                if self.serving.remove(&id).is_none() {
                    self.outputs.push_back(AgentOutput::Gone(id));
                }
            } else if self.references.get(&id) == Some(&0) && !self.legs.contains_key(&id) {
                // The last transaction of a request outside of any dialog.
                self.references.remove(&id);
            }
        }
        self.forget_wakeups();
    }

    /// Drops the wake-ups of what is no more, once they are most of all: a session's clock is set half an hour ahead.
    fn forget_wakeups(&mut self) {
        let alive = self.legs.len() + self.clients.len() + self.servers.len();
        if alive > 0 && self.wakeups.len() < 4 * alive + 64 {
            return;
        }
        let (legs, clients, servers) = (&self.legs, &self.clients, &self.servers);
        self.wakeups.retain(|Reverse((at, _, wake))| match wake {
            Wake::Client(id) => clients.get(id).is_some_and(|t| t.scheduled == Some(*at)),
            Wake::Server(id) => servers.get(id).is_some_and(|t| t.scheduled == Some(*at)),
            Wake::Leg(id) => legs.get(id).is_some_and(|leg| leg.scheduled == Some(*at)),
        });
    }

    /// A send failed, or a connection closed. Requests on it fail with 503, or, within a dialog, are sent once more
    /// over a new connection; responses wait for the request to be repeated and then take a new connection.
    pub fn transport_lost(&mut self, peer: &Peer, now: Time) {
        self.moment = now;
        let Some(ids) = self.by_remote.get(&(peer.transport, peer.remote)) else { return };
        let mut ids: Vec<u64> = ids.iter().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(transaction) = self.clients.get(&id) {
                let pending = match &transaction.machine {
                    ClientMachine::Invite(machine) => machine.is_pending(),
                    ClientMachine::Other(machine) => machine.is_pending(),
                };
                let same = transaction.peer.connection.is_none() || transaction.peer.connection == peer.connection;
                if pending && same {
                    self.client_lost(id, now);
                }
            } else if peer.connection.is_some()
                && let Some(transaction) = self.servers.get_mut(&id)
                && transaction.peer.connection == peer.connection
            {
                let (old, new) = (transaction.peer, transaction.fallback);
                transaction.peer = new;
                self.forget_remote(&old, id);
                self.by_remote.entry((new.transport, new.remote)).or_default().insert(id);
            }
        }
        self.sweep();
    }

    pub(super) fn half_open(&self, source: Source) -> (usize, usize) {
        (self.half_open_total, self.half_open.get(&source).copied().unwrap_or(0))
    }

    pub(super) fn open_half(&mut self, leg: &mut Leg, source: Source) {
        leg.half_open = Some(source);
        self.half_open_total += 1;
        *self.half_open.entry(source).or_insert(0) += 1;
    }

    /// A leg is half-open until it is refused or our answer is acknowledged: so long nothing says that the other end
    /// hears us.
    fn close_half(&mut self, leg: &mut Leg) {
        if matches!(leg.state, State::Incoming | State::Answered | State::Closing) {
            return;
        }
        let Some(source) = leg.half_open.take() else { return };
        self.half_open_total = self.half_open_total.saturating_sub(1);
        if let Some(count) = self.half_open.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.half_open.remove(&source);
            }
        }
    }

    /// An incoming leg gets its final answer.
    pub(super) fn take_incoming(&mut self, leg: &mut Leg) -> Option<Incoming> {
        leg.incoming.take()
    }

    pub(super) fn output(&mut self, output: AgentOutput) {
        self.outputs.push_back(output);
    }

    pub(super) fn count(&mut self, counter: Counter) {
        self.outputs.push_back(AgentOutput::Counter(counter));
    }

    pub(super) fn tell(&mut self, leg: &Leg, event: LegEvent) {
        match self.serving.get(&leg.id) {
            Some(master) => self.served.push_back((*master, leg.id, Some(event))),
            None => self.outputs.push_back(AgentOutput::Leg(leg.id, event)),
        }
    }

    /// All transactions of these two legs change hands.
    pub(super) fn swap_transactions(&mut self, one: LegId, other: LegId) {
        let swap = |leg: &mut LegId| match *leg {
            was if was == one => *leg = other,
            was if was == other => *leg = one,
            _ => {}
        };
        self.clients.values_mut().for_each(|transaction| swap(&mut transaction.leg));
        self.servers.values_mut().for_each(|transaction| swap(&mut transaction.leg));
        let (of_one, of_other) = (self.references.remove(&one), self.references.remove(&other));
        self.references.insert(one, of_other.unwrap_or(0));
        self.references.insert(other, of_one.unwrap_or(0));
    }

    /// Tells call control that the leg is over, once: the states after that are silent.
    pub(super) fn finish(&mut self, leg: &mut Leg, then: State, event: LegEvent) {
        debug_assert!(event.is_final());
        if !leg.is_ended() {
            self.tell(leg, event);
        }
        leg.state = then;
        leg.waiting_reoffer = None;
        leg.reinvite = None;
        leg.update = None;
        leg.session = None;
        leg.reliable.accept = None;
        if then == State::Over {
            leg.unacknowledged = None;
            leg.outgoing = None;
        }
    }
}

/// A client transaction about to be.
pub(super) struct NewClient {
    pub key: ClientKey,
    pub machine: ClientMachine,
    pub request: Request,
    pub bytes: Bytes,
    pub peer: Peer,
    pub leg: LegId,
    pub purpose: Purpose,
    pub rounds: Rounds,
    pub moved: bool,
}
