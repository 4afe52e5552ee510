//! A built-in SIP phone: the same stack and media as the engine, without its call control. The demo calls with it, and
//! tests do; it presses keys in all three ways and keeps what it heard. [`load`] is the same for thousands of calls.

mod ears;
pub mod load;
mod referral;
mod task;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use ears::{find, write_wav};

use crate::clock::Clock;
use crate::dtmf::{Digit, Way};
use crate::media::worker::{MediaConfig, MediaPlane};
use crate::media::{Clip, DelayBounds};
use crate::random::Random;
use crate::session::{Codec, Direction, LocalMedia, SrtpPolicy, SrtpSuite};
use crate::sip::agent::{AgentConfig, AgentLimits, ContactAddress, TimerConfig, UserAgent};
use crate::sip::leg::Credentials;
use crate::sip::peer::Transport;
use crate::sip::transport::tls::{Tls, TlsSettings};
use crate::sip::transport::{TransportConfig, Transports};

/// The longest that a phone listens: what is heard later is not kept. Frames of 20 ms.
const EARS: u32 = 30_000;

/// Events that may wait for whoever uses the phone; more are dropped.
const EVENTS: usize = 1024;

/// What a phone tells.
#[derive(Clone, Debug, PartialEq)]
pub enum PhoneEvent {
    /// The other side rings (the status of its 18x).
    Ringing(u16),
    /// Somebody calls; by default the phone answers.
    Called {
        /// The caller's URI.
        from: String,
    },
    /// Both ends talk.
    Connected,
    /// The other end pressed a key.
    Heard(Digit, Way),
    /// A key press has been sent.
    Pressed,
    /// The call was refused or not answered: SIP status and phrase.
    Failed(u16, String),
    /// The call is over, and this was heard (8 kHz).
    Over {
        /// Whether the other end hung up.
        by_peer: bool,
        /// All that came, silence included.
        heard: Vec<i16>,
    },
}

/// A phone could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the phone could not be set up: {0}")]
pub struct PhoneError(String);

/// What a phone is told.
enum Wish {
    Dial { uri: String, destination: SocketAddr, transport: Transport },
    Press(Digit, Way),
    Say(Arc<Clip>),
    HangUp,
}

/// What of a phone can be set.
#[derive(Clone, Debug)]
pub struct PhoneConfig {
    /// What it speaks, most wanted first.
    pub codecs: Vec<Codec>,
    /// Whether its calls are encrypted.
    pub srtp: SrtpPolicy,
    /// Its crypto suites, most wanted first.
    pub srtp_suites: Vec<SrtpSuite>,
    /// Its keys may go over UDP and TCP.
    pub srtp_over_insecure: bool,
    /// Whom it calls as, where it is asked who it is; its calls are from that user.
    pub credentials: Option<Credentials>,
    /// Its certificate and whom it trusts: it speaks TLS too; none: it does not.
    pub tls: Option<TlsSettings>,
}

/// G.711 both laws, and nothing is encrypted.
impl Default for PhoneConfig {
    fn default() -> Self {
        PhoneConfig {
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            srtp: SrtpPolicy::Off,
            srtp_suites: SrtpSuite::ALL.to_vec(),
            srtp_over_insecure: false,
            credentials: None,
            tls: None,
        }
    }
}

/// A phone with one line.
pub struct Phone {
    wishes: mpsc::Sender<Wish>,
    events: mpsc::Receiver<PhoneEvent>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
}

impl Phone {
    /// Plugs a phone in on this address, any free port. It answers whoever calls, with 200 after 180.
    pub async fn start(ip: IpAddr, seed: [u8; 32]) -> Result<Phone, PhoneError> {
        Phone::start_with(ip, seed, PhoneConfig::default()).await
    }

    /// The same with other settings.
    pub async fn start_with(ip: IpAddr, seed: [u8; 32], config: PhoneConfig) -> Result<Phone, PhoneError> {
        let error = |e: &dyn std::fmt::Display| PhoneError(e.to_string());
        let mut random = Random::from_seed(seed);
        let PhoneConfig { codecs, srtp, srtp_suites, srtp_over_insecure, credentials, tls } = config;
        let mut network = TransportConfig::new(SocketAddr::new(ip, 0));
        if let Some(settings) = tls {
            network.tls = Some(Arc::new(Tls::load(settings).map_err(|e| error(&e))?));
            network.tls_listen = vec![SocketAddr::new(ip, 0)];
        }
        let (transports, inbound) = Transports::bind(network).await.map_err(|e| error(&e))?;
        let address = transports.udp_address();
        let tls_address = transports.address(Transport::Tls);
        let contact = |transport, local: SocketAddr| ContactAddress {
            transport,
            local,
            host: ip.to_string(),
            port: local.port(),
        };
        let mut contacts = vec![contact(Transport::Udp, address), contact(Transport::Tcp, transports.tcp_address())];
        contacts.extend(tls_address.map(|address| contact(Transport::Tls, address)));
        let agent = UserAgent::new(
            AgentConfig {
                contacts,
                user: "phone".to_owned(),
                product: concat!("strowger-phone/", env!("CARGO_PKG_VERSION")).to_owned(),
                codecs: codecs.clone(),
                info_types: &[],
                srtp_over_insecure,
                srtp_suites,
                timers: TimerConfig::default(),
                limits: AgentLimits::default(),
            },
            random.fork(),
        );
        let (media_events, from_media) = mpsc::channel(EVENTS);
        let clock = Clock::start();
        let media = MediaPlane::start(
            MediaConfig {
                threads: 1,
                bind: ip,
                ports: 0..=0,
                rtp_timeout: Duration::ZERO,
                in_band: true,
                delay: DelayBounds::default(),
                max_legs: 8,
                clock,
                ..MediaConfig::default()
            },
            random.fork(),
            // A phone that is not read from loses events, as a phone nobody looks at does.
            Box::new(move |event| drop(media_events.try_send(event))),
        )
        .map_err(|e| error(&e))?;
        let (wishes, wish_inbox) = mpsc::channel(64);
        let (event_outbox, events) = mpsc::channel(EVENTS);
        // A port for each call.
        let own = LocalMedia { address: ip, port: 0, codecs, direction: Direction::SendRecv, srtp };
        let task = task::Task::new(agent, transports, media, (own, credentials), clock, event_outbox);
        tokio::spawn(task.run(inbound, from_media, wish_inbox));
        Ok(Phone { wishes, events, address, tls_address })
    }

    /// Where it can be called: `sip:phone@…`.
    pub fn uri(&self) -> String {
        format!("sip:phone@{}", self.address)
    }

    /// Where it can be called over TLS; none: it does not speak that.
    pub fn secure_uri(&self) -> Option<String> {
        self.tls_address.map(|address| format!("sip:phone@{address};transport=tls"))
    }

    /// Where it listens, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Dials.
    pub async fn dial(&self, uri: &str, destination: SocketAddr, transport: Transport) {
        self.wish(Wish::Dial { uri: uri.to_owned(), destination, transport }).await;
    }

    /// Presses a key for a fifth of a second.
    pub async fn press(&self, digit: Digit, way: Way) {
        self.wish(Wish::Press(digit, way)).await;
    }

    /// Says something.
    pub async fn say(&self, clip: Arc<Clip>) {
        self.wish(Wish::Say(clip)).await;
    }

    /// Hangs up.
    pub async fn hang_up(&self) {
        self.wish(Wish::HangUp).await;
    }

    async fn wish(&self, wish: Wish) {
        // The task lives as long as the phone; if it failed, the events' end tells.
        let _ = self.wishes.send(wish).await;
    }

    /// The next thing that happens; none: the phone is broken.
    pub async fn event(&mut self) -> Option<PhoneEvent> {
        self.events.recv().await
    }

    /// Waits until something happens that `wanted` picks, at most `limit`.
    pub async fn wait<T>(&mut self, limit: Duration, mut wanted: impl FnMut(PhoneEvent) -> Option<T>) -> Option<T> {
        tokio::time::timeout(limit, async {
            loop {
                if let Some(found) = wanted(self.event().await?) {
                    return Some(found);
                }
            }
        })
        .await
        .ok()
        .flatten()
    }
}
