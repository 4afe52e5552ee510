//! Brings the engine up, in order, and takes it down again.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::mpsc;

use super::captures::Captures;
use super::data_dir::{DataDir, DataDirError};
use super::open_files::{self, Share};
use super::overload::{self, OverloadSettings};
use super::running_call::CallMessage;
use super::signalling::{QUEUE, Signal, Signalling};
use super::{Engine, Hub, archive, deliveries};
use crate::api::auth::{AccessKeys, BadAccessKey};
use crate::api::server::{Handle, Limits, serve_http, serve_https};
use crate::api::service::{Administration, Calls};
use crate::api::tls::{TlsError, TlsFiles, load_or_create};
use crate::api::{Api, Scheme};
use crate::call::{CallSettings, INFO_TYPES};
use crate::clock::Clock;
use crate::config::Config;
use crate::events::{IncomingContextKey, Outbox, OutboxSettings, webhook_client};
use crate::media::DelayBounds;
use crate::media::worker::{MediaConfig, MediaPlane};
use crate::prompt::{self, FetchConfig, PromptConfig, Prompts};
use crate::random::Random;
use crate::sip::agent::{AgentConfig, AgentLimits, ContactAddress, TimerConfig, UserAgent};
use crate::sip::peer::Transport;
use crate::sip::transport::locate::Locator;
use crate::sip::transport::tls::{Tls, TlsSettings};
use crate::sip::transport::{BindError, TransportConfig, Transports};
use crate::store::{Store, StoreError, Writer, WriterSettings};

/// How long calls may take to say goodbye once they are told to.
const GOODBYE: Duration = Duration::from_secs(5);

/// How long events may take to leave at the end; what is left is taken up at the next start.
const FLUSH: Duration = Duration::from_secs(10);

/// One SIP listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SipListener {
    /// What it speaks.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// Where the engine can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listeners {
    /// REST.
    pub http: SocketAddr,
    /// REST over TLS.
    pub https: SocketAddr,
    /// SIP over UDP: the first of its listeners.
    pub sip_udp: SocketAddr,
    /// SIP over TCP: the first of its listeners.
    pub sip_tcp: SocketAddr,
    /// All SIP listeners.
    pub sip: Vec<SipListener>,
}

impl Listeners {
    /// The first listener for a SIP transport; none: it is not spoken.
    pub fn sip(&self, transport: Transport) -> Option<SocketAddr> {
        self.sip.iter().find(|listener| listener.transport == transport).map(|listener| listener.address)
    }
}

/// The engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate cannot be made or read.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// A listener cannot be opened.
    #[error("{setting}: cannot listen on {address}: {cause}; is another program there? Change the setting {setting}")]
    Listen { setting: &'static str, address: SocketAddr, cause: io::Error },
    /// The address belongs to another machine.
    #[error("bind or {setting}: cannot listen on {address}: {cause}; give an address of this machine, or 0.0.0.0")]
    NotOurs { setting: &'static str, address: SocketAddr, cause: io::Error },
    /// The SIP listener cannot be opened.
    #[error("{0}; is another program there? Change the setting {setting}", setting = .0.setting)]
    Sip(#[from] BindError),
    /// SIP over TLS cannot be had.
    #[error("sip-tls: {0}")]
    SipTls(#[from] crate::sip::transport::tls::TlsError),
    /// The media threads cannot be started.
    #[error(transparent)]
    Media(#[from] crate::media::worker::MediaError),
    /// The HTTP client for events cannot be made.
    #[error(transparent)]
    Client(#[from] crate::events::ClientError),
    /// The system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Entropy(#[from] io::Error),
    /// The access keys cannot be used.
    #[error("access-key: {0}")]
    Keys(#[from] BadAccessKey),
}

/// 256 bits from the operating system.
pub fn entropy() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let mut source = std::fs::File::open("/dev/urandom")?;
    io::Read::read_exact(&mut source, &mut seed)?;
    Ok(seed)
}

impl Engine {
    /// Starts everything; calls are taken when this returns.
    pub async fn start(config: Config) -> Result<Arc<Engine>, StartError> {
        // Fails when a provider is installed already: that one serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = Clock::start();
        let mut random = Random::from_seed(entropy()?);
        let data_dir = DataDir::open(&config.data_dir)?;
        data_dir.remove("listeners.json");
        let secrets = data_dir.secrets(&mut random)?;
        let keys = AccessKeys::new(&secrets.access_keys[0], &secrets.access_keys[1])?;
        let files = TlsFiles { ca: data_dir.path("ca.pem"), private: data_dir.path("tls") };
        let http = listen("http", config.http)?;
        let https = listen("https", config.https)?;
        let mut names = config.tls_names.clone();
        for own in config.sip.iter().map(|bound| advertised(&config, bound.ip()).to_string()) {
            if !names.contains(&own) {
                names.push(own);
            }
        }
        let tls = load_or_create(&files, &names, clock.now(), &mut random)?;
        let (limits, sip) = (Limits::default(), sip_transports(&config, &files)?);
        let share =
            Share::of(open_files::raise(), limits.connections, sip.max_connections, sip.max_connections_per_source);
        let limits = Limits { connections: share.http, ..limits };
        let (transports, inbound) = Transports::bind(TransportConfig {
            max_connections: share.sip,
            max_connections_per_source: share.sip_per_source,
            ..sip
        })
        .await?;
        let listeners = Listeners {
            http: address_of("http", &http, config.http)?,
            https: address_of("https", &https, config.https)?,
            sip_udp: transports.udp_address(),
            sip_tcp: transports.tcp_address(),
            sip: transports
                .listening()
                .iter()
                .map(|&(transport, address)| SipListener { transport, address })
                .collect(),
        };

        let time: crate::store::Clock = Arc::new(move || clock.now());
        let store = Store::open(&data_dir.path("strowger.db")).await?;
        let keep_calls = u32::try_from(config.calls_kept).unwrap_or(u32::MAX);
        let writer =
            Writer::start(store.clone(), WriterSettings { keep_calls, ..WriterSettings::new(Arc::clone(&time)) });
        let client = webhook_client(&[])?;
        let hub_slot: Arc<OnceLock<Weak<Hub>>> = Arc::default();
        let outbox = start_outbox(&config, &store, &writer, &client, time, random.fork(), &hub_slot).await?;
        let (signals, signal_inbox) = mpsc::channel(QUEUE);
        let media = Arc::new(start_media(&config, clock, signals.clone(), random.fork())?);
        let hub = Arc::new(Hub {
            clock,
            metrics: Default::default(),
            prompts: Prompts::new(prompt_config(&config, &data_dir)),
            captures: Captures::start(data_dir.path("captures"), config.captures_kept),
            store,
            writer,
            outbox,
            webhook_client: client,
            media: Arc::clone(&media),
            signals,
            sip_counts: Arc::clone(transports.counts()),
            calls: Default::default(),
            archive: Default::default(),
            call_settings: call_settings(&config, &listeners),
            advertised: advertised(&config, listeners.sip_udp.ip()),
            advertised_all: config.sip.iter().map(|bound| advertised(&config, bound.ip())).collect(),
            locator: Locator::new(
                transports.listening().iter().map(|(transport, address)| (*transport, address.ip())).collect(),
                Arc::clone(transports.destinations()),
                &config.name_servers,
                Arc::new(move || clock.now()),
                random.fork(),
            ),
            tokens: IncomingContextKey::new(secrets.token_key),
            rules: ArcSwap::from_pointee(crate::rules::Table::default()),
            subscriptions: Default::default(),
            trunks: Default::default(),
            tolls: super::tolls::Tolls::new(&config),
            watches: Default::default(),
            other_addresses: Default::default(),
            users: Default::default(),
            policy: Default::default(),
            here: super::access::here(
                &config,
                &listeners.sip.iter().map(|listener| listener.address).collect::<Vec<_>>(),
                &config.sip.iter().map(|bound| advertised(&config, bound.ip())).collect::<Vec<_>>(),
            ),
            changes: Default::default(),
            draining: AtomicBool::new(false),
            overloaded: AtomicBool::new(false),
            own_url: format!("http://{}", reachable(listeners.http, advertised(&config, listeners.sip_udp.ip()))),
            random: Mutex::new(random.fork()),
            config,
        });
        let _ = hub_slot.set(Arc::downgrade(&hub));
        hub.reload_rules().await?;
        hub.reload_subscriptions().await?;
        hub.reload_trunks().await?;
        hub.reload_users().await?;
        let unfinished = archive::close_unfinished(&hub).await?;
        if unfinished > 0 {
            tracing::warn!(unfinished, "calls were running when the engine last stopped");
        }

        tokio::spawn(super::trunk_hosts::follow(Arc::downgrade(&hub)));
        tokio::spawn(overload::watch(Arc::downgrade(&hub), overload_settings(&hub.config)));
        let mut agent = UserAgent::new(agent_config(&hub.config, &listeners), random.fork());
        agent.set_guard(super::bans::guard_settings(&hub.config));
        agent.set_policy(super::access::policy(&hub));
        super::access::restore(&hub, &mut agent).await?;
        tokio::spawn(Signalling::new(Arc::clone(&hub), agent, transports).run(inbound, signal_inbox));
        let handle = Handle::new();
        let engine = Arc::new(Engine { hub, listeners: listeners.clone(), handle: handle.clone(), data_dir, secrets });
        let api = Api::new(
            Arc::clone(&engine) as Arc<dyn Calls>,
            Arc::clone(&engine) as Arc<dyn Administration>,
            keys,
            Arc::new(move || clock.now()),
        );
        serve(serve_http(http, api.router(Scheme::Http), limits, handle.clone()));
        serve(serve_https(https, api.router(Scheme::Https), tls, limits, handle));
        engine.publish()?;
        tracing::info!(http = %listeners.http, https = %listeners.https, sip = %listeners.sip_udp, "ready");
        Ok(engine)
    }

    /// Writes where the engine is, for people and for programs: both files are there only once all listeners accept.
    fn publish(&self) -> Result<(), DataDirError> {
        let endpoint = format!("https://{}/", reachable(self.listeners.https, self.hub.advertised));
        let connection = format!("endpoint={endpoint};accesskey={}\n", self.secrets.access_keys[0]);
        self.data_dir.write("connection-string", &connection, 0o600)?;
        let listeners = serde_json::to_string(&self.listeners).unwrap_or_default();
        self.data_dir.write("listeners.json", &(listeners + "\n"), 0o644)
    }

    /// Takes no new calls, waits for the running ones as long as the settings say, hangs up the rest, and lets events
    /// leave.
    pub async fn stop(&self) {
        let hub = &self.hub;
        hub.draining.store(true, Ordering::Relaxed);
        hub.signal(Signal::Drain);
        if !hub.without_calls(hub.config.drain).await {
            tracing::info!(calls = hub.calls.len(), "hanging up what still runs");
            for inbox in hub.calls.all() {
                let _ = inbox.send(CallMessage::ShutDown).await;
            }
            hub.without_calls(GOODBYE).await;
        }
        hub.watches.stop().await;
        let left = hub.outbox.flush(FLUSH).await;
        if left > 0 {
            tracing::warn!(left, "events are kept for the next start");
        }
        hub.writer.flush(FLUSH).await;
        self.handle.graceful_shutdown(Some(Duration::from_secs(1)));
        self.data_dir.remove("listeners.json");
        hub.store.close().await;
    }

    /// Where it can be reached.
    pub fn listeners(&self) -> Listeners {
        self.listeners.clone()
    }

    /// Where its files are.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.folder().to_owned()
    }

    /// The first access key.
    pub fn access_key(&self) -> &str {
        &self.secrets.access_keys[0]
    }
}

/// Serves until the handle says stop.
fn serve(server: impl Future<Output = io::Result<()>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the API stopped");
        }
    });
}

fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrNotAvailable => StartError::NotOurs { setting, address, cause },
        _ => StartError::Listen { setting, address, cause },
    })
}

fn address_of(setting: &'static str, listener: &TcpListener, wanted: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|cause| StartError::Listen { setting, address: wanted, cause })
}

/// How a client writes a listener's address: a wildcard is no address to go to.
fn reachable(listener: SocketAddr, advertised: IpAddr) -> SocketAddr {
    if listener.ip().is_unspecified() { SocketAddr::new(advertised, listener.port()) } else { listener }
}

/// The address for SDP and Contact in the family of a bound one: the one that is set, else the bound one itself; for a
/// wildcard, loopback's kin would reach nobody, so the address that leads outside is looked up.
fn advertised(config: &Config, bound: IpAddr) -> IpAddr {
    let set = config.advertise.iter().find(|ip| ip.is_ipv4() == bound.is_ipv4());
    set.copied().unwrap_or_else(|| if bound.is_unspecified() { outside_address(bound) } else { bound })
}

/// What RTP listens on: as SIP, or everything where SIP listens in both families.
fn media_address(config: &Config) -> IpAddr {
    let first = config.sip.first().map_or(std::net::Ipv4Addr::LOCALHOST.into(), SocketAddr::ip);
    let both = config.sip.iter().any(|address| address.is_ipv4() != first.is_ipv4());
    if both { std::net::Ipv6Addr::UNSPECIFIED.into() } else { first }
}

/// The SIP listeners as they are set, with our own certificate where none is given.
fn sip_transports(config: &Config, files: &TlsFiles) -> Result<TransportConfig, StartError> {
    let own = |name: &str| files.private.join(name);
    let settings = TlsSettings {
        clients: config.sip_tls_clients,
        client_ca: config.sip_tls_client_ca.clone(),
        roots: config.sip_tls_ca.clone(),
        also_trusted: Some(files.ca.clone()),
        insecure: !config.sip_tls_verify,
        ..match &config.sip_tls_certificate {
            Some((chain, key)) => {
                TlsSettings { chain: vec![chain.clone()], key: key.clone(), show_as_client: true, ..Default::default() }
            }
            None => TlsSettings {
                chain: vec![own("server.pem"), files.ca.clone()],
                key: own("server-key.pem"),
                ..Default::default()
            },
        }
    };
    let first = config.sip.first().copied().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    Ok(TransportConfig {
        listen: config.sip.clone(),
        tls_listen: config.sip_tls.clone(),
        ws_listen: config.sip_ws.clone(),
        wss_listen: config.sip_wss.clone(),
        tls: Some(Arc::new(Tls::load(settings)?)),
        origins: config.sip_ws_origins.clone(),
        ..TransportConfig::new(first)
    })
}

/// Which address of ours the system would use towards the outside; nothing is sent to find it.
fn outside_address(unspecified: IpAddr) -> IpAddr {
    let (any, outside) = match unspecified {
        IpAddr::V4(_) => ("0.0.0.0:0", "192.0.2.1:9"),
        IpAddr::V6(_) => ("[::]:0", "[2001:db8::1]:9"),
    };
    let found = std::net::UdpSocket::bind(any).and_then(|socket| {
        socket.connect(outside)?;
        socket.local_addr()
    });
    found.map_or(std::net::Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}

async fn start_outbox(
    config: &Config,
    store: &Store,
    writer: &Writer,
    client: &reqwest::Client,
    time: crate::store::Clock,
    random: Random,
    hub: &Arc<OnceLock<Weak<Hub>>>,
) -> Result<Outbox, StoreError> {
    let settings = OutboxSettings {
        timeout: config.event_timeout,
        first_delay: config.event_backoff,
        max_attempts: config.event_attempts,
        ..OutboxSettings::default()
    };
    let hub = Arc::clone(hub);
    let notify: crate::events::Notify = Arc::new(move |notice| {
        if let Some(hub) = hub.get().and_then(Weak::upgrade) {
            deliveries::notice(&hub, &notice);
        }
    });
    Outbox::start(store.clone(), writer.clone(), client.clone(), settings, time, random, notify).await
}

fn start_media(
    config: &Config,
    clock: Clock,
    signals: mpsc::Sender<Signal>,
    random: Random,
) -> Result<MediaPlane, crate::media::worker::MediaError> {
    let media = MediaConfig {
        threads: config.media_threads,
        bind: media_address(config),
        ports: config.rtp_ports.0..=config.rtp_ports.1,
        rtp_timeout: config.rtp_timeout.unwrap_or_default(),
        in_band: config.in_band_dtmf,
        delay: DelayBounds::default(),
        // One leg a call today; as many again may be on their way out.
        max_legs: config.max_calls * 2,
        clock,
        late: config.overload_late,
    };
    let sink = move |event| {
        if signals.try_send(Signal::Media(event)).is_err() {
            tracing::error!("signalling is too far behind: a media event was dropped");
        }
    };
    MediaPlane::start(media, random, Box::new(sink))
}

fn overload_settings(config: &Config) -> OverloadSettings {
    OverloadSettings { late_share: f64::from(config.overload_late_percent) / 100.0, recovery: config.overload_recovery }
}

fn prompt_config(config: &Config, data_dir: &DataDir) -> PromptConfig {
    PromptConfig {
        directory: Some(data_dir.path("prompts")),
        cache_bytes: usize::try_from(config.prompt_cache_bytes).unwrap_or(usize::MAX),
        cache_age: config.prompt_cache_age,
        limits: prompt::Limits {
            max_bytes: usize::try_from(config.prompt_max_bytes).unwrap_or(usize::MAX),
            ..prompt::Limits::default()
        },
        fetch: FetchConfig {
            timeout: config.prompt_fetch_timeout,
            allow_private: config.prompt_allow_private,
            ..FetchConfig::default()
        },
        ..PromptConfig::default()
    }
}

fn call_settings(config: &Config, listeners: &Listeners) -> CallSettings {
    CallSettings {
        codecs: config.codecs.clone(),
        srtp: config.srtp,
        answer_timeout: config.answer_timeout,
        ring_timeout: config.ring_timeout,
        // Each source has its own limit, which says which one it was; this one stands behind them.
        load_timeout: config.prompt_fetch_timeout + Duration::from_secs(20),
        ..CallSettings::new(advertised(config, listeners.sip_udp.ip()))
    }
}

fn agent_config(config: &Config, listeners: &Listeners) -> AgentConfig {
    let contact = |listener: &SipListener| ContactAddress {
        transport: listener.transport,
        local: listener.address,
        host: advertised(config, listener.address.ip()).to_string(),
        port: listener.address.port(),
    };
    AgentConfig {
        contacts: listeners.sip.iter().map(contact).collect(),
        user: "strowger".to_owned(),
        product: "Strowger".to_owned(),
        codecs: config.codecs.clone(),
        info_types: INFO_TYPES,
        srtp_over_insecure: config.srtp_over_insecure,
        srtp_suites: config.srtp_suites.clone(),
        timers: TimerConfig {
            session_expires: config.session_expires,
            min_se: config.min_se,
            ..TimerConfig::default()
        },
        limits: AgentLimits {
            half_open_per_source: config.guard_half_open.max(1) as usize,
            datagram: config.sip_udp_max_bytes,
            ..AgentLimits::default()
        },
    }
}
