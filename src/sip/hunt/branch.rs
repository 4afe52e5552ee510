//! The words of a hunt: where to try, within which bounds, and what comes out. What becomes of them is `machine`'s.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::session::SrtpPolicy;
use crate::sip::leg::{Credentials, LegCommand, LegEvent, Party};
use crate::sip::peer::Transport;

/// One place to try: an address with all that its INVITE needs to differ from the others'.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// The Request-URI.
    pub target: String,
    /// The next hop.
    pub destination: SocketAddr,
    /// What carries the request.
    pub transport: Transport,
    /// The connection that it must take and no other (a registered contact's flow, RFC 5626 §5.3); none: any.
    pub connection: Option<u64>,
    /// The address of ours that it must leave from; none: the one for the transport.
    pub local: Option<SocketAddr>,
    /// The pre-loaded route set, first hop first (Path, Service-Route); URIs with angle brackets as they came.
    pub route: Vec<String>,
    /// For a peer that asks for them.
    pub credentials: Option<Credentials>,
    /// Headers of this branch alone, besides the call's own.
    pub headers: Vec<(String, String)>,
    /// Our identity in From towards this branch; none: the call's.
    pub from: Option<Party>,
    /// Whether its media is encrypted; none: as the call's.
    pub srtp: Option<SrtpPolicy>,
    /// The trunk that it goes by, whose limits it counts against and whose health hears of it.
    pub trunk: Option<String>,
    /// Which of that trunk's proxies: 0, 1… in the order of its document.
    pub proxy: usize,
    /// What the timeline calls it: `trunk carrier-a, proxy 2`, `bob's device 1`. No secrets, at most 200 characters.
    pub label: String,
}

impl Branch {
    /// A branch with an address and nothing else.
    pub fn to(target: impl Into<String>, transport: Transport, destination: SocketAddr) -> Self {
        Branch {
            target: target.into(),
            destination,
            transport,
            connection: None,
            local: None,
            route: Vec::new(),
            credentials: None,
            headers: Vec::new(),
            from: None,
            srtp: None,
            trunk: None,
            proxy: 0,
            label: "directly".to_owned(),
        }
    }
}

/// Branches that are tried at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// In parallel; a round of none is passed over.
    pub branches: Vec<Branch>,
    /// How long the round may ring before the next one is begun and this one cancelled; none: as long as the hunt. It
    /// holds only while there is a next one.
    pub rings_for: Option<Duration>,
}

impl From<Vec<Branch>> for Round {
    fn from(branches: Vec<Branch>) -> Self {
        Round { branches, rings_for: None }
    }
}

/// When the next round is begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// After trouble on the way (no way there, nobody heard, 408, and what [`HuntLimits::trouble`] says), not after an
    /// answer of the callee's such as 486: carriers' proxies.
    #[default]
    Trouble,
    /// After any refusal but 6xx: somebody's devices in the order of his wishes (RFC 3261 §16.6 step 10).
    Any,
}

/// What is done with early media of branches that ring at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EarlyMedia {
    /// The first that comes is told, and another's only when that attempt has ended.
    #[default]
    First,
    /// None is told: everybody hears the ringing that the engine makes, or nothing.
    None,
}

/// How far redirections are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectLimits {
    /// Redirections one behind the other; 0: none is followed.
    pub depth: u8,
    /// Contacts of one 3xx that are tried, most wanted first.
    pub contacts: usize,
}

impl Default for RedirectLimits {
    fn default() -> Self {
        RedirectLimits { depth: 5, contacts: 4 }
    }
}

/// The bounds of a hunt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HuntLimits {
    /// From the first INVITE to giving up, over all rounds.
    pub ring_timeout: Duration,
    /// An attempt of which nothing at all was heard for so long is given up where another can be tried, without waiting
    /// for timer B (64·T1). None: timer B alone.
    pub patience: Option<Duration>,
    /// When the next round is begun.
    pub next_round: Verdict,
    /// Statuses that are trouble on the way, besides 408 and our own; `5xx` alone by default: 500–599.
    pub trouble: Vec<u16>,
    /// How far redirections are followed.
    pub redirects: RedirectLimits,
    /// Early media of several.
    pub early_media: EarlyMedia,
    /// Attempts in all, redirections included; further branches are passed over.
    pub attempts: usize,
}

impl HuntLimits {
    /// What trunks and devices are called with.
    pub fn new(ring_timeout: Duration) -> Self {
        HuntLimits {
            ring_timeout,
            patience: Some(Duration::from_secs(5)),
            next_round: Verdict::Trouble,
            trouble: vec![500, 502, 503, 504],
            redirects: RedirectLimits::default(),
            early_media: EarlyMedia::First,
            attempts: 32,
        }
    }
}

/// Names an attempt within its hunt: 0, 1, 2… in the order in which they were placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub usize);

/// One thing to carry out or to be told of, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HuntOutput {
    /// Place this branch on a new leg.
    Place {
        /// Its name from now on.
        attempt: Attempt,
        /// Where to.
        branch: Box<Branch>,
        /// What is left of the hunt's time.
        ring_timeout: Duration,
    },
    /// A command for the attempt's leg.
    Command(Attempt, LegCommand),
    /// Call control is told this of its one leg.
    Tell(LegEvent),
    /// Look these contacts up, and answer with [`Hunt::resolved`](super::Hunt::resolved), whatever comes of it.
    Resolve {
        /// Who was redirected.
        attempt: Attempt,
        /// URIs, most wanted first; at most [`RedirectLimits::contacts`], none of them tried before.
        contacts: Vec<String>,
    },
    /// An attempt has ended without an answer: what a proxy's health hears of.
    Failed {
        /// Which.
        attempt: Attempt,
        /// The status; see [`LegEvent::Failed`].
        status: u16,
        /// Whether the status is ours.
        local: bool,
        /// Whether anything at all had been heard from there.
        heard: bool,
    },
    /// For the call's timeline.
    Note(String),
    /// Everything has ended: nothing more comes.
    Over,
}
