//! Many phones on one thread: one SIP socket and user agent, and a line for each call, on a grid of twenty
//! one-millisecond slots. It sleeps until the next slot that has lines, or until SIP arrives; nothing here waits for
//! anything else, so that thousands of calls cost little more than their packets.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::figures::Histogram;
use super::line::{CODECS, Line, Sent, Voice};
use super::meter::Gaps;
use super::presses::Presser;
use super::socket::{Reader, Stamp, bind_sip, stamp_now};
use crate::clock::Clock;
use crate::dtmf::info::{DTMF_RELAY, InfoDigit};
use crate::media::FRAME_MS;
use crate::random::Random;
use crate::session::{Direction, LegId, LocalMedia, NegotiatedMedia, SrtpPolicy, SrtpSuite};
use crate::sip::agent::{AgentConfig, AgentLimits, AgentOutput, ContactAddress, Counter, TimerConfig, UserAgent};
use crate::sip::leg::{LegCommand, LegEvent, OutgoingInvite, Party, Side};
use crate::sip::peer::{Peer, Transport};

/// Slots of a frame.
const SLOTS: u64 = FRAME_MS;
/// SIP messages read in one go; RTP has its turn after so many.
const MAX_SIP_READ: usize = 64;
/// How many lines more than the emptiest a near slot may have.
const SLACK: usize = 3;
/// What an INFO says a key was down for.
const INFO_DURATION: Duration = Duration::from_millis(160);

/// Something that happened to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// Somebody calls, and has been answered.
    Called,
    /// Our call was answered.
    Answered,
    /// Our call failed, or ended without our doing.
    Failed(String),
    /// A call that we ended, or that somebody else did after calling us, is over.
    Over,
}

/// What an exchange is like.
pub struct Setup {
    /// Where SIP is spoken; port 0 takes a free one.
    pub local: SocketAddr,
    /// What every line says.
    pub voice: Voice,
    /// Lines measure what they hear; else they read it and forget it.
    pub measured: bool,
    /// Seeds.
    pub random: Random,
}

/// See the module.
pub struct Exchange {
    agent: UserAgent,
    sip: UdpSocket,
    local: SocketAddr,
    /// Tells the callers of this exchange from those of another.
    token: String,
    clock: Clock,
    random: Random,
    reader: Reader,
    voice: Voice,
    measured: bool,
    /// Bounded by the agent's legs.
    lines: HashMap<LegId, Line>,
    slots: [Vec<LegId>; SLOTS as usize],
    epoch: Instant,
    /// The next grid millisecond to run.
    next: u64,
    /// When what is being worked on arrived.
    stamp: Stamp,
    happenings: VecDeque<Happening>,
    /// What all lines hear.
    pub gaps: Gaps,
    /// How late each slot was run, in milliseconds.
    pub lateness: Histogram,
    /// What all lines sent.
    pub sent: Sent,
    /// SIP messages that we sent again.
    pub retransmissions: u64,
    /// INFO requests that were not answered with 200.
    pub refused_infos: u64,
}

impl Exchange {
    /// Opens one.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub fn open(setup: Setup) -> io::Result<Exchange> {
        let Setup { local, voice, measured, mut random } = setup;
        let sip = bind_sip(local)?;
        let local = sip.local_addr()?;
        let config = AgentConfig {
            contacts: vec![ContactAddress {
                transport: Transport::Udp,
                local,
                host: local.ip().to_string(),
                port: local.port(),
            }],
            user: "load".to_owned(),
            product: concat!("strowger-load/", env!("CARGO_PKG_VERSION")).to_owned(),
            codecs: CODECS.to_vec(),
            info_types: &[],
            srtp_over_insecure: false,
            srtp_suites: SrtpSuite::ALL.to_vec(),
            timers: TimerConfig::default(),
            limits: AgentLimits { half_open_per_source: 2_000, ..AgentLimits::default() },
        };
        Ok(Exchange {
            agent: UserAgent::new(config, random.fork()),
            sip,
            local,
            token: random.token(4),
            clock: Clock::start(),
            random,
            reader: Reader::default(),
            voice,
            measured,
            lines: HashMap::new(),
            slots: std::array::from_fn(|_| Vec::new()),
            epoch: Instant::now(),
            next: 0,
            stamp: 0,
            happenings: VecDeque::new(),
            gaps: Gaps::default(),
            lateness: Histogram::default(),
            sent: Sent::default(),
            retransmissions: 0,
            refused_infos: 0,
        })
    }

    /// Where SIP is spoken.
    pub fn address(&self) -> SocketAddr {
        self.local
    }

    /// The user part of the From of our call of that number.
    pub fn caller(&self, number: u64) -> String {
        format!("load-{}-{number}", self.token)
    }

    /// The calls that are up or being placed.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &Line> {
        self.lines.values()
    }

    /// Every caller begins to press its keys, within `spread` frames.
    pub fn press(&mut self, spread: u32) {
        for presser in self.lines.values_mut().filter_map(|line| line.presser.as_mut()) {
            presser.start(self.random.below(u64::from(spread)) as u32);
        }
    }

    /// Places a call to `target` at `destination`.
    pub fn place(
        &mut self,
        number: u64,
        target: String,
        destination: SocketAddr,
        presser: Option<Presser>,
        timeout: Duration,
    ) {
        let line = match Line::open(number, self.local.ip(), presser) {
            Ok(line) => line,
            Err(error) => {
                self.happenings.push_back(Happening::Failed(format!("no port of our own: {error}")));
                return;
            }
        };
        let leg = self.agent.new_leg();
        let invite = OutgoingInvite {
            target,
            from: Party { display: None, uri: format!("sip:{}@{}", self.caller(number), self.local) },
            to: None,
            destination,
            transport: Transport::Udp,
            credentials: None,
            media: self.media(line.port),
            headers: Vec::new(),
            ring_timeout: timeout,
        };
        self.lines.insert(leg, line);
        self.agent.place(leg, invite, self.clock.now());
        self.carry_out();
    }

    /// Hangs up at most `most` of the calls; how many are left.
    pub fn hang_up(&mut self, most: usize) -> usize {
        for leg in self.lines.keys().take(most).copied().collect::<Vec<_>>() {
            let _ = self.agent.command(leg, LegCommand::Hangup { reason: None }, self.clock.now());
            self.carry_out();
            self.close(leg);
        }
        self.lines.len()
    }

    /// The next thing that happened.
    pub fn happening(&mut self) -> Option<Happening> {
        self.happenings.pop_front()
    }

    /// Works through what is due, having waited for it until `until` at most.
    pub fn turn(&mut self, until: Instant) {
        let slot = self.next_occupied().map(|ms| self.epoch + Duration::from_millis(ms));
        let timer = self.agent.deadline().map(|at| Instant::now() + at.since(self.clock.now()));
        let wake = [slot, timer].into_iter().flatten().min().map_or(until, |at| at.min(until));
        self.wait(wake.saturating_duration_since(Instant::now()));
        for _ in 0..MAX_SIP_READ {
            let Some(datagram) = self.reader.next(&self.sip) else { break };
            let Some(from) = datagram.from else { continue };
            self.stamp = datagram.stamp;
            let peer = Peer { transport: Transport::Udp, remote: from, local: self.local, connection: None };
            self.agent.receive(peer, datagram.bytes, self.clock.now());
            self.carry_out();
        }
        let now = self.clock.now();
        if self.agent.deadline().is_some_and(|at| at <= now) {
            self.stamp = stamp_now();
            self.agent.timeout(now);
            self.carry_out();
        }
        for _ in 0..SLOTS {
            match self.next_occupied().filter(|ms| *ms <= self.grid_now()) {
                Some(ms) => self.run_slot(ms),
                None => break,
            }
        }
    }

    fn wait(&self, longest: Duration) {
        if !longest.is_zero() {
            let mut sip = [PollFd::new(self.sip.as_fd(), PollFlags::POLLIN)];
            // Interrupted: then it is worked through early.
            let _ = ppoll(&mut sip, Some(TimeSpec::from_duration(longest)), None);
        }
    }

    fn grid_now(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64
    }

    fn slot(&self, ms: u64) -> &[LegId] {
        self.slots.get((ms % SLOTS) as usize).map_or(&[], Vec::as_slice)
    }

    /// The first grid millisecond from `next` on whose slot has lines.
    fn next_occupied(&self) -> Option<u64> {
        (self.next..self.next + SLOTS).find(|ms| !self.slot(*ms).is_empty())
    }

    fn run_slot(&mut self, ms: u64) {
        let now = self.epoch.elapsed();
        let grid_now = now.as_millis() as u64;
        self.lateness.add(now.saturating_sub(Duration::from_millis(ms)).as_secs_f64() * 1e3);
        // After a freeze each slot is run once, not once for each time it was missed.
        self.next = (ms + 1).max((grid_now + 1).saturating_sub(SLOTS));
        for index in 0..self.slot(ms).len() {
            let Some(&leg) = self.slot(ms).get(index) else { break };
            let Some(line) = self.lines.get_mut(&leg) else { continue };
            if self.measured {
                line.listen(&mut self.reader, &mut self.gaps);
            } else {
                line.drain();
            }
            if let Some(digit) = line.speak(grid_now, &mut self.sent) {
                let body = InfoDigit { digit, duration: INFO_DURATION }.to_relay().into_bytes();
                let info = LegCommand::Info { content_type: DTMF_RELAY.to_owned(), body };
                if self.agent.command(leg, info, self.clock.now()).is_err() {
                    self.info_answered(leg, 0);
                }
            }
        }
        self.carry_out();
    }

    /// Chooses the nearest slot that is not much fuller than the emptiest.
    fn give_slot(&mut self, leg: LegId) {
        let grid_now = self.grid_now();
        if self.next_occupied().is_none() {
            self.next = grid_now;
        }
        let least = self.slots.iter().map(Vec::len).min().unwrap_or(0);
        let start = self.next.max(grid_now);
        let ms = (start..start + SLOTS).find(|ms| self.slot(*ms).len() <= least + SLACK).unwrap_or(start);
        if let Some(slot) = self.slots.get_mut((ms % SLOTS) as usize) {
            slot.push(leg);
        }
        if let Some(line) = self.lines.get_mut(&leg) {
            line.due = Some(ms);
        }
    }

    fn close(&mut self, leg: LegId) {
        if let Some(due) = self.lines.remove(&leg).and_then(|line| line.due)
            && let Some(slot) = self.slots.get_mut((due % SLOTS) as usize)
        {
            slot.retain(|other| *other != leg);
        }
    }

    fn media(&self, port: u16) -> LocalMedia {
        LocalMedia {
            address: self.local.ip(),
            port,
            codecs: CODECS.to_vec(),
            direction: Direction::SendRecv,
            srtp: SrtpPolicy::Off,
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                AgentOutput::Send { peer, bytes, leg } => {
                    if let Some(line) = leg.and_then(|leg| self.lines.get_mut(&leg)).filter(|line| line.invited == 0) {
                        line.invited = stamp_now();
                    }
                    if self.sip.send_to(&bytes, peer.remote).is_err() {
                        self.agent.transport_lost(&peer, self.clock.now());
                    }
                }
                AgentOutput::Incoming(invitation) => self.answer(invitation.leg),
                AgentOutput::Leg(leg, event) => self.leg(leg, event),
                AgentOutput::Counter(Counter::RetransmissionSent) => self.retransmissions += 1,
                AgentOutput::Trace { .. }
                | AgentOutput::Gone(_)
                | AgentOutput::Ban(_)
                | AgentOutput::Counter(_)
                | AgentOutput::Answered { .. }
                | AgentOutput::Registrations { .. } => {}
            }
        }
    }

    fn answer(&mut self, leg: LegId) {
        let now = self.clock.now();
        match Line::open(0, self.local.ip(), None) {
            Ok(line) => {
                let media = self.media(line.port);
                self.lines.insert(leg, line);
                let _ = self.agent.command(leg, LegCommand::Accept { media }, now);
                self.happenings.push_back(Happening::Called);
            }
            Err(_) => {
                let refuse = LegCommand::Refuse { status: 503, phrase: None, retry_after: None };
                let _ = self.agent.command(leg, refuse, now);
            }
        }
    }

    fn leg(&mut self, leg: LegId, event: LegEvent) {
        let Some(line) = self.lines.get_mut(&leg) else { return };
        let placed = line.invited > 0 && line.number > 0;
        match event {
            LegEvent::Accepted { media: Some(media) } => self.accepted(leg, &media),
            LegEvent::InfoAnswered { status } => self.info_answered(leg, status),
            LegEvent::Failed { status, phrase, .. } => self.failed(leg, format!("{status} {phrase}")),
            LegEvent::Ended { by: Side::Remote, .. } if placed => {
                self.failed(leg, "hung up by the other end".to_owned());
            }
            LegEvent::Ended { .. } | LegEvent::Cancelled { .. } => {
                self.close(leg);
                self.happenings.push_back(Happening::Over);
            }
            _ => {}
        }
    }

    fn accepted(&mut self, leg: LegId, media: &NegotiatedMedia) {
        let stamp = self.stamp;
        let Some(line) = self.lines.get_mut(&leg) else { return };
        line.answered = Some(stamp);
        if !line.connect(media, &self.voice, &mut self.random) {
            let _ = self.agent.command(leg, LegCommand::Hangup { reason: None }, self.clock.now());
            self.failed(leg, format!("answered with {}", media.codec.encoding_name()));
            return;
        }
        if line.number > 0 {
            self.happenings.push_back(Happening::Answered);
        }
        self.give_slot(leg);
    }

    fn info_answered(&mut self, leg: LegId, status: u16) {
        self.refused_infos += u64::from(status != 200);
        if let Some(presser) = self.lines.get_mut(&leg).and_then(|line| line.presser.as_mut()) {
            presser.info_answered();
        }
    }

    fn failed(&mut self, leg: LegId, why: String) {
        self.close(leg);
        self.happenings.push_back(Happening::Failed(why));
    }
}
